"""Which vertices of a mesh an image may show: a cheap test before what is costly per vertex."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.morphable.topology import Triangles

_SLACK = 1.0 / 128
"""Pixels: more than snapping in :mod:`facegen.imaging.rasterise` and float32 change a difference of coordinates by."""

_FAR = 8192.0
"""Pixels from the image's corner beyond which nothing is told of a triangle: it counts as seen."""

_LANES = 128
"""Triangles taken together, in rows of this constant length, which lets the compiler use vector registers."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_compile
def may_be_seen(
    vertices: NDArray[np.float32],
    triangles: Triangles,
    intrinsics: NDArray[np.float64],
    projection: int,
    height: int,
    width: int,
) -> NDArray[np.bool_]:
    """(V,) false for a vertex of no triangle that faces the camera and reaches into the image.

    True for all corners of what :func:`facegen.imaging.rasterise.rasterise` finds at any sample of the image, whatever
    is in front of it.

    Args:
        vertices: (V, 3) camera frame, mm.
        triangles: (T, 3) counter-clockwise seen from outside.
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
        height, width: of the image in pixels.
    """
    place = _project(np.ascontiguousarray(vertices).reshape(-1), intrinsics, projection == PERSPECTIVE)
    corners = np.ascontiguousarray(triangles).reshape(-1)
    total = len(corners) // 3
    seen = np.zeros(len(vertices), np.uint8)
    lanes, shown = np.zeros(6 * _LANES, np.float32), np.zeros(_LANES, np.uint8)
    for first in range(0, total, _LANES):
        number = min(_LANES, total - first)
        for n in range(number):
            at = np.uint64(3 * (first + n))
            for k in range(3):
                i = np.uint64(2) * np.uint64(corners[at + np.uint64(k)])
                lanes[2 * k * _LANES + n] = place[i]
                lanes[(2 * k + 1) * _LANES + n] = place[i + np.uint64(1)]
        _test(lanes, np.float32(height), np.float32(width), shown)
        for n in range(number):
            at = np.uint64(3 * (first + n))
            for k in range(3):
                seen[np.uint64(corners[at + np.uint64(k)])] |= shown[n]
    return seen.view(np.bool_)


@_compile
def _project(points: NDArray[np.float32], intrinsics: NDArray[np.float64], perspective: bool) -> NDArray[np.float32]:
    """Pixels (2V,) of points (3V,), infinite behind the near plane: what reaches there is left to the rasteriser."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    place = np.empty(len(points) // 3 * 2, np.float32)
    for i in range(len(points) // 3):
        z = np.float64(points[3 * i + 2])
        ahead = z >= NEAR
        scale = 1.0 / (z if ahead else NEAR) if perspective else 1.0
        x, y = fx * np.float64(points[3 * i]) * scale + cx, fy * np.float64(points[3 * i + 1]) * scale + cy
        place[2 * i], place[2 * i + 1] = np.float32(x if ahead else np.inf), np.float32(y)
    return place


@_compile
def _test(lanes: NDArray[np.float32], height: np.float32, width: np.float32, shown: NDArray[np.uint8]) -> None:
    slack = np.float32(_SLACK)
    for n in range(_LANES):
        x0, y0, x1, y1 = lanes[n], lanes[_LANES + n], lanes[2 * _LANES + n], lanes[3 * _LANES + n]
        x2, y2 = lanes[4 * _LANES + n], lanes[5 * _LANES + n]
        left, top = min(x0, min(x1, x2)), min(y0, min(y1, y2))
        right, bottom = max(x0, max(x1, x2)), max(y0, max(y1, y2))
        dx1, dy1, dx2, dy2 = x1 - x0, y1 - y0, x2 - x0, y2 - y0
        # The image's y axis points down, so what faces the camera has a negative area.
        doubt = slack * (abs(dx1) + abs(dy1) + abs(dx2) + abs(dy2) + slack)
        behind = dx1 * dy2 - dx2 * dy1 > doubt
        outside = (left > width + slack) | (top > height + slack) | (right < -slack) | (bottom < -slack)
        # Written so that what is not a number counts as seen.
        near = (right < np.float32(_FAR)) & (bottom < np.float32(_FAR))
        near = near & (left > np.float32(-_FAR)) & (top > np.float32(-_FAR))
        shown[n] = np.uint8(0 if near & (behind | outside) else 1)
