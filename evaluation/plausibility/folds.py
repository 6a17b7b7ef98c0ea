"""Folds of a face's skin: neighbouring triangles that are turned against each other though they are not at rest."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

SHARPEST = float(np.cos(np.radians(120.0)))
"""Cosine between the normals of neighbours beyond which they count as turned against each other."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


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
        self.sharp_at_rest: Bools = self._sharp(mean)
        """(P,) pairs that are turned against each other on the mean face already."""

    def folded(self, vertices: NDArray[np.floating]) -> Bools:
        """(..., P) which pairs are fold pairs on faces (..., V, 3)."""
        return np.asarray(self._sharp(vertices) & ~self.sharp_at_rest)

    def __call__(self, vertices: NDArray[np.floating]) -> int:
        """How many on a face (V, 3)."""
        return int(self.folded(vertices).sum())

    def touching(self, marked: Bools) -> Bools:
        """(P,) which pairs have a vertex that is marked (V,)."""
        triangles = np.asarray(marked[self._triangles].any(axis=1))
        return np.asarray(triangles[self.pairs].any(axis=1))

    def middles(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """(P, 3) of the pairs on a face (V, 3)."""
        return np.asarray(vertices[self._triangles[self.pairs]].astype(np.float64).mean(axis=(1, 2)))

    def _sharp(self, vertices: NDArray[np.floating]) -> Bools:
        faces = vertices.reshape(-1, *vertices.shape[-2:])
        sharp: Bools = _sharp(faces, self._triangles, self.pairs)
        return sharp.reshape(*vertices.shape[:-2], len(self.pairs))


@_compile
def _sharp(vertices: NDArray[np.floating], triangles: Ints, pairs: Ints) -> Bools:
    """(B, P) pairs whose normals differ by more than the angle; triangles without area have no normal and never do."""
    sharp = np.zeros((vertices.shape[0], pairs.shape[0]), np.bool_)
    normals = np.empty((triangles.shape[0], 3))
    for face in range(vertices.shape[0]):
        for t in range(triangles.shape[0]):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            x, y, z = (
                np.float64(vertices[face, a, 0]),
                np.float64(vertices[face, a, 1]),
                np.float64(vertices[face, a, 2]),
            )
            ux, uy, uz = vertices[face, b, 0] - x, vertices[face, b, 1] - y, vertices[face, b, 2] - z
            vx, vy, vz = vertices[face, c, 0] - x, vertices[face, c, 1] - y, vertices[face, c, 2] - z
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            share = 1.0 / length if length > 0 else 0.0
            normals[t, 0], normals[t, 1], normals[t, 2] = nx * share, ny * share, nz * share
        for p in range(pairs.shape[0]):
            s, t = pairs[p, 0], pairs[p, 1]
            cosine = normals[s, 0] * normals[t, 0] + normals[s, 1] * normals[t, 1] + normals[s, 2] * normals[t, 2]
            sharp[face, p] = cosine < SHARPEST
    return sharp
