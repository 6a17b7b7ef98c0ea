"""Whether the borders of swapped parts show: curvature there against that of the population, vertex by vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from facegen.composition.parts import POCKETS
from facegen.composition.skin import Skin
from facegen.evaluation.compose.diversity import BLENDED, MIXED, SWAPPED, TEST
from facegen.evaluation.compose.subject import Evaluation
from facegen.evaluation.compose.synthesis import Composed

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SURE = 0.95
"""Largest weight below which a vertex lies in the transition between parts."""
WITHIN = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Excesses, in widths of the population's range at the vertex, up to which faces are counted."""
CUT = "vertices cut and pasted"
"""What the measure has to find: parts with hard borders."""


class MeanCurvature:
    """Of the vertices of a mesh: the cotangent Laplacian of their positions over their areas (Meyer et al. 2003,
    "Discrete differential-geometry operators for triangulated 2-manifolds", with a third of each triangle as area)."""

    def __init__(self, triangles: Ints, vertices: int) -> None:
        self._triangles, self._vertices = triangles, vertices
        column = np.arange(len(triangles))
        corner = [
            sparse.csr_array((np.ones(len(column)), (triangles[:, k], column)), shape=(vertices, len(column)))
            for k in range(3)
        ]
        # The edge opposite corner k leads from corner k + 1 to corner k + 2.
        self._difference = sparse.csr_array(
            sparse.hstack([corner[(k + 1) % 3] - corner[(k + 2) % 3] for k in range(3)])
        )
        self._sum = sparse.csr_array(corner[0] + corner[1] + corner[2])

    def __call__(self, positions: NDArray[np.floating]) -> Float:
        """(n,) 1/mm of positions (n, 3) mm: 1/r on a sphere of radius r whose triangles face outwards.

        At a border of the mesh it has no meaning.
        """
        p = np.asarray(positions, np.float64)[self._triangles]
        normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
        twice = np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
        flows = []
        for k in range(3):
            a, b, c = p[:, k], p[:, (k + 1) % 3], p[:, (k + 2) % 3]
            cotangent = np.einsum("ti,ti->t", b - a, c - a) / twice
            flows.append(0.5 * cotangent[:, None] * (c - b))
        laplacian = self._difference @ np.concatenate(flows)
        area = self._sum @ (twice / 6)
        outward = np.asarray(self._sum @ normal)
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
        return np.asarray(-np.einsum("ni,ni->n", laplacian, outward) / (2 * np.maximum(area, 1e-9)))


@dataclass(frozen=True)
class Seam:
    """Of a set of faces."""

    faces: int
    within: dict[str, float]
    """Share of the faces whose largest excess in the transition is no more than so many widths of the range."""
    median: float
    """Largest excess of a face, in widths of the range: the median over the faces."""
    p95: float
    """The 95th percentile."""
    outside: float
    """Share of the vertices in the transition whose curvature is out of the population's range."""
    elsewhere: float
    """The same of all other vertices that are seen."""


@dataclass(frozen=True)
class Excess:
    """By how much the curvature of faces leaves the population's range."""

    band: Bools
    """(n,) vertices in the transition between parts."""
    seen: Bools
    """(n,) vertices that are neither at a border of the mesh nor in a pocket behind lids, lips or nostrils."""
    sets: dict[str, NDArray[np.float32]]
    """Name → (N, n) in widths of the range at the vertex; 0 within it."""

    def largest(self, name: str) -> NDArray[np.float32]:
        """(N,) of each face of a set, in the transition."""
        found: NDArray[np.float32] = self.sets[name][:, self.band].max(axis=1, initial=0)
        return found

    def summary(self) -> dict[str, Seam]:
        """Of each set."""
        rest = self.seen & ~self.band
        return {
            name: Seam(
                faces=len(excess),
                within={f"{limit:g}": float((self.largest(name) <= limit).mean()) for limit in WITHIN},
                median=float(np.median(self.largest(name))),
                p95=float(np.percentile(self.largest(name), 95)),
                outside=_share(excess[:, self.band]),
                elsewhere=_share(excess[:, rest]),
            )
            for name, excess in self.sets.items()
        }


def seams(evaluation: Evaluation, swapped: Composed, mixed: Composed, blend: Composed) -> Excess:
    """Compare with the least and the largest curvature of the training faces, at each vertex.

    Test faces show how often people whom the range was not taken from leave it; the last set, whose vertices are those
    of the face whose part they belong to, shows that the measure finds seams.
    """
    skin, faces = evaluation.train.skin, evaluation.train.displacements
    curvature = MeanCurvature(skin.triangles, len(skin.mean))
    low = high = curvature(skin.mean + faces[0])
    for displaced in faces[1:]:
        found = curvature(skin.mean + displaced)
        low, high = np.minimum(low, found), np.maximum(high, found)
    width = np.maximum(high - low, 1e-9)

    def excess(some: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.empty(some.shape[:2], np.float32)
        for row, displaced in enumerate(some):
            found = curvature(skin.mean + displaced)
            rows[row] = np.maximum(np.maximum(found - high, low - found), 0) / width
        return rows

    test = evaluation.test.displacements
    cut = test[mixed.recipe.source[:, evaluation.owner], np.arange(len(evaluation.owner))]
    seen = visible(skin)
    return Excess(
        band=seen & (evaluation.weights.max(axis=1) < SURE),
        seen=seen,
        sets={
            TEST: excess(test),
            SWAPPED: excess(swapped.displacements),
            MIXED: excess(mixed.displacements),
            BLENDED: excess(blend.displacements),
            CUT: excess(cut),
        },
    )


def visible(skin: Skin) -> Bools:
    """(n,) vertices of the skin that are neither at a border of the mesh nor in a pocket."""
    ends = np.sort(skin.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, count = np.unique(ends, axis=0, return_counts=True)
    seen = ~skin.within(*POCKETS)
    seen[edges[count == 1].ravel()] = False
    return seen


def _share(excess: NDArray[np.float32]) -> float:
    return float((excess > 0).mean()) if excess.size else 0.0
