"""Every refusal of facegen, one class each; all are :class:`FacegenError`, most are a builtin error as well.

A message is one line that says what was found, what was expected, and where. ``exit_code`` is what the command line
returns: 1 when something failed, 2 when it was used wrongly.
"""


class FacegenError(Exception):
    """Base of all errors that facegen raises on purpose."""

    exit_code = 1


class ConfigurationError(FacegenError, ValueError):
    """A configuration file or an override cannot be used."""

    exit_code = 2


class ModelError(FacegenError, ValueError):
    """A face model file is missing, damaged, or not what its format says."""

    exit_code = 2


class WeightsError(FacegenError, ValueError):
    """Weights of a denoiser are missing, damaged, untrained, or of another model."""

    exit_code = 2


class CaptureError(FacegenError, ValueError):
    """A facial recording is missing, damaged, or not what its format says."""

    exit_code = 2


class BackgroundError(FacegenError, ValueError):
    """A background image is missing, damaged, too small, or not what its format says."""

    exit_code = 2


class LightError(FacegenError, ValueError):
    """An environment map is missing, damaged, or not what its format says."""

    exit_code = 2


class RunFolderError(FacegenError):
    """A folder is not a run, or is the run of another configuration."""

    exit_code = 2


class StorageError(FacegenError, OSError):
    """The disk refused: full, read-only, or gone. What was finished before stays."""


class DatasetError(FacegenError, ValueError):
    """A packed dataset is damaged or incomplete; the message names the shard."""


class NotADatasetError(DatasetError):
    """There is no packed dataset where one was expected."""

    exit_code = 2


class UnknownChannelError(DatasetError):
    """A channel was asked for that nothing has."""

    exit_code = 2


class RenderError(FacegenError):
    """A rendering back-end cannot work on this machine."""


class InterruptedRun(FacegenError):
    """Ctrl-C was pressed. What was finished before stays."""


class WorkerError(FacegenError):
    """A worker process died or raised; the message names the shard."""


class MissingDependencyError(FacegenError, ImportError):
    """An optional package is needed; the message carries the command that installs it."""
