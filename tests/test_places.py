"""Places in blocks: a row's answer depends on its value and number alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.places import BLOCK, in_places

Ints = NDArray[np.int64]


def told(values: NDArray[np.float32], numbers: Ints) -> NDArray[np.float64]:
    """An answer (n, 2, 3) that tells the value, the number and the place of a row."""
    place = np.arange(len(values))
    return np.stack([values.sum(axis=(1, 2)), numbers, place], axis=1)[:, None] * np.ones((1, 2, 1))


@pytest.mark.parametrize("block", [1, 7, BLOCK])
@pytest.mark.parametrize("seed", range(3))
def test_every_row_has_the_place_of_its_number(block: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    numbers = random.integers(0, 300, 200)
    values = random.integers(0, 2, (200, 2, 2)).astype(np.float32)
    sizes = set()

    def function(full: NDArray[np.float32], block_numbers: Ints) -> NDArray[np.float64]:
        sizes.add(len(full))
        np.testing.assert_array_equal(block_numbers, block_numbers[0] + np.arange(block))
        assert block_numbers[0] % block == 0
        return told(full, block_numbers)

    answers = in_places(function, values, numbers, block=block)
    assert answers.shape == (200, 2, 3)
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers[:, 0, 0], values.sum(axis=(1, 2)))
    np.testing.assert_array_equal(answers[:, 1, 1], numbers)
    np.testing.assert_array_equal(answers[:, 0, 2], numbers % block)
    assert sizes == {block}


def test_a_row_does_not_depend_on_the_others() -> None:
    random = np.random.default_rng(0)
    values, numbers = random.standard_normal((150, 37)).astype(np.float32), np.arange(150) * 5
    matrix = random.standard_normal((37, 61)).astype(np.float32)
    whole = in_places(lambda full, _: full @ matrix, values, numbers)
    for rows in (np.arange(1), np.arange(149, -1, -1), random.permutation(150)[:40]):
        part = in_places(lambda full, _: full @ matrix, values[rows], numbers[rows])
        assert part.tobytes() == whole[rows].tobytes()


def test_equal_rows_are_computed_once() -> None:
    calls = []

    def function(full: NDArray[np.float32], numbers: Ints) -> NDArray[np.float32]:
        calls.append(numbers[0])
        return full

    values = np.array([[1], [1], [2], [1]], np.float32)
    np.testing.assert_array_equal(in_places(function, values, np.array([3, 3, 3, 70])), values)
    # Two values of number 3 want the same place, number 70 lies in another block.
    assert calls == [0, 0, 64]


def test_nothing_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no rows"):
        in_places(lambda full, _: full, np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
