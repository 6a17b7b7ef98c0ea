"""The 19 measurements of a head between anatomical points (Farkas 1994, "Anthropometry of the Head and Face")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]


class Measurements:
    """Lengths of 3-vectors that are linear in the control points, so that their gradients are exact."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]], network: ControlNetwork) -> None:
        """Look the points up.

        Args:
            table: name → ``kind`` (width, distance or height) and ``points``, names of anatomical points.
            network: that has the points.
        """
        self.names = tuple(table)
        points = anatomical_points(network)
        ends = [[points[name] for name in entry["points"]] for entry in table.values()]
        width = np.array([entry["kind"] == "width" for entry in table.values()])
        height = np.array([entry["kind"] == "height" for entry in table.values()])
        self._first = np.array([rows[0] for rows in ends])
        self._second = np.array([rows[-1] for rows in ends])
        self._minus = np.where(width, 0.0, 1.0)
        self._scale = np.where(width[:, None], (2.0, 0.0, 0.0), np.where(height[:, None], (0.0, 1.0, 0.0), 1.0))

    def spans(self, points: Float) -> Float:
        """Vectors (..., 19, 3) whose lengths are the measurements; linear in ``points`` (..., n, 3)."""
        difference: Float = points[..., self._first, :] - self._minus[:, None] * points[..., self._second, :]
        return difference * self._scale

    def __call__(self, points: Float) -> Float:
        """Measurements (..., 19), mm, of control points (..., n, 3) of the left half."""
        lengths: Float = np.linalg.norm(self.spans(points), axis=-1)
        return lengths


def anatomical_points(network: ControlNetwork) -> dict[str, int]:
    """Rows of the points by name: the network's own, and two that are middles of its curves."""
    upper, lower = network.rows("upper_lid_margin"), network.rows("lower_lid_margin")
    return {
        **network.names,
        "palpebrale_superius": int(upper[len(upper) // 2]),
        "palpebrale_inferius": int(lower[len(lower) // 2]),
    }
