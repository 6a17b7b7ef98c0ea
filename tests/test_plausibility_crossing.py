"""The exact test of two triangles against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.evaluation.plausibility.crossing import FARTHEST, curve_length, meet

Ints = NDArray[np.int64]
Row = list[Fraction]


def meet_by_elimination(a: Ints, b: Ints) -> bool:
    """Whether weights λ, μ ≥ 0 with Σλ = Σμ = 1 and Σλa = Σμb exist: Gauss, then Fourier and Motzkin, in fractions.

    An inequality is a row c, of which c[:-1] · x + c[-1] ≥ 0.
    """
    equations = [[Fraction(int(v)) for v in (*a[:, i], *-b[:, i], 0)] for i in range(3)]
    equations += [[Fraction(v) for v in (1, 1, 1, 0, 0, 0, -1)], [Fraction(v) for v in (0, 0, 0, 1, 1, 1, -1)]]
    rows = [[Fraction(int(i == j)) for j in range(7)] for i in range(6)]
    for variable in range(6):
        equation = next((e for e in equations if e[variable]), None)
        if equation is not None:
            equations.remove(equation)
            equations = [without(e, equation, variable) for e in equations]
            rows = [without(row, equation, variable) for row in rows]
    if any(equation[-1] for equation in equations):
        return False
    for variable in range(6):
        above = [row for row in rows if row[variable] > 0]
        below = [row for row in rows if row[variable] < 0]
        rows = [row for row in rows if not row[variable]]
        rows += [[-q[variable] * x + p[variable] * y for x, y in zip(p, q, strict=True)] for p in above for q in below]
    return all(row[-1] >= 0 for row in rows)


def without(row: Row, equation: Row, variable: int) -> Row:
    share = row[variable] / equation[variable]
    return [x - share * y for x, y in zip(row, equation, strict=True)]


def triangles(reach: int) -> st.SearchStrategy[Ints]:
    number = st.integers(-reach, reach)
    return st.lists(number, min_size=9, max_size=9).map(lambda values: np.array(values, np.int64).reshape(3, 3))


@settings(max_examples=100, deadline=None)
@given(a=triangles(2), b=triangles(2))
def test_small_lattices_where_nearly_everything_is_special(a: Ints, b: Ints) -> None:
    assert meet(a, b) == meet_by_elimination(a, b)


@settings(max_examples=50, deadline=None)
@given(a=triangles(3), b=triangles(3), axis=st.integers(0, 2))
def test_triangles_in_one_plane(a: Ints, b: Ints, axis: int) -> None:
    a[:, axis] = b[:, axis] = a[:, (axis + 1) % 3] + 1
    b[:, axis] = b[:, (axis + 1) % 3] + 1
    assert meet(a, b) == meet_by_elimination(a, b)


@settings(max_examples=50, deadline=None)
@given(a=triangles(FARTHEST), b=triangles(FARTHEST))
def test_the_farthest_corners_do_not_overflow(a: Ints, b: Ints) -> None:
    assert meet(a, b) == meet_by_elimination(a, b)


@settings(max_examples=60, deadline=None)
@given(a=triangles(FARTHEST // 4), move=st.integers(-1, 1), weights=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_a_corner_that_touches_or_just_does_not(a: Ints, move: int, weights: tuple[int, int]) -> None:
    """The other triangle has a corner in the first one's plane, or one step above or below it."""
    u, v = weights
    a = 8 * (a // 8)
    corner = (u * a[0] + v * a[1] + (8 - u - v) * a[2]) // 8 + [0, 0, move]
    b = corner + np.array([[0, 0, 0], [5, 3, 900], [-700, 11, 800]])
    assert meet(a, b) == meet_by_elimination(a, b)


@settings(max_examples=60, deadline=None)
@given(a=triangles(4), b=triangles(4))
def test_neither_order_nor_corners_matter(a: Ints, b: Ints) -> None:
    expected = meet(a, b)
    for order in permutations(range(3)):
        assert meet(b[list(order)], a) == meet(a, b[list(order)]) == expected
    assert meet(a, a)


def test_extremes_of_the_lattice() -> None:
    far = FARTHEST
    a = np.array([[-far, -far, -far], [far, far, -far], [far, -far, far]])
    b = np.array([[far, far, far], [-far, -far, far], [-far, far, -far]])
    assert meet(a, b) == meet_by_elimination(a, b)
    assert meet(a, -a) == meet_by_elimination(a, -a)


def test_the_curve_has_a_length() -> None:
    """A flat triangle cut by an upright one, which is 2 steps wide where it passes."""
    flat = np.array([[0, -10, 0], [20, -10, 0], [0, 10, 0]])
    upright = np.array([[2, 0, -5], [6, 0, -5], [4, 0, 5]])
    assert meet(flat, upright)
    assert curve_length(flat, upright) == pytest.approx(2.0)
    assert curve_length(upright, flat) == pytest.approx(2.0)
    assert curve_length(flat, flat) == 0.0
