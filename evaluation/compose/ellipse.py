"""Ellipses that sum up points of a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

REACH = 2.0
"""Standard deviations."""
_BOUNDARY = 720
"""Points of a boundary: half a degree apart, seen from where the ellipse was a circle."""


@dataclass(frozen=True)
class Ellipse:
    """The points :data:`REACH` standard deviations from the mean, in every direction."""

    centre: Float
    """(2,)."""
    covariance: Float
    """(2, 2), positive definite."""

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> Ellipse:
        """Of points (N, 2)."""
        values = np.asarray(points, np.float64)
        return cls(values.mean(axis=0), np.cov(values.T))

    @property
    def area(self) -> float:
        """In squared units of the plane."""
        return float(np.pi * REACH**2 * np.sqrt(np.linalg.det(self.covariance)))

    def boundary(self) -> Float:
        """(720, 2) points on it."""
        angle = np.linspace(0, 2 * np.pi, _BOUNDARY, endpoint=False)
        circle = REACH * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.asarray(self.centre + circle @ np.linalg.cholesky(self.covariance).T)

    def holds(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,) which of points (N, 2) lie in it."""
        away = np.asarray(points, np.float64) - self.centre
        squared = np.einsum("ni,ni->n", away, np.linalg.solve(self.covariance, away.T).T)
        return np.asarray(squared <= REACH**2 * (1 + 1e-9))

    def encloses(self, other: Ellipse) -> bool:
        """Whether the other lies wholly in it: an ellipse is convex, so its boundary decides."""
        return bool(self.holds(other.boundary()).all())
