"""Whether a part that is swapped moves its own place, and how much else moves with it.

Of each test face one part's code is replaced by its partner's; what counts is the displacement between what the network
decodes before and after. The place of part k are the vertices where its weight is the largest of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from facegen.composition.training import BATCH
from facegen.evaluation.compose.subject import Evaluation

Float = NDArray[np.float32]
Energy = NDArray[np.float64]
Ints = NDArray[np.int64]

Moved = Callable[[NDArray[np.int64], int], Float]
"""Displacements (B, n, 3) mm of test faces of some numbers (B,) when one part is swapped."""

FITTED = "as composed"
BLEND = "blend of vertices"
WHOLE = "all parts"
"""Names of what networks are compared with."""


@dataclass(frozen=True)
class PartLocality:
    """Of one part."""

    locality: float
    """Share of the squared displacement that falls into its place."""
    leakage: float
    """Root mean square of the displacement outside its place over that inside."""
    inside: float
    """mm: root mean square of the displacement inside its place."""
    outside: float
    """mm: outside."""


@dataclass(frozen=True)
class Locality:
    """Of all parts of one network."""

    parts: dict[str, PartLocality]
    locality: float
    """Mean over the parts."""
    leakage: float
    """Mean over the parts."""
    codes: tuple[int, ...] | None
    """Which of the network's codes was taken for each part, where parts have no place of their own: the assignment of
    the greatest locality. ``None`` where each has its own."""


def locality(evaluation: Evaluation) -> dict[str, Locality]:
    """Of each network that has parts, on the test faces; besides those, of

    * swaps as the compose stage makes them, with parts fitted to their neighbours,
    * a blend of the two faces' vertices by the part's weights: what soft borders allow,
    * all parts swapped at once: what no locality would give.
    """
    found = {}
    for name in evaluation.weighted:
        energy = moved_energy(evaluation, _network(evaluation, name))
        found[name] = _locality(evaluation, energy, matched=not evaluation.has_places(name))
    for name, moved in ((FITTED, _fitted(evaluation)), (BLEND, _blend(evaluation)), (WHOLE, _whole(evaluation))):
        found[name] = _locality(evaluation, moved_energy(evaluation, moved), matched=False)
    return found


def moved_energy(evaluation: Evaluation, moved: Moved) -> Energy:
    """(K, K) mm²: squared displacement, summed over test faces, by the part that is swapped and the place it falls."""
    count, owner = len(evaluation.parts), evaluation.owner
    energy = np.zeros((count, count))
    for part in range(count):
        by_vertex = np.zeros(len(owner))
        for rows in _batches(len(evaluation.test)):
            by_vertex += np.square(moved(rows, part), dtype=np.float64).sum(axis=(0, 2))
        energy[part] = np.bincount(owner, by_vertex, minlength=count)
    return energy


def best_match(energy: Energy) -> Ints:
    """(K,) the code of each place, from energies (K, K) by code and place, of the greatest locality in sum."""
    share = energy / np.maximum(energy.sum(axis=1, keepdims=True), 1e-300)
    code, place = linear_sum_assignment(share, maximize=True)
    return np.asarray(code[np.argsort(place)], np.int64)


def _locality(evaluation: Evaluation, energy: Energy, *, matched: bool) -> Locality:
    codes = best_match(energy) if matched else np.arange(len(energy))
    faces, vertices = len(evaluation.test), len(evaluation.owner)
    own = np.bincount(evaluation.owner, minlength=len(energy))
    parts = {}
    for place, (name, code) in enumerate(zip(evaluation.parts, codes.tolist(), strict=True)):
        within, total = energy[code, place], energy[code].sum()
        inside = np.sqrt(within / max(faces * own[place], 1))
        outside = np.sqrt((total - within) / max(faces * (vertices - own[place]), 1))
        parts[name] = PartLocality(
            locality=float(within / max(total, 1e-300)),
            leakage=float(outside / max(inside, 1e-12)),
            inside=float(inside),
            outside=float(outside),
        )
    return Locality(
        parts=parts,
        locality=float(np.mean([one.locality for one in parts.values()])),
        leakage=float(np.mean([one.leakage for one in parts.values()])),
        codes=tuple(codes.tolist()) if matched else None,
    )


def _network(evaluation: Evaluation, name: str) -> Moved:
    codec = evaluation.codecs[name]
    codes = codec.parts(evaluation.test.displacements)
    before = codec.decoded(codes)

    def moved(rows: Ints, part: int) -> Float:
        swapped = codes[rows]
        swapped[:, part] = codes[evaluation.partners[rows], part]
        return codec.decoded(swapped) - before[rows]

    return moved


def _fitted(evaluation: Evaluation) -> Moved:
    composer, people = evaluation.composers[evaluation.main], evaluation.test.people.values

    def moved(rows: Ints, part: int) -> Float:
        alpha = np.zeros((len(rows), len(evaluation.parts)), np.float32)
        alpha[:, part] = 1
        partners = people[evaluation.partners[rows]]
        sources = np.repeat(partners[:, None], len(evaluation.parts), axis=1)
        return composer.swap(people[rows], sources, alpha, rows).skin

    return moved


def _blend(evaluation: Evaluation) -> Moved:
    weights, faces = evaluation.weights.astype(np.float32), evaluation.test.displacements
    return lambda rows, part: weights[:, part, None] * (faces[evaluation.partners[rows]] - faces[rows])


def _whole(evaluation: Evaluation) -> Moved:
    faces = evaluation.test.displacements
    return lambda rows, part: faces[evaluation.partners[rows]] - faces[rows]


def _batches(count: int) -> Iterator[Ints]:
    for start in range(0, count, BATCH):
        yield np.arange(start, min(start + BATCH, count))
