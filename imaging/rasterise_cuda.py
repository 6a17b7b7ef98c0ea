"""The visibility rule of :mod:`facegen.imaging.rasterise` on a GPU: batches of faces of one topology.

A thread a vertex, then a thread a triangle. What is nearest at a sample wins by the largest of one packed 64-bit
integer, written by an atomic maximum: the key's bits above, the complement of the triangle's number below. So neither
the order of threads nor the device shows in the result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facegen.imaging.camera import NEAR
from facegen.imaging.device_functions import cuda, device, exact, float_bits, launch
from facegen.imaging.rasterise_snapping import SUBPIXELS

_FARTHEST = float(1 << 21)  # pixels; as in the compiled rule
COMPLEMENT = (1 << 31) - 1
"""What the low half of a packed sample and the triangle's number add up to."""


def rasterise_cuda(
    vertices: Any,
    triangles: Any,
    extrinsics: Any,
    intrinsics: Any,
    perspective: Any,
    camera: Any,
    farthest: Any,
    best: Any,
    *,
    supersampled: bool,
    stream: Any = 0,
) -> None:
    """Transform B faces and find what is seen; all arrays are on the device, and everything runs on one stream.

    Args:
        vertices: (B, V, 3) float32, model frame, mm.
        triangles: (T, 3) int32, counter-clockwise seen from outside.
        extrinsics: (B, 4, 4) float64.
        intrinsics: (B, 3, 3) float64.
        perspective: (B,) uint8, 1 or 0 for scaled orthographic.
        camera: (B, V, 3) float32, written: vertices in the camera frame.
        farthest: (B,) float64, written: the largest depth.
        best: (B, rows, columns) int64, written: 0, or key and triangle of each sample, packed.
        supersampled: as for :func:`facegen.imaging.rasterise.rasterise`.
        stream: of numba.cuda, or 0 for the default one.
    """
    faces, count = vertices.shape[:2]
    launch(_clear, best.size, best, farthest, stream=stream)
    launch(_transform, faces * count, vertices, extrinsics, camera, farthest, stream=stream)
    first, shift = (0, 7) if supersampled else (128, 8)
    launch(
        _fill, faces * triangles.shape[0], camera, triangles, intrinsics, perspective, farthest, first, shift, best,
        stream=stream,
    )  # fmt: skip


def _rotated(x: float, y: float, z: float, a: float, b: float, c: float, t: float) -> float:
    """One coordinate of a point in the camera frame."""
    return a * x + b * y + c * z + t


def _snapped(
    x: float, y: float, z: float, fx: float, fy: float, cx: float, cy: float, perspective: bool, farthest: float
) -> tuple[int, int, np.float32]:
    """Place on the grid of 1/256 pixel, and depth key."""
    if perspective:
        scale = 1.0 / z
        key = np.float32(scale)
    else:
        scale = 1.0
        key = np.float32(farthest - z + 1.0)
    px = min(max(fx * x * scale + cx, -_FARTHEST), _FARTHEST)
    py = min(max(fy * y * scale + cy, -_FARTHEST), _FARTHEST)
    # A GPU's floor is a float.
    column, row = math.floor(px * SUBPIXELS + 0.5), math.floor(py * SUBPIXELS + 0.5)
    return np.int64(column), np.int64(row), key  # type: ignore[return-value]


def _crossing(u: float, v: float, share: float) -> float:
    return u + share * (v - u)


def _key_at(k0: np.float32, slope1: np.float32, slope2: np.float32, e1: int, e2: int) -> np.float32:
    return k0 + slope1 * np.float32(e1) + slope2 * np.float32(e2)


_rotated_exactly, _snapped_exactly = exact(_rotated), exact(_snapped)
_crossing_exactly, _key_exactly = exact(_crossing), exact(_key_at)


@cuda.jit
def _clear(best: Any, farthest: Any) -> None:
    faces, rows, columns = best.shape
    for i in range(cuda.grid(1), faces * rows * columns, cuda.gridsize(1)):
        best[i // (rows * columns), i // columns % rows, i % columns] = 0
        if i < faces:
            farthest[i] = 0.0


@cuda.jit
def _transform(vertices: Any, extrinsics: Any, camera: Any, farthest: Any) -> None:
    faces, count = vertices.shape[0], vertices.shape[1]
    for i in range(cuda.grid(1), faces * count, cuda.gridsize(1)):
        b, n = i // count, i % count
        x, y, z = np.float64(vertices[b, n, 0]), np.float64(vertices[b, n, 1]), np.float64(vertices[b, n, 2])
        for k in range(3):
            camera[b, n, k] = np.float32(
                _rotated_exactly(
                    x, y, z, extrinsics[b, k, 0], extrinsics[b, k, 1], extrinsics[b, k, 2], extrinsics[b, k, 3]
                )
            )
        # Asked first, because this maximum is slow where many threads meet.
        z = np.float64(camera[b, n, 2])
        if z > farthest[b]:
            cuda.atomic.max(farthest, b, z)


@device
def _snapped_point(
    x: float, y: float, z: float, b: int, intrinsics: Any, perspective: Any, farthest: Any
) -> tuple[int, int, np.float32]:
    return _snapped_exactly(  # type: ignore[no-any-return]
        x, y, z, intrinsics[b, 0, 0], intrinsics[b, 1, 1], intrinsics[b, 0, 2], intrinsics[b, 1, 2],
        perspective[b] != 0, farthest[b],
    )  # fmt: skip


@device
def _fill_triangle(
    x0: int, y0: int, k0: np.float32, x1: int, y1: int, k1: np.float32, x2: int, y2: int, k2: np.float32,
    t: int, b: int, first: int, shift: int, best: Any,
) -> None:  # fmt: skip
    """Raise the samples of a triangle, if its area is positive in screen coordinates (y down)."""
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area <= 0:
        return
    step = 1 << shift
    c0 = max((min(x0, min(x1, x2)) - first + step - 1) >> shift, 0)
    c1 = min((max(x0, max(x1, x2)) - first) >> shift, best.shape[2] - 1)
    r0 = max((min(y0, min(y1, y2)) - first + step - 1) >> shift, 0)
    r1 = min((max(y0, max(y1, y2)) - first) >> shift, best.shape[1] - 1)
    if c1 < c0 or r1 < r0:
        return
    inverse = np.float32(1.0) / np.float32(area)
    # What compiled functions return as float32, Python holds as a float.
    k0, k1, k2 = np.float32(k0), np.float32(k1), np.float32(k2)
    slope1, slope2 = (k1 - k0) * inverse, (k2 - k0) * inverse
    for r in range(r0, r1 + 1):
        py = first + (r << shift)
        for c in range(c0, c1 + 1):
            px = first + (c << shift)
            # Twice the areas opposite corners 0, 1, 2: all ≥ 0 inside, edges included.
            e0 = (px - x1) * (y1 - y2) + (py - y1) * (x2 - x1)
            e1 = (px - x2) * (y2 - y0) + (py - y2) * (x0 - x2)
            e2 = (px - x0) * (y0 - y1) + (py - y0) * (x1 - x0)
            if (e0 | e1 | e2) >= 0:
                key = np.float32(_key_exactly(k0, slope1, slope2, e1, e2))
                if key > np.float32(0.0):
                    packed = (np.int64(float_bits(key)) << np.int64(32)) | np.int64(COMPLEMENT - t)
                    cuda.atomic.max(best, (b, r, c), packed)


@cuda.jit
def _fill(
    camera: Any, triangles: Any, intrinsics: Any, perspective: Any, farthest: Any, first: int, shift: int, best: Any
) -> None:
    count = triangles.shape[0]
    for i in range(cuda.grid(1), camera.shape[0] * count, cuda.gridsize(1)):
        b, t = i // count, i % count
        ahead = 0
        for k in range(3):
            ahead += 1 if camera[b, triangles[t, k], 2] >= NEAR else 0
        if ahead == 3:
            # The last two corners change places, so that the area is positive where y points down.
            i0, i1, i2 = triangles[t, 0], triangles[t, 2], triangles[t, 1]
            x0, y0, k0 = _snapped_point(
                np.float64(camera[b, i0, 0]), np.float64(camera[b, i0, 1]), np.float64(camera[b, i0, 2]),
                b, intrinsics, perspective, farthest,
            )  # fmt: skip
            x1, y1, k1 = _snapped_point(
                np.float64(camera[b, i1, 0]), np.float64(camera[b, i1, 1]), np.float64(camera[b, i1, 2]),
                b, intrinsics, perspective, farthest,
            )  # fmt: skip
            x2, y2, k2 = _snapped_point(
                np.float64(camera[b, i2, 0]), np.float64(camera[b, i2, 1]), np.float64(camera[b, i2, 2]),
                b, intrinsics, perspective, farthest,
            )  # fmt: skip
            _fill_triangle(x0, y0, k0, x1, y1, k1, x2, y2, k2, t, b, first, shift, best)
        elif ahead > 0:
            _fill_clipped(camera, triangles, intrinsics, perspective, farthest, t, b, first, shift, best)


@device
def _fill_clipped(
    camera: Any, triangles: Any, intrinsics: Any, perspective: Any, farthest: Any,
    t: int, b: int, first: int, shift: int, best: Any,
) -> None:  # fmt: skip
    """Clip a triangle at the near plane (Sutherland & Hodgman 1974) and fill the fan of what is left."""
    polygon = cuda.local.array((4, 3), np.float64)
    count = 0
    for i in range(3):
        p, q = triangles[t, i], triangles[t, (i + 1) % 3]
        pz, qz = np.float64(camera[b, p, 2]), np.float64(camera[b, q, 2])
        if pz >= NEAR:
            for k in range(3):
                polygon[count, k] = camera[b, p, k]
            count += 1
        if (pz >= NEAR) != (qz >= NEAR):
            share = (NEAR - pz) / (qz - pz)
            for k in range(2):
                polygon[count, k] = _crossing_exactly(np.float64(camera[b, p, k]), np.float64(camera[b, q, k]), share)
            polygon[count, 2] = NEAR
            count += 1
    for i in range(1, count - 1):
        x0, y0, k0 = _snapped_point(
            polygon[0, 0], polygon[0, 1], polygon[0, 2], b, intrinsics, perspective, farthest
        )  # fmt: skip
        x1, y1, k1 = _snapped_point(
            polygon[i, 0], polygon[i, 1], polygon[i, 2], b, intrinsics, perspective, farthest
        )  # fmt: skip
        j = i + 1
        x2, y2, k2 = _snapped_point(
            polygon[j, 0], polygon[j, 1], polygon[j, 2], b, intrinsics, perspective, farthest
        )  # fmt: skip
        _fill_triangle(x0, y0, k0, x2, y2, k2, x1, y1, k1, t, b, first, shift, best)
