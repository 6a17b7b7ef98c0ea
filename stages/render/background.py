"""What is behind the face: a function of a seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.config import PlainBackground, SoftBackground


def draw_background(config: SoftBackground | PlainBackground, seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """An sRGB background (H, W, 3)."""
    if isinstance(config, PlainBackground):
        colour = np.round(np.array(config.colour) * 255).astype(np.uint8)
        return np.broadcast_to(colour, (height, width, 3)).copy()
    rng = np.random.Generator(np.random.Philox(key=seed))
    base = 0.12 + 0.68 * rng.random()
    # A few control values per colour, blurred by their interpolation; neighbours in brightness, close in hue.
    light = base + 0.16 * rng.standard_normal((4, 4, 1))
    values = (light + 0.04 * rng.standard_normal((1, 1, 3)) + 0.03 * rng.standard_normal((4, 4, 3))).astype(np.float32)
    rows, columns = _cubic_weights(height), _cubic_weights(width)
    # Explicit products of small fixed shapes: (H, 4) (4, 4·3), then (W, 4) for each row.
    across = np.einsum("wj,ijk->iwk", columns, values.clip(0.02, 0.95))
    image = np.einsum("hi,iwk->hwk", rows, across)
    if config.grain > 0:
        tile = _grain_tile()
        dy, dx = (int(n) for n in rng.integers(0, len(tile), 2))
        index = np.ix_((np.arange(height) + dy) % len(tile), (np.arange(width) + dx) % len(tile))
        image += np.float32(config.grain) * tile[index][..., None]
    rounded: NDArray[np.uint8] = (image.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return rounded


@lru_cache(maxsize=8)
def _cubic_weights(size: int) -> NDArray[np.float32]:
    """(size, 4) Bernstein weights of a cubic Bézier curve over the pixel centres."""
    t = (np.arange(size) + 0.5) / size
    return np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def _grain_tile() -> NDArray[np.float32]:
    """A tile of standard normal noise, the same in every process."""
    return np.random.Generator(np.random.Philox(key=1)).standard_normal((509, 509)).astype(np.float32)
