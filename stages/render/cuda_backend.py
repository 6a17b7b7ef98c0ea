"""The CUDA back-end: batches of faces of one model on an NVIDIA GPU, from vertices to pixels.

Labels are those of the CPU, bit for bit. Arrays that are on the GPU already, such as torch's, are read where they are,
and results can stay there: both speak ``__cuda_array_interface__``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from facegen.batch import PERSPECTIVE
from facegen.errors import RenderError
from facegen.imaging.device_functions import cuda, launch
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.mesh_torch import incident_triangles
from facegen.imaging.rasterise_cuda import rasterise_cuda
from facegen.imaging.simulator import simulated
from facegen.morphable.model import MorphableModel
from facegen.stages.render import cuda_device
from facegen.stages.render.cuda_kernels import label, shade_pixels, vertex_normals
from facegen.stages.render.deferred import srgb_decoding, srgb_encoding
from facegen.stages.render.detail import DetailParts
from facegen.stages.render.renderer import Frame, Renderer, View, check_view
from facegen.stages.render.shading import light_polynomial
from facegen.stages.render.surface import surface_of

Array = Any
"""A NumPy array, or one on the GPU that has ``__cuda_array_interface__``."""


@dataclass(frozen=True)
class CudaBatch:
    """B faces to render; frames and units as in :mod:`facegen.batch`, memory in C order."""

    vertices: Array
    """(B, V, 3) float32, model frame, mm."""
    extrinsics: Array
    """(B, 4, 4) float64."""
    intrinsics: Array
    """(B, 3, 3) float64."""
    perspective: Array
    """(B,) uint8, 1 or 0 for scaled orthographic."""
    iris: Array
    """(B, 3) float32, linear RGB."""
    polynomial: Array
    """(B, 3, 10) float32, of :func:`facegen.stages.render.shading.light_polynomial`."""
    light_direction: Array
    """(B, 3) float32, camera frame."""
    light_colour: Array
    """(B, 3) float32, linear RGB."""
    background: Array
    """(B, H, W, 3) uint8, sRGB."""
    albedo: Array
    """(B, V, 3) float32, linear RGB; (0, V, 3) where textures stand for it."""
    texture: Array
    """(B, S, S, 3) uint8, sRGB; without rows for vertex colours."""
    relief: Array
    """(B, S', S', 2) int8, slopes times 64; a single texel of zeros for none."""
    fade: Array
    """(B,) float32, factor of the grain, see :class:`facegen.stages.render.detail.Detail`."""
    lit: Array
    """(B, V) float32, share of the directional light that reaches the vertices."""


@dataclass(frozen=True)
class CudaFrames:
    """What was rendered of B faces, on the GPU; ``torch.as_tensor(frames.image, device="cuda")`` copies nothing.

    The arrays are the renderer's: the next batch of the same size writes into them.
    """

    image: Array
    """(B, H, W, 3) uint8, sRGB."""
    triangle_id: Array
    """(B, H, W) int32."""
    barycentric: Array
    """(B, H, W, 2) uint16."""
    camera: Array
    """(B, V, 3) float32, camera frame, mm."""


@dataclass(frozen=True)
class _Buffers:
    """Arrays on the GPU for batches of one size."""

    frames: CudaFrames
    normals: Array
    farthest: Array
    best: Array


class CudaRenderer(Renderer):
    """Visibility, labels and image in kernels of numba.cuda.

    Args:
        model: the face model.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        RenderError: there is no GPU that numba can use; the message carries the remedy.
    """

    name: ClassVar[str] = "cuda"
    draws_shadows: ClassVar[bool] = True
    draws_textures: ClassVar[bool] = True

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        super().__init__(model, height, width)
        cuda_device.require()
        surface, topology = surface_of(model), model.topology
        self._detail = DetailParts(topology, model.relief)
        blank = self._detail.of(np.zeros((1, 1, 3), np.uint8), None, _NO_MESH, np.eye(3), PERSPECTIVE)
        incident = incident_triangles(topology.triangles, topology.vertex_count).numpy().astype(np.int32)
        self._triangles, self._incident = _device(topology.triangles), _device(incident)
        self._model = (
            self._triangles, _device(surface.material), _device(surface.occlusion),
            _device(surface.eye_direction[None]), np.float32(surface.iris_radius), _device(blank.corner_uv),
            _device(blank.micro), _device(blank.micro_strength), blank.micro_repeats, _device(srgb_decoding()),
        )  # fmt: skip
        self._encode = _device(srgb_encoding())
        self._buffers: dict[int, _Buffers] = {}

    def render(self, view: View) -> Frame:
        """Render one face; :meth:`render_batch` is the fast way.

        Raises:
            RenderError: when the arrays of ``view`` do not fit the model or the image size.
        """
        check_view(view, self.model, self.height, self.width)
        mesh = CameraMesh.from_model(view.vertices, self.model.topology.triangles, view.extrinsics)
        frames = self.render_batch(self._batch_of_one(view, mesh))
        return Frame(
            frames.image.copy_to_host()[0],
            frames.triangle_id.copy_to_host()[0],
            frames.barycentric.copy_to_host()[0],
            mesh,
        )

    def render_batch(self, batch: CudaBatch) -> CudaFrames:
        """Render B faces; what is on the GPU already is read there.

        Raises:
            RenderError: when an array has another shape than :class:`CudaBatch` says.
        """
        self._check_batch(batch)
        on_device = CudaBatch(**{field.name: _device(getattr(batch, field.name)) for field in fields(batch)})
        faces = batch.vertices.shape[0]
        buffers = self._buffers_for(faces)
        frames = buffers.frames
        rasterise_cuda(
            on_device.vertices, self._triangles, on_device.extrinsics, on_device.intrinsics, on_device.perspective,
            frames.camera, buffers.farthest, buffers.best, supersampled=True,
        )  # fmt: skip
        launch(
            vertex_normals, faces * self.model.topology.vertex_count,
            frames.camera, self._triangles, self._incident, buffers.normals,
        )  # fmt: skip
        pixels = faces * self.height * self.width
        launch(
            label, pixels, buffers.best, frames.camera, self._triangles, on_device.intrinsics, on_device.perspective,
            frames.triangle_id, frames.barycentric,
        )  # fmt: skip
        face = (
            frames.camera, buffers.normals, on_device.perspective, on_device.albedo, on_device.texture,
            on_device.relief, on_device.fade, on_device.iris, on_device.polynomial, on_device.light_direction,
            on_device.light_colour, on_device.lit,
        )  # fmt: skip
        launch(
            shade_pixels, pixels, buffers.best, frames.triangle_id, frames.barycentric, on_device.intrinsics,
            self._model, face, on_device.background, self._encode, frames.image,
        )  # fmt: skip
        return frames

    def close(self) -> None:
        """Let go of the GPU's memory."""
        self._buffers.clear()

    def _batch_of_one(self, view: View, mesh: CameraMesh) -> CudaBatch:
        count = self.model.topology.vertex_count
        texture, relief = np.zeros((0, 1, 1, 3), np.uint8), np.zeros((1, 1, 1, 2), np.int8)
        fade = np.float32(0.0)
        if view.texture is not None:
            detail = self._detail.of(view.texture, view.relief, mesh, view.intrinsics, view.projection)
            texture, relief, fade = detail.texture[None], detail.relief[None], detail.fade
        albedo = None if view.texture is not None else view.albedo
        return CudaBatch(
            vertices=view.vertices[None],
            extrinsics=view.extrinsics[None],
            intrinsics=view.intrinsics[None],
            perspective=np.array([view.projection == PERSPECTIVE], np.uint8),
            iris=view.iris_colour[None],
            polynomial=light_polynomial(view.light_sh)[None],
            light_direction=view.light_direction[None],
            light_colour=view.light_colour[None],
            background=view.background[None],
            albedo=np.zeros((0, count, 3), np.float32) if albedo is None else albedo[None],
            texture=texture,
            relief=relief,
            fade=np.array([fade], np.float32),
            lit=np.ones((1, count), np.float32) if view.lit is None else view.lit[None],
        )

    def _buffers_for(self, faces: int) -> _Buffers:
        """Those of the last size are kept."""
        if faces not in self._buffers:
            self._buffers.clear()
            count, height, width = self.model.topology.vertex_count, self.height, self.width
            self._buffers[faces] = _Buffers(
                frames=CudaFrames(
                    image=cuda.device_array((faces, height, width, 3), np.uint8),
                    triangle_id=cuda.device_array((faces, height, width), np.int32),
                    barycentric=cuda.device_array((faces, height, width, 2), np.uint16),
                    camera=cuda.device_array((faces, count, 3), np.float32),
                ),
                normals=cuda.device_array((faces, count, 3), np.float32),
                farthest=cuda.device_array(faces, np.float64),
                best=cuda.device_array((faces, 2 * height + 1, 2 * width + 1), np.int64),
            )
        return self._buffers[faces]

    def _check_batch(self, batch: CudaBatch) -> None:
        faces, count = batch.vertices.shape[0], self.model.topology.vertex_count
        textured = batch.texture.shape[0] > 0
        expected: dict[str, Sequence[int]] = {
            "vertices": (faces, count, 3), "extrinsics": (faces, 4, 4), "intrinsics": (faces, 3, 3),
            "perspective": (faces,), "iris": (faces, 3), "polynomial": (faces, 3, 10), "light_direction": (faces, 3),
            "light_colour": (faces, 3), "background": (faces, self.height, self.width, 3), "fade": (faces,),
            "lit": (faces, count),
            "albedo": (0 if textured else faces, count, 3),
        }  # fmt: skip
        for name, shape in expected.items():
            found = tuple(getattr(batch, name).shape)
            if found != tuple(shape):
                raise RenderError(f"{name} of shape {found}, expected {tuple(shape)}")
        if textured and {batch.texture.shape[0], batch.relief.shape[0]} != {faces}:
            raise RenderError(f"textures and reliefs of {faces} faces are needed, found {batch.texture.shape[0]}")


_NO_MESH = CameraMesh(np.zeros((1, 3), np.float32), np.zeros((0, 3), np.uint32))


def _device(array: Array) -> Array:
    """An array on the GPU: itself, seen through numba, or a copy of what is in the main memory."""
    if isinstance(array, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(array))
    # The simulator has arrays of its own only.
    return array if simulated() else cuda.as_cuda_array(array)
