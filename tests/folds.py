"""Folds of a face's skin: neighbouring triangles that are turned against each other though they are not at rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.model import MorphableModel

SKIN = ("face", "lips", "scalp", "ears", "neck")
"""Regions of the default model that are skin seen from outside; the pockets behind lids, nostrils and lips are not."""

_SHARPEST = np.cos(np.radians(120))

Ints = NDArray[np.int64]


def triangles_of(model: MorphableModel, *regions: str) -> Ints:
    """Triangles (T', 3) of some of a model's regions."""
    numbers = [model.topology.region_names.index(name) for name in regions]
    return model.topology.triangles[np.isin(model.topology.triangle_region, numbers)].astype(np.int64)


class FoldCounter:
    """Finds the fold pairs of a skin.

    A *fold pair* is two triangles that share an edge and whose normals differ by more than 120°, though they do not on
    the mean face.
    """

    def __init__(self, triangles: Ints, mean: NDArray[np.floating]) -> None:
        """Pair the triangles.

        Args:
            triangles: (T, 3) of the skin.
            mean: (V, 3).
        """
        self._triangles = triangles
        edges = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2), axis=2).reshape(-1, 2)
        order = np.lexsort(edges.T)
        same = (edges[order[1:]] == edges[order[:-1]]).all(axis=1)
        self.pairs: Ints = np.stack([order[:-1][same], order[1:][same]], axis=1) // 3
        """(P, 2) triangles that share an edge."""
        self.sharp_at_rest = self._sharp(mean)
        """(P,) pairs that are turned against each other on the mean face already."""

    def folded(self, vertices: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(P,) which pairs are fold pairs on a face (V, 3)."""
        return self._sharp(vertices) & ~self.sharp_at_rest

    def __call__(self, vertices: NDArray[np.floating]) -> int:
        """How many."""
        return int(self.folded(vertices).sum())

    def touching(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(P,) which pairs have a vertex that is marked (V,)."""
        result: NDArray[np.bool_] = marked[self._triangles].any(axis=1)[self.pairs].any(axis=1)
        return result

    def _sharp(self, vertices: NDArray[np.floating]) -> NDArray[np.bool_]:
        a, b, c = np.moveaxis(vertices[self._triangles].astype(np.float64), 1, 0)
        normals = np.cross(b - a, c - a)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        first, second = normals[self.pairs.T]
        result: NDArray[np.bool_] = (first * second).sum(axis=1) < _SHARPEST
        return result
