"""Batches in which every face has a place of its own, so that its bits do not depend on who else is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)
U = TypeVar("U", bound=np.generic)

BLOCK = 64
"""Faces per product of matrices: enough to keep the processor busy with small networks."""


def in_places(
    function: Callable[[NDArray[T], Ints], NDArray[U]], values: NDArray[T], numbers: Ints, *, block: int = BLOCK
) -> NDArray[U]:
    """Apply ``function`` to values (B, …) in full blocks, each row at the place that its number gives it.

    A product of matrices may round a row differently by the size of the batch and by the row's place in it. Here a row
    depends on its own value and number alone.

    Args:
        function: takes values (block, …) and numbers (block,), gives the answers (block, …), of any shape; it treats
            rows apart.
        values: any; one row at least.
        numbers: (B,) such as face or identity numbers; rows of equal number and equal values share an answer.
        block: rows that are computed at once.

    Returns:
        Answers (B, …).
    """
    rows_of: dict[tuple[int, bytes], list[int]] = {}
    for row, number in enumerate(numbers.tolist()):
        rows_of.setdefault((number, values[row].tobytes()), []).append(row)
    blocks: dict[tuple[int, int], list[list[int]]] = {}
    occurrences: dict[int, int] = {}
    for (number, _), rows in rows_of.items():
        # Rows of one number and of different values would claim the same place: each goes to a block of its own.
        occurrence = occurrences.get(number, 0)
        occurrences[number] = occurrence + 1
        blocks.setdefault((number // block, occurrence), []).append(rows)
    answers: NDArray[U] | None = None
    for (aligned, _), groups in blocks.items():
        first = [rows[0] for rows in groups]
        place = numbers[first] % block
        full = np.zeros((block, *values.shape[1:]), values.dtype)
        full[place] = values[first]
        answered = function(full, aligned * block + np.arange(block))
        if answers is None:
            answers = np.empty((len(values), *answered.shape[1:]), answered.dtype)
        for rows, where in zip(groups, place, strict=True):
            answers[rows] = answered[where]
    if answers is None:
        raise ValueError("no rows")
    return answers
