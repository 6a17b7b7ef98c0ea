"""Landmarks of a rendered face: where they project and whether they are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Triangles


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
    mesh: CameraMesh,
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
        mesh: the face in the camera frame.
        triangle_id: (H, W).
        barycentric: (H, W, 2).
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
    """
    return project_points(mesh.vertices[landmarks], mesh, triangle_id, barycentric, intrinsics, projection)


def project_points(
    points: NDArray[np.float32],
    mesh: CameraMesh,
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    intrinsics: NDArray[np.float64],
    projection: int,
    *,
    only: NDArray[np.int64] | None = None,
    regions: NDArray[np.uint8] | None = None,
    reach: int = 1,
) -> Landmarks:
    """As :func:`project_landmarks`, of any points of the surface.

    Args:
        points: (L, 3) camera frame, mm.
        mesh, triangle_id, barycentric, intrinsics, projection: as there.
        only: (L,) the region that has to be seen at a point for it to be visible, -1 for any.
        regions: (T,) region of the triangles; needed with ``only``.
        reach: how many pixels around a point's own may show it.
    """
    if only is None or regions is None:
        only, regions = np.full(len(points), -1), np.zeros(0, np.uint8)
    points = np.ascontiguousarray(points)
    pixels, visible = _project_and_see(
        points, only, mesh.vertices, mesh.triangles, regions, triangle_id, barycentric, intrinsics,
        projection == PERSPECTIVE, reach,
    )  # fmt: skip
    return Landmarks(pixels, points, visible)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _project_and_see(
    points: NDArray[np.float32],
    only: NDArray[np.int64],
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
    regions: NDArray[np.uint8],
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    intrinsics: NDArray[np.float64],
    perspective: bool,
    reach: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    height, width = triangle_id.shape
    pixels = np.empty((len(points), 2), np.float32)
    visible = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        z = np.float64(points[i, 2])
        scale = 1.0 / z if perspective else 1.0
        x = intrinsics[0, 0] * np.float64(points[i, 0]) * scale + intrinsics[0, 2]
        y = intrinsics[1, 1] * np.float64(points[i, 1]) * scale + intrinsics[1, 2]
        pixels[i, 0], pixels[i, 1] = x, y
        # Written so that a coordinate that is not a number is outside.
        if not (z >= NEAR and 0 <= x < width and 0 <= y < height):
            continue
        tolerance = 1.0 + 2.0 * (z if perspective else 1.0) / intrinsics[0, 0]
        row, column = int(y), int(x)
        for r in range(max(row - reach, 0), min(row + reach + 1, height)):
            for c in range(max(column - reach, 0), min(column + reach + 1, width)):
                t = triangle_id[r, c]
                if t >= 0 and (only[i] < 0 or regions[t] == only[i]):
                    w1, w2 = barycentric[r, c, 0] / UNIT, barycentric[r, c, 1] / UNIT
                    z0 = np.float64(camera_vertices[triangles[t, 0], 2])
                    z1 = np.float64(camera_vertices[triangles[t, 1], 2])
                    z2 = np.float64(camera_vertices[triangles[t, 2], 2])
                    if abs(z0 + w1 * (z1 - z0) + w2 * (z2 - z0) - z) <= tolerance:
                        visible[i] = True
    return pixels, visible
