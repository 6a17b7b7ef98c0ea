"""Labels of composed faces against an oracle of least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.composition.projection import Projected, Projection
from facegen.composition.skin import Skin
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]
COUNT = 21


@pytest.fixture(scope="module")
def skin(head: MorphableModel) -> Skin:
    return Skin.of(head)


@pytest.fixture(scope="module")
def projection(head: MorphableModel, skin: Skin) -> Projection:
    return Projection(head, skin)


@pytest.fixture(scope="module")
def faces(head: MorphableModel) -> tuple[Float, Float]:
    """Coefficients, and offsets that the basis can hold in part; every fifth face has none."""
    random = np.random.default_rng(0)
    identity, other = random.standard_normal((2, COUNT, len(head.identity_names))).astype(np.float32)
    offset = neutral(head, other) - head.mean + random.normal(0, 1, (COUNT, *head.mean.shape)).astype(np.float32)
    offset[::5] = 0
    return identity, offset.astype(np.float32)


def neutral(model: MorphableModel, identity: Float) -> Float:
    return model.decode(identity, np.zeros((len(identity), len(model.expression_names)), np.float32))


def equal(a: Projected, b: Projected, rows: NDArray[np.int64]) -> None:
    for name in ("identity", "offset", "residual"):
        assert getattr(a, name).tobytes() == getattr(b, name)[rows].tobytes(), name


def test_it_is_the_least_squares_solution(
    head: MorphableModel, skin: Skin, projection: Projection, faces: tuple[Float, Float]
) -> None:
    identity, offset = faces
    found = projection.project(identity, offset, np.arange(COUNT))
    basis = head.identity_basis[:, skin.vertices].reshape(len(identity[0]), -1).T.astype(np.float64)
    composed = (offset[:, skin.vertices].reshape(COUNT, -1) + (basis @ identity.T.astype(np.float64)).T).T
    oracle, residual, _, _ = np.linalg.lstsq(basis, composed, rcond=None)
    np.testing.assert_allclose(found.identity, oracle.T, atol=2e-5)
    np.testing.assert_allclose(found.residual, np.sqrt(residual / len(skin.vertices)), rtol=1e-5, atol=1e-5)
    assert found.residual[1:5].min() > 1
    assert (found.identity.dtype, found.offset.dtype, found.residual.dtype) == (np.float32,) * 3


def test_the_farthest_is_what_least_squares_leaves(
    head: MorphableModel, skin: Skin, projection: Projection, faces: tuple[Float, Float]
) -> None:
    offset = faces[1][:, skin.vertices]
    basis = head.identity_basis[:, skin.vertices].reshape(len(faces[0][0]), -1).T.astype(np.float64)
    flat = offset.reshape(COUNT, -1).T.astype(np.float64)
    rest = (flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]).T.reshape(offset.shape)
    numbers = np.arange(COUNT) * 3 + 5
    found = projection.farthest(offset, numbers)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.linalg.norm(rest, axis=2).max(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[::5], 0)
    # No root mean square is longer than the longest.
    assert (projection.project(*faces, numbers).residual <= found * (1 + 1e-5)).all()
    for rows in (np.array([3]), np.arange(COUNT)[::-1]):
        assert projection.farthest(offset[rows], numbers[rows]).tobytes() == found[rows].tobytes()


def test_the_mesh_stays(head: MorphableModel, projection: Projection, faces: tuple[Float, Float]) -> None:
    identity, offset = faces
    found = projection.project(identity, offset, np.arange(COUNT))
    before, after = neutral(head, identity) + offset, neutral(head, found.identity) + found.offset
    np.testing.assert_allclose(after, before, atol=1e-4)
    # As does what was given.
    assert not offset[::5].any()


def test_faces_of_the_model_leave_nothing(head: MorphableModel, projection: Projection) -> None:
    random = np.random.default_rng(1)
    identity, other = random.standard_normal((2, 5, len(head.identity_names))).astype(np.float32)
    offset = neutral(head, other) - neutral(head, identity)
    found = projection.project(identity, offset, np.arange(5))
    np.testing.assert_allclose(found.identity, other, atol=1e-3)
    assert found.residual.max() < 1e-4
    assert np.abs(found.offset).max() < 1e-3


def test_no_offset_changes_nothing(projection: Projection, faces: tuple[Float, Float]) -> None:
    identity, offset = faces
    found = projection.project(identity, offset, np.arange(COUNT))
    assert found.identity[::5].tobytes() == identity[::5].tobytes()
    assert found.offset[::5].tobytes() == offset[::5].tobytes()
    assert found.residual[::5].tobytes() == np.zeros(len(identity[::5]), np.float32).tobytes()
    assert (found.identity[1] != identity[1]).all()


def test_a_row_does_not_depend_on_its_batch(projection: Projection, faces: tuple[Float, Float]) -> None:
    identity, offset = faces
    numbers = np.arange(COUNT) * 3 + 5
    whole = projection.project(identity, offset, numbers)
    for rows in (np.array([3]), np.arange(COUNT)[::-1], np.array([7, 1, 12])):
        equal(projection.project(identity[rows], offset[rows], numbers[rows]), whole, rows)


def test_what_is_not_finite_stays(projection: Projection, faces: tuple[Float, Float]) -> None:
    identity, offset = (values.copy() for values in faces)
    whole = projection.project(*faces, np.arange(COUNT))
    offset[3, 17, 1], offset[8] = np.nan, np.inf
    found = projection.project(identity, offset, np.arange(COUNT))
    sound = np.setdiff1d(np.arange(COUNT), [3, 8])
    equal(Projected(found.identity[sound], found.offset[sound], found.residual[sound]), whole, sound)
    assert found.identity[[3, 8]].tobytes() == identity[[3, 8]].tobytes()
    assert not np.isfinite(found.residual[[3, 8]]).any()


def test_a_basis_that_says_a_thing_twice(head: MorphableModel, skin: Skin, faces: tuple[Float, Float]) -> None:
    identity, offset = faces[0][:4], faces[1][1:5]
    twice = replace(head, identity_basis=np.concatenate([head.identity_basis] * 2))
    once = Projection(head, skin).project(identity, offset, np.arange(4))
    found = Projection(twice, skin).project(np.concatenate([identity, 0 * identity], axis=1), offset, np.arange(4))
    np.testing.assert_allclose(found.residual, once.residual, rtol=1e-5)
    half = len(identity[0])
    np.testing.assert_allclose(found.identity[:, :half] + found.identity[:, half:], once.identity, atol=1e-4)
