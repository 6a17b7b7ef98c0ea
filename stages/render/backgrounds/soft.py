"""Large soft patches of colour."""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.backgrounds.config import SoftBackground
from facegen.stages.render.backgrounds.finish import grain_tile


def draw_soft(config: SoftBackground, seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """sRGB (height, width, 3)."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    base = 0.12 + 0.68 * rng.random()
    # A few control values per colour, blurred by their interpolation; neighbours in brightness, close in hue.
    light = base + 0.16 * rng.standard_normal((4, 4, 1))
    values = (light + 0.04 * rng.standard_normal((1, 1, 3)) + 0.03 * rng.standard_normal((4, 4, 3))).clip(0.02, 0.95)
    tile = grain_tile()
    dy, dx = (int(n) for n in rng.integers(0, len(tile), 2))
    image: NDArray[np.uint8] = _paint(
        values.astype(np.float32), _cubic_weights(height), _cubic_weights(width),
        tile, np.float32(config.grain), dy, dx,
    )  # fmt: skip
    return image


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _paint(
    values: NDArray[np.float32],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    tile: NDArray[np.float32],
    grain: np.float32,
    dy: int,
    dx: int,
) -> NDArray[np.uint8]:
    """The bicubic patch of ``values`` (4, 4, 3) at the weights of rows (H, 4) and columns (W, 4), plus grain."""
    height, width, size = len(rows), len(columns), len(tile)
    image = np.empty((height, width, 3), np.uint8)
    curve = np.empty((4, 3), np.float32)
    for r in range(height):
        for j in range(4):
            for k in range(3):
                curve[j, k] = (
                    rows[r, 0] * values[0, j, k] + rows[r, 1] * values[1, j, k]
                    + rows[r, 2] * values[2, j, k] + rows[r, 3] * values[3, j, k]
                )  # fmt: skip
        for c in range(width):
            noise = grain * tile[(r + dy) % size, (c + dx) % size]
            for k in range(3):
                value = noise + (
                    columns[c, 0] * curve[0, k] + columns[c, 1] * curve[1, k]
                    + columns[c, 2] * curve[2, k] + columns[c, 3] * curve[3, k]
                )  # fmt: skip
                clipped = min(max(value, np.float32(0.0)), np.float32(1.0))
                image[r, c, k] = np.uint8(clipped * np.float32(255.0) + np.float32(0.5))
    return image


@lru_cache(maxsize=8)
def _cubic_weights(size: int) -> NDArray[np.float32]:
    """(size, 4) Bernstein weights of a cubic Bézier curve over the pixel centres."""
    t = (np.arange(size) + 0.5) / size
    return np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1).astype(np.float32)
