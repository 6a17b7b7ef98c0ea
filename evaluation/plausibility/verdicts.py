"""What is said of each face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """Of B faces. A criterion is true where the face meets it."""

    finite: Bools
    """(B,) vertices are numbers, and not all the same; a face without such meets no criterion."""
    fold: Bools
    """(B,) skin is not turned over against its neighbours."""
    stretch: Bools
    """(B,) edges of the skin are about as long as in the population."""
    anthropometry: Bools
    """(B,) distances, angles and ratios between landmarks are about in the population's range, and all together too."""
    asymmetry: Bools
    """(B,) left and right differ about as much as in the population."""
    intersection: Bools | None
    """(B,) lips, eyelids, nostrils, tongue and teeth pass through nothing; ``None`` where that was not asked."""
    reasons: tuple[tuple[str, ...], ...]
    """(B,) why a face is rejected, one sentence a criterion; of accepted faces, nothing."""

    @property
    def criteria(self) -> dict[str, Bools]:
        """Those that were asked, by name."""
        names = ("finite", "fold", "stretch", "anthropometry", "asymmetry", "intersection")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def accepted(self) -> Bools:
        """(B,) faces that meet every criterion that was asked."""
        result: Bools = np.logical_and.reduce(list(self.criteria.values()))
        return result
