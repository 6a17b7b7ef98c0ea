"""A view of the embedded model that renderers are compared on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.stages.render.renderer import View
from facegen.tests.default_model import people, weights


def portrait(model: MorphableModel, projection: int, *, textured: bool, size: int, angle: float = 0.5) -> View:
    """A smiling person of the embedded model, half in profile, in two lights; with relief, when textured."""
    identity = people(model, 1, 7)
    expression = weights(model, mouthSmile=0.8, jawOpen=0.3)
    albedo = np.linspace(-1, 1, len(model.albedo_names), dtype=np.float32)[None]
    focal = size * 600.0 / 300.0 if projection == PERSPECTIVE else size / 300.0
    rng = np.random.default_rng(1)
    direction = np.array([0.6, -0.5, -0.6, 0.0]) / np.linalg.norm([0.6, -0.5, -0.6])
    view = View(
        vertices=model.decode(identity, expression)[0],
        albedo=model.decode_albedo(albedo)[0],
        iris_colour=np.array([0.1, 0.3, 0.5], np.float32),
        projection=projection,
        intrinsics=np.array([[focal, 0.0, size / 2 + 3.3], [0.0, focal, size / 2 - 1.7], [0.0, 0.0, 1.0]]),
        extrinsics=extrinsic_matrices(
            head_rotation(np.array([angle]), np.array([0.2]), np.array([-0.1])),
            np.zeros((1, 3)), model.mean.mean(axis=0).astype(np.float64), np.array([600.0]),
        )[0],
        light_sh=(np.array([[2.0]] + 8 * [[0.2]]) * rng.uniform(0.3, 1.0, (9, 3))).astype(np.float32),
        light_position=np.array([direction, [-120.0, 40.0, 420.0, 1.0]], np.float32),
        light_colour=np.array([[0.9, 0.8, 0.7], [0.01, 0.02, 0.03]], np.float32),
        background=rng.integers(0, 256, (size, size, 3), np.uint8),
        lit=rng.random((2, len(model.mean)), np.float32),
    )  # fmt: skip
    if not textured:
        return view
    assert model.relief is not None
    assert isinstance(model.albedo, TextureAlbedo)
    return replace(
        view,
        albedo=None,
        texture=model.albedo.decode_texture(albedo, model.albedo.sizes[1])[0],
        relief=model.relief.decode(albedo, expression, model.relief.sizes[1])[0],
    )
