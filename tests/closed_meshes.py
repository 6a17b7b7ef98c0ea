"""What is asserted of meshes of things: closed, wound outwards, their volume; rays against them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_closed(triangles: NDArray[np.uint32]) -> bool:
    """Whether every edge is of two triangles, once in each direction."""
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]).astype(np.int64)
    forth, back = edges[:, 0] << 32 | edges[:, 1], edges[:, 1] << 32 | edges[:, 0]
    return len(np.unique(forth)) == len(forth) and bool(np.isin(forth, back).all())


def volume(vertices: NDArray[Any], triangles: NDArray[np.uint32]) -> float:
    """Positive where the triangles face outwards."""
    a, b, c = np.moveaxis((vertices.astype(np.float64) - vertices.mean(axis=0))[triangles], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def hits(origins: NDArray[Any], vertices: NDArray[Any], triangles: NDArray[Any]) -> NDArray[np.float64]:
    """(n, M) distances from origins (n, 3) along +z to triangles, infinite where they are missed."""
    corners = vertices.astype(np.float64)[triangles]
    low, high = origins[:, :2].min(axis=0), origins[:, :2].max(axis=0)
    near = (corners[..., :2].max(axis=1) >= low).all(axis=1) & (corners[..., :2].min(axis=1) <= high).all(axis=1)
    a, b, c = np.moveaxis(corners[near], 1, 0)
    p = origins[:, None].astype(np.float64)

    def side(s: NDArray[Any], t: NDArray[Any], q: NDArray[Any]) -> NDArray[Any]:
        return (t[..., 0] - s[..., 0]) * (q[..., 1] - s[..., 1]) - (t[..., 1] - s[..., 1]) * (q[..., 0] - s[..., 0])

    weights = np.stack([side(b, c, p), side(c, a, p), side(a, b, p)])
    inside = (weights >= 0).all(axis=0) | (weights <= 0).all(axis=0)
    total = weights.sum(axis=0)
    inside &= total != 0
    z = np.einsum("knm,km->nm", weights, np.stack([a, b, c])[..., 2]) / np.where(total == 0, 1.0, total)
    ahead = z - p[..., 2]
    distance = np.full((len(origins), len(triangles)), np.inf)
    distance[:, near] = np.where(inside & (ahead > 0), ahead, np.inf)
    return distance
