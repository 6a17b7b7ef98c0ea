"""The laws that faces are drawn from before a denoiser sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.constraints import respect_limits
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]


def widths_for(like: CoefficientSet) -> tuple[float, ...]:
    """The widths of the uniform law that are tried: ± so many σ, or weights from 0 to that; the last is the paper's."""
    if like.bounds == (0.0, 1.0):
        return (0.25, 0.5, 0.75, 1.0)
    return (3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if like.group == "identity" else (5.0, 7.5, 10.0, 15.0)


def uniform(like: CoefficientSet, width: float, count: int, seed: int) -> Float:
    """(count, K) uniform, each coefficient independently: ±width σ, or 0 … width where coefficients are weights."""
    low = 0.0 if like.bounds == (0.0, 1.0) else -width
    return _rng(seed, 0).uniform(low, width, (count, len(like.names))).astype(np.float32)


def gaussian(clean: CoefficientSet, count: int, seed: int, *, joint: bool = False) -> Float:
    """(count, K) normal, within bounds: the model's own N(0, 1), or for weights the mean and spread of clean faces.

    Args:
        clean: faces that weights are fitted to.
        count: number of faces.
        seed: of the draws.
        joint: with the covariance of the clean faces, instead of each coefficient independently as is usual.
    """
    rng, length = _rng(seed, 1), len(clean.names)
    if joint:
        covariance = np.cov(clean.values.astype(np.float64), rowvar=False)
        drawn = rng.multivariate_normal(clean.values.mean(axis=0), covariance, count, method="eigh")
    elif clean.bounds == (0.0, 1.0):
        drawn = rng.normal(clean.values.mean(axis=0), clean.values.std(axis=0), (count, length))
    else:
        drawn = rng.standard_normal((count, length))
    return drawn.clip(*clean.bounds).astype(np.float32)


def spread(values: Float, count: int) -> Float:
    """About ``count`` rows: every second, every third … of them.

    Equal steps matter: of two frames of a performance that follow each other, each lies in the other's shadow.
    """
    return values[:: max(1, round(len(values) / count))]


def allowed(values: Float, group: str, model: MorphableModel | None) -> Float:
    """Expressions within the bounds and limits of the model; identities as they are."""
    return values if model is None or group == "identity" else respect_limits(model, values)


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))
