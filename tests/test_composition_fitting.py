"""Parts fitted to each other: against dense least squares, and what has to stay as it was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from facegen.composition.fitting import Fitter
from facegen.composition.parts import REST, Parts, vertex_areas
from facegen.composition.skin import Skin
from facegen.tests.autoencoders import Studio

Float = NDArray[np.float64]

LEAST = 1e-4
"""Product of two weights from which on a vertex is of a border."""


@dataclass(frozen=True)
class Case:
    """A fitter, and what it was made of."""

    skin: Skin
    weights: Float
    fitter: Fitter
    people: Float
    """(N, n, 3) mm: displacements from the mean face."""

    @property
    def count(self) -> int:
        return self.weights.shape[1]

    def shapes(self, seed: int = 0) -> Float:
        """(K, n, 3): each part of somebody else."""
        chosen = np.random.default_rng(seed).permutation(len(self.people))[: self.count]
        return self.people[chosen]

    def disagreement(self, shapes: Float) -> float:
        """mm⁴: how far parts are from each other where they meet, squared, by the area that they share."""
        area, total = vertex_areas(self.skin.mean, self.skin.triangles), 0.0
        for i, j in combinations(range(self.count), 2):
            shared = self.weights[:, i] * self.weights[:, j]
            shared = np.where(shared > LEAST, shared, 0) * area
            total += float(shared @ np.square(shapes[i] - shapes[j]).sum(axis=1))
        return total

    def centre(self, shapes: Float, part: int) -> Float:
        """(3,) mm: of a part."""
        mass = self.weights[:, part] * vertex_areas(self.skin.mean, self.skin.triangles)
        return np.asarray(mass @ (shapes[part] + self.skin.mean) / mass.sum())

    def moves(self, shapes: Float, part: int) -> Float:
        """(7, n, 3): what a shift, a turn, and a change of size by about 1 mm at 100 mm do to a part."""
        away = (shapes[part] + self.skin.mean - self.centre(shapes, part)) / 100
        shifts = np.broadcast_to(np.eye(3)[:, None], (3, *away.shape))
        return np.concatenate([shifts, np.cross(np.eye(3)[:, None], away), away[None]])


def case_of(skin: Skin, names: tuple[str, ...], weights: Float, people: Float) -> Case:
    parts = Parts(names, weights.astype(np.float32))
    return Case(skin, weights, Fitter(skin, parts, weights), people)


@pytest.fixture(scope="module")
def case(studio: Studio) -> Case:
    weights = studio.hierarchy.upsampled(studio.parts.weights)
    people = studio.faces.displacements.astype(np.float64)
    assert studio.parts.names[-1] == REST
    return case_of(studio.faces.skin, studio.parts.names, weights, people)


def turned(places: Float, centre: Float, vector: Float) -> Float:
    return np.asarray(Rotation.from_rotvec(vector).apply(places - centre) + centre)


# --- what stays ---


def test_one_person_stays_to_the_bit(case: Case) -> None:
    shapes = np.repeat(case.people[3][None], case.count, axis=0)
    before = shapes.copy()
    assert case.fitter.fit(shapes).tobytes() == before.tobytes()
    moved = case.fitter.moved(shapes)
    assert moved.tobytes() == np.zeros_like(before[0]).tobytes()
    # A single number that differs is another person.
    shapes[1, 100, 2] += 1e-9
    assert case.fitter.fit(shapes) is not shapes


def test_the_head_stays(case: Case) -> None:
    for seed in range(5):
        shapes = case.shapes(seed)
        before = shapes.copy()
        fitted = case.fitter.fit(shapes)
        np.testing.assert_array_equal(shapes, before)
        np.testing.assert_array_equal(fitted[-1], shapes[-1])
        assert (np.abs(fitted[:-1] - shapes[:-1]).max(axis=(1, 2)) > 0.01).all()


def test_without_a_head_the_largest_stays(case: Case) -> None:
    area = vertex_areas(case.skin.mean, case.skin.triangles)
    order = np.argsort(-(case.weights * area[:, None]).sum(axis=0))
    for place in range(case.count):
        # The largest part at each place in turn; no part is called the head.
        columns = np.roll(order, place)
        other = case_of(case.skin, tuple("abcdefgh"[: case.count]), case.weights[:, columns], case.people)
        shapes = other.shapes()
        still = (other.fitter.fit(shapes) == shapes).all(axis=(1, 2))
        np.testing.assert_array_equal(still, np.arange(case.count) == place)
        # What is called so stays, whatever its size.
        named = case_of(case.skin, (*"abcdefgh"[: case.count - 1], REST), case.weights[:, columns], case.people)
        still = (named.fitter.fit(shapes) == shapes).all(axis=(1, 2))
        np.testing.assert_array_equal(still, np.arange(case.count) == case.count - 1)


def test_a_part_without_borders_stays(case: Case) -> None:
    count = len(case.skin.mean)
    far = int(case.weights[:, -1].argmax())
    lonely = np.eye(3)[np.where(np.arange(count) == far, 1, 0)]
    near = case.weights[:, 0] + case.weights[:, -1] > 0.5
    lonely[near, 0], lonely[near, 2] = case.weights[near, 0], 1 - case.weights[near, 0]
    lonely[far] = [0, 1, 0]
    alone = case_of(case.skin, ("face", "spot", REST), lonely, case.people)
    shapes = alone.shapes()
    fitted = alone.fitter.fit(shapes)
    np.testing.assert_allclose(fitted[1], shapes[1], rtol=0, atol=1e-9)
    assert np.abs(fitted[0] - shapes[0]).max() > 0.1


def test_parts_that_never_meet_stay(case: Case) -> None:
    hard = np.eye(case.count)[case.weights.argmax(axis=1)]
    apart = case_of(case.skin, (*"abcdefgh"[: case.count - 1], REST), hard, case.people)
    shapes = apart.shapes()
    np.testing.assert_array_equal(apart.fitter.fit(shapes), shapes)
    assert not apart.fitter.moved(shapes).any()


@pytest.mark.parametrize("seed", range(3))
def test_each_part_is_similar_to_what_it_was(case: Case, seed: int) -> None:
    """Its points move by an affine map whose matrix is a turn and a change of size, to first order."""
    shapes = case.shapes(seed)
    fitted = case.fitter.fit(shapes)
    for before, after in zip(shapes, fitted, strict=True):
        places = np.column_stack([before + case.skin.mean, np.ones(len(before))])
        affine, _, rank, _ = np.linalg.lstsq(places, after - before, rcond=None)
        assert rank == 4
        np.testing.assert_allclose(places @ affine, after - before, rtol=0, atol=1e-9)
        linear = affine[:3]
        size = np.trace(linear) / 3 * np.eye(3)
        np.testing.assert_allclose((linear + linear.T) / 2, size, rtol=0, atol=1e-11)


# --- least squares ---


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_least_squares_solution(case: Case, seed: int) -> None:
    """One dense system of all borders and of all unknowns of the parts that are free."""
    shapes = case.shapes(seed)
    area, free = vertex_areas(case.skin.mean, case.skin.triangles), case.count - 1
    directions = [case.moves(shapes, part) for part in range(free)]
    blocks, apart = [], []
    for i, j in combinations(range(case.count), 2):
        shared = case.weights[:, i] * case.weights[:, j]
        root = np.sqrt(np.where(shared > LEAST, shared * area, 0))[:, None]
        block = np.zeros((root.size * 3, free, 7))
        block[:, i] += (directions[i] * root).reshape(7, -1).T
        if j < free:
            block[:, j] -= (directions[j] * root).reshape(7, -1).T
        blocks.append(block.reshape(len(block), -1))
        apart.append(((shapes[j] - shapes[i]) * root).reshape(-1))
    solution, _, rank, _ = np.linalg.lstsq(np.concatenate(blocks), np.concatenate(apart), rcond=None)
    assert rank == free * 7
    oracle = shapes.copy()
    for part, numbers in enumerate(solution.reshape(free, 7)):
        oracle[part] += np.einsum("a,ani->ni", numbers, directions[part])
    fitted = case.fitter.fit(shapes)
    assert np.abs(oracle - shapes).max() > 1
    # What keeps parts without a border in place takes a ten thousandth of the others' way.
    np.testing.assert_allclose(fitted, oracle, rtol=0, atol=1e-4 * np.abs(oracle - shapes).max())
    least = case.disagreement(oracle)
    assert least <= case.disagreement(fitted) * (1 + 1e-12)
    assert case.disagreement(fitted) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_come_nearer_and_no_way_leads_on(case: Case, seed: int) -> None:
    shapes = case.shapes(seed)
    fitted = case.fitter.fit(shapes)
    assert case.disagreement(fitted) < case.disagreement(shapes)
    for part in range(case.count - 1):
        # The moves are of the shapes that were given, as is their centre.
        moves = case.moves(shapes, part)
        slopes = np.array([_slope(case, fitted, part, move) for move in moves])
        steep = np.array([_slope(case, shapes, part, move) for move in moves])
        assert np.linalg.norm(slopes) < 1e-4 * np.linalg.norm(steep)


def _slope(case: Case, shapes: Float, part: int, move: Float) -> float:
    """Of the disagreement when a part moves; it is quadratic, hence central differences are exact."""
    there, back = shapes.copy(), shapes.copy()
    there[part] += move
    back[part] -= move
    return (case.disagreement(there) - case.disagreement(back)) / 2


def test_where_the_face_is_does_not_matter(case: Case) -> None:
    shapes = case.shapes()
    fitted = case.fitter.fit(shapes)
    shift = np.array([5.0, -300, 40])
    np.testing.assert_allclose(case.fitter.fit(shapes + shift), fitted + shift, rtol=0, atol=1e-7)
    turn = Rotation.from_rotvec([0.3, -1, 0.5]).as_matrix()
    mean = case.skin.mean
    found = case.fitter.fit((shapes + mean) @ turn.T - mean)
    np.testing.assert_allclose(found, (fitted + mean) @ turn.T - mean, rtol=0, atol=1e-7)


def test_what_is_moved_is_mixed_by_the_weights(case: Case) -> None:
    shapes = case.shapes(4)
    fitted = case.fitter.fit(shapes)
    moved = case.fitter.moved(shapes)
    expected = sum(case.weights[:, part, None] * (fitted - shapes)[part] for part in range(case.count))
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-12)
    # Where the head is alone nothing moves.
    alone = (case.weights[:, :-1] == 0).all(axis=1)
    assert alone.any()
    assert not moved[alone].any()


def test_a_tenth_of_a_difference_is_fitted_by_a_tenth(case: Case) -> None:
    shapes = case.shapes(2)
    base = shapes[-1]
    near = base + 1e-4 * (shapes - base)
    nearer = base + 1e-5 * (shapes - base)
    one, ten = (case.fitter.fit(some) - some for some in (nearer, near))
    assert np.abs(one).max() > 0
    np.testing.assert_allclose(10 * one, ten, rtol=0, atol=2e-4 * np.abs(ten).max())


# --- a copy of the same person that was moved ---


@pytest.fixture(params=["shift", "size", "both"])
def copied(case: Case, request: pytest.FixtureRequest) -> tuple[Float, Float]:
    """A person (n, 3), and shapes (K, n, 3) of that person, each part but the head moved and resized as a whole."""
    person = case.people[5]
    shapes = np.repeat(person[None], case.count, axis=0)
    for part in range(case.count - 1):
        centre = case.centre(shapes, part) + np.array([3.0, -20, 8])
        if request.param != "shift":
            size = (0.9, 1.05, 1.12, 0.97)[part % 4]
            shapes[part] = size * (shapes[part] + case.skin.mean - centre) + centre - case.skin.mean
        if request.param != "size":
            shapes[part] += np.random.default_rng(part).normal(0, 4, 3)
    return person, shapes


def test_a_moved_copy_is_brought_back(case: Case, copied: tuple[Float, Float]) -> None:
    person, shapes = copied
    fitted = case.fitter.fit(shapes)
    way = np.abs(shapes - person).max()
    assert way > 3
    np.testing.assert_allclose(fitted, np.broadcast_to(person, fitted.shape), rtol=0, atol=1e-4 * way)
    assert case.disagreement(fitted) < 1e-8 * case.disagreement(shapes)
    mixed = np.einsum("nk,kni->ni", case.weights, shapes)
    np.testing.assert_allclose(mixed + case.fitter.moved(shapes), person, rtol=0, atol=1e-4 * way)


def test_a_turned_copy_is_brought_back_to_second_order(case: Case) -> None:
    person = case.people[7]
    places = person + case.skin.mean

    def off(angle: float) -> float:
        shapes = np.repeat(person[None], case.count, axis=0)
        for part in range(case.count - 1):
            axis = np.random.default_rng(part).normal(size=3)
            vector = angle * axis / np.linalg.norm(axis)
            shapes[part] = turned(places, case.centre(shapes, part), vector) - case.skin.mean
        before = np.linalg.norm(shapes - person, axis=2)
        after = np.linalg.norm(case.fitter.fit(shapes) - person, axis=2)
        own = case.weights.T > 0.5
        assert after[own].max() < angle * before[own].max()
        return float(after[own].max())

    wide, narrow = off(0.1), off(0.05)
    assert wide / narrow == pytest.approx(4, rel=0.1)


def test_a_part_that_is_nowhere_much_is_brought_back_as_well(case: Case) -> None:
    weights = np.zeros((len(case.skin.mean), 3))
    weights[:, 0] = case.weights[:, 0]
    weights[:, 2] = case.weights[:, 1:].sum(axis=1)
    # Of what the head has, a hundredth part is of somebody who sits far off.
    weights[:, 1] = 0.01 * weights[:, 2]
    weights[:, 2] *= 0.99
    trio = case_of(case.skin, ("face", "ghost", REST), weights, case.people)
    person = case.people[1]
    shapes = np.stack([person + np.array([6, 0, 0]), person + np.array([-400, 0, 0]), person])
    # All three meet; the one that is far comes to the others.
    np.testing.assert_allclose(trio.fitter.fit(shapes), np.stack([person] * 3), rtol=0, atol=0.01)
    moved = trio.fitter.moved(shapes)
    expected = person - np.einsum("nk,kni->ni", weights, shapes)
    np.testing.assert_allclose(moved, expected, rtol=0, atol=0.01)
