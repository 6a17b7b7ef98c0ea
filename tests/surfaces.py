"""Small made-up surfaces: with borders, of several components, and with a face's left and right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.tests.synthetic import sphere

Ints = NDArray[np.int64]
Float = NDArray[np.float64]


def ball(rows: int = 14, columns: int = 20) -> tuple[Float, Ints]:
    """A sphere of 100 mm with holes at its poles: two borders."""
    topology = sphere(rows, columns)
    return topology.reference.astype(np.float64), topology.triangles.astype(np.int64)


def sheet(rows: int = 12, columns: int = 15) -> tuple[Float, Ints]:
    """A bent rectangle, the mirror image of itself in x (also its triangles): one border."""
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1) * 10.0
    x -= x.max() / 2
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]))
    # Each cell's diagonal leans away from the middle.
    left = np.stack([np.stack([a, b, d], 1), np.stack([a, d, c], 1)], 1)
    right = np.stack([np.stack([a, b, c], 1), np.stack([b, d, c], 1)], 1)
    triangles = np.where((x[a] + x[b] < 0)[:, None, None], left, right).reshape(-1, 3)
    return np.stack([x, y, 30 * np.cos(x / 60) + 5 * np.sin(y / 25)], axis=1), triangles.astype(np.int64)


def together(*surfaces: tuple[Float, Ints]) -> tuple[Float, Ints]:
    """Surfaces side by side, as components of one mesh."""
    places, triangles, count = [], [], 0
    for number, (vertices, mesh) in enumerate(surfaces):
        places.append(vertices + np.array([300.0 * number, 0, 0]))
        triangles.append(mesh + count)
        count += len(vertices)
    return np.concatenate(places), np.concatenate(triangles)


def components(triangles: Ints, vertices: int) -> int:
    """Number of components of a mesh of n vertices; one that no triangle has counts as its own."""
    return len(np.unique(component(triangles, vertices)))


def component(triangles: Ints, vertices: int) -> Ints:
    """(n,) smallest vertex of the component that each vertex belongs to."""
    label = np.arange(vertices)
    while True:
        least = label[triangles].min(axis=1)
        before = label.copy()
        np.minimum.at(label, triangles, least[:, None])
        if np.array_equal(label, before):
            return label


def borders(triangles: Ints, vertices: int) -> int:
    """Number of borders: closed lines of edges that one triangle has."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    lines = unique[uses == 1]
    return len(np.unique(component(lines, vertices)[lines]))


def euler(triangles: Ints) -> int:
    """Vertices less edges plus triangles."""
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    return len(np.unique(triangles)) - len(edges) + len(triangles)
