"""Freckles, spots, moles, mottling and fine wrinkles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.paint.canvas import Canvas, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import solid_noise
from facegen.morphable.default.paint.skin import add_mark, valleys
from facegen.morphable.default.relief.wrinkles import read_groups

Float = NDArray[np.float64]


def paint_marks(layers: Layers, lips: Float) -> None:
    """All marks; the lips (n,) stay free of them."""
    canvas, values = layers.canvas, read_appearance()
    free = (1 - lips) * canvas.in_face
    for seed, name in enumerate(("freckles", "age_spots", "moles"), start=90):
        kind = values[name]
        where = np.maximum(_patches(canvas, kind["places"]), kind["elsewhere"] * _upper_face(canvas))
        add_mark(layers, name, _spots(canvas, kind, where, seed) * free)
    _add_mottling(layers, lips)
    dark = np.maximum.reduce([valleys(canvas, group) for group in read_groups() if "wrinkles" in group.strength.albedo])
    add_mark(layers, "wrinkles", dark * (1 - lips))


def _patches(canvas: Canvas, patches: list[Any]) -> Float:
    found: Float = np.maximum.reduce([canvas.bump(canvas.anchor(at), tuple(radius)) for at, radius in patches])
    return found


def _upper_face(canvas: Canvas) -> Float:
    mouth = canvas.anchor(["stomion_upper"])[1]
    return step(mouth - 25, mouth + 15, canvas.place[:, 1])


def _spots(canvas: Canvas, kind: dict[str, Any], likely: Float, seed: int) -> Float:
    """Spots (n,) of irregular outline and strength, thrown where they are likely (n,), away from brows and lids."""
    random = np.random.default_rng(seed)
    chance = likely * canvas.in_face * _open_skin(canvas)
    # Drawn by place, not by texel, so that a finer canvas has the same spots.
    found: list[Float] = []
    grid = canvas.spread(chance)
    while len(found) < kind["count"]:
        place = random.uniform(-95, 95, 2)
        column, row = np.rint(canvas.texel_of(place)).astype(np.intp)
        if random.random() < grid[row, column]:
            found.append(place)
    low, high = kind["radius"]
    result = np.zeros((canvas.size, canvas.size))
    per_mm = canvas.texels_per_mm
    for place in found:
        radius = low + (high - low) * random.random() ** 2.2
        strength = random.uniform(0.45, 1.0)
        lobes = random.normal(0, kind["uneven"], 4)
        phase = random.uniform(0, 2 * np.pi, 4)
        centre = canvas.texel_of(place)
        reach = int(np.ceil(radius * 1.8 * per_mm)) + 1
        first = np.maximum(np.floor(centre).astype(np.intp) - reach, 0)
        rows = slice(first[1], first[1] + 2 * reach + 2)
        columns = slice(first[0], first[0] + 2 * reach + 2)
        y, x = np.mgrid[rows, columns] - centre[::-1, None, None]
        angle = np.arctan2(y, x)
        outline = radius * (
            1 + sum(a * np.cos((k + 2) * angle + p) for k, (a, p) in enumerate(zip(lobes, phase, strict=True)))
        )
        depth = 1 - np.hypot(x, y) / per_mm / outline
        spot = strength * step(-kind["edge"], kind["edge"], depth)
        # A spot smaller than a texel covers a share of it.
        spot *= min(1.0, (2 * radius * per_mm) ** 2)
        result[rows, columns] = np.maximum(result[rows, columns], spot)
    return result[canvas.skin]


def _open_skin(canvas: Canvas) -> Float:
    """1 (n,) on skin, 0 at eyes, mouth and nostrils."""
    loops = ("upper_lid_margin", "lower_lid_margin", "upper_mouth_seam", "lower_mouth_seam", "nostril", "lid_crease")
    away = np.minimum.reduce([canvas.near(canvas.line(name), 10)[0] for name in loops])
    return step(1.5, 4.5, away)


def _add_mottling(layers: Layers, lips: Float) -> None:
    canvas, values = layers.canvas, read_appearance()["mottling"]
    patches = solid_noise(canvas.sphere, values["wavelength"], seed=93)
    patches += 0.6 * solid_noise(canvas.sphere, 0.4 * values["wavelength"], seed=94)
    where = np.maximum(_patches(canvas, values["places"]), values["elsewhere"])
    add_mark(layers, "mottling", step(-0.2, 2.2, patches) * where * (1 - lips))
