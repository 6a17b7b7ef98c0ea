"""What is no skin: eyes, teeth, mouth, nostrils, lid rims, tongue, lashes, and the bust's cloth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.paint.canvas import Canvas, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import solid_noise
from facegen.morphable.default.slots import SLOTS

Float = NDArray[np.float64]
Where = NDArray[np.bool_]


def paint_parts(layers: Layers) -> None:
    """Every slot, a little beyond its border."""
    for name in SLOTS:
        where, across, along = _slot(layers.canvas, name)
        layers.cover(np.ones(len(across)), _stops(_colours_of(name), across), where)
        extra = _EXTRAS.get(name)
        if extra is not None:
            extra(layers, where, across, along)


def _colours_of(name: str) -> str:
    return "teeth" if name.endswith("_teeth") else "lashes" if name.endswith("_lashes") else name


def _slot(canvas: Canvas, name: str) -> tuple[Where, Float, Float]:
    """Texels of a slot, their share (m,) across it from its row 0, and along it: −1 … 1 from right to left."""
    left, bottom, width, height = SLOTS[name]
    u, v = canvas.uv[..., 0], canvas.uv[..., 1]
    margin = 0.005
    where = (u > left - margin) & (u < left + width + margin) & (v > bottom - margin) & (v < bottom + height + margin)
    across = ((v[where] - bottom) / height).clip(0, 1)
    along = (2 * (u[where] - left) / width - 1).clip(-1, 1)
    return where, across, along


def _stops(name: str, across: Float) -> Float:
    stops = read_appearance()["inside"][name]
    shares, colours = np.array([s for s, _ in stops]), np.array([c for _, c in stops])
    return np.stack([np.interp(across, shares, column) for column in colours.T], axis=1)


def _grain(across: Float, along: Float, wavelength: float, seed: int) -> Float:
    return solid_noise(np.stack([along, across, 0 * along], axis=1), wavelength, seed)


def _eyeball(layers: Layers, where: Where, across: Float, along: Float) -> None:
    """Veins that thin out towards the iris, which the renderer paints, densest towards the canthi."""
    # Columns run around the optical axis from the temporal side.
    around = np.pi * 2 * np.abs(along)
    place = np.stack([np.cos(around), np.sin(around), np.sign(along)], axis=1) * (1.6 - across)[:, None]
    ridge = np.abs(solid_noise(place, 0.55, seed=100) + 0.4 * solid_noise(place, 0.2, seed=101))
    sides = 0.35 + 0.65 * np.abs(np.cos(around)) ** 3
    veins = np.exp(-((ridge / 0.10) ** 2)) * (1 - step(0.12, 0.52, across)) * sides
    layers.mean[where] += (0.7 * veins)[:, None] * np.array([0.04, 0.30, 0.26])
    layers.weigh("sclera_tone", (0.60 + 0.25 * (1 - across) * sides + 0.6 * veins).clip(0, 1), where)


def _teeth(layers: Layers, where: Where, across: Float, along: Float) -> None:
    """Single teeth: dark where two touch, a little unlike each other, darker towards the back."""
    teeth = read_appearance()["teeth"]
    number = np.abs(along) * teeth["count"]
    away = np.abs(number - np.rint(number)) / teeth["count"]
    enamel = step(teeth["gum"] - 0.02, teeth["gum"] + 0.03, across)
    layers.mean[where] += (np.exp(-((away / teeth["gap"]) ** 2)) * enamel)[:, None] * np.array(teeth["density"])
    tone = np.random.default_rng(102).normal(0, 0.03, 2 * teeth["count"] + 2)
    chosen = number.astype(np.intp) + (along > 0) * (teeth["count"] + 1)
    layers.mean[where] += (tone[chosen] * enamel)[:, None] * np.array([0.6, 1.0, 1.6])
    layers.mean[where] += 0.8 * step(0.4, 1.0, np.abs(along))[:, None]
    layers.weigh("teeth_tone", enamel, where)


def _wet(layers: Layers, where: Where, across: Float, along: Float) -> None:
    layers.mean[where] += 0.05 * _grain(8 * along, 4 * across, 0.6, seed=103)[:, None] * np.array([0.5, 1.0, 1.0])


def _rim(layers: Layers, where: Where, across: Float, along: Float) -> None:
    """A pocket begins as skin: it follows the skin's colour there."""
    layers.weigh("melanin", 0.85 * (1 - step(0.1, 0.7, across)), where)


def _lip_rim(layers: Layers, where: Where, across: Float, along: Float) -> None:
    _wet(layers, where, across, along)
    layers.weigh("melanin", 0.5 * (1 - step(0.0, 0.3, across)), where)


def _lashes(layers: Layers, where: Where, across: Float, along: Float) -> None:
    for name, share in read_appearance()["hair"]["on_lashes"].items():
        layers.weigh(name, np.full(len(across), share), where)


_EXTRAS: dict[str, Callable[[Layers, Where, Float, Float], None]] = {
    "eyeball": _eyeball,
    "upper_teeth": _teeth,
    "lower_teeth": _teeth,
    "mouth_pocket": _lip_rim,
    "lid_pocket": _rim,
    "nostril_pocket": _rim,
    "tongue": _wet,
    "upper_lashes": _lashes,
    "lower_lashes": _lashes,
}


def paint_bust(layers: Layers) -> None:
    """A plain T-shirt, and above its collar skin like the neck's."""
    canvas, values = layers.canvas, read_appearance()
    bust = values["bust"]
    u, v = canvas.uv[..., 0], canvas.uv[..., 1]
    where = (u > bust["left"]) & (u < bust["right"]) & (v > bust["bottom"]) & (v < bust["top"])
    up = ((v[where] - bust["first"]) / (bust["last"] - bust["first"])).clip(0, 1)
    collar = bust["collar"]
    skin = step(collar - 0.004, collar + 0.004, up)
    neck = values["complexion"]["neck"]["density"]
    cloth = np.array(values["inside"]["cloth"]) + 0.04 * _grain(14 * u[where], 14 * v[where], 0.25, seed=104)[:, None]
    seam = np.exp(-(((up - collar + 0.10) / 0.012) ** 2)) + np.exp(-(((up - collar) / 0.010) ** 2)) * (1 - skin)
    cloth += 0.35 * seam[:, None]
    bare = np.array(values["skin"]["density"]) + neck
    layers.cover(np.ones(len(up)), cloth * (1 - skin)[:, None] + bare * skin[:, None], where)
    layers.weigh("melanin", skin, where)
    layers.weigh("undertone", skin, where)
    layers.weigh("haemoglobin", skin * values["skin"]["haemoglobin_elsewhere"], where)
