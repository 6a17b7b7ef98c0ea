"""The last steps of a background: up to size, into sRGB bytes, with grain."""

from __future__ import annotations

import math
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")

RADIUS = 1.6
"""Of the disc of confusion where it is computed, pixels: what is out of focus has no detail that more would show."""

_TABLE = 4096


def working_size(height: int, width: int, radius: float) -> tuple[int, int]:
    """(height, width) that a scene is drawn at for an image that blurs it over ``radius`` pixels."""
    shrink = min(RADIUS / radius, 1.0) if radius > 0 else 1.0
    return max(math.ceil(height * shrink), 16), max(math.ceil(width * shrink), 16)


def to_bytes(light: F32, height: int, width: int, grain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """sRGB (height, width, 3) of linear light (h, w, 3), with grey noise of standard deviation ``grain`` (of 0 … 1).

    Between its pixels the light is a cubic B-spline whose coefficients they are: smooth, and nowhere beyond them.
    """
    tile = grain_tile()
    dy, dx = (int(n) for n in rng.integers(0, len(tile), 2))
    rows, row_weights = _spline(len(light), height)
    columns, column_weights = _spline(light.shape[1], width)
    image = np.empty((height, width, 3), np.uint8)
    _finish(
        np.ascontiguousarray(light).reshape(len(light), -1), rows, row_weights, 3 * columns, column_weights,
        _encoding(), tile, np.float32(255 * grain), dy, dx, image,
    )  # fmt: skip
    return image


@lru_cache(maxsize=32)
def _spline(source: int, size: int) -> tuple[NDArray[np.int64], F32]:
    """Indices and weights (size, 4) of the coefficients around each pixel; those beyond the border repeat the last."""
    position = (np.arange(size) + 0.5) * source / size - 0.5
    first = np.floor(position)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3], axis=1)
    index = (first[:, None] + np.arange(-1, 3)).astype(np.int64).clip(0, source - 1)
    return index, (weights / 6).astype(np.float32)


@_compile
def _finish(
    light: F32,
    rows: NDArray[np.int64],
    row_weights: F32,
    columns: NDArray[np.int64],
    column_weights: F32,
    table: F32,
    tile: F32,
    grain: np.float32,
    dy: int,
    dx: int,
    image: NDArray[np.uint8],
) -> None:
    # First across, on the few rows there are; then down, along whole rows, which vector registers do.
    height, width = image.shape[0], image.shape[1]
    top, half, zero, one = np.float32(len(table) - 1), np.float32(0.5), np.float32(0.0), np.float32(1.0)
    wide = np.empty((len(light), 3 * width), np.float32)
    for r in range(len(light)):
        for x in range(width):
            i, j, k, m = columns[x, 0], columns[x, 1], columns[x, 2], columns[x, 3]
            wa, wb, wc, wd = column_weights[x, 0], column_weights[x, 1], column_weights[x, 2], column_weights[x, 3]
            for n in range(3):
                wide[r, 3 * x + n] = (
                    wa * light[r, i + n] + wb * light[r, j + n] + wc * light[r, k + n] + wd * light[r, m + n]
                )
    entry = np.empty(3 * width, np.int32)
    for r in range(height):
        a, b, c, d = wide[rows[r, 0]], wide[rows[r, 1]], wide[rows[r, 2]], wide[rows[r, 3]]
        wa, wb, wc, wd = row_weights[r, 0], row_weights[r, 1], row_weights[r, 2], row_weights[r, 3]
        for i in range(3 * width):
            value = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]
            entry[i] = np.int32(min(max(value, zero), one) * top + half)
        noise = tile[(r + dy) % len(tile)]
        place = dx
        for x in range(width):
            grey = grain * noise[place] + half
            place = place + 1 if place + 1 < len(noise) else 0
            for n in range(3):
                encoded = table[entry[3 * x + n]] + grey
                image[r, x, n] = np.uint8(min(max(encoded, zero), np.float32(255.0)))


@lru_cache(maxsize=1)
def _encoding() -> F32:
    """sRGB values 0 … 255, not rounded, of linear light i / 4095."""
    linear = np.arange(_TABLE) / (_TABLE - 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * curve).astype(np.float32)


@lru_cache(maxsize=1)
def grain_tile() -> F32:
    """A tile (509, 509) of standard normal noise, the same in every process."""
    return np.random.Generator(np.random.Philox(key=1)).standard_normal((509, 509)).astype(np.float32)
