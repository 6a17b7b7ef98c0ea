"""What the render stage can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section
from facegen.stages.render.backgrounds.config import Background, SoftBackground
from facegen.stages.render.effects.config import EffectsConfig
from facegen.stages.render.objects.config import ObjectsConfig

Pixels = Annotated[int, Field(ge=16, le=8192)]


class MapsConfig(Section):
    """Attribute maps: labels in texture space (see docs/labels.md)."""

    size: Pixels = 256
    """Texels a side."""


class RenderConfig(Section):
    """Image size, back-end, background."""

    size: Pixels | tuple[Pixels, Pixels] = 256
    """Pixels: one number for a square, or [height, width]."""
    backend: Literal["numba", "cuda", "torch", "pyrender", "auto"] = "numba"
    """``numba``: ours, on the CPU; ``cuda``: the same on an NVIDIA GPU; ``torch``: the same in torch, slower.
    ``pyrender``: OpenGL with pyrender's own shading. ``auto``: ``cuda`` on a GPU, else ``numba``; a run records which.
    """
    device: Literal["cpu", "cuda"] = "cpu"
    """What the torch back-end computes on."""
    background: Background = SoftBackground()
    """What is behind the face."""
    shadows: bool = True
    """Whether the face and things beside it keep lights from each other and themselves; not in pyrender's pictures."""
    objects: ObjectsConfig = ObjectsConfig()
    """Glasses, masks, hands, hats and hair, which may cover the face; none unless said."""
    effects: EffectsConfig = EffectsConfig()
    """What the camera does to the picture; nothing unless said."""
    maps: MapsConfig | None = None
    """What attribute maps need is stored only where this is set: the neutral face, and albedo maps of this size."""

    @property
    def height_width(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size
