"""How far the landmarks of a face are, all together, from those of the population: a Mahalanobis distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

PARTS = {
    "all": range(68),
    "contour": range(17),
    "frame": (*range(17), *range(27, 36), 36, 39, 42, 45),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}
"""Landmarks whose places are looked at together. Those of the frame (contour, nose, corners of the eyes) tell of the
person, for expressions move them least."""


@dataclass(frozen=True)
class JointLaw:
    """Mean and covariance of the landmarks' J = 204 coordinates.

    Each measurement alone may be in its range, and the combination be one that no person shows: a mouth that smiles,
    frowns, puckers and stretches at once.
    """

    mean: Float
    """(J,) mm."""
    covariance: NDArray[np.float32]
    """(J (J + 1) / 2,) upper triangle, row by row, mm²."""
    floor: float
    """mm: standard deviation that is added to every coordinate, so that nothing depends on what is not seen."""

    @classmethod
    def fit(cls, marks: Float, floor: float) -> JointLaw:
        """The law of landmarks (N, 68, 3) of aligned faces."""
        features = marks.reshape(len(marks), -1)
        mean = features.mean(axis=0)
        centred = features - mean
        full = np.einsum("ni,nj->ij", centred, centred) / max(len(features) - 1, 1)
        return cls(mean, full[np.triu_indices(len(mean))].astype(np.float32), floor)

    def distances(self, marks: Float) -> Float:
        """(B, parts) in standard deviations, of landmarks (B, 68, 3) of aligned faces."""
        offsets = marks.reshape(len(marks), len(self.mean)) - self.mean
        # einsum sums in one order, so a face does not depend on its batch.
        whitened = (np.einsum("bj,ij->bi", offsets[:, of], whitening) for of, whitening in self._whitening)
        return np.stack([np.linalg.norm(part, axis=1) for part in whitened], axis=1)

    @cached_property
    def _whitening(self) -> list[tuple[NDArray[np.intp], Float]]:
        """Of each part its coordinates (n,) and what makes them independent (n, n)."""
        size = len(self.mean)
        full = np.zeros((size, size))
        full[np.triu_indices(size)] = self.covariance
        full = full + np.triu(full, 1).T + self.floor**2 * np.eye(size)
        coordinates = [np.arange(size).reshape(-1, 3)[list(part)].reshape(-1) for part in PARTS.values()]
        return [(of, np.asarray(np.linalg.inv(np.linalg.cholesky(full[np.ix_(of, of)])))) for of in coordinates]
