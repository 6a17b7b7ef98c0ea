"""How diverse a set of faces is, and how it lies to a set of real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.manifold.neighbours import BLOCK, neighbour_distance

K = 5
"""Neighbours, as in the papers."""


@dataclass(frozen=True)
class Likeness:
    """How a set of generated points lies to a set of real ones; 1 is best, density may be above."""

    precision: float
    """Share of generated points that lie among the real ones: in a ball about one of them that reaches to its k-th
    neighbour (Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models")."""
    recall: float
    """Share of real points that lie among the generated ones, by the same rule."""
    density: float
    """How many balls about real points a generated one lies in, over k (Naeem et al. 2020, "Reliable fidelity and
    diversity metrics for generative models")."""
    coverage: float
    """Share of real points whose ball holds a generated one (the same)."""


def likeness(generated: NDArray[np.floating], real: NDArray[np.floating], k: int = K) -> Likeness:
    """Compare points (N, D) with real ones (M, D).

    Raises:
        ValueError: a set has no more than k points.
    """
    fake, true = torch.from_numpy(generated).double(), torch.from_numpy(real).double()
    fake_radius, true_radius = neighbour_distance(fake, k), neighbour_distance(true, k)
    inside = torch.zeros(len(fake), dtype=torch.int64)
    held = torch.zeros(len(true), dtype=torch.bool)
    recalled = torch.zeros(len(true), dtype=torch.bool)
    for start in range(0, len(true), BLOCK):
        some = slice(start, start + BLOCK)
        distance = torch.cdist(true[some], fake)
        within = distance <= true_radius[some, None]
        inside += within.sum(dim=0)
        held[some] = within.any(dim=1)
        recalled[some] = (distance <= fake_radius).any(dim=1)
    return Likeness(
        precision=float((inside > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(inside.double().mean()) / k,
        coverage=float(held.double().mean()),
    )


def total_variance(values: NDArray[np.floating], deviation: NDArray[np.floating]) -> float:
    """Trace of the covariance of coefficients (N, K) in σ, in the model's raw units squared (the paper's Table I).

    Args:
        values: at least two faces.
        deviation: (K,) raw units of one σ.
    """
    return float((values.astype(np.float64) * deviation).var(axis=0, ddof=1).sum())
