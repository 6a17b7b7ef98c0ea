"""The 68 landmarks of the default head, as vertices of the coarse level and so of every level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.levels import Level
from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]

# For each landmark in Multi-PIE order: the feature, the place in its list, and whether it is on the subject's right.
_RIGHT, _LEFT = True, False
_ORDER: tuple[tuple[str, int, bool], ...] = (
    *(("jaw", i, _RIGHT) for i in range(8)),
    *(("jaw", i, _LEFT) for i in range(8, -1, -1)),
    *(("brow", i, _RIGHT) for i in range(4, -1, -1)),
    *(("brow", i, _LEFT) for i in range(5)),
    *(("nose_bridge", i, _LEFT) for i in range(4)),
    *(("nose_base", i, _RIGHT) for i in (2, 1)),
    *(("nose_base", i, _LEFT) for i in range(3)),
    *(("upper_lid", i, _RIGHT) for i in (3, 2, 1, 0)),
    *(("lower_lid", i, _RIGHT) for i in (1, 0)),
    *(("upper_lid", i, _LEFT) for i in range(4)),
    *(("lower_lid", i, _LEFT) for i in range(2)),
    *(("upper_vermilion", i, _RIGHT) for i in range(3)),
    *(("upper_vermilion", i, _LEFT) for i in (3, 2, 1, 0)),
    *(("lower_vermilion", i, _LEFT) for i in range(3)),
    *(("lower_vermilion", i, _RIGHT) for i in (1, 0)),
    *(("upper_seam", i, _RIGHT) for i in (0, 1)),
    *(("upper_seam", i, _LEFT) for i in (2, 1, 0)),
    *(("lower_seam", i, _LEFT) for i in range(2)),
    *(("lower_seam", i, _RIGHT) for i in (0,)),
)


def landmark_places(network: ControlNetwork) -> Float:
    """Where the 68 landmarks are named to be on the uncalibrated network (68, 3), mm."""
    mirrored = np.array([-1.0, 1.0, 1.0])
    return np.array([network.landmarks[name][i] * (mirrored if right else 1.0) for name, i, right in _ORDER])


def landmark_vertices(places: Float, positions: Float, coarse: Level) -> NDArray[np.int32]:
    """The nearest vertex (68,) of the coarse level's skin to each place.

    Args:
        places: (68, 3) of :func:`landmark_places`.
        positions: (N, 3) vertices of the uncalibrated head at any level.
        coarse: the coarse level.
    """
    outer = np.unique(coarse.triangles[coarse.island < 2])
    distance = np.linalg.norm(positions[outer] - places[:, None], axis=2)
    nearest: NDArray[np.int32] = outer[distance.argmin(axis=1)].astype(np.int32)
    return nearest
