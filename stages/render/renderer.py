"""The interface that all rendering back-ends share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

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
    light_direction: Float
    """(3,) camera frame."""
    light_colour: Float
    """(3,) linear RGB."""
    background: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    texture: NDArray[np.uint8] | None = None
    """(S, S, 3) sRGB reflectance, see :class:`facegen.morphable.albedo.TextureAlbedo`."""
    relief: NDArray[np.int8] | None = None
    """(S', S', 2) slopes times 64, see :class:`facegen.morphable.relief.Relief`; only with a texture."""


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
    draws_textures: ClassVar[bool]
    """Whether it takes the colours of a model with a texture from that, instead of from the vertices."""

    def __init__(self, model: MorphableModel, height: int, width: int) -> None:
        self.model = model
        self.height = height
        self.width = width

    @abstractmethod
    def render(self, view: View) -> Frame:
        """Render one face. The arrays of the result belong to the caller."""

    def close(self) -> None:  # noqa: B027 - most back-ends hold nothing
        """Release what the back-end holds outside Python's memory."""
