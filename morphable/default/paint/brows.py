"""Brows of single hairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from facegen.morphable.default.paint.canvas import Canvas, resampled
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import bent_strokes, draw_strokes

Float = NDArray[np.float64]
Random = np.random.Generator


def paint_brows(layers: Layers) -> None:
    """Brows of single hairs: a thin arch, and hairs around it that make it broad."""
    canvas, values = layers.canvas, read_appearance()
    brows = values["brows"]
    line = _brow_line(canvas)
    random = np.random.default_rng(70)
    layer: dict[str, Float] = {}
    for name in ("core", "edge"):
        drawn = np.zeros((canvas.size, canvas.size))
        for side in (1.0, -1.0):
            drawn = 1 - (1 - drawn) * (1 - _brow_hairs(canvas, line, brows, brows[name], side, random))
        # Shadow between the hairs.
        soft = gaussian_filter(drawn, canvas.size / 600)
        layer[name] = (1 - (1 - 0.88 * drawn) * (1 - 0.30 * soft))[canvas.skin] * brows[name]["amount"] / 0.9
    edge = layer["edge"] * (1 - layer["core"])
    hair = (layer["core"] + edge).clip(0, 0.95)
    layers.cover(hair, brows["density"])
    for name, share in values["hair"]["on_brows"].items():
        layers.weigh(name, share * hair)
    layers.weigh("brow_density", hair)
    layers.weigh("brow_thickness", edge)


def _brow_line(canvas: Canvas) -> Float:
    """Middle of the left brow (k, 2) in the front chart, from its head to its tail."""
    brows = read_appearance()["brows"]
    rows = canvas.network.rows("brow")
    # The curve's points start with the ridge, from the midline to the temple.
    ridge = rows[: int(np.argmax(canvas.network.points[rows, 0] > 54))]
    line = resampled(canvas.network.chart_points[ridge] + (0, brows["raise"]), 0.25)
    chosen: Float = line[line[:, 0] > brows["head"]]
    return chosen


def _brow_hairs(
    canvas: Canvas, line: Float, brows: dict[str, Any], kind: dict[str, Any], side: float, random: Random
) -> Float:
    """Coverage (H, W) of one side's hairs."""
    count = kind["count"]
    share = random.random(count) ** 0.85
    at = share * (len(line) - 1)
    index = np.minimum(at.astype(np.intp), len(line) - 2)
    along = np.gradient(line, axis=0)[index]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    up = np.stack([-along[:, 1], along[:, 0]], axis=1)
    # Broadest in the first third, a point at the tail; the head is ragged.
    taper = np.interp(share, [0, 0.12, 0.4, 0.7, 1], [0.72, 0.95, 1.0, 0.66, 0.22])
    offset = random.uniform(-1, 1, count)
    offset = np.where(offset > 0, offset * kind["above"], offset * kind["below"]) * taper
    if kind is brows["edge"]:
        offset -= 0.5 * (1 - share)
    angle = np.interp(share, brows["along"], brows["angle"])
    # Hairs from below sweep up, those from above sweep down: they meet in a ridge.
    angle = np.radians(
        angle
        - np.interp(share, [0, 0.25, 1], [2, 9, 7]) * np.sign(offset) * np.abs(offset) / 2
        + random.normal(0, 7, count)
    )
    heading = along * np.cos(angle)[:, None] + up * np.sin(angle)[:, None]
    shortest, longest = brows["length"]
    length = random.uniform(shortest, longest, count) * np.interp(share, [0, 0.2, 0.7, 1], [0.5, 1.0, 0.95, 0.7])
    middle = line[index] + up * offset[:, None]
    roots, tips = middle - heading * length[:, None] * 0.45, middle + heading * length[:, None] * 0.55
    lines = bent_strokes(roots, tips, random.normal(0.05, 0.05, count))
    texels = canvas.texel_of(lines * (side, 1.0))
    wide = brows["width"] * canvas.texels_per_mm * np.array([1.0, 1.05, 1.0, 0.85, 0.65, 0.35])
    amount = (random.uniform(0.4, 1.0, count) * np.interp(share, [0, 0.18], [0.5, 1.0]))[:, None] * np.array(
        [0.75, 1.0, 1.0, 0.95, 0.8, 0.5]
    )
    return draw_strokes(canvas.size, texels, np.tile(wide, (count, 1)), amount)
