"""The two charts of the head: azimuthal equidistant maps of the front and of the back of the skull.

The front one reaches from the nose to behind the ears and is also the main island of the texture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

FRONT, BACK, OTHER = 0, 1, 2
"""What is no skin lies in neither chart."""

CENTRE = {FRONT: np.array([0.0, -30.0, -10.0]), BACK: np.array([0.0, -110.0, 5.0])}
"""Where each chart is projected from, mm: the back one low, so that the neck does not run along its rays."""
_FORWARD = {FRONT: 1.0, BACK: -1.0}
RADIUS = 108.0
"""mm of the chart per radian: the head's mean radius, so that the chart is nearly to scale."""


def to_chart(points: Float, chart: int) -> Float:
    """Places (n, 2) in a chart, mm, of points (n, 3): direction from the chart's centre, distance by the angle."""
    direction = np.asarray(points, np.float64) - CENTRE[chart]
    across = np.hypot(direction[:, 0], direction[:, 1])
    angle = np.arctan2(across, _FORWARD[chart] * direction[:, 2])
    placed: Float = RADIUS * angle[:, None] * direction[:, :2] / np.maximum(across, 1e-9)[:, None]
    return placed
