"""Building blocks of things: tubes, sheets with thickness, ellipsoids, curves; closed meshes wound outwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Triangles = NDArray[np.uint32]
Mesh = tuple[Float64, Triangles]
"""Vertices (N, 3) and triangles (M, 3), counter-clockwise seen from outside."""


def normalised(vectors: ArrayLike) -> Float64:
    """Vectors (..., 3) of length 1 in the same directions; those of length 0 stay 0."""
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float64 = vectors / np.where(length > 0.0, length, 1.0)
    return unit


def smoothstep(x: ArrayLike) -> Float64:
    """0 below 0, 1 above 1, and 3x² - 2x³ between."""
    x = np.clip(np.asarray(x, np.float64), 0.0, 1.0)
    step: Float64 = x * x * (3.0 - 2.0 * x)
    return step


def quads(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64], d: NDArray[np.int64]) -> Triangles:
    """Two triangles for each quadrilateral a, b, c, d, counter-clockwise."""
    return np.concatenate(
        [np.stack([a, b, c], axis=-1).reshape(-1, 3), np.stack([a, c, d], axis=-1).reshape(-1, 3)]
    ).astype(np.uint32)


def ramp(low: float, high: float, x: ArrayLike) -> Float64:
    """:func:`smoothstep` from 0 at ``low`` to 1 at ``high``, which may be the smaller one."""
    return smoothstep((np.asarray(x, np.float64) - low) / (high - low))


def smooth_curve(points: ArrayLike, count: int) -> Float64:
    """``count`` points at even steps of chord length on a smooth curve through points (n, 3), n ≥ 2, all distinct.

    Cubic between neighbours; the slope at a point is that of the parabola through it and the two beside it (Bessel).
    """
    points = np.asarray(points, np.float64)
    chord = np.diff(points, axis=0)
    step = np.sqrt((chord * chord).sum(axis=1))[:, None]
    slope = chord / step
    middle = (step[1:] * slope[:-1] + step[:-1] * slope[1:]) / (step[1:] + step[:-1])
    tangent = np.concatenate([slope[:1], middle, slope[-1:]])
    along = np.concatenate([[0.0], np.cumsum(step)])
    at = np.linspace(0.0, along[-1], count)
    i = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(step) - 1)
    length = step[i]
    t = (at - along[i])[:, None] / length
    rise = t * t * (3.0 - 2.0 * t)
    bend = tangent[i] * (t * (1.0 - t) ** 2) - tangent[i + 1] * (t * t * (1.0 - t))
    curve: Float64 = points[i] + rise * chord[i] + length * bend
    return curve


def resampled(loop: ArrayLike, count: int) -> Float64:
    """``count`` points at even steps of arc length on a closed polyline (n, d); the first stays the first."""
    loop = np.asarray(loop, np.float64)
    closed = np.concatenate([loop, loop[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.arange(count) * (along[-1] / count)
    return np.stack([np.interp(at, along, closed[:, axis]) for axis in range(loop.shape[1])], axis=1)


def taut(floor: Float64) -> Float64:
    """The lowest curve (n,) over numbers (n,) at even steps, n small, that has no dip: a thread drawn tight."""
    n = len(floor)
    i, j, k = np.ogrid[:n, :n, :n]
    # Through every pair i ≤ j, at every k between them.
    share = (k - i) / np.maximum(j - i, 1)
    line = floor[i] * (1.0 - share) + floor[j] * share
    highest: Float64 = np.where((i <= k) & (k <= j), line, -np.inf).max(axis=(0, 1))
    return highest


def superellipse(angle: NDArray[np.floating], exponent: float) -> Float64:
    """Points (..., 2) of the curve |x|^p + |y|^p = 1 at parameters ``angle``: p = 2 a circle, more a rounded square."""
    c, s = np.cos(angle), np.sin(angle)
    power = 2.0 / exponent
    return np.stack([np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power], axis=-1)


def tube(
    path: ArrayLike,
    half: ArrayLike,
    up: ArrayLike,
    *,
    sides: int = 8,
    exponent: float = 2.0,
    closed: bool = False,
) -> Mesh:
    """A tube along a polyline, its cross-section a superellipse; both ends are capped unless it closes in a ring.

    Args:
        path: (n, 3) its centre line.
        half: (2,) or (n, 2) half of its thickness along ``up``, and across ``up`` and the path.
        up: (3,) or (n, 3) nowhere along the path; made perpendicular to it.
        sides: corners of the cross-section.
        exponent: of the cross-section: 2 an ellipse, more a rounded rectangle.
        closed: whether the last point is followed by the first.
    """
    path = np.asarray(path, np.float64)
    count = len(path)
    half = np.broadcast_to(np.asarray(half, np.float64), (count, 2))
    if closed:
        tangent = normalised(np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0))
    else:
        tangent = normalised(np.gradient(path, axis=0))
    up = np.broadcast_to(np.asarray(up, np.float64), (count, 3))
    first = normalised(up - (up * tangent).sum(axis=1, keepdims=True) * tangent)
    second = np.cross(tangent, first)
    # (sides, 2), the corners of the section counter-clockwise about the tangent.
    section = superellipse((np.arange(sides) + 0.5) * np.float64(2.0 * np.pi / sides), exponent)
    # (n, sides, 3)
    rings = (
        path[:, None]
        + (half[:, :1] * section[:, 0])[..., None] * first[:, None]
        + (half[:, 1:] * section[:, 1])[..., None] * second[:, None]
    )
    corner = np.arange(count * sides).reshape(count, sides)
    here = corner if closed else corner[:-1]
    there = np.roll(corner, -1, axis=0) if closed else corner[1:]
    walls = quads(here, np.roll(here, -1, axis=1), np.roll(there, -1, axis=1), there)
    if closed:
        return rings.reshape(-1, 3), walls
    # Caps: fans about a point of their own.
    start, end = count * sides, count * sides + 1
    fore, aft = corner[0], corner[-1]
    caps = np.concatenate(
        [
            np.stack([np.full(sides, start), np.roll(fore, -1), fore], axis=1),
            np.stack([np.full(sides, end), aft, np.roll(aft, -1)], axis=1),
        ]
    )
    vertices = np.concatenate([rings.reshape(-1, 3), path[:1], path[-1:]])
    return vertices, np.concatenate([walls, caps.astype(np.uint32)])


def sheet(front: Float64, back: Float64) -> Mesh:
    """A closed sheet of two surfaces and a rim.

    Args:
        front: (R, C, 3) the outer surface; seen from outside, columns go right and rows down.
        back: (R, C, 3) the inner surface, in the same order.
    """
    rows, columns = front.shape[:2]
    corner = np.arange(rows * columns).reshape(rows, columns)
    faces = quads(corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:])
    under = corner + rows * columns
    reverse = quads(under[:-1, :-1], under[:-1, 1:], under[1:, 1:], under[1:, :-1])
    rim = np.concatenate([corner[:-1, 0], corner[-1, :-1], corner[:0:-1, -1], corner[0, :0:-1]])
    following = np.roll(rim, -1)
    sides = quads(following, rim, rim + rows * columns, following + rows * columns)
    return np.concatenate([front.reshape(-1, 3), back.reshape(-1, 3)]), np.concatenate([faces, reverse, sides])


def ellipsoid(centre: ArrayLike, axes: ArrayLike, half: ArrayLike, *, rows: int = 6, sides: int = 10) -> Mesh:
    """An ellipsoid.

    Args:
        centre: (3,).
        axes: (3, 3) one axis a row: orthonormal, right-handed.
        half: (3,) half lengths along them.
        rows: rings between the poles, which lie on the third axis.
        sides: corners of a ring.
    """
    polar = np.linspace(0.0, np.pi, rows + 2)[1:-1, None]
    around = np.arange(sides) * (2.0 * np.pi / sides)
    rings = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), axis=-1
    )
    unit = np.concatenate([rings.reshape(-1, 3), [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    corner = np.arange(rows * sides).reshape(rows, sides)
    here, there = corner[:-1], corner[1:]
    walls = quads(here, there, np.roll(there, -1, axis=1), np.roll(here, -1, axis=1))
    top, bottom = rows * sides, rows * sides + 1
    caps = np.concatenate(
        [
            np.stack([np.full(sides, top), corner[0], np.roll(corner[0], -1)], axis=1),
            np.stack([np.full(sides, bottom), np.roll(corner[-1], -1), corner[-1]], axis=1),
        ]
    )
    vertices = np.asarray(centre, np.float64) + (unit * np.asarray(half, np.float64)) @ np.asarray(axes, np.float64)
    return vertices, np.concatenate([walls, caps.astype(np.uint32)])


def disc_grid(size: int) -> tuple[Float64, Float64]:
    """A square grid bent into a disc (Shirley & Chiu 1997, "A low distortion map between disk and square").

    Args:
        size: rows and columns, odd, so that the centre is a point of the grid.

    Returns:
        radius: (size, size) 0 … 1.
        angle: (size, size) radians, from the middle of the right column counter-clockwise; rows go down.
    """
    across = np.linspace(-1.0, 1.0, size)
    x, y = np.meshgrid(across, -across)
    wide = np.abs(x) >= np.abs(y)
    radius = np.where(wide, x, y)
    other = np.where(wide, y, x)
    part = np.pi / 4.0 * other / np.where(radius == 0.0, 1.0, radius)
    angle = np.where(wide, part, np.pi / 2.0 - part) + np.where(radius < 0.0, np.pi, 0.0)
    return np.abs(radius), angle


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several, in their order."""
    first = np.cumsum([0, *(len(vertices) for vertices, _ in meshes[:-1])])
    return (
        np.concatenate([vertices for vertices, _ in meshes]),
        np.concatenate([triangles + np.uint32(n) for (_, triangles), n in zip(meshes, first, strict=True)]),
    )


def mirrored(mesh: Mesh) -> Mesh:
    """The mesh on the other side of the plane x = 0."""
    vertices, triangles = mesh
    return vertices * np.array([-1.0, 1.0, 1.0]), np.ascontiguousarray(triangles[:, ::-1])
