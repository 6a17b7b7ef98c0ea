"""Skin that passes through skin: how long the curve is along which it does, on an exact footing."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.plausibility.crossing import FARTHEST, curve_length, meet
from facegen.evaluation.plausibility.surface import Place

Ints = NDArray[np.int64]
Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS = 1024
"""Of the lattice per mm, to which vertices are snapped before anything is asked; from there on there is no rounding."""

CELL, CELLS = 11, 64
"""Cells of the broad phase are 2^11 steps, 2 mm, wide; after 64 of them along an axis they repeat."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


def curves(place: Place, points: Float, tolerated: Bools) -> tuple[Float, Float, Bools]:
    """Where a place of each face passes through itself.

    Triangles that share a corner are neighbours and no pair; all others of fitting sides are.

    Args:
        place: of the surface.
        points: (B, n, 3) of its vertices on aligned faces, mm.
        tolerated: (T,) triangles that may be cut.

    Returns:
        Length (B,) of the curve, mm; of it that part (B,) that has a triangle on it which may not be cut; and the
        triangles (B, T) that are cut or touched.
    """
    lattice = np.rint(points * STEPS).clip(-FARTHEST, FARTHEST).astype(np.int64)
    length, unusual, cut = _curves(lattice, place.triangles, place.welded, place.side, tolerated)
    return length / STEPS, unusual / STEPS, cut


@_compile
def _curves(
    points: Ints, triangles: Ints, welded: Ints, side: NDArray[np.int8], tolerated: Bools
) -> tuple[Float, Float, Bools]:
    faces, count = points.shape[0], triangles.shape[0]
    length, unusual = np.zeros(faces), np.zeros(faces)
    cut = np.zeros((faces, count), np.bool_)
    low, high = np.empty((count, 3), np.int64), np.empty((count, 3), np.int64)
    s, t = np.empty((3, 3), np.int64), np.empty((3, 3), np.int64)
    cells = np.empty((CELLS, CELLS, CELLS), np.bool_)
    for b in range(faces):
        for n in range(count):
            for i in range(3):
                p, q, r = points[b, triangles[n, 0], i], points[b, triangles[n, 1], i], points[b, triangles[n, 2], i]
                low[n, i], high[n, i] = min(p, min(q, r)), max(p, max(q, r))
        kept = _kept(low, high, side, cells)
        # Sweep along x: of the boxes in order of where they begin, each looks at those that begin before it ends.
        order = kept[np.argsort(low[kept, 0])]
        for place in range(len(order)):
            m = order[place]
            for later in range(place + 1, len(order)):
                n = order[later]
                if low[n, 0] > high[m, 0]:
                    break
                if side[m] == side[n] != 0:
                    continue
                if low[n, 1] > high[m, 1] or low[m, 1] > high[n, 1] or low[n, 2] > high[m, 2] or low[m, 2] > high[n, 2]:
                    continue
                if _neighbours(triangles, welded, m, n):
                    continue
                # The smaller number first, so that a length has the same last bits in any order.
                first, second = min(m, n), max(m, n)
                for c in range(3):
                    for i in range(3):
                        s[c, i], t[c, i] = points[b, triangles[first, c], i], points[b, triangles[second, c], i]
                if meet(s, t):
                    cut[b, m] = cut[b, n] = True
                    mm = curve_length(s, t)
                    length[b] += mm
                    if not (tolerated[m] and tolerated[n]):
                        unusual[b] += mm
    return length, unusual, cut


@_compile
def _kept(low: Ints, high: Ints, side: NDArray[np.int8], cells: Bools) -> Ints:
    """Triangles that may meet one of the other side: of side 2, those whose box has a cell that a box of side 1 has."""
    sided = False
    for n in range(len(side)):
        sided = sided or side[n] == 2
    if not sided:
        return np.arange(len(side))
    cells[:] = False
    for n in range(len(side)):
        if side[n] == 1:
            _any_cell(low, high, n, cells, True)
    kept = np.empty(len(side), np.int64)
    count = 0
    for n in range(len(side)):
        if side[n] != 2 or _any_cell(low, high, n, cells, False):
            kept[count] = n
            count += 1
    return kept[:count]


@_inline
def _any_cell(low: Ints, high: Ints, n: int, cells: Bools, mark: bool) -> bool:
    """Whether any cell of a box is marked, or mark them all. Cells repeat, so boxes far apart may share one."""
    found = False
    for i in range(low[n, 0] >> CELL, min(high[n, 0] >> CELL, (low[n, 0] >> CELL) + CELLS - 1) + 1):
        for j in range(low[n, 1] >> CELL, min(high[n, 1] >> CELL, (low[n, 1] >> CELL) + CELLS - 1) + 1):
            for k in range(low[n, 2] >> CELL, min(high[n, 2] >> CELL, (low[n, 2] >> CELL) + CELLS - 1) + 1):
                if mark:
                    cells[i & (CELLS - 1), j & (CELLS - 1), k & (CELLS - 1)] = True
                elif cells[i & (CELLS - 1), j & (CELLS - 1), k & (CELLS - 1)]:
                    found = True
    return found


@_inline
def _neighbours(triangles: Ints, welded: Ints, m: int, n: int) -> bool:
    for i in range(3):
        for j in range(3):
            if welded[triangles[m, i]] == welded[triangles[n, j]]:
                return True
    return False
