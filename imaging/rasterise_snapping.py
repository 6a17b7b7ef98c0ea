"""Vertices on the grid of 1/256 pixel to which the rasteriser snaps them, and their depth keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.imaging.rasterise_samples import Floats, Ints, compiled, inline

SUBPIXELS = 256
"""Steps per pixel of the grid to which vertices are snapped."""

# Beyond this many pixels a snapped coordinate is clamped; edge functions then stay below 2^62.
_FARTHEST = float(1 << 21)


@compiled
def snap(
    points: Floats, intrinsics: NDArray[np.float64], projection: int, place: Ints, key: Floats
) -> tuple[float, bool]:
    """Pixel positions (2V,) and depth keys; those of points behind the near plane have no meaning.

    Returns:
        The largest depth in mm where keys depend on it, else 0, and whether a point is behind the near plane.
    """
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    perspective = projection == PERSPECTIVE
    farthest, behind = 0.0, 0
    if not perspective:
        for i in range(len(key)):
            farthest = max(farthest, np.float64(points[3 * i + 2]))
    for i in range(len(key)):
        z = np.float64(points[3 * i + 2])
        # Coordinates that are not numbers count as behind.
        ahead = z >= NEAR
        behind += 0 if ahead else 1
        scale, key[i] = scale_and_key(z if ahead else NEAR, perspective, farthest)
        place[2 * i] = snapped(fx * np.float64(points[3 * i]) * scale + cx)
        place[2 * i + 1] = snapped(fy * np.float64(points[3 * i + 1]) * scale + cy)
    return farthest, behind > 0


@inline
def scale_and_key(z: float, perspective: bool, farthest: float) -> tuple[float, np.float32]:
    """What x and y are multiplied with, and the depth key, which is linear on the screen."""
    # 1/z under perspective, -z (made positive) otherwise.
    if perspective:
        scale = 1.0 / z
        return scale, np.float32(scale)
    return 1.0, np.float32(farthest - z + 1.0)


@inline
def snapped(pixels: float) -> np.int32:
    """A pixel position in 1/256 pixel, rounded and clamped."""
    place = min(max(pixels, -_FARTHEST), _FARTHEST) * SUBPIXELS + 0.5
    # Rounded down by way of int32, for which there are vector instructions.
    whole = np.int32(place)
    return np.int32(whole - np.int32(np.float64(whole) > place))
