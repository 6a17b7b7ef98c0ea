"""Maps in texture space: what the vertices of a mesh have, drawn where the texture coordinates put them.

A map is square, row 0 is the top (v = 1), texel centres are at +0.5. Beyond the charts' borders a map goes on for
:data:`PADDING` texels, linearly as on the nearest triangle, so that interpolation at a seam mixes nothing in.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import SCALED_ORTHOGRAPHIC
from facegen.imaging.rasterise import rasterise
from facegen.morphable.topology import Topology

Float = NDArray[np.float32]
V = TypeVar("V", bound=np.generic)

PADDING = 4
"""Texels."""

_FARTHEST = 3.0
"""Largest weight of a corner in the padding."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


class Atlas:
    """Where in the texture each triangle of a mesh lies, at one size of maps.

    Args:
        topology: of the mesh.
        size: texels a side, S.
    """

    def __init__(self, topology: Topology, size: int) -> None:
        self.size = size
        place = np.stack([topology.uv[:, 0], 1 - topology.uv[:, 1]], axis=1).astype(np.float64) * size
        self.triangle = _drawn(topology, place, size)
        """(S, S) int32 triangle at the texel's centre, or of a nearest one in the padding; -1 elsewhere."""
        self.mask = self.triangle >= 0
        """(S, S) bool: texels whose centre is on a triangle; what is padded is not."""
        _pad(self.triangle, PADDING)
        self.weights = np.zeros((size, size, 2), np.float32)
        """(S, S, 2) of the triangle's second and third corner; beyond 0 … 1 in the padding."""
        _weigh(self.triangle, topology.uv_triangles.view(np.uint32), place, self.weights)
        self._triangles = topology.triangles.view(np.uint32)

    def interpolate(self, values: Float) -> Float:
        """A map (S, S, C) of values (V, C) at the vertices; zero beyond the padding."""
        result = np.zeros((self.size, self.size, values.shape[1]), np.float32)
        _interpolate(self.triangle, self.weights, self._triangles, np.ascontiguousarray(values), result)
        return result

    def spread(self, values: Float) -> Float:
        """As :meth:`interpolate`, but that the padding goes on with the nearest value: for colours and directions."""
        result = np.zeros((self.size, self.size, values.shape[1]), np.float32)
        _interpolate(self.triangle, self._inner_weights, self._triangles, np.ascontiguousarray(values), result)
        return result

    @cached_property
    def _inner_weights(self) -> Float:
        inner = self.weights.clip(0, 1)
        inner /= np.maximum(inner.sum(axis=2, keepdims=True), 1)
        return inner

    def select(self, values: NDArray[V]) -> NDArray[V]:
        """A map (S, S) of values (T,) of the triangles; zero beyond the padding."""
        result: NDArray[V] = np.where(self.triangle >= 0, values[self.triangle], values.dtype.type(0))
        return result


def _drawn(topology: Topology, place: NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """(S, S) triangle at the texel's centres, by the rule of images: a texel between two charts is of one."""
    flat = np.column_stack([place, np.full(len(place), 100.0)]).astype(np.float32)
    corner = place[topology.uv_triangles]
    one, other = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    # Charts of the mesh's inside are mirrored: their second and third corner change places while they are drawn.
    mirrored = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0] > 0
    drawn = np.where(mirrored[:, None], topology.uv_triangles[:, [0, 2, 1]], topology.uv_triangles)
    triangle, _ = rasterise(
        flat, np.ascontiguousarray(drawn).view(np.uint32), np.eye(3), SCALED_ORTHOGRAPHIC, size, size
    )
    return triangle


@_compile
def _pad(triangle: NDArray[np.int32], width: int) -> None:
    """Let the empty texels within ``width`` of a drawn one have what the nearest has; ties go to the first."""
    size = triangle.shape[0]
    drawn = triangle >= 0
    for r in range(size):
        for c in range(size):
            if drawn[r, c]:
                continue
            nearest = width * width + 1
            for y in range(max(r - width, 0), min(r + width + 1, size)):
                for x in range(max(c - width, 0), min(c + width + 1, size)):
                    distance = (y - r) * (y - r) + (x - c) * (x - c)
                    if drawn[y, x] and distance < nearest:
                        nearest = distance
                        triangle[r, c] = triangle[y, x]


@_compile
def _weigh(
    triangle: NDArray[np.int32], uv_triangles: NDArray[np.uint32], place: NDArray[np.float64], weights: Float
) -> None:
    """Write the weights at the centres of texels that have a triangle.

    Args:
        triangle: (S, S).
        uv_triangles: (T, 3) rows of ``place``.
        place: (U, 2) texture coordinates in texels, y down.
        weights: (S, S, 2) the result.
    """
    for r in range(triangle.shape[0]):
        for c in range(triangle.shape[1]):
            t = triangle[r, c]
            if t < 0:
                continue
            i, j, k = uv_triangles[t, 0], uv_triangles[t, 1], uv_triangles[t, 2]
            x0, y0 = place[i, 0], place[i, 1]
            x1, y1 = place[j, 0] - x0, place[j, 1] - y0
            x2, y2 = place[k, 0] - x0, place[k, 1] - y0
            x, y = c + 0.5 - x0, r + 0.5 - y0
            area = x1 * y2 - x2 * y1
            # Slivers are not followed far beyond their corners.
            weights[r, c, 0] = min(max((x * y2 - x2 * y) / area, -_FARTHEST), _FARTHEST)
            weights[r, c, 1] = min(max((x1 * y - x * y1) / area, -_FARTHEST), _FARTHEST)


@_compile
def _interpolate(
    triangle: NDArray[np.int32], weights: Float, triangles: NDArray[np.uint32], values: Float, out: Float
) -> None:
    for r in range(triangle.shape[0]):
        for c in range(triangle.shape[1]):
            t = triangle[r, c]
            if t >= 0:
                w1, w2 = weights[r, c, 0], weights[r, c, 1]
                a, b, d = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                for k in range(values.shape[1]):
                    first = values[a, k]
                    out[r, c, k] = first + w1 * (values[b, k] - first) + w2 * (values[d, k] - first)
