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
from facegen.morphable.topology import Triangles

SUBPIXELS = 256
"""Steps per pixel of the grid to which vertices are snapped."""

# Beyond this many pixels a snapped coordinate is clamped; edge functions then stay below 2^62.
_FARTHEST = float(1 << 21)

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


def rasterise(
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
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
    rasteriser = Rasteriser(triangles, len(camera_vertices), height, width)
    rasteriser.load(camera_vertices, intrinsics, projection)
    rows, columns = (2 * height + 1, 2 * width + 1) if supersampled else (height, width)
    triangle = np.empty((rows, columns), np.int32)
    key = np.empty((rows, columns), np.float32)
    rasteriser.fill(triangle, key, supersampled=supersampled)
    return triangle, key


class Rasteriser:
    """Rasterises frame after frame of one topology at one image size; owns the arrays that this takes."""

    def __init__(self, triangles: Triangles, vertex_count: int, height: int, width: int) -> None:
        self._triangles = triangles
        self._height, self._width = height, width
        # Pixel positions in 1/256 pixel and depth keys of the vertices.
        self._screen = np.empty((vertex_count, 2), np.int32)
        self._key = np.empty(vertex_count, np.float32)
        # Triangles that may be seen, and of each the first row, the row after the last, and the columns likewise of the
        # pixels that its bounding box touches.
        self._front = np.empty(len(triangles) + 1, np.int32)
        self._box = np.empty((len(triangles) + 1, 4), np.int16)
        self._sums = np.empty((height + 1, width + 1), np.int32)

    def load(self, camera_vertices: NDArray[np.float32], intrinsics: NDArray[np.float64], projection: int) -> None:
        """Take a frame's vertices (V, 3), camera frame, and its camera; select what may be seen."""
        self._camera_vertices, self._intrinsics, self._projection = camera_vertices, intrinsics, projection
        self._count, self._near, self._farthest = _select_front(
            camera_vertices, self._triangles, intrinsics, projection, self._height, self._width,
            self._screen, self._key, self._front, self._box,
        )  # fmt: skip

    def fill(self, triangle: NDArray[np.int32], key: NDArray[np.float32], *, supersampled: bool) -> None:
        """Write triangle and depth key at every sample (see :func:`rasterise`)."""
        _fill_visibility(
            self._camera_vertices, self._triangles, self._intrinsics, self._projection, supersampled,
            self._screen, self._key, self._front, self._count, self._near, self._farthest, triangle, key,
        )  # fmt: skip

    def fill_near_edges(self, edge: NDArray[np.uint8], triangle: NDArray[np.int32], key: NDArray[np.float32]) -> None:
        """As a supersampled :meth:`fill`, but right only for the nine samples of each marked pixel.

        Args:
            edge: (H, W) 1 for the marked pixels, 0 for the others.
            triangle: (2H + 1, 2W + 1), and ``key`` likewise.
        """
        _fill_near_edges(
            self._camera_vertices, self._triangles, self._intrinsics, self._projection,
            self._screen, self._key, self._front, self._count, self._near, self._farthest,
            self._box, edge, self._sums, triangle, key,
        )  # fmt: skip


@_compile
def _select_front(
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
    intrinsics: NDArray[np.float64],
    projection: int,
    height: int,
    width: int,
    screen: NDArray[np.int32],
    key: NDArray[np.float32],
    front: NDArray[np.int32],
    box: NDArray[np.int16],
) -> tuple[int, int, float]:
    """Snap the vertices into ``screen`` and ``key`` and list in ``front`` the triangles that can be seen.

    Those are the front faces whose bounding box holds a sample of the half-pixel grid, ascending; ``box`` tells where
    they are (see :class:`Rasteriser`).

    Returns:
        The number of them; the number of triangles that reach behind the near plane, which follow from the list's end
        backwards; the largest depth in mm.
    """
    farthest = 0.0
    for i in range(camera_vertices.shape[0]):
        farthest = max(farthest, np.float64(camera_vertices[i, 2]))
    any_near = _snap(camera_vertices, intrinsics, projection, farthest, screen, key)
    count, near = 0, 0
    x_limit, y_limit = width << 8, height << 8
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if any_near and (camera_vertices[a, 2] < NEAR or camera_vertices[b, 2] < NEAR or camera_vertices[c, 2] < NEAR):
            near += 1
            front[front.shape[0] - near] = t
            continue
        x0, y0 = screen[a, 0], screen[a, 1]
        x1, y1 = screen[b, 0], screen[b, 1]
        x2, y2 = screen[c, 0], screen[c, 1]
        # The image's y axis points down, so a counter-clockwise triangle has a negative area.
        if np.int64(x2 - x0) * np.int64(y1 - y0) <= np.int64(x1 - x0) * np.int64(y2 - y0):
            continue
        left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
        top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
        if ((left + 127) >> 7) > (right >> 7) or ((top + 127) >> 7) > (bottom >> 7):
            continue
        if right < 0 or bottom < 0 or left > x_limit or top > y_limit:
            continue
        front[count] = t
        # A sample on the border between two pixels belongs to both.
        box[count, 0], box[count, 1] = max((top - 1) >> 8, 0), min(bottom >> 8, height - 1) + 1
        box[count, 2], box[count, 3] = max((left - 1) >> 8, 0), min(right >> 8, width - 1) + 1
        count += 1
    return count, near, farthest


@_compile
def _fill_visibility(
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
    intrinsics: NDArray[np.float64],
    projection: int,
    supersampled: bool,
    screen: NDArray[np.int32],
    key: NDArray[np.float32],
    front: NDArray[np.int32],
    count: int,
    near: int,
    farthest: float,
    out_triangle: NDArray[np.int32],
    out_key: NDArray[np.float32],
) -> None:
    """Triangle and depth key at every sample, from the lists of :func:`_select_front`."""
    out_triangle[:] = -1
    out_key[:] = np.float32(0.0)
    # Samples sit at first + i * 2^shift in 1/256 pixel.
    first, shift = (0, 7) if supersampled else (128, 8)
    for n in range(count):
        _fill_listed(triangles, front[n], screen, key, first, shift, out_triangle, out_key)
    for n in range(near):
        t = front[front.shape[0] - 1 - n]
        _fill_clipped(
            camera_vertices, triangles, t, intrinsics, projection, farthest, first, shift, out_triangle, out_key
        )


@_compile
def _fill_near_edges(
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
    intrinsics: NDArray[np.float64],
    projection: int,
    screen: NDArray[np.int32],
    key: NDArray[np.float32],
    front: NDArray[np.int32],
    count: int,
    near: int,
    farthest: float,
    box: NDArray[np.int16],
    edge: NDArray[np.uint8],
    sums: NDArray[np.int32],
    out_triangle: NDArray[np.int32],
    out_key: NDArray[np.float32],
) -> None:
    """The kernel behind :meth:`Rasteriser.fill_near_edges`; ``sums`` (H + 1, W + 1) is scratch."""
    out_triangle[:] = -1
    out_key[:] = np.float32(0.0)
    _sum_area(edge, sums)
    for n in range(count):
        r0, r1, c0, c1 = box[n, 0], box[n, 1], box[n, 2], box[n, 3]
        if sums[r1, c1] - sums[r0, c1] - sums[r1, c0] + sums[r0, c0] > 0:
            _fill_listed(triangles, front[n], screen, key, 0, 7, out_triangle, out_key)
    for n in range(near):
        t = front[front.shape[0] - 1 - n]
        _fill_clipped(camera_vertices, triangles, t, intrinsics, projection, farthest, 0, 7, out_triangle, out_key)


@_compile
def _sum_area(values: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
    """Summed-area table (H + 1, W + 1): ``out[r, c]`` is the sum of ``values[:r, :c]`` (Crow 1984)."""
    out[0] = 0
    for r in range(values.shape[0]):
        row = np.int32(0)
        out[r + 1, 0] = 0
        for c in range(values.shape[1]):
            row += values[r, c]
            out[r + 1, c + 1] = out[r, c + 1] + row


@_inline
def _fill_listed(
    triangles: Triangles,
    t: int,
    screen: NDArray[np.int32],
    key: NDArray[np.float32],
    first: int,
    shift: int,
    out_triangle: NDArray[np.int32],
    out_key: NDArray[np.float32],
) -> None:
    # b and c change places, so that the area is positive where y points down.
    a, b, c = triangles[t, 0], triangles[t, 2], triangles[t, 1]
    _fill(
        int(screen[a, 0]), int(screen[a, 1]), key[a],
        int(screen[b, 0]), int(screen[b, 1]), key[b],
        int(screen[c, 0]), int(screen[c, 1]), key[c],
        t, first, shift, out_triangle, out_key,
    )  # fmt: skip


@_compile
def _snap(
    camera_vertices: NDArray[np.float32],
    intrinsics: NDArray[np.float64],
    projection: int,
    farthest: float,
    screen: NDArray[np.int32],
    key: NDArray[np.float32],
) -> bool:
    """Snapped pixel positions and depth keys; whether any vertex is behind the near plane."""
    any_near = False
    for i in range(camera_vertices.shape[0]):
        z = camera_vertices[i, 2]
        # Behind the near plane lie also coordinates that are not numbers.
        if not z >= NEAR:
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


@_inline
def _snap_point(
    x: float, y: float, z: float, intrinsics: NDArray[np.float64], projection: int, farthest: float
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
    return math.floor(px * SUBPIXELS + 0.5), math.floor(py * SUBPIXELS + 0.5), k


@_inline
def _fill(
    x0: int, y0: int, k0: np.float32, x1: int, y1: int, k1: np.float32, x2: int, y2: int, k2: np.float32,
    t: int, first: int, shift: int, out_triangle: NDArray[np.int32], out_key: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill one triangle of positive area in screen coordinates (y down)."""
    rows, columns = out_triangle.shape
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
    top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
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
                if k > out_key[r, c] or (k == out_key[r, c] and t < out_triangle[r, c]):
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
    camera_vertices: NDArray[np.float32], triangles: Triangles, t: int,
    intrinsics: NDArray[np.float64], projection: int, farthest: float, first: int, shift: int,
    out_triangle: NDArray[np.int32], out_key: NDArray[np.float32],
) -> None:  # fmt: skip
    """Clip a triangle at the near plane (Sutherland-Hodgman) and fill the fan of what is left."""
    polygon = np.empty((4, 3), np.float64)
    count = 0
    for i in range(3):
        p, q = triangles[t, i], triangles[t, (i + 1) % 3]
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
        if (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0) > 0:
            _fill(x0, y0, k0, x2, y2, k2, x1, y1, k1, t, first, shift, out_triangle, out_key)
