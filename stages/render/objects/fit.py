"""Measures of a head that things are fitted by: how far out its skin is, and where its ears are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.stages.render.objects.head import Head

Float64 = NDArray[np.float64]

RIGHT, LEFT = -1.0, 1.0
"""Sides of the subject, as the sign of x."""


class Chart:
    """Skin as a height over two coordinates: the outermost of its layers, interpolated between its vertices."""

    def __init__(self, coordinates: Float64, height: Float64, *, cell: float = 6.0, hidden: float = 9.0) -> None:
        """Take the vertices that are not far below others.

        Args:
            coordinates: (n, 2) mm.
            height: (n,) mm.
            cell: size of the cells within which vertices are compared.
            hidden: how far below the highest of its cell a vertex is left out.
        """
        index = np.floor((coordinates - coordinates.min(axis=0)) / cell).astype(np.int64)
        number = index[:, 0] * (index[:, 1].max() + 1) + index[:, 1]
        highest = np.full(number.max() + 1, -np.inf)
        np.maximum.at(highest, number, height)
        self.outer = np.flatnonzero(height > highest[number] - hidden)
        """Indices of those that were taken."""
        self._height = height[self.outer]
        self._coordinates = coordinates[self.outer]
        self._tree = cKDTree(self._coordinates, balanced_tree=False)

    def height(self, points: Float64, *, reach: float = 8.0, neighbours: int = 6) -> Float64:
        """Heights (m,) at points (m, 2), by a plane through the nearest vertices, never outside of their range; minus
        infinity where no vertex is within ``reach``."""
        found = self._tree.query(points, k=neighbours)
        distance, nearest = np.asarray(found[0]), np.asarray(found[1])
        offset = self._coordinates[nearest] - points[:, None]
        heights = self._height[nearest]
        weight = 1.0 / (distance**2 + 1.0)
        total = weight.sum(axis=1)
        mean = (weight * heights).sum(axis=1) / total
        centre = (weight[..., None] * offset).sum(axis=1) / total[:, None]
        away = offset - centre[:, None]
        # 2 × 2 normal equations of the slope; the small ridge keeps it where the neighbours lie in a line.
        xx, xy, yy = ((weight * away[..., i] * away[..., j]).sum(axis=1) for i, j in ((0, 0), (0, 1), (1, 1)))
        xh, yh = ((weight * away[..., i] * (heights - mean[:, None])).sum(axis=1) for i in (0, 1))
        ridge = 0.05 * (xx + yy) + 1e-9
        xx, yy = xx + ridge, yy + ridge
        determinant = xx * yy - xy * xy
        slope = np.stack([yy * xh - xy * yh, xx * yh - xy * xh], axis=1) / determinant[:, None]
        fitted = mean - (slope * centre).sum(axis=1)
        within = np.clip(fitted, heights.min(axis=1), heights.max(axis=1))
        return np.where(distance[:, 0] <= reach, within, -np.inf)


def front_chart(head: Head) -> Chart:
    """The z of the face over x and y, for what is in front of eyes and nose."""
    marks = head.landmarks
    low, high = marks[8, 1] - 10.0, marks[17:27, 1].max() + 45.0
    skin = head.skin[(head.skin[:, 1] > low) & (head.skin[:, 1] < high) & (head.skin[:, 2] > marks[[0, 16], 2].max())]
    return Chart(skin[:, :2].astype(np.float64), skin[:, 2].astype(np.float64))


@dataclass(frozen=True)
class Ear:
    """One ear, and the skull at it."""

    side: float
    """RIGHT or LEFT."""
    top: Float64
    """(3,) its highest point."""
    bottom: Float64
    """(3,) the lowest one that sticks out."""
    back: float
    """z of its hindmost point."""
    skull: Chart
    """The distance of the skin from the plane x = 0 over z and y on that side, without the ear."""


def ear_of(head: Head, side: float) -> Ear:
    """The ear on one side: what sticks out farther than half-way from the head about it to its outermost point."""
    mark = head.landmarks[0 if side == RIGHT else 16]
    skin = head.skin
    beside = (skin[:, 0] * side > 30.0) & (skin[:, 1] > mark[1] - 90.0) & (skin[:, 1] < mark[1] + 70.0)
    x, y, z = (skin[beside] * np.array([side, 1.0, 1.0], np.float32)).astype(np.float64).T
    near = (y > mark[1] - 60.0) & (y < mark[1] + 25.0)
    behind = near & (z > mark[2] - 60.0) & (z < mark[2] + 2.0)
    cheek = near & (z > mark[2] - 2.0) & (z < mark[2] + 14.0)
    above = (y > mark[1] + 30.0) & (y < mark[1] + 55.0) & (z > mark[2] - 60.0) & (z < mark[2] + 2.0)
    tip = x[behind].max()
    outer = behind & (x > 0.5 * (tip + min(x[cheek | above].max(), tip - 4.0)))
    ys = y[outer]
    top, bottom = ys >= ys.max() - 4.0, ys <= ys.min() + 4.0
    return Ear(
        side,
        np.array([side * x[outer][top].mean(), ys.max(), z[outer][top].mean()]),
        np.array([side * x[outer][bottom].mean(), ys.min(), z[outer][bottom].mean()]),
        float(z[outer].min()),
        Chart(np.stack([z[~outer], y[~outer]], axis=1), x[~outer]),
    )
