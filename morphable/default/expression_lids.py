"""How the eyelids move: over the eyeball, and for a blink until the upper one overlaps the lower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from facegen.morphable.default.expression_fields import smoothstep
from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]

RISE, OVERLAP = 2.5, 2.2
"""How far the shut lower lid rises, and how far the upper one comes down over it, mm.

A blink displaces everyone's lids alike, but fissures differ in height (σ 1 mm), so on the mean the lids overlap.
"""

UPPER_CLEARANCE, LOWER_CLEARANCE = 2.95, 1.8
"""How far the shut margins float above the eyeball, mm: the upper in front of the lower one, and so far out that the
chord to there clears the cornea at half a blink."""

_INNER_CORNER, _CORNERS = (0.05, 0.7), 0.7
"""How rise and overlap grow with the fissure's height, relative to its greatest: by a power, as the eyeball lies right
behind the outer corner; but on the side of the nose the overlap by a smoothstep, none at the canthus, or skin folds."""

INNER_CANTHUS = (-0.4, -0.3, 0.2)
"""Where a blink draws it, mm: the shut lids run down from it, and the skin beside it would fold if it stayed."""


class Eyelids:
    """The lids of the left eye of a network."""

    def __init__(self, network: ControlNetwork, points: Float, eyeball_centre: Float) -> None:
        """Args: the network, its control points (n, 3) and the eyeball's centre (3,) at rest, mm."""
        self._network, self._points, self._centre = network, points, eyeball_centre
        inner, outer = (points[network.names[name], 0] for name in ("endocanthion", "exocanthion"))
        self._middle, self._half = (inner + outer) / 2, (outer - inner) / 2
        self._upper, self._lower = (
            CubicSpline(*points[network.rows(f"{side}_lid_margin"), :2].T) for side in ("upper", "lower")
        )
        across = np.linspace(inner, outer, 100)
        self._height = float((self._upper(across) - self._lower(across)).max())

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
        """(n, 3) displacement of the lids' margins to where the upper one overlaps the lower one."""
        network = self._network
        lower = self._points[network.rows("lower_lid_margin")]
        radius = CubicSpline(lower[:, 0], np.linalg.norm(lower - self._centre, axis=1))
        result = np.zeros((network.count, 3))
        for name, overlap, clearance in (
            ("upper_lid_margin", OVERLAP, UPPER_CLEARANCE),
            ("lower_lid_margin", 0.0, LOWER_CLEARANCE),
        ):
            rows = network.rows(name)[1:-1]
            start = self._points[rows]
            across, fade = start[:, 0], self._fade(start[:, 0])
            rounded = fade**_CORNERS
            full = np.where(across < self._middle, smoothstep(*_INNER_CORNER, fade), rounded)
            height = self._lower(across) + RISE * rounded - overlap * full
            target = np.stack([across, height, start[:, 2]], axis=1)
            least = network.eyeball.radius + LOWER_CLEARANCE * full
            above = np.maximum(radius(across), least) + (clearance - LOWER_CLEARANCE) * full
            result[rows] = self._at_radius(target, above) - start
            result[network.rows(name)[0]] = INNER_CANTHUS
        return result

    def _fade(self, across: Float) -> Float:
        """Height of the fissure relative to its greatest: 0 at the canthi and beyond."""
        height = self._upper(across) - self._lower(across)
        share: Float = np.where(np.abs(across - self._middle) < self._half, height / self._height, 0.0).clip(0, 1)
        return share

    def _at_radius(self, points: Float, radius: Float) -> Float:
        """Points (k, 3) brought forward or back to a distance (k,) from the eyeball's centre."""
        offset = points - self._centre
        depth = np.sqrt(np.maximum(radius**2 - offset[:, 0] ** 2 - offset[:, 1] ** 2, 0.0))
        # Where the eyeball's side is passed, depth has no more to give and the point keeps its own.
        result = points.copy()
        reached = (depth > 1.0) & (offset[:, 2] > 0)
        result[reached, 2] = self._centre[2] + depth[reached]
        return result
