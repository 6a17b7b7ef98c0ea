"""Vertex normals."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.rows import add_normal
from facegen.morphable.topology import Triangles

Flat = NDArray[np.float32]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


def vertex_normals(vertices: NDArray[np.float32], triangles: Triangles) -> NDArray[np.float32]:
    """Unit normals (V, 3) in the frame of the vertices, weighted by triangle area; zero at vertices of no triangle.

    In a mirrored frame such as the camera's relative to a y-up world nothing changes sign: that map is a rotation.
    """
    return without_depths(normals_and_depths(vertices, triangles))


def normals_and_depths(vertices: NDArray[np.float32], triangles: Triangles) -> NDArray[np.float32]:
    """(V, 4) the normals of :func:`vertex_normals`, and z."""
    points = np.ascontiguousarray(vertices, np.float32).reshape(-1)
    result = np.zeros((len(vertices), 4), np.float32)
    _sum(points, np.ascontiguousarray(triangles).view(np.uint32).reshape(-1), result.reshape(-1))
    _scale(points, result.reshape(-1))
    return result


def without_depths(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(V, 3) the normals among (V, 4) normals and depths."""
    normals = np.empty((len(rows), 3), np.float32)
    _copy(rows.reshape(-1), normals.reshape(-1))
    return normals


@_compile
def _sum(points: Flat, triangles: NDArray[np.uint32], sums: Flat) -> None:
    """Sum the normals of the triangles at each vertex, in the triangles' order."""
    for t in range(len(triangles) // 3):
        at = np.uint64(3) * np.uint64(t)
        i, j, k = triangles[at], triangles[at + np.uint64(1)], triangles[at + np.uint64(2)]
        add_normal(points, sums, np.uint64(i), np.uint64(j), np.uint64(k))


@_compile
def _scale(points: Flat, rows: Flat) -> None:
    """Make sums unit vectors, and write z beside them."""
    one = np.float32(1.0)
    for i in range(len(rows) // 4):
        x, y, z = rows[4 * i], rows[4 * i + 1], rows[4 * i + 2]
        squared = x * x + y * y + z * z
        scale = one / np.float32(math.sqrt(squared)) if squared > np.float32(0.0) else one
        rows[4 * i], rows[4 * i + 1], rows[4 * i + 2] = x * scale, y * scale, z * scale
        rows[4 * i + 3] = points[3 * i + 2]


# Several times as fast as NumPy's copy of three columns.
@_compile
def _copy(rows: Flat, normals: Flat) -> None:
    for i in range(len(rows) // 4):
        normals[3 * i], normals[3 * i + 1], normals[3 * i + 2] = rows[4 * i], rows[4 * i + 1], rows[4 * i + 2]
