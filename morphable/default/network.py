"""The control network: named anatomical curves and points of half a head, read from ``control.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.chart import BACK, FRONT, to_chart
from facegen.morphable.default.tables import read_yaml

Float = NDArray[np.float64]
Kind = Literal["curve", "points", "boundary", "rim"]


@dataclass(frozen=True)
class Curve:
    """A run of control points."""

    name: str
    kind: Kind
    chart: int
    """FRONT or BACK."""
    rows: NDArray[np.intp]
    """Its points' rows in the network."""


@dataclass(frozen=True)
class EyeballShape:
    """The left eyeball of the mean face, mm."""

    centre: Float
    radius: float
    iris_radius: float
    pupil_radius: float


@dataclass(frozen=True)
class ControlNetwork:
    """Control points of the left half (x ≥ 0), mm; the right half mirrors them."""

    points: Float
    """(n, 3)."""
    chart_points: Float
    """(n, 2) where each point lies in its chart, mm; the mouth is a little open there."""
    curves: dict[str, Curve]
    names: dict[str, int]
    """Row of each anatomically named point."""
    eyeball: EyeballShape
    outlines: dict[str, Float]
    """Borders (k, 3) of the skin's regions on the left half, mm."""
    landmarks: dict[str, Float]
    """Landmarks (k, 3) of the left half and the midline by feature, mm."""

    @property
    def count(self) -> int:
        """Number n of control points of one half."""
        return len(self.points)

    @cached_property
    def curve_of(self) -> NDArray[np.str_]:
        """(n,) name of the curve each point belongs to."""
        result = np.empty(self.count, "U40")
        for curve in self.curves.values():
            result[curve.rows] = curve.name
        return result

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """(n,) position of each point along its curve."""
        result = np.empty(self.count, np.intp)
        for curve in self.curves.values():
            result[curve.rows] = np.arange(len(curve.rows))
        return result

    def rows(self, *names: str) -> NDArray[np.intp]:
        """Rows of the points of some curves, in order."""
        return np.concatenate([self.curves[name].rows for name in names])

    def on(self, *names: str) -> NDArray[np.bool_]:
        """(n,) whether a point belongs to one of some curves."""
        result = np.zeros(self.count, np.bool_)
        result[self.rows(*names)] = True
        return result

    def mirrored(self, left: Float, right: Float | None = None) -> Float:
        """(2n, 3) both halves: positions or displacements of the left one, then of the right one mirrored to x < 0.

        Args:
            left: (n, 3).
            right: (n, 3) given as if it were on the left; ``None`` is the same as the left.
        """
        return np.concatenate([left, (left if right is None else right) * (-1.0, 1.0, 1.0)])


@lru_cache(maxsize=1)
def read_network() -> ControlNetwork:
    """The network as shipped. Not to be changed: it is shared."""
    values = read_yaml("control.yaml")
    eyeball = EyeballShape(
        np.array(values["eyeball"]["centre"], np.float64),
        *(float(values["eyeball"][name]) for name in ("radius", "iris_radius", "pupil_radius")),
    )
    points: list[Float] = []
    seen: list[Float] = []
    curves: dict[str, Curve] = {}
    names: dict[str, int] = {}
    for name, entry in values["curves"].items():
        chart = BACK if entry.get("chart") == "back" else FRONT
        first = len(points)
        for value in entry["points"]:
            point = value if isinstance(value, dict) else {"at": value}
            position = _position(point, eyeball)
            if "name" in point:
                names[point["name"]] = len(points)
            points.append(position)
            shown = np.array([*point["seen_at"], position[2]]) if "seen_at" in point else position
            seen.append(to_chart(shown[None], chart)[0])
        curves[name] = Curve(name, entry["kind"], chart, np.arange(first, len(points)))
    chart_points = np.array(seen)
    _open_mouth(chart_points, curves)
    outlines = {name: np.array(line, np.float64) for name, line in values["outlines"].items()}
    landmarks = {name: np.array(places, np.float64) for name, places in values["landmarks"].items()}
    return ControlNetwork(np.array(points), chart_points, curves, names, eyeball, outlines, landmarks)


def _position(point: dict[str, Any], eyeball: EyeballShape) -> Float:
    if "above_eyeball" not in point:
        return np.array(point["at"], np.float64)
    x, y = point["at"]
    radius = eyeball.radius + point["above_eyeball"]
    across, up = x - eyeball.centre[0], y - eyeball.centre[1]
    return np.array([x, y, eyeball.centre[2] + np.sqrt(radius**2 - across**2 - up**2)])


_SLIT = 0.9
"""Half the height to which the chart opens the closed mouth, mm, so that its two seams are two."""


def _open_mouth(chart_points: Float, curves: dict[str, Curve]) -> None:
    for name, sign in (("upper_mouth_seam", 1.0), ("lower_mouth_seam", -1.0)):
        rows = curves[name].rows
        along = np.arange(len(rows)) / (len(rows) - 1)
        chart_points[rows, 1] += sign * _SLIT * (1 - along**3)
