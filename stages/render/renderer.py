"""The interface that all rendering back-ends share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from facegen.errors import RenderError
from facegen.imaging.mesh import CameraMesh
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """One face as a renderer sees it. Frames and units as in :mod:`facegen.batch`."""

    vertices: Float
    """(V, 3) model frame, mm."""
    albedo: Float | None
    """(V, 3) linear RGB reflectance; ``None`` where a texture stands for it."""
    iris_colour: Float
    """(3,) linear RGB reflectance."""
    projection: int
    """PERSPECTIVE or SCALED_ORTHOGRAPHIC."""
    intrinsics: NDArray[np.float64]
    """(3, 3)."""
    extrinsics: NDArray[np.float64]
    """(4, 4) model frame to camera frame."""
    light_sh: Float
    """(9, 3) see :class:`facegen.batch.Samples`."""
    light_position: Float
    """(M, 4) of the lights, camera frame, homogeneous; likewise."""
    light_colour: Float
    """(M, 3) linear RGB."""
    background: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    texture: NDArray[np.uint8] | None = None
    """(S, S, 3) sRGB reflectance, see :class:`facegen.morphable.albedo.TextureAlbedo`."""
    relief: NDArray[np.int8] | None = None
    """(S', S', 2) slopes times 64, see :class:`facegen.morphable.relief.Relief`; only with a texture."""
    lit: Float | None = None
    """(M, V) share of each light that reaches the vertices, 0 … 1; ``None`` for all of it everywhere."""
    mesh: CameraMesh | None = None
    """The face in the camera frame, as ``vertices`` and ``extrinsics`` make it, where someone has needed it already."""


@dataclass(frozen=True)
class Frame:
    """What a renderer makes of a view: the image and the visibility buffer, from which every other channel follows."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB, anti-aliased."""
    triangle_id: NDArray[np.int32]
    """(H, W) triangle at the pixel's centre, -1 for the background."""
    barycentric: NDArray[np.uint16]
    """(H, W, 2) weights of corners 1 and 2, times 65535 (see :class:`facegen.batch.Renders`)."""
    mesh: CameraMesh
    """The face in the camera frame."""


class Renderer(ABC):
    """Renders faces of one model at one image size. One instance serves one thread."""

    name: ClassVar[str]
    draws_shadows: ClassVar[bool]
    """Whether it heeds which vertices the lights reach."""
    draws_textures: ClassVar[bool]
    """Whether it takes the colours of a model with a texture from that, instead of from the vertices."""

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        self.model = model
        self.height = height
        self.width = width

    @abstractmethod
    def render(self, view: View) -> Frame:
        """Render one face. The arrays of the result belong to the caller."""

    def render_views(self, views: Sequence[View]) -> list[Frame]:
        """Render many faces: what :meth:`render` makes of each, bit for bit, in their order."""
        return [self.render(view) for view in views]

    def close(self) -> None:  # noqa: B027 - most back-ends hold nothing
        """Release what the back-end holds outside Python's memory."""


def check_view(view: View, model: MorphableModel, height: int, width: int) -> None:
    """Refuse a view that a back-end which draws textures cannot draw.

    Raises:
        RenderError: its arrays do not fit the model or the image size.
    """
    count = model.topology.vertex_count
    if view.vertices.shape != (count, 3):
        raise RenderError(f"the model has {count} vertices, the view {view.vertices.shape[0]}")
    if view.texture is None:
        if view.albedo is None:
            raise RenderError("the view has neither albedo nor texture")
        if view.albedo.shape != (count, 3):
            raise RenderError(f"the model has {count} vertices, the view {view.albedo.shape[0]} colours")
    for name, array, depth, kind in (("texture", view.texture, 3, np.uint8), ("relief", view.relief, 2, np.int8)):
        if array is None:
            continue
        if array.ndim != 3 or not array.size or array.shape[2] != depth or array.dtype != kind:
            found = f"shape {array.shape} and type {array.dtype}"
            raise RenderError(f"{name} of {found}, expected (S, S, {depth}) and {kind.__name__}")
    check_lights(view, count)
    if view.relief is not None and view.texture is None:
        raise RenderError("the view has a relief but no texture")
    if view.background.shape != (height, width, 3):
        raise RenderError(f"background of shape {view.background.shape}, expected {(height, width, 3)}")


def check_lights(view: View, count: int) -> None:
    """Refuse lights that do not fit together, or a model of ``count`` vertices.

    Raises:
        RenderError: their arrays have other shapes than :class:`View` says, or a light is neither a point nor at
            infinity.
    """
    position, colour, lit = view.light_position, view.light_colour, view.lit
    if position.ndim != 2 or not len(position) or position.shape[1] != 4:
        raise RenderError(f"positions of lights of shape {position.shape}, expected (M, 4)")
    kinds = position[:, 3].tolist()
    if not {0.0, 1.0}.issuperset(kinds):
        raise RenderError(f"a light's position ends in {kinds}, expected 1 (a point) or 0 (at infinity)")
    if colour.shape != (len(position), 3):
        raise RenderError(f"colours of lights of shape {colour.shape}, expected {(len(position), 3)}")
    if lit is not None and lit.shape != (len(position), count):
        raise RenderError(f"shares of light of shape {lit.shape}, expected {(len(position), count)}")
