"""Ambient occlusion: which share of the sky each vertex of a mesh sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import to_camera
from facegen.imaging.normals import vertex_normals
from facegen.imaging.rasterise import rasterise
from facegen.morphable.topology import Triangles

_DIRECTIONS = 96
_SIZE = 192


def ambient_occlusion(vertices: NDArray[np.float32], triangles: Triangles) -> NDArray[np.float32]:
    """Cosine-weighted share of unobstructed directions (V,), 0 … 1.

    Depth maps of the mesh from directions spread over the sphere tell which vertices each direction reaches.

    Args:
        vertices: (V, 3) mm.
        triangles: (T, 3).
    """
    centre = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    vertices = vertices - centre
    radius = float(np.linalg.norm(vertices, axis=1).max())
    normals = vertex_normals(vertices, triangles).astype(np.float64)
    reached = np.zeros(len(vertices))
    possible = np.full(len(vertices), 1e-6)
    intrinsics = np.array([[_SIZE / (2 * radius), 0, _SIZE / 2], [0, _SIZE / (2 * radius), _SIZE / 2], [0, 0, 1.0]])
    for direction in _sphere(_DIRECTIONS):
        camera = to_camera(vertices, _looking_along(-direction, 2 * radius))
        _, key = rasterise(camera, triangles, intrinsics, SCALED_ORTHOGRAPHIC, _SIZE, _SIZE, supersampled=True)
        # Grid position of each vertex; the farthest of the four samples around it tolerates slopes.
        pixel = camera[:, :2].astype(np.float64) * intrinsics[0, 0] + _SIZE / 2
        column, row = (pixel * 2).astype(np.int64).clip(0, 2 * _SIZE - 1).T
        farthest = camera[:, 2].max()
        around = [key[row + i, column + j] for i in (0, 1) for j in (0, 1)]
        nearest_depth = farthest + 1.0 - np.min(around, axis=0)
        cosine = normals @ direction
        facing = cosine > 0
        free = facing & (camera[:, 2] <= nearest_depth + 2.0)
        possible[facing] += cosine[facing]
        reached[free] += cosine[free]
    share: NDArray[np.float32] = (reached / possible).clip(0, 1).astype(np.float32)
    return share


def _sphere(count: int) -> NDArray[np.float64]:
    """Unit vectors (count, 3) spread evenly (Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    y = 1 - 2 * i / count
    angle = np.pi * (1 + np.sqrt(5)) * i
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.cos(angle), y, r * np.sin(angle)], axis=1)


def _looking_along(direction: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Model-to-camera matrix (4, 4) of a camera that looks along ``direction`` at the origin from a distance."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(direction, up)
    right /= np.linalg.norm(right)
    down = np.cross(direction, right)
    result = np.eye(4)
    result[:3, :3] = [right, down, direction]
    result[2, 3] = distance
    return result
