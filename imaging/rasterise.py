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

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.rasterise_boxes import (
    LANE_ROWS,
    LANES,
    NARROW,
    WIDER,
    box_among,
    corners_in,
    empty_lists,
    extent,
    fill_boxes,
    list_box,
)
from facegen.imaging.rasterise_marked import (
    choose,
    clear_marked,
    list_marked,
    mark_nearby,
    select_marked,
    unpack_marked,
    window_of,
)
from facegen.imaging.rasterise_samples import (
    NOTHING,
    Bytes,
    Floats,
    Indices,
    Int,
    Ints,
    Wide,
    compiled,
    int32,
    unpack,
    vertices_of,
)
from facegen.imaging.rasterise_snapping import snap
from facegen.imaging.rasterise_wide import Near, fill_near, reaches_behind
from facegen.morphable.topology import Triangles


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
    rasteriser = Rasteriser(triangles, len(camera_vertices), height, width, centres_only=not supersampled)
    rasteriser.load(camera_vertices, intrinsics, projection)
    rows, columns = (2 * height + 1, 2 * width + 1) if supersampled else (height, width)
    triangle = np.empty((rows, columns), np.int32)
    key = np.empty((rows, columns), np.float32)
    rasteriser.fill(triangle, key, supersampled=supersampled)
    return triangle, key


@compiled
def depths(key: NDArray[np.float32], perspective: bool, farthest: np.float32) -> None:
    """Make of depth keys (H, W), in place, the depths, mm; infinite where there is no triangle.

    Args:
        key: contiguous, as :func:`rasterise` has it.
        perspective: whether the camera is.
        farthest: the largest depth of the vertices.
    """
    flat = key.reshape(-1)
    one, zero, nothing = np.float32(1.0), np.float32(0.0), np.float32(np.inf)
    for i in range(len(flat)):
        k = flat[i]
        depth = one / k if perspective else farthest + one - k
        flat[i] = depth if k > zero else nothing


class Rasteriser:
    """Rasterises frame after frame of one topology at one image size; owns the arrays that this takes.

    Args:
        triangles: (T, 3) counter-clockwise seen from outside.
        vertex_count: number of vertices.
        height: of the image in pixels, and so is ``width``.
        width: in pixels.
        centres_only: do without what only samples beside the pixels' centres take: 10 % of the time.
    """

    def __init__(
        self, triangles: Triangles, vertex_count: int, height: int, width: int, *, centres_only: bool = False
    ) -> None:
        # Flat, as in the kernels: row lengths that the compiler does not know keep loops from vector registers.
        # Unsigned, because compiled code tests every signed index for a count from the end.
        self._triangles = np.ascontiguousarray(triangles).view(np.uint32).reshape(-1)
        self._height, self._width = height, width
        self._place = np.empty(vertex_count, np.int64)
        self._key = np.empty(vertex_count, np.float32)
        # Lists have room for one more, which is written before it is known whether it is kept.
        room = len(triangles) + 1
        self._front = np.empty(room, np.int32)
        self._windows = np.empty(0 if centres_only else room, np.uint32)
        self._boxes, self._ends = np.empty((WIDER + 1) * room, np.int64), np.zeros(WIDER + 1, np.int64)
        self._half_boxes, self._half_ends = np.empty_like(self._boxes), np.zeros_like(self._ends)
        self._lanes = np.zeros(LANE_ROWS * LANES, np.int32)
        self._float_lanes = np.zeros(3 * LANES, np.float32)
        self._seen = np.empty((2 * height + 1) * (2 * width + 1), np.int64)
        self._chosen = np.empty(room, np.int32)
        self._marked = np.empty(height * width + 1, np.int32)
        self._in_row, self._nearby = np.zeros((height + 3) * width, np.uint8), np.empty(height * width, np.uint8)

    def load(self, camera_vertices: NDArray[np.float32], intrinsics: NDArray[np.float64], projection: int) -> None:
        """Take a frame's vertices (V, 3), camera frame, and its camera; select what may be seen."""
        points = np.ascontiguousarray(camera_vertices).reshape(-1)
        farthest, self._front_count, near_count = _load(
            points, self._triangles, intrinsics, projection, self._height, self._width,
            self._place, self._key, self._front, self._windows, self._boxes, self._ends, self._lanes,
        )  # fmt: skip
        near = self._front[len(self._front) - near_count :]
        self._near = points, self._triangles, intrinsics, projection, farthest, near

    def fill(self, triangle: NDArray[np.int32], key: NDArray[np.float32], *, supersampled: bool) -> None:
        """Write triangle and depth key at every sample (see :func:`rasterise`).

        Raises:
            ValueError: for a supersampled image of a rasteriser that does the centres only.
        """
        if supersampled:
            self._see_marked(np.ones(self._height * self._width, np.uint8))
        else:
            _see_centres(
                self._near, self._place, self._key, self._boxes, self._ends, self._height, self._width,
                self._lanes, self._float_lanes, self._seen,
            )  # fmt: skip
        unpack(self._seen, triangle, key)

    def fill_near_edges(self, edge: NDArray[np.uint8], triangle: NDArray[np.int32], key: NDArray[np.float32]) -> None:
        """As a supersampled :meth:`fill`, but only for the nine samples of each marked pixel: no other is written.

        Args:
            edge: (H, W) 1 for the marked pixels, 0 for the others.
            triangle: (2H + 1, 2W + 1), and ``key`` likewise.
        """
        count = self._see_marked(edge.reshape(-1))
        unpack_marked(self._seen, self._marked[:count], self._width, triangle.reshape(-1), key.reshape(-1))

    def _see_marked(self, edge: NDArray[np.uint8]) -> int:
        """See the samples of the pixels marked in ``edge`` (H W,); returns how many there are."""
        if not len(self._windows):
            raise ValueError("this rasteriser does the pixels' centres only")
        count = _see_marked(
            self._near, self._place, self._key, self._front[: self._front_count], self._windows, self._chosen,
            self._half_boxes, self._half_ends, edge, self._marked, self._height, self._width, self._in_row,
            self._nearby, self._lanes, self._float_lanes, self._seen,
        )  # fmt: skip
        return int(count)


@compiled
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
    windows: Indices,
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
        windows: (T + 1,) the pixels that the front faces touch (:func:`window_of`), or no room if they are not wanted.
        boxes: the front faces whose box holds a pixel centre, by the shape of the box (:func:`list_box`).
        ends: (WIDER + 1,) where the lists in ``boxes`` end.
        lanes: scratch.

    Returns:
        The largest depth in mm, and the two numbers of triangles in ``front``.
    """
    farthest, any_near = snap(points, intrinsics, projection, place.view(np.int32), key)
    count, near = _select_front(points, triangles, any_near, height, width, place, front, windows, boxes, ends, lanes)
    return farthest, count, near


@compiled
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
    seen[: height * width] = NOTHING
    fill_boxes(near[1], place, key, boxes, ends, grid, lanes, floats, seen)
    fill_near(near, grid, seen)


@compiled
def _see_marked(
    near: Near,
    place: Wide,
    key: Floats,
    front: Ints,
    windows: Indices,
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
    clear_marked(marked[:marks], width, seen)
    mark_nearby(edge, width, in_row, nearby)
    count = choose(front, windows, nearby, chosen)
    select_marked(near[1], place, chosen[:count], nearby, height, width, boxes, ends, lanes)
    fill_boxes(near[1], place, key, boxes, ends, grid, lanes, floats, seen)
    fill_near(near, grid, seen)
    return marks


@compiled
def _select_front(
    points: Floats,
    triangles: Indices,
    any_near: bool,
    height: int,
    width: int,
    place: Wide,
    front: Ints,
    windows: Indices,
    boxes: Wide,
    ends: Wide,
    lanes: Ints,
) -> tuple[Int, int]:
    """The second half of :func:`_load`."""
    count, near, total = np.uint64(0), 0, len(triangles) // 3
    empty_lists(total, ends)
    pairs = lanes[: 6 * LANES].view(np.int64)
    # Rows of lanes, after the corners'.
    is_front, shape, corner, held = 6 * LANES, 7 * LANES, 8 * LANES, np.uint64(9 * LANES)
    window = 10 * LANES
    for first in range(0, total, LANES):
        number = min(LANES, total - first)
        for n in range(number):
            a, b, c = vertices_of(triangles, np.uint64(first + n))
            pairs[n], pairs[LANES + n], pairs[2 * LANES + n] = place[a], place[b], place[c]
        widest = int32(0)
        for n in range(LANES):
            x0, y0, x1, y1, x2, y2 = corners_in(lanes, n)
            left, right, top, bottom = extent(lanes, n)
            lanes[shape + n], lanes[corner + n] = box_among(left, right, top, bottom, 128, 8, height, width)
            widest = max(widest, max(int32(right - left), int32(bottom - top)))
            # The image's y axis points down, so a counter-clockwise triangle has a negative area.
            product = int32(int32(x2 - x0) * int32(y1 - y0))
            lanes[is_front + n] = product > int32(int32(x1 - x0) * int32(y2 - y0))
        if widest >= NARROW:
            # 32 bits may not have held the products.
            for n in range(LANES):
                x0, y0, x1, y1, x2, y2 = corners_in(lanes, n)
                product64 = np.int64(int32(x2 - x0)) * np.int64(int32(y1 - y0))
                lanes[is_front + n] = product64 > np.int64(int32(x1 - x0)) * np.int64(int32(y2 - y0))
        if any_near:
            for n in range(number):
                if reaches_behind(points, triangles, first + n):
                    near += 1
                    front[len(front) - near] = first + n
                    lanes[is_front + n] = 0
        if len(windows):
            listed = count
            for n in range(LANES):
                left, right, top, bottom = extent(lanes, n)
                lanes[window + n] = window_of(left, right, top, bottom, height, width)
            for n in range(number):
                windows[listed] = lanes[window + n]
                listed += np.uint64(lanes[is_front + n])
        # First the lanes that are listed, so that the loop over them has no branch to guess.
        found = np.uint64(0)
        for n in range(number):
            front[count] = first + n
            count += np.uint64(lanes[is_front + n])
            lanes[held + found] = n
            found += np.uint64(int32(lanes[shape + n] > 0) & lanes[is_front + n])
        for i in range(np.int64(found)):
            lane = np.int64(lanes[held + np.uint64(i)])
            list_box(first + lane, lanes[np.uint64(shape + lane)], lanes[np.uint64(corner + lane)], boxes, ends)
    return np.int64(count), near
