"""Triangles of any size, one at a time, and those that the near plane cuts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.imaging.rasterise_samples import (
    Floats,
    Grid,
    Indices,
    Int,
    Ints,
    Wide,
    compiled,
    inline,
    packed,
    vertices_of,
)
from facegen.imaging.rasterise_snapping import scale_and_key, snapped

Near = tuple[Floats, Indices, NDArray[np.float64], int, float, Ints]
"""Points (3V,), triangles (3T,), intrinsics, projection, largest depth, and what reaches behind the near plane."""


@inline
def fill_triangle(
    x0: Int, y0: Int, k0: np.float32, x1: Int, y1: Int, k1: np.float32, x2: Int, y2: Int, k2: np.float32,
    t: Int, grid: Grid, seen: Wide,
) -> None:  # fmt: skip
    """Fill one triangle of any size and of positive area in screen coordinates (y down)."""
    first, shift, rows, columns = grid
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
                at = np.uint64(r * columns + c)
                seen[at] = max(seen[at], packed(k, t))
            e0 += e0_right
            e1 += e1_right
            e2 += e2_right
        e0_row += e0_down
        e1_row += e1_down
        e2_row += e2_down


@inline
def reaches_behind(points: Floats, triangles: Indices, t: int) -> bool:
    """Whether a corner of triangle t is behind the near plane."""
    a, b, c = vertices_of(triangles, np.uint64(t))
    za, zb, zc = points[3 * np.int64(a) + 2], points[3 * np.int64(b) + 2], points[3 * np.int64(c) + 2]
    return bool(za < NEAR or zb < NEAR or zc < NEAR)


@compiled
def fill_near(near: Near, grid: Grid, seen: Wide) -> None:
    """Clip triangles that reach behind the near plane and fill the fans that are left of them."""
    points, triangles, intrinsics, projection, farthest, listed = near
    if len(listed) == 0:
        return
    polygon = np.empty((4, 3), np.float64)
    for t in listed:
        corners = _clip(points, triangles, t, polygon)
        if corners < 3:
            continue
        x0, y0, k0 = _snap_corner(polygon, 0, intrinsics, projection, farthest)
        for i in range(1, corners - 1):
            x1, y1, k1 = _snap_corner(polygon, i, intrinsics, projection, farthest)
            x2, y2, k2 = _snap_corner(polygon, i + 1, intrinsics, projection, farthest)
            if (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0) > 0:
                fill_triangle(x0, y0, k0, x2, y2, k2, x1, y1, k1, t, grid, seen)


@inline
def _snap_corner(
    polygon: NDArray[np.float64], row: int, intrinsics: NDArray[np.float64], projection: int, farthest: float
) -> tuple[Int, Int, np.float32]:
    scale, k = scale_and_key(polygon[row, 2], projection == PERSPECTIVE, farthest)
    x = snapped(intrinsics[0, 0] * polygon[row, 0] * scale + intrinsics[0, 2])
    y = snapped(intrinsics[1, 1] * polygon[row, 1] * scale + intrinsics[1, 2])
    return np.int64(x), np.int64(y), k


@inline
def _clip(points: Floats, triangles: Indices, t: int, polygon: NDArray[np.float64]) -> int:
    """Write what of a triangle lies in front of the near plane (Sutherland-Hodgman); returns its number of corners."""
    count = 0
    for i in range(3):
        p, q = 3 * np.int64(triangles[3 * t + i]), 3 * np.int64(triangles[3 * t + (i + 1) % 3])
        pz, qz = np.float64(points[p + 2]), np.float64(points[q + 2])
        if pz >= NEAR:
            for k in range(3):
                polygon[count, k] = points[p + k]
            count += 1
        if (pz >= NEAR) != (qz >= NEAR):
            s = (NEAR - pz) / (qz - pz)
            for k in range(3):
                u, v = np.float64(points[p + k]), np.float64(points[q + k])
                polygon[count, k] = u + s * (v - u)
            polygon[count, 2] = NEAR
            count += 1
    return count
