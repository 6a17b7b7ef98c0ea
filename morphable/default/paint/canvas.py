"""The texels of the default face's texture, and where each of them lies on the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from facegen.morphable.default.chart import BACK, CENTRE, FRONT, RADIUS, to_chart
from facegen.morphable.default.curves import chart_curve
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.default.outline import contains
from facegen.morphable.default.uv import PER_MILLIMETRE, TO_SCALE, back_places, back_uv, front_places, front_uv

Float = NDArray[np.float64]

SLOT_TOP = 0.19
"""Below it (in v) lie the back chart, the slots and the bust; above it the front chart."""
BACK_WIDTH = 0.196
"""Up to it (in u) lies the back chart."""


@dataclass(frozen=True)
class Canvas:
    """A square texture of ``size`` texels a side, row 0 at the top (v = 1), and its n texels of skin.

    The skin's texels are both charts with what surrounds them, so that sampling across an island's border is harmless.
    """

    network: ControlNetwork
    size: int

    @cached_property
    def uv(self) -> Float:
        """(size, size, 2) texture coordinates of the texels' centres."""
        along = (np.arange(self.size) + 0.5) / self.size
        u, v = np.meshgrid(along, along[::-1])
        return np.stack([u, v], axis=-1)

    @cached_property
    def skin(self) -> NDArray[np.bool_]:
        """(size, size) texels of the two charts; n of them."""
        u, v = self.uv[..., 0], self.uv[..., 1]
        found: NDArray[np.bool_] = (v > SLOT_TOP) | (u < BACK_WIDTH)
        return found

    @cached_property
    def behind(self) -> NDArray[np.bool_]:
        """(n,) skin texels of the back chart."""
        found: NDArray[np.bool_] = self.uv[self.skin][:, 1] <= SLOT_TOP
        return found

    @cached_property
    def direction(self) -> Float:
        """(n, 3) unit vectors from the front chart's centre towards the skin's texels: continuous across the rim."""
        uv = self.uv[self.skin]
        result = np.empty((len(uv), 3))
        result[~self.behind] = _directions(front_places(uv[~self.behind]), 1.0)
        result[self.behind] = self._seen_from_front(_directions(back_places(uv[self.behind]), -1.0))
        return result

    def _seen_from_front(self, direction: Float) -> Float:
        """Directions from the back chart's centre as directions from the front one's: needs the head's radius."""
        network = self.network
        rows = network.rows(*(name for name, curve in network.curves.items() if curve.chart == BACK), "rim")
        offset = (
            np.unique(np.concatenate([network.points[rows], network.points[rows] * (-1, 1, 1)]), axis=0) - CENTRE[BACK]
        )
        radius = np.linalg.norm(offset, axis=1)
        found = RBFInterpolator(offset / radius[:, None], radius, kernel="linear")(direction)
        seen = direction * found[:, None] + CENTRE[BACK] - CENTRE[FRONT]
        unit: Float = seen / np.linalg.norm(seen, axis=1, keepdims=True)
        return unit

    @cached_property
    def place(self) -> Float:
        """(n, 2) places in the front chart, mm, of both charts' texels."""
        return to_chart(CENTRE[FRONT] + self.direction, FRONT)

    @cached_property
    def half(self) -> Float:
        """(n, 2) places mirrored to the left half."""
        return np.abs(self.place * (1, 0)) + self.place * (0, 1)

    @cached_property
    def sphere(self) -> Float:
        """(n, 3) places on a sphere about the front chart's centre, mm."""
        return RADIUS * self.direction

    @cached_property
    def in_face(self) -> Float:
        """(n,) 1 where the front chart is to scale, 0 where it is compressed."""
        return 1 - step(TO_SCALE - 8, TO_SCALE + 8, np.linalg.norm(self.place, axis=1)) * ~self.behind - self.behind

    def spread(self, values: Float) -> Float:
        """(size, size) of the skin's values (n,); 0 elsewhere."""
        result = np.zeros((self.size, self.size))
        result[self.skin] = values
        return result

    def texel(self, uv: Float) -> Float:
        """Columns and rows (..., 2) of texture coordinates; the first texel's centre is (0, 0)."""
        return np.stack([uv[..., 0] * self.size - 0.5, (1 - uv[..., 1]) * self.size - 0.5], axis=-1)

    def texel_of(self, places: Float) -> Float:
        """Columns and rows (..., 2) of places (..., 2) in the front chart, mm."""
        return self.texel(front_uv(places))

    @property
    def texels_per_mm(self) -> float:
        """In the face."""
        return PER_MILLIMETRE * self.size

    def texel_flow(self, tangent: Float) -> Float:
        """Texels (n, 2) (columns, rows) passed per mm along tangents (n, 3) of the sphere."""
        near, far = self.direction, self.direction + tangent * (0.5 / RADIUS)
        uv = np.empty((2, len(near), 2))
        for k, vectors in enumerate((near, far)):
            front, back = ~self.behind, self.behind
            uv[k, front] = front_uv(to_chart(CENTRE[FRONT] + vectors[front], FRONT))
            # Any distance does for the back chart as long as it is the same at both ends.
            uv[k, back] = back_uv(to_chart(CENTRE[FRONT] + vectors[back] * 95.0, BACK))
        return (self.texel(uv[1]) - self.texel(uv[0])) / 0.5

    def line(self, name: str, spacing: float = 0.25) -> Float:
        """A curve of the network, or the polyline through its points, in the front chart: (k, 2) at a spacing, mm."""
        curve = self.network.curves[name]
        if curve.kind == "points":
            return resampled(self.network.chart_points[curve.rows], spacing)
        spline = chart_curve(self.network, name)
        return spline(np.linspace(0, spline.length, int(spline.length / spacing) + 2))

    def anchor(self, at: list[Any]) -> Float:
        """A place (2,) in the front chart from its description.

        Args:
            at: ``[curve, share]`` of the way along a curve, ``[name]`` of an anatomical point, or ``[x, y, z]``: the
                control point nearest to it, wherever that is. ``[…, dx, dy]`` after a share moves it, mm.
        """
        network = self.network
        place: Float
        if not isinstance(at[0], str):
            place = network.chart_points[np.linalg.norm(network.points - np.array(at), axis=1).argmin()]
        elif len(at) == 1:
            place = network.chart_points[network.names[at[0]]]
        else:
            line = self.line(at[0])
            place = line[round(at[1] * (len(line) - 1))] + (np.array(at[2:4]) if len(at) > 2 else np.zeros(2))
        return place

    def path(self, anchors: list[list[Any]], spacing: float = 0.5) -> Float:
        """A polyline (k, 2) through anchors."""
        return resampled(np.stack([self.anchor(at) for at in anchors]), spacing)

    def outline(self, name: str) -> Float:
        """An outline of the network in the front chart (k, 2)."""
        return to_chart(self.network.outlines[name], FRONT)

    def near(self, line: Float, reach: float = 40.0) -> tuple[Float, NDArray[np.intp]]:
        """Distance (n,) of the texels to densely sampled points (k, 2), at most ``reach``, and the nearest's number."""
        found, index = cKDTree(line).query(self.half, distance_upper_bound=reach)
        return np.minimum(found, reach), np.minimum(index, len(line) - 1)

    def depth(self, polygon: Float, reach: float = 40.0) -> Float:
        """Distance (n,) to the border of a polygon (k, 2), positive inside, clipped to ±``reach``."""
        closed = np.concatenate([polygon, polygon[:1]])
        away, _ = self.near(resampled(closed, 0.3), reach)
        inside = contains(polygon, self.half)
        return np.where(inside, away, -away)

    def bump(self, at: Float, radius: tuple[float, float], tilt: float = 0.0) -> Float:
        """(n,) a Gaussian hill about a place, mirrored; radii in mm, the first along the tilt (degrees)."""
        cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        result: Float = np.zeros(len(self.place))
        for side in (1.0, -1.0):
            x, y = (self.place * (side, 1.0) - at).T
            along, across = (cos * x + sin * y) / radius[0], (cos * y - sin * x) / radius[1]
            result = np.maximum(result, np.exp(-0.5 * (along**2 + across**2)))
        return result


def _directions(places: Float, forward: float) -> Float:
    """Unit vectors (n, 3) of places (n, 2) in a chart, from its centre."""
    radius = np.linalg.norm(places, axis=1)
    angle = radius / RADIUS
    across = places / np.maximum(radius, 1e-9)[:, None] * np.sin(angle)[:, None]
    return np.concatenate([across, forward * np.cos(angle)[:, None]], axis=1)


def resampled(points: Float, spacing: float) -> Float:
    """A polyline (k, 2) with points at a spacing."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(2, int(length[-1] / spacing) + 1))
    return np.stack([np.interp(at, length, column) for column in points.T], axis=1)


def step(low: float, high: float, values: Float) -> Float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((values - low) / (high - low)).clip(0, 1)
    smooth: Float = t * t * (3 - 2 * t)
    return smooth
