"""The mean face between its front view and its texture: where a place lies, and how long a step is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator

from facegen.morphable.default.chart import FRONT
from facegen.morphable.default.levels import REGIONS, Level, read_coarse
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.solve import skin_operator
from facegen.morphable.default.uv import PER_MILLIMETRE, texture_coordinates

Float = NDArray[np.float64]


@dataclass(frozen=True)
class MeanFace:
    """The coarse level of the mean head; close enough to draw on."""

    network: ControlNetwork
    level: Level
    points: Float
    """(N, 3) mm; zeros where a vertex is no skin."""
    uv: Float
    """(U, 2) texture coordinates."""

    def front_places(self, seen: Float) -> Float:
        """Places (n, 2) in the front chart, mm, of points (n, 2) = (x, y) of the face seen from the front, mm."""
        return np.asarray(self._front_places(np.asarray(seen, np.float64)), np.float64)

    @cached_property
    def _front_places(self) -> LinearNDInterpolator:
        # Only what faces forward: elsewhere several places lie behind one another. The neck is under the chin.
        region = np.array(REGIONS)[self.level.region]
        chosen = np.isin(region, ("face", "lips", "neck", "scalp")) & (self.level.island == FRONT)
        corners = self.points[self.level.triangles[chosen]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        vertices = np.unique(self.level.triangles[chosen][normal[:, 2] > _FACING])
        return LinearNDInterpolator(self.points[vertices, :2], self.level.front[vertices])

    def scale(self, size: int) -> Float:
        """(size, size, 2) mm per unit of u and of v at the texels of a texture; to scale off the front chart."""
        triangles = self.level.island == FRONT
        corners = self.points[self.level.triangles[triangles]]
        rows = self.level.uv_triangles[triangles]
        places = self.uv[rows]
        edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)
        steps = np.stack([places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]], axis=1)
        area = np.abs(np.linalg.det(steps))
        usable = area > _LEAST_AREA
        tangents = np.linalg.solve(steps[usable], edges[usable])
        lengths = np.linalg.norm(tangents, axis=2).clip(_LEAST_SCALE / PER_MILLIMETRE, _MOST_SCALE / PER_MILLIMETRE)
        weight = np.repeat(area[usable], 3)
        corner = rows[usable].ravel()
        total = np.bincount(corner, weight, len(self.uv))
        known = total > 0
        sums = [np.bincount(corner, weight * np.repeat(lengths[:, k], 3), len(self.uv)) for k in range(2)]
        vertices = np.stack(sums, axis=1)[known] / total[known, None]
        found = LinearNDInterpolator(self.uv[known], vertices)(texels(size))
        return np.where(np.isnan(found), 1 / PER_MILLIMETRE, found)


_FACING = 0.12
"""Least z of the unit normal of what faces forward."""

_LEAST_AREA = 1e-7
"""Of a triangle in the texture that tells a scale: smaller ones are slivers."""

_LEAST_SCALE, _MOST_SCALE = 0.5, 2.5
"""mm on the face per mm of the chart: beyond lie folds, where slopes mean little."""


def texels(size: int) -> Float:
    """(size, size, 2) texture coordinates of texel centres; row 0 is the top, v upwards."""
    along = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(along, 1 - along), axis=-1)


@lru_cache(maxsize=1)
def mean_face() -> MeanFace:
    """The mean face as shipped."""
    network, level = read_network(), read_coarse()
    skin, operator = skin_operator(level, network)
    points = np.zeros((level.count, 3))
    points[skin] = operator @ network.mirrored(network.points)
    return MeanFace(network, level, points, texture_coordinates(level))
