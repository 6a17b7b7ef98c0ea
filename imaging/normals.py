"""Vertex normals."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.morphable.topology import Triangles


@numba.njit(cache=True, nogil=True, boundscheck=False)
def vertex_normals(vertices: NDArray[np.float32], triangles: Triangles) -> NDArray[np.float32]:
    """Unit normals (V, 3) in the frame of the vertices, weighted by triangle area; zero at vertices of no triangle.

    In a mirrored frame such as the camera's relative to a y-up world nothing changes sign: that map is a rotation.
    """
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for i in range(normals.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        length = math.sqrt(x * x + y * y + z * z)
        if length > np.float32(0.0):
            scale = np.float32(1.0) / np.float32(length)
            normals[i, 0] = x * scale
            normals[i, 1] = y * scale
            normals[i, 2] = z * scale
    return normals
