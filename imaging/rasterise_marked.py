"""Which triangles may be seen at the samples of marked pixels, such as those at edges."""

from __future__ import annotations

import numpy as np

from facegen.imaging.rasterise_boxes import LANES, WIDER, box_among, empty_lists, extent, list_box
from facegen.imaging.rasterise_samples import (
    NOTHING,
    Bytes,
    Floats,
    Indices,
    Int,
    Ints,
    Wide,
    compiled,
    inline,
    int32,
    unpacked,
    vertices_of,
)

_PIXEL, _SMALL, _MIDDLE, _LARGE = 1, 2, 4, 8
"""Windows of 1×1, 2×2 and 4×4 pixels, and larger ones, which are taken to hold a mark."""


@compiled
def list_marked(edge: Bytes, marked: Ints) -> Int:
    """Write the numbers of the pixels whose byte in ``edge`` (N,) is not 0 to ``marked`` (N + 1,); returns how many."""
    count, whole = np.uint64(0), len(edge) // 8 * 8
    words = edge[:whole].view(np.uint64)
    for word in range(len(words)):
        # Most are far from any edge, eight pixels at a time.
        if words[np.uint64(word)]:
            for p in range(8 * word, 8 * word + 8):
                marked[count] = p
                count += np.uint64(edge[np.uint64(p)] != 0)
    for p in range(whole, len(edge)):
        marked[count] = p
        count += np.uint64(edge[p] != 0)
    return np.int64(count)


@compiled
def mark_nearby(edge: Bytes, width: int, in_row: Bytes, nearby: Bytes) -> None:
    """Write to ``nearby`` (N,) for each pixel which windows that begin there hold a mark, see :func:`window_of`.

    Windows that reach beyond the last column hold what begins the next rows: a mark too many does no harm.

    Args:
        edge: (N,) 1 for the marked pixels, 0 for the others.
        in_row: (N + 3 width,) scratch, 0 after the first N.
    """
    count, last = len(edge), max(len(edge) - 3, 0)
    first, second, third = edge[1:], edge[2:], edge[3:]
    for p in range(last):
        two = edge[p] | first[p]
        in_row[p] = _uint8(edge[p] | _uint8(two << 1) | _uint8(_uint8(two | second[p] | third[p]) << 2))
    for p in range(last, count):
        in_row[p] = _PIXEL | _SMALL | _MIDDLE
    first, second, third = in_row[width:], in_row[2 * width :], in_row[3 * width :]
    for p in range(count):
        below = _uint8(first[p] & (_SMALL | _MIDDLE)) | _uint8(_uint8(second[p] | third[p]) & _MIDDLE)
        nearby[p] = _uint8(in_row[p] | below | _LARGE)


@inline
def _uint8(value: int | np.uint8) -> np.uint8:
    return np.uint8(value)


@inline
def window_of(left: np.int32, right: np.int32, top: np.int32, bottom: np.int32, height: int, width: int) -> np.int32:
    """First pixel that a triangle touches, times 16, and which window from there holds all that it touches.

    A sample on the border between two pixels belongs to both.
    """
    r0, r1 = _clamped(top - 1, height - 1), _clamped(bottom, height - 1)
    c0, c1 = _clamped(left - 1, width - 1), _clamped(right, width - 1)
    extent = max(int32(r1 - r0), int32(c1 - c0))
    window = int32(_MIDDLE) if extent < int32(4) else int32(_LARGE)
    window = int32(_SMALL) if extent < int32(2) else window
    window = int32(_PIXEL) if extent < int32(1) else window
    return int32(int32(int32(int32(r0 * int32(width)) + c0) << 4) | window)


@compiled
def choose(front: Ints, windows: Indices, nearby: Bytes, chosen: Ints) -> Int:
    """Write to ``chosen`` those of ``front`` that may touch a marked pixel; returns their number."""
    count = np.uint64(0)
    for n in range(len(front)):
        window = windows[np.uint64(n)]
        chosen[count] = front[np.uint64(n)]
        count += np.uint64((np.uint32(nearby[np.uint64(window >> np.uint32(4))]) & window) != 0)
    return np.int64(count)


@compiled
def select_marked(
    triangles: Indices,
    place: Wide,
    chosen: Ints,
    nearby: Bytes,
    height: int,
    width: int,
    boxes: Wide,
    ends: Wide,
    lanes: Ints,
) -> None:
    """List in ``boxes`` the triangles of ``chosen``, but large ones only when they are within 3 pixels of a mark."""
    empty_lists(len(triangles) // 3, ends)
    pairs = lanes[: 6 * LANES].view(np.int64)
    shape, corner, held = 6 * LANES, 7 * LANES, np.uint64(8 * LANES)
    for first in range(0, len(chosen), LANES):
        number = min(LANES, len(chosen) - first)
        for n in range(number):
            a, b, c = vertices_of(triangles, np.uint64(chosen[first + n]))
            pairs[n], pairs[LANES + n], pairs[2 * LANES + n] = place[a], place[b], place[c]
        for n in range(LANES):
            left, right, top, bottom = extent(lanes, n)
            lanes[shape + n], lanes[corner + n] = box_among(
                left, right, top, bottom, 0, 7, 2 * height + 1, 2 * width + 1
            )
        found = np.uint64(0)
        for n in range(number):
            lanes[held + found] = n
            found += np.uint64(lanes[shape + n] > 0)
        for i in range(np.int64(found)):
            lane = np.int64(lanes[held + np.uint64(i)])
            if lanes[np.uint64(shape + lane)] != WIDER or _touches(lanes, lane, nearby, height, width):
                t = chosen[np.uint64(first + lane)]
                list_box(t, lanes[np.uint64(shape + lane)], lanes[np.uint64(corner + lane)], boxes, ends)


@inline
def _touches(lanes: Ints, n: Int, nearby: Bytes, height: int, width: int) -> bool:
    """Whether a 4×4 window of those that hold the triangle in a lane holds a mark."""
    left, right, top, bottom = extent(lanes, n)
    c0, c1 = _clamped(left - 1, width - 1), _clamped(right, width - 1)
    for r in range(_clamped(top - 1, height - 1), _clamped(bottom, height - 1) + 1, 4):
        for c in range(c0, c1 + 1, 4):
            if nearby[r * width + c] & _MIDDLE:
                return True
    return False


@inline
def _clamped(place: Int, last: Int) -> np.int32:
    """Row or column of a place, at most that of the last pixel."""
    return min(max(int32(int32(place) >> 8), int32(0)), int32(last))


@inline
def clear_marked(marked: Ints, width: int, seen: Wide) -> None:
    """Begin with nothing seen at the nine samples of each marked pixel."""
    stride = 2 * width + 1
    for p in marked:
        for row in range(3):
            at = np.uint64((2 * (p // width) + row) * stride + 2 * (p % width))
            seen[at], seen[at + np.uint64(1)], seen[at + np.uint64(2)] = NOTHING, NOTHING, NOTHING


@compiled
def unpack_marked(seen: Wide, marked: Ints, width: int, out_triangle: Ints, out_key: Floats) -> None:
    """Write triangle and depth key at the nine samples of each marked pixel."""
    stride = 2 * width + 1
    for p in marked:
        for row in range(3):
            first = (2 * (p // width) + row) * stride + 2 * (p % width)
            for at in range(first, first + 3):
                out_triangle[np.uint64(at)], out_key[np.uint64(at)] = unpacked(seen[np.uint64(at)])
