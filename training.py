"""What all trainings share: a folder that tells its configuration, the state that a killed one continues from."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

import facegen
from facegen.errors import ConfigurationError, StorageError, WeightsError
from facegen.settings import Section, validate
from facegen.storage import write_atomically
from facegen.weights import card_path

C = TypeVar("C", bound=Section)


class ConfiguredFolder(Generic[C]):
    """A folder with ``train.yaml``; for each network NAME ``NAME.safetensors`` and its card ``NAME.json``.

    While one is being trained, ``state/NAME.safetensors`` keeps its last finished round.
    """

    def __init__(self, path: Path, kind: type[C]) -> None:
        self.path = path
        self._kind = kind

    def weights(self, name: str) -> Path:
        """Where the weights of a network lie."""
        return self.path / f"{name}.safetensors"

    def state(self, name: str) -> Path:
        """Where the last finished round of a network lies."""
        return self.path / "state" / f"{name}.safetensors"

    def config(self) -> C:
        """The configuration that the folder was made for.

        Raises:
            ConfigurationError: the folder is not one of a training.
        """
        path = self.path / "train.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(f"{self.path}: not a training folder (no train.yaml)") from None
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__})") from None
        return validate(self._kind, values, source=str(path))

    def open(self, config: C) -> None:
        """Create the folder for a configuration, or go on with the one that is there.

        Raises:
            ConfigurationError: it holds another training, or something else.
            StorageError: it cannot be written.
        """
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
        path = self.path / "train.yaml"
        try:
            if path.is_file():
                if self.config() != config:
                    raise ConfigurationError(f"{self.path}: holds a training of another configuration; choose a folder")
                return
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise ConfigurationError(f"{self.path}: not empty and not a training folder; choose a new folder")
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read ({error.strerror})") from None
        write_atomically(path, text.encode())

    def untrained(
        self, names: Iterable[str], faces_sha256: str, training_of: Callable[[Path], Mapping[str, object]]
    ) -> list[str]:
        """Those of some networks that are still to be trained.

        Args:
            names: of the networks.
            faces_sha256: digest of the faces to learn from.
            training_of: reads what the card of some weights tells of their training.

        Raises:
            WeightsError: one was trained on other faces, or its card is damaged.
        """
        todo = []
        for name in names:
            weights = self.weights(name)
            if not card_path(weights).is_file():
                todo.append(name)
            elif training_of(weights).get("faces_sha256") != faces_sha256:
                raise WeightsError(f"{weights}: was trained on other faces than now; choose a new folder")
        return todo


def seeded(seed: int, step: int, device: str) -> torch.Generator:
    """The random numbers of one step: a training that continues draws what one that was not killed draws."""
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))


def write_state(
    path: Path, parts: Mapping[str, Mapping[str, torch.Tensor]], optimiser: torch.optim.Optimizer, about: dict[str, str]
) -> None:
    """Keep a finished round: named groups of tensors, the optimiser's moments, and texts.

    Raises:
        StorageError: when the disk refuses.
    """
    tensors = {f"{part}.{name}": tensor for part, group in parts.items() for name, tensor in group.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{n}": torch.as_tensor(v) for n, v in moments.items() if v is not None}
    write_atomically(path, save_tensors({n: t.cpu().contiguous() for n, t in tensors.items()}, metadata=about))


def read_state(
    path: Path, key: str, parts: Mapping[str, torch.nn.Module], optimiser: torch.optim.Optimizer, device: str
) -> dict[str, str]:
    """Continue from :func:`write_state`: fill the modules and the optimiser; the texts.

    Args:
        path: of the state.
        key: what ``about["key"]`` has to be: a digest of all that decides the training.
        parts: by name of their group.
        optimiser: of the same parameters.
        device: torch device.

    Raises:
        WeightsError: the file is damaged, or of another training.
    """
    try:
        data = path.read_bytes()
        about = _texts(data)
        if about["key"] != key:
            raise WeightsError(
                f"{path}: belongs to a training with other faces or another configuration; use another folder, "
                "or delete the file to begin again"
            )
        tensors = {name: tensor.to(device) for name, tensor in load_tensors(data).items()}
        for part, module in parts.items():
            prefix = f"{part}."
            module.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, number, moment = name.split(".")
                state.setdefault(int(number), {})[moment] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return about
    except WeightsError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: not the state of a training ({type(error).__name__}); delete it to begin again"
        ) from None


def check_device(device: str) -> None:
    """Refuse a torch device that this machine does not have.

    Raises:
        ConfigurationError: there is none of that name.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(f"device '{device}' cannot be used here ({first})") from None


def circumstances(device: str) -> dict[str, object]:
    """For a card: what a network was trained with."""
    versions = {"facegen": facegen.__version__, "torch": version("torch"), "python": platform.python_version()}
    where = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    return {"versions": versions, "device": where}


def _texts(data: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file: its length in 8 bytes, then JSON."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return found
