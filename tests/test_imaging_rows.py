"""Rows in vector registers against the same formulas in NumPy, bit for bit."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.imaging.normals import normals_and_depths, vertex_normals
from facegen.imaging.rasterise import Rasteriser
from facegen.imaging.rows import add_normal, mixed2, mixed4, weighted8

F32 = NDArray[np.float32]
WEIGHTS = np.float32(0.3), np.float32(0.6)


@numba.njit
def _mixed2(array: F32, rows: NDArray[np.uint64], w1: np.float32, w2: np.float32) -> Any:
    return mixed2(array, rows[0], rows[1], rows[2], w1, w2)


@numba.njit
def _mixed4(array: F32, rows: NDArray[np.uint64], w1: np.float32, w2: np.float32) -> Any:
    return mixed4(array, rows[0], rows[1], rows[2], w1, w2)


@numba.njit
def _weighted8(array: F32, places: NDArray[np.uint64], w1: np.float32, w2: np.float32) -> Any:
    return weighted8(array, places[0], places[1], places[2], np.float32(1.0) - w1 - w2, w1, w2)


@numba.njit
def _add_normal(points: F32, sums: F32, rows: NDArray[np.uint64]) -> None:
    add_normal(points, sums, rows[0], rows[1], rows[2])


@numba.njit
def _of_doubles(array: NDArray[np.float64], rows: NDArray[np.uint64], w1: np.float32, w2: np.float32) -> Any:
    return mixed4(array, rows[0], rows[1], rows[2], w1, w2)


def draw(count: int) -> F32:
    return np.random.default_rng(count).standard_normal(count).astype(np.float32)


ROWS = np.array([4, 0, 2], np.uint64)


@pytest.mark.parametrize(("function", "width"), [(_mixed2, 2), (_mixed4, 4)])
def test_rows_are_mixed_as_written(function: Any, width: int) -> None:
    array = draw(5 * width)
    a, b, c = array.reshape(5, width)[ROWS]
    w1, w2 = WEIGHTS
    np.testing.assert_array_equal(function(array, ROWS, w1, w2), a + w1 * (b - a) + w2 * (c - a))


def test_eight_numbers_from_any_place() -> None:
    array, places = draw(31), np.array([0, 23, 9], np.uint64)
    a, b, c = (array[int(place) : int(place) + 8] for place in places)
    w1, w2 = WEIGHTS
    found = _weighted8(array, places, w1, w2)
    np.testing.assert_array_equal(found, (np.float32(1) - w1 - w2) * a + w1 * b + w2 * c)


def test_a_normal_is_added_to_its_corners_alone() -> None:
    points, sums = draw(15), draw(20)
    a, b, c = points.reshape(5, 3)[ROWS]
    expected = sums.copy().reshape(5, 4)
    expected[ROWS, :3] += np.cross(b - a, c - a)
    _add_normal(points, sums, ROWS)
    np.testing.assert_array_equal(sums.reshape(5, 4)[:, :3], expected[:, :3])


def test_other_numbers_than_float32_are_refused() -> None:
    with pytest.raises(numba.TypingError, match="mixed"):
        _of_doubles(np.zeros(20), ROWS, *WEIGHTS)


def test_normals_do_not_depend_on_how_arrays_lie() -> None:
    vertices = draw(18).reshape(6, 3)
    triangles = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 0]], np.int32)
    expected = vertex_normals(vertices, triangles)
    np.testing.assert_array_equal(vertex_normals(np.asfortranarray(vertices), triangles[:, ::-1][:, ::-1]), expected)
    np.testing.assert_array_equal(
        normals_and_depths(vertices, triangles.view(np.uint32)), np.column_stack([expected, vertices[:, 2]])
    )
    np.testing.assert_allclose(np.linalg.norm(expected[:5], axis=1), 1, rtol=1e-6)
    assert (expected[5] == 0).all()


def test_a_rasteriser_of_centres_refuses_other_samples() -> None:
    triangles = np.array([[0, 1, 2]], np.int32)
    rasteriser = Rasteriser(triangles, 3, 4, 4, centres_only=True)
    rasteriser.load(np.ones((3, 3), np.float32) * 100, np.eye(3), 0)
    with pytest.raises(ValueError, match="centres"):
        rasteriser.fill(np.empty((9, 9), np.int32), np.empty((9, 9), np.float32), supersampled=True)
