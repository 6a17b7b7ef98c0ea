"""What the compose stage can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from facegen.composition.composer import LIMIT
from facegen.settings import Section

Share = Annotated[float, Field(ge=0, le=1)]


class InterpolationConfig(Section):
    """Uniform law of how much of the other person a swapped part has."""

    low: Share = 1.0
    high: Share = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> InterpolationConfig:
        if self.low > self.high:
            raise ValueError(f"'low' is {self.low}, above 'high', {self.high}")
        return self


class ComposeConfig(Section):
    """Which parts of faces are swapped for those of other people. Without weights the stage does nothing."""

    weights: Literal["shipped"] | Path | None = None
    """Those that come with facegen, or a file that ``facegen train compose`` wrote; ``$NAME`` is an environment
    variable; ``null`` or ``off`` swaps nothing."""
    probability: Share = 0.5
    """Chance of each part of a person to be swapped."""
    parts: dict[str, Share] = Field(default={})
    """Part → its own chance; the weights' card has the names."""
    partners: Literal["each", "one"] = "each"
    """Whether each part is of a person of its own, or all are of one."""
    alpha: InterpolationConfig = InterpolationConfig()
    """How much of the other person: 1 swaps a part, less leaves it in between."""
    transfer: Literal["difference", "decode"] = "difference"
    """``difference`` adds to a face what the swap changes in the network's answer; ``decode`` takes that answer, and
    loses of the face what the network does not hold."""
    fit: bool = True
    """Fit size, place and pose of parts to each other."""
    smooth: bool = True
    """Smooth what the model cannot hold of a swap, for a network's answer is rougher than skin."""
    limit: Annotated[float, Field(gt=0)] | None = LIMIT
    """mm: the farthest that any vertex of its skin may be from the face of the model that comes nearest to it. Of a
    swap that leads farther only a share is done. ``null`` for no limit."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs. Each gives bytes of its own."""

    @field_validator("weights", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        # YAML 1.1 reads a bare off as false.
        return None if value is False or value == "off" else value

    @property
    def active(self) -> bool:
        """Whether parts are swapped."""
        return self.weights is not None
