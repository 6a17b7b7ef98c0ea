"""What the shader knows of a model besides its shape: materials by region, eyes, ambient occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.occlusion import ambient_occlusion
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel

SKIN, EYE, WET, LASH, LIP = 0, 1, 2, 3, 4
"""Materials: skin (soft light, broad highlight), eye (painted iris, sharp highlight), wet (mouth: small highlight),
lash (no highlight), lip (skin with a sharper highlight; only with a texture, whose lips end where the region does)."""

_MATERIAL_OF_REGION = {
    "eyeball_left": EYE,
    "eyeball_right": EYE,
    "lashes": LASH,
    "teeth": WET,
    "gums": WET,
    "tongue": WET,
    "gums_and_tongue": WET,
    "mouth_socket": WET,
}


@dataclass(frozen=True)
class Surface:
    """Shading attributes of a model."""

    material: NDArray[np.uint8]
    """(T,) SKIN, EYE, WET, LASH or LIP."""
    eye_direction: NDArray[np.float32]
    """(V, 3) unit vector from the eyeball's centre in the eye's frame, +z its optical axis; 0 off the eyes."""
    iris_radius: float
    """Sine of the angle between the optical axis and the limbus."""
    occlusion: NDArray[np.float32]
    """(V,) share of the sky that a vertex sees, 0 … 1."""


def surface_of(model: MorphableModel) -> Surface:
    """The shading attributes of ``model``, whose occlusion is computed where it has none."""
    of_region = _MATERIAL_OF_REGION | ({"lips": LIP} if isinstance(model.albedo, TextureAlbedo) else {})
    material = np.array([of_region.get(name, SKIN) for name in model.topology.region_names], np.uint8)
    direction = np.zeros_like(model.mean)
    for eye in model.eyes:
        direction[eye.vertices] = eye.direction
    angle = float(np.mean([eye.iris_angle for eye in model.eyes])) if model.eyes else 0.5
    return Surface(material[model.topology.triangle_region], direction, float(np.sin(angle)), _occlusion(model))


def _occlusion(model: MorphableModel) -> NDArray[np.float32]:
    """The model's own, or that of the mean with its mouth half open, so that teeth are not black when it smiles."""
    if model.occlusion is not None:
        return model.occlusion
    expression = np.zeros((1, len(model.expression_names)), np.float32)
    if "jawOpen" in model.expression_names:
        expression[0, model.expression_names.index("jawOpen")] = 0.35
    vertices = model.decode(np.zeros((1, len(model.identity_names)), np.float32), expression)[0]
    return ambient_occlusion(vertices, model.topology.triangles)
