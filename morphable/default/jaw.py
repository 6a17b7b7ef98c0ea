"""How the mandible moves: rigidly, and with it the lower teeth and the tongue.

A blendshape is linear in its weight: what a motion displaces by d at weight 1 it displaces by w·d at weight w.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Float = NDArray[np.float64]


@dataclass(frozen=True)
class RigidMotion:
    """A rotation about a centre, then a translation; mm in the model frame."""

    rotation: Float
    """(3, 3)."""
    centre: Float
    """(3,)."""
    translation: Float
    """(3,)."""

    def displacement(self, points: Float) -> Float:
        """What points (n, 3) are displaced by at weight 1, (n, 3)."""
        arm = np.asarray(points, np.float64) - self.centre
        moved: Float = arm @ self.rotation.T - arm + self.translation
        return moved


TEMPOROMANDIBULAR_AXIS = np.array([0.0, -14.0, 6.0])
"""Midpoint between the two condyles."""


def jaw_motion(name: str) -> RigidMotion | None:
    """What an ARKit shape does to the mandible at weight 1; ``None`` where it leaves the mandible alone.

    Opening is a hinge rotation while the condyles glide forward and down the articular eminence, so that the chin
    goes down more than back (Okeson, "Management of Temporomandibular Disorders and Occlusion", ch. 4). Sideways the
    mandible turns about the condyle of the side it goes to.
    """
    return _MOTIONS.get(name)


def _motion(pitch: float, yaw: float, translation: tuple[float, float, float]) -> RigidMotion:
    """Degrees: ``pitch`` opens, ``yaw`` turns to the subject's left."""
    rotation = Rotation.from_euler("xy", [pitch, yaw], degrees=True).as_matrix()
    return RigidMotion(rotation, TEMPOROMANDIBULAR_AXIS, np.array(translation))


_MOTIONS = {
    "jawOpen": _motion(21.5, 0.0, (0.0, -6.0, 14.0)),
    "jawForward": _motion(0.0, 0.0, (0.0, -1.2, 5.5)),
    "jawLeft": _motion(0.0, 3.4, (1.8, -0.4, 0.6)),
    "jawRight": _motion(0.0, -3.4, (-1.8, -0.4, 0.6)),
}
