"""Kinds of light. Angles are degrees here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import Component, Constant, Gaussian, Mixture, ScalarLaw, Uniform

Lights = Annotated[int, Field(ge=1, le=4)]


class StudioLight(Section):
    """Spherical-harmonic light of order 2 and one directional light, as drawn."""

    kind: Literal["studio"] = "studio"
    ambient: ScalarLaw = Uniform(low=0.40, high=0.80)
    """Mean level of the spherical-harmonic light: a white surface shows this linear value."""
    gradient: ScalarLaw = Uniform(low=0.1, high=0.6)
    """Strength of its first order, relative to the level, in a random direction that favours above."""
    second_order: ScalarLaw = Uniform(low=0.0, high=0.12)
    """Standard deviation of its second order, relative to the level."""
    azimuth: ScalarLaw = Uniform(low=-75, high=75)
    """Of the directional light: degrees, from the camera towards the viewer's right."""
    elevation: ScalarLaw = Uniform(low=5, high=60)
    """Degrees above the camera's axis."""
    intensity: ScalarLaw = Uniform(low=0.35, high=1.0)
    """Linear value that the directional light alone gives a white surface facing it."""
    warmth: ScalarLaw = Gaussian(sigma=0.5)
    """Colour of the directional light from cool (-1) to warm (+1); the other light takes a third of it, reversed."""
    radius: ScalarLaw = Uniform(low=1.5, high=10)
    """Angular radius of the directional light, degrees: how soft its shadows are. The sun has a quarter of one, a
    window across the room 10 and more."""


class OutdoorLight(Section):
    """Sun and sky, what stands on the horizon, and the ground. The sun is a light that casts shadows."""

    kind: Literal["outdoor"] = "outdoor"
    azimuth: ScalarLaw = Uniform(width=130)
    """Of the sun: degrees, from the camera towards the viewer's right; 180 is behind the face."""
    elevation: ScalarLaw = Uniform(low=8, high=65)
    """Of the sun: degrees above the horizon, kept within 1 … 90. Lower suns are dimmer and redder."""
    turbidity: ScalarLaw = Uniform(low=2, high=5)
    """How hazy the air is, kept within 2 (very clear) … 8: haze makes the sun redder, larger and the sky white."""
    overcast: ScalarLaw = Mixture(
        components=(
            Component(weight=0.45, law=Constant(value=0)),
            Component(weight=0.3, law=Uniform(low=0.1, high=0.8)),
            Component(weight=0.25, law=Constant(value=1)),
        )
    )
    """How much of the sky is cloud, 0 … 1; the sun is dimmed by the square of what is left and its shadows soften."""
    shade: ScalarLaw = Mixture(
        components=(Component(weight=0.7, law=Constant(value=0)), Component(weight=0.3, law=Constant(value=1)))
    )
    """How much of the sun something blocks that the face stands behind, 0 … 1: in open shade the sky is its light."""
    skyline: ScalarLaw = Uniform(low=0, high=25)
    """Elevation up to which houses and trees hide the sky, degrees, kept within 0 … 60."""
    ground: ScalarLaw = Uniform(low=0.1, high=0.35)
    """Reflectance of the ground, kept within 0 … 0.9; its colour is drawn. Snow has 0.8."""
    exposure: ScalarLaw = Uniform(low=0.75, high=1.1)
    """Level of the whole light as the camera sees it: of the picture of a white ball at the face's place, the root of
    the mean square luminance. Here and below."""
    adaptation: ScalarLaw = Uniform(low=0.5, high=1)
    """Share of the light's cast that the camera's white balance removes, 0 … 1. Here and below."""


class IndoorLight(Section):
    """A room with one or two windows, lamps, and walls that throw light back."""

    kind: Literal["indoor"] = "indoor"
    azimuth: ScalarLaw = Uniform(width=150)
    """Of the window: degrees, from the camera towards the viewer's right; 180 is behind the face."""
    daylight: ScalarLaw = Mixture(
        components=(
            Component(weight=0.3, law=Constant(value=0)),
            Component(weight=0.35, law=Uniform(low=20, high=300)),
            Component(weight=0.35, law=Uniform(low=300, high=3000)),
        )
    )
    """Luminance of the windows, cd/m²: 0 at night, 300 on a dull evening, 3000 and more on a bright day."""
    lamps: Annotated[int, Field(ge=1, le=4)] = 2
    """How many there are, on the ceiling or standing, 0.5 m from the face and further."""
    brightness: ScalarLaw = Uniform(low=300, high=1200)
    """Of each lamp on the whole, lumen; single ones differ."""
    temperature: ScalarLaw = Uniform(low=2600, high=4500)
    """Colour of the lamps on the whole, K, kept within 1000 … 25000; single ones differ."""
    walls: ScalarLaw = Uniform(low=0.3, high=0.75)
    """Mean reflectance of the walls, kept within 0.05 … 0.85; colours of paint, floor and ceiling are drawn."""
    lights: Lights = 2
    """How many windows and lamps, the strongest at the face, cast shadows; the others are soft light."""
    exposure: ScalarLaw = Uniform(low=0.7, high=1.05)
    adaptation: ScalarLaw = Uniform(low=0.6, high=1)


class EnvironmentLight(Section):
    """Measured light: environment maps in a folder."""

    kind: Literal["environment"] = "environment"
    folder: Path
    """Of ``.hdr`` and ``.exr`` files, latitude-longitude maps twice as wide as high; ``$NAME`` in it is an environment
    variable."""
    rotation: ScalarLaw = Uniform(width=180)
    """About the vertical: degrees by which the map's middle is turned from the camera towards the viewer's right."""
    lights: Lights = 2
    """How many bright places of a map cast shadows, at most; the others are soft light."""
    exposure: ScalarLaw = Uniform(low=0.7, high=1.05)
    adaptation: ScalarLaw = Uniform(low=0, high=0.8)


OneLight = Annotated[StudioLight | OutdoorLight | IndoorLight | EnvironmentLight, Field(discriminator="kind")]


class LightComponent(Section):
    """One part of a mixture."""

    weight: float = Field(gt=0)
    """Relative probability."""
    light: OneLight
    """What lights the faces that choose this part."""


class MixtureLight(Section):
    """One of several kinds, chosen per face."""

    kind: Literal["mixture"] = "mixture"
    components: tuple[LightComponent, ...] = Field(min_length=1)
    """The kinds and their weights."""


LightConfig = Annotated[
    StudioLight | OutdoorLight | IndoorLight | EnvironmentLight | MixtureLight, Field(discriminator="kind")
]


def parts_of(light: LightConfig) -> tuple[OneLight, ...]:
    """The parts of a mixture, or the light itself."""
    return tuple(part.light for part in light.components) if isinstance(light, MixtureLight) else (light,)


def light_count(light: LightConfig) -> int:
    """How many lights every face has, beside the spherical harmonics: of a mixture, as many as any part needs."""
    return max(part.lights if isinstance(part, IndoorLight | EnvironmentLight) else 1 for part in parts_of(light))


def scalar_names(kind: type[Section]) -> tuple[str, ...]:
    """What is drawn by a law of one number in a kind of light, in order: what a grid may sweep."""
    return tuple(name for name, field in kind.model_fields.items() if field.annotation == _SCALAR)


_SCALAR = StudioLight.model_fields["ambient"].annotation


def environment_folders(light: LightConfig) -> tuple[Path, ...]:
    """The folders that a light takes environment maps from, in order."""
    return tuple(part.folder for part in parts_of(light) if isinstance(part, EnvironmentLight))
