"""Bare skin: pigments, ruddy and pale places, lids, ears, creases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.paint.canvas import Canvas, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import solid_noise
from facegen.morphable.default.relief.surface import mean_face
from facegen.morphable.default.relief.wrinkles import Group, heights, read_groups

Float = NDArray[np.float64]


def paint_skin(layers: Layers) -> None:
    """The skin of both charts, still without lips and hair."""
    canvas, values = layers.canvas, read_appearance()
    skin = values["skin"]
    everywhere = np.ones(len(canvas.place))
    # What is left free between the islands has the skin's colour too.
    layers.mean[:] = skin["density"]
    layers.weigh("melanin", everywhere)
    layers.weigh("undertone", everywhere)
    for k, patch in enumerate(skin["uneven"]):
        layers.tint(solid_noise(canvas.sphere, patch["wavelength"], seed=10 + k).clip(-2, 2), patch["density"])
    _add_pores(layers, skin["pores"])
    blood = _add_complexion(layers) + _add_ears(layers)
    layers.weigh("haemoglobin", (skin["haemoglobin_elsewhere"] + blood).clip(0, 1))
    _add_lids(layers)
    _add_creases(layers)
    _add_nostril_rims(layers)


def _add_pores(layers: Layers, amount: float) -> None:
    """Grain of about the size of a texel, where texels are small."""
    canvas = layers.canvas
    grain = np.random.default_rng(20).standard_normal((canvas.size, canvas.size))
    softened = (4 * grain + sum(np.roll(grain, k, axis) for k in (1, -1) for axis in (0, 1))) / np.sqrt(20)
    layers.tint(softened[canvas.skin] * canvas.in_face, [amount, amount, amount])


def _add_complexion(layers: Layers) -> Float:
    """Returns how much more blood (n,) there is than elsewhere."""
    canvas = layers.canvas
    blood = np.zeros(len(canvas.place))
    # Borders of the patches wander, as in life.
    wander = 1 + 0.22 * solid_noise(canvas.sphere, 16, seed=30).clip(-2, 2)
    flush: dict[str, Float] = {}
    for patch in read_appearance()["complexion"].values():
        hill = canvas.bump(canvas.anchor(patch["at"]), tuple(patch["radius"]), patch.get("tilt", 0.0)) * wander
        layers.tint(hill, patch["density"])
        blood += patch["blood"] * hill
        if "mask" in patch:
            flush[patch["mask"]] = np.maximum(flush.get(patch["mask"], 0.0), hill)
    for name, amount in flush.items():
        add_mark(layers, name, amount)
    return blood


def add_mark(layers: Layers, name: str, amount: Float) -> None:
    """A component's mask, and its share in the mean."""
    values = read_appearance()
    amount = amount.clip(0, 1)
    layers.weigh(name, amount)
    layers.tint(values["in_mean"][name] * amount, values["components"][name])


def _add_ears(layers: Layers) -> Float:
    canvas, ears = layers.canvas, read_appearance()["ears"]
    ear = step(-3, 6, canvas.depth(canvas.outline("ear")))
    rim, _ = canvas.near(canvas.line("helix"))
    hollow = np.minimum(canvas.near(canvas.line("concha"))[0] / 4.5, canvas.near(canvas.line("scapha"))[0] / 2.5)
    layers.tint(ear, ears["density"])
    layers.tint(ear * np.exp(-0.5 * (rim / 5) ** 2), ears["rim"])
    layers.tint(ear * np.exp(-0.5 * hollow**2), ears["hollow"])
    blood: Float = ear * ears["blood"]
    return blood


def _add_lids(layers: Layers) -> None:
    canvas, lids = layers.canvas, read_appearance()["lids"]
    upper, lower = canvas.line("upper_lid_margin"), canvas.line("lower_lid_margin")
    from_upper, along = canvas.near(upper)
    from_lower, along_lower = canvas.near(lower)
    circle, corner = lids["circle"], lids["inner_corner"]
    hollow = canvas.bump(canvas.anchor(circle["at"]), tuple(circle["radius"]), circle["tilt"])
    nasal = canvas.bump(canvas.anchor(corner["at"]), tuple(corner["radius"]))
    add_mark(layers, "eye_circles", (0.85 * hollow + 0.55 * nasal) * step(0.2, 2.2, from_lower))
    fold, _ = canvas.near(canvas.line("lid_fold"))
    lid = np.concatenate([upper, canvas.line("lid_crease")[::-1]])
    add_mark(
        layers, "eyelid_tone", np.maximum(step(-1.5, 1.2, canvas.depth(lid)), 0.45 * np.exp(-0.5 * (fold / 2.2) ** 2))
    )
    margin = lids["margin"]
    layers.tint(np.exp(-0.5 * (np.minimum(from_upper, from_lower) / margin["width"]) ** 2), margin["density"])
    red = lids["inner_red"]
    layers.tint(canvas.bump(canvas.anchor(["endocanthion"]), tuple(red["radius"])), red["density"])
    # Lashes leave the inner corner free and thicken the line outwards.
    share, share_lower = along / (len(upper) - 1), along_lower / (len(lower) - 1)
    width = lids["lash_width"]
    line = np.exp(-((from_upper / (width["upper"] * (0.7 + 0.5 * share))) ** 2)) * step(0.04, 0.3, share)
    below = np.exp(-((from_lower / width["lower"]) ** 2)) * step(0.25, 0.6, share_lower) * lids["lower_share"]
    add_mark(layers, "lash_line", np.maximum(line, below))


def _add_creases(layers: Layers) -> None:
    canvas = layers.canvas
    dark = np.zeros(len(canvas.place))
    for name, crease in read_appearance()["creases"].items():
        line = canvas.path(crease["path"], 0.4) if "path" in crease else canvas.line(name)
        away, along = canvas.near(line)
        # Fades towards its ends, unless it crosses the midline.
        share = along / (len(line) - 1)
        ends = step(0, 0.15, 1 - share) * (1.0 if line[0, 0] < 1 else step(0, 0.15, share))
        dark = np.maximum(dark, crease["amount"] * ends * np.exp(-0.5 * (away / crease["width"]) ** 2))
    neck = read_appearance()["neck_creases"]
    (lines,) = (group for group in read_groups() if group.name == neck["group"])
    dark = np.maximum(dark, neck["amount"] * valleys(canvas, lines))
    dark *= 0.85 + 0.15 * solid_noise(canvas.sphere, 7, seed=40).clip(-1, 1)
    add_mark(layers, "crease_darkness", dark)


def _add_nostril_rims(layers: Layers) -> None:
    canvas, nostril = layers.canvas, read_appearance()["nostril"]
    loop = canvas.line("nostril")
    depth = canvas.depth(loop)
    layers.tint(np.where(depth > 0, 1.0, np.exp(-0.5 * (depth / nostril["width"]) ** 2)), nostril["density"])


def valleys(canvas: Canvas, group: Group) -> Float:
    """How dark (n,) the valleys of a group of the relief's wrinkles are, so that paint and relief agree."""
    fine = -heights(group, mean_face(), canvas.size).clip(None, 0)
    factor = len(fine) // canvas.size
    depth = fine.reshape(canvas.size, factor, canvas.size, factor).mean(axis=(1, 3))[canvas.skin]
    dark: Float = 1 - np.exp(-depth / read_appearance()["wrinkles"]["depth"])
    return dark
