"""Where the parts that are no skin lie in the texture, and how they come apart when the model is loaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLOTS: dict[str, tuple[float, float, float, float]] = {
    "eyeball": (0.20, 0.090, 0.160, 0.075),
    "upper_teeth": (0.20, 0.005, 0.160, 0.035),
    "lower_teeth": (0.20, 0.045, 0.160, 0.035),
    "mouth_pocket": (0.37, 0.005, 0.160, 0.070),
    "lid_pocket": (0.37, 0.080, 0.160, 0.030),
    "nostril_pocket": (0.37, 0.115, 0.160, 0.050),
    "tongue": (0.54, 0.005, 0.160, 0.070),
    "upper_lashes": (0.54, 0.080, 0.160, 0.030),
    "lower_lashes": (0.54, 0.115, 0.160, 0.030),
}
"""Left, bottom, width and height of a part's place in the texture: the right half of it is the subject's left."""

_APART = ("eyeball", "lid_pocket", "nostril_pocket")
"""Parts whose halves are drawn edge to edge though they are no one surface."""

_GAP = 6 / 768
"""Between them, once they are apart."""


def apart(uv: NDArray[np.float32], uv_triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Texture coordinates (U, 2) whose left and right halves of a part do not touch, so that no map mixes them.

    Each half is narrowed towards its outer end. What is painted there hardly changes along it, so the paint need not
    move: a place takes its colour from at most three texels (of 768) beside its own.

    Args:
        uv: (U, 2).
        uv_triangles: (T, 3) indices into ``uv``.
    """
    result = uv.copy()
    middle = uv[uv_triangles].mean(axis=1)
    for name in _APART:
        left, bottom, width, height = SLOTS[name]
        place = (middle - (left, bottom)) / (width, height)
        within = ((place > 0) & (place < 1)).all(axis=1)
        for side in (-1, 1):
            half = np.unique(uv_triangles[within & (side * (place[:, 0] - 0.5) > 0)])
            inwards = 1 - np.abs(uv[half, 0] - (left + width / 2)) / (width / 2)
            result[half, 0] += side * _GAP / 2 * inwards
    return result
