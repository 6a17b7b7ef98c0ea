"""Lids that follow the eyes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LID_RANGE = np.radians(30.0)
"""Rotation of the eye at which an eyeLook expression reaches weight 1."""


def lids_follow(expression: NDArray[np.floating], names: Sequence[str], gaze: NDArray[np.floating]) -> None:
    """Set the eyeLook weights (B, Ke), where the model has them, to what the gaze (B, 2, 2) asks for; in place."""
    for side, suffixes, outwards in ((0, ("_L", "Left"), 1.0), (1, ("_R", "Right"), -1.0)):
        yaw, pitch = gaze[:, side, 0] * outwards, gaze[:, side, 1]
        for name, angle in (("Out", yaw), ("In", -yaw), ("Up", pitch), ("Down", -pitch)):
            for suffix in suffixes:
                if f"eyeLook{name}{suffix}" in names:
                    expression[:, names.index(f"eyeLook{name}{suffix}")] = (angle / _LID_RANGE).clip(0, 1)


def lid_columns(names: Sequence[str]) -> list[int]:
    """Indices of the eyeLook expressions: those that :func:`lids_follow` sets."""
    pattern = re.compile(r"eyeLook(Out|In|Up|Down)(_L|_R|Left|Right)")
    return [column for column, name in enumerate(names) if pattern.fullmatch(name)]
