"""The lips' red."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.paint.canvas import Canvas, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import solid_noise

Float = NDArray[np.float64]


def paint_lips(layers: Layers) -> Float:
    """Paint them over the skin; returns their coverage (n,)."""
    canvas, lips = layers.canvas, read_appearance()["lips"]
    depth, corner = _depth(canvas)
    width = lips["border"]["bow"] + (lips["border"]["corner"] - lips["border"]["bow"]) * corner
    wander = 0.13 * solid_noise(canvas.sphere, 3.5, seed=50).clip(-2, 2)
    red = step(-1, 1, (depth + wander) / width)
    layers.tint(red, lips["density"])
    bulge, _ = canvas.near(canvas.line("lower_lip_bulge"))
    lower = np.exp(-0.5 * (bulge / lips["bulge"]["width"]) ** 2)
    layers.masks["melanin"][canvas.skin] *= 1 - (1 - _between(lips["melanin"], lower)) * red
    for name in ("cheek_redness", "nose_redness", "undertone"):
        layers.masks[name][canvas.skin] *= 1 - red
    layers.masks["haemoglobin"][canvas.skin] = np.maximum(layers.masks["haemoglobin"][canvas.skin], red)
    _add_furrows(layers, red, lips["furrows"])
    seam = np.minimum(*(canvas.near(canvas.line(name))[0] for name in ("upper_mouth_seam", "lower_mouth_seam")))
    between = canvas.depth(_opening(canvas)) > 0
    for key in ("seam", "line"):
        layers.tint(
            np.where(between, 1, np.exp(-((seam / lips[key]["width"]) ** 2))) * step(-4, 1, depth), lips[key]["density"]
        )
    dry = 1 + 0.35 * solid_noise(canvas.sphere, 2.5, seed=51).clip(-2, 2)
    layers.tint(red * lower * dry, lips["bulge"]["density"])
    ridge = lips["ridge"]
    border, _ = canvas.near(canvas.line("upper_vermilion_border"))
    pale = np.exp(-0.5 * ((border - ridge["at"]) / ridge["width"]) ** 2) * (depth < 0) * (1 - corner)
    layers.tint(pale, ridge["density"])
    layers.weigh("lip_redness", red)
    # Pigment gathers at the border.
    gathered = 0.75 + 0.25 * np.exp(-0.5 * (depth / 1.6) ** 2)
    layers.weigh("lip_darkness", red * gathered * _between(lips["darkness"], lower))
    return red


def _between(shares: dict[str, float], lower: Float) -> Float:
    """The upper lip's share where ``lower`` (n,) is 0, the lower lip's where it is 1."""
    return shares["upper"] + (shares["lower"] - shares["upper"]) * lower


def _depth(canvas: Canvas) -> tuple[Float, Float]:
    """Distance (n,) inside the vermilion border, and how near (n,) the mouth's corner is, 0 … 1."""
    upper, lower = canvas.line("upper_vermilion_border"), canvas.line("lower_vermilion_border")
    corner = canvas.anchor(["cheilion"])
    outline = np.concatenate([upper, corner[None], lower[::-1]])
    depth = canvas.depth(outline)
    # The polygon closes along the midline, which is no border.
    border = np.concatenate([upper, corner[None], lower[::-1]])
    away, _ = canvas.near(border)
    return np.where(depth > 0, away, -away), np.exp(-np.linalg.norm(canvas.half - corner, axis=1) / 6)


def _opening(canvas: Canvas) -> Float:
    upper, lower = canvas.line("upper_mouth_seam"), canvas.line("lower_mouth_seam")
    return np.concatenate([upper, lower[::-1]])


def _add_furrows(layers: Layers, red: Float, amount: float) -> None:
    """Fine lines across the lips, fanning out from the mouth's middle."""
    canvas = layers.canvas
    x, y = canvas.place.T
    middle = canvas.anchor(["stomion_upper"])[1]
    fan = x / (1 + 0.012 * np.abs(y - middle))
    across = np.stack([fan, 0.12 * y, 0 * y], axis=1)
    lines = solid_noise(across, 2.6, seed=52) + 0.7 * solid_noise(across * (1, 2, 1), 1.5, seed=53)
    layers.tint(red * lines.clip(-2.2, 2.2) * amount, [0.8, 1.15, 1.0])
