"""Kinds of background. All are drawn per face from its ``background_seed``, but for ``plain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from facegen.settings import Section
from facegen.stages.laws import ScalarLaw, Uniform

Level = Annotated[float, Field(ge=0, le=1)]
Grain = Annotated[float, Field(ge=0, le=0.2)]
SceneName = Literal["wall", "room", "shelves", "bricks", "curtain", "foliage", "landscape", "lights"]


class SoftBackground(Section):
    """Large soft patches of colour, drawn per face."""

    kind: Literal["soft"] = "soft"
    grain: Grain = 0.012
    """Standard deviation of the noise on top, on the 0 … 1 scale of sRGB; here and below."""


class PlainBackground(Section):
    """One colour for all faces."""

    kind: Literal["plain"] = "plain"
    colour: tuple[Level, Level, Level] = (0.0, 0.0, 0.0)
    """sRGB, 0 … 1."""


class GradientBackground(Section):
    """Two colours, mixed in linear light from one place to another: a studio's paper with a lamp on it."""

    kind: Literal["gradient"] = "gradient"
    shape: Literal["any", "linear", "radial"] = "any"
    """Along a direction or around a point, both drawn; ``any`` draws which."""
    grain: Grain = 0.006


class TextureBackground(Section):
    """A scene drawn by rules, out of focus."""

    kind: Literal["texture"] = "texture"
    scenes: dict[SceneName, Annotated[float, Field(ge=0)]] = Field(
        default={
            "wall": 0.15, "room": 0.25, "shelves": 0.12, "bricks": 0.1, "curtain": 0.08, "foliage": 0.12,
            "landscape": 0.1, "lights": 0.08,
        },
        validate_default=True,
    )  # fmt: skip
    """Relative frequency of what there is."""
    blur: ScalarLaw = Uniform(low=1.5, high=5)
    """Radius of the lens's disc of confusion, in percent of the image's height; at least 0.5."""
    grain: Grain = 0.008

    @field_validator("scenes")
    @classmethod
    def _some(cls, value: dict[SceneName, float]) -> dict[SceneName, float]:
        if sum(value.values()) <= 0:
            raise ValueError("'scenes' needs at least one scene of positive frequency")
        return value


class ImagesBackground(Section):
    """Random crops of the pictures in a folder."""

    kind: Literal["images"] = "images"
    folder: Path
    """Of PNG and JPEG files, each at least as large as the image; ``$NAME`` in it is an environment variable."""
    crop: ScalarLaw = Uniform(low=0.5, high=1)
    """Side of the crop, relative to the largest that fits; never so small that pixels would have to be invented."""
    blur: ScalarLaw = Uniform(low=0, high=2.5)
    """Radius of the lens's disc of confusion, in percent of the image's height; 0 for none."""


OneBackground = Annotated[
    SoftBackground | PlainBackground | GradientBackground | TextureBackground | ImagesBackground,
    Field(discriminator="kind"),
]


class BackgroundComponent(Section):
    """One part of a mixture."""

    weight: float = Field(gt=0)
    """Relative probability."""
    background: OneBackground
    """What is behind the faces that choose this part."""


class MixtureBackground(Section):
    """One of several kinds, chosen per face."""

    kind: Literal["mixture"] = "mixture"
    components: tuple[BackgroundComponent, ...] = Field(min_length=1)
    """The kinds and their weights."""


Background = Annotated[
    SoftBackground | PlainBackground | GradientBackground | TextureBackground | ImagesBackground | MixtureBackground,
    Field(discriminator="kind"),
]


def image_folders(background: Background) -> tuple[Path, ...]:
    """The folders that a background takes pictures from, in order."""
    if isinstance(background, MixtureBackground):
        return tuple(path for part in background.components for path in image_folders(part.background))
    return (background.folder,) if isinstance(background, ImagesBackground) else ()
