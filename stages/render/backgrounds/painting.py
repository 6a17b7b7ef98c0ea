"""Brushes of the scenes: noise, rectangles, discs of light, on small canvases of linear light."""

from __future__ import annotations

import math
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, cells: float, octaves: int, gain: float = 0.5
) -> F32:
    """Value noise (height, width) of about 0 … 1, mean 0.5.

    Args:
        rng: draws where in the noise the canvas lies.
        height, width: of the canvas, pixels.
        cells: of the coarsest octave along the canvas's height.
        octaves: each twice as fine as the one before.
        gain: amplitude of each octave relative to the one before.
    """
    offsets = rng.integers(0, 256, (octaves, 2))
    amplitude = gain ** np.arange(octaves)
    result = np.zeros((height, width), np.float32)
    weights = (amplitude / amplitude.sum()).astype(np.float32)
    _fractal(_lattice(), offsets, weights, np.float32(cells / height), result)
    return result


@_compile
def _fractal(lattice: F32, offsets: NDArray[np.int64], weights: F32, step: np.float32, result: F32) -> None:
    two, three, mask = np.float32(2.0), np.float32(3.0), len(lattice) - 1
    for n in range(len(weights)):
        scale = step * np.float32(2**n)
        for r in range(result.shape[0]):
            y = (np.float32(r) + np.float32(0.5)) * scale
            i = int(y)
            v = y - np.float32(i)
            v = v * v * (three - two * v)
            top, bottom = lattice[(i + offsets[n, 0]) & mask], lattice[(i + 1 + offsets[n, 0]) & mask]
            for c in range(result.shape[1]):
                x = (np.float32(c) + np.float32(0.5)) * scale
                j = int(x)
                u = x - np.float32(j)
                u = u * u * (three - two * u)
                a, b = (j + offsets[n, 1]) & mask, (j + 1 + offsets[n, 1]) & mask
                upper, lower = top[a] + u * (top[b] - top[a]), bottom[a] + u * (bottom[b] - bottom[a])
                result[r, c] += weights[n] * (upper + v * (lower - upper))


@lru_cache(maxsize=1)
def _lattice() -> F32:
    """Uniform numbers (256, 256), the same in every process."""
    return np.random.Generator(np.random.Philox(key=2)).random((256, 256), np.float32)


def fill(canvas: F32, rectangles: F32) -> None:
    """Paint rectangles (n, 7) on ``canvas`` (h, w, 3), one over the other.

    Each is top, left, bottom and right in heights of the canvas, beyond which it is cut, and its linear RGB.
    """
    _fill(canvas, rectangles)


@_compile
def _fill(canvas: F32, rectangles: F32) -> None:
    height, width = canvas.shape[0], canvas.shape[1]
    for n in range(len(rectangles)):
        top, left, bottom, right = (
            math.floor(rectangles[n, 0] * height + 0.5), math.floor(rectangles[n, 1] * height + 0.5),
            math.floor(rectangles[n, 2] * height + 0.5), math.floor(rectangles[n, 3] * height + 0.5),
        )  # fmt: skip
        for r in range(max(top, 0), min(bottom, height)):
            for c in range(max(left, 0), min(right, width)):
                for k in range(3):
                    canvas[r, c, k] = rectangles[n, 4 + k]


def add_discs(canvas: F32, rows: F32, columns: F32, radius: F32, light: F32) -> None:
    """Add discs with a brighter rim, as lenses make of points of light out of focus.

    Args:
        canvas: (h, w, 3), changed.
        rows, columns, radius: (n,) pixels of the canvas.
        light: (n, 3).
    """
    _discs(canvas, rows, columns, radius, light)


@_compile
def _discs(canvas: F32, rows: F32, columns: F32, radius: F32, light: F32) -> None:
    half, one = np.float32(0.5), np.float32(1.0)
    for n in range(len(rows)):
        reach = radius[n] + one
        for r in range(max(int(rows[n] - reach), 0), min(int(rows[n] + reach) + 1, canvas.shape[0])):
            for c in range(max(int(columns[n] - reach), 0), min(int(columns[n] + reach) + 1, canvas.shape[1])):
                y, x = np.float32(r) + half - rows[n], np.float32(c) + half - columns[n]
                distance = np.float32(math.sqrt(y * y + x * x))
                cover = min(max(radius[n] + half - distance, np.float32(0.0)), one)
                rim = distance / radius[n]
                share = cover * (np.float32(0.8) + np.float32(0.3) * rim * rim * rim * rim)
                for k in range(3):
                    canvas[r, c, k] += share * light[n, k]
