"""Splitting triangles in four, and the butterfly that places the new vertices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.subdivision import butterfly, split
from facegen.tests.synthetic import sphere

Float = NDArray[np.float64]


def grid(size: int) -> tuple[Float, NDArray[np.int64]]:
    """A flat square of equilateral triangles."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    places = np.stack([columns + 0.5 * rows, rows * np.sqrt(0.75), 0 * rows], axis=-1).reshape(-1, 3)
    number = np.arange(size * size).reshape(size, size)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    return places, np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


def middles(places: Float, triangles: NDArray[np.int64]) -> tuple[Float, Float]:
    """New vertices by the butterfly, and the edges' middles."""
    _, edges = split(triangles, len(places))
    return butterfly(triangles, len(places), edges) @ places, places[edges].mean(axis=1)


def test_every_triangle_becomes_four_that_tile_it() -> None:
    places, triangles = grid(5)
    finer, edges = split(triangles, len(places))
    points = np.concatenate([places, places[edges].mean(axis=1)])
    assert finer.shape == (4 * len(triangles), 3)
    # Euler: a triangle's three sides, shared by two inside.
    assert len(edges) == len(places) + len(triangles) - 1

    def area(t: NDArray[np.int64], p: Float) -> Float:
        return np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]])[:, 2]

    np.testing.assert_allclose(area(finer, points).reshape(-1, 4), area(triangles, places)[:, None] / 4 * np.ones(4))
    np.testing.assert_allclose(
        points[finer].mean(axis=1).reshape(-1, 4, 3).mean(axis=1), places[triangles].mean(axis=1)
    )


def test_an_edge_is_split_once() -> None:
    topology = sphere()
    finer, edges = split(topology.triangles, topology.vertex_count)
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert (edges[:, 0] < edges[:, 1]).all()
    assert np.array_equal(np.unique(finer), np.arange(topology.vertex_count + len(edges)))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_the_butterfly_reproduces_cubics_on_a_regular_mesh(degree: int) -> None:
    """Dyn, Levin, Gregory 1990: exact for polynomials up to degree 3 inside a regular triangulation."""
    places, triangles = grid(9)
    _, edges = split(triangles, len(places))
    weights = butterfly(triangles, len(places), edges)
    centre = places[edges].mean(axis=1)
    x, y = places[:, 0] - 6, places[:, 1] - 3.5
    u, v = centre[:, 0] - 6, centre[:, 1] - 3.5
    inside = (np.abs(centre - places.mean(axis=0)) < 1.8).all(axis=1)
    assert inside.sum() >= 10
    for power in range(degree + 1):
        wanted = u**power * v ** (degree - power)
        np.testing.assert_allclose((weights @ (x**power * y ** (degree - power)))[inside], wanted[inside], atol=1e-9)


def test_weights_sum_to_one_everywhere() -> None:
    topology = sphere()
    _, edges = split(topology.triangles, topology.vertex_count)
    weights = butterfly(topology.triangles, topology.vertex_count, edges)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_the_butterfly_rounds_a_sphere() -> None:
    topology = sphere(24, 36)
    places = topology.reference.astype(np.float64)
    smooth, flat = middles(places, topology.triangles.astype(np.int64))
    inside = np.abs(flat[:, 1]) < 80
    assert np.abs(np.linalg.norm(smooth[inside], axis=1) - 100).max() < 0.1
    assert np.abs(np.linalg.norm(flat[inside], axis=1) - 100).max() > 0.5
