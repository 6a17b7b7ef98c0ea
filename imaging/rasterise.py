"""The visibility rule: which triangle is seen at each sample of an image, exactly and in any order.

Vertices are snapped to 1/256 pixel and edge functions are 64-bit integers, so a sample on a shared edge is never
missed. A sample takes the triangle that is nearest (largest depth key), and of equals the one of the smallest number:
the result does not depend on the order of triangles, threads or devices. Back faces are culled; triangles that reach
behind the near plane are clipped.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR

SUBPIXELS = 256
"""Steps per pixel of the grid to which vertices are snapped."""

# Beyond this many pixels a snapped coordinate is clamped; edge functions then stay below 2^62.
_FARTHEST = float(1 << 21)

_compile = numba.njit(cache=True, nogil=True, boundscheck=False)


def rasterise(
    camera_vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    intrinsics: NDArray[np.float64],
    projection: int,
    height: int,
    width: int,
    supersampled: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Triangle and depth key at every sample.

    Args:
        camera_vertices: (V, 3) camera frame, mm.
        triangles: (T, 3) counter-clockwise seen from outside.
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
        height, width: of the image in pixels.
        supersampled: ``False`` gives one sample at each pixel's centre: (height, width). ``True`` gives samples every
            half pixel from the image's corner to its opposite corner: (2 height + 1, 2 width + 1), of which
            ``[1::2, 1::2]`` are the pixel centres.

    Returns:
        triangle (int32, -1 for none) and depth key (float32, larger is nearer, 0 for none).
    """
    rows, columns = (2 * height + 1, 2 * width + 1) if supersampled else (height, width)
    triangle = np.empty((rows, columns), np.int32)
    key = np.empty((rows, columns), np.float32)
    scratch = RasterScratch(len(camera_vertices))
    fill_visibility(
        camera_vertices, triangles, intrinsics, projection, supersampled, scratch.screen, scratch.key, triangle, key
    )
    return triangle, key


class RasterScratch:
    """Arrays that a rasteriser reuses from frame to frame: snapped positions and depth keys of V vertices."""

    def __init__(self, vertex_count: int) -> None:
        self.screen = np.empty((vertex_count, 2), np.int64)
        self.key = np.empty(vertex_count, np.float32)


@_compile
def fill_visibility(
    camera_vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    intrinsics: NDArray[np.float64],
    projection: int,
    supersampled: bool,
    screen: NDArray[np.int64],
    key: NDArray[np.float32],
    out_triangle: NDArray[np.int32],
    out_key: NDArray[np.float32],
) -> None:
    """The kernel behind :func:`rasterise`; ``screen`` and ``key`` are scratch of V rows."""
    out_triangle[:] = -1
    out_key[:] = np.float32(0.0)
    # Samples sit at first + i * 2^shift in 1/256 pixel.
    if supersampled:
        first, shift = 0, 7
    else:
        first, shift = 128, 8
    farthest = np.float32(0.0)
    for i in range(camera_vertices.shape[0]):
        farthest = max(farthest, camera_vertices[i, 2])
    any_near = _snap(camera_vertices, intrinsics, projection, farthest, screen, key)
    rows, columns = out_triangle.shape
    x_limit = first + ((columns - 1) << shift)
    y_limit = first + ((rows - 1) << shift)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if any_near and (camera_vertices[a, 2] < NEAR or camera_vertices[b, 2] < NEAR or camera_vertices[c, 2] < NEAR):
            _fill_clipped(
                camera_vertices, a, b, c, t, intrinsics, projection, farthest, first, shift, out_triangle, out_key
            )
            continue
        x0, y0 = screen[a, 0], screen[a, 1]
        x1, y1 = screen[b, 0], screen[b, 1]
        x2, y2 = screen[c, 0], screen[c, 1]
        # The image's y axis points down, so a counter-clockwise triangle has a negative area: b and c change places.
        area = (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0)
        if area <= 0:
            continue
        left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
        top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
        if right < first or left > x_limit or bottom < first or top > y_limit:
            continue
        _fill(
            x0, y0, key[a], x2, y2, key[c], x1, y1, key[b], area, left, right, top, bottom,
            t, first, shift, out_triangle, out_key,
        )  # fmt: skip


@_compile
def _snap(
    camera_vertices: NDArray[np.float32],
    intrinsics: NDArray[np.float64],
    projection: int,
    farthest: np.float32,
    screen: NDArray[np.int64],
    key: NDArray[np.float32],
) -> bool:
    """Snapped pixel positions and depth keys; whether any vertex is behind the near plane."""
    any_near = False
    for i in range(camera_vertices.shape[0]):
        z = camera_vertices[i, 2]
        if z < NEAR:
            any_near = True
            continue
        x, y, k = _snap_point(
            np.float64(camera_vertices[i, 0]), np.float64(camera_vertices[i, 1]), np.float64(z),
            intrinsics, projection, farthest,
        )  # fmt: skip
        screen[i, 0] = x
        screen[i, 1] = y
        key[i] = k
    return any_near


@_compile
def _snap_point(
    x: float, y: float, z: float, intrinsics: NDArray[np.float64], projection: int, farthest: np.float32
) -> tuple[int, int, np.float32]:
    # The key is linear on the screen: 1/z under perspective, -z (made positive) otherwise.
    if projection == PERSPECTIVE:
        scale = 1.0 / z
        k = np.float32(scale)
    else:
        scale = 1.0
        k = np.float32(farthest - z + 1.0)
    px = intrinsics[0, 0] * x * scale + intrinsics[0, 2]
    py = intrinsics[1, 1] * y * scale + intrinsics[1, 2]
    px = min(max(px, -_FARTHEST), _FARTHEST)
    py = min(max(py, -_FARTHEST), _FARTHEST)
    return np.int64(math.floor(px * SUBPIXELS + 0.5)), np.int64(math.floor(py * SUBPIXELS + 0.5)), k


@_compile
def _fill(
    x0: int, y0: int, k0: np.float32, x1: int, y1: int, k1: np.float32, x2: int, y2: int, k2: np.float32,
    area: int, left: int, right: int, top: int, bottom: int,
    t: int, first: int, shift: int, out_triangle: NDArray[np.int32], out_key: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill one triangle of positive area in screen coordinates (y down)."""
    rows, columns = out_triangle.shape
    step = 1 << shift
    c0 = max((left - first + step - 1) >> shift, 0)
    c1 = min((right - first) >> shift, columns - 1)
    r0 = max((top - first + step - 1) >> shift, 0)
    r1 = min((bottom - first) >> shift, rows - 1)
    if c1 < c0 or r1 < r0:
        return
    inverse = np.float32(1.0) / np.float32(area)
    slope1 = (k1 - k0) * inverse
    slope2 = (k2 - k0) * inverse
    px, py = first + (c0 << shift), first + (r0 << shift)
    # e0, e1, e2 are twice the areas opposite corners 0, 1, 2: all ≥ 0 inside, edges included.
    e0_row = (px - x1) * (y1 - y2) + (py - y1) * (x2 - x1)
    e1_row = (px - x2) * (y2 - y0) + (py - y2) * (x0 - x2)
    e2_row = (px - x0) * (y0 - y1) + (py - y0) * (x1 - x0)
    e0_right, e1_right, e2_right = (y1 - y2) << shift, (y2 - y0) << shift, (y0 - y1) << shift
    e0_down, e1_down, e2_down = (x2 - x1) << shift, (x0 - x2) << shift, (x1 - x0) << shift
    for r in range(r0, r1 + 1):
        e0, e1, e2 = e0_row, e1_row, e2_row
        for c in range(c0, c1 + 1):
            if (e0 | e1 | e2) >= 0:
                k = k0 + slope1 * np.float32(e1) + slope2 * np.float32(e2)
                if k > out_key[r, c]:
                    # Triangles come in ascending order, so "greater" leaves ties to the smaller number.
                    out_key[r, c] = k
                    out_triangle[r, c] = t
            e0 += e0_right
            e1 += e1_right
            e2 += e2_right
        e0_row += e0_down
        e1_row += e1_down
        e2_row += e2_down


@_compile
def _fill_clipped(
    camera_vertices: NDArray[np.float32], a: int, b: int, c: int, t: int,
    intrinsics: NDArray[np.float64], projection: int, farthest: np.float32, first: int, shift: int,
    out_triangle: NDArray[np.int32], out_key: NDArray[np.float32],
) -> None:  # fmt: skip
    """Clip a triangle at the near plane (Sutherland-Hodgman) and fill the fan of what is left."""
    polygon = np.empty((4, 3), np.float64)
    count = 0
    corners = (a, b, c)
    for i in range(3):
        p, q = corners[i], corners[(i + 1) % 3]
        pz, qz = np.float64(camera_vertices[p, 2]), np.float64(camera_vertices[q, 2])
        if pz >= NEAR:
            for k in range(3):
                polygon[count, k] = camera_vertices[p, k]
            count += 1
        if (pz >= NEAR) != (qz >= NEAR):
            s = (NEAR - pz) / (qz - pz)
            for k in range(3):
                u, v = np.float64(camera_vertices[p, k]), np.float64(camera_vertices[q, k])
                polygon[count, k] = u + s * (v - u)
            polygon[count, 2] = NEAR
            count += 1
    if count < 3:
        return
    x0, y0, k0 = _snap_point(polygon[0, 0], polygon[0, 1], polygon[0, 2], intrinsics, projection, farthest)
    for i in range(1, count - 1):
        x1, y1, k1 = _snap_point(polygon[i, 0], polygon[i, 1], polygon[i, 2], intrinsics, projection, farthest)
        j = i + 1
        x2, y2, k2 = _snap_point(polygon[j, 0], polygon[j, 1], polygon[j, 2], intrinsics, projection, farthest)
        area = (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0)
        if area > 0:
            left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
            top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
            _fill(
                x0, y0, k0, x2, y2, k2, x1, y1, k1, area, left, right, top, bottom,
                t, first, shift, out_triangle, out_key,
            )  # fmt: skip
