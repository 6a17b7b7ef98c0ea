"""Numbers painted on faces: colours from blue (none) to red (much), colours of parts, and bars that explain them."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facegen.composition.skin import Skin

Float = NDArray[np.float32]

GREY = 0.55
"""Reflectance of what is not painted."""
_ANCHORS = np.array(
    [[49, 54, 149], [69, 117, 180], [116, 173, 209], [171, 217, 233], [224, 243, 248], [255, 255, 191],
     [254, 224, 144], [253, 174, 97], [244, 109, 67], [215, 48, 39], [165, 0, 38]]
)  # fmt: skip
"""sRGB, evenly spaced: the scheme RdYlBu of ColorBrewer, turned round."""
_PAPER, _INK = (250, 250, 248), (90, 90, 92)
_BAR, _MARGIN, _HEIGHT = 14, 10, 46


def heat(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(…, 3) sRGB of shares (…) of the largest value; what is beyond 0 … 1 is clipped."""
    place = np.asarray(shares, np.float64).clip(0, 1) * (len(_ANCHORS) - 1)
    channels = [np.interp(place, np.arange(len(_ANCHORS)), _ANCHORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def palette(count: int) -> Float:
    """(K, 3) sRGB 0 … 1: colours that are easily told apart, for parts."""
    hues = [(0.58 + 0.38197 * number) % 1 for number in range(count)]
    return np.array([colorsys.hsv_to_rgb(hue, 0.62, 0.92) for hue in hues], np.float32)


def linear(srgb: NDArray[np.floating]) -> Float:
    """Linear RGB of sRGB 0 … 1."""
    value = np.asarray(srgb, np.float64)
    decoded = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return decoded.astype(np.float32)


def painted(skin: Skin, vertices: int, srgb: NDArray[np.floating]) -> Float:
    """(V, 3) linear RGB of a whole mesh whose skin has colours (n, 3), sRGB 0 … 1, and all else is grey."""
    colours = np.full((vertices, 3), GREY, np.float32)
    colours[skin.vertices] = linear(srgb)
    return colours


def heated(skin: Skin, vertices: int, values: NDArray[np.floating], largest: float) -> Float:
    """(V, 3) linear RGB of a whole mesh whose skin has values (n,); all beyond ``largest`` looks like it."""
    return painted(skin, vertices, heat(values / max(largest, 1e-12)) / 255)


def with_bar(picture: Image.Image, largest: float, label: str) -> Image.Image:
    """The picture with a bar of colours below, from 0 to ``largest``."""
    whole = Image.new("RGB", (picture.width, picture.height + _HEIGHT), _PAPER)
    whole.paste(picture, (0, 0))
    width = min(420, picture.width - 2 * _MARGIN)
    left, top = picture.width - width - _MARGIN, picture.height + 4
    bar = np.broadcast_to(heat(np.linspace(0, 1, width)), (_BAR, width, 3))
    whole.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, top))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(11)
    for share in (0.0, 0.5, 1.0):
        words = f"{share * largest:.3g}"
        x = left + share * width - share * draw.textlength(words, font=font)
        draw.text((x, top + _BAR + 2), words, fill=_INK, font=font)
    draw.text((left - _MARGIN - draw.textlength(label, font=font), top + 1), label, fill=_INK, font=font)
    return whole
