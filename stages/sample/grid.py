"""Controlled sweeps: which cell of a Cartesian grid a face stands in, and the values it takes there."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ConfigurationError
from facegen.stages.sample.config import GridAxis

_MOST_CELLS = 10**12


class Grid:
    """The Cartesian product of axes; the last axis runs fastest. Without axes it has one cell."""

    def __init__(self, axes: tuple[GridAxis, ...], known: Collection[str]) -> None:
        """Check the axes against the ``known`` parameter names.

        Raises:
            ConfigurationError: for an unknown or repeated parameter, or for more cells than there can be faces.
        """
        for number, axis in enumerate(axes):
            if axis.parameter not in known:
                nearest = difflib.get_close_matches(axis.parameter, known, n=1)
                hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
                raise ConfigurationError(f"sample.grid.{number}: unknown parameter '{axis.parameter}'{hint}")
            if any(axis.parameter == other.parameter for other in axes[:number]):
                raise ConfigurationError(f"sample.grid.{number}: '{axis.parameter}' is swept twice")
        self._axes = axes
        self.cells = math.prod(len(axis.values) for axis in axes)
        if self.cells > _MOST_CELLS:
            raise ConfigurationError(f"sample.grid: {self.cells:.1e} cells, at most {_MOST_CELLS:.0e} are possible")

    def values(self, face: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Swept parameter → value (B,) of each face."""
        result = {}
        index = face % self.cells
        for axis in reversed(self._axes):
            result[axis.parameter] = np.array(axis.values)[index % len(axis.values)]
            index = index // len(axis.values)
        return result
