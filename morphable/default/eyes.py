"""Eyeballs: a sphere with a cornea, which turns in the eyeLook shapes and moves with the lids from face to face."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from facegen.morphable.default.half import HalfHead, HalfPose, follow
from facegen.morphable.default.levels import Level
from facegen.morphable.default.network import EyeballShape
from facegen.morphable.default.parts import amounts

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

# Turns of the left eye to its own side (yaw) and up (pitch), in units of the look angle.
_LOOKS = {"eyeLookOut": (1, 0), "eyeLookIn": (-1, 0), "eyeLookUp": (0, 1), "eyeLookDown": (0, -1)}


def surface_radius(shape: EyeballShape, angle: Float) -> Float:
    """Distance of the eyeball's surface from its centre at angles from the optical axis, mm and radians.

    A sphere with a bulge that joins it smoothly at the rim of the cornea.
    """
    values = amounts("eyeball")
    inside = np.clip(1 - (angle / np.radians(values["cornea_angle"])) ** 2, 0, 1)
    radius: Float = shape.radius + values["cornea_height"] * inside**2
    return radius


class EyeballPart:
    """The left eyeball."""

    def __init__(self, half: HalfHead, shape: EyeballShape) -> None:
        values = amounts("eyeball")
        self.vertices, angle, azimuth = _polar(half.level, values["ring_angles"], values["cap_angle"])
        self.direction = np.stack(
            [np.sin(angle) * np.cos(azimuth), np.sin(angle) * np.sin(azimuth), np.cos(angle)], axis=1
        )
        """(k, 3) unit vectors in the eye's frame."""
        self._arm = surface_radius(shape, angle)[:, None] * self.direction
        self.rest = half.eyeball_centre + self._arm
        nothing = np.empty((len(self.vertices), 0))
        self.skin_share: scipy.sparse.csr_array = follow(half.level.count, nothing.astype(np.int64), nothing)
        self.eye_share = np.ones(len(self.vertices))

    def respond(self, pose: HalfPose) -> Float:
        """The eyeball turns with an eyeLook shape, and stays in all others."""
        if pose.name not in _LOOKS:
            return np.zeros_like(self.rest)
        yaw, pitch = amounts("eyeball")["look_angle"] * np.array(_LOOKS[pose.name])
        rotation = Rotation.from_euler("yx", [yaw, -pitch], degrees=True).as_matrix()
        turned: Float = self._arm @ rotation.T - self._arm
        return turned


def _polar(level: Level, ring_angles: list[float], cap_angle: float) -> tuple[Ints, Float, Float]:
    """Vertices, angles from the optical axis and azimuths."""
    grid, cap = level.grids["eyeball"][:, :-1], level.caps["eyeball"][:-1]
    rows, columns = grid.shape
    # Clockwise seen from the front, so that triangles face outwards.
    around = -2 * np.pi * np.arange(columns) / columns
    angles = [np.repeat(ring_angles, columns), np.full(len(cap), cap_angle), np.zeros(1)]
    azimuths = [np.tile(around, rows), around[:: columns // len(cap)], np.zeros(1)]
    vertices = np.concatenate([grid.ravel(), cap, [level.poles["eyeball"]]])
    return vertices, np.radians(np.concatenate(angles)), np.concatenate(azimuths)
