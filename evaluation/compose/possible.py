"""How many composed faces could be people, beside people of the population."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.compose.subject import Evaluation
from facegen.evaluation.compose.synthesis import Composed
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.morphable.people import draw_people

Vertices = Callable[[NDArray[np.int64]], NDArray[np.float32]]

POPULATION = "people of the population"
_BATCH = 32
_LISTED = 20
"""Most rejected faces whose reasons are listed."""


@dataclass(frozen=True)
class Possible:
    """What was found of a set of faces."""

    faces: int
    share: float
    """Of possible ones."""
    criteria: dict[str, float]
    """Share of the faces that each criterion accepts."""
    why: dict[str, int]
    """How many faces each criterion rejects."""
    rejected: dict[int, tuple[str, ...]]
    """Number of a face in its set → reasons; of the first twenty."""
    kept: float = 1.0
    """Mean share of a swap that was done (:class:`~facegen.composition.composer.SwapRules`)."""


def possible(evaluation: Evaluation, judge: Plausibility, composed: Mapping[str, Composed]) -> dict[str, Possible]:
    """Judge composed faces, whole meshes, and as many fresh people as there are faces of the largest set."""
    model, count = evaluation.model, max(len(faces) for faces in composed.values())
    # Others than those that the networks know, and than those that the faces are composed of.
    people = draw_people(model, count, evaluation.config.seed + 1).values
    still = np.zeros((_BATCH, len(model.expression_names)), np.float32)
    fresh = _judged(judge, count, lambda rows: model.decode(people[rows], still[: len(rows)]))
    found = {name: _judged(judge, len(faces), faces.vertices) for name, faces in composed.items()}
    return {POPULATION: fresh} | {
        name: replace(one, kept=float(composed[name].kept.mean())) for name, one in found.items()
    }


def _judged(judge: Plausibility, count: int, vertices: Vertices) -> Possible:
    accepted: Counter[str] = Counter()
    rejected: dict[int, tuple[str, ...]] = {}
    for start in range(0, count, _BATCH):
        rows = np.arange(start, min(start + _BATCH, count))
        verdicts = judge.judge(vertices(rows))
        accepted.update({name: int(meets.sum()) for name, meets in verdicts.criteria.items()})
        rejected |= {
            int(rows[place]): verdicts.reasons[place] for place in np.flatnonzero(~verdicts.accepted).tolist()
        }  # fmt: skip
    return Possible(
        faces=count,
        share=1 - len(rejected) / count,
        criteria={name: number / count for name, number in accepted.items()},
        why={name: count - number for name, number in accepted.items() if number < count},
        rejected=dict(list(rejected.items())[:_LISTED]),
    )
