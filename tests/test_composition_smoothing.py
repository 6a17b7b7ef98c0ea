"""Smoothing of displacements: against dense linear algebra, and what it has to leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.composition.smoothing import Smoother
from facegen.tests.autoencoders import Studio

Float = NDArray[np.float64]


def laplacian(studio: Studio) -> Float:
    """(n, n) of the skin's graph, divided by the degree."""
    skin = studio.faces.skin
    adjacency = np.zeros((len(skin.vertices), len(skin.vertices)))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        adjacency[skin.triangles[:, a], skin.triangles[:, b]] = 1
        adjacency[skin.triangles[:, b], skin.triangles[:, a]] = 1
    return np.asarray(np.eye(len(adjacency)) - adjacency / adjacency.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("strength", [0.5, 50.0])
def test_it_solves_the_implicit_step(studio: Studio, strength: float) -> None:
    matrix = laplacian(studio)
    rough = np.random.default_rng(0).standard_normal((len(matrix), 3))
    expected = np.linalg.solve(np.eye(len(matrix)) + strength * matrix, rough)
    np.testing.assert_allclose(Smoother(studio.faces.skin, strength).smoothed(rough), expected, atol=1e-10)


def test_a_shift_stays_and_nothing_stays_nothing(studio: Studio) -> None:
    smoother, count = Smoother(studio.faces.skin, 100.0), len(studio.faces.skin.vertices)
    shift = np.broadcast_to([1.0, -2.0, 3.0], (count, 3))
    np.testing.assert_allclose(smoother.smoothed(shift), shift, atol=1e-9)
    assert not smoother.smoothed(np.zeros((count, 3))).any()


def test_short_waves_go_and_long_ones_stay(studio: Studio) -> None:
    skin, smoother = studio.faces.skin, Smoother(studio.faces.skin, 10.0)
    rough = np.random.default_rng(1).standard_normal((len(skin.vertices), 3))
    long = skin.mean / np.abs(skin.mean).max()
    assert np.square(smoother.smoothed(rough)).sum() < 0.1 * np.square(rough).sum()
    assert np.square(smoother.smoothed(long)).sum() > 0.9 * np.square(long).sum()
