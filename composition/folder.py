"""A training folder: the autoencoders of one configuration, trained one after another, and found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from facegen.composition.checkpoint import (
    Card,
    Composition,
    read_card,
    read_checkpoint,
    rounded,
    write_checkpoint,
)
from facegen.composition.config import TrainConfig, architecture_of
from facegen.composition.faces import Faces
from facegen.composition.hierarchy import Hierarchy
from facegen.composition.parts import Parts
from facegen.composition.training import Point, mean_error, train
from facegen.training import ConfiguredFolder, circumstances

Report = Callable[[str, int, Point], None]
"""Told of a network's name, its number of epochs, and the point of its curve."""


class TrainingFolder(ConfiguredFolder[TrainConfig]):
    """The autoencoders of one configuration."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, TrainConfig)

    def unfinished(self, config: TrainConfig, faces: Faces) -> list[str]:
        """Names of the networks that are still to be trained.

        Raises:
            WeightsError: one was trained on other faces.
        """
        return self.untrained(config.networks, faces.sha256, lambda weights: read_card(weights).training)

    def train(
        self,
        config: TrainConfig,
        hierarchy: Hierarchy,
        parts: Parts,
        faces: Faces,
        test: Faces,
        device: str,
        report: Report,
    ) -> None:
        """Train what is unfinished.

        Raises:
            WeightsError: a state is of another training, or a loss is no number.
            StorageError: when the disk refuses. What was finished stays.
        """
        for name in self.unfinished(config, faces):
            network = config.networks[name]
            state = self.state(name)

            def told(total: int, point: Point, name: str = name) -> None:
                report(name, total, point)

            trained = train(
                network, hierarchy, parts, faces, test, config.seed, device=device, state=state, report=told
            )
            if config.half:
                rounded(trained.network)
            error = mean_error(trained.network, test)
            card = Card(
                method=network.method,
                model=faces.people.model,
                model_sha256=faces.people.model_sha256,
                skin_sha256=faces.skin.sha256,
                parts=parts.names,
                architecture=architecture_of(network).as_dict(),
                epochs=trained.epochs,
                training={
                    "configuration": network.model_dump(mode="json"),
                    "parts": config.parts.model_dump(mode="json"),
                    "vertices": list(hierarchy.sizes),
                    "seed": config.seed,
                    "command": f"facegen train compose {config.name} --out {self.path.name}",
                    "learnt_from": faces.people.provenance,
                    "faces": len(faces),
                    "faces_sha256": faces.sha256,
                    "test_faces": len(test),
                    **circumstances(device),
                    "curve": [[p.epoch, float(f"{p.train:.6g}"), float(f"{p.test:.6g}")] for p in trained.curve],
                },
                metrics={"mean_error_mm": float(f"{error:.6g}")},
            )
            write_checkpoint(self.weights(name), Composition(trained.network, hierarchy, parts), card, half=config.half)
            state.unlink(missing_ok=True)

    def networks(self, config: TrainConfig) -> dict[str, tuple[Composition, Card]]:
        """All autoencoders of the folder, by name.

        Raises:
            WeightsError: one is missing or damaged.
        """
        return {name: read_checkpoint(self.weights(name)) for name in config.networks}
