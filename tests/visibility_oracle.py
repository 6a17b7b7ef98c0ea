"""The visibility rule once more, as plainly as it can be said: one triangle at a time, all samples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR

Float64 = NDArray[np.float64]


def visible_triangles(
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    intrinsics: Float64,
    projection: int,
    height: int,
    width: int,
    supersampled: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Triangle (-1 for none) and depth key (larger is nearer) at every sample.

    The arguments are those of :func:`facegen.imaging.rasterise.rasterise`.
    """
    x, y = sample_positions(height, width, supersampled)
    farthest = max(0.0, float(vertices[:, 2].max(initial=0.0)))
    best = np.full((len(y), len(x)), -1, np.int32)
    key = np.zeros((len(y), len(x)), np.float32)
    for number, triangle in enumerate(triangles):
        polygon = clipped(vertices[triangle].astype(np.float64))
        # A triangle with a corner cut off is a fan of two.
        for second in range(1, len(polygon) - 1):
            corners = polygon[[0, second, second + 1]]
            inside, depth = covered(corners, intrinsics, projection, farthest, x, y)
            # Strictly nearer: of equals the triangle of the smaller number was here first.
            nearer = inside & (depth > key)
            best[nearer], key[nearer] = number, depth[nearer]
    return best, key


def sample_positions(height: int, width: int, supersampled: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of the samples in 1/256 pixel: pixel centres, or every half pixel from corner to corner."""
    if supersampled:
        return np.arange(2 * width + 1) * 128, np.arange(2 * height + 1) * 128
    return np.arange(width) * 256 + 128, np.arange(height) * 256 + 128


def clipped(corners: Float64) -> Float64:
    """What of a polygon (n, 3) lies in front of the near plane."""
    kept = []
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            crossing = here + (NEAR - here[2]) / (there[2] - here[2]) * (there - here)
            kept.append(np.array([crossing[0], crossing[1], NEAR]))
    return np.array(kept).reshape(-1, 3)


def snapped(corners: Float64, intrinsics: Float64, projection: int) -> NDArray[np.int64]:
    """Pixel positions (3, 2) of the corners in whole 1/256 pixel."""
    scale = 1.0 / corners[:, 2:] if projection == PERSPECTIVE else np.ones((3, 1))
    pixels = np.diag(intrinsics)[:2] * corners[:, :2] * scale + intrinsics[:2, 2]
    return np.floor(pixels.clip(-(2.0**21), 2.0**21) * 256 + 0.5).astype(np.int64)


def covered(
    corners: Float64, intrinsics: Float64, projection: int, farthest: float, x: NDArray[np.int64], y: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which samples (rows, columns) a triangle covers, edges included, and its depth key there.

    The key is linear on the screen: 1/z under perspective, else the distance in front of a plane 1 mm behind all.
    """
    # The image's y axis points down: exchanging two corners makes front faces turn positively.
    corners = corners[[0, 2, 1]]
    a, b, c = snapped(corners, intrinsics, projection)
    area = doubled_area(a, b, c)
    if area <= 0:
        return np.zeros((len(y), len(x)), np.bool_), np.zeros((len(y), len(x)), np.float32)
    p = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
    opposite = np.stack([doubled_area(p, b, c), doubled_area(p, c, a), doubled_area(p, a, b)])
    z = corners[:, 2]
    keys = (1.0 / z if projection == PERSPECTIVE else farthest - z + 1.0).astype(np.float32)
    inverse = np.float32(1.0) / np.float32(area)
    depth = keys[0] + (keys[1] - keys[0]) * inverse * opposite[1].astype(np.float32)
    depth = depth + (keys[2] - keys[0]) * inverse * opposite[2].astype(np.float32)
    return (opposite >= 0).all(axis=0), depth


def doubled_area(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice the signed area of triangles (..., 2) in squared 1/256 pixel, exactly."""
    area: NDArray[np.int64] = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (c[..., 0] - a[..., 0]) * (
        b[..., 1] - a[..., 1]
    )
    return area
