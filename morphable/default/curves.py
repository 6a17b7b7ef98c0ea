"""Splines through control points: where they run in a chart, and how they weigh the points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from facegen.morphable.default.chart import to_chart
from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]


@dataclass(frozen=True)
class ChartCurve:
    """A curve of the network in a chart, with the arc length of its polygon there as parameter, mm."""

    rows: NDArray[np.intp]
    """(k,) control points."""
    knots: Float
    """(k,) their parameters."""
    chart: Float
    """(k, 2) their places."""
    smooth: bool
    """A cubic spline (natural, or periodic where it closes); otherwise monotone in the chart and linear in space."""

    @property
    def length(self) -> float:
        """Parameter of the end."""
        return float(self.knots[-1])

    def __call__(self, places: Float) -> Float:
        """Places (m, 2) in the chart at parameters (m,)."""
        if not self.smooth:
            found: Float = PchipInterpolator(self.knots, self.chart)(places)
            return found
        return self._spline(self.chart, places)

    def weights(self, places: Float, count: int) -> Float:
        """Weights (m, count) of all control points at parameters (m,)."""
        unit = np.zeros((len(self.rows), count))
        unit[np.arange(len(self.rows)), self.rows] = 1
        if not self.smooth:
            return np.stack([np.interp(places, self.knots, column) for column in unit.T], axis=1)
        return self._spline(unit, places)

    def _spline(self, values: Float, places: Float) -> Float:
        closed = self.rows[0] == self.rows[-1]
        result: Float = CubicSpline(self.knots, values, bc_type="periodic" if closed else "natural")(places)
        return result


def chart_curve(network: ControlNetwork, name: str, chart: int | None = None) -> ChartCurve:
    """A curve of the network; ``chart`` asks for another chart than its own (the rim has two)."""
    curve = network.curves[name]
    rows = np.append(curve.rows, curve.rows[0]) if name == "nostril" else curve.rows
    if chart is None or chart == curve.chart:
        places = network.chart_points[rows].copy()
    else:
        places = to_chart(network.points[rows], chart)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    return ChartCurve(rows, length, places, smooth=not name.startswith("neckline"))
