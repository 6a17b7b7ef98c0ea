"""The lips, cut along the mesh's own edges through the outer lip landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OUTER = slice(48, 60)
"""Multi-PIE landmarks of the vermilion border, from the subject's right corner over the upper lip and back."""
INNER = slice(60, 68)
"""Multi-PIE landmarks of the line where the lips meet, alike."""


def edge_loop(
    vertices: NDArray[np.float32], polygons: NDArray[np.int32], stations: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The closed path along mesh edges through given vertices: shortest paths from each to the next.

    Args:
        vertices: (V, 3).
        polygons: (P, 4) quads; a triangle has -1 in the last column.
        stations: (n,) vertices that the path goes through, in order.

    Returns:
        (m,) vertices along the path, the first not repeated.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    edges = polygon_edges(polygons)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1).astype(np.float64)
    graph = coo_array((length, (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices))).tocsr()
    _, before = dijkstra(graph, directed=False, indices=stations, return_predecessors=True)
    path: list[int] = []
    for row, end in enumerate(np.roll(stations, -1)):
        leg = [int(end)]
        while leg[-1] != stations[row]:
            leg.append(int(before[row, leg[-1]]))
        path += leg[:0:-1]
    return np.array(path, np.int32)


def polygon_edges(polygons: NDArray[np.int32]) -> NDArray[np.int32]:
    """(E, 2) undirected edges of quads and triangles, each once, the smaller index first."""
    following = np.roll(polygons, -1, axis=1)
    # In a triangle the third corner is followed by the first; its fourth column holds nothing.
    following[polygons[:, 3] < 0, 2] = polygons[polygons[:, 3] < 0, 0]
    edges = np.stack([polygons, following], axis=2).reshape(-1, 2)
    return np.unique(np.sort(edges[(edges >= 0).all(axis=1)], axis=1), axis=0)


def enclosed_polygons(polygons: NDArray[np.int32], loop: NDArray[np.int32], seed: int) -> NDArray[np.bool_]:
    """(P,) the polygons of the component around vertex ``seed`` once the mesh is cut along the ``loop`` (m,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(polygons.max()) + 1
    following = np.roll(polygons, -1, axis=1)
    following[polygons[:, 3] < 0, 2] = polygons[polygons[:, 3] < 0, 0]
    exists = (polygons >= 0) & (following >= 0)
    owner = np.broadcast_to(np.arange(len(polygons))[:, None], polygons.shape)[exists]
    low, high = np.minimum(polygons, following)[exists], np.maximum(polygons, following)[exists]
    edge = low.astype(np.int64) * count + high
    after = np.roll(loop, -1)
    fence = np.minimum(loop, after).astype(np.int64) * count + np.maximum(loop, after)
    open_edge = ~np.isin(edge, fence)
    edge, owner = edge[open_edge], owner[open_edge]
    # Two polygons are neighbours where equal edges follow each other in the sorted list.
    order = np.argsort(edge, kind="stable")
    same = edge[order][1:] == edge[order][:-1]
    first, second = owner[order][:-1][same], owner[order][1:][same]
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(polygons), len(polygons)))
    _, component = connected_components(links, directed=False)
    inside: NDArray[np.bool_] = component == component[np.flatnonzero((polygons == seed).any(axis=1))[0]]
    return inside
