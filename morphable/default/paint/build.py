"""The whole paint: mean density, masks and colours of the albedo's components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.network import read_network
from facegen.morphable.default.paint.beard import paint_beard
from facegen.morphable.default.paint.brows import paint_brows
from facegen.morphable.default.paint.canvas import Canvas
from facegen.morphable.default.paint.inside import paint_bust, paint_parts
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.lips import paint_lips
from facegen.morphable.default.paint.marks import paint_marks
from facegen.morphable.default.paint.scalp import paint_scalp
from facegen.morphable.default.paint.skin import paint_skin

Float = NDArray[np.float32]

STEP = 1 / 256
"""The mean's densities are multiples of it: finer is not seen, and coarser packs better."""


@dataclass(frozen=True)
class Paint:
    """``density = mean + Σ coefficient_k · masks_k / 255 · colours_k`` with density = −ln(linear reflectance)."""

    names: tuple[str, ...]
    """Of the K components, which are in σ."""
    mean: Float
    """(H, H, 3) density, row 0 at the top (v = 1)."""
    masks: NDArray[np.uint8]
    """(K, H, H)."""
    colours: Float
    """(K, 3) density per σ where the mask is 255."""


def paint(size: int = 768) -> Paint:
    """Paint the default face on a texture of ``size`` texels a side. Deterministic."""
    components = read_appearance()["components"]
    layers = Layers(Canvas(read_network(), size), tuple(components))
    paint_skin(layers)
    lips = paint_lips(layers)
    paint_marks(layers, lips)
    paint_beard(layers, lips)
    paint_brows(layers)
    paint_scalp(layers)
    paint_parts(layers)
    paint_bust(layers)
    masks = np.stack([np.rint(255 * mask.clip(0, 1)).astype(np.uint8) for mask in layers.masks.values()])
    mean = (np.rint(layers.mean.clip(0, 6) / STEP) * STEP).astype(np.float32)
    return Paint(tuple(components), mean, masks, np.array(list(components.values()), np.float32))
