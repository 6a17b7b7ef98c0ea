"""Draws rooms: where a head is in one, its windows and lamps. Lengths are metres, the origin is the head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import daylight_colour, lamp_colour
from facegen.lighting.room import Emitters, Room, paint

Float64 = NDArray[np.float64]
Rng = np.random.Generator

_SECOND_WINDOW = 0.35
"""Share of the rooms that have another, in one of the walls beside the first."""

_NEAREST_LAMP = 0.5


def draw_room(drawn: Mapping[str, float], lamps: int, rng: Rng) -> tuple[Room, Emitters, float]:
    """A room whose first window is in the wall of greatest z, what shines in it, and that window's azimuth, radians.

    Args:
        drawn: ``daylight``, ``brightness``, ``temperature`` and ``walls`` of the configuration.
        lamps: how many.
        rng: draws all else.
    """
    low, high = _walls(rng)
    windows = [_window(2, 1, low, high, rng), _window(0, rng.choice([-1, 1]), low, high, rng)]
    windows = windows[: 2 if rng.random() < _SECOND_WINDOW else 1]
    area = np.array([window[2] for window in windows])
    sky = daylight_colour(rng.uniform(5500, 9000)) * np.clip(drawn["daylight"], 0, 1e5)
    places = np.array([_lamp(low, high, rng) for _ in range(lamps)])
    lumen = np.clip(drawn["brightness"], 1, 1e5) * np.exp(0.5 * rng.standard_normal(lamps))
    temperature = np.clip(drawn["temperature"], 1000, 25000) * np.exp(0.07 * rng.standard_normal(lamps))
    colours = np.array([lamp_colour(t) for t in temperature])
    emitters = Emitters(
        position=np.concatenate([[window[0] for window in windows], places]),
        intensity=np.concatenate([area[:, None] * sky, colours * (lumen / (4 * np.pi))[:, None]]),
        normal=np.concatenate([[window[1] for window in windows], np.zeros((lamps, 3))]),
        radius=np.concatenate([np.sqrt(area / np.pi), rng.uniform(0.05, 0.22, lamps)]),
    )
    room = Room(
        low=np.minimum(low, places.min(axis=0) - 0.1),
        high=np.maximum(high, places.max(axis=0) + 0.1),
        reflectance=paint(float(np.clip(drawn["walls"], 0.05, 0.85)), rng),
    )
    first = windows[0][0]
    return room, emitters, float(np.arctan2(first[0], first[2]))


def _walls(rng: Rng) -> tuple[Float64, Float64]:
    """Opposite corners (3,) of a room around a head that is sitting or standing in it."""
    wide, deep, tall = rng.uniform(2.8, 6.0), rng.uniform(3.0, 7.0), rng.uniform(2.4, 3.1)
    left, window, eyes = rng.uniform(0.6, wide - 0.6), rng.uniform(1.0, min(3.5, deep - 0.6)), rng.uniform(1.1, 1.75)
    return np.array([-left, -eyes, window - deep]), np.array([wide - left, tall - eyes, window])


def _window(axis: int, side: int, low: Float64, high: Float64, rng: Rng) -> tuple[Float64, Float64, float]:
    """Middle (3,), normal into the room (3,) and area, m², of a window in the wall at the end of an axis."""
    wide, tall, sill = rng.uniform(0.8, 2.2), rng.uniform(0.9, 1.5), rng.uniform(0.6, 0.95)
    along = 2 - axis
    room_for = max(high[along] - low[along] - wide, 0.0)
    middle, normal = np.empty(3), np.zeros(3)
    middle[along] = low[along] + min(wide, high[along] - low[along]) / 2 + rng.random() * room_for
    middle[1] = low[1] + sill + tall / 2
    middle[axis] = high[axis] if side > 0 else low[axis]
    normal[axis] = -side
    return middle, normal, wide * tall


def _lamp(low: Float64, high: Float64, rng: Rng) -> Float64:
    """Where (3,) a lamp hangs from the ceiling or stands, in the room and not too near."""
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2.6)
    hanging = rng.random() < 0.5
    up = high[1] - rng.uniform(0.05, 0.5) if hanging else low[1] + rng.uniform(0.5, 1.9)
    place = np.array([away * np.sin(angle), up, away * np.cos(angle)]).clip(low + 0.1, high - 0.1)
    return np.asarray(place * max(1.0, _NEAREST_LAMP / float(np.linalg.norm(place))))
