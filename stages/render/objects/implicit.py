"""Surfaces of scalar fields as meshes: naive surface nets (Gibson 1998, "Constrained elastic surface nets")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.objects.shapes import Mesh, normalised

Float64 = NDArray[np.float64]
Field = Callable[[Float64], Float64]
"""Points (n, 3) to values (n,), negative inside."""


def surface_net(field: Field, axes: Sequence[Float64]) -> Mesh:
    """The closed surface where a field is 0: one vertex for each cell that it passes, drawn onto it by Newton's steps.

    Args:
        field: about a distance; positive on the whole border of the grid.
        axes: three increasing arrays, the coordinates of the grid's corners.
    """
    shape = tuple(len(axis) for axis in axes)
    corners = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    value = field(corners).reshape(shape)
    inside = value < 0.0
    # Where edges cross the surface, summed up at each of the four cells about an edge.
    cells = tuple(n - 1 for n in shape)
    total, count = np.zeros((*cells, 3)), np.zeros(cells)
    grid = corners.reshape(*shape, 3)
    crossings = []
    for axis in range(3):
        near, far = _ends(axis)
        index = np.argwhere(inside[near] != inside[far])
        first = tuple(index.T)
        second = tuple((index + np.eye(3, dtype=np.int64)[axis]).T)
        share = (value[first] / (value[first] - value[second]))[:, None]
        point = grid[first] * (1.0 - share) + grid[second] * share
        around = _cells_around(index, axis)
        for cell in around:
            np.add.at(total, tuple(cell.T), point)
            np.add.at(count, tuple(cell.T), 1.0)
        crossings.append((around, inside[first]))
    number = np.full(cells, -1, np.int64)
    used = count > 0
    number[used] = np.arange(int(used.sum()))
    quads = []
    for around, leaving in crossings:
        ring = np.stack([number[tuple(cell.T)] for cell in around], axis=1)
        quads.append(np.where(leaving[:, None], ring, ring[:, ::-1]))
    quad = np.concatenate(quads)
    triangles = np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]).astype(np.uint32)
    return _onto(field, total[used] / count[used][:, None]), triangles


def _ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of a grid: the first and the second corners of all edges along an axis."""
    whole = [slice(None)] * 3
    near, far = whole.copy(), whole.copy()
    near[axis], far[axis] = slice(None, -1), slice(1, None)
    return tuple(near), tuple(far)


def _cells_around(edge: NDArray[np.int64], axis: int) -> list[NDArray[np.int64]]:
    """The four cells (n, 3) about edges (n, 3) along an axis, counter-clockwise about it."""
    u, v = np.eye(3, dtype=np.int64)[(axis + 1) % 3], np.eye(3, dtype=np.int64)[(axis + 2) % 3]
    return [edge - u - v, edge - v, edge, edge - u]


def gradient(field: Field, points: Float64, step: float = 0.25) -> Float64:
    """(n, 3) by central differences."""
    ahead = [field(points + step * unit) - field(points - step * unit) for unit in np.eye(3)]
    slope: Float64 = np.stack(ahead, axis=1) / (2.0 * step)
    return slope


def _onto(field: Field, points: Float64) -> Float64:
    for _ in range(2):
        slope = gradient(field, points)
        length = np.maximum(np.linalg.norm(slope, axis=1), 0.3)
        points = points - normalised(slope) * np.clip(field(points) / length, -1.5, 1.5)[:, None]
    return points
