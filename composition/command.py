"""What ``facegen train compose`` does: from configuration values to trained autoencoders in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegen.composition.checkpoint import Card, read_card
from facegen.composition.config import TrainConfig
from facegen.composition.faces import Faces, face_sets
from facegen.composition.folder import TrainingFolder
from facegen.composition.hierarchy import Hierarchy, cached
from facegen.composition.parts import Parts, find_parts
from facegen.composition.training import Point
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.training import check_device

SEEN = 200
"""People by whose displacements parts are found."""


def carry_out(
    values: dict[str, Any], source: str, out: Path, device: str, told: Callable[[str], None]
) -> dict[str, Card]:
    """Train what is not trained yet.

    Args:
        values: of the configuration.
        source: where they come from, for messages.
        out: training folder.
        device: torch device.
        told: called with lines of progress.

    Returns:
        The cards of all networks, by name.

    Raises:
        ConfigurationError, ModelError, WeightsError, MissingDependencyError, StorageError: naming what is wrong.
    """
    config = validate(TrainConfig, values, source=source)
    check_device(device)
    # With one thread the bits of a product do not depend on the machine's cores.
    torch.set_num_threads(1)
    model = load_model(config.model)
    faces, test = face_sets(model, config.people.train, config.people.test, config.seed)
    hierarchy, parts = prepare(config, model, faces)
    folder = TrainingFolder(out)
    folder.open(config)
    told(f"{len(faces):,} people to learn from, {len(test):,} to test on")
    told(f"vertices {' → '.join(f'{size:,}' for size in hierarchy.sizes)}; parts {', '.join(parts.names)}")

    def report(name: str, total: int, point: Point) -> None:
        told(f"{name}: epoch {point.epoch} of {total}, loss {point.train:.3f} mm, test faces {point.test:.3f} mm")

    folder.train(config, hierarchy, parts, faces, test, device, report)
    return {name: read_card(folder.weights(name)) for name in config.networks}


def prepare(config: TrainConfig, model: MorphableModel, faces: Faces) -> tuple[Hierarchy, Parts]:
    """The mesh hierarchy of a model's skin and the parts of its face.

    Raises:
        ModelError: the skin cannot be made so coarse, or has too few vertices for the parts.
        MissingDependencyError: libigl or scikit-learn is not installed.
    """
    skin = faces.skin
    hierarchy = cached(skin.mean, skin.triangles, config.factors)
    moves = faces.displacements[:SEEN].astype(np.float64)
    moves -= moves.mean(axis=0)
    if config.parts.input == "displacement":
        # Identity and expression, one σ of each or a full weight.
        bases = np.concatenate([model.identity_basis, model.expression_basis])
        moves = bases[:, skin.vertices].astype(np.float64)
    return hierarchy, find_parts(config.parts, skin, hierarchy, moves)
