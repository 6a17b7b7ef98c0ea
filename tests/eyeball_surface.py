"""How far points are from an eyeball's surface, cornea included, as its triangles show it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.morphable.model import Eyeball, MorphableModel

Float = NDArray[np.float64]

_CANDIDATES = 12


class EyeballSurface:
    """The surface of one eyeball of a model, which looks straight ahead and moves with its vertices' mean."""

    def __init__(self, model: MorphableModel, eye: Eyeball) -> None:
        self._eye, self._mean = eye, model.mean
        triangles = model.topology.triangles
        own = triangles[np.isin(triangles, eye.vertices).all(axis=1)]
        self._corners: Float = model.mean[own].astype(np.float64) - eye.centre
        middles = self._corners.mean(axis=1)
        self._tree = cKDTree(middles / np.linalg.norm(middles, axis=1, keepdims=True))

    def clearance(self, vertices: NDArray[np.floating], points: NDArray[np.integer]) -> Float:
        """How far vertices lie outside the surface, along the ray from the centre of rotation; negative is inside.

        Args:
            vertices: (V, 3) a face, mm.
            points: (n,) the vertices that are asked for.

        Returns:
            (n,) mm; infinite where the ray leaves through the opening behind.
        """
        shift = (vertices[self._eye.vertices].astype(np.float64) - self._mean[self._eye.vertices]).mean(axis=0)
        away = vertices[points] - (self._eye.centre + shift)
        distance = np.linalg.norm(away, axis=1)
        direction = away / distance[:, None]
        _, near = self._tree.query(direction, k=_CANDIDATES)
        # Where the ray meets the plane of each near triangle: direction = Σ weight · corner, weights of one sign.
        weights = np.linalg.solve(np.swapaxes(self._corners[near], 2, 3), direction[:, None, :, None])[..., 0]
        total = weights.sum(axis=2)
        met = (weights >= -1e-9 * total[..., None]).all(axis=2) & (total > 0)
        radius = np.where(met, 1 / np.where(met, total, 1), -np.inf).max(axis=1)
        return np.where(np.isfinite(radius), distance - radius, np.inf)
