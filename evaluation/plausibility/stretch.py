"""Edges of the skin that are longer or shorter than on any clean face.

The *stretch* of an edge of length l that is r long on the mean face is √((l² + u²) / (r² + u²)), u half a millimetre:
the ratio of the lengths, but where edges are too short to be seen their ratio does not count.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

UNSEEN = 0.5
"""mm: lengths well below it do not count."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_compile
def square_stretches(vertices: NDArray[np.float32], scale: Float, edges: Ints, rest: Float) -> Float:
    """(B, E) squares of the stretch of edges (E, 2) of faces (B, V, 3) that are scaled (B,), (E,) long at rest; mm."""
    result = np.empty((vertices.shape[0], edges.shape[0]))
    for b in range(vertices.shape[0]):
        for e in range(edges.shape[0]):
            result[b, e] = _square_stretch(vertices, scale, edges, rest, b, e)
    return result


@_compile
def edges_outside(
    vertices: NDArray[np.float32], scale: Float, edges: Ints, rest: Float, low: Float, high: Float
) -> tuple[Ints, Ints, Float]:
    """How many edges are outside their range on each face, and the worst of them.

    Args:
        vertices: (B, V, 3).
        scale: (B,) by which the faces are scaled.
        edges: (E, 2).
        rest: (E,) lengths on the mean face.
        low: (E,) least squared stretch.
        high: (E,) largest squared stretch.

    Returns:
        Their number (B,); which edge (B,) is farthest outside, as a factor, and -1 where none is; the stretch (B,) of
        that edge, 1 where none is outside.
    """
    faces = vertices.shape[0]
    count, worst, stretch = np.zeros(faces, np.int64), np.full(faces, -1, np.int64), np.ones(faces)
    for b in range(faces):
        farthest = 0.0
        for e in range(edges.shape[0]):
            value = _square_stretch(vertices, scale, edges, rest, b, e)
            if low[e] <= value <= high[e]:
                continue
            count[b] += 1
            excess = value / high[e] if value > high[e] else low[e] / max(value, 1e-30)
            if excess > farthest:
                farthest, worst[b], stretch[b] = excess, e, np.sqrt(value)
    return count, worst, stretch


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _square_stretch(vertices: NDArray[np.float32], scale: Float, edges: Ints, rest: Float, b: int, e: int) -> float:
    p, q = edges[e, 0], edges[e, 1]
    x = np.float64(vertices[b, p, 0]) - np.float64(vertices[b, q, 0])
    y = np.float64(vertices[b, p, 1]) - np.float64(vertices[b, q, 1])
    z = np.float64(vertices[b, p, 2]) - np.float64(vertices[b, q, 2])
    square: float = ((x * x + y * y + z * z) * scale[b] * scale[b] + UNSEEN * UNSEEN) / (
        rest[e] * rest[e] + UNSEEN * UNSEEN
    )
    return square
