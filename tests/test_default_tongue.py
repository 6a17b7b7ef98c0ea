"""The tongue comes out of an open mouth, and never through lips, chin or teeth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.evaluation.plausibility.intersections import curves
from facegen.evaluation.plausibility.surface import Place, triangles_of
from facegen.morphable.constraints import respect_limits
from facegen.morphable.model import MorphableModel
from facegen.tests.default_model import default_model, people, weights

Float = NDArray[np.float32]

FACES = 120


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return default_model()


def against(model: MorphableModel, others: NDArray[np.int64]) -> Place:
    """The tongue's triangles and those that it must not cross."""
    tongue = triangles_of(model, "tongue")
    triangles = np.concatenate([others, tongue])
    vertices, local = np.unique(triangles, return_inverse=True)
    side = np.repeat(np.array([1, 2], np.int8), [len(others), len(tongue)])
    middle = model.mean[triangles].mean(axis=1).astype(np.float64)
    return Place("tongue", vertices, local.reshape(-1, 3).astype(np.int64), np.arange(len(vertices)), side, middle)


def crossing(model: MorphableModel, vertices: Float, others: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) mm: length of the curve along which the tongue passes through some triangles."""
    place = against(model, others)
    tolerated = np.zeros(len(place.triangles), np.bool_)
    length, _, _ = curves(place, vertices[:, place.vertices].astype(np.float64), tolerated)
    return length


def skin(model: MorphableModel) -> NDArray[np.int64]:
    """Lips, and the face around them."""
    triangles = triangles_of(model, "face", "lips")
    mouth = model.mean[model.topology.landmarks[48:]].mean(axis=0)
    return triangles[np.linalg.norm(model.mean[triangles].mean(axis=1) - mouth, axis=1) < 55]


def upper_teeth(model: MorphableModel) -> NDArray[np.int64]:
    """Those that stay where they are when the jaw opens."""
    triangles = triangles_of(model, "teeth")
    moved = np.abs(model.expression_basis[model.expression_names.index("jawOpen")]).max(axis=1)
    return triangles[(moved[triangles] == 0).all(axis=1)]


def drawn(model: MorphableModel, share: float, most: float, seed: int) -> Float:
    """(FACES, 52) weights, a share of them uniform between 0 and the most, the others 0."""
    rng = np.random.default_rng(seed)
    shape = (FACES, len(model.expression_names))
    return np.where(rng.random(shape) < share, rng.uniform(0, most, shape), 0).astype(np.float32)


@pytest.mark.parametrize(("share", "most"), [(0.16, 1.0), (1.0, 0.5), (1.0, 1.0)])
def test_at_random_weights_it_passes_through_nothing(model: MorphableModel, share: float, most: float) -> None:
    raw, persons = drawn(model, share, most, seed=5), people(model, FACES, seed=5)
    possible = model.decode(persons, respect_limits(model, raw))
    assert (crossing(model, possible, skin(model)) == 0).all()
    # A jaw that goes aside may let it touch a tooth.
    assert crossing(model, possible, upper_teeth(model)).max() < 3


def test_without_its_switch_it_would_pass_through_the_skin(model: MorphableModel) -> None:
    raw = drawn(model, 1.0, 0.5, seed=5)
    vertices = model.decode(people(model, FACES, seed=5), respect_limits(replace(model, expression_switches=()), raw))
    assert (crossing(model, vertices, skin(model)) > 0).mean() > 0.3


def test_it_comes_out_of_an_open_mouth_and_through_nothing(model: MorphableModel) -> None:
    raw = drawn(model, 0.1, 0.5, seed=6)
    raw[:, model.expression_names.index("tongueOut")] = 1
    raw[:, model.expression_names.index("jawOpen")] = np.linspace(0.65, 1, FACES)
    tame = respect_limits(model, raw)
    out = tame[:, model.expression_names.index("tongueOut")] == 1
    assert 0.2 < out.mean() < 0.8
    vertices = model.decode(people(model, FACES, seed=6), tame)[out]
    # A lip that a person has thicker than others may be touched.
    length = crossing(model, vertices, skin(model))
    assert (length > 0).mean() < 0.05
    assert length.max() < 12
    assert (crossing(model, vertices, upper_teeth(model)) == 0).all()
    tip = vertices[:, np.unique(triangles_of(model, "tongue")), 2].max(axis=1)
    lip = vertices[:, model.topology.landmarks[57], 2]
    assert (tip > lip + 5).all()


def test_what_is_nearly_out_is_out_and_the_rest_is_in(model: MorphableModel) -> None:
    column = model.expression_names.index("tongueOut")
    for value, jaw, expected in ((1, 0.7, 1), (0.5, 0.66, 1), (0.49, 1, 0), (0.01, 1, 0), (1, 0.64, 0), (0, 1, 0)):
        tame = respect_limits(model, weights(model, tongueOut=value, jawOpen=jaw))
        assert tame[0, column] == expected
    # Lips that close over it, or a mouth that is narrow or aside, keep it in.
    for name in ("mouthClose", "mouthPucker", "mouthLeft", "mouthShrugLower"):
        assert respect_limits(model, weights(model, tongueOut=1, jawOpen=0.8, **{name: 0.3}))[0, column] == 0
    assert respect_limits(model, weights(model, tongueOut=1, jawOpen=0.55, mouthLowerDown=0.3))[0, column] == 1
