"""The render stage: from samples to images, visibility buffers and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Renders, Samples
from facegen.errors import RenderError
from facegen.imaging.landmarks import Landmarks, project_landmarks
from facegen.imaging.occluders import NONE, OCCLUDERS, seen_triangles
from facegen.morphable.model import MorphableModel
from facegen.stages.render.backends import make_renderer
from facegen.stages.render.background import Backdrop
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.decoding import Decoded, aligned_blocks, decode_block, decode_colours, decode_neutral
from facegen.stages.render.effects.camera import CameraEffects, Drawn
from facegen.stages.render.maps import AlbedoMaps
from facegen.stages.render.objects.compositor import Compositor, PlacedThing
from facegen.stages.render.objects.draw import Things
from facegen.stages.render.objects.thing import Thing
from facegen.stages.render.renderer import Frame, View
from facegen.stages.render.shadows import Shadows

TEXELS_PER_PIXEL = 1.5
"""Least size of a texture, relative to the image's longer side: a face fills less of the atlas than of its portrait."""

BRIGHTEST = 1e6
"""Largest light that is rendered: 1 makes a white surface white, and much more overflows in float32."""

FARTHEST_VERTEX = 1e15
"""Largest coordinate of a vertex that is rendered, mm: squares of much larger ones overflow in float32."""


@dataclass(frozen=True)
class _Scene:
    """What is in a picture of one face."""

    seed: int
    """Of its background, its things and its camera's effects."""
    view: View
    things: Sequence[PlacedThing]


class RenderStage:
    """Renders batches of faces of one model. Holds the renderer: build once per process."""

    def __init__(self, config: RenderConfig, model: MorphableModel) -> None:
        self._config = config
        self._model = model
        self._renderer = make_renderer(config, model)
        self._backdrop = Backdrop(config.background, *config.height_width)
        topology = model.topology
        casts = config.shadows and self._renderer.draws_shadows
        self._shadows = Shadows(model, *config.height_width) if casts else None
        self._things = Things(config.objects, model) if config.objects.any else None
        self._compositor = Compositor(topology, *config.height_width)
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
            **self._no_objects(count),
            **self._empty_maps(count),
            **vars(drawn),
        )
        for rows in aligned_blocks(samples.face):
            # Overflow is no reason to warn: such a face fails, with its reason.
            with np.errstate(over="ignore", invalid="ignore"):
                decoded = decode_block(self._model, samples, rows, self._texels)
            self._render_block(samples, rows, decoded, drawn, renders)
            self._add_maps(samples, [row for row in rows if renders.valid[row]], renders)
        return renders

    def _no_objects(self, count: int) -> dict[str, NDArray[Any]]:
        if self._things is None:
            return {}
        return {
            "occluder": np.zeros((count, *self._config.height_width), np.uint8),
            "object_present": np.zeros((count, len(OCCLUDERS) - 1), np.bool_),
        }

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

    def _render_block(self, samples: Samples, rows: list[int], decoded: Decoded, drawn: Drawn, out: Renders) -> None:
        """Render the faces of a block together, into ``out``; those that fail are left empty there, with a reason."""
        scenes: dict[int, _Scene] = {}
        for place, row in enumerate(rows):
            scene = self._scene(samples, row, decoded, place, drawn)
            if isinstance(scene, str):
                out.reason[row] = scene
            else:
                scenes[row] = scene
        frames = self._renderer.render_views([scene.view for scene in scenes.values()])
        for (row, scene), frame in zip(scenes.items(), frames, strict=True):
            if frame.triangle_id.max() < 0:
                out.reason[row] = "no part of the face is in the image"
            else:
                self._finish(row, scene, frame, drawn, out)

    def _scene(self, samples: Samples, row: int, decoded: Decoded, place: int, drawn: Drawn) -> _Scene | str:
        """The face in ``row``, decoded at ``place``, with the things and the shadows it has; or why there is none."""
        reason = _unusable(samples, row) or _undrawable(samples, row, decoded, place)
        if reason:
            return reason
        seed = int(samples.background_seed[row])
        view = View(
            vertices=decoded.vertices[place],
            albedo=None if decoded.albedo is None else decoded.albedo[place],
            iris_colour=samples.iris_colour[row],
            projection=int(samples.projection[row]),
            intrinsics=samples.intrinsics[row],
            extrinsics=samples.extrinsics[row],
            light_sh=samples.light_sh[row],
            light_position=samples.light_position[row],
            light_colour=samples.light_colour[row],
            background=self._backdrop.draw(seed),
            texture=None if decoded.texture is None else decoded.texture[place],
            relief=None if decoded.relief is None else decoded.relief[place],
        )
        view = self._effects.before(drawn, row, view)
        things: list[Thing] = []
        if self._things is not None:
            try:
                things = self._things.draw(seed, view.vertices, lambda: decode_colours(self._model, samples, [row])[0])
            except RenderError as error:
                return str(error)
        placed = [PlacedThing.of(thing, view.extrinsics, len(view.light_position)) for thing in things]
        if self._shadows is not None:
            view, placed = self._shadows.cast(view, samples.light_radius[row], placed)
        return _Scene(seed, view, placed)

    def _finish(self, row: int, scene: _Scene, frame: Frame, drawn: Drawn, out: Renders) -> None:
        """Write into ``out`` at ``row`` what follows from a rendered face."""
        picture = self._compositor.draw(frame, scene.view, scene.things)
        marks = landmarks_of(self._model, scene.view, frame, picture.occluder)
        if out.occluder is not None and out.object_present is not None:
            labels = [placed.thing.label for placed in scene.things]
            out.occluder[row] = picture.occluder
            out.object_present[row, [label - 1 for label in labels if label != NONE]] = True
        out.valid[row] = True
        out.vertices[row] = scene.view.vertices
        out.image[row] = self._effects.after(drawn, row, scene.seed, picture.image)
        out.triangle_id[row] = frame.triangle_id
        out.barycentric[row] = frame.barycentric
        out.landmarks_2d[row] = marks.points_2d
        out.landmarks_3d[row] = marks.points_3d
        out.landmark_visible[row] = marks.visible

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
        "light_position",
        "light_colour",
        "light_radius",
    ):
        if not np.isfinite(getattr(samples, name)[row]).all():
            return f"{name} is not finite"
    farthest = np.abs(samples.light_position[row]).max()
    if farthest > FARTHEST_VERTEX:
        return f"a light is {farthest:.3g} mm from the camera, more than {FARTHEST_VERTEX:.0e}"
    brightest = max(np.abs(samples.light_sh[row]).max(), np.abs(samples.light_colour[row]).max())
    return "" if brightest <= BRIGHTEST else f"the light is {brightest:.3g}, more than {BRIGHTEST:.0e}"


def _undrawable(samples: Samples, row: int, decoded: Decoded, place: int) -> str:
    """Why no renderer can be given the face that was decoded at ``place``; empty when it can."""
    vertices = decoded.vertices[place]
    if not np.isfinite(vertices).all():
        broken = int((~np.isfinite(vertices)).any(axis=1).sum())
        return f"{broken} of {len(vertices)} vertices are not finite"
    farthest = np.abs(vertices).max()
    if farthest > FARTHEST_VERTEX:
        return f"vertices are up to {farthest:.3g} mm from the origin, more than {FARTHEST_VERTEX:.0e}"
    # A texture is finite whatever the coefficients are.
    finite = np.isfinite(samples.albedo[row] if decoded.albedo is None else decoded.albedo[place]).all()
    return "" if finite else "the albedo is not finite"


def landmarks_of(
    model: MorphableModel, view: View, frame: Frame, occluder: NDArray[np.uint8] | None = None
) -> Landmarks:
    """The landmarks of a rendered view; those where ``occluder`` (H, W) covers the face are not visible."""
    return project_landmarks(
        model.topology.landmarks,
        frame.mesh,
        seen_triangles(frame.triangle_id, occluder),
        frame.barycentric,
        view.intrinsics,
        view.projection,
    )
