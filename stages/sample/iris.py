"""Iris colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IrisColour = Literal["brown", "hazel", "green", "blue", "grey"]

# Linear RGB reflectance, our choice by eye.
_COLOURS: dict[IrisColour, tuple[float, float, float]] = {
    "brown": (0.060, 0.026, 0.011),
    "hazel": (0.120, 0.070, 0.028),
    "green": (0.105, 0.125, 0.060),
    "blue": (0.095, 0.160, 0.230),
    "grey": (0.150, 0.180, 0.200),
}


def iris_colour(frequencies: Mapping[IrisColour, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """Linear RGB (3,) of an iris: a colour chosen by frequency, varied in brightness and a little in hue."""
    names = sorted(frequencies)
    weights = np.array([frequencies[name] for name in names])
    chosen = names[
        int(np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(), side="right").clip(0, len(names) - 1))
    ]
    return np.asarray(np.array(_COLOURS[chosen]) * np.exp(0.25 * rng.standard_normal() + 0.08 * rng.standard_normal(3)))
