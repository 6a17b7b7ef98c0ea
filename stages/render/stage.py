"""The render stage: from samples to images, visibility buffers and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Renders, Samples
from facegen.imaging.landmarks import Landmarks, project_landmarks
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import level_for
from facegen.stages.render.background import draw_background
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import Frame, Renderer, View

DECODE_BLOCK = 16
"""Faces decoded by one matrix product. Blocks are aligned to the face number and always full, so that a face's place in
the product, and with it the last bit of its vertices, does not depend on the shard."""

TEXELS_PER_PIXEL = 1.5
"""Least size of a texture, relative to the image's longer side: a face fills less of the atlas than of its portrait."""

BRIGHTEST = 1e6
"""Largest light that is rendered: 1 makes a white surface white, and much more overflows in float32."""

FARTHEST_VERTEX = 1e15
"""Largest coordinate of a vertex that is rendered, mm: squares of much larger ones overflow in float32."""


class RenderStage:
    """Renders batches of faces of one model. Holds the renderer: build once per process."""

    def __init__(self, config: RenderConfig, model: MorphableModel) -> None:
        self._config = config
        self._model = model
        self._renderer = make_renderer(config, model)
        self._texels = TEXELS_PER_PIXEL * max(config.height_width) if self._renderer.draws_textures else None

    def render(self, samples: Samples) -> Renders:
        """Decode and render the faces of a batch; those that fail are marked, with their reason."""
        count = len(samples)
        height, width = self._config.height_width
        topology = self._model.topology
        landmark_count = len(topology.landmarks)
        renders = Renders(
            face=samples.face,
            valid=np.zeros(count, np.bool_),
            reason=np.zeros(count, "U120"),
            vertices=np.zeros((count, topology.vertex_count, 3), np.float32),
            image=np.zeros((count, height, width, 3), np.uint8),
            triangle_id=np.full((count, height, width), -1, np.int32),
            barycentric=np.zeros((count, height, width, 2), np.uint16),
            landmarks_2d=np.zeros((count, landmark_count, 2), np.float32),
            landmarks_3d=np.zeros((count, landmark_count, 3), np.float32),
            landmark_visible=np.zeros((count, landmark_count), np.bool_),
        )
        for rows in _aligned_blocks(samples.face):
            # Overflow is no reason to warn: such a face fails, with its reason.
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = decode_block(self._model, samples, rows, self._texels)
            for place, row in enumerate(rows):
                reason = self._render_face(samples, row, decoded, place, renders)
                renders.reason[row] = reason
                renders.valid[row] = not reason
        return renders

    def _render_face(self, samples: Samples, row: int, decoded: Decoded, place: int, out: Renders) -> str:
        """Render into ``out`` at ``row`` what was decoded at ``place``; what went wrong, or an empty string."""
        reason = _unusable(samples, row)
        if reason:
            return reason
        vertices = decoded.vertices[place]
        if not np.isfinite(vertices).all():
            broken = int((~np.isfinite(vertices)).any(axis=1).sum())
            return f"{broken} of {len(vertices)} vertices are not finite"
        farthest = np.abs(vertices).max()
        if farthest > FARTHEST_VERTEX:
            return f"vertices are up to {farthest:.3g} mm from the origin, more than {FARTHEST_VERTEX:.0e}"
        # A texture is finite whatever the coefficients are.
        if not np.isfinite(samples.albedo[row] if decoded.albedo is None else decoded.albedo[place]).all():
            return "the albedo is not finite"
        height, width = self._config.height_width
        view = View(
            vertices=vertices,
            albedo=None if decoded.albedo is None else decoded.albedo[place],
            iris_colour=samples.iris_colour[row],
            projection=int(samples.projection[row]),
            intrinsics=samples.intrinsics[row],
            extrinsics=samples.extrinsics[row],
            light_sh=samples.light_sh[row],
            light_direction=samples.light_direction[row],
            light_colour=samples.light_colour[row],
            background=draw_background(self._config.background, int(samples.background_seed[row]), height, width),
            texture=None if decoded.texture is None else decoded.texture[place],
            relief=None if decoded.relief is None else decoded.relief[place],
        )
        frame = self._renderer.render(view)
        if frame.triangle_id.max() < 0:
            return "no part of the face is in the image"
        marks = landmarks_of(self._model, view, frame)
        out.vertices[row] = vertices
        out.image[row] = frame.image
        out.triangle_id[row] = frame.triangle_id
        out.barycentric[row] = frame.barycentric
        out.landmarks_2d[row] = marks.points_2d
        out.landmarks_3d[row] = marks.points_3d
        out.landmark_visible[row] = marks.visible
        return ""

    def close(self) -> None:
        """Release what the renderer holds."""
        self._renderer.close()


def _unusable(samples: Samples, row: int) -> str:
    """Why no renderer can be given a face's camera or light; empty when it can."""
    for name in (
        "iris_colour",
        "gaze",
        "pose",
        "intrinsics",
        "extrinsics",
        "light_sh",
        "light_direction",
        "light_colour",
    ):
        if not np.isfinite(getattr(samples, name)[row]).all():
            return f"{name} is not finite"
    brightest = max(np.abs(samples.light_sh[row]).max(), np.abs(samples.light_colour[row]).max())
    return "" if brightest <= BRIGHTEST else f"the light is {brightest:.3g}, more than {BRIGHTEST:.0e}"


def make_renderer(config: RenderConfig, model: MorphableModel) -> Renderer:
    """The back-end that the configuration names.

    Raises:
        RenderError: when it cannot work on this machine.
    """
    height, width = config.height_width
    if config.backend == "pyrender":
        from facegen.stages.render.pyrender_backend import PyrenderRenderer

        return PyrenderRenderer(model, height, width)
    return NumbaRenderer(model, height, width)


def landmarks_of(model: MorphableModel, view: View, frame: Frame) -> Landmarks:
    """The landmarks of a rendered view."""
    return project_landmarks(
        model.topology.landmarks,
        frame.mesh,
        frame.triangle_id,
        frame.barycentric,
        view.intrinsics,
        view.projection,
    )


@dataclass(frozen=True)
class Decoded:
    """What the coefficients of n faces make: their shape, and their albedo as vertex colours or as textures."""

    vertices: NDArray[np.float32]
    """(n, V, 3) model frame, mm."""
    albedo: NDArray[np.float32] | None = None
    """(n, V, 3) linear RGB reflectance."""
    texture: NDArray[np.uint8] | None = None
    """(n, S, S, 3) sRGB reflectance."""
    relief: NDArray[np.int8] | None = None
    """(n, S', S', 2) slopes times 64."""


def decode_block(model: MorphableModel, samples: Samples, rows: Sequence[int], texels: float | None = None) -> Decoded:
    """Decode faces that share one block of :data:`DECODE_BLOCK`.

    Args:
        model: the model.
        samples: a batch.
        rows: (n,) which of its faces.
        texels: texture of a model that has one: the least size that does; ``None`` for vertex colours.
    """
    place = samples.face[list(rows)] % DECODE_BLOCK

    def full(values: NDArray[np.float32]) -> NDArray[np.float32]:
        block = np.zeros((DECODE_BLOCK, *values.shape[1:]), np.float32)
        block[place] = values[list(rows)]
        return block

    offset = None if samples.offset is None else full(samples.offset)
    vertices = model.decode(full(samples.identity), full(samples.expression), full(samples.gaze), offset=offset)
    if texels is None or not isinstance(model.albedo, TextureAlbedo):
        return Decoded(vertices[place], albedo=model.decode_albedo(full(samples.albedo))[place])
    # These do not depend on the batch.
    albedo, expression, detail = samples.albedo[list(rows)], samples.expression[list(rows)], model.relief
    return Decoded(
        vertices[place],
        texture=model.albedo.decode_texture(albedo, level_for(model.albedo.sizes, texels)),
        relief=None if detail is None else detail.decode(albedo, expression, level_for(detail.sizes, texels)),
    )


def _aligned_blocks(face: NDArray[np.int64]) -> list[list[int]]:
    """Rows of the batch, grouped by the block their face number falls in."""
    blocks: dict[int, list[int]] = {}
    for row, number in enumerate(face):
        blocks.setdefault(int(number) // DECODE_BLOCK, []).append(row)
    return list(blocks.values())
