"""Two colours, mixed in linear light."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.backgrounds.colours import colour
from facegen.stages.render.backgrounds.config import GradientBackground
from facegen.stages.render.backgrounds.finish import to_bytes, working_size

F32 = NDArray[np.float32]

_SMOOTH = 0.03
"""Radius that a gradient could be blurred by, unnoticed, in heights of the image."""


def draw_gradient(config: GradientBackground, rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """sRGB (height, width, 3)."""
    hue, saturation, value = rng.random(), 0.35 * rng.random() ** 2, rng.uniform(0.15, 0.85)
    near = colour(hue, saturation, value)
    # The other is the same paper in another light, or now and then another colour.
    other = rng.random() if rng.random() < 0.25 else hue + 0.03 * rng.standard_normal()
    far = colour(other, saturation * rng.uniform(0.6, 1.4), value * rng.uniform(0.15, 0.75))
    radial = rng.random() < 0.5 if config.shape == "any" else config.shape == "radial"
    angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.5)
    x, y = rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.7)
    # What has no detail needs few pixels.
    h, w = working_size(height, width, _SMOOTH * height)
    rows = (np.arange(h, dtype=np.float32) + np.float32(0.5))[:, None] / np.float32(h)
    columns = (np.arange(w, dtype=np.float32) + np.float32(0.5))[None] / np.float32(h)
    aspect = w / h
    if radial:
        right, down = columns - np.float32(x * aspect), rows - np.float32(y)
        share = np.sqrt(right * right + down * down) * np.float32(1 / reach)
    else:
        # 0 … 1 from one edge of the image to the other for a reach of 1.
        right, down = columns - np.float32(aspect / 2), rows - np.float32(0.5)
        share = right * np.float32(math.cos(angle) / reach) + down * np.float32(math.sin(angle) / reach)
        share = share + np.float32(0.5)
    share = np.clip(share, 0, 1, dtype=np.float32)[..., None]
    share = share * share * (3 - 2 * share)
    return to_bytes(near + share * (far - near), height, width, config.grain, rng)
