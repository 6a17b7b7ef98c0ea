"""Points and polygons in a chart: which are inside, and how far from the border."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def contains(polygon: Float, points: Float) -> NDArray[np.bool_]:
    """Whether points (n, 2) are inside a closed polygon (k, 2), by the parity of crossings."""
    x, y = points.T
    inside = np.zeros(len(points), np.bool_)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def distance(line: Float, points: Float) -> Float:
    """Distance of points (n, 2) to a polyline (k, 2)."""
    nearest = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        along = b - a
        share = ((points - a) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - a - share[:, None] * along, axis=1))
    return nearest


def signed_distance(polygon: Float, points: Float) -> Float:
    """Distance of points (n, 2) to a closed polygon's border, positive inside."""
    edge = distance(np.concatenate([polygon, polygon[:1]]), points)
    return np.where(contains(polygon, points), edge, -edge)
