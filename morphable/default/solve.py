"""From control points to skin: one bi-Laplacian solve on the fixed mesh, linear in the control points.

The surface minimises the squared Laplacian (a thin plate) with soft constraints where it should meet curves and points
and hard ones on pinned boundary curves (Botsch and Kobbelt 2004, "An intuitive framework for real-time freeform
modeling"). Its matrix is assembled on the charts, then once more on the first result, and kept: so vertices are
``V = A · P`` with one matrix A for the mean, every identity and every expression.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from facegen.morphable.default.chart import BACK, FRONT, OTHER
from facegen.morphable.default.curves import chart_curve
from facegen.morphable.default.levels import Level
from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

SOFTNESS = 30.0
"""Weight of the constraints against the bending energy."""

CURVE_WEIGHT = 0.35
CURVE_STEP = 1.2
"""mm between the constraints along a curve."""

PINNED = (
    "upper_lid_margin", "lower_lid_margin", "nostril", "upper_mouth_seam", "lower_mouth_seam", "neckline_front",
    "neckline_back",
)  # fmt: skip


def skin_operator(level: Level, network: ControlNetwork) -> tuple[Ints, Float]:
    """The matrix from control points to skin.

    Returns:
        skin: (S,) the vertices of the level that are skin.
        operator: (S, 2n): their positions are ``operator @ network.mirrored(points)``. Mirror-symmetric to rounding.
    """
    skin = np.unique(level.triangles[level.island != OTHER])
    number = np.full(level.count, -1)
    number[skin] = np.arange(len(skin))
    on_skin = level.island != OTHER
    triangles, island = number[level.triangles[on_skin]], level.island[on_skin]
    flat = np.zeros((len(triangles), 3, 3))
    for chart, places in ((FRONT, level.front), (BACK, level.back)):
        chosen = island == chart
        flat[chosen, :, :2] = places[skin][triangles[chosen]]
    constraints, targets = _constraints(level, network, skin, triangles, island)
    fixed, values = _pins(level, network, number)
    operator = _solve(flat, triangles, constraints, targets, fixed, values)
    first = operator @ network.mirrored(network.points)
    operator = _solve(first[triangles], triangles, constraints, targets, fixed, values)
    return skin, _symmetric(operator, number[level.mirror[skin]])


def _pins(level: Level, network: ControlNetwork, number: Ints) -> tuple[Ints, Float]:
    """Vertices held on boundary curves, and their weights (k, 2n)."""
    rows: dict[int, Float] = {}
    for name in PINNED:
        vertices, places = level.pins[name]
        weights = chart_curve(network, name).weights(places, network.count)
        for vertex, weight in zip(vertices.tolist(), weights, strict=True):
            other = int(level.mirror[vertex])
            both = np.concatenate([weight, np.zeros_like(weight)])
            if other == vertex:
                both = np.concatenate([weight, weight]) / 2
            else:
                rows[number[other]] = np.concatenate([np.zeros_like(weight), weight])
            rows[number[vertex]] = both
    return np.array(list(rows), np.int64), np.array(list(rows.values()))


def _constraints(
    level: Level, network: ControlNetwork, skin: Ints, triangles: Ints, island: NDArray[np.uint8]
) -> tuple[scipy.sparse.csr_array, Float]:
    """Rows (c, S) that pick a place of the surface, and what control points (c, 2n) it should equal."""
    places: list[tuple[int, Float, Float, float]] = []
    for curve in network.curves.values():
        if curve.kind == "points":
            for row in curve.rows:
                weights = np.zeros(network.count)
                weights[row] = 1
                places.append((curve.chart, network.chart_points[row], weights, 1.0))
        elif curve.kind in ("curve", "rim"):
            spline = chart_curve(network, curve.name)
            at = np.linspace(0, spline.length, max(len(curve.rows), int(spline.length / CURVE_STEP)) + 1)
            for place, weights in zip(spline(at), spline.weights(at, network.count), strict=True):
                midline = np.abs(network.points[curve.rows, 0]).max() < 1e-9
                places.append((curve.chart, place * (not midline, 1.0), weights, CURVE_WEIGHT))
    locate = {
        FRONT: _Locator(level.front[skin], triangles, island == FRONT),
        BACK: _Locator(level.back[skin], triangles, island == BACK),
    }
    rows: list[int] = []
    columns: list[int] = []
    entries: list[float] = []
    targets: list[Float] = []
    nothing = np.zeros(network.count)
    for chart, place, weights, strength in places:
        on_midline = abs(place[0]) < 1e-9
        for side in (1.0,) if on_midline else (1.0, -1.0):
            corners, barycentric = locate[chart](place * (side, 1.0))
            rows += [len(targets)] * 3
            columns += corners.tolist()
            entries += (barycentric * strength).tolist()
            both = [weights / 2, weights / 2] if on_midline else [weights, nothing] if side > 0 else [nothing, weights]
            targets.append(np.concatenate(both) * strength)
    matrix = scipy.sparse.csr_array((entries, (rows, columns)), shape=(len(targets), len(skin)))
    return matrix, np.array(targets)


class _Locator:
    """Finds the triangle of a chart at a place."""

    def __init__(self, places: Float, triangles: Ints, chosen: NDArray[np.bool_]) -> None:
        self._triangles = triangles[chosen]
        self._corners = places[self._triangles]
        a, b, c = self._corners.transpose(1, 0, 2)
        self._inverse = np.linalg.inv(np.stack([b - a, c - a], axis=2))

    def __call__(self, place: Float) -> tuple[Ints, Float]:
        local = np.einsum("tij,tj->ti", self._inverse, place - self._corners[:, 0])
        weights = np.concatenate([1 - local.sum(axis=1, keepdims=True), local], axis=1)
        best = int(weights.min(axis=1).argmax())
        inside = weights[best].clip(0, 1)
        return self._triangles[best], inside / inside.sum()


def _solve(
    corners: Float, triangles: Ints, constraints: scipy.sparse.csr_array, targets: Float, fixed: Ints, values: Float
) -> Float:
    """(S, 2n) with the bending energy of triangles with these corners (T, 3, 3)."""
    count = constraints.shape[1]
    laplacian, area = _laplacian(corners, triangles, count)
    energy = laplacian.T @ scipy.sparse.diags_array(1 / area) @ laplacian + SOFTNESS * constraints.T @ constraints
    right = SOFTNESS * (constraints.T @ targets)
    free = np.ones(count, np.bool_)
    free[fixed] = False
    energy = energy.tocsc()
    result = np.zeros((count, targets.shape[1]))
    result[fixed] = values
    factors = scipy.sparse.linalg.splu(energy[free][:, free].tocsc())
    result[free] = factors.solve(np.ascontiguousarray(right[free] - energy[free][:, ~free] @ result[~free]))
    return result


def _laplacian(corners: Float, triangles: Ints, count: int) -> tuple[scipy.sparse.csr_array, Float]:
    """Cotangent Laplacian (S, S), and a third of the area around each vertex (S,)."""
    rows, columns, entries = [], [], []
    area = np.zeros(count)
    for k in range(3):
        i, j, o = k, (k + 1) % 3, (k + 2) % 3
        a, b = corners[:, i] - corners[:, o], corners[:, j] - corners[:, o]
        twice = np.linalg.norm(np.cross(a, b), axis=1)
        weight = 0.5 * ((a * b).sum(axis=1) / np.maximum(twice, 1e-9)).clip(0.02, 20)
        rows += [triangles[:, i], triangles[:, j]]
        columns += [triangles[:, j], triangles[:, i]]
        entries += [weight, weight]
        area += np.bincount(triangles[:, i], twice / 6, count)
    weights = scipy.sparse.csr_array(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    return scipy.sparse.diags_array(weights.sum(axis=1)) - weights, np.maximum(area, 1e-6)


def _symmetric(operator: Float, mirror: Ints) -> Float:
    """The operator and its mirror image averaged: left and right differ by rounding before, by nothing after."""
    half = operator.shape[1] // 2
    other = np.concatenate([operator[mirror, half:], operator[mirror, :half]], axis=1)
    averaged: Float = (operator + other) / 2
    return averaged
