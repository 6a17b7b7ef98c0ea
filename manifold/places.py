"""Batches in which every face has a place of its own, so that its bits do not depend on who else is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

BLOCK = 64
"""Faces per product of matrices: enough to keep the processor busy with small networks."""


def in_places(
    function: Callable[[Float, NDArray[np.int64]], Float], values: Float, numbers: NDArray[np.int64]
) -> Float:
    """Apply ``function`` to values (B, K) in full blocks, each row at the place that its number gives it.

    A product of matrices may round a row differently by the size of the batch and by the row's place in it. Here a row
    depends on its own value and number alone.

    Args:
        function: takes values (BLOCK, K) and numbers (BLOCK,), gives the answers (BLOCK, K); it treats rows apart.
        values: any.
        numbers: (B,) such as face or identity numbers; rows of equal number and equal values share an answer.

    Returns:
        Answers (B, K).
    """
    keys = np.concatenate([numbers[:, None], np.ascontiguousarray(values).view(np.int32).astype(np.int64)], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    blocks: dict[tuple[int, int], list[int]] = {}
    occurrences: dict[int, int] = {}
    for row in first.tolist():
        number = int(numbers[row])
        # Rows of one number and of different values would claim the same place: each goes to a block of its own.
        occurrence = occurrences.get(number, 0)
        occurrences[number] = occurrence + 1
        blocks.setdefault((number // BLOCK, occurrence), []).append(row)
    answers = np.empty_like(values)
    for (block, _), rows in blocks.items():
        place = numbers[rows] % BLOCK
        full = np.zeros((BLOCK, values.shape[1]), np.float32)
        full[place] = values[rows]
        answers[rows] = function(full, block * BLOCK + np.arange(BLOCK))[place]
    return answers[first][inverse.reshape(-1)]
