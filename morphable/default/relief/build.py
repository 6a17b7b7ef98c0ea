"""The default face's relief, put together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.default.relief.lines import slopes
from facegen.morphable.default.relief.micro import read_grain, strength, tile_slopes
from facegen.morphable.default.relief.surface import mean_face
from facegen.morphable.default.relief.wrinkles import Group, heights, read_groups
from facegen.morphable.default.uv import PER_MILLIMETRE
from facegen.morphable.relief import STEPS, Relief

Float = NDArray[np.float32]


def build_relief(albedo_names: tuple[str, ...], expression_names: tuple[str, ...], size: int = 768) -> Relief:
    """The wrinkles and the grain of the default face.

    Args:
        albedo_names: of the model's albedo coefficients; ``wrinkles`` among them.
        expression_names: of its expressions, in ARKit's vocabulary; wrinkles of those it lacks never show.
        size: texels a side of the wrinkles' slopes, a multiple of 4.

    Raises:
        ModelError: an albedo coefficient that drives a group is missing.
    """
    face, groups = mean_face(), read_groups()
    scale = face.scale(size)
    wrinkles = np.zeros((len(groups), size, size, 2), np.int8)
    for group, stored in zip(groups, wrinkles, strict=True):
        stored[:] = _stored(slopes(heights(group, face, size), scale))
    tile = float(read_grain()["tile"]["millimetres"])
    return Relief(
        names=tuple(group.name for group in groups),
        wrinkles=wrinkles,
        base=np.array([group.strength.base for group in groups], np.float32),
        by_albedo=np.stack([_row(group, group.strength.albedo, albedo_names, needed=True) for group in groups]),
        by_expression=np.stack([_row(group, group.strength.expression, expression_names) for group in groups]),
        largest=np.array([group.strength.largest for group in groups], np.float32),
        micro=_stored(tile_slopes()),
        micro_repeats=1 / (tile * PER_MILLIMETRE),
        micro_strength=np.rint(255 * strength(face, size // 2)).astype(np.uint8),
        micro_millimetres=tile,
    )


def _row(group: Group, weights: dict[str, float], names: tuple[str, ...], needed: bool = False) -> Float:
    missing = set(weights).difference(names)
    if needed and missing:
        lacking = ", ".join(sorted(missing))
        raise ModelError(f"the wrinkles {group.name} are driven by {lacking}, which the albedo lacks")
    return np.array([weights.get(name, 0.0) for name in names], np.float32)


def _stored(values: NDArray[np.float64]) -> NDArray[np.int8]:
    stored: NDArray[np.int8] = np.rint(values * STEPS).clip(-127, 127).astype(np.int8)
    return stored
