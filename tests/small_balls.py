"""Small models for renderers: a ball with texture coordinates, of skin or half an eye."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facegen.morphable.model import Eyeball, MorphableModel
from facegen.tests.scenes import sphere_model


def ball(rows: int = 6, columns: int = 9) -> MorphableModel:
    """A small sphere with texture coordinates, and an eye that looks out of it on one side."""
    model = sphere_model(rows, columns)
    direction = model.mean / np.linalg.norm(model.mean, axis=1, keepdims=True)
    uv = np.stack([np.arctan2(direction[:, 0], direction[:, 2]) / 7 + 0.5, direction[:, 1] / 2 + 0.5], axis=1)
    eye = Eyeball(np.arange(len(direction), dtype=np.int32), np.zeros(3, np.float32), direction, 0.9)
    return replace(
        model,
        topology=replace(model.topology, uv=uv.clip(0, 1).astype(np.float32)),
        occlusion=np.linspace(0.5, 0.9, len(direction), dtype=np.float32),
        eyes=(eye,),
    )


def with_eye(model: MorphableModel) -> MorphableModel:
    """Its right half is an eyeball."""
    topology = model.topology
    right = model.mean[topology.triangles, 0].mean(axis=1) > 0
    return replace(
        model,
        topology=replace(
            topology,
            triangle_region=(1 + right).astype(np.uint8),
            region_names=("background", "skin", "eyeball_left"),
        ),
    )
