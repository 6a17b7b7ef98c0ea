"""Where the eyeballs are and how large their irises: fitted to the model's own eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.model import Eyeball

CORNEA = np.radians(40.0)
"""The cornea's bulge ends well within this angle from the optical axis; the sphere is fitted to what is farther."""


def fit_eyeball(vertices: NDArray[np.int32], mean: NDArray[np.float32], iris_rim: NDArray[np.float32]) -> Eyeball:
    """The eyeball of a sclera mesh.

    Args:
        vertices: (n,) its vertices in the model.
        mean: (V, 3) the mean face, mm.
        iris_rim: (m, 3) points on the rim of the model's own iris, mm; their centre gives the optical axis.

    Returns:
        The centre is that of the least-squares sphere through the sclera without the cornea. The optical axis of
        ICT-FaceKit's eyes at rest points some 7° outwards, as a person's does who looks straight ahead (angle
        kappa), so a painted iris lies where the model's own is.
    """
    points = mean[vertices].astype(np.float64)
    pupil = iris_rim.astype(np.float64).mean(axis=0)
    centre = points.mean(axis=0)
    # The axis depends on the centre and the centre on which points are cornea; three rounds settle it.
    for _ in range(3):
        centre = _sphere_centre(points[_angle(points - centre, pupil - centre) > CORNEA])
    axis = (pupil - centre) / np.linalg.norm(pupil - centre)
    direction = (points - centre) / np.linalg.norm(points - centre, axis=1, keepdims=True)
    return Eyeball(
        vertices=vertices,
        centre=centre.astype(np.float32),
        direction=(direction @ _rotation_from_z(axis)).astype(np.float32),
        iris_angle=float(_angle(iris_rim - centre, axis).mean()),
    )


def _sphere_centre(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of the algebraic least-squares sphere: |p|² = 2 p·c + (r² − |c|²) is linear in the unknowns."""
    equations = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(equations, (points**2).sum(axis=1), rcond=None)
    centre: NDArray[np.float64] = solution[:3]
    return centre


def _angle(vectors: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) angles between vectors (n, 3) and an axis (3,), radians."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(axis)
    angles: NDArray[np.float64] = np.arccos(np.clip(vectors @ axis / lengths, -1.0, 1.0))
    return angles


def _rotation_from_z(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that takes +z to a unit axis (Rodrigues); its columns are the eye's axes."""
    x, y, z = axis
    k = 1.0 / (1.0 + z)
    return np.array([[1 - x * x * k, -x * y * k, x], [-x * y * k, 1 - y * y * k, y], [-x, -y, z]])
