"""What the render stage can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section

Pixels = Annotated[int, Field(ge=16, le=8192)]
Level = Annotated[float, Field(ge=0, le=1)]


class SoftBackground(Section):
    """Large soft patches of colour, drawn per face."""

    kind: Literal["soft"] = "soft"
    grain: float = Field(default=0.012, ge=0, le=0.2)
    """Standard deviation of the noise on top, on the 0 … 1 scale."""


class PlainBackground(Section):
    """One colour for all faces."""

    kind: Literal["plain"] = "plain"
    colour: tuple[Level, Level, Level] = (0.0, 0.0, 0.0)
    """sRGB, 0 … 1."""


class RenderConfig(Section):
    """Image size, back-end, background."""

    size: Pixels | tuple[Pixels, Pixels] = 256
    """Pixels: one number for a square, or [height, width]."""
    backend: Literal["numba", "pyrender"] = "numba"
    """``numba``: ours, on the CPU. ``pyrender``: OpenGL with pyrender's own shading."""
    background: Annotated[SoftBackground | PlainBackground, Field(discriminator="kind")] = SoftBackground()
    """What is behind the face."""

    @property
    def height_width(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size
