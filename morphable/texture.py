"""Square textures: their coarser levels, and their values at texture coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError

Float = NDArray[np.float32]


def levels_of(size: int) -> tuple[int, ...]:
    """The sizes that a texture of ``size`` texels a side is used at, finest first."""
    return (size, size // 2, size // 4)


def level_for(sizes: tuple[int, ...], least: float) -> int:
    """The coarsest of ``sizes`` (finest first) of at least ``least`` texels a side; the finest if none is."""
    return min((size for size in sizes if size >= least), default=sizes[0])


def box_reduced(texture: NDArray[np.generic], size: int) -> Float:
    """The last two axes (..., H, H) averaged over squares of texels to (..., size, size).

    Raises:
        ModelError: when ``size`` is not one of the texture's levels.
    """
    full = texture.shape[-1]
    if size not in levels_of(full):
        raise ModelError(f"a texture of {full} texels a side has levels of {levels_of(full)}, not of {size}")
    if size == full:
        return np.ascontiguousarray(texture, np.float32)
    factor = full // size
    squares = texture.reshape(*texture.shape[:-2], size, factor, size, factor)
    reduced: Float = squares.mean(axis=(-3, -1), dtype=np.float32)
    return reduced


def sample_bilinear(texture: NDArray[np.generic], uv: Float) -> Float:
    """Values (n, C) of a texture (H, W, C) at texture coordinates (n, 2), clamped at its border.

    Row 0 is the top (v = 1); texel centres are at +0.5.
    """
    height, width = texture.shape[:2]
    x = (uv[:, 0].astype(np.float64) * width - 0.5).clip(0, width - 1)
    y = ((1.0 - uv[:, 1].astype(np.float64)) * height - 0.5).clip(0, height - 1)
    left, top = np.minimum(x.astype(np.intp), max(width - 2, 0)), np.minimum(y.astype(np.intp), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    values: Float = (upper * (1 - fy) + lower * fy).astype(np.float32)
    return values
