"""Measuring clean faces, batch after batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.plausibility.alignment import align
from facegen.evaluation.plausibility.folds import FoldCounter
from facegen.evaluation.plausibility.intersections import curves
from facegen.evaluation.plausibility.joint import JointLaw
from facegen.evaluation.plausibility.measures import Measures, asymmetries
from facegen.evaluation.plausibility.stretch import square_stretches
from facegen.evaluation.plausibility.surface import Surface
from facegen.evaluation.plausibility.thresholds import Observed

Float = NDArray[np.float64]


@dataclass
class Observer:
    """Takes clean faces and tells what they show."""

    surface: Surface
    folding: FoldCounter
    measures: Measures
    _ranges: dict[str, tuple[Float, Float]] = field(default_factory=dict)
    _folded: NDArray[np.bool_] | None = None
    _folds: int = 0
    _cut: NDArray[np.bool_] | None = None
    _marks: list[Float] = field(default_factory=list)

    def take(self, vertices: NDArray[np.float32]) -> None:
        """Measure faces (B, V, 3)."""
        surface = self.surface
        alignment = align(surface, vertices)
        if not alignment.usable.all() or alignment.mirrored.any():
            raise ValueError("clean faces have vertices that are no numbers, or are inside out")
        self._extend("stretch", square_stretches(vertices, alignment.scale, surface.edges, surface.rest))
        folded = self.folding.folded(vertices)
        self._folded = _either(self._folded, np.asarray(folded.any(axis=0)))
        self._folds = max(self._folds, int(folded.sum(axis=1).max()))
        points = alignment.place(vertices, self.measures.vertices)
        self._extend("measures", self.measures.measure(points))
        self._extend("asymmetry", asymmetries(points))
        self._marks.append(points[:, :68])
        found = [
            curves(place, alignment.place(vertices, place.vertices), np.ones(len(place.triangles), np.bool_))
            for place in surface.places
        ]
        cut = np.concatenate([triangles.any(axis=0) for _, _, triangles in found])
        self._cut = _either(self._cut, cut)
        self._extend("curve", np.stack([length for length, _, _ in found], axis=1))

    def observed(self, floor: float) -> Observed:
        """What all faces so far show; ``floor`` is the margins' of the joint law.

        Raises:
            ValueError: there was no face.
        """
        if self._folded is None or self._cut is None:
            raise ValueError("there are no clean faces to learn from")
        marks = np.concatenate(self._marks)
        law = JointLaw.fit(marks, floor)
        low, high = (0.5 * np.log(np.maximum(bound, 1e-12)) for bound in self._ranges["stretch"])
        return Observed(
            faces=len(marks),
            folded=self._folded,
            folds=self._folds,
            stretch_low=low.astype(np.float16),
            stretch_high=high.astype(np.float16),
            measure_low=self._ranges["measures"][0],
            measure_high=self._ranges["measures"][1],
            joint_mean=law.mean,
            joint_covariance=law.covariance,
            joint_distance=law.distances(marks).max(axis=0),
            asymmetry=self._ranges["asymmetry"][1],
            cut=self._cut,
            curve=self._ranges["curve"][1],
        )

    def _extend(self, name: str, values: Float) -> None:
        low, high = values.min(axis=0), values.max(axis=0)
        if name in self._ranges:
            low, high = np.minimum(low, self._ranges[name][0]), np.maximum(high, self._ranges[name][1])
        self._ranges[name] = low, high


def _either(before: NDArray[np.bool_] | None, now: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return now if before is None else before | now
