"""The 52 ARKit shapes of the default face as displacements of its control points.

Blendshapes are linear: a face at weights w is neutral + Σ w·d. What each shape means follows Apple's description of
``ARFaceAnchor.BlendShapeLocation`` and the facial action units behind them (Ekman, Friesen and Hager 2002); how far it
goes is set by eye and by what people reach. The amounts are in ``expression.yaml``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.default.expression_fields import FaceFields, smoothstep
from facegen.morphable.default.expression_jaw import jaw_field, lip_closure
from facegen.morphable.default.expression_lids import Eyelids
from facegen.morphable.default.identity import calibrated_points, eyeball_motion
from facegen.morphable.default.jaw import jaw_motion
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.default.tables import read_yaml

Float = NDArray[np.float64]

ONE_SIDED = 8.0
"""Half the width over which a shape of one side fades on the lips, mm to either side of the midline."""


def expression_displacements(network: ControlNetwork) -> dict[str, tuple[Float, Float]]:
    """Displacement at weight 1 of the control points of the left half and of the right one.

    Returns:
        By name in the order of :data:`facegen.morphable.arkit.ARKIT_NAMES`: (n, 3) each, mm, the right ones given as
        if they were on the left (:meth:`.network.ControlNetwork.mirrored`). A control point on the midline belongs
        to both halves; its displacement is the same in both. ``tongueOut`` moves no skin.
    """
    points = calibrated_points(network)
    fields = FaceFields(network)
    placed = network.mirrored(points)
    moved = np.einsum("anb,nb->a", eyeball_motion(network), points - network.points)
    lids = Eyelids(network, points, network.eyeball.centre + moved)
    table = read_yaml("expression.yaml")
    left: dict[str, Float] = {}
    for name in ARKIT_NAMES:
        if name.endswith("Right"):
            continue
        stem = name.removesuffix("Left")
        entry = table.get(name, table.get(stem, {}))
        left[name] = _shape(name, entry, fields, lids, placed)
    result: dict[str, tuple[Float, Float]] = {}
    n = network.count
    for name in ARKIT_NAMES:
        other = name.removesuffix("Right") + "Left"
        field = fields.mirrored(left[other]) if name.endswith("Right") else left[name]
        result[name] = (field[:n], field[n:] * (-1.0, 1.0, 1.0))
    return result


def _shape(name: str, entry: dict[str, Any], fields: FaceFields, lids: Eyelids, placed: Float) -> Float:
    """(2n, 3) the field of a shape of the left or of both sides."""
    sided = name.endswith("Left")
    around_eye = lids.follow(entry.get("lids", {})) + entry.get("closes", 0.0) * lids.close()
    lateral = np.concatenate([around_eye, np.zeros_like(around_eye)])
    central = np.zeros_like(lateral)
    for bump in entry.get("bumps", ()):
        (central if bump["at"][0] == 0 else lateral)[:] += fields.bump(bump)
    field: Float = lateral + central if sided else lateral + fields.mirrored(lateral) + central
    share = smoothstep(-ONE_SIDED, ONE_SIDED, fields.points[:, 0])[:, None] if sided else 1.0
    for lip in entry.get("lips", ()):
        field += share * fields.lip(lip)
    motion = jaw_motion(name)
    if motion is not None:
        field += jaw_field(motion, name, fields, placed)
    if name == "mouthClose":
        field += lip_closure(fields, placed)
    return field
