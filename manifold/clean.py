"""Clean coefficients: of recorded people, of a model's population, of faces fitted to photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ConfigurationError
from facegen.manifold.config import CleanConfig, FittedFaces, PopulationFaces, RecordedFaces
from facegen.morphable.arkit import arkit_index
from facegen.morphable.coefficients import CoefficientSet, Group
from facegen.morphable.constraints import within_limits
from facegen.morphable.fitted import read_fitted
from facegen.morphable.livelink import read_livelink
from facegen.morphable.model import MorphableModel
from facegen.morphable.people import draw_people
from facegen.morphable.sides import mirrored_expressions
from facegen.paths import expand

Float = NDArray[np.float32]

EXPRESSIVENESS = "expressiveness"
"""Condition of expressions: the rank of a frame's distance from rest among all frames, from -1 to 1."""


def clean_sets(
    config: CleanConfig, group: Group, model: MorphableModel | None, seed: int
) -> tuple[CoefficientSet, CoefficientSet]:
    """The faces to learn from and those to test on; they share no face and no take.

    Raises:
        CaptureError, ModelError: a file is missing or not what it should be.
        ConfigurationError: the model cannot have such faces, or a path holds a variable that is not set.
    """
    if isinstance(config, FittedFaces):
        folder, deviations = expand(config.folder, "clean.folder"), expand(config.deviations, "clean.deviations")
        fitted = read_fitted(folder, deviations, group)
        try:
            return fitted.split(config.held_out, seed)
        except ValueError as error:
            raise ConfigurationError(f"clean.held_out: {error}") from None
    assert model is not None
    if isinstance(config, PopulationFaces):
        people = draw_people(model, config.train + config.test, seed)
        row = np.arange(len(people))
        return people.rows(row < config.train), people.rows(row >= config.train)
    return _recorded_sets(config, model)


def _recorded_sets(config: RecordedFaces, model: MorphableModel) -> tuple[CoefficientSet, CoefficientSet]:
    train, test = (
        [expand(path, f"clean.{which}") for path in paths]
        for which, paths in (("train", config.train), ("test", config.test))
    )
    faces, others = recorded(train, model, mirrored=config.mirrored), recorded(test, model)
    # One take under two names, or by two paths, is one take.
    names = {file["sha256"]: file["name"] for file in faces.provenance["files"]}
    for file in others.provenance["files"]:
        if file["sha256"] in names:
            raise ConfigurationError(f"clean.test: '{file['name']}' is the take '{names[file['sha256']]}' of 'train'")
    return faces, others


def recorded(paths: Sequence[Path], model: MorphableModel, *, mirrored: bool = False) -> CoefficientSet:
    """The expressions of recordings as the model plays them; each take is a unit.

    Args:
        paths: Live Link Face files.
        model: with expressions of ARKit's vocabulary.
        mirrored: add each frame's mirror image.

    Raises:
        CaptureError: a recording cannot be read.
        ModelError: the model has an expression that ARKit does not know.
    """
    index = arkit_index(model.expression_names)
    takes, unit, files = [], [], []
    for number, path in enumerate(paths):
        recording = read_livelink(path)
        frames = within_limits(model, recording.weights[:, index])
        if mirrored:
            frames = np.concatenate([frames, frames[:, mirrored_expressions(model.expression_names)]])
        takes.append(frames)
        unit.append(np.full(len(frames), number, np.int32))
        files.append(
            {
                "name": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "frames": len(recording.weights),
                "lost_frames": recording.lost_frames,
                "clipped_values": recording.clipped_values,
            }
        )
    values = np.concatenate(takes)
    return CoefficientSet(
        group="expression",
        model=model.name,
        model_sha256=model.source_sha256,
        names=model.expression_names,
        values=values,
        deviation=np.ones(values.shape[1], np.float32),
        bounds=model.expression_bounds,
        unit=np.concatenate(unit),
        units=tuple(path.name for path in paths),
        provenance={"source": "recordings", "mirrored": mirrored, "files": files},
        conditions=_expressiveness(values)[:, None],
        condition_names=(EXPRESSIVENESS,),
    )


def _expressiveness(values: Float) -> Float:
    """(N,) rank from -1 to 1 of the distance from rest."""
    distance = np.linalg.norm(values.astype(np.float64), axis=1)
    rank = distance.argsort(kind="stable").argsort(kind="stable")
    scaled: Float = (2 * (rank + 0.5) / len(values) - 1).astype(np.float32)
    return scaled
