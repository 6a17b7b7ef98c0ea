"""Whether a face mesh could be a person: one definition for all of facegen, whatever made the face."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.evaluation.plausibility.alignment import Alignment, align
from facegen.evaluation.plausibility.folds import FoldCounter
from facegen.evaluation.plausibility.intersections import curves
from facegen.evaluation.plausibility.joint import PARTS, JointLaw
from facegen.evaluation.plausibility.measures import SIDES, Measures, asymmetries
from facegen.evaluation.plausibility.observation import Observer
from facegen.evaluation.plausibility.stretch import edges_outside
from facegen.evaluation.plausibility.surface import Surface, beside
from facegen.evaluation.plausibility.thresholds import Margins, Provenance, Thresholds
from facegen.evaluation.plausibility.verdicts import Verdicts
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
Findings = tuple[Bools, list[str]]
"""Which faces meet a criterion (B,), and of each, in words, why it does not."""


@dataclass(frozen=True)
class Plausibility:
    """Judges the faces of one model."""

    surface: Surface
    measures: Measures
    folding: FoldCounter
    thresholds: Thresholds
    vertex_count: int
    """Vertices V of the meshes that are judged; of those, the surface's come first."""

    @classmethod
    def learn(
        cls,
        model: MorphableModel,
        faces: Iterable[NDArray[np.float32]],
        provenance: Provenance,
        margins: Margins | None = None,
    ) -> Plausibility:
        """Learn from clean faces of a model.

        Args:
            model: whose faces they are.
            faces: batches of vertices (B, V, 3), mm, as :func:`~facegen.evaluation.plausibility.clean.clean_faces`
                makes.
            provenance: what they are.
            margins: by how much others may differ.

        Raises:
            ModelError: the model has not 68 landmarks, or no skin.
            ValueError: there are no faces, or some are no faces.
        """
        surface, measures, folding = _prepared(model)
        observer = Observer(surface, folding, measures)
        for batch in faces:
            observer.take(batch)
        chosen = margins or Margins()
        thresholds = Thresholds(observer.observed(chosen.joint_floor), chosen, provenance)
        return cls(surface, measures, folding, thresholds, model.topology.vertex_count)

    @classmethod
    def of(cls, model: MorphableModel, thresholds: Thresholds, source: str) -> Plausibility:
        """With thresholds that were learnt for the model.

        Raises:
            ModelError: they do not fit the model's mesh; the message names ``source``.
        """
        surface, measures, folding = _prepared(model)
        observed = thresholds.observed
        found = [len(array) for array in (observed.stretch_low, observed.folded, observed.measure_low, observed.cut)]
        triangles = sum(len(place.triangles) for place in surface.places)
        expected = [len(surface.edges), len(folding.pairs), len(measures.names), triangles]
        if found != expected:
            raise ModelError(
                f"{source}: thresholds for {found} edges, pairs, measures and triangles; "
                f"the model '{model.name}' has {expected}"
            )
        return cls(surface, measures, folding, thresholds, model.topology.vertex_count)

    def save(self, path: Path) -> None:
        """Write the thresholds, their margins and where they come from.

        Raises:
            StorageError: when the disk refuses.
        """
        self.thresholds.save(path)

    @classmethod
    def load(cls, path: Path, model: MorphableModel) -> Plausibility:
        """With the thresholds of a file.

        Raises:
            ModelError: the file is missing, damaged or of another model.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
        thresholds = Thresholds.read(data, str(path))
        learnt = thresholds.provenance
        if (learnt.model, learnt.sha256) != (model.name, model.sha256):
            raise ModelError(
                f"{path}: thresholds of the model '{learnt.model}' {learnt.sha256[:12]}; "
                f"expected '{model.name}' {model.sha256[:12]}"
            )
        return cls.of(model, thresholds, str(path))

    def judge(self, vertices: NDArray[np.float32], intersections: bool = True) -> Verdicts:
        """Judge faces (B, V, 3), in any place, direction, size and unit.

        Args:
            vertices: of the model that the thresholds were learnt for.
            intersections: ask as well whether anything passes through its opposite, which takes most of the time.

        Raises:
            ValueError: they are not (B, V, 3) of the model.
        """
        if vertices.ndim != 3 or vertices.shape[1:] != (self.vertex_count, 3):
            raise ValueError(f"vertices are {vertices.shape}; expected (faces, {self.vertex_count}, 3)")
        alignment = align(self.surface, vertices)
        if not alignment.usable.all():
            # The mean takes their place, so that nothing below meets what is no number.
            vertices = vertices.copy()
            vertices[~alignment.usable, : self.surface.vertex_count] = self.surface.mean
            alignment = align(self.surface, vertices).but_unusable(alignment.usable)
        points = alignment.place(vertices, self.measures.vertices)
        found = {
            "finite": (alignment.usable, ["has vertices that are no numbers, or no size"] * len(vertices)),
            "fold": self._folds(vertices, alignment),
            "stretch": self._stretch(vertices, alignment),
            "anthropometry": self._anthropometry(points),
            "asymmetry": self._asymmetry(points),
        }
        if intersections:
            found["intersection"] = self._intersections(vertices, alignment)
        meets = {name: passed & alignment.usable for name, (passed, _) in found.items()}
        reasons = tuple(
            tuple(f"{name}: {words[face]}" for name, (passed, words) in found.items() if not passed[face])
            for face in range(len(vertices))
        )
        return Verdicts(
            finite=meets["finite"],
            fold=meets["fold"],
            stretch=meets["stretch"],
            anthropometry=meets["anthropometry"],
            asymmetry=meets["asymmetry"],
            intersection=meets.get("intersection"),
            reasons=reasons,
        )

    def _folds(self, vertices: NDArray[np.float32], alignment: Alignment) -> Findings:
        folded = self.folding.folded(vertices)
        count, elsewhere = folded.sum(axis=1), (folded & ~self._folding_allowed).sum(axis=1)
        margins, most = self.thresholds.margins, self.thresholds.observed.folds
        limit = max(most * margins.folds_factor, most + margins.folds)
        words = [
            "the surface is inside out"
            if inside_out
            else f"{some} pairs of triangles are folded, {new} of them where clean faces do not fold"
            for some, new, inside_out in zip(count, elsewhere, alignment.mirrored, strict=True)
        ]
        return (count <= limit) & (elsewhere <= margins.folds) & ~alignment.mirrored, words

    def _stretch(self, vertices: NDArray[np.float32], alignment: Alignment) -> Findings:
        low, high = self._stretch_bounds
        surface, margins = self.surface, self.thresholds.margins
        count, worst, stretch = edges_outside(vertices, alignment.scale, surface.edges, surface.rest, low, high)
        beyond = np.maximum(stretch / np.sqrt(high[worst]), np.sqrt(low[worst]) / np.maximum(stretch, 1e-15))
        few = count <= margins.stretch_share * len(surface.edges)
        words = [
            f"{some} edges are out of range, worst in the {surface.region_names[region].replace('_', ' ')}: "
            f"stretched {value:.2g} times, {times:.2g} times out of range"
            for some, region, value, times in zip(count, surface.edge_region[worst], stretch, beyond, strict=True)
        ]
        return few & ((count == 0) | (beyond <= margins.stretch_worst)), words

    def _anthropometry(self, points: Float) -> Findings:
        observed, margins = self.thresholds.observed, self.thresholds.margins
        values = self.measures.measure(points)
        middle, half = _middle(observed.measure_low, observed.measure_high)
        beyond = np.abs(values - middle) / (half * margins.measures_factor)
        worst = beyond.argmax(axis=1)
        distance = self._joint.distances(points[:, :68])
        farther = distance / (observed.joint_distance * margins.joint_factor)
        part = farther.argmax(axis=1)
        together: Bools = np.asarray((farther <= 1).all(axis=1))
        apart: Bools = np.asarray((beyond <= 1).all(axis=1))
        words = []
        for face, measure in enumerate(worst):
            said = []
            if beyond[face, measure] > 1:
                low, high = observed.measure_low[measure], observed.measure_high[measure]
                unit = f" {self.measures.unit[measure]}".rstrip()
                said.append(
                    f"{self.measures.names[measure]} is {values[face, measure]:.3g}{unit}, "
                    f"of clean faces {low:.3g} … {high:.3g}{unit}"
                )
            if not together[face]:
                name, number = tuple(PARTS)[part[face]], part[face]
                said.append(
                    f"landmarks ({name}) are {distance[face, number]:.3g} standard deviations from the population, "
                    f"of clean faces at most {observed.joint_distance[number]:.3g}"
                )
            words.append("; ".join(said))
        return apart & together, words

    def _asymmetry(self, points: Float) -> Findings:
        observed, margins = self.thresholds.observed, self.thresholds.margins
        values = asymmetries(points)
        beyond = values / (observed.asymmetry * margins.asymmetry_factor + margins.asymmetry_extra)
        worst = beyond.argmax(axis=1)
        words = [
            f"{SIDES[side]}: {values[face, side]:.3g} mm from their mirror image, "
            f"of clean faces at most {observed.asymmetry[side]:.3g} mm"
            for face, side in enumerate(worst)
        ]
        meets: Bools = np.asarray((beyond <= 1).all(axis=1))
        return meets, words

    def _intersections(self, vertices: NDArray[np.float32], alignment: Alignment) -> Findings:
        observed, margins = self.thresholds.observed, self.thresholds.margins
        meets = np.ones(len(vertices), np.bool_)
        said: list[list[str]] = [[] for _ in vertices]
        for place, tolerated, most in zip(self.surface.places, self._cuts_allowed, observed.curve, strict=True):
            length, unusual, _ = curves(place, alignment.place(vertices, place.vertices), tolerated)
            fits = (length <= most * margins.curve_factor + margins.curve_extra) & (unusual <= margins.curve)
            meets &= fits
            for face in np.flatnonzero(~fits):
                said[face].append(
                    f"{place.name} pass through skin along {length[face]:.3g} mm, {unusual[face]:.3g} mm of it where "
                    f"clean faces do not"
                )
        return meets, ["; ".join(words) for words in said]

    @cached_property
    def _joint(self) -> JointLaw:
        observed = self.thresholds.observed
        return JointLaw(observed.joint_mean, observed.joint_covariance, self.thresholds.margins.joint_floor)

    @cached_property
    def _stretch_bounds(self) -> tuple[Float, Float]:
        """(E,) least and largest squared stretch."""
        observed, margins = self.thresholds.observed, self.thresholds.margins
        middle, half = _middle(observed.stretch_low.astype(np.float64), observed.stretch_high.astype(np.float64))
        reach = half * margins.stretch_factor + margins.stretch_extra
        return np.exp(2 * (middle - reach)), np.exp(2 * (middle + reach))

    @cached_property
    def _folding_allowed(self) -> Bools:
        """(P,) pairs that fold on clean faces, and pairs beside them."""
        middles = self.folding.middles(self.surface.mean)
        return beside(middles, self.thresholds.observed.folded, self.thresholds.margins.beside)

    @cached_property
    def _cuts_allowed(self) -> list[Bools]:
        """Of each place (T,), triangles that are cut on clean faces, and those beside them."""
        ends = np.cumsum([len(place.triangles) for place in self.surface.places])
        parts = np.split(self.thresholds.observed.cut, ends[:-1])
        reach = self.thresholds.margins.beside
        return [place.beside(part, reach) for place, part in zip(self.surface.places, parts, strict=True)]


def _prepared(model: MorphableModel) -> tuple[Surface, Measures, FoldCounter]:
    surface, own = Surface.of(model), model.anthropometry
    # A coarser level keeps the measurements of the finer one, whose vertices it does not have.
    if own is not None and own.vertices.max() >= surface.vertex_count:
        own = None
    return surface, Measures.of(surface.landmarks, own), FoldCounter(surface.skin, surface.mean)


def _middle(low: Float, high: Float) -> tuple[Float, Float]:
    return (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
