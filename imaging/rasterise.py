"""The visibility rule: which triangle is seen at each sample of an image, exactly and in any order.

Vertices are snapped to 1/256 pixel and edge functions are exact integers, so a sample on a shared edge is never missed.
A sample takes the triangle that is nearest (largest depth key), and of equals the one of the smallest number: the
result does not depend on the order of triangles, threads or devices. Back faces are culled; triangles that reach behind
the near plane are clipped.

Most triangles of a face are smaller than a pixel, so what is done once a triangle counts, and branches that differ from
one to the next are guessed wrong by the processor. Triangles are therefore taken many at a time and without branches:
those that hold no sample are dropped, the others are listed by the shape of their box of samples, and those of one
shape are filled together.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.morphable.topology import Triangles

SUBPIXELS = 256
"""Steps per pixel of the grid to which vertices are snapped."""

# Beyond this many pixels a snapped coordinate is clamped; edge functions then stay below 2^62.
_FARTHEST = float(1 << 21)

_SIDES = 4
"""Boxes of up to this many samples on a side are filled many triangles at a time, wider ones triangle by triangle."""
_WIDER = _SIDES * _SIDES + 1
"""Stands for the shape of the wider boxes; 0 for that of boxes without samples, 1 … 16 for the others."""
_NARROW = 1 << 14
"""Extent in 1/256 pixel below which edge functions fit 32 bits."""
_LANES = 128
"""Triangles taken together. Their values lie lane by lane in rows of this constant length, which lets the compiler see
that reads and writes do not overlap and use vector registers."""
_LANE_ROWS = 14 + _SIDES * _SIDES

_PIXEL, _SMALL, _MIDDLE, _LARGE = 1, 2, 4, 8
"""Windows of 1×1, 2×2 and 4×4 pixels, and larger ones, which are taken to hold a mark."""

_NOTHING = 0xFFFFFFFF
"""Depth key 0 and triangle -1, packed."""

Int = int | np.int32 | np.int64
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Wide = NDArray[np.int64]
Indices = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Grid = tuple[int, int, int, int]
"""Of samples: place of the first and logarithm of the step (both in 1/256 pixel), rows, columns."""
Near = tuple[Floats, Indices, NDArray[np.float64], int, float, Ints]
"""Points (3V,), triangles (3T,), intrinsics, projection, largest depth, and what reaches behind the near plane."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


def rasterise(
    camera_vertices: NDArray[np.float32],
    triangles: Triangles,
    intrinsics: NDArray[np.float64],
    projection: int,
    height: int,
    width: int,
    supersampled: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Triangle and depth key at every sample.

    Args:
        camera_vertices: (V, 3) camera frame, mm.
        triangles: (T, 3) counter-clockwise seen from outside.
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
        height, width: of the image in pixels.
        supersampled: ``False`` gives one sample at each pixel's centre: (height, width). ``True`` gives samples every
            half pixel from the image's corner to its opposite corner: (2 height + 1, 2 width + 1), of which
            ``[1::2, 1::2]`` are the pixel centres.

    Returns:
        triangle (int32, -1 for none) and depth key (float32, larger is nearer, 0 for none).
    """
    rasteriser = Rasteriser(triangles, len(camera_vertices), height, width)
    rasteriser.load(camera_vertices, intrinsics, projection)
    rows, columns = (2 * height + 1, 2 * width + 1) if supersampled else (height, width)
    triangle = np.empty((rows, columns), np.int32)
    key = np.empty((rows, columns), np.float32)
    rasteriser.fill(triangle, key, supersampled=supersampled)
    return triangle, key


class Rasteriser:
    """Rasterises frame after frame of one topology at one image size; owns the arrays that this takes."""

    def __init__(self, triangles: Triangles, vertex_count: int, height: int, width: int) -> None:
        # Flat, as in the kernels: row lengths that the compiler does not know keep loops from vector registers.
        # Unsigned, because compiled code tests every signed index for a count from the end.
        self._triangles = np.ascontiguousarray(triangles).view(np.uint32).reshape(-1)
        self._height, self._width = height, width
        self._place = np.empty(vertex_count, np.int64)
        self._key = np.empty(vertex_count, np.float32)
        # Lists have room for one more, which is written before it is known whether it is kept.
        room = len(triangles) + 1
        self._front = np.empty(room, np.int32)
        self._covers = np.empty(room, np.uint32)
        self._boxes, self._ends = np.empty((_WIDER + 1) * room, np.int64), np.zeros(_WIDER + 1, np.int64)
        self._half_boxes, self._half_ends = np.empty_like(self._boxes), np.zeros_like(self._ends)
        self._lanes = np.zeros(_LANE_ROWS * _LANES, np.int32)
        self._float_lanes = np.zeros(3 * _LANES, np.float32)
        self._seen = np.empty((2 * height + 1) * (2 * width + 1), np.int64)
        self._chosen = np.empty(room, np.int32)
        self._marked = np.empty(height * width + 1, np.int32)
        self._in_row, self._nearby = np.zeros((height + 3) * width, np.uint8), np.empty(height * width, np.uint8)

    def load(self, camera_vertices: NDArray[np.float32], intrinsics: NDArray[np.float64], projection: int) -> None:
        """Take a frame's vertices (V, 3), camera frame, and its camera; select what may be seen."""
        points = np.ascontiguousarray(camera_vertices).reshape(-1)
        farthest, self._front_count, near_count = _load(
            points, self._triangles, intrinsics, projection, self._height, self._width,
            self._place, self._key, self._front, self._covers, self._boxes, self._ends, self._lanes,
        )  # fmt: skip
        near = self._front[len(self._front) - near_count :]
        self._near = points, self._triangles, intrinsics, projection, farthest, near

    def fill(self, triangle: NDArray[np.int32], key: NDArray[np.float32], *, supersampled: bool) -> None:
        """Write triangle and depth key at every sample (see :func:`rasterise`)."""
        if supersampled:
            self._see_marked(np.ones(self._height * self._width, np.uint8))
        else:
            _see_centres(
                self._near, self._place, self._key, self._boxes, self._ends, self._height, self._width,
                self._lanes, self._float_lanes, self._seen,
            )  # fmt: skip
        _unpack(self._seen, triangle, key)

    def fill_near_edges(self, edge: NDArray[np.uint8], triangle: NDArray[np.int32], key: NDArray[np.float32]) -> None:
        """As a supersampled :meth:`fill`, but only for the nine samples of each marked pixel: no other is written.

        Args:
            edge: (H, W) 1 for the marked pixels, 0 for the others.
            triangle: (2H + 1, 2W + 1), and ``key`` likewise.
        """
        count = self._see_marked(edge.reshape(-1))
        _unpack_marked(self._seen, self._marked[:count], self._width, triangle.reshape(-1), key.reshape(-1))

    def _see_marked(self, edge: NDArray[np.uint8]) -> int:
        """See the samples of the pixels marked in ``edge`` (H W,); returns how many there are."""
        count = _see_marked(
            self._near, self._place, self._key, self._front[: self._front_count], self._covers, self._chosen,
            self._half_boxes, self._half_ends, edge, self._marked, self._height, self._width, self._in_row,
            self._nearby, self._lanes, self._float_lanes, self._seen,
        )  # fmt: skip
        return int(count)


@_compile
def _load(
    points: Floats,
    triangles: Indices,
    intrinsics: NDArray[np.float64],
    projection: int,
    height: int,
    width: int,
    place: Wide,
    key: Floats,
    front: Ints,
    covers: Indices,
    boxes: Wide,
    ends: Wide,
    lanes: Ints,
) -> tuple[float, Int, int]:
    """Snap the vertices and select the triangles that may be seen.

    Args:
        points: (3V,) camera frame.
        triangles: (3T,).
        place: (V,) pixel positions in 1/256 pixel are written here, x in the lower and y in the upper half.
        key: (V,) and here the depth keys.
        front: (T + 1,) the front faces, ascending, and from the end backwards what reaches behind the near plane.
        covers: (T + 1,) the pixels that the front faces touch (:func:`_cover`).
        boxes: the front faces whose box holds a pixel centre, by the shape of the box (:func:`_list_box`).
        ends: (_WIDER + 1,) where the lists in ``boxes`` end.
        lanes: scratch.

    Returns:
        The largest depth in mm, and the two numbers of triangles in ``front``.
    """
    farthest, any_near = _snap(points, intrinsics, projection, place.view(np.int32), key)
    count, near = _select_front(points, triangles, any_near, height, width, place, front, covers, boxes, ends, lanes)
    return farthest, count, near


@_compile
def _see_centres(
    near: Near,
    place: Wide,
    key: Floats,
    boxes: Wide,
    ends: Wide,
    height: int,
    width: int,
    lanes: Ints,
    floats: Floats,
    seen: Wide,
) -> None:
    """Write to ``seen`` what is seen at the pixel centres, packed."""
    grid = 128, 8, height, width
    seen[: height * width] = _NOTHING
    _fill_boxes(near[1], place, key, boxes, ends, grid, lanes, floats, seen)
    _fill_near(near, grid, seen)


@_compile
def _see_marked(
    near: Near,
    place: Wide,
    key: Floats,
    front: Ints,
    covers: Indices,
    chosen: Ints,
    boxes: Wide,
    ends: Wide,
    edge: Bytes,
    marked: Ints,
    height: int,
    width: int,
    in_row: Bytes,
    nearby: Bytes,
    lanes: Ints,
    floats: Floats,
    seen: Wide,
) -> Int:
    """Write to ``seen`` what is seen at the nine samples of each pixel marked in ``edge``, packed.

    Returns:
        The number of these pixels, which are listed in ``marked``.
    """
    grid = 0, 7, 2 * height + 1, 2 * width + 1
    marks = list_marked(edge, marked)
    _clear_marked(marked[:marks], width, seen)
    _mark_nearby(edge, width, in_row, nearby)
    count = _choose(front, covers, nearby, chosen)
    _select_marked(near[1], place, chosen[:count], nearby, height, width, boxes, ends, lanes)
    _fill_boxes(near[1], place, key, boxes, ends, grid, lanes, floats, seen)
    _fill_near(near, grid, seen)
    return marks


@_inline
def _int32(value: Int) -> np.int32:
    # Compiled code makes int64 of sums of int32, of which vector registers hold half as many.
    return np.int32(value)


@_compile
def _snap(
    points: Floats, intrinsics: NDArray[np.float64], projection: int, place: Ints, key: Floats
) -> tuple[float, bool]:
    """Pixel positions (2V,) and depth keys; those of points behind the near plane have no meaning.

    Returns:
        The largest depth in mm where keys depend on it, else 0, and whether a point is behind the near plane.
    """
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    perspective = projection == PERSPECTIVE
    farthest, behind = 0.0, 0
    if not perspective:
        for i in range(len(key)):
            farthest = max(farthest, np.float64(points[3 * i + 2]))
    for i in range(len(key)):
        z = np.float64(points[3 * i + 2])
        # Coordinates that are not numbers count as behind.
        ahead = z >= NEAR
        behind += 0 if ahead else 1
        scale, key[i] = _scale_and_key(z if ahead else NEAR, perspective, farthest)
        place[2 * i] = _snapped(fx * np.float64(points[3 * i]) * scale + cx)
        place[2 * i + 1] = _snapped(fy * np.float64(points[3 * i + 1]) * scale + cy)
    return farthest, behind > 0


@_inline
def _scale_and_key(z: float, perspective: bool, farthest: float) -> tuple[float, np.float32]:
    # The key is linear on the screen: 1/z under perspective, -z (made positive) otherwise.
    if perspective:
        scale = 1.0 / z
        return scale, np.float32(scale)
    return 1.0, np.float32(farthest - z + 1.0)


@_inline
def _snapped(pixels: float) -> np.int32:
    place = min(max(pixels, -_FARTHEST), _FARTHEST) * SUBPIXELS + 0.5
    # Rounded down by way of int32, for which there are vector instructions.
    whole = np.int32(place)
    return np.int32(whole - np.int32(np.float64(whole) > place))


@_compile
def _select_front(
    points: Floats,
    triangles: Indices,
    any_near: bool,
    height: int,
    width: int,
    place: Wide,
    front: Ints,
    covers: Indices,
    boxes: Wide,
    ends: Wide,
    lanes: Ints,
) -> tuple[Int, int]:
    """The second half of :func:`_load`."""
    count, near, total = np.uint64(0), 0, len(triangles) // 3
    _empty_lists(total, ends)
    pairs = lanes[: 6 * _LANES].view(np.int64)
    # Rows of lanes, after the corners'.
    is_front, shape, corner, held = 6 * _LANES, 7 * _LANES, 8 * _LANES, np.uint64(9 * _LANES)
    cover = 10 * _LANES
    for first in range(0, total, _LANES):
        number = min(_LANES, total - first)
        for n in range(number):
            a, b, c = _vertices(triangles, np.uint64(first + n))
            pairs[n], pairs[_LANES + n], pairs[2 * _LANES + n] = place[a], place[b], place[c]
        widest = _int32(0)
        for n in range(_LANES):
            x0, y0, x1, y1, x2, y2 = _corners(lanes, n)
            left, right, top, bottom = _extent(lanes, n)
            lanes[shape + n], lanes[corner + n] = _box_among(left, right, top, bottom, 128, 8, height, width)
            lanes[cover + n] = _cover(left, right, top, bottom, height, width)
            widest = max(widest, max(_int32(right - left), _int32(bottom - top)))
            # The image's y axis points down, so a counter-clockwise triangle has a negative area.
            product = _int32(_int32(x2 - x0) * _int32(y1 - y0))
            lanes[is_front + n] = product > _int32(_int32(x1 - x0) * _int32(y2 - y0))
        if widest >= _NARROW:
            # 32 bits may not have held the products.
            for n in range(_LANES):
                x0, y0, x1, y1, x2, y2 = _corners(lanes, n)
                product64 = np.int64(_int32(x2 - x0)) * np.int64(_int32(y1 - y0))
                lanes[is_front + n] = product64 > np.int64(_int32(x1 - x0)) * np.int64(_int32(y2 - y0))
        if any_near:
            for n in range(number):
                if _reaches_behind(points, triangles, first + n):
                    near += 1
                    front[len(front) - near] = first + n
                    lanes[is_front + n] = 0
        # First the lanes that are listed, so that the loop over them has no branch to guess.
        found = np.uint64(0)
        for n in range(number):
            front[count], covers[count] = first + n, lanes[cover + n]
            count += np.uint64(lanes[is_front + n])
            lanes[held + found] = n
            found += np.uint64(_int32(lanes[shape + n] > 0) & lanes[is_front + n])
        for i in range(np.int64(found)):
            lane = np.int64(lanes[held + np.uint64(i)])
            _list_box(first + lane, lanes[np.uint64(shape + lane)], lanes[np.uint64(corner + lane)], boxes, ends)
    return np.int64(count), near


@_compile
def _mark_nearby(edge: Bytes, width: int, in_row: Bytes, nearby: Bytes) -> None:
    """Write to ``nearby`` (N,) for each pixel which windows that begin there hold a mark, see :func:`_cover`.

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


@_inline
def _uint8(value: int | np.uint8) -> np.uint8:
    return np.uint8(value)


@_inline
def _cover(left: np.int32, right: np.int32, top: np.int32, bottom: np.int32, height: int, width: int) -> np.int32:
    """First pixel that a triangle touches, times 16, and which window from there holds all that it touches.

    A sample on the border between two pixels belongs to both.
    """
    r0, r1 = _clamped(top - 1, height - 1), _clamped(bottom, height - 1)
    c0, c1 = _clamped(left - 1, width - 1), _clamped(right, width - 1)
    extent = max(_int32(r1 - r0), _int32(c1 - c0))
    window = _int32(_MIDDLE) if extent < _int32(4) else _int32(_LARGE)
    window = _int32(_SMALL) if extent < _int32(2) else window
    window = _int32(_PIXEL) if extent < _int32(1) else window
    return _int32(_int32(_int32(_int32(r0 * _int32(width)) + c0) << 4) | window)


@_compile
def _choose(front: Ints, covers: Indices, nearby: Bytes, chosen: Ints) -> Int:
    """Write to ``chosen`` those of ``front`` that may touch a marked pixel; returns their number."""
    count = np.uint64(0)
    for n in range(len(front)):
        cover = covers[np.uint64(n)]
        chosen[count] = front[np.uint64(n)]
        count += np.uint64((np.uint32(nearby[np.uint64(cover >> np.uint32(4))]) & cover) != 0)
    return np.int64(count)


@_compile
def _select_marked(
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
    _empty_lists(len(triangles) // 3, ends)
    pairs = lanes[: 6 * _LANES].view(np.int64)
    shape, corner, held = 6 * _LANES, 7 * _LANES, np.uint64(8 * _LANES)
    for first in range(0, len(chosen), _LANES):
        number = min(_LANES, len(chosen) - first)
        for n in range(number):
            a, b, c = _vertices(triangles, np.uint64(chosen[first + n]))
            pairs[n], pairs[_LANES + n], pairs[2 * _LANES + n] = place[a], place[b], place[c]
        for n in range(_LANES):
            left, right, top, bottom = _extent(lanes, n)
            lanes[shape + n], lanes[corner + n] = _box_among(
                left, right, top, bottom, 0, 7, 2 * height + 1, 2 * width + 1
            )
        found = np.uint64(0)
        for n in range(number):
            lanes[held + found] = n
            found += np.uint64(lanes[shape + n] > 0)
        for i in range(np.int64(found)):
            lane = np.int64(lanes[held + np.uint64(i)])
            if lanes[np.uint64(shape + lane)] != _WIDER or _touches(lanes, lane, nearby, height, width):
                t = chosen[np.uint64(first + lane)]
                _list_box(t, lanes[np.uint64(shape + lane)], lanes[np.uint64(corner + lane)], boxes, ends)


@_inline
def _touches(lanes: Ints, n: Int, nearby: Bytes, height: int, width: int) -> bool:
    """Whether a 4×4 window of those that hold the triangle in a lane holds a mark."""
    left, right, top, bottom = _extent(lanes, n)
    c0, c1 = _clamped(left - 1, width - 1), _clamped(right, width - 1)
    for r in range(_clamped(top - 1, height - 1), _clamped(bottom, height - 1) + 1, 4):
        for c in range(c0, c1 + 1, 4):
            if nearby[r * width + c] & _MIDDLE:
                return True
    return False


@_inline
def _clamped(place: Int, last: Int) -> np.int32:
    """Row or column of a place, at most that of the last pixel."""
    return min(max(_int32(_int32(place) >> 8), _int32(0)), _int32(last))


@_compile
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


@_inline
def _vertices(triangles: Indices, t: np.uint64) -> tuple[np.uint32, np.uint32, np.uint32]:
    at = np.uint64(3) * t
    return triangles[at], triangles[at + np.uint64(1)], triangles[at + np.uint64(2)]


@_inline
def _lower(pair: np.int64) -> np.int32:
    return np.int32(pair)


@_inline
def _upper(pair: np.int64) -> np.int32:
    return np.int32(pair >> 32)


@_inline
def _corners(lanes: Ints, n: Int) -> tuple[np.int32, np.int32, np.int32, np.int32, np.int32, np.int32]:
    return (
        lanes[2 * n], lanes[2 * n + 1],
        lanes[2 * (_LANES + n)], lanes[2 * (_LANES + n) + 1],
        lanes[2 * (2 * _LANES + n)], lanes[2 * (2 * _LANES + n) + 1],
    )  # fmt: skip


@_inline
def _extent(lanes: Ints, n: Int) -> tuple[np.int32, np.int32, np.int32, np.int32]:
    """Left, right, top and bottom of the triangle in a lane."""
    x0, y0, x1, y1, x2, y2 = _corners(lanes, n)
    return min(x0, min(x1, x2)), max(x0, max(x1, x2)), min(y0, min(y1, y2)), max(y0, max(y1, y2))


@_inline
def _box_among(
    left: np.int32, right: np.int32, top: np.int32, bottom: np.int32, first: int, shift: int, rows: int, columns: int
) -> tuple[np.int32, np.int32]:
    """Shape of the box of samples that a triangle may cover, and its first column with the first row above.

    Shapes count from 1, by height and then by width. Without samples the shape is 0, and ``_WIDER`` where the triangle
    cannot be filled with others.
    """
    zero, up, low = _int32(0), _int32((1 << shift) - 1 - first), _int32(first)
    c0, r0 = max(_int32(_int32(left + up) >> shift), zero), max(_int32(_int32(top + up) >> shift), zero)
    c1, r1 = _int32(_int32(right - low) >> shift), _int32(_int32(bottom - low) >> shift)
    c1, r1 = min(c1, _int32(columns - 1)), min(r1, _int32(rows - 1))
    wide, high = _int32(c1 - c0), _int32(r1 - r0)
    shape = _int32(_int32(high * _int32(_SIDES)) + _int32(wide + 1))
    if max(_int32(right - left), _int32(bottom - top)) >= _int32(_NARROW) or max(wide, high) >= _int32(_SIDES):
        shape = _int32(_WIDER)
    if _int32(wide | high) < zero:
        shape = zero
    return shape, _int32(c0 | _int32(r0 << 16))


@_inline
def _empty_lists(triangle_count: int, ends: Wide) -> None:
    for shape in range(_WIDER + 1):
        ends[shape] = shape * (triangle_count + 1)


@_inline
def _list_box(t: Int, shape: np.int32, corner: np.int32, boxes: Wide, ends: Wide) -> None:
    """Append to the list of a shape the triangle's number and, in the upper half, the corner of :func:`_box_among`."""
    at = ends[np.uint64(shape)]
    boxes[np.uint64(at)] = np.int64(t) | (np.int64(corner) << 32)
    ends[np.uint64(shape)] = at + 1


@_inline
def _reaches_behind(points: Floats, triangles: Indices, t: int) -> bool:
    a, b, c = _vertices(triangles, np.uint64(t))
    za, zb, zc = points[3 * np.int64(a) + 2], points[3 * np.int64(b) + 2], points[3 * np.int64(c) + 2]
    return bool(za < NEAR or zb < NEAR or zc < NEAR)


@_inline
def _packed(k: np.float32, t: Int) -> np.int64:
    """Depth key and triangle as one integer, of which the largest is seen: larger key, then smaller triangle.

    The bits of positive floats are ordered as they are. Negative keys make negative integers, which lose against
    ``_NOTHING``, as does the key 0.
    """
    return (np.int64(np.float32(k).view(np.int32)) << 32) | _packed_triangle(t)


@_inline
def _packed_triangle(t: Int) -> np.int64:
    return np.int64(_NOTHING - 1) - np.int64(t)


@_inline
def _unpacked(value: np.int64) -> tuple[np.int32, np.float32]:
    return np.int32(_NOTHING - 1 - value), np.int32(value >> 32).view(np.float32)


@_compile
def _unpack(seen: Wide, out_triangle: Ints, out_key: Floats) -> None:
    rows, columns = out_triangle.shape
    for r in range(rows):
        for c in range(columns):
            out_triangle[r, c], out_key[r, c] = _unpacked(seen[np.uint64(r * columns + c)])


@_compile
def _unpack_marked(seen: Wide, marked: Ints, width: int, out_triangle: Ints, out_key: Floats) -> None:
    stride = 2 * width + 1
    for p in marked:
        for row in range(3):
            first = (2 * (p // width) + row) * stride + 2 * (p % width)
            for at in range(first, first + 3):
                out_triangle[np.uint64(at)], out_key[np.uint64(at)] = _unpacked(seen[np.uint64(at)])


@_inline
def _clear_marked(marked: Ints, width: int, seen: Wide) -> None:
    stride = 2 * width + 1
    for p in marked:
        for row in range(3):
            at = np.uint64((2 * (p // width) + row) * stride + 2 * (p % width))
            seen[at], seen[at + np.uint64(1)], seen[at + np.uint64(2)] = _NOTHING, _NOTHING, _NOTHING


@_compile
def _fill_boxes(
    triangles: Indices, place: Wide, key: Floats, boxes: Wide, ends: Wide, grid: Grid,
    lanes: Ints, floats: Floats, seen: Wide,
) -> None:  # fmt: skip
    """Fill the triangles listed in ``boxes``."""
    room = len(triangles) // 3 + 1
    for shape in range(1, _WIDER):
        high, wide = (shape - 1) // _SIDES + 1, (shape - 1) % _SIDES + 1
        for first in range(shape * room, ends[shape], _LANES):
            number = min(_LANES, ends[shape] - first)
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
    for n in range(_WIDER * room, ends[_WIDER]):
        t = np.uint64(boxes[n] & 0xFFFFFFFF)
        a, c, b = _vertices(triangles, t)
        _fill(
            np.int64(_lower(place[a])), np.int64(_upper(place[a])), key[a],
            np.int64(_lower(place[b])), np.int64(_upper(place[b])), key[b],
            np.int64(_lower(place[c])), np.int64(_upper(place[c])), key[c],
            np.int64(t), grid, seen,
        )  # fmt: skip


# Rows of lanes while boxes are filled: corner of the box, twice the area, edge functions opposite corners 1 and 2 at
# the box's first sample and their steps to the right and down, then the results; of floats: key of corner 0, slopes.
_CORNER, _AREA, _E1, _E2, _RIGHT1, _RIGHT2, _DOWN1, _DOWN2, _RESULT = (row * _LANES for row in range(6, 15))
_SLOPE1, _SLOPE2 = _LANES, 2 * _LANES


@_inline
def _set_up(
    triangles: Indices, place: Wide, key: Floats, boxes: Wide, first_box: int, number: int, grid: Grid,
    lanes: Ints, floats: Floats,
) -> None:  # fmt: skip
    """Edge functions and depth planes of ``number`` triangles listed from ``first_box`` on."""
    first, shift = _int32(grid[0]), _int32(grid[1])
    pairs = lanes[: 6 * _LANES].view(np.int64)
    for n in range(number):
        box = boxes[np.uint64(first_box + n)]
        # b and c change places, so that the area is positive where y points down.
        a, c, b = _vertices(triangles, np.uint64(box & 0xFFFFFFFF))
        pairs[n], pairs[_LANES + n], pairs[2 * _LANES + n] = place[a], place[b], place[c]
        floats[n], floats[_SLOPE1 + n], floats[_SLOPE2 + n] = key[a], key[b], key[c]
        lanes[_CORNER + n] = _upper(box)
    for n in range(_LANES):
        column, row = _int32(lanes[_CORNER + n] & 0xFFFF), _int32(_int32(lanes[_CORNER + n] >> 16) & 0xFFFF)
        px, py = _int32(_int32(column << shift) + first), _int32(_int32(row << shift) + first)
        x0, y0, x1, y1, x2, y2 = _corners(lanes, n)
        x0, x1, x2 = _int32(x0 - px), _int32(x1 - px), _int32(x2 - px)
        y0, y1, y2 = _int32(y0 - py), _int32(y1 - py), _int32(y2 - py)
        # Twice the areas opposite the corners.
        e0 = _int32(_int32(x1 * y2) - _int32(x2 * y1))
        e1 = _int32(_int32(x2 * y0) - _int32(x0 * y2))
        e2 = _int32(_int32(x0 * y1) - _int32(x1 * y0))
        area = _int32(_int32(e0 + e1) + e2)
        lanes[_AREA + n], lanes[_E1 + n], lanes[_E2 + n] = area, e1, e2
        lanes[_RIGHT1 + n], lanes[_RIGHT2 + n] = _int32(_int32(y2 - y0) << shift), _int32(_int32(y0 - y1) << shift)
        lanes[_DOWN1 + n], lanes[_DOWN2 + n] = _int32(_int32(x0 - x2) << shift), _int32(_int32(x1 - x0) << shift)
        inverse = np.float32(1.0) / np.float32(area)
        floats[_SLOPE1 + n] = (floats[_SLOPE1 + n] - floats[n]) * inverse
        floats[_SLOPE2 + n] = (floats[_SLOPE2 + n] - floats[n]) * inverse


@_inline
def _test(high: int, wide: int, lanes: Ints, floats: Floats) -> None:
    """Depth keys, as bits, at the samples of the boxes; 0, which loses, outside the triangles."""
    for r in range(high):
        for c in range(wide):
            result, down, right = _RESULT + (r * wide + c) * _LANES, _int32(r), _int32(c)
            for n in range(_LANES):
                e1 = _int32(lanes[_E1 + n] + _int32(down * lanes[_DOWN1 + n]) + _int32(right * lanes[_RIGHT1 + n]))
                e2 = _int32(lanes[_E2 + n] + _int32(down * lanes[_DOWN2 + n]) + _int32(right * lanes[_RIGHT2 + n]))
                e0 = _int32(_int32(lanes[_AREA + n] - e1) - e2)
                k = floats[n] + floats[_SLOPE1 + n] * np.float32(e1) + floats[_SLOPE2 + n] * np.float32(e2)
                # All ones where an edge function is negative.
                outside = _int32(_int32(e0 | e1 | e2) >> 31)
                lanes[result + n] = np.float32(k).view(np.int32) & ~outside


@_inline
def _keep(
    boxes: Wide, first_box: int, number: int, high: int, wide: int, grid: Grid, lanes: Ints, seen: Wide
) -> None:  # fmt: skip
    """Raise what is seen at the samples of the boxes to the results of :func:`_test`."""
    columns = grid[3]
    for n in range(number):
        box = boxes[np.uint64(first_box + n)]
        triangle = _packed_triangle(box & 0xFFFFFFFF)
        at = np.uint64(((box >> 48) & 0xFFFF) * columns + ((box >> 32) & 0xFFFF))
        result = np.uint64(_RESULT + n)
        for _ in range(high):
            for c in range(wide):
                value = (np.int64(lanes[result]) << 32) | triangle
                seen[at + np.uint64(c)] = max(seen[at + np.uint64(c)], value)
                result += np.uint64(_LANES)
            at += np.uint64(columns)


@_inline
def _fill(
    x0: Int, y0: Int, k0: np.float32, x1: Int, y1: Int, k1: np.float32, x2: Int, y2: Int, k2: np.float32,
    t: Int, grid: Grid, seen: Wide,
) -> None:  # fmt: skip
    """Fill one triangle of any size and of positive area in screen coordinates (y down)."""
    first, shift, rows, columns = grid
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    left, right = min(x0, min(x1, x2)), max(x0, max(x1, x2))
    top, bottom = min(y0, min(y1, y2)), max(y0, max(y1, y2))
    step = 1 << shift
    c0 = max((left - first + step - 1) >> shift, 0)
    c1 = min((right - first) >> shift, columns - 1)
    r0 = max((top - first + step - 1) >> shift, 0)
    r1 = min((bottom - first) >> shift, rows - 1)
    if c1 < c0 or r1 < r0:
        return
    inverse = np.float32(1.0) / np.float32(area)
    slope1 = (k1 - k0) * inverse
    slope2 = (k2 - k0) * inverse
    px, py = first + (c0 << shift), first + (r0 << shift)
    # e0, e1, e2 are twice the areas opposite corners 0, 1, 2: all ≥ 0 inside, edges included.
    e0_row = (px - x1) * (y1 - y2) + (py - y1) * (x2 - x1)
    e1_row = (px - x2) * (y2 - y0) + (py - y2) * (x0 - x2)
    e2_row = (px - x0) * (y0 - y1) + (py - y0) * (x1 - x0)
    e0_right, e1_right, e2_right = (y1 - y2) << shift, (y2 - y0) << shift, (y0 - y1) << shift
    e0_down, e1_down, e2_down = (x2 - x1) << shift, (x0 - x2) << shift, (x1 - x0) << shift
    for r in range(r0, r1 + 1):
        e0, e1, e2 = e0_row, e1_row, e2_row
        for c in range(c0, c1 + 1):
            if (e0 | e1 | e2) >= 0:
                k = k0 + slope1 * np.float32(e1) + slope2 * np.float32(e2)
                at = np.uint64(r * columns + c)
                seen[at] = max(seen[at], _packed(k, t))
            e0 += e0_right
            e1 += e1_right
            e2 += e2_right
        e0_row += e0_down
        e1_row += e1_down
        e2_row += e2_down


@_compile
def _fill_near(near: Near, grid: Grid, seen: Wide) -> None:
    """Clip triangles that reach behind the near plane and fill the fans that are left of them."""
    points, triangles, intrinsics, projection, farthest, listed = near
    if len(listed) == 0:
        return
    polygon = np.empty((4, 3), np.float64)
    for t in listed:
        corners = _clip(points, triangles, t, polygon)
        if corners < 3:
            continue
        x0, y0, k0 = _snap_corner(polygon, 0, intrinsics, projection, farthest)
        for i in range(1, corners - 1):
            x1, y1, k1 = _snap_corner(polygon, i, intrinsics, projection, farthest)
            x2, y2, k2 = _snap_corner(polygon, i + 1, intrinsics, projection, farthest)
            if (x2 - x0) * (y1 - y0) - (x1 - x0) * (y2 - y0) > 0:
                _fill(x0, y0, k0, x2, y2, k2, x1, y1, k1, t, grid, seen)


@_inline
def _snap_corner(
    polygon: NDArray[np.float64], row: int, intrinsics: NDArray[np.float64], projection: int, farthest: float
) -> tuple[Int, Int, np.float32]:
    scale, k = _scale_and_key(polygon[row, 2], projection == PERSPECTIVE, farthest)
    x = _snapped(intrinsics[0, 0] * polygon[row, 0] * scale + intrinsics[0, 2])
    y = _snapped(intrinsics[1, 1] * polygon[row, 1] * scale + intrinsics[1, 2])
    return np.int64(x), np.int64(y), k


@_inline
def _clip(points: Floats, triangles: Indices, t: int, polygon: NDArray[np.float64]) -> int:
    """Write what of a triangle lies in front of the near plane (Sutherland-Hodgman); returns its number of corners."""
    count = 0
    for i in range(3):
        p, q = 3 * np.int64(triangles[3 * t + i]), 3 * np.int64(triangles[3 * t + (i + 1) % 3])
        pz, qz = np.float64(points[p + 2]), np.float64(points[q + 2])
        if pz >= NEAR:
            for k in range(3):
                polygon[count, k] = points[p + k]
            count += 1
        if (pz >= NEAR) != (qz >= NEAR):
            s = (NEAR - pz) / (qz - pz)
            for k in range(3):
                u, v = np.float64(points[p + k]), np.float64(points[q + k])
                polygon[count, k] = u + s * (v - u)
            polygon[count, 2] = NEAR
            count += 1
    return count
