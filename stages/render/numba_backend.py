"""The default renderer: one visibility pass and deferred shading on the CPU, compiled by numba, free of the GIL."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import Rasteriser
from facegen.morphable.model import MorphableModel
from facegen.stages.render.deferred import shade_surfaces, srgb_decoding, srgb_encoding
from facegen.stages.render.detail import DetailParts
from facegen.stages.render.edges import mark_edges, shade_edges
from facegen.stages.render.lanes import PACKED, pack_attributes
from facegen.stages.render.renderer import Frame, Renderer, View, check_view
from facegen.stages.render.shading import light_polynomial
from facegen.stages.render.surface import surface_of


class NumbaRenderer(Renderer):
    """One sample a pixel for the labels; pixels at edges get eight more for their colour (stages.render.shading)."""

    name: ClassVar[str] = "numba"
    draws_shadows: ClassVar[bool] = True
    draws_textures: ClassVar[bool] = True

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        super().__init__(model, height, width)
        self._surface = surface_of(model)
        self._detail = DetailParts(model.topology, model.relief)
        self._decode = srgb_decoding()
        self._encode = srgb_encoding()
        triangles, count = model.topology.triangles.view(np.uint32), model.topology.vertex_count
        self._rasteriser = Rasteriser(triangles, count, height, width)
        self._attributes = np.zeros((count, 0), np.float32)
        self._key = np.empty((height, width), np.float32)
        self._kind = np.empty((height, width), np.uint8)
        self._edge = np.empty((height, width), np.uint8)
        self._fine_triangle = np.empty((2 * height + 1, 2 * width + 1), np.int32)
        self._fine_key = np.empty((2 * height + 1, 2 * width + 1), np.float32)

    def render(self, view: View) -> Frame:
        """Render one face.

        Raises:
            RenderError: when the arrays of ``view`` do not fit the model or the image size.
        """
        check_view(view, self.model, self.height, self.width)
        mesh = view.mesh or CameraMesh.from_model(view.vertices, self.model.topology.triangles, view.extrinsics)
        surface = self._surface
        image = np.empty((self.height, self.width, 3), np.uint8)
        triangle_id = np.empty((self.height, self.width), np.int32)
        barycentric = np.empty((self.height, self.width, 2), np.uint16)
        rasteriser = self._rasteriser
        rasteriser.load(mesh.vertices, view.intrinsics, view.projection)
        rasteriser.fill(triangle_id, self._key, supersampled=False)
        mark_edges(triangle_id, self._key, surface.material, self._kind, self._edge)
        rasteriser.fill_near_edges(self._edge, self._fine_triangle, self._fine_key)
        textured = view.texture is not None
        lights, count = len(view.light_position), len(mesh.vertices)
        if self._attributes.shape[1] != PACKED + lights:
            self._attributes = np.zeros((count, PACKED + lights), np.float32)
        lit = np.ones((lights, count), np.float32) if view.lit is None else view.lit
        albedo = None if textured else view.albedo
        pack_attributes(mesh.normals_and_depths, surface.occlusion, lit, albedo, self._attributes)
        detail = None
        if view.texture is not None:
            detail = self._detail.of(view.texture, view.relief, mesh, view.intrinsics, view.projection)
        light = (
            light_polynomial(view.light_sh),
            view.light_position,
            view.light_colour,
            view.intrinsics,
            view.projection,
        )
        shade_surfaces(
            triangle_id, self._kind, self._edge, mesh.triangles, mesh.vertices, self._attributes, *light,
            view.background, self._decode, self._encode, detail, image, barycentric,
        )  # fmt: skip
        shade_edges(
            triangle_id, self._edge, self._fine_triangle, self._fine_key, mesh.triangles, mesh.vertices,
            self._attributes, surface.material, surface.eye_direction, np.float32(surface.iris_radius),
            view.iris_colour, *light, view.background, self._decode, self._encode, detail, image,
        )  # fmt: skip
        return Frame(image, triangle_id, barycentric, mesh)
