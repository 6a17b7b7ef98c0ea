"""How lips, chin, cheeks and throat follow the mandible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.expression_fields import FaceFields, smoothstep
from facegen.morphable.default.jaw import RigidMotion, jaw_motion

Float = NDArray[np.float64]

CORNER_SHARE = 0.40
"""How much of the mandible's motion the mouth's corners follow."""
UPPER_SHARE = 0.0
"""… and the upper lip."""

_NARROWING = 0.11
"""Share by which an open mouth is narrower."""
_NAMED_OPEN = "jawOpen"


def jaw_field(motion: RigidMotion, name: str, fields: FaceFields, placed: Float) -> Float:
    """What a motion of the mandible does to the control points.

    Args:
        motion: the mandible's.
        name: of the shape.
        fields: of the network.
        placed: (2n, 3) the control points of the mean face, mm.

    Returns:
        (2n, 3) mm.
    """
    points = fields.points
    field = follows_jaw(fields)[:, None] * motion.displacement(placed)
    # Below the chin the skin has the neck behind it: it is pushed down rather than back.
    field[:, 2] *= smoothstep(-136, -108, points[:, 1])
    if name == _NAMED_OPEN:
        corner = fields.network.points[fields.network.names["cheilion"]]
        near = np.exp(-0.5 * (((np.abs(points[:, 0]) - corner[0]) / 11) ** 2 + ((points[:, 1] - corner[1]) / 14) ** 2))
        field[:, 0] -= near * fields.face * _NARROWING * points[:, 0]
    return field


def follows_jaw(fields: FaceFields) -> Float:
    """(2n,) share of the mandible's motion: 1 on chin and lower lip, smooth across the cheeks, fading down the neck."""
    # Tapered a little towards the corners: a plain ellipse looks like a box once the corners smile.
    parting = fields.parting * np.abs(fields.parting) ** 0.25
    share = CORNER_SHARE + (UPPER_SHARE - 1) / 2 * parting + ((UPPER_SHARE + 1) / 2 - CORNER_SHARE) * parting**2
    # Over the ramus skin glides on the bone; below the chin it stretches and folds down to the neck.
    return share * smoothstep(-25, 65, fields.points[:, 2]) * smoothstep(-162, -116, fields.points[:, 1])


def lip_closure(fields: FaceFields, placed: Float) -> Float:
    """(2n, 3) what closes the lips over an open jaw: the mandible's motion undone on them, less and less around."""
    motion = jaw_motion(_NAMED_OPEN)
    assert motion is not None
    opened = jaw_field(motion, _NAMED_OPEN, fields, placed)
    x, y = fields.points[:, 0], fields.points[:, 1]
    border = fields.network.points[fields.network.rows("lower_vermilion_border")]
    below = np.maximum(np.interp(np.abs(x), border[:, 0], border[:, 1]) - y, 0)
    share = np.exp(-0.5 * (below / 9) ** 2) * np.exp(-0.5 * (np.maximum(np.abs(x) - 22, 0) / 13) ** 2)
    closing: Float = -share[:, None] * opened
    return closing
