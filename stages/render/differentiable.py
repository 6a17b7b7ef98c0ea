"""Rendering that can be trained through: gradients of the shading with respect to shape, colour, light and camera.

What is seen where comes from the visibility rule and has no gradient. For the pixels that show the face, barycentric
weights are computed anew from the vertices, perspective-correct, and with them all that is interpolated; the colours
follow by the formulas of the other back-ends. Edges are hard: a vertex moves what its triangles show, not their
outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.imaging.mesh_torch import to_camera, vertex_normals
from facegen.imaging.rasterise_torch import rasterise_torch
from facegen.imaging.visibility_torch import weights_on_plane
from facegen.morphable.model import MorphableModel
from facegen.stages.render.torch_scene import Points, Scene, SurfaceTensors, shade_points
from facegen.stages.render.torch_shading import light_polynomial


@dataclass(frozen=True)
class Cameras:
    """Cameras of B faces, frames and units as in :mod:`facegen.batch`."""

    intrinsics: Tensor
    """(B, 3, 3) pixels."""
    extrinsics: Tensor
    """(B, 4, 4) model frame to camera frame; the rotation within must be one."""
    perspective: Tensor
    """(B,) bool; the others are scaled orthographic."""


@dataclass(frozen=True)
class Lights:
    """Lights of B faces, camera frame, linear RGB; see :class:`facegen.batch.Samples`."""

    sh: Tensor
    """(B, 9, 3)."""
    position: Tensor
    """(B, M, 4) homogeneous: x, y, z mm and 1 of a point light; a unit vector towards it and 0 of one at infinity."""
    colour: Tensor
    """(B, M, 3)."""
    lit: Tensor | None = None
    """(B, M, V) share of each that reaches the vertices, as of :mod:`facegen.imaging.shadows`; ``None`` for all."""


@dataclass(frozen=True)
class Skin:
    """Colours of B faces, linear RGB reflectance: of the vertices or of a texture."""

    albedo: Tensor | None = None
    """(B, V, 3)."""
    texture: Tensor | None = None
    """(B, S, S, 3) row 0 at v = 1; :func:`facegen.stages.render.torch_shading.srgb_decoded` makes one of sRGB."""
    slopes: Tensor | None = None
    """(B, S', S', 2) of the relief, along growing u and v; only with a texture. Grain is not drawn."""
    iris: Tensor | None = None
    """(B, 3) reflectance of the irises; ``None`` for black."""


@dataclass(frozen=True)
class Picture:
    """What was rendered of B faces."""

    linear: Tensor
    """(B, H, W, 3) linear RGB, not clamped; 0 where the face is not seen."""
    mask: Tensor
    """(B, H, W) bool: whether the face is seen at the pixel's centre."""


class DifferentiableRenderer:
    """Renders batches of faces of one model at one image size, one sample a pixel.

    Args:
        model: the face model: its triangles, materials, eyes, occlusion and texture coordinates.
        height: of the image in pixels.
        width: of the image in pixels.
        device: of torch; all tensors that are handed in must be there.
        dtype: of all tensors that are not indices.
    """

    def __init__(
        self,
        model: MorphableModel,
        height: int,
        width: int,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.height = height
        self.width = width
        self.dtype = dtype
        self._surface = SurfaceTensors(model, torch.device(device), dtype)

    def visibility(self, vertices: Tensor, cameras: Cameras) -> Tensor:
        """Triangle numbers (B, H, W) int32 at the pixel centres, -1 for none: those of every other back-end.

        Args:
            vertices: (B, V, 3) model frame, mm.
            cameras: as everywhere here.
        """
        with torch.no_grad():
            camera = to_camera(vertices.to(torch.float32), cameras.extrinsics.to(torch.float64))
            triangle_id, _ = rasterise_torch(
                camera, self._surface.triangles, cameras.intrinsics.to(torch.float64), cameras.perspective,
                self.height, self.width,
            )  # fmt: skip
            return triangle_id

    def render(
        self,
        vertices: Tensor,
        cameras: Cameras,
        lights: Lights,
        skin: Skin,
        triangle_id: Tensor | None = None,
    ) -> Picture:
        """Render B faces, with gradients with respect to vertices, cameras, lights and skin.

        Args:
            vertices: (B, V, 3) model frame, mm.
            cameras: where from.
            lights: in what light.
            skin: of what colour.
            triangle_id: (B, H, W) what is seen where; ``None`` for :meth:`visibility`. A buffer of one step of a fit
                does for the next ones as long as the face hardly moves.

        Raises:
            ValueError: ``skin`` has not exactly one of albedo and texture.
        """
        if (skin.albedo is None) == (skin.texture is None):
            raise ValueError("the skin needs either an albedo or a texture")
        if triangle_id is None:
            triangle_id = self.visibility(vertices, cameras)
        mask = triangle_id >= 0
        face, row, column = torch.nonzero(mask, as_tuple=True)
        scene = self._scene(vertices, cameras, lights, skin)
        points = self._points(scene, cameras, face, triangle_id[mask].long(), row, column)
        linear = torch.zeros((*mask.shape, 3), dtype=self.dtype, device=mask.device)
        return Picture(linear.index_put((face, row, column), shade_points(self._surface, scene, points)), mask)

    def _scene(self, vertices: Tensor, cameras: Cameras, lights: Lights, skin: Skin) -> Scene:
        camera = to_camera(vertices, cameras.extrinsics)
        return Scene(
            vertices=camera,
            normals=vertex_normals(camera, self._surface.triangles, self._surface.incident),
            perspective=cameras.perspective,
            iris=torch.zeros_like(lights.colour[:, 0]) if skin.iris is None else skin.iris,
            polynomial=light_polynomial(lights.sh),
            light_position=lights.position,
            light_colour=lights.colour,
            albedo=skin.albedo,
            texture=skin.texture,
            slopes=skin.slopes,
            lit=lights.lit,
        )

    def _points(
        self, scene: Scene, cameras: Cameras, face: Tensor, triangle: Tensor, row: Tensor, column: Tensor
    ) -> Points:
        """Where the rays of the pixel centres meet their triangles' planes."""
        intrinsics = cameras.intrinsics[face]
        centre = torch.stack([column, row], dim=1).to(self.dtype) + 0.5
        focal = torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], dim=1)
        ray = (centre - intrinsics[:, :2, 2]) / focal
        corners = scene.vertices[face[:, None], self._surface.triangles[triangle]]
        # In float64, because the weights are small differences of large products.
        weights = weights_on_plane(corners.double(), ray.double(), cameras.perspective[face]).to(self.dtype)
        # Snapping lets a pixel see a triangle whose plane its ray meets just outside; at a grazing angle that is far.
        return Points(face, triangle, weights.clamp(0.0, 1.0), ray)
