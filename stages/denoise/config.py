"""What the denoise stage can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from facegen.settings import Section


class DenoiserSection(Section):
    """What every denoiser of a group of coefficients is told."""

    weights: Literal["shipped"] | Path = "shipped"
    """Those that come with facegen, or a file that ``facegen train`` wrote; ``$NAME`` is an environment variable."""
    strength: float = Field(default=1.0, ge=0, le=1)
    """Share of the denoised coefficients in the blend with those drawn; 0 keeps what was drawn."""


class ConvolutionalDenoising(DenoiserSection):
    """The network of the manifold paper."""

    method: Literal["convolutional"] = "convolutional"


class GatedDenoising(DenoiserSection):
    """A network that sees which coefficients are out of range."""

    method: Literal["gated"] = "gated"


class PosteriorDenoising(DenoiserSection):
    """A diffusion model that draws possible faces. What is not said of its path is as the weights' card has it."""

    method: Literal["posterior"] = "posterior"
    start: float | None = Field(default=None, gt=0, le=1000)
    """Noise level to which a face is brought first, in spreads of the clean faces: more forgets more of it."""
    end: float | None = Field(default=None, gt=0, le=1000)
    """Noise level at which the path ends; what the network expects there is the answer."""
    heun_steps: int | None = Field(default=None, ge=2, le=1000)
    """Steps in between."""
    churn: float | None = Field(default=None, ge=0, le=1000)
    """Noise added anew on the way."""
    churn_below: float | None = Field(default=None, ge=0, le=1000)
    """Noise level below which that is done."""
    guidance: float | None = Field(default=None, ge=0, le=100)
    """Weight of what the conditions change; 1 neither stresses nor mutes it."""
    condition: dict[str, Annotated[float, Field(ge=-1, le=1)]] = Field(default={})
    """Condition → what is asked for, -1 … 1; the weights' card has the names."""


GroupDenoising = Annotated[
    ConvolutionalDenoising | GatedDenoising | PosteriorDenoising, Field(discriminator="method")
]  # fmt: skip


class DenoiseConfig(Section):
    """Which coefficients are denoised, and how. Without denoisers the stage does nothing."""

    identity: GroupDenoising | None = None
    """Denoiser of identity coefficients; ``null`` or ``off`` leaves them as drawn."""
    expression: GroupDenoising | None = None
    """Denoiser of expression coefficients, likewise. Eyelids follow a drawn gaze in any case."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the networks run. Each gives bytes of its own."""

    @field_validator("identity", "expression", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        # YAML 1.1 reads a bare off as false.
        return None if value is False or value == "off" else value

    @property
    def active(self) -> bool:
        """Whether any group is denoised."""
        return self.identity is not None or self.expression is not None
