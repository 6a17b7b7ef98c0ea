"""From configuration values to a run that is ready to be carried out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import facegen
from facegen.errors import ConfigurationError
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.run import Job
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.pack.schema import DatasetSpec
from facegen.stages.pack.writer import create_dataset
from facegen.stages.render.backends import make_renderer, resolved
from facegen.stages.render.background import Backdrop
from facegen.stages.render.objects.draw import Things
from facegen.stages.sample.stage import Sampler
from facegen.stages.task import compose_stage, dataset_spec, denoise_stage, run_fingerprint


@dataclass(frozen=True)
class Plan:
    """A run that has been checked but has not touched the disk."""

    config: RunConfig
    model: MorphableModel
    fingerprint: str
    spec: DatasetSpec
    notes: tuple[str, ...] = ()
    """What a person should know of the input: frames lost and weights clipped in recordings."""

    @property
    def configuration(self) -> dict[str, Any]:
        """The resolved configuration as plain values, but for who carries it out; paths keep their variables."""
        return self.config.model_dump(mode="json", exclude={"executor"})

    def description(self) -> dict[str, Any]:
        """For run.yaml: what this run is."""
        return {
            "name": self.config.name,
            "fingerprint": self.fingerprint,
            "faces": self.config.faces,
            "shard_size": self.config.shard_size,
            "seed": self.config.seed,
            "model": {"name": self.model.name, "sha256": self.model.sha256},
            **({"denoisers": dict(self.spec.denoisers)} if self.spec.denoisers else {}),
            **({"composer": dict(self.spec.composer)} if self.spec.composer else {}),
            "versions": {
                "facegen": facegen.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("numpy", "numba", "torch", "zarr")},
            },
            "machine": {"system": platform.platform(), "processor": platform.machine()},
            "configuration": self.configuration,
        }

    def check(self, stages: tuple[str, ...]) -> None:
        """Refuse a stage that has nothing to do.

        Raises:
            ConfigurationError: it is asked for by itself, and the configuration denoises, or composes, nothing.
        """
        if stages == ("denoise",) and not self.config.denoise.active:
            raise ConfigurationError(
                f"the configuration '{self.config.name}' denoises nothing; go on with 'facegen render', or set "
                "'denoise.identity' or 'denoise.expression'"
            )
        if stages == ("compose",) and not self.config.compose.active:
            raise ConfigurationError(
                f"the configuration '{self.config.name}' composes nothing; go on with 'facegen render', or set "
                "'compose.weights'"
            )

    def job(self, folder: RunFolder, stages: tuple[str, ...]) -> Job:
        """What the workers need to know to carry shards through ``stages``."""
        return Job(folder, self.fingerprint, self.configuration, stages)

    def prepare(self, folder: RunFolder, *, overwrite: bool, packs: bool) -> None:
        """Open the run folder for this run and, where it packs, write the dataset's metadata.

        Raises:
            RunFolderError: when the folder belongs to something else.
            StorageError: when the disk refuses.
        """
        folder.open(self.description(), overwrite=overwrite)
        if packs:
            create_dataset(folder.dataset, self.spec)


def plan(values: dict[str, Any], *, source: str) -> Plan:
    """Check configuration values, load the model, and build every tool once, so that errors come before any work.

    Args:
        values: plain values, overrides applied.
        source: where they come from, for messages.

    Raises:
        ConfigurationError, ModelError, CaptureError, WeightsError, BackgroundError, LightError, RenderError: naming
            what is wrong.
    """
    config = validate(RunConfig, values, source=source)
    config = config.model_copy(update={"render": resolved(config.render)})
    model = load_model(config.model)
    height, width = config.render.height_width
    sampler = Sampler(config.sample, model, height, width, config.seed)
    denoise = denoise_stage(config, model)
    composer = compose_stage(config, model, sampler, denoise).provenance
    if config.render.backend != "numba":
        make_renderer(config.render, model).close()
    Backdrop(config.render.background, height, width).check()
    if config.render.objects.any:
        Things(config.render.objects, model)
    sampler.check()
    digest = run_fingerprint(config, model, denoise.provenance, composer)
    notes = tuple(
        f"{recording.path}: {len(recording.weights):,} frames; {recording.lost_frames:,} lost ones skipped, "
        f"{recording.clipped_values:,} weights clipped to 0 … 1"
        for recording in sampler.recordings
    )
    return Plan(config, model, digest, dataset_spec(config, model, digest, denoise.provenance, composer), notes)
