"""Cameras and head pose: model frame to camera frame to pixels (frames and units in :mod:`facegen.batch`)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE

Float64 = NDArray[np.float64]

NEAR = 10.0
"""Distance of the near plane, mm: what is closer to the centre of projection is clipped away."""


def head_rotation(yaw: Float64, pitch: Float64, roll: Float64) -> Float64:
    """Rotation matrices (B, 3, 3) of head poses, model frame to world frame (same axes, head turned).

    Positive yaw turns the face towards the subject's left, positive pitch raises the chin, positive roll tilts the
    crown towards the subject's right. Order: roll first, then pitch, then yaw (``Ry(yaw) Rx(-pitch) Rz(roll)``).

    Args:
        yaw: (B,) radians; so are ``pitch`` and ``roll``.
    """
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(-pitch), np.sin(-pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    zero, one = np.zeros_like(cy), np.ones_like(cy)
    about_y = _matrix([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    about_x = _matrix([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    about_z = _matrix([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    rotation: Float64 = np.einsum("bij,bjk,bkl->bil", about_y, about_x, about_z)
    return rotation


def _matrix(rows: list[list[Float64]]) -> Float64:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def extrinsic_matrices(rotation: Float64, translation: Float64, pivot: Float64, distance: Float64) -> Float64:
    """Model-to-camera matrices (B, 4, 4) for a camera that looks along -z at a head that turns about a pivot.

    Args:
        rotation: (B, 3, 3) head rotation.
        translation: (B, 3) mm, of the head in the world.
        pivot: (3,) mm, model frame: the point about which the head turns and which the camera faces.
        distance: (B,) mm from the centre of projection to the pivot, before the translation.
    """
    # World to camera: y and z change sign (OpenCV looks along +z, y down).
    flip = np.diag([1.0, -1.0, -1.0])
    result = np.tile(np.eye(4), (len(rotation), 1, 1))
    result[:, :3, :3] = np.einsum("ij,bjk->bik", flip, rotation)
    offset = translation - np.einsum("bij,j->bi", rotation, pivot)
    result[:, :3, 3] = np.einsum("ij,bj->bi", flip, offset)
    result[:, 2, 3] += distance
    return result


@numba.njit(cache=True, nogil=True, boundscheck=False)
def to_camera(vertices: NDArray[np.float32], extrinsics: Float64) -> NDArray[np.float32]:
    """Vertices (V, 3) in the camera frame, float32 mm, from the model frame; computed in float64."""
    result = np.empty_like(vertices)
    r, t = extrinsics[:3, :3], extrinsics[:3, 3]
    r00, r01, r02, t0 = r[0, 0], r[0, 1], r[0, 2], t[0]
    r10, r11, r12, t1 = r[1, 0], r[1, 1], r[1, 2], t[1]
    r20, r21, r22, t2 = r[2, 0], r[2, 1], r[2, 2], t[2]
    # Flat, because a row length that the compiler does not know keeps the loop from vector registers.
    before, after = vertices.reshape(-1), result.reshape(-1)
    for i in range(vertices.shape[0]):
        x, y, z = np.float64(before[3 * i]), np.float64(before[3 * i + 1]), np.float64(before[3 * i + 2])
        after[3 * i] = r00 * x + r01 * y + r02 * z + t0
        after[3 * i + 1] = r10 * x + r11 * y + r12 * z + t1
        after[3 * i + 2] = r20 * x + r21 * y + r22 * z + t2
    return result


def project(points: NDArray[np.floating], intrinsics: Float64, projection: int) -> Float64:
    """Pixels (..., 2) of points (..., 3) in the camera frame.

    Args:
        points: mm; those of perspective cameras must lie in front of the camera to have a meaning.
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
    """
    points = np.asarray(points, dtype=np.float64)
    scale = 1.0 / points[..., 2:3] if projection == PERSPECTIVE else 1.0
    flat: Float64 = points[..., :2] * scale * np.array([intrinsics[0, 0], intrinsics[1, 1]])
    return flat + intrinsics[:2, 2]
