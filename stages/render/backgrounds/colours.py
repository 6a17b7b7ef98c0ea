"""Colours as people speak of them, in linear light."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def colour(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """Linear RGB (3,) of hue (in turns, red at 0), saturation and value of the sRGB colour; more than 1 is cut."""
    encoded = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return np.array([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in encoded], np.float32)


def colours(hue: Float64, saturation: Float64, value: Float64) -> NDArray[np.float32]:
    """:func:`colour` of n at once: (n,) each, gives (n, 3)."""
    saturation, value = saturation.clip(0, 1), value.clip(0, 1)
    # Each channel falls short of the value by how far its primary is from the hue (Smith 1978, in one expression).
    sector = (np.array([5.0, 3.0, 1.0]) + 6 * hue[:, None]) % 6
    encoded = value[:, None] * (1 - saturation[:, None] * np.minimum(sector, 4 - sector).clip(0, 1))
    linear: Float64 = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)
