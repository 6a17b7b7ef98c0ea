"""Named anatomical points of the default head and where its surface has them."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from facegen.morphable.default.identity import calibrated_points
from facegen.morphable.default.landmarks import landmark_places
from facegen.morphable.default.network import ControlNetwork, read_network

Float = NDArray[np.float64]

_CANDIDATES = 60
_MIRRORED = np.array([-1.0, 1.0, 1.0])


def anatomical_points() -> dict[str, Float]:
    """Name → place (3,) on the mean head: the left one of a pair, mm."""
    network = read_network()
    points = calibrated_points(network)
    upper, lower = network.rows("upper_lid_margin"), network.rows("lower_lid_margin")
    middles = {"palpebrale_superius": upper[len(upper) // 2], "palpebrale_inferius": lower[len(lower) // 2]}
    return {name: points[row] for name, row in {**network.names, **middles}.items()}


def landmarks_on_the_mean() -> Float:
    """(68, 3) where the landmarks are named to be, moved with the control points from the network to the mean head."""
    network = read_network()
    rest, moved = (_both_sides(network, points) for points in (network.points, calibrated_points(network)))
    rest, first = np.unique(rest, axis=0, return_index=True)
    places = landmark_places(network)
    shift = RBFInterpolator(rest, (moved[first] - rest), neighbors=12, kernel="linear")
    result: Float = places + shift(places)
    return result


def landmark_errors(vertices: NDArray[np.floating], landmarks: NDArray[np.integer]) -> Float:
    """(68,) distance of a head's landmark vertices from the named points of the mean head, mm."""
    result: Float = np.linalg.norm(vertices[landmarks] - landmarks_on_the_mean(), axis=1)
    return result


class SurfacePoints:
    """Points that keep their place on a surface when it moves."""

    def __init__(self, triangles: NDArray[np.integer], mean: NDArray[np.floating], places: dict[str, Float]) -> None:
        """Take the points of the surface that are nearest to ``places`` (3,) on the mean face (V, 3)."""
        corners = mean[triangles].astype(np.float64)
        self.distance: dict[str, float] = {}
        """Of each place from the surface on the mean face, mm."""
        self._vertices: dict[str, NDArray[np.integer]] = {}
        self._weights: dict[str, Float] = {}
        for name, place in places.items():
            near = np.linalg.norm(corners.mean(axis=1) - place, axis=1).argsort()[:_CANDIDATES]
            closest = trimesh.triangles.closest_point(corners[near], np.repeat(place[None], len(near), axis=0))
            distance = np.linalg.norm(closest - place, axis=1)
            best = int(distance.argmin())
            self.distance[name] = float(distance[best])
            self._vertices[name] = triangles[near[best]]
            self._weights[name] = trimesh.triangles.points_to_barycentric(corners[near[[best]]], closest[[best]])[0]

    def on(self, vertices: NDArray[np.floating]) -> dict[str, Float]:
        """Name → place (3,) on a face (V, 3)."""
        return {name: self._weights[name] @ vertices[rows].astype(np.float64) for name, rows in self._vertices.items()}


def _both_sides(network: ControlNetwork, points: Float) -> Float:
    return np.concatenate([points, points * _MIRRORED])
