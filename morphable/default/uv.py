"""The texture's layout: where the charts and the other parts lie in the unit square.

The front chart is compressed beyond the face, so that the face has most of the texels::

    +-----------------------------+
    |                             |
    |   front: face in the middle |
    |                             |
    +------+----------------+-----+
    | back | eyes, mouth, … | bust|
    +------+----------------+-----+
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.chart import BACK, FRONT, OTHER
from facegen.morphable.default.levels import Level
from facegen.morphable.default.slots import SLOTS

Float = NDArray[np.float64]

TO_SCALE = 110.0
"""Up to this distance from its centre the front chart is to scale, mm."""
BEYOND = 0.42
"""Scale beyond it."""

PER_MILLIMETRE = 0.00284
"""Units of u and v per mm in the middle of the front chart."""
_FRONT_CENTRE = np.array([0.5, 0.588])

_BACK_CENTRE = np.array([0.1, 0.049])
_BACK_PER_MILLIMETRE = np.array([0.00090, 0.00079])


def front_uv(places: Float) -> Float:
    """Texture coordinates (n, 2) of places (n, 2) in the front chart, mm."""
    radius = np.linalg.norm(places, axis=-1, keepdims=True)
    squeezed = np.where(radius > TO_SCALE, TO_SCALE + BEYOND * (radius - TO_SCALE), radius)
    found: Float = _FRONT_CENTRE + PER_MILLIMETRE * places * squeezed / np.maximum(radius, 1e-9)
    return found


def front_places(uv: Float) -> Float:
    """The inverse of :func:`front_uv`."""
    squeezed = (uv - _FRONT_CENTRE) / PER_MILLIMETRE
    radius = np.linalg.norm(squeezed, axis=-1, keepdims=True)
    full = np.where(radius > TO_SCALE, TO_SCALE + (radius - TO_SCALE) / BEYOND, radius)
    found: Float = squeezed * full / np.maximum(radius, 1e-9)
    return found


def back_uv(places: Float) -> Float:
    """Texture coordinates (n, 2) of places (n, 2) in the back chart, mm."""
    return _BACK_CENTRE + _BACK_PER_MILLIMETRE * places


def back_places(uv: Float) -> Float:
    """The inverse of :func:`back_uv`."""
    found: Float = (uv - _BACK_CENTRE) / _BACK_PER_MILLIMETRE
    return found


def texture_coordinates(level: Level) -> Float:
    """(U, 2) texture coordinates of a level, v upwards."""
    chart = np.full(len(level.uv_vertex), OTHER)
    for number in (FRONT, BACK):
        chart[level.uv_triangles[level.island == number]] = number
    result = level.uv_place.copy()
    front, back = chart == FRONT, chart == BACK
    result[front] = front_uv(level.front[level.uv_vertex[front]])
    result[back] = back_uv(level.back[level.uv_vertex[back]])
    return result


def in_slot(name: str, along: float, across: float, side: int) -> tuple[float, float]:
    """Texture coordinates of a place of a part, both 0 … 1; ``side`` is 0 on the subject's left."""
    x, y, width, height = SLOTS[name]
    half = 0.5 * along if not side else -0.5 * along
    return x + width * (0.5 + half), y + height * across
