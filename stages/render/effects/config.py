"""What a camera may do to a picture. Each effect is off unless it is named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import Gaussian, ScalarLaw, Uniform

Probability = Annotated[float, Field(ge=0, le=1)]


class Crop(Section):
    """Another frame of the same scene: the camera's intrinsics change, so every label follows exactly."""

    probability: Probability = 1.0
    """Of a face to have it; here and below."""
    x: ScalarLaw = Uniform(width=0.04)
    """How far the face moves to the right, in widths of the image."""
    y: ScalarLaw = Uniform(width=0.04)
    """How far it moves down, in heights."""
    scale: ScalarLaw = Uniform(low=0.92, high=1.08)
    """How many times larger it is, about the centre of the image."""


class Exposure(Section):
    """More or less light, in the scene and behind it."""

    probability: Probability = 1.0
    stops: ScalarLaw = Gaussian(sigma=0.4)
    """One stop more is twice the light."""


class WhiteBalance(Section):
    """A camera that takes another colour for white; the luminance of white stays."""

    probability: Probability = 1.0
    warmth: ScalarLaw = Gaussian(sigma=0.25)
    """Stops by which red gains on blue."""
    tint: ScalarLaw = Gaussian(sigma=0.06)
    """Stops by which red and blue gain on green."""


class Blur(Section):
    """A lens that is slightly out of focus, as a Gaussian in linear light."""

    probability: Probability = 1.0
    sigma: ScalarLaw = Uniform(low=0.3, high=1.0)
    """Pixels."""


class Motion(Section):
    """A camera that moves while the shutter is open: the average along a segment, in linear light."""

    probability: Probability = 0.2
    length: ScalarLaw = Uniform(low=1, high=5)
    """Of the segment, pixels."""
    angle: ScalarLaw = Uniform(low=0, high=180)
    """Degrees, from the image's x axis towards its y axis."""


class Noise(Section):
    """Of a sensor: Gaussian in linear light, of variance ``read² + shot² · light``, cut to what a sensor can hold."""

    probability: Probability = 1.0
    shot: ScalarLaw = Uniform(low=0.005, high=0.03)
    """Standard deviation that the arrival of photons has at full white (linear light 1)."""
    read: ScalarLaw = Uniform(low=0.0005, high=0.004)
    """Standard deviation in the dark."""


class Jpeg(Section):
    """A picture that was stored as JPEG."""

    probability: Probability = 1.0
    quality: ScalarLaw = Uniform(low=50, high=95)
    """1 … 100, as libjpeg counts; rounded."""
    chroma: Literal["4:4:4", "4:2:0"] = "4:2:0"
    """Whether colour is kept at every pixel or, as most cameras do, at every other one."""


class EffectsConfig(Section):
    """Effects of a camera, in the order in which light meets them; their labels are in the dataset's group effects."""

    crop: Crop | None = None
    exposure: Exposure | None = None
    white_balance: WhiteBalance | None = None
    blur: Blur | None = None
    motion: Motion | None = None
    noise: Noise | None = None
    jpeg: Jpeg | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are on."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)
