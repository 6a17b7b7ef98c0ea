"""Clean faces, which thresholds are learnt from: people of the model's population with recorded expressions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.errors import CaptureError
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.constraints import within_limits
from facegen.morphable.livelink import Recording
from facegen.morphable.model import MorphableModel
from facegen.morphable.sides import mirrored_expressions
from facegen.randomness import generator

Float = NDArray[np.float32]

Kind = Literal["mixed", "people", "expressions", "both"]
"""``people`` are neutral; ``expressions`` are the mean person's; ``both`` are people with expressions; ``mixed`` are
people and both, one after the other."""

BATCH = 32
"""Faces that are decoded at once."""
BLOCK = 10
"""Frames."""


def clean_coefficients(
    model: MorphableModel, recordings: Sequence[Recording], count: int, seed: int, kind: Kind = "mixed"
) -> tuple[Float, Float]:
    """Identity (count, Ki) and expression (count, Ke) coefficients of clean faces.

    People are drawn from the model's population, or where it has none each coefficient from N(0, 1). Expressions are
    frames of the recordings, every second one mirrored: a performance seen in a mirror is as possible as itself. A face
    depends on seed and number alone.

    Raises:
        CaptureError: expressions are asked for, and there is no recording.
        ModelError: the model has an expression that ARKit has no weight for.
    """
    identity = np.zeros((count, len(model.identity_names)), np.float32)
    expression = np.zeros((count, len(model.expression_names)), np.float32)
    if kind != "expressions":
        for number in range(count):
            rng = generator(seed, "plausibility", "identity", number)
            if model.population is None:
                identity[number] = rng.standard_normal(identity.shape[1])
            else:
                identity[number] = model.population.draw(rng).identity
    if kind != "people":
        if not recordings:
            raise CaptureError("clean faces with expressions need at least one recording; found none")
        frames = np.concatenate([recording.weights for recording in recordings])
        columns, mirrored = arkit_index(model.expression_names), mirrored_expressions(ARKIT_NAMES)
        for number in range(1 if kind == "mixed" else 0, count, 2 if kind == "mixed" else 1):
            rng = generator(seed, "plausibility", "expression", number)
            frame = frames[rng.integers(len(frames))]
            expression[number] = (frame[mirrored] if rng.random() < 0.5 else frame)[columns]
    return identity, within_limits(model, expression)


def clean_faces(
    model: MorphableModel, recordings: Sequence[Recording], count: int, seed: int, kind: Kind = "mixed"
) -> Iterator[Float]:
    """Vertices (B, V, 3) of ``count`` clean faces, mm, batch after batch; see :func:`clean_coefficients`."""
    identity, expression = clean_coefficients(model, recordings, count, seed, kind)
    for start in range(0, count, BATCH):
        yield model.decode(identity[start : start + BATCH], expression[start : start + BATCH])


def half(recording: Recording, which: int) -> Recording:
    """Every second block of ten frames of a recording: 0 for those to learn from, 1 for those to test on.

    A tenth of a second apart frames differ, and both halves hold all that was performed.
    """
    chosen = (np.arange(len(recording.weights)) // BLOCK) % 2 == which
    codes = tuple(code for code, kept in zip(recording.timecodes, chosen, strict=True) if kept)
    return replace(recording, weights=recording.weights[chosen], gaze=recording.gaze[chosen], timecodes=codes)
