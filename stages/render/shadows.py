"""Shadows of a picture: what the lights of a view reach of the face, and of the things beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.in_view import may_be_seen
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.shadows import Body, ShadowCaster, edge_lengths
from facegen.morphable.model import MorphableModel
from facegen.stages.render.objects.compositor import PlacedThing
from facegen.stages.render.renderer import View


class Shadows:
    """Casts the shadows of views of one model, of one image size."""

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        self._triangles = model.topology.triangles.view(np.uint32)
        self._height, self._width = height, width
        self._caster = ShadowCaster(self._triangles, model.topology.vertex_count)
        # Of the mean: how far apart vertices are differs little from face to face.
        self._spacing = edge_lengths(model.mean, self._triangles)

    def cast(
        self, view: View, radius: NDArray[np.float32], things: Sequence[PlacedThing]
    ) -> tuple[View, list[PlacedThing]]:
        """The view and the things, with what their lights (M,) of size ``radius`` reach; clear things cast nothing."""
        mesh = CameraMesh.from_model(view.vertices, self._triangles, view.extrinsics)
        face = Body(mesh, self._spacing, self._seen(mesh, view))
        others = [
            Body(
                placed.mesh, edge_lengths(placed.mesh.vertices, placed.mesh.triangles), self._seen(placed.mesh, view),
                casts=placed.thing.transmission is None,
            )
            for placed in things
        ]  # fmt: skip
        lit, *on_things = self._caster.reached(view.light_position, view.light_colour, radius, face, others)
        reached = [replace(placed, lit=share) for placed, share in zip(things, on_things, strict=True)]
        return replace(view, lit=lit, mesh=mesh), reached

    def _seen(self, mesh: CameraMesh, view: View) -> NDArray[np.bool_]:
        seen: NDArray[np.bool_] = may_be_seen(
            mesh.vertices, mesh.triangles, view.intrinsics, view.projection, self._height, self._width
        )
        return seen
