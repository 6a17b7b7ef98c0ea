"""478 landmarks on any face model: the 68, the irises, and points spread over the face in mirrored pairs.

Numbers 0–67 are the model's 68 landmarks. 68–72 are the right iris (the subject's), 73–77 the left one: its centre,
then its border towards the subject's right, upwards, to the left, downwards. 78–477 lie on the skin of the face,
farther points first (farthest-point sampling, Eldar et al. 1997), denser about eyes, brows, nose and mouth: any first n
of them cover the face evenly. Each off the midline is followed by its mirror image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.imaging.annotation import SurfacePoints
from facegen.imaging.normals import vertex_normals
from facegen.morphable.model import Eyeball, MorphableModel

Float64 = NDArray[np.float64]

SPREAD = 400
"""Points on the skin."""

_MIDLINE = 0.4
"""mm: what is nearer to the plane of symmetry has no mirror image."""

_FACING = 0.2
"""Least forward part of a normal of the face's skin: what is turned aside more is side of the head."""

_DENSER, _REACH = 1.6, 14.0
"""How much denser points are at a feature, and over how many mm that fades."""


def dense_landmarks(model: MorphableModel) -> SurfacePoints:
    """The points of a model; without two eyeballs the irises are absent, without 68 landmarks there are none."""
    topology = model.topology
    if len(topology.landmarks) != 68:
        return SurfacePoints(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    irises = [_iris(model, eye) for eye in reversed(model.eyes)] if len(model.eyes) == 2 else []
    vertices = np.concatenate([topology.landmarks.astype(np.int64), _spread(model)])
    at = _at_vertices(topology.triangles, vertices)
    parts = [(at.triangle[:68], at.weights[:68]), *irises, (at.triangle[68:], at.weights[68:])]
    return SurfacePoints(
        np.concatenate([triangle for triangle, _ in parts]), np.concatenate([weights for _, weights in parts])
    )


def _at_vertices(triangles: NDArray[np.int32], vertices: NDArray[np.int64]) -> SurfacePoints:
    """The first triangle that has each vertex (n,), all weight at its corner."""
    flat = triangles.reshape(-1)
    order = np.argsort(flat, kind="stable")
    first = order[np.searchsorted(flat[order], vertices)]
    weights = np.zeros((len(vertices), 3), np.float32)
    weights[np.arange(len(vertices)), first % 3] = 1
    return SurfacePoints((first // 3).astype(np.int32), weights)


def _iris(model: MorphableModel, eye: Eyeball) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Triangles (5,) and weights (5, 3) of an iris: where rays from the eyeball's centre leave it."""
    inner = np.full(len(model.mean), -1)
    inner[eye.vertices] = np.arange(len(eye.vertices))
    rows = np.flatnonzero((inner[model.topology.triangles] >= 0).all(axis=1))
    corner = eye.direction.astype(np.float64)[inner[model.topology.triangles[rows]]]
    front = corner[:, :, 2].min(axis=1) > 0
    rows, corner = rows[front], corner[front]
    s, c = np.sin(eye.iris_angle), np.cos(eye.iris_angle)
    rays = np.array([[0, 0, 1], [-s, 0, c], [0, s, c], [s, 0, c], [0, -s, c]])
    # A ray is a sum of the corners' directions with weights of one sign where it meets the triangle.
    weights = np.linalg.solve(corner.transpose(0, 2, 1)[None], rays[:, None, :, None])[..., 0]
    weights /= weights.sum(axis=2, keepdims=True)
    found = weights.min(axis=2).argmax(axis=1)
    chosen = weights[np.arange(5), found].clip(0, None)
    chosen /= chosen.sum(axis=1, keepdims=True)
    return rows[found].astype(np.int32), chosen.astype(np.float32)


def _spread(model: MorphableModel) -> NDArray[np.int64]:
    """(400,) vertices of the face's skin."""
    topology = model.topology
    points = model.mean.astype(np.float64)
    marks = points[topology.landmarks]
    skin = _skin(model, marks)
    right = skin[points[skin, 0] >= -_MIDLINE]
    # Mirror images are the nearest vertices, of the half that the plane of symmetry leaves.
    left = skin[points[skin, 0] < -_MIDLINE]
    tree = cKDTree(points[left])
    _, nearest = tree.query(points[right] * (-1, 1, 1))
    partner = np.where(points[right, 0] <= _MIDLINE, -1, left[nearest])
    feature, _ = cKDTree(marks[17:]).query(points[right])
    density = 1 + _DENSER * np.exp(-((feature / _REACH) ** 2))
    distance, _ = cKDTree(marks).query(points[right])
    chosen: list[int] = []
    taken = set(topology.landmarks.tolist())
    score = distance * density
    while len(chosen) < SPREAD:
        # One place left has no room for a pair.
        allowed = score if len(chosen) < SPREAD - 1 else np.where(partner < 0, score, -1.0)
        row = int(np.argmax(allowed))
        pair = [int(right[row]), *([int(partner[row])] if partner[row] >= 0 else [])]
        score[row] = -1
        if taken.intersection(pair):
            continue
        chosen += pair
        taken.update(pair)
        score = np.minimum(score, np.linalg.norm(points[right] - points[right[row]], axis=1) * density)
    return np.array(chosen, np.int64)


def _skin(model: MorphableModel, marks: Float64) -> NDArray[np.int64]:
    """Vertices of the face that look forwards, between the contour of the jaw and the forehead; lips included."""
    topology = model.topology
    kept = [name in ("face", "lips") for name in topology.region_names]
    inside = np.unique(topology.triangles[np.array(kept)[topology.triangle_region]]).astype(np.int64)
    points = model.mean[inside].astype(np.float64)
    normal = vertex_normals(model.mean, topology.triangles.view(np.uint32))[inside]
    brows, nose = marks[17:27, 1].mean(), marks[27, 1] - marks[33, 1]
    height = points[:, 1]
    # Half width of the contour at each height; above its ends that of the ends, narrowing towards the hair.
    contour = marks[:17]
    half = np.interp(height, contour[8:, 1], contour[8:, 0])
    above = ((height - marks[16, 1]) / (brows + 0.75 * nose - marks[16, 1])).clip(0, 1)
    half = half * (1 - 0.45 * above**2)
    chosen = (height > marks[8, 1]) & (height < brows + 0.75 * nose) & (np.abs(points[:, 0]) < half)
    chosen &= normal[:, 2] > _FACING
    return inside[np.flatnonzero(chosen)]
