"""One thing beside the face: a mesh with colours, and what it counts as in the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.errors import RenderError
from facegen.imaging.occluders import FACE_MASK, GLASSES, HAIR, HAND, HAT, NONE, SUNGLASSES
from facegen.stages.render.surface import LASH, SKIN, WET

Float = NDArray[np.float32]

__all__ = [
    "FACE_MASK", "FLESH", "GLASSES", "GLOSSY", "HAIR", "HAND", "HAT", "MATTE", "NONE", "SUNGLASSES", "Thing", "joined",
]  # fmt: skip

MATTE, GLOSSY, FLESH = LASH, WET, SKIN
"""Materials of :mod:`facegen.stages.render.surface`, as things have them: cloth and hair, plastic and metal, skin."""


@dataclass(frozen=True)
class Thing:
    """A mesh of N vertices and M triangles, in the frame of the face's model, mm."""

    vertices: Float
    """(N, 3)."""
    triangles: NDArray[np.uint32]
    """(M, 3) vertex indices, counter-clockwise seen from outside: back faces are not drawn."""
    albedo: Float
    """(N, 3) linear RGB reflectance."""
    material: NDArray[np.uint8]
    """(M,) MATTE, GLOSSY or FLESH."""
    label: int
    """What it counts as, an index into :data:`~facegen.imaging.occluders.OCCLUDERS`; a clear lens is nothing, 0."""
    transmission: Float | None = None
    """(3,) share of the light that passes through, linear RGB; ``None`` for what is opaque."""

    def __post_init__(self) -> None:
        if not len(self.vertices) or not len(self.triangles):
            raise RenderError("a thing needs vertices and triangles")
        if int(self.triangles.max()) >= len(self.vertices):
            raise RenderError(f"a thing of {len(self.vertices)} vertices has a triangle with {self.triangles.max()}")


def joined(things: Sequence[Thing]) -> Thing:
    """One mesh of several opaque things of one label, in their order.

    Raises:
        RenderError: for no things, several labels, or anything that light passes through.
    """
    if len({thing.label for thing in things}) != 1:
        raise RenderError(f"one label is needed to join things, found {sorted({thing.label for thing in things})}")
    if any(thing.transmission is not None for thing in things):
        raise RenderError("only opaque things can be joined")
    first = np.cumsum([0, *(len(thing.vertices) for thing in things[:-1])])
    return Thing(
        np.concatenate([thing.vertices for thing in things]),
        np.concatenate([thing.triangles + np.uint32(n) for thing, n in zip(things, first, strict=True)]),
        np.concatenate([thing.albedo for thing in things]),
        np.concatenate([thing.material for thing in things]),
        things[0].label,
    )
