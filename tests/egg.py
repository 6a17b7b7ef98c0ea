"""The painted egg, a negative control: what looks like a face to a detector need not be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.model import MorphableModel

CENTRE = np.array([0.0, 5.0, 0.0])
SEMI_AXES = np.array([75.0, 118.0, 96.0])
"""mm: those of a head."""
RELIEF = 0.02
"""What is left of a vertex's height over the egg, so that lids stay before eyeballs and lips before teeth."""


def painted_egg(model: MorphableModel) -> MorphableModel:
    """The model wrapped onto an ellipsoid by direction: its connectivity and colours, one shape, no expressions."""
    mean = _wrapped(model.mean)
    return replace(
        model,
        name="egg",
        mean=mean,
        topology=replace(model.topology, reference=mean),
        identity_basis=np.zeros_like(model.identity_basis),
        expression_basis=np.zeros_like(model.expression_basis),
        occlusion=None if model.occlusion is None else np.ones_like(model.occlusion),
    )


def _wrapped(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    away = vertices - CENTRE
    # In units of the ellipsoid's radius in the vertex's direction.
    height = np.linalg.norm(away / SEMI_AXES, axis=1, keepdims=True)
    result: NDArray[np.float32] = (CENTRE + away / height * (1 + RELIEF * (height - 1))).astype(np.float32)
    return result
