"""People of a model: identities drawn from its population."""

from __future__ import annotations

import numpy as np

from facegen.errors import ModelError
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator


def draw_people(model: MorphableModel, count: int, seed: int) -> CoefficientSet:
    """Identities of the model's people, or of its Gaussian law where it has none; each face is a unit.

    Raises:
        ModelError: the model has no identity coefficients.
    """
    if not model.identity_names:
        raise ModelError(f"the model '{model.name}' has no identity coefficients")
    values = np.empty((count, len(model.identity_names)), np.float32)
    known: list[tuple[float, float]] = []
    for face in range(count):
        random = generator(seed, "clean", "identity", face)
        if model.population is None:
            values[face] = random.standard_normal(values.shape[1])
            continue
        person = model.population.draw(random)
        values[face] = person.identity
        youngest, oldest = model.population.attributes.age[:2]
        age = 2 * (float(person.attributes.age) - youngest) / (oldest - youngest) - 1
        known.append((float(person.attributes.sex), float(age)))
    conditions = np.array(known, np.float32).reshape(-1, 2) if known else np.zeros((0, 0), np.float32)
    basis = model.identity_basis.reshape(len(model.identity_basis), -1).astype(np.float64)
    return CoefficientSet(
        group="identity",
        model=model.name,
        model_sha256=model.source_sha256,
        names=model.identity_names,
        values=values,
        deviation=np.linalg.norm(basis, axis=1).astype(np.float32),
        bounds=(-np.inf, np.inf),
        unit=np.arange(count, dtype=np.int32),
        units=tuple(f"person {face}" for face in range(count)),
        provenance={
            "source": "population" if known else "gaussian law of the model",
            "people": count,
            "seed": seed,
        },
        conditions=conditions,
        condition_names=("sex", "age") if known else (),
    )
