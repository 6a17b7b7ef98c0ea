"""Points strewn evenly but at random, and which of them are nearest to a place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Float = NDArray[np.float64]

_CANDIDATES = 12

_DENSITY = 0.85
"""Points per square of the spacing."""


def spread_points(size: Float, spacing: float, generator: np.random.Generator) -> Float:
    """Points (n, 2) in [0, size), about ``spacing`` apart, that continue themselves periodically.

    Mitchell's best candidate in batches (Mitchell 1991, "Spectrally optimal sampling for distribution ray tracing").
    """
    count = int(np.prod(size) / spacing**2 * _DENSITY)
    points = generator.uniform(0, 1, (1, 2)) * size
    while len(points) < count:
        batch = max(1, min(len(points) // 10, count - len(points)))
        candidates = generator.uniform(0, 1, (batch * _CANDIDATES, 2)) * size
        distance = nearest(points, candidates, size=size)[0].reshape(_CANDIDATES, batch)
        best = candidates.reshape(_CANDIDATES, batch, 2)[distance.argmax(axis=0), np.arange(batch)]
        points = np.concatenate([points, best])
    return points


def nearest(
    points: Float, places: Float, count: int = 1, size: Float | None = None, reach: float = np.inf
) -> tuple[Float, NDArray[np.int64]]:
    """Distances and rows (n,) or (n, count) of the points (m, 2) nearest to places (n, 2).

    Args:
        points: where to look.
        places: what to look for.
        count: how many of the nearest points, nearest first.
        size: of the rectangle that both continue periodically, if they do.
        reach: farther points do not count: their distance is infinite and their row m.
    """
    distance, rows = cKDTree(points, boxsize=size).query(places, k=count, distance_upper_bound=reach)
    return np.asarray(distance, np.float64), np.asarray(rows, np.int64)
