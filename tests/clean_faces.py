"""Small sets of clean coefficients: faces on a curved surface of few dimensions, which a network soon learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facegen.errors import FacegenError
from facegen.morphable.coefficients import CoefficientSet, Group


def clean_faces(
    count: int = 400, length: int = 20, group: Group = "identity", seed: int = 0, conditions: int = 0
) -> CoefficientSet:
    """``count`` faces of ``length`` coefficients, each a unit; expressions are weights between 0 and 1."""
    random = np.random.default_rng(seed)
    # The surface is the same for every seed of the faces.
    bend = np.random.default_rng(99)
    hidden = random.uniform(-2, 2, (count, 2))
    values = np.sin(hidden @ bend.normal(size=(2, length)) + bend.uniform(0, 6, length)) + 0.02 * random.normal(
        size=(count, length)
    )
    weights = group == "expression"
    if weights:
        values = (0.5 + 0.5 * values).clip(0, 1)
    return CoefficientSet(
        group=group,
        model="surface",
        model_sha256="ab" * 32,
        names=tuple(f"{group} {number}" for number in range(length)),
        values=values.astype(np.float32),
        deviation=np.ones(length, np.float32) if weights else np.linspace(900, 100, length).astype(np.float32),
        bounds=(0.0, 1.0) if weights else (-np.inf, np.inf),
        unit=np.arange(count, dtype=np.int32),
        units=tuple(f"face {number}" for number in range(count)),
        conditions=np.tanh(hidden[:, :conditions]).astype(np.float32) if conditions else np.zeros((0, 0), np.float32),
        condition_names=tuple(f"condition {number}" for number in range(conditions)),
    )


def refusal(error: type[FacegenError], call: Callable[..., Any], *arguments: Any) -> str:
    """The one line in which ``call`` refuses its arguments."""
    with pytest.raises(error) as refused:
        call(*arguments)
    assert type(refused.value) is error
    line = str(refused.value)
    assert len(line.splitlines()) == 1, line
    return line
