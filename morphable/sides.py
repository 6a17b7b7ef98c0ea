"""Left and right among the names of expressions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SIDES = (("_R", "_L"), ("Right", "Left"))


def right_to_left(names: Sequence[str]) -> dict[int, int]:
    """Index of each right-side expression → index of its left-side twin.

    ``jawRight`` and ``mouthRight`` tell a direction, not a side, and have no twin.
    """
    return {
        right: left for right, left in _pairs(names).items() if names[right] not in ("jawRight", "mouthRight")
    }  # fmt: skip


def mirrored_expressions(names: Sequence[str]) -> NDArray[np.intp]:
    """(Ke,) indices that mirror an expression: ``mirrored = weights[:, mirrored_expressions(names)]``."""
    order = np.arange(len(names))
    for right, left in _pairs(names).items():
        order[right], order[left] = left, right
    return order


def _pairs(names: Sequence[str]) -> dict[int, int]:
    position = {name: place for place, name in enumerate(names)}
    pairs = {}
    for name, place in position.items():
        for right, left in _SIDES:
            stem = name.removesuffix(right)
            if stem != name and stem + left in position:
                pairs[place] = position[stem + left]
    return pairs
