"""The default model as the tests of its gates use it: people of its population and ARKit weights by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]

SKIN = ("face", "lips", "scalp", "ears", "neck")
"""Regions that are skin seen from outside; the pockets behind lids, nostrils and lips are not."""


def default_model() -> MorphableModel:
    """At its own resolution, without shoulders."""
    return load_model(DefaultModelConfig(bust=False))


def people(model: MorphableModel, count: int, seed: int) -> Float:
    """Identity coefficients (count, Ki) of people of the population."""
    assert model.population is not None
    draws = (model.population.draw(np.random.Generator(np.random.Philox(key=[seed, n]))) for n in range(count))
    return np.stack([draw.identity for draw in draws]).astype(np.float32)


def weights(model: MorphableModel, **by_name: float) -> Float:
    """Expression weights (1, 52) from ARKit's names; those that are not named are 0, a stem stands for both sides."""
    result = np.zeros((1, len(model.expression_names)), np.float32)
    for name, value in by_name.items():
        found = [i for i, full in enumerate(model.expression_names) if full in (name, f"{name}Left", f"{name}Right")]
        assert found, name
        result[0, found] = value
    return result


def face(model: MorphableModel, identity: Float | None = None, **by_name: float) -> Float:
    """Vertices (V, 3) of a person (Ki,), or of the mean, with an expression."""
    person = np.zeros(len(model.identity_names), np.float32) if identity is None else identity
    decoded: Float = model.decode(person[None], weights(model, **by_name))[0]
    return decoded
