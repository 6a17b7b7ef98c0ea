"""Shading of points on meshes in torch: what the torch back-end and the differentiable renderer share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.imaging.mesh_torch import incident_triangles
from facegen.morphable.model import MorphableModel
from facegen.morphable.relief import STEPS
from facegen.stages.render.surface import EYE, surface_of
from facegen.stages.render.torch_shading import (
    bilinear,
    eye_paint,
    from_around,
    from_light,
    grain,
    position_at,
    tilted,
    towards_light,
    towards_viewer,
    unit,
)


class SurfaceTensors:
    """What shading knows of a model, on a device.

    Args:
        model: the face model.
        device: of torch.
        dtype: of what is not an index.
    """

    def __init__(self, model: MorphableModel, device: torch.device, dtype: torch.dtype) -> None:
        surface, topology = surface_of(model), model.topology

        def floats(array: NDArray[np.generic]) -> Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        # Copied, because torch has no arrays that run backwards.
        self.triangles = torch.tensor(topology.triangles.copy(), dtype=torch.int64, device=device)
        """(T, 3)."""
        self.incident = incident_triangles(topology.triangles, topology.vertex_count).to(device)
        """(V, M) see :func:`facegen.imaging.mesh_torch.incident_triangles`."""
        self.material = torch.tensor(surface.material, dtype=torch.int64, device=device)
        """(T,) see :class:`facegen.stages.render.surface.Surface`, and so are the next three."""
        self.eye_direction = floats(surface.eye_direction)
        self.iris_radius = surface.iris_radius
        self.occlusion = floats(surface.occlusion)
        self.corner_uv = floats(topology.uv[topology.uv_triangles])
        """(T, 3, 2) texture coordinates of the corners."""
        relief = model.relief
        self.micro = None if relief is None else floats(relief.micro) / STEPS
        """(h, w, 2) slopes of the grain, and (h', w') ``micro_strength`` 0 … 1."""
        self.micro_strength = None if relief is None else floats(relief.micro_strength) / 255.0
        self.micro_repeats = 1.0 if relief is None else relief.micro_repeats


@dataclass(frozen=True)
class Scene:
    """B faces of one model, ready to be shaded; frames and units as in :mod:`facegen.batch`."""

    vertices: Tensor
    """(B, V, 3) camera frame, mm."""
    normals: Tensor
    """(B, V, 3) unit vectors, camera frame."""
    perspective: Tensor
    """(B,) bool."""
    iris: Tensor
    """(B, 3) linear RGB."""
    polynomial: Tensor
    """(B, 3, 10) of :func:`facegen.stages.render.torch_shading.light_polynomial`."""
    light_position: Tensor
    """(B, M, 4) of the lights, camera frame, homogeneous."""
    light_colour: Tensor
    """(B, M, 3) linear RGB."""
    albedo: Tensor | None = None
    """(B, V, 3) linear RGB; ``None`` where a texture stands for it."""
    texture: Tensor | None = None
    """(B, S, S, 3) linear RGB."""
    slopes: Tensor | None = None
    """(B, S', S', 2) of the relief, along growing u and v; only with a texture."""
    fade: Tensor | None = None
    """(B,) factor of the grain; ``None`` for none."""
    lit: Tensor | None = None
    """(B, M, V) share of each light that reaches the vertices; ``None`` for all."""


@dataclass(frozen=True)
class Points:
    """N points on the faces of a scene."""

    face: Tensor
    """(N,) int64, row of the scene."""
    triangle: Tensor
    """(N,) int64."""
    weights: Tensor
    """(N, 2) of the triangle's second and third corner."""
    ray: Tensor
    """(N, 2) see :func:`facegen.imaging.visibility.weights_on_ray`."""

    def __len__(self) -> int:
        return len(self.face)

    def __getitem__(self, rows: slice | Tensor) -> Points:
        return Points(self.face[rows], self.triangle[rows], self.weights[rows], self.ray[rows])


def shade_points(surface: SurfaceTensors, scene: Scene, points: Points) -> Tensor:
    """Linear RGB (N, 3) of points; has gradients with respect to everything in the scene and the points' weights."""
    face, triangle = points.face, points.triangle
    corner = surface.triangles[triangle]
    weights = torch.cat([1.0 - points.weights.sum(dim=1, keepdim=True), points.weights], dim=1)
    normal = _blend(scene.normals[face[:, None], corner], weights)
    material = surface.material[triangle]
    if scene.texture is not None:
        normal, albedo = _textured(surface, scene, points, normal, weights)
    else:
        assert scene.albedo is not None
        albedo = _blend(scene.albedo[face[:, None], corner], weights)
    eye = material == EYE
    if eye.any():
        direction = _blend(surface.eye_direction[corner[eye]], weights[eye])
        painted = eye_paint(direction, surface.iris_radius, scene.iris[face[eye]], albedo[eye])
        albedo = albedo.index_put((eye,), painted)
    # One row for all points of one face saves memory.
    owner = face if len(scene.vertices) > 1 else face[:1]
    normal, seen = unit(normal), _blend(surface.occlusion[corner][..., None], weights)[:, 0]
    perspective = scene.perspective[face]
    viewer = towards_viewer(points.ray, perspective)
    place = position_at(
        points.ray, _blend(scene.vertices[face[:, None], corner, 2:], weights)[:, 0], perspective
    )  # fmt: skip
    colour = from_around(normal, seen, albedo, scene.polynomial[owner])
    for m in range(scene.light_position.shape[1]):
        light, lit = towards_light(scene.light_position[owner, m], place)
        if scene.lit is not None:
            lit = lit * _blend(scene.lit[face[:, None], m, corner][..., None], weights)
        colour = colour + from_light(
            normal, seen, lit, albedo, viewer, material, light, scene.light_colour[owner, m]
        )  # fmt: skip
    return colour


def _blend(corners: Tensor, weights: Tensor) -> Tensor:
    """(N, C) from values (N, 3, C) at the corners."""
    a, b, c = corners.unbind(1)
    return weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c


def _textured(
    surface: SurfaceTensors, scene: Scene, points: Points, normal: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Normals with the relief and the grain in them, and albedo."""
    assert scene.texture is not None
    face = points.face
    corner_uv = surface.corner_uv[points.triangle]
    uv = _blend(corner_uv, weights)
    albedo = bilinear(scene.texture, face, uv)
    if scene.slopes is None:
        return normal, albedo
    slopes = bilinear(scene.slopes, face, uv)
    if scene.fade is not None:
        assert surface.micro is not None
        assert surface.micro_strength is not None
        grained = grain(surface.micro, surface.micro_strength, surface.micro_repeats, uv)
        slopes = slopes + scene.fade[face][:, None] * grained
    a, b, c = scene.vertices[face[:, None], surface.triangles[points.triangle]].unbind(1)
    a_uv, b_uv, c_uv = corner_uv.unbind(1)
    return tilted(normal, b - a, c - a, b_uv - a_uv, c_uv - a_uv, slopes), albedo
