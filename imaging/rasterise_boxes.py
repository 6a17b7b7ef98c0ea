"""Triangles whose boxes hold few samples, many at a time and without branches.

They are listed by the shape of their box of samples, and those of one shape are filled together.
"""

from __future__ import annotations

import numpy as np

from facegen.imaging.rasterise_samples import (
    Floats,
    Grid,
    Indices,
    Int,
    Ints,
    Wide,
    compiled,
    inline,
    int32,
    lower,
    packed_triangle,
    upper,
    vertices_of,
)
from facegen.imaging.rasterise_wide import fill_triangle

_SIDES = 4
"""Boxes of up to this many samples on a side are filled many triangles at a time, wider ones triangle by triangle."""
WIDER = _SIDES * _SIDES + 1
"""Stands for the shape of the wider boxes; 0 for that of boxes without samples, 1 … 16 for the others."""
NARROW = 1 << 14
"""Extent in 1/256 pixel below which edge functions fit 32 bits."""
LANES = 128
"""Triangles taken together. Their values lie lane by lane in rows of this constant length, which lets the compiler see
that reads and writes do not overlap and use vector registers."""
LANE_ROWS = 14 + _SIDES * _SIDES

# Rows of lanes while boxes are filled: corner of the box, twice the area, edge functions opposite corners 1 and 2 at
# the box's first sample and their steps to the right and down, then the results; of floats: key of corner 0, slopes.
_CORNER, _AREA, _E1, _E2, _RIGHT1, _RIGHT2, _DOWN1, _DOWN2, _RESULT = (row * LANES for row in range(6, 15))
_SLOPE1, _SLOPE2 = LANES, 2 * LANES


@inline
def corners_in(lanes: Ints, n: Int) -> tuple[np.int32, np.int32, np.int32, np.int32, np.int32, np.int32]:
    """The corners' positions x, y of the triangle in a lane."""
    return (
        lanes[2 * n], lanes[2 * n + 1],
        lanes[2 * (LANES + n)], lanes[2 * (LANES + n) + 1],
        lanes[2 * (2 * LANES + n)], lanes[2 * (2 * LANES + n) + 1],
    )  # fmt: skip


@inline
def extent(lanes: Ints, n: Int) -> tuple[np.int32, np.int32, np.int32, np.int32]:
    """Left, right, top and bottom of the triangle in a lane."""
    x0, y0, x1, y1, x2, y2 = corners_in(lanes, n)
    return min(x0, min(x1, x2)), max(x0, max(x1, x2)), min(y0, min(y1, y2)), max(y0, max(y1, y2))


@inline
def box_among(
    left: np.int32, right: np.int32, top: np.int32, bottom: np.int32, first: int, shift: int, rows: int, columns: int
) -> tuple[np.int32, np.int32]:
    """Shape of the box of samples that a triangle may cover, and its first column with the first row above.

    Shapes count from 1, by height and then by width. Without samples the shape is 0, and ``WIDER`` where the triangle
    cannot be filled with others.
    """
    zero, up, low = int32(0), int32((1 << shift) - 1 - first), int32(first)
    c0, r0 = max(int32(int32(left + up) >> shift), zero), max(int32(int32(top + up) >> shift), zero)
    c1, r1 = int32(int32(right - low) >> shift), int32(int32(bottom - low) >> shift)
    c1, r1 = min(c1, int32(columns - 1)), min(r1, int32(rows - 1))
    wide, high = int32(c1 - c0), int32(r1 - r0)
    shape = int32(int32(high * int32(_SIDES)) + int32(wide + 1))
    if max(int32(right - left), int32(bottom - top)) >= int32(NARROW) or max(wide, high) >= int32(_SIDES):
        shape = int32(WIDER)
    if int32(wide | high) < zero:
        shape = zero
    return shape, int32(c0 | int32(r0 << 16))


@inline
def empty_lists(triangle_count: int, ends: Wide) -> None:
    """Empty the lists of boxes by shape."""
    for shape in range(WIDER + 1):
        ends[shape] = shape * (triangle_count + 1)


@inline
def list_box(t: Int, shape: np.int32, corner: np.int32, boxes: Wide, ends: Wide) -> None:
    """Append to the list of a shape the triangle's number and, in the upper half, the corner of :func:`box_among`."""
    at = ends[np.uint64(shape)]
    boxes[np.uint64(at)] = np.int64(t) | (np.int64(corner) << 32)
    ends[np.uint64(shape)] = at + 1


@compiled
def fill_boxes(
    triangles: Indices, place: Wide, key: Floats, boxes: Wide, ends: Wide, grid: Grid,
    lanes: Ints, floats: Floats, seen: Wide,
) -> None:  # fmt: skip
    """Fill the triangles listed in ``boxes``."""
    room = len(triangles) // 3 + 1
    for shape in range(1, WIDER):
        high, wide = (shape - 1) // _SIDES + 1, (shape - 1) % _SIDES + 1
        for first in range(shape * room, ends[shape], LANES):
            number = min(LANES, ends[shape] - first)
            _set_up(triangles, place, key, boxes, first, number, grid, lanes, floats)
            _test(high, wide, lanes, floats)
            # The widths as constants, for which the loop is unrolled.
            if wide == 1:
                _keep(boxes, first, number, high, 1, grid, lanes, seen)
            elif wide == 2:
                _keep(boxes, first, number, high, 2, grid, lanes, seen)
            elif wide == 3:
                _keep(boxes, first, number, high, 3, grid, lanes, seen)
            else:
                _keep(boxes, first, number, high, 4, grid, lanes, seen)
    for n in range(WIDER * room, ends[WIDER]):
        t = np.uint64(boxes[n] & 0xFFFFFFFF)
        a, c, b = vertices_of(triangles, t)
        fill_triangle(
            np.int64(lower(place[a])), np.int64(upper(place[a])), key[a],
            np.int64(lower(place[b])), np.int64(upper(place[b])), key[b],
            np.int64(lower(place[c])), np.int64(upper(place[c])), key[c],
            np.int64(t), grid, seen,
        )  # fmt: skip


@inline
def _set_up(
    triangles: Indices, place: Wide, key: Floats, boxes: Wide, first_box: int, number: int, grid: Grid,
    lanes: Ints, floats: Floats,
) -> None:  # fmt: skip
    """Edge functions and depth planes of ``number`` triangles listed from ``first_box`` on."""
    first, shift = int32(grid[0]), int32(grid[1])
    pairs = lanes[: 6 * LANES].view(np.int64)
    for n in range(number):
        box = boxes[np.uint64(first_box + n)]
        # b and c change places, so that the area is positive where y points down.
        a, c, b = vertices_of(triangles, np.uint64(box & 0xFFFFFFFF))
        pairs[n], pairs[LANES + n], pairs[2 * LANES + n] = place[a], place[b], place[c]
        floats[n], floats[_SLOPE1 + n], floats[_SLOPE2 + n] = key[a], key[b], key[c]
        lanes[_CORNER + n] = upper(box)
    for n in range(LANES):
        column, row = int32(lanes[_CORNER + n] & 0xFFFF), int32(int32(lanes[_CORNER + n] >> 16) & 0xFFFF)
        px, py = int32(int32(column << shift) + first), int32(int32(row << shift) + first)
        x0, y0, x1, y1, x2, y2 = corners_in(lanes, n)
        x0, x1, x2 = int32(x0 - px), int32(x1 - px), int32(x2 - px)
        y0, y1, y2 = int32(y0 - py), int32(y1 - py), int32(y2 - py)
        # Twice the areas opposite the corners.
        e0 = int32(int32(x1 * y2) - int32(x2 * y1))
        e1 = int32(int32(x2 * y0) - int32(x0 * y2))
        e2 = int32(int32(x0 * y1) - int32(x1 * y0))
        area = int32(int32(e0 + e1) + e2)
        lanes[_AREA + n], lanes[_E1 + n], lanes[_E2 + n] = area, e1, e2
        lanes[_RIGHT1 + n], lanes[_RIGHT2 + n] = int32(int32(y2 - y0) << shift), int32(int32(y0 - y1) << shift)
        lanes[_DOWN1 + n], lanes[_DOWN2 + n] = int32(int32(x0 - x2) << shift), int32(int32(x1 - x0) << shift)
        inverse = np.float32(1.0) / np.float32(area)
        floats[_SLOPE1 + n] = (floats[_SLOPE1 + n] - floats[n]) * inverse
        floats[_SLOPE2 + n] = (floats[_SLOPE2 + n] - floats[n]) * inverse


@inline
def _test(high: int, wide: int, lanes: Ints, floats: Floats) -> None:
    """Depth keys, as bits, at the samples of the boxes; 0, which loses, outside the triangles."""
    for r in range(high):
        for c in range(wide):
            result, down, right = _RESULT + (r * wide + c) * LANES, int32(r), int32(c)
            for n in range(LANES):
                e1 = int32(lanes[_E1 + n] + int32(down * lanes[_DOWN1 + n]) + int32(right * lanes[_RIGHT1 + n]))
                e2 = int32(lanes[_E2 + n] + int32(down * lanes[_DOWN2 + n]) + int32(right * lanes[_RIGHT2 + n]))
                e0 = int32(int32(lanes[_AREA + n] - e1) - e2)
                k = floats[n] + floats[_SLOPE1 + n] * np.float32(e1) + floats[_SLOPE2 + n] * np.float32(e2)
                # All ones where an edge function is negative.
                outside = int32(int32(e0 | e1 | e2) >> 31)
                lanes[result + n] = np.float32(k).view(np.int32) & ~outside


@inline
def _keep(
    boxes: Wide, first_box: int, number: int, high: int, wide: int, grid: Grid, lanes: Ints, seen: Wide
) -> None:  # fmt: skip
    """Raise what is seen at the samples of the boxes to the results of :func:`_test`."""
    columns = grid[3]
    for n in range(number):
        box = boxes[np.uint64(first_box + n)]
        triangle = packed_triangle(box & 0xFFFFFFFF)
        at = np.uint64(((box >> 48) & 0xFFFF) * columns + ((box >> 32) & 0xFFFF))
        result = np.uint64(_RESULT + n)
        for _ in range(high):
            for c in range(wide):
                value = (np.int64(lanes[result]) << 32) | triangle
                seen[at + np.uint64(c)] = max(seen[at + np.uint64(c)], value)
                result += np.uint64(LANES)
            at += np.uint64(columns)
