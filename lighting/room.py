"""Light in a room: windows, lamps, and what walls, ceiling and floor throw back. Lengths in metres here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import luminance
from facegen.lighting.harmonics import even_directions, project_even
from facegen.lighting.light import METRE, Light

Float64 = NDArray[np.float64]

_DIRECTIONS = 256
"""Of the sphere, in which the walls are looked at."""


@dataclass(frozen=True)
class Emitters:
    """n windows and lamps; positions from the head."""

    position: Float64
    """(n, 3) of their middle."""
    intensity: Float64
    """(n, 3) linear RGB, of luminance in cd: along the normal, or to all sides."""
    normal: Float64
    """(n, 3) of a window: its cosine counts; (0, 0, 0) for lamps, which shine to all sides."""
    radius: Float64
    """(n,) of a disc of the window's area, of the lamp's shade."""

    def towards(self, place: Float64) -> tuple[Float64, Float64, Float64]:
        """From places (m, 3): unit vectors (m, n, 3) to the emitters, distances (m, n), intensities (m, n, 3)."""
        way = self.position - place[:, None]
        distance = np.linalg.norm(way, axis=2)
        way = way / np.maximum(distance, 1e-9)[..., None]
        is_lamp = (self.normal == 0).all(axis=1)
        cosine = np.where(is_lamp, 1.0, np.maximum(-(way * self.normal).sum(axis=2), 0))
        # What is near a disc sees less of it than a point of its intensity would give.
        near = np.where(is_lamp, 1.0, distance**2 / (distance**2 + self.radius**2))
        return way, distance, self.intensity * (cosine * near)[..., None]

    @property
    def flux(self) -> Float64:
        """(3,) lumen, of all."""
        lamps = (self.normal == 0).all(axis=1)
        return np.asarray((self.intensity * np.where(lamps, 4 * np.pi, np.pi)[:, None]).sum(axis=0))


@dataclass(frozen=True)
class Room:
    """A box around the head; walls along the axes of the frame."""

    low: Float64
    """(3,) its corner of least x, y, z, from the head."""
    high: Float64
    """(3,) the opposite corner."""
    reflectance: Float64
    """(3, 2, 3) linear RGB: of the two walls across x, of floor and ceiling, of the two walls across z."""

    @property
    def area(self) -> Float64:
        """(3, 2) m², by wall as in :attr:`reflectance`."""
        x, y, z = self.high - self.low
        return np.repeat([[y * z], [x * z], [x * y]], 2, axis=1)


def room_light(room: Room, emitters: Emitters, count: int) -> Light:
    """The light at the head, in lux / π: the ``count`` strongest emitters as lights, the rest as spherical harmonics.

    Walls are matte. What they get from the emitters themselves is computed where each direction meets them; what they
    get from each other is taken to be even, as in an integrating sphere: Φ r / (A (1 - r)) for a flux Φ, an area A and
    a mean reflectance r.
    """
    direction = even_directions(_DIRECTIONS)
    # The nearest wall along each direction.
    reach = np.where(direction > 0, room.high, room.low) / np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    axis = np.argmin(np.abs(reach), axis=1)
    row = np.arange(len(direction))
    place = direction * np.abs(reach[row, axis])[:, None]
    side = (direction[row, axis] > 0).astype(np.int64)
    inward = np.zeros_like(direction)
    inward[row, axis] = 1 - 2.0 * side
    way, distance, intensity = emitters.towards(place)
    facing = np.maximum(np.einsum("mnk,mk->mn", way, inward), 0)
    # A lamp's shade keeps it off the wall.
    direct = np.einsum("mnc,mn->mc", intensity, facing / (distance**2 + emitters.radius**2))
    area = room.area
    mean = np.einsum("ab,abc->c", area, room.reflectance) / area.sum()
    between = emitters.flux * mean / (area.sum() * (1 - mean))
    radiance = room.reflectance[axis, side] * (direct + between) / np.pi
    _, _, at_head = emitters.towards(np.zeros((1, 3)))
    everything = Light(
        sh=project_even(radiance),
        position=np.concatenate([emitters.position * METRE, np.ones((len(emitters.position), 1))], axis=1),
        colour=at_head[0] / np.pi,
        radius=emitters.radius * METRE,
    )
    return everything.strongest(count)


def paint(reflectance: float, rng: np.random.Generator) -> Float64:
    """Reflectances (3, 2, 3) of a room whose walls have the given mean; draws colours of paint, floor and ceiling."""
    tint = np.exp(0.05 * rng.standard_normal(3) * np.array([1.0, 0.5, 1.0]) + np.array([0.03, 0.0, -0.06]))
    wall = tint / luminance(tint) * np.exp(0.12 * rng.standard_normal((4, 1))) * reflectance
    wood = np.array([1.25, 0.95, 0.62]) * np.exp(0.1 * rng.standard_normal(3))
    floor = wood / luminance(wood) * rng.uniform(0.1, 0.4)
    ceiling = np.array([1.0, 0.99, 0.96]) * rng.uniform(0.6, 0.85)
    return np.stack([wall[:2], np.stack([floor, ceiling]), wall[2:]]).clip(0.02, 0.9)
