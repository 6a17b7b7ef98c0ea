"""What is seen of a face from some direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import extrinsic_matrices, head_rotation, project, to_camera
from facegen.imaging.rasterise import rasterise
from facegen.morphable.model import MorphableModel

SIZE = 640
"""Pixels on a side of the picture; a pixel is 0.41 mm at the head."""

_DISTANCE, _SPAN = 1100.0, 260.0


def look_at(
    model: MorphableModel, vertices: NDArray[np.float32], yaw: float = 0.0, pitch: float = 0.0
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """A face (V, 3) whose head is turned by degrees of yaw and pitch.

    Returns:
        The triangle at each pixel (SIZE, SIZE), -1 for none, and where the vertices are (V, 2), pixels.
    """
    rotation = head_rotation(np.radians([yaw]), np.radians([pitch]), np.zeros(1))
    pivot = model.pivot.astype(np.float64)
    extrinsics = extrinsic_matrices(rotation, np.zeros((1, 3)), pivot, np.array([_DISTANCE]))[0]
    focal = SIZE * _DISTANCE / _SPAN
    intrinsics = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1.0]])
    camera = to_camera(vertices, extrinsics)
    triangle, _ = rasterise(camera, model.topology.triangles, intrinsics, PERSPECTIVE, SIZE, SIZE)
    return triangle, project(camera, intrinsics, PERSPECTIVE)


def regions_seen(model: MorphableModel, triangle: NDArray[np.int32]) -> dict[str, int]:
    """Pixels of each region that is seen at all."""
    numbers, counts = np.unique(model.topology.triangle_region[triangle[triangle >= 0]], return_counts=True)
    return {model.topology.region_names[number]: int(count) for number, count in zip(numbers, counts, strict=True)}
