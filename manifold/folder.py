"""A training folder: the denoisers of one configuration, trained one after another, and found again."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
import yaml

import facegen
from facegen.errors import ConfigurationError, StorageError, WeightsError
from facegen.manifold.apply import errors_on
from facegen.manifold.checkpoint import Card, card_path, read_card, read_checkpoint, rounded, write_checkpoint
from facegen.manifold.config import TrainConfig
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.training import Point, card_of, train
from facegen.morphable.coefficients import CoefficientSet
from facegen.settings import validate
from facegen.storage import write_atomically

Report = Callable[[str, int, int, Point], None]
"""Told of a denoiser's name, its step, its number of steps, and the point of its curve."""


class TrainingFolder:
    """``train.yaml``, and for each denoiser ``NAME.safetensors`` with its card ``NAME.json``.

    While one is being trained, ``state/NAME.safetensors`` keeps its last finished round.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def weights(self, name: str) -> Path:
        """Where the weights of a denoiser lie."""
        return self.path / f"{name}.safetensors"

    def config(self) -> TrainConfig:
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
        return validate(TrainConfig, values, source=str(path))

    def open(self, config: TrainConfig) -> None:
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

    def unfinished(self, config: TrainConfig, faces: CoefficientSet) -> list[str]:
        """Names of the denoisers that are still to be trained.

        Raises:
            WeightsError: one was trained on other faces.
        """
        todo = []
        for name in config.denoisers:
            if not card_path(self.weights(name)).is_file():
                todo.append(name)
            elif read_card(self.weights(name)).training.get("faces_sha256") != faces.sha256:
                raise WeightsError(f"{self.weights(name)}: was trained on other faces than now; choose a new folder")
        return todo

    def train(
        self, config: TrainConfig, faces: CoefficientSet, test: CoefficientSet, device: str, report: Report
    ) -> None:
        """Train what is unfinished.

        Raises:
            WeightsError: a state is of another training.
            StorageError: when the disk refuses. What was finished stays.
        """
        for name in self.unfinished(config, faces):
            method = config.denoisers[name]
            state = self.path / "state" / f"{name}.safetensors"

            def told(step: int, total: int, point: Point, name: str = name) -> None:
                report(name, step, total, point)

            trained = train(method, faces, test, config.seed, device=device, state=state, report=told)
            denoiser = rounded(trained.denoiser) if config.half else trained.denoiser
            card = card_of(
                method,
                faces,
                trained,
                seed=config.seed,
                command=f"facegen train denoise {config.name} --out {self.path.name}",
                learnt_from=faces.provenance,
                faces_sha256=faces.sha256,
                tested_on=test.provenance,
                test_sha256=test.sha256,
                versions={
                    "facegen": facegen.__version__,
                    "torch": version("torch"),
                    "python": platform.python_version(),
                },
                device=torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device,
            )
            metrics = errors_on(denoiser, faces, test, config.seed)
            metrics = {key: float(f"{value:.6g}") for key, value in metrics.items()}
            write_checkpoint(self.weights(name), denoiser, replace(card, metrics=metrics), half=config.half)
            state.unlink(missing_ok=True)

    def denoisers(self, config: TrainConfig) -> dict[str, tuple[Denoiser, Card]]:
        """All denoisers of the folder, by name.

        Raises:
            WeightsError: one is missing or damaged.
        """
        return {name: read_checkpoint(self.weights(name)) for name in config.denoisers}
