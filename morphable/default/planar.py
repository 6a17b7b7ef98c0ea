"""Triangles for a region of the plane, as evenly shaped as a size field allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from facegen.morphable.default.outline import contains

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Size = Callable[[Float], Float]
"""Wanted edge length (n,) at places (n, 2)."""

RELAXATIONS = 80


def triangulate(outer: Float, holes: list[Float], fixed: Float, size: Size) -> tuple[Float, Ints, int]:
    """Mesh a half domain x ≥ 0 around fixed points by forces in bars (Persson and Strang 2004, "DistMesh").

    Returns:
        Positions (fixed ones first), counter-clockwise triangles, and how many points were added.
    """
    sides = np.concatenate([np.stack([line, np.roll(line, -1, axis=0)], axis=1) for line in (outer, *holes)])
    sides = sides[np.abs(sides[:, :, 0]).max(axis=1) > 1e-9]
    middles, radii = sides.mean(axis=1), np.linalg.norm(sides[:, 0] - sides[:, 1], axis=1) / 2

    def encroaches(places: Float) -> NDArray[np.bool_]:
        # A point in the circle over a border edge would keep that edge out of the Delaunay triangulation.
        distances = np.linalg.norm(places[:, None] - middles, axis=2)
        found: NDArray[np.bool_] = (distances < 1.02 * radii).any(axis=1)
        return found

    def inside(places: Float) -> NDArray[np.bool_]:
        found = contains(outer, places) & (places[:, 0] > 0)
        for hole in holes:
            found &= ~contains(hole, places)
        return found

    random = np.random.default_rng(0)
    low, high = outer.min(axis=0), outer.max(axis=0)
    candidates = random.uniform(low, high, (300_000, 2))
    candidates = candidates[inside(candidates)]
    step = size(candidates)
    candidates = candidates[(random.random(len(candidates)) < (step.min() / step) ** 2 * 2.0)]
    step = size(candidates)
    blocked = (cKDTree(fixed).query(candidates)[0] < 0.75 * step) | (candidates[:, 0] < 0.6 * step)
    tree = cKDTree(candidates)
    chosen = []
    for i in range(len(candidates)):
        if not blocked[i]:
            chosen.append(i)
            blocked[tree.query_ball_point(candidates[i], 0.85 * step[i])] = True
    free = candidates[chosen]
    points = np.concatenate([fixed, free[~encroaches(free)]])
    count = len(fixed)
    for _ in range(RELAXATIONS):
        triangles = _faces(points, inside)
        edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        bar = points[edges[:, 0]] - points[edges[:, 1]]
        length = np.linalg.norm(bar, axis=1)
        wanted = size(points[edges].mean(axis=1))
        wanted *= 1.15 * np.sqrt((length**2).sum() / (wanted**2).sum())
        push = np.maximum(wanted - length, 0)[:, None] * bar / np.maximum(length, 1e-9)[:, None]
        force = np.zeros_like(points)
        np.add.at(force, edges[:, 0], push)
        np.add.at(force, edges[:, 1], -push)
        force[:count] = 0
        moved = points + 0.2 * force
        bad = ~inside(moved) | (moved[:, 0] < 0.4 * size(moved)) | encroaches(moved)
        bad[:count] = True
        moved[bad] = points[bad]
        points = moved
    triangles = _faces(points, inside)
    used = np.unique(triangles)
    if len(used) != len(points):
        raise RuntimeError(f"{len(points) - len(used)} points are in no triangle")
    return points, triangles, len(points) - count


def _faces(points: Float, inside: Callable[[Float], NDArray[np.bool_]]) -> Ints:
    triangles = Delaunay(points).simplices.astype(np.int64)
    a, b, c = points[triangles].transpose(1, 0, 2)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    kept: Ints = triangles[inside(points[triangles].mean(axis=1)) & (np.abs(area) > 1e-3)]
    return kept
