"""How what is inside the mouth follows the lips from face to face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.half import HalfHead

Float = NDArray[np.float64]
Ints = NDArray[np.int64]


class MouthFrame:
    """The seam of the closed lips: its middle, and half its width.

    What lies behind it moves by the quadratic through the displacements of the middle and of both corners, so that
    teeth keep their distance from the lips and the arches widen with the mouth.
    """

    def __init__(self, half: HalfHead) -> None:
        loop = half.level.grids["mouth_pocket"][0]
        corner = int(loop[len(loop) // 2])
        self._anchors = np.array([loop[0], loop[-1], corner, half.level.mirror[corner]])
        self.middle: Float = half.skin[loop[[0, -1]]].mean(axis=0)
        """(3,) mm."""
        self.half_width = float(half.skin[corner, 0])
        """mm."""

    def shares(self, x: Float) -> tuple[Ints, Float]:
        """Anchors (k, 4) and their weights (k, 4) at distances (k,) from the midline, mm."""
        t = x / self.half_width
        middle = (1 - t**2) / 2
        weights = np.stack([middle, middle, (t**2 + t) / 2, (t**2 - t) / 2], axis=1)
        return np.tile(self._anchors, (len(x), 1)), weights
