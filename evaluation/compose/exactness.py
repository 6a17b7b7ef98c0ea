"""What a swap has to do whatever the network has learnt: with oneself nothing, of all parts the other face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegen.evaluation.compose.reconstruction import Errors
from facegen.evaluation.compose.subject import Evaluation


@dataclass(frozen=True)
class Exactness:
    """Of one network, on the test faces."""

    self_swap: float
    """mm: the farthest that any vertex of the skin moves when all parts are swapped with oneself."""
    self_swap_mesh: float
    """mm: the same of the whole mesh, with eyes, teeth and shoulders that follow the skin."""
    all_parts: Errors
    """How far the face that is given all parts of its partner, by difference, is off from its partner."""
    replaced: Errors
    """The same for what the network decodes of the partner's codes: the error of reconstruction."""


def exactness(evaluation: Evaluation) -> dict[str, Exactness]:
    """Of each network that has parts."""
    identity, partners = evaluation.test.people.values, evaluation.partners
    faces, numbers = evaluation.test.displacements, np.arange(len(evaluation.test))
    found = {}
    for name, composer in evaluation.composers.items():
        codes = composer.codes(identity, numbers)
        still = composer.skin_offsets(identity, codes, codes, numbers)
        whole = composer.offsets(identity, still, numbers)
        errors = [
            faces + composer.skin_offsets(identity, codes, codes[partners], numbers, transfer) - faces[partners]
            for transfer in ("difference", "decode")
        ]
        by_difference, replaced = (Errors.of(np.linalg.norm(error, axis=2)) for error in errors)
        found[name] = Exactness(float(np.abs(still).max()), float(np.abs(whole).max()), by_difference, replaced)
    return found
