"""Splitting every triangle of a mesh in four: the connectivity, and smooth values for the new vertices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.model import Eyeball

Ints = NDArray[np.int64]


def split(triangles: NDArray[np.integer], count: int) -> tuple[Ints, Ints]:
    """Split triangles (T, 3) over ``count`` vertices at the middles of their edges.

    Returns:
        Triangles (4T, 3), the four of a triangle in a row and oriented like it, and the edges (E, 2), lower vertex
        first: new vertex ``count + e`` is the middle of edge e.
    """
    a, b, c = triangles.T.astype(np.int64)
    # (3, T, 2) edges ab, bc, ca; an edge is the same in both directions.
    sides = np.sort(np.stack([np.stack([a, b], 1), np.stack([b, c], 1), np.stack([c, a], 1)]), axis=2)
    edges, number = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
    ab, bc, ca = count + number.reshape(3, -1)
    corners = [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.stack(corners, axis=1).reshape(-1, 3), edges


def butterfly(triangles: NDArray[np.integer], count: int, edges: Ints) -> scipy.sparse.csr_array:
    """Weights (E, count) that give the middles of edges a place on the smooth surface through the old vertices.

    The eight-point butterfly (Dyn, Levin, Gregory 1990, "A butterfly subdivision scheme for surface interpolation with
    tension control", w = 1/16); where a neighbour is missing, its part falls to the edge's ends, and on a border the
    four-point curve scheme is used.
    """
    code = {(int(a), int(b)): i for i, (a, b) in enumerate(edges)}
    opposite: dict[tuple[int, int], int] = {}
    for a, b, c in triangles.tolist():
        opposite[a, b], opposite[b, c], opposite[c, a] = c, a, b
    border_next = {a: b for a, b in opposite if (b, a) not in opposite}
    border_before = {b: a for a, b in border_next.items()}
    rows, columns, weights = [], [], []

    def put(row: int, column: int, weight: float) -> None:
        rows.append(row)
        columns.append(column)
        weights.append(weight)

    for (a, b), row in code.items():
        left, right = opposite.get((a, b)), opposite.get((b, a))
        put(row, a, 0.5)
        put(row, b, 0.5)
        if left is None or right is None:
            first, last = (a, b) if right is None else (b, a)
            before, after = border_before.get(first), border_next.get(last)
            if before is not None and after is not None:
                for vertex, weight in ((a, 1 / 16), (b, 1 / 16), (before, -1 / 16), (after, -1 / 16)):
                    put(row, vertex, weight)
            continue
        for top, start, end in ((left, a, b), (right, b, a)):
            # The wings beyond the two other sides of this triangle (start, end, top): opposite (top, end) is the
            # corner across the side (end, top), for that side's other triangle runs along it the other way.
            wings = [wing for wing in (opposite.get((top, end)), opposite.get((start, top))) if wing is not None]
            if len(wings) == 2:
                put(row, top, 1 / 8)
                put(row, wings[0], -1 / 16)
                put(row, wings[1], -1 / 16)
    return scipy.sparse.csr_array((weights, (rows, columns)), shape=(len(edges), count))


def subdivided_eye(eye: Eyeball, edges: Ints, count: int) -> Eyeball:
    """An eyeball with the middles of its edges.

    Args:
        eye: of a model with ``count`` vertices.
        edges: (E, 2) of that model's mesh, as :func:`split` gives them.
    """
    direction = np.zeros((count, 3), np.float32)
    direction[eye.vertices] = eye.direction
    inside = np.isin(edges, eye.vertices).all(axis=1)
    middle = direction[edges[inside]].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    return replace(
        eye,
        vertices=np.concatenate([eye.vertices, (count + np.flatnonzero(inside)).astype(np.int32)]),
        direction=np.concatenate([eye.direction, middle]),
    )
