"""Landmarks of a rendered face: where they project and whether they are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR, project
from facegen.imaging.visibility import UNIT


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of one face."""

    points_2d: NDArray[np.float32]
    """(L, 2) pixels: the projection of the vertex, seen or not."""
    points_3d: NDArray[np.float32]
    """(L, 3) camera frame, mm."""
    visible: NDArray[np.bool_]
    """(L,)."""


def project_landmarks(
    landmarks: NDArray[np.int32],
    camera_vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    intrinsics: NDArray[np.float64],
    projection: int,
) -> Landmarks:
    """Project landmark vertices and test them against the visibility buffer.

    A landmark is visible when its pixel, or one of the eight around it, shows a surface at the landmark's own depth:
    within two pixels' worth of the surface plus 1 mm. The neighbourhood lets a landmark on a silhouette count, whose
    own pixel centre may lie just outside.

    Args:
        landmarks: (L,) vertex indices.
        camera_vertices: (V, 3) camera frame, mm.
        triangles: (T, 3).
        triangle_id: (H, W).
        barycentric: (H, W, 2).
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
    """
    height, width = triangle_id.shape
    points = camera_vertices[landmarks]
    pixels = project(points, intrinsics, projection)
    z = points[:, 2].astype(np.float64)
    in_front = (z >= NEAR) & np.isfinite(pixels).all(axis=1)
    inside = in_front & (pixels >= 0).all(axis=1) & (pixels < (width, height)).all(axis=1)
    column, row = np.where(inside[:, None], pixels, 0.0).astype(np.int64).T
    offsets = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    rows = row[:, None] + offsets[:, 0]
    columns = column[:, None] + offsets[:, 1]
    in_image = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    seen = triangle_id[rows, columns]
    corner_depth = camera_vertices[triangles[seen], 2].astype(np.float64)
    w1, w2 = np.moveaxis(barycentric[rows, columns].astype(np.float64) / UNIT, -1, 0)
    depth = corner_depth[..., 0] * (1 - w1 - w2) + corner_depth[..., 1] * w1 + corner_depth[..., 2] * w2
    millimetres_per_pixel = (z if projection == PERSPECTIVE else 1.0) / intrinsics[0, 0]
    tolerance = np.broadcast_to(1.0 + 2.0 * millimetres_per_pixel, z.shape)
    near_surface = in_image & (seen >= 0) & (np.abs(depth - z[:, None]) <= tolerance[:, None])
    return Landmarks(pixels.astype(np.float32), points.copy(), inside & near_surface.any(axis=1))
