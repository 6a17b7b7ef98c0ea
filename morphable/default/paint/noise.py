"""Random fields on the skin, and strokes: the grain that makes paint look like skin and hair."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import ndtr

Float = NDArray[np.float64]

_LATTICE = 32
_VALUE_SPREAD = 0.56
"""Standard deviation of cubically interpolated unit noise, averaged over a cell."""


def solid_noise(points: Float, wavelength: float, seed: int) -> Float:
    """Smooth noise (n,) of about unit variance at points (n, 3): value noise on a lattice that repeats."""
    lattice = np.random.default_rng(seed).standard_normal((_LATTICE,) * 3)
    values: Float = map_coordinates(lattice, (points * (2 / wavelength)).T, order=3, mode="grid-wrap")
    return values / _VALUE_SPREAD


def uniform(values: Float) -> Float:
    """Values of any normal-like law made uniform in 0 … 1."""
    found: Float = ndtr((values - values.mean()) / max(float(values.std()), 1e-9))
    return found


def combed_noise(source: Float, flow: Float, chosen: NDArray[np.bool_], reach: int) -> Float:
    """Noise (H, W) smeared along a flow, as strands (Cabral and Leedom 1993, "Imaging vector fields using LIC").

    Args:
        source: (H, W) noise.
        flow: (H, W, 2) columns and rows per step.
        chosen: (H, W) where to compute; 0 elsewhere.
        reach: steps either way.
    """
    result = np.zeros_like(source)
    _comb(source, flow, chosen, reach, result)
    return result


@numba.njit(cache=True)
def _comb(source: Float, flow: Float, chosen: NDArray[np.bool_], reach: int, result: Float) -> None:
    height, width = source.shape
    for j in range(height):
        for i in range(width):
            if not chosen[j, i]:
                continue
            total, count = source[j, i], 1
            for sign in (1.0, -1.0):
                x, y = float(i), float(j)
                for _ in range(reach):
                    c, r = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
                    x += sign * flow[r, c, 0]
                    y += sign * flow[r, c, 1]
                    c, r = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
                    if c < 0 or r < 0 or c >= width or r >= height or not chosen[r, c]:
                        break
                    total += source[r, c]
                    count += 1
            result[j, i] = total / np.sqrt(count)


def draw_strokes(size: int, lines: Float, widths: Float, amounts: Float) -> Float:
    """Coverage (size, size) in 0 … 1 of strokes laid over each other.

    Args:
        size: texels a side.
        lines: (s, k, 2) columns and rows of polylines.
        widths: (s, k) widths in texels; a stroke thinner than a texel covers a share of it.
        amounts: (s, k) opacity along the stroke.
    """
    result = np.zeros((size, size))
    if len(lines):
        _draw(result, lines, widths, amounts)
    return result


@numba.njit(cache=True)
def _draw(result: Float, lines: Float, widths: Float, amounts: Float) -> None:
    size = result.shape[0]
    for s in range(len(lines)):
        margin = widths[s].max() / 2 + 1.5
        first_c, last_c = (
            max(0, int(lines[s, :, 0].min() - margin)),
            min(size - 1, int(lines[s, :, 0].max() + margin) + 1),
        )
        first_r, last_r = (
            max(0, int(lines[s, :, 1].min() - margin)),
            min(size - 1, int(lines[s, :, 1].max() + margin) + 1),
        )
        for r in range(first_r, last_r + 1):
            for c in range(first_c, last_c + 1):
                best = 0.0
                for k in range(lines.shape[1] - 1):
                    ax, ay = lines[s, k, 0], lines[s, k, 1]
                    bx, by = lines[s, k + 1, 0] - ax, lines[s, k + 1, 1] - ay
                    share = ((c - ax) * bx + (r - ay) * by) / max(bx * bx + by * by, 1e-12)
                    share = min(max(share, 0.0), 1.0)
                    away = np.hypot(c - ax - share * bx, r - ay - share * by)
                    wide = widths[s, k] + share * (widths[s, k + 1] - widths[s, k])
                    amount = amounts[s, k] + share * (amounts[s, k + 1] - amounts[s, k])
                    covered = min(wide, 1.0) * min(max(max(wide, 1.0) / 2 + 0.5 - away, 0.0), 1.0)
                    best = max(best, amount * covered)
                result[r, c] = 1 - (1 - result[r, c]) * (1 - best)


def bent_strokes(roots: Float, tips: Float, bend: Float, count: int = 6) -> Float:
    """Polylines (s, count, 2) from roots to tips (s, 2), bowed sideways by ``bend`` (s,) times their length."""
    t = np.linspace(0, 1, count)
    along = tips - roots
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) * bend[:, None]
    bow = 4 * t * (1 - t)
    lines: Float = roots[:, None] + along[:, None] * t[None, :, None] + aside[:, None] * bow[None, :, None]
    return lines
