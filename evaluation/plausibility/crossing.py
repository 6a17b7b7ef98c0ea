"""Whether two triangles meet, exactly: separating axes over whole numbers.

Corners lie on a lattice whose coordinates are below 2^19, so a determinant of three differences is below
6 · 2^60 and 64-bit integers hold it. Triangles are closed: those that only touch meet. Triangles in one plane, and such
as are segments or points, are triangles like others.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FARTHEST = (1 << 19) - 1
"""Largest coordinate."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


@_compile
def meet(a: Ints, b: Ints) -> bool:
    """Whether two triangles (3, 3), one corner a row, have a point in common.

    Two convex polytopes are apart exactly when a facet of their Minkowski difference separates the origin from it. The
    normals of those facets are the triangles' normals and the cross products of their edges; where the difference is
    flat and the origin in its plane, the same is asked in that plane, and on a line in turn.
    """
    n = np.zeros(3, np.int64)
    if _apart_along_normal(a, b, n) or _apart_along_normal(b, a, n):
        return False
    for i in range(3):
        e0, e1, e2 = _edge(a, i)
        for j in range(3):
            f0, f1, f2 = _edge(b, j)
            x, y, z = e1 * f2 - e2 * f1, e2 * f0 - e0 * f2, e0 * f1 - e1 * f0
            _keep(n, x, y, z)
            if _apart(a, b, x, y, z):
                return False
    if n[0] == 0 and n[1] == 0 and n[2] == 0:
        return _meet_on_a_line(a, b)
    if _in_one_plane(a, b, n):
        return _meet_in_a_plane(a, b, n)
    return True


@_compile
def curve_length(a: Ints, b: Ints) -> float:
    """Length of the segment that two triangles which meet have in common, in steps; 0 for those in one plane."""
    ends = np.zeros((2, 2))
    na, nb = _normal(a), _normal(b)
    x = np.float64(na[1]) * nb[2] - np.float64(na[2]) * nb[1]
    y = np.float64(na[2]) * nb[0] - np.float64(na[0]) * nb[2]
    z = np.float64(na[0]) * nb[1] - np.float64(na[1]) * nb[0]
    size = np.sqrt(x * x + y * y + z * z)
    if size == 0.0:
        return 0.0
    x, y, z = x / size, y / size, z / size
    for side in range(2):
        cut, other, n = (a, b, nb) if side == 0 else (b, a, na)
        low, high = np.inf, -np.inf
        for i in range(3):
            j = (i + 1) % 3
            h = _above(cut, i, other, n)
            k = _above(cut, j, other, n)
            if (h > 0 and k > 0) or (h < 0 and k < 0):
                continue
            # Where the edge passes through the other's plane; of an edge in the plane, its first end.
            share = h / (h - k) if h != k else 0.0
            t = 0.0
            t += x * ((cut[i, 0] - a[0, 0]) + share * (cut[j, 0] - cut[i, 0]))
            t += y * ((cut[i, 1] - a[0, 1]) + share * (cut[j, 1] - cut[i, 1]))
            t += z * ((cut[i, 2] - a[0, 2]) + share * (cut[j, 2] - cut[i, 2]))
            low, high = min(low, t), max(high, t)
        ends[side, 0], ends[side, 1] = low, high
    length: float = max(min(ends[0, 1], ends[1, 1]) - max(ends[0, 0], ends[1, 0]), 0.0)
    return length


@_inline
def _above(triangle: Ints, corner: int, other: Ints, n: tuple[int, int, int]) -> float:
    d0, d1, d2 = triangle[corner, 0] - other[0, 0], triangle[corner, 1] - other[0, 1], triangle[corner, 2] - other[0, 2]
    return np.float64(n[0] * d0 + n[1] * d1 + n[2] * d2)


@_inline
def _edge(t: Ints, i: int) -> tuple[int, int, int]:
    j = (i + 1) % 3
    return t[j, 0] - t[i, 0], t[j, 1] - t[i, 1], t[j, 2] - t[i, 2]


@_inline
def _normal(t: Ints) -> tuple[int, int, int]:
    e0, e1, e2 = _edge(t, 0)
    f0, f1, f2 = _edge(t, 1)
    return e1 * f2 - e2 * f1, e2 * f0 - e0 * f2, e0 * f1 - e1 * f0


@_inline
def _keep(n: Ints, x: int, y: int, z: int) -> None:
    """Remember the first axis that is one."""
    if n[0] == 0 and n[1] == 0 and n[2] == 0:
        n[0], n[1], n[2] = x, y, z


@_inline
def _apart_along_normal(a: Ints, b: Ints, n: Ints) -> bool:
    x, y, z = _normal(a)
    _keep(n, x, y, z)
    above, below = 0, 0
    for i in range(3):
        height = x * (b[i, 0] - a[0, 0]) + y * (b[i, 1] - a[0, 1]) + z * (b[i, 2] - a[0, 2])
        above += height > 0
        below += height < 0
    return above == 3 or below == 3


@_inline
def _apart(a: Ints, b: Ints, x: int, y: int, z: int) -> bool:
    """Whether a plane of this normal lies between, touching neither. Heights are differences to one corner."""
    a_low = a_high = np.int64(0)
    b_low = b_high = np.int64(0)
    for i in range(3):
        height = x * (a[i, 0] - a[0, 0]) + y * (a[i, 1] - a[0, 1]) + z * (a[i, 2] - a[0, 2])
        a_low, a_high = min(a_low, height), max(a_high, height)
        height = x * (b[i, 0] - a[0, 0]) + y * (b[i, 1] - a[0, 1]) + z * (b[i, 2] - a[0, 2])
        if i == 0:
            b_low = b_high = height
        b_low, b_high = min(b_low, height), max(b_high, height)
    return bool(a_high < b_low or b_high < a_low)


@_inline
def _in_one_plane(a: Ints, b: Ints, n: Ints) -> bool:
    for i in range(3):
        for t in (a, b):
            if n[0] * (t[i, 0] - a[0, 0]) + n[1] * (t[i, 1] - a[0, 1]) + n[2] * (t[i, 2] - a[0, 2]) != 0:
                return False
    return True


@_compile
def _meet_in_a_plane(a: Ints, b: Ints, n: Ints) -> bool:
    """Seen along a coordinate axis that is not in the plane, where every edge gives an axis."""
    k = 0
    for i in range(1, 3):
        if abs(n[i]) > abs(n[k]):
            k = i
    u, v = (k + 1) % 3, (k + 2) % 3
    for t in (a, b):
        for i in range(3):
            j = (i + 1) % 3
            x, y = t[i, v] - t[j, v], t[j, u] - t[i, u]
            a_low = a_high = b_low = b_high = np.int64(0)
            for c in range(3):
                height = x * (a[c, u] - a[0, u]) + y * (a[c, v] - a[0, v])
                a_low, a_high = min(a_low, height), max(a_high, height)
                height = x * (b[c, u] - a[0, u]) + y * (b[c, v] - a[0, v])
                if c == 0:
                    b_low = b_high = height
                b_low, b_high = min(b_low, height), max(b_high, height)
            if a_high < b_low or b_high < a_low:
                return False
    return True


@_compile
def _meet_on_a_line(a: Ints, b: Ints) -> bool:
    """Parallel segments, or points: they meet where they are on one line and their boxes do."""
    for t in (a, b):
        for i in range(3):
            d0, d1, d2 = _edge(t, i)
            for j in range(3):
                w0, w1, w2 = b[j, 0] - a[0, 0], b[j, 1] - a[0, 1], b[j, 2] - a[0, 2]
                if d1 * w2 != d2 * w1 or d2 * w0 != d0 * w2 or d0 * w1 != d1 * w0:
                    return False
    apart = False
    for i in range(3):
        apart |= a[:, i].max() < b[:, i].min() or b[:, i].max() < a[:, i].min()
    return not apart
