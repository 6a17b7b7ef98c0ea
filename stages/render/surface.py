"""What the shader knows of a model besides its shape: materials by region, eyes, ambient occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.model import MorphableModel

SKIN, EYE, WET = 0, 1, 2
"""Materials: skin (soft light, broad highlight), eye (painted iris, sharp highlight), wet (mouth: small highlight)."""

_MATERIAL_OF_REGION = {
    "eyeball_left": EYE,
    "eyeball_right": EYE,
    "teeth": WET,
    "gums_and_tongue": WET,
    "mouth_socket": WET,
}


@dataclass(frozen=True)
class Surface:
    """Shading attributes of a model."""

    material: NDArray[np.uint8]
    """(T,) SKIN, EYE or WET."""
    eye_direction: NDArray[np.float32]
    """(V, 3) unit vector from the eyeball's centre in the eye's frame, +z its optical axis; 0 off the eyes."""
    iris_radius: float
    """Sine of the angle between the optical axis and the limbus."""
    occlusion: NDArray[np.float32]
    """(V,) share of the sky that a vertex sees, 0 … 1."""


def surface_of(model: MorphableModel, occlusion: NDArray[np.float32]) -> Surface:
    """The shading attributes of ``model``; ``occlusion`` comes from :mod:`facegen.stages.render.occlusion`."""
    names = model.topology.region_names
    material = np.array([_MATERIAL_OF_REGION.get(name, SKIN) for name in names], np.uint8)
    direction = np.zeros_like(model.mean)
    for eye in model.eyes:
        direction[eye.vertices] = eye.direction
    angle = float(np.mean([eye.iris_angle for eye in model.eyes])) if model.eyes else 0.5
    return Surface(material[model.topology.triangle_region], direction, float(np.sin(angle)), occlusion)
