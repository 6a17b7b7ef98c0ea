"""What ``facegen train denoise`` does: from configuration values to trained denoisers in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from facegen.errors import ConfigurationError
from facegen.manifold.checkpoint import Card, read_card
from facegen.manifold.clean import clean_sets
from facegen.manifold.config import PosteriorConfig, TrainConfig
from facegen.manifold.folder import TrainingFolder
from facegen.manifold.training import NEIGHBOUR, Point, new_denoiser
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.load import load_model
from facegen.settings import validate
from facegen.training import check_device


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
        The cards of all denoisers, by name.

    Raises:
        ConfigurationError, ModelError, CaptureError, WeightsError, StorageError: naming what is wrong.
    """
    config = validate(TrainConfig, values, source=source)
    check_device(device)
    # With one thread the bits of a product do not depend on the machine's cores, and small networks are no slower.
    torch.set_num_threads(1)
    model = None if config.model is None else load_model(config.model)
    faces, test = clean_sets(config.clean, config.group, model, config.seed)
    check_trainable(config, faces)
    folder = TrainingFolder(out)
    folder.open(config)
    told(f"{len(faces):,} clean faces to learn from, {len(test):,} to test on, {len(faces.names)} coefficients")

    def report(name: str, step: int, total: int, point: Point) -> None:
        told(f"{name}: step {step:,} of {total:,}, loss {point.train:.4g}, on test faces {point.test:.4g}")

    folder.train(config, faces, test, device, report)
    return {name: read_card(folder.weights(name)) for name in config.denoisers}


def check_trainable(config: TrainConfig, faces: CoefficientSet) -> None:
    """Refuse denoisers that cannot learn from the faces.

    Raises:
        ConfigurationError: there are too few coefficients or faces; the message names the denoiser.
    """
    for name, method in config.denoisers.items():
        try:
            new_denoiser(method, faces, config.seed)
        except ValueError as error:
            raise ConfigurationError(f"denoisers.{name}: {error}") from None
        if isinstance(method, PosteriorConfig) and method.flatten and len(faces) <= NEIGHBOUR:
            raise ConfigurationError(f"denoisers.{name}.flatten: {len(faces)} clean faces; expected over {NEIGHBOUR}")
