"""A training folder: the denoisers of one configuration, trained one after another, and found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from facegen.manifold.apply import errors_on
from facegen.manifold.checkpoint import Card, read_card, read_checkpoint, rounded, write_checkpoint
from facegen.manifold.config import TrainConfig
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.training import Point, card_of, train
from facegen.morphable.coefficients import CoefficientSet
from facegen.training import ConfiguredFolder, circumstances

Report = Callable[[str, int, int, Point], None]
"""Told of a denoiser's name, its step, its number of steps, and the point of its curve."""


class TrainingFolder(ConfiguredFolder[TrainConfig]):
    """The denoisers of one configuration."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, TrainConfig)

    def unfinished(self, config: TrainConfig, faces: CoefficientSet) -> list[str]:
        """Names of the denoisers that are still to be trained.

        Raises:
            WeightsError: one was trained on other faces.
        """
        return self.untrained(config.denoisers, faces.sha256, lambda weights: read_card(weights).training)

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
            state = self.state(name)

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
                **circumstances(device),
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
