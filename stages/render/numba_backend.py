"""The default renderer: one visibility pass and deferred shading on the CPU, compiled by numba, free of the GIL."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from facegen.errors import RenderError
from facegen.imaging.camera import to_camera
from facegen.imaging.normals import vertex_normals
from facegen.imaging.rasterise import RasterScratch, fill_visibility
from facegen.morphable.model import MorphableModel
from facegen.stages.render.occlusion import ambient_occlusion
from facegen.stages.render.renderer import Frame, Renderer, View
from facegen.stages.render.shading import light_polynomial, pack_attributes, shade_image, srgb_decoding, srgb_encoding
from facegen.stages.render.surface import surface_of


class NumbaRenderer(Renderer):
    """Rasterises once at four samples a pixel; labels are the samples at the pixel centres (see imaging.rasterise)."""

    name: ClassVar[str] = "numba"

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        super().__init__(model, height, width)
        self._surface = surface_of(model, ambient_occlusion(model))
        self._decode = srgb_decoding()
        self._encode = srgb_encoding()
        self._scratch = RasterScratch(model.topology.vertex_count)
        self._attributes = np.zeros((model.topology.vertex_count, 8), np.float32)
        self._grid_triangle = np.empty((2 * height + 1, 2 * width + 1), np.int32)
        self._grid_key = np.empty((2 * height + 1, 2 * width + 1), np.float32)

    def render(self, view: View) -> Frame:
        """Render one face.

        Raises:
            RenderError: when the arrays of ``view`` do not fit the model or the image size.
        """
        count = self.model.topology.vertex_count
        if view.vertices.shape != (count, 3) or view.albedo.shape != (count, 3):
            raise RenderError(
                f"the model has {count} vertices, the view {view.vertices.shape[0]} and {view.albedo.shape[0]} colours"
            )
        if view.background.shape != (self.height, self.width, 3):
            raise RenderError(f"background of shape {view.background.shape}, expected {(self.height, self.width, 3)}")
        triangles = self.model.topology.triangles
        camera = to_camera(view.vertices, view.extrinsics)
        fill_visibility(
            camera, triangles, view.intrinsics, view.projection, True,
            self._scratch.screen, self._scratch.key, self._grid_triangle, self._grid_key,
        )  # fmt: skip
        image = np.empty((self.height, self.width, 3), np.uint8)
        triangle_id = np.empty((self.height, self.width), np.int32)
        barycentric = np.empty((self.height, self.width, 2), np.uint16)
        surface = self._surface
        normals = vertex_normals(camera, triangles)
        pack_attributes(normals, surface.occlusion, view.albedo, self._attributes)
        shade_image(
            self._grid_triangle, self._grid_key, triangles, camera, self._attributes, surface.material,
            surface.eye_direction, np.float32(surface.iris_radius), view.iris_colour,
            light_polynomial(view.light_sh), view.light_direction, view.light_colour,
            view.intrinsics, view.projection, view.background, self._decode, self._encode,
            image, triangle_id, barycentric,
        )  # fmt: skip
        return Frame(image, triangle_id, barycentric)
