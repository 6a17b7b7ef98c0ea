"""Environment maps as light: what a latitude-longitude picture of all that is around sends to its middle.

The map's rows run from the zenith to the nadir. Its middle is what the face looks at (+z of the level frame: it lies
behind the camera), and its columns run as the face sees them, towards the viewer's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import luminance
from facegen.lighting.harmonics import project
from facegen.lighting.light import Light

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

WORKING_HEIGHT = 512
"""Rows that larger maps are reduced to: a third of a degree each."""

_CELL = 16
"""Side of the squares in which the brightest place is sought, in rows of a map of :data:`WORKING_HEIGHT`."""

_REACH = np.radians(25.0)
"""Angular radius within which bright places are one light: what is larger is soft enough for spherical harmonics."""

_STEPS = 4
"""In which the middle of a bright place is found."""

_FALL = 0.2
"""A light ends where its luminance has fallen to this share of its peak …"""

_BACKGROUND = 0.75
"""… or to this quantile of the map, by solid angle; what is beyond the quantile is the light's."""

_STANDS_OUT = 3.0
"""Least luminance of a light's peak, relative to that quantile."""

_LEAST = 0.03
"""Least share of a map's light that is worth a light of its own."""


@dataclass(frozen=True)
class Panorama:
    """Patches of the sphere in a grid, each of one radiance."""

    radiance: Float64
    """(h, w, 3) linear RGB."""
    direction: Float64
    """(h, w, 3) unit vectors to the patches' middles, level frame."""
    solid_angle: Float64
    """(h, 1) steradian, by row; w times their sum is 4π."""

    @property
    def flux(self) -> Float64:
        """(h, w, 3) radiance times solid angle."""
        return np.asarray(self.radiance * self.solid_angle[..., None])


def panorama(picture: Float32) -> Panorama:
    """A map (H, 2H, 3), reduced to at most :data:`WORKING_HEIGHT` rows; its light stays the same, exactly.

    Patches of a reduced map are those of the map, joined by equal numbers of rows and columns but for the last.
    """
    height, width = picture.shape[:2]
    step = -(-height // WORKING_HEIGHT)
    rows, columns = (np.arange(0, size, step) for size in (height, width))
    edge = np.cos(np.linspace(0, np.pi, height + 1))
    band = (edge[:-1] - edge[1:]) * (2 * np.pi / width)
    patch = np.add.reduceat(band, rows)
    wide = np.diff(np.append(columns, width))
    # Row by row, so that a large map is never held in double precision.
    flux = np.empty((len(rows), len(columns), 3))
    for number, first in enumerate(rows):
        some = picture[first : first + step].astype(np.float64) * band[first : first + step, None, None]
        flux[number] = np.add.reduceat(some.sum(axis=0), columns, axis=0)
    top, bottom = edge[rows], edge[np.append(rows[1:], height)]
    up = (top + bottom) / 2
    across = np.sqrt(1 - up * up)
    turn = 2 * np.pi * ((columns + wide / 2) / width - 0.5)
    direction = np.empty((len(rows), len(columns), 3))
    direction[..., 0], direction[..., 1] = -np.outer(across, np.sin(turn)), up[:, None]
    direction[..., 2] = np.outer(across, np.cos(turn))
    # The last column may be narrower: its radiance is what keeps its light.
    return Panorama(flux / (patch[:, None] * step)[..., None], direction, (patch * step)[:, None])


def light_of(map_: Panorama, count: int) -> Light:
    """The light of a map: up to ``count`` bright places as lights at infinity, the rest as spherical harmonics.

    The brightest place is taken out, again and again: what there is beyond the background within :data:`_REACH` of its
    middle, down to :data:`_FALL` of its peak, by the cosine of the angle to its middle, since that is what a surface
    that faces it gets. The light has all of that flux, and the radius of an even disc of the same second moment; so the
    light from all sides is that of the map, exactly.
    """
    flux, solid = map_.flux.copy(), map_.solid_angle
    level = luminance(flux) / solid
    background = _quantile(level, np.broadcast_to(solid, level.shape), _BACKGROUND)
    least = _LEAST * float(luminance(flux.sum(axis=(0, 1))))
    sought = np.ones(level.shape, np.bool_)
    directions: list[Float64] = []
    colours: list[Float64] = []
    radii: list[float] = []
    # Small glints may be brighter than what lights the place: they are passed over.
    for _ in range(4 * count):
        if len(colours) == count:
            break
        middle, peak = _brightest(np.where(sought, level, 0), map_)
        if peak <= _STANDS_OUT * background or peak <= 0:
            break
        above = np.where(level >= max(_FALL * peak, background), 1 - background / np.maximum(level, 1e-300), 0)
        # The brightest patch may be in a corner of what is bright: step to its middle.
        for _ in range(_STEPS):
            near = map_.direction @ middle > np.cos(_REACH)
            excess = flux * np.where(near, above, 0)[..., None]
            middle = _mean_direction(luminance(excess), map_)
        # What a surface that faces the middle gets of it; the rest, of what is off the middle, stays soft light.
        excess = excess * (map_.direction @ middle)[..., None]
        colour = excess.sum(axis=(0, 1))
        sought &= ~near
        if luminance(colour) < least:
            continue
        weight = luminance(excess)
        off = np.arccos((map_.direction @ middle).clip(-1, 1))
        # A disc of radius a has the second moment a² / 2 about its middle.
        radii.append(np.sqrt(2 * (weight * off**2).sum() / weight.sum()))
        directions.append(middle)
        colours.append(colour / np.pi)
        flux -= excess
        level = luminance(flux) / solid
    found = len(colours)
    light = Light(
        sh=project(map_.direction.reshape(-1, 3), flux.reshape(-1, 3)),
        position=np.concatenate([np.reshape(directions, (found, 3)), np.zeros((found, 1))], axis=1),
        colour=np.reshape(colours, (found, 3)),
        radius=np.array(radii),
    )
    return light.strongest(count)


def _brightest(level: Float64, map_: Panorama) -> tuple[Float64, float]:
    """Direction (3,) to the brightest patch of the cell with most light by solid angle, and that patch's luminance."""
    height, width = level.shape
    cell = max(1, _CELL * height // WORKING_HEIGHT)
    rows, columns = np.arange(0, height, cell), np.arange(0, width, cell)
    light = np.add.reduceat(np.add.reduceat(level * map_.solid_angle, rows, axis=0), columns, axis=1)
    # Of a whole cell, so that cells at the poles and the borders are not favoured.
    whole = cell * cell * map_.solid_angle.max()
    row, column = np.unravel_index(np.argmax(light / whole), light.shape)
    inside = np.s_[rows[row] : rows[row] + cell, columns[column] : columns[column] + cell]
    place = np.unravel_index(np.argmax(level[inside]), level[inside].shape)
    return map_.direction[inside][place], float(level[inside][place])


def _mean_direction(weight: Float64, map_: Panorama) -> Float64:
    """Unit vector (3,) to the middle of what is weighted (h, w)."""
    towards = np.einsum("hw,hwk->k", weight, map_.direction)
    return np.asarray(towards / np.linalg.norm(towards))


def _quantile(values: Float64, weights: Float64, share: float) -> float:
    order = np.argsort(values, axis=None)
    below = np.cumsum(weights.ravel()[order])
    return float(values.ravel()[order][np.searchsorted(below, share * below[-1])])
