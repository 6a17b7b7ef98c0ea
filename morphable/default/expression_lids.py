"""How the eyelids move: over the eyeball, and for a blink until their margins meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]

RISE = 0.8
"""How far the lower lid rises to meet the upper one, mm."""

CLOSED_CLEARANCE = 2.8
"""How far the shut margins float above the eyeball, mm: the chord to there must clear the cornea at half a blink."""


class Eyelids:
    """The lids of the left eye of a network."""

    def __init__(self, network: ControlNetwork, points: Float, eyeball_centre: Float) -> None:
        """Args: the network, its control points (n, 3) and the eyeball's centre (3,) at rest, mm."""
        self._network, self._points, self._centre = network, points, eyeball_centre
        inner, outer = (points[network.names[name], 0] for name in ("endocanthion", "exocanthion"))
        self._middle, self._half = (inner + outer) / 2, (outer - inner) / 2

    def follow(self, table: Mapping[str, Sequence[float]]) -> Float:
        """(n, 3) displacement of curves: across, up and away from the eyeball's centre; it fades to the canthi."""
        result = np.zeros((self._network.count, 3))
        for name, by in table.items():
            rows = self._network.rows(name)
            start = self._points[rows]
            share = self._fade(start[:, 0])[:, None] * np.asarray(by, np.float64)
            target = start + share * (1.0, 1.0, 0.0)
            radius = np.linalg.norm(start - self._centre, axis=1) + share[:, 2]
            result[rows] = self._at_radius(target, radius) - start
        return result

    def close(self) -> Float:
        """(n, 3) displacement of the lids' margins to where they meet: the lower one's line, a little risen."""
        network = self._network
        lower = self._points[network.rows("lower_lid_margin")]
        height = CubicSpline(lower[:, 0], lower[:, 1])
        radius = CubicSpline(lower[:, 0], np.linalg.norm(lower - self._centre, axis=1))
        result = np.zeros((network.count, 3))
        for name in ("upper_lid_margin", "lower_lid_margin"):
            rows = network.rows(name)[1:-1]
            start = self._points[rows]
            across, fade = start[:, 0], self._fade(start[:, 0])
            target = np.stack([across, height(across) + RISE * fade, start[:, 2]], axis=1)
            above = np.maximum(radius(across), network.eyeball.radius + CLOSED_CLEARANCE * np.sqrt(fade))
            result[rows] = self._at_radius(target, above) - start
        return result

    def _fade(self, across: Float) -> Float:
        """1 over the pupil, 0 at the canthi and beyond."""
        share: Float = (1 - ((across - self._middle) / self._half) ** 2).clip(0, 1) ** 0.75
        return share

    def _at_radius(self, points: Float, radius: Float) -> Float:
        """Points (k, 3) brought forward or back to a distance (k,) from the eyeball's centre."""
        offset = points - self._centre
        depth = np.sqrt(np.maximum(radius**2 - offset[:, 0] ** 2 - offset[:, 1] ** 2, 0.0))
        # Where the eyeball's side is passed, depth has no more to give and the point keeps its own.
        result = points.copy()
        reached = depth > 1.0
        result[reached, 2] = self._centre[2] + depth[reached]
        return result
