"""What the rasteriser's kernels share: types, and samples packed into one integer each."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Int = int | np.int32 | np.int64
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Wide = NDArray[np.int64]
Indices = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Grid = tuple[int, int, int, int]
"""Of samples: place of the first and logarithm of the step (both in 1/256 pixel), rows, columns."""

NOTHING = 0xFFFFFFFF
"""Depth key 0 and triangle -1, packed."""

compiled = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


@inline
def int32(value: Int) -> np.int32:
    """A number in 32 bits: compiled code makes int64 of sums of int32, of which vector registers hold half as many."""
    return np.int32(value)


@inline
def lower(pair: np.int64) -> np.int32:
    """The lower half."""
    return np.int32(pair)


@inline
def upper(pair: np.int64) -> np.int32:
    """The upper half."""
    return np.int32(pair >> 32)


@inline
def vertices_of(triangles: Indices, t: np.uint64) -> tuple[np.uint32, np.uint32, np.uint32]:
    """The vertices of triangle t among (3T,)."""
    at = np.uint64(3) * t
    return triangles[at], triangles[at + np.uint64(1)], triangles[at + np.uint64(2)]


@inline
def packed(k: np.float32, t: Int) -> np.int64:
    """Depth key and triangle as one integer, of which the largest is seen: larger key, then smaller triangle.

    The bits of positive floats are ordered as they are. Negative keys make negative integers, which lose against
    ``NOTHING``, as does the key 0.
    """
    return (np.int64(np.float32(k).view(np.int32)) << 32) | packed_triangle(t)


@inline
def packed_triangle(t: Int) -> np.int64:
    """The lower half of :func:`packed`."""
    return np.int64(NOTHING - 1) - np.int64(t)


@inline
def unpacked(value: np.int64) -> tuple[np.int32, np.float32]:
    """Triangle and depth key of :func:`packed`."""
    return np.int32(NOTHING - 1 - value), np.int32(value >> 32).view(np.float32)


@compiled
def unpack(seen: Wide, out_triangle: Ints, out_key: Floats) -> None:
    """Write triangle and depth key at all samples."""
    rows, columns = out_triangle.shape
    for r in range(rows):
        for c in range(columns):
            out_triangle[r, c], out_key[r, c] = unpacked(seen[np.uint64(r * columns + c)])
