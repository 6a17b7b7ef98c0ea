"""The table of measurements as places on the head's surface, so that any decoded head can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from facegen.morphable.anthropometry import DISTANCE, HEIGHT, WIDTH, Anthropometry
from facegen.morphable.default.measurements import anatomical_points
from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]

_KINDS = {"width": WIDTH, "distance": DISTANCE, "height": HEIGHT}


def surface_anthropometry(
    table: Mapping[str, Any], network: ControlNetwork, points: Float, vertices: Float, triangles: NDArray[np.int64]
) -> Anthropometry:
    """Find the anatomical points on the mean head's skin.

    Args:
        table: the contents of ``anthropometry.yaml``.
        network: that has the points.
        points: (n, 3) calibrated control points.
        vertices: (V, 3) mean head.
        triangles: (T, 3) of its skin.
    """
    entries = list(table["measurements"].values())
    rows = anatomical_points(network)
    ends = np.array([[rows[entry["points"][0]], rows[entry["points"][-1]]] for entry in entries])
    found = [_on_surface(points[row], vertices, triangles) for row in ends.ravel()]
    return Anthropometry(
        names=tuple(entry["name"] for entry in entries),
        kind=np.array([_KINDS[entry["kind"]] for entry in entries], np.int32),
        vertices=np.array([corners for corners, _ in found], np.int32).reshape(*ends.shape, 3),
        weights=np.array([weights for _, weights in found], np.float32).reshape(*ends.shape, 3),
        male=np.array([entry["male"] for entry in entries], np.float64),
        female=np.array([entry["female"] for entry in entries], np.float64),
        spread=np.array([entry["sd"] for entry in entries], np.float64),
        source=" ".join(table["source"].split()),
    )


def _on_surface(point: Float, vertices: Float, triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], Float]:
    """Corners (3,) and weights (3,) of the surface point that is nearest to a place."""
    near = triangles[np.linalg.norm(vertices[triangles].mean(axis=1) - point, axis=1).argsort()[:64]]
    closest = trimesh.triangles.closest_point(vertices[near], np.tile(point, (len(near), 1)))
    best = int(np.linalg.norm(closest - point, axis=1).argmin())
    weights = trimesh.triangles.points_to_barycentric(vertices[near[best]][None], closest[best][None])[0].clip(0, 1)
    return near[best], weights / weights.sum()
