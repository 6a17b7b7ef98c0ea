"""Apple ARKit's 52 blendshape weights, and which of them drive a model's expressions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""``ARFaceAnchor.BlendShapeLocation``, in Apple's order."""

_SIDES = {"L": "Left", "R": "Right"}


def arkit_index(expression_names: Sequence[str]) -> NDArray[np.int32]:
    """Which ARKit weight drives each expression: ``expression = weights[:, arkit_index(names)]``.

    A suffix ``_L`` or ``_R`` stands for ``Left`` or ``Right``; where ARKit has one weight for both sides
    (``browInnerUp``, ``cheekPuff``) it drives both.

    Args:
        expression_names: names in ARKit's vocabulary, such as ICT-FaceKit's 53.

    Returns:
        (Ke,) int32 indices into :data:`ARKIT_NAMES`.

    Raises:
        ModelError: an expression that ARKit has no weight for.
    """
    return np.array([_index(name) for name in expression_names], np.int32).reshape(-1)


def _index(expression: str) -> int:
    match = re.fullmatch(r"(.*)_([LR])", expression)
    stem = match[1] if match else expression
    candidates = [stem + _SIDES[match[2]], stem] if match else [stem]
    for candidate in candidates:
        if candidate in ARKIT_NAMES:
            return ARKIT_NAMES.index(candidate)
    nearest = difflib.get_close_matches(candidates[0], ARKIT_NAMES, n=1)
    hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
    raise ModelError(f"the expression '{expression}' has no ARKit weight{hint}")
