"""The CUDA back-end: batches of faces of one model on an NVIDIA GPU, from vertices to pixels.

Labels are those of the CPU, bit for bit. Arrays that are on the GPU already, such as torch's, are read where they are,
and results can stay there: both speak ``__cuda_array_interface__``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
from facegen.stages.render.cuda_staging import Shape, StagedStream
from facegen.stages.render.decoding import DECODE_BLOCK
from facegen.stages.render.deferred import srgb_decoding, srgb_encoding
from facegen.stages.render.detail import DetailParts
from facegen.stages.render.renderer import Frame, Renderer, View, check_view
from facegen.stages.render.shading import light_polynomial
from facegen.stages.render.surface import surface_of

FACES = DECODE_BLOCK // 2
"""The most faces of a batch of :meth:`CudaRenderer.render_views`: what the stage decodes at once makes two."""

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
    light_position: Array
    """(B, M, 4) float32, camera frame, homogeneous."""
    light_colour: Array
    """(B, M, 3) float32, linear RGB."""
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
    """(B, M, V) float32, share of each light that reaches the vertices."""


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


@dataclass(frozen=True)
class _UnderWay:
    """A batch that was given to the GPU."""

    staged: StagedStream
    meshes: Sequence[CameraMesh]
    image: NDArray[np.uint8]
    """(B, H, W, 3), and likewise the others as in :class:`CudaFrames`: in page-locked memory of the stream."""
    triangle_id: NDArray[np.int32]
    barycentric: NDArray[np.uint16]

    def frames(self) -> list[Frame]:
        """Wait for the batch, and take it out of the stream's memory."""
        self.staged.wait()
        return [
            Frame(self.image[n].copy(), self.triangle_id[n].copy(), self.barycentric[n].copy(), mesh)
            for n, mesh in enumerate(self.meshes)
        ]


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
        # Without rows, for faces with textures and for those without.
        self._nothing = {
            "albedo": _device(np.zeros((0, topology.vertex_count, 3), np.float32)),
            "texture": _device(np.zeros((0, 1, 1, 3), np.uint8)),
        }
        self._buffers: dict[int, _Buffers] = {}
        self._staged: tuple[StagedStream, ...] = (StagedStream(), StagedStream())

    def render(self, view: View) -> Frame:
        """Render one face: as a batch of one.

        Raises:
            RenderError: when the arrays of ``view`` do not fit the model or the image size.
        """
        return self.render_views([view])[0]

    def render_views(self, views: Sequence[View]) -> list[Frame]:
        """Render faces in batches, of which one is copied to or from the GPU while the other is rendered.

        Faces whose textures, reliefs and lights have the same shapes share batches.

        Raises:
            RenderError: when the arrays of a view do not fit the model or the image size.
        """
        for view in views:
            check_view(view, self.model, self.height, self.width)
        frames: dict[int, Frame] = {}
        for places in _alike(views):
            frames.update(zip(places, self._render_alike([views[place] for place in places]), strict=True))
        return [frames[place] for place in range(len(views))]

    def render_batch(self, batch: CudaBatch) -> CudaFrames:
        """Render B faces on the default stream; what is on the GPU already is read there.

        Raises:
            RenderError: when an array has another shape than :class:`CudaBatch` says.
        """
        self._check_batch(batch)
        on_device = CudaBatch(**{field.name: _device(getattr(batch, field.name)) for field in fields(batch)})
        faces = batch.vertices.shape[0]
        if faces not in self._buffers:
            # Those of the last size are kept.
            self._buffers.clear()
            self._buffers[faces] = self._buffers_in(lambda _, shape, dtype: cuda.device_array(shape, dtype), faces)
        self._draw(on_device, self._buffers[faces], 0)
        return self._buffers[faces].frames

    def close(self) -> None:
        """Let go of the GPU's memory."""
        self._buffers.clear()
        self._staged = ()

    def _render_alike(self, views: Sequence[View]) -> list[Frame]:
        """Frames of views that can share a batch."""
        size = min(FACES, -(-len(views) // len(self._staged)))
        frames: list[Frame] = []
        under_way: deque[_UnderWay] = deque()
        for n, first in enumerate(range(0, len(views), size)):
            if len(under_way) == len(self._staged):
                frames += under_way.popleft().frames()
            under_way.append(self._begin(views[first : first + size], self._staged[n % len(self._staged)]))
        while under_way:
            frames += under_way.popleft().frames()
        return frames

    def _begin(self, views: Sequence[View], staged: StagedStream) -> _UnderWay:
        """Give a batch to the GPU, without waiting for what becomes of it."""
        # For copies of a batch that was given up halfway: what follows may let go of their memory.
        staged.wait()
        meshes = [
            CameraMesh.from_model(view.vertices, self.model.topology.triangles, view.extrinsics) for view in views
        ]
        faces = [self._face(view, mesh) for view, mesh in zip(views, meshes, strict=True)]
        sent = {name: staged.send(name, [face[name] for face in faces]) for name in faces[0]}
        batch = CudaBatch(**{**self._nothing, **sent})
        self._check_batch(batch)
        buffers = self._buffers_in(staged.room, len(views))
        self._draw(batch, buffers, staged.stream)
        drawn = buffers.frames
        return _UnderWay(
            staged,
            meshes,
            image=staged.fetch("image", drawn.image),
            triangle_id=staged.fetch("triangle_id", drawn.triangle_id),
            barycentric=staged.fetch("barycentric", drawn.barycentric),
        )

    def _draw(self, batch: CudaBatch, buffers: _Buffers, stream: Any) -> None:
        """Start the kernels that render a batch, all of which is on the GPU, on a stream."""
        faces, frames = batch.vertices.shape[0], buffers.frames
        rasterise_cuda(
            batch.vertices, self._triangles, batch.extrinsics, batch.intrinsics, batch.perspective,
            frames.camera, buffers.farthest, buffers.best, supersampled=True, stream=stream,
        )  # fmt: skip
        launch(
            vertex_normals, faces * self.model.topology.vertex_count,
            frames.camera, self._triangles, self._incident, buffers.normals, stream=stream,
        )  # fmt: skip
        pixels = faces * self.height * self.width
        launch(
            label, pixels, buffers.best, frames.camera, self._triangles, batch.intrinsics, batch.perspective,
            frames.triangle_id, frames.barycentric, stream=stream,
        )  # fmt: skip
        face = (
            frames.camera, buffers.normals, batch.perspective, batch.albedo, batch.texture, batch.relief, batch.fade,
            batch.iris, batch.polynomial, batch.light_position, batch.light_colour, batch.lit,
        )  # fmt: skip
        launch(
            shade_pixels, pixels, buffers.best, frames.triangle_id, frames.barycentric, batch.intrinsics,
            self._model, face, batch.background, self._encode, frames.image, stream=stream,
        )  # fmt: skip

    def _face(self, view: View, mesh: CameraMesh) -> dict[str, NDArray[Any]]:
        """A face's rows of :class:`CudaBatch`, without those that it does not need."""
        count, lights = self.model.topology.vertex_count, len(view.light_position)
        face: dict[str, NDArray[Any]] = {
            "vertices": view.vertices,
            "extrinsics": view.extrinsics,
            "intrinsics": view.intrinsics,
            "perspective": np.array(view.projection == PERSPECTIVE, np.uint8),
            "iris": view.iris_colour,
            "polynomial": light_polynomial(view.light_sh),
            "light_position": view.light_position,
            "light_colour": view.light_colour,
            "background": view.background,
            "lit": np.ones((lights, count), np.float32) if view.lit is None else view.lit,
        }
        if view.texture is None:
            assert view.albedo is not None  # check_view
            return {
                **face, "albedo": view.albedo, "relief": np.zeros((1, 1, 2), np.int8),
                "fade": np.array(0.0, np.float32),
            }  # fmt: skip
        detail = self._detail.of(view.texture, view.relief, mesh, view.intrinsics, view.projection)
        return {**face, "texture": detail.texture, "relief": detail.relief, "fade": np.array(detail.fade)}

    def _buffers_in(self, room: Callable[[str, Shape, Any], Array], faces: int) -> _Buffers:
        """What a batch of so many faces is rendered into, in memory from ``room`` by name, shape and type."""
        count, height, width = self.model.topology.vertex_count, self.height, self.width
        return _Buffers(
            frames=CudaFrames(
                image=room("image", (faces, height, width, 3), np.uint8),
                triangle_id=room("triangle_id", (faces, height, width), np.int32),
                barycentric=room("barycentric", (faces, height, width, 2), np.uint16),
                camera=room("camera", (faces, count, 3), np.float32),
            ),
            normals=room("normals", (faces, count, 3), np.float32),
            farthest=room("farthest", (faces,), np.float64),
            best=room("best", (faces, 2 * height + 1, 2 * width + 1), np.int64),
        )

    def _check_batch(self, batch: CudaBatch) -> None:
        faces, count = batch.vertices.shape[0], self.model.topology.vertex_count
        textured, lights = batch.texture.shape[0] > 0, batch.light_colour.shape[1]
        expected: dict[str, Sequence[int]] = {
            "vertices": (faces, count, 3), "extrinsics": (faces, 4, 4), "intrinsics": (faces, 3, 3),
            "perspective": (faces,), "iris": (faces, 3), "polynomial": (faces, 3, 10),
            "light_position": (faces, lights, 4), "light_colour": (faces, lights, 3), "lit": (faces, lights, count),
            "background": (faces, self.height, self.width, 3), "fade": (faces,),
            "albedo": (0 if textured else faces, count, 3),
        }  # fmt: skip
        for name, shape in expected.items():
            found = tuple(getattr(batch, name).shape)
            if found != tuple(shape):
                raise RenderError(f"{name} of shape {found}, expected {tuple(shape)}")
        if textured and {batch.texture.shape[0], batch.relief.shape[0]} != {faces}:
            raise RenderError(f"textures and reliefs of {faces} faces are needed, found {batch.texture.shape[0]}")


_NO_MESH = CameraMesh(np.zeros((1, 3), np.float32), np.zeros((0, 3), np.uint32))


def _alike(views: Sequence[View]) -> list[list[int]]:
    """Places of views in groups that can share a batch, in the order of their first."""
    groups: dict[object, list[int]] = {}
    for place, view in enumerate(views):
        shapes = tuple(None if array is None else array.shape for array in (view.texture, view.relief))
        groups.setdefault((len(view.light_position), *shapes), []).append(place)
    return list(groups.values())


def _device(array: Array) -> Array:
    """An array on the GPU: itself, seen through numba, or a copy of what is in the main memory."""
    if isinstance(array, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(array))
    # The simulator has arrays of its own only.
    return array if simulated() else cuda.as_cuda_array(array)
