"""The render stage: from samples to images, visibility buffers and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Renders, Samples
from facegen.imaging.landmarks import Landmarks, project_landmarks
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.shadows import ShadowCaster
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import level_for
from facegen.stages.render.backends import make_renderer
from facegen.stages.render.background import Backdrop
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.effects.camera import CameraEffects, Drawn
from facegen.stages.render.maps import AlbedoMaps
from facegen.stages.render.renderer import Frame, View

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
        self._backdrop = Backdrop(config.background, *config.height_width)
        topology = model.topology
        casts = config.shadows and self._renderer.draws_shadows
        self._shadows = ShadowCaster(topology.triangles.view(np.uint32), topology.vertex_count) if casts else None
        self._effects = CameraEffects(config.effects, *config.height_width)
        self._maps = None if config.maps is None else AlbedoMaps(model, config.maps.size)
        self._texels = TEXELS_PER_PIXEL * max(config.height_width) if self._renderer.draws_textures else None

    def render(self, samples: Samples) -> Renders:
        """Decode and render the faces of a batch; those that fail are marked, with their reason."""
        count = len(samples)
        height, width = self._config.height_width
        topology = self._model.topology
        landmark_count = len(topology.landmarks)
        drawn = self._effects.draw(samples.background_seed, samples.intrinsics)
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
            **self._empty_maps(count),
            **vars(drawn),
        )
        for rows in _aligned_blocks(samples.face):
            # Overflow is no reason to warn: such a face fails, with its reason.
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = decode_block(self._model, samples, rows, self._texels)
            for place, row in enumerate(rows):
                reason = self._render_face(samples, row, decoded, place, drawn, renders)
                renders.reason[row] = reason
                renders.valid[row] = not reason
            self._add_maps(samples, [row for row in rows if renders.valid[row]], renders)
        return renders

    def _empty_maps(self, count: int) -> dict[str, NDArray[Any]]:
        if self._config.maps is None:
            return {}
        size = self._config.maps.size
        return {
            "neutral": np.zeros((count, self._model.topology.vertex_count, 3), np.float32),
            "uv_albedo": np.zeros((count, size, size, 3), np.uint8),
            "uv_albedo_linear": np.zeros((count, size, size, 3), np.uint8),
        }

    def _add_maps(self, samples: Samples, rows: list[int], out: Renders) -> None:
        """Write what attribute maps need of faces that share one block."""
        if self._maps is None or not rows:
            return
        assert out.neutral is not None
        assert out.uv_albedo is not None
        assert out.uv_albedo_linear is not None
        out.neutral[rows] = decode_neutral(self._model, samples, rows)
        out.uv_albedo[rows] = self._maps.true(samples.albedo[rows], samples.iris_colour[rows])
        out.uv_albedo_linear[rows] = self._maps.linear(decode_colours(self._model, samples, rows))

    def _render_face(self, samples: Samples, row: int, decoded: Decoded, place: int, drawn: Drawn, out: Renders) -> str:
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
        seed = int(samples.background_seed[row])
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
            background=self._backdrop.draw(seed),
            texture=None if decoded.texture is None else decoded.texture[place],
            relief=None if decoded.relief is None else decoded.relief[place],
        )
        view = self._effects.before(drawn, row, view)
        if self._shadows is not None:
            mesh = CameraMesh.from_model(vertices, self._model.topology.triangles, view.extrinsics)
            radius = float(samples.light_radius[row])
            lit = self._shadows.visibility(mesh.vertices, mesh.normals, view.light_direction, radius)
            view = replace(view, lit=lit)
        frame = self._renderer.render(view)
        if frame.triangle_id.max() < 0:
            return "no part of the face is in the image"
        marks = landmarks_of(self._model, view, frame)
        out.vertices[row] = vertices
        out.image[row] = self._effects.after(drawn, row, seed, frame.image)
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
        "light_radius",
    ):
        if not np.isfinite(getattr(samples, name)[row]).all():
            return f"{name} is not finite"
    brightest = max(np.abs(samples.light_sh[row]).max(), np.abs(samples.light_colour[row]).max())
    return "" if brightest <= BRIGHTEST else f"the light is {brightest:.3g}, more than {BRIGHTEST:.0e}"


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
    block = _Block(samples, rows)
    offset = None if samples.offset is None else block.full(samples.offset)
    vertices = block.of(
        model.decode(
            block.full(samples.identity), block.full(samples.expression), block.full(samples.gaze), offset=offset
        )
    )
    if texels is None or not isinstance(model.albedo, TextureAlbedo):
        return Decoded(vertices, albedo=decode_colours(model, samples, rows))
    # These do not depend on the batch.
    albedo, expression, detail = samples.albedo[list(rows)], samples.expression[list(rows)], model.relief
    return Decoded(
        vertices,
        texture=model.albedo.decode_texture(albedo, level_for(model.albedo.sizes, texels)),
        relief=None if detail is None else detail.decode(albedo, expression, level_for(detail.sizes, texels)),
    )


def decode_neutral(model: MorphableModel, samples: Samples, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, V, 3) mm, model frame: the faces of a block without expression, their eyes straight ahead."""
    block = _Block(samples, rows)
    offset = None if samples.offset is None else block.full(samples.offset)
    still = np.zeros((DECODE_BLOCK, samples.expression.shape[1]), np.float32)
    return block.of(
        model.decode(block.full(samples.identity), still, np.zeros((DECODE_BLOCK, 2, 2), np.float32), offset=offset)
    )


def decode_colours(model: MorphableModel, samples: Samples, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, V, 3) linear RGB at the vertices of the faces of a block."""
    block = _Block(samples, rows)
    return block.of(model.decode_albedo(block.full(samples.albedo)))


class _Block:
    """Places of faces that share one block of :data:`DECODE_BLOCK`, each at its face number's."""

    def __init__(self, samples: Samples, rows: Sequence[int]) -> None:
        self._rows = list(rows)
        self._place = samples.face[self._rows] % DECODE_BLOCK

    def full(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(DECODE_BLOCK, …) the faces' rows of a batch's array at their places, zeros elsewhere."""
        block = np.zeros((DECODE_BLOCK, *values.shape[1:]), np.float32)
        block[self._place] = values[self._rows]
        return block

    def of(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, …) the faces' rows of a whole block."""
        return block[self._place]


def _aligned_blocks(face: NDArray[np.int64]) -> list[list[int]]:
    """Rows of the batch, grouped by the block their face number falls in."""
    blocks: dict[int, list[int]] = {}
    for row, number in enumerate(face):
        blocks.setdefault(int(number) // DECODE_BLOCK, []).append(row)
    return list(blocks.values())
