"""Light under the open sky: sun, sky, what stands on the horizon, and the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import lamp_colour, luminance
from facegen.lighting.harmonics import even_directions, project_even
from facegen.lighting.light import Light
from facegen.lighting.sky import clear_illuminance, clear_sky, overcast_sky, sun_light

Float64 = NDArray[np.float64]

_DIRECTIONS = 512
"""Of the sphere, in which sky and ground are looked at."""

SUN_RADIUS = np.radians(0.27)
"""Angular radius of the sun's disc."""

_GLOW = np.radians(0.25)
"""By which the bright glow around the sun widens it, for each unit of turbidity above 2; our choice."""

_VEILED = np.radians(12.0)
"""Likewise for a sky that is all cloud."""


@dataclass(frozen=True)
class Outdoors:
    """A place under the sky; angles in radians."""

    azimuth: float
    """Of the sun, from the camera towards the viewer's right."""
    elevation: float
    """Of the sun above the horizon."""
    turbidity: float
    """2 for very clear air … 8 for haze."""
    overcast: float
    """0 … 1: how much of the sky is cloud. What is left of the sun falls with the square of what is left of the sky."""
    cloud_temperature: float
    """Of the light that cloud lets through, K."""
    shade: float
    """0 … 1: how much of the sun is blocked by something the face stands behind; it stays in the sky's light."""
    skyline: float
    """Elevation up to which houses or trees hide the sky, all around. The sun is above them or between them."""
    things: Float64
    """(3,) linear RGB reflectance of those."""
    ground: Float64
    """(3,) linear RGB reflectance of the ground."""


def outdoor_light(place: Outdoors) -> Light:
    """The light at a face, in the level frame, in klx / π: one light, the sun, the rest as spherical harmonics."""
    direction = even_directions(_DIRECTIONS)
    above = direction[: _DIRECTIONS // 2]
    up = above[:, 1]
    towards_sun = np.array(
        [
            np.sin(place.azimuth) * np.cos(place.elevation),
            np.sin(place.elevation),
            np.cos(place.azimuth) * np.cos(place.elevation),
        ]
    )
    open_share, patch = 1 - place.overcast, 4 * np.pi / _DIRECTIONS
    clear = clear_sky(up, above @ towards_sun, place.elevation, place.turbidity)
    sky = clear * (open_share * clear_illuminance(place.elevation) / (luminance(clear) @ up * patch))
    sky += place.overcast * overcast_sky(up, place.elevation, place.cloud_temperature)
    sun = open_share**2 * sun_light(place.elevation, place.turbidity)
    sun *= max(float(np.sin(place.elevation)), 0.0) > 0
    hidden = up < np.sin(place.skyline)
    visible = np.where(hidden[:, None], 0.0, sky)
    from_sky = up @ visible * patch
    # Some of the ground around a place in the shade is in the sun.
    on_ground = from_sky + sun * np.sin(place.elevation) * (1 - 0.7 * place.shade)
    ground = place.ground * on_ground / np.pi
    # An upright surface faces half of the sky, and on average a third of the sun that one facing it gets.
    things = place.things * (from_sky / 2 + sun * np.cos(place.elevation) / np.pi + np.pi * ground / 2) / np.pi
    radiance = np.concatenate([np.where(hidden[:, None], things, sky), np.tile(ground, (_DIRECTIONS // 2, 1))])
    radius = SUN_RADIUS + _GLOW * (place.turbidity - 2) + _VEILED * place.overcast
    return Light(
        sh=project_even(radiance),
        position=np.array([[*towards_sun, 0.0]]),
        colour=(sun * (1 - place.shade) / np.pi)[None],
        radius=np.array([radius]),
    )


_GROUNDS = np.array(
    [
        [1.02, 1.0, 0.96],  # pavement
        [1.15, 1.0, 0.76],  # earth, sand
        [0.88, 1.05, 0.62],  # grass
        [0.98, 1.0, 1.06],  # asphalt
    ]
)
"""Linear RGB of kinds of ground, to be brought to luminance 1; our choice."""


def surroundings(reflectance: float, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """Linear RGB reflectances (3,) of ground, of the given luminance, and of what stands around; draws colours."""
    ground = _GROUNDS[rng.integers(len(_GROUNDS))] * np.exp(0.04 * rng.standard_normal(3))
    things = lamp_colour(rng.uniform(4800, 7500)) * np.array([1.0, 1.0 + 0.06 * rng.random(), 1.0])
    share = rng.uniform(0.08, 0.3)
    return ground * (reflectance / luminance(ground)), things * (share / luminance(things))
