"""What is worn on a head: a knitted beanie, a baseball cap, hats with a brim all around, a headscarf."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import Gaussian, ScalarLaw, Uniform
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.crown import Crown, blurred, crown_of, interpolated
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import quads, ramp
from facegen.stages.render.objects.thing import HAT, MATTE, Thing, joined

Real = NDArray[np.floating]

HatStyle = Literal["beanie", "cap", "bucket", "sun_hat", "headscarf"]


class Hat(Section):
    """Something worn on the head."""

    probability: Probability = 0.15
    """Of a face to have one."""
    styles: Frequencies[HatStyle] = Field(
        default={"beanie": 0.32, "cap": 0.32, "bucket": 0.1, "sun_hat": 0.12, "headscarf": 0.14}
    )
    """Relative frequency of each; those that are not named do not occur."""
    height: ScalarLaw = Uniform(low=8, high=30)
    """mm from the brows to the edge above them; at least 5."""
    tilt: ScalarLaw = Gaussian(sigma=2.0)
    """Degrees that it sits to one side."""


_DYES = np.array(
    [
        [0.012, 0.012, 0.013], [0.035, 0.036, 0.040], [0.012, 0.018, 0.045], [0.130, 0.130, 0.130],
        [0.350, 0.340, 0.320], [0.600, 0.590, 0.560], [0.420, 0.330, 0.220], [0.120, 0.075, 0.045],
        [0.055, 0.060, 0.030], [0.022, 0.055, 0.035], [0.110, 0.015, 0.025], [0.060, 0.110, 0.190],
        [0.400, 0.250, 0.040], [0.450, 0.030, 0.030], [0.030, 0.080, 0.350], [0.500, 0.230, 0.260],
    ]
)  # fmt: skip
"""Linear RGB: black, charcoal, navy, grey, light grey, white, beige, brown, olive, forest, burgundy, denim, mustard,
red, blue, pink."""

_WORN = np.array([4, 3, 3, 2.5, 2, 1.5, 2, 1.5, 1.5, 1, 1.5, 1.5, 1, 0.8, 0.7, 0.6])
"""Relative frequencies of the dyes."""

_STRAW = np.array([[0.52, 0.38, 0.20], [0.62, 0.50, 0.32], [0.32, 0.20, 0.10]])


def make_hat(head: Head, config: Hat, rng: np.random.Generator) -> list[Thing]:
    """A hat of a style that is drawn, on a head with a cranium (see :func:`~.crown.require_cranium`).

    Args:
        head: the head.
        config: styles and laws.
        rng: decides everything that is drawn.
    """
    style = choose(config.styles, rng)
    height = max(float(config.height.draw(rng, 1)[0]), 5.0)
    tilt = math.radians(float(np.clip(config.tilt.draw(rng, 1)[0], -8, 8)))
    crown = crown_of(head)
    # No higher than half the way up the forehead and the vertex, whatever the law says.
    worn = _Worn(crown, head, min(height, 0.5 * (crown.top - crown.brow)), tilt)
    return [joined(_STYLES[style](worn, rng))]


@dataclass(frozen=True)
class _Worn:
    crown: Crown
    head: Head
    height: float
    """mm of the edge over the brows."""
    tilt: float
    """Radians."""

    def edge(self, azimuth: Real, drop: float, clears_ears: bool) -> Real:
        """Elevation of an edge that is ``drop`` mm lower at the back than at the forehead, at azimuths."""
        crown = self.crown
        front = crown.brow + self.height - float(crown.centre[1])
        radius, elevation = np.full_like(azimuth, 95.0), np.zeros_like(azimuth)
        for _ in range(5):
            radius = interpolated(crown.skull, azimuth, elevation)
            flat = radius * np.cos(elevation)
            ahead = flat * np.cos(azimuth)
            level = front + math.tan(self.tilt) * flat * np.sin(azimuth)
            level -= drop * np.clip(0.5 - ahead / 190.0, 0, 1)
            elevation = (0.5 * elevation + 0.5 * np.arctan2(level, np.maximum(flat, 30.0))).astype(np.float32)
        # Nowhere lower at the forehead than over the brows.
        floor = math.atan2(crown.brow + 4.0 - float(crown.centre[1]), 90.0)
        lowest = np.where(np.abs(azimuth) < 0.8, floor, -1.2)
        if clears_ears:
            over = float(crown.ear[1]) + math.radians(3)
            beside = np.clip(1.6 - np.abs(np.abs(azimuth) - (crown.ear[0] - 0.12)) / 0.32, 0, 1)
            lowest = np.maximum(lowest, -1.2 + (over + 1.2) * beside * beside * (3 - 2 * beside))
        result: Real = np.maximum(elevation, lowest).astype(np.float32)
        return result


def _around(columns: int) -> Real:
    return (np.arange(columns, dtype=np.float32) * np.float32(2 * math.pi / columns) - np.float32(math.pi))[None, :]


def _lofted(points: Real, albedo: Real, *, closed: bool = True, flipped: bool = False) -> Thing:
    """A surface of ``points`` (R, C, 3): seen from outside, columns go to the right and rows upwards.

    Args:
        points: mm.
        albedo: (R, C, 3) linear RGB.
        closed: whether the last column meets the first one.
        flipped: whether the outside is the other one.
    """
    rows, columns = points.shape[:2]
    corner = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        corner = np.concatenate([corner, corner[:, :1]], axis=1)
    triangles = quads(corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1])
    if flipped:
        triangles = triangles[:, [0, 2, 1]]
    return Thing(
        np.ascontiguousarray(points, np.float32).reshape(-1, 3),
        triangles,
        np.broadcast_to(albedo, points.shape).reshape(-1, 3).clip(0.002, 0.9).astype(np.float32),
        np.full(len(triangles), MATTE, np.uint8),
        HAT,
    )


def _dye(rng: np.random.Generator) -> Real:
    """(3,) linear RGB of a cloth."""
    colour = _DYES[rng.choice(len(_DYES), p=_WORN / _WORN.sum())]
    dyed: Real = colour * np.exp(0.2 * rng.standard_normal() + 0.08 * rng.standard_normal(3))
    return dyed.clip(0.006, 0.75)


def _waves(rng: np.random.Generator, x: Real, least: int, most: int, count: int) -> Real:
    """Smooth noise -1 … 1 of angles ``x``: a sum of ``count`` waves with ``least`` … ``most`` periods a turn."""
    total = np.zeros_like(x)
    for _ in range(count):
        total += np.cos(rng.integers(least, most + 1) * x + 2 * math.pi * rng.random()) / count
    return total.astype(np.float32)


def _beanie(worn: _Worn, rng: np.random.Generator) -> list[Thing]:
    crown = worn.crown
    per_rib = 4
    ribs = int(rng.integers(33, 40))
    azimuth = _around(per_rib * ribs)
    edge = worn.edge(azimuth, 50 + 45 * rng.random(), clears_ears=False)
    folded = rng.random() < 0.75
    fold = 38 + 26 * rng.random() if folded else 0.0
    wool = 2.5 + 1.5 * rng.random()
    surface = np.maximum(crown.full, blurred(crown.full, 3))
    # The profile from inside the edge, around it, up the fold and over its end, then to the top: arc length and offset.
    lip = [(5.0, 0.3), (0.0, 0.4), (-1.5, wool * 0.7), (0.0, wool)]
    if folded:
        lip = [(5.0, 0.3), (0.0, 0.4), (-2.0, wool), (0.5, wool * 2), (3.0, wool * 2.3)]
        lip += [(share * fold, wool * 2.4) for share in (0.3, 0.55, 0.8)]
        lip += [(fold - 1.5, wool * 2.3), (fold, wool * 1.8), (fold - 1.0, wool)]
    arc, offset = np.array(lip, np.float32).T
    start = edge + arc[-1] / 95.0
    rows = 19
    share = np.linspace(0, 1, rows + 1, dtype=np.float32)[1:, None]
    elevation = np.concatenate([edge + arc[:, None] / 95.0, start + (np.float32(1.556) - start) * share])
    turned = np.broadcast_to(azimuth, elevation.shape)
    up = np.concatenate([np.zeros(len(arc), np.float32)[:, None], share])
    base = np.concatenate([offset, np.full(rows, wool, np.float32)])[:, None]
    slack = (4 + 10 * rng.random()) * ramp(0.05, 0.8, up) + (3 if folded else 0) * ramp(0.0, 0.2, up) * (up < 0.7)
    # Ribs, shallower towards the top, where they are gathered.
    rib = 0.5 + 0.5 * np.cos(ribs * azimuth)
    depth = (0.5 + 0.7 * rng.random()) * wool * 0.5 * (1 - 0.5 * ramp(0.6, 1.0, up)) * np.minimum(base / wool, 1)
    crumple = _waves(rng, azimuth + 1.5 * up, 2, 6, 4) * 4 * ramp(0.1, 0.6, up) * (1 - ramp(0.85, 1.0, up))
    radius = interpolated(surface, turned, elevation) + base + slack + depth * rib + crumple * (slack / 14)
    points: Real = crown.points(turned, elevation, np.maximum(radius, interpolated(surface, turned, elevation) + 0.3))
    # A long one slouches to the back.
    slouch = (28 * rng.random() if rng.random() < 0.4 else 4 * rng.random()) * ramp(0.35, 1.0, up)[..., None]
    points = points + slouch * np.array([0.15 * rng.standard_normal(), 0.55, -0.75], np.float32)
    colour = _dye(rng)
    stitch = 1 + 0.07 * np.where(np.arange(len(elevation)) % 2 == 0, 1, -1)[:, None]
    shade = (0.55 + 0.45 * rib) * stitch * np.exp(0.07 * rng.standard_normal(elevation.shape))
    if folded:
        # Dark where the fold ends and inside the edge.
        shade[len(arc) - 1] *= 0.35
        shade[len(arc)] *= 0.75
    shade[:2] *= 0.3
    albedo = shade[..., None] * colour
    if rng.random() < 0.25:
        other, low, wide = _dye(rng), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.3)
        band = ((up > low) & (up < low + wide))[..., None]
        albedo = np.where(band, shade[..., None] * other, albedo)
    things = [_lofted(points, albedo)]
    if rng.random() < 0.3:
        things.append(_pompon(points[-1].mean(axis=0), colour if rng.random() < 0.6 else _dye(rng), rng))
    return things


def _pompon(at: Real, colour: Real, rng: np.random.Generator) -> Thing:
    rows, columns = 14, 28
    polar = np.linspace(3.1, 0.02, rows, dtype=np.float32)[:, None]
    around = _around(columns)
    size = 20 + 8 * rng.random()
    tuft = np.exp(0.13 * rng.standard_normal((rows, columns)))
    radius = size * tuft
    flat = np.sin(polar)
    unit = np.stack([flat * np.sin(around), np.cos(polar) * np.ones_like(around), flat * np.cos(around)], axis=-1)
    points = at + np.array([0, 0.7 * size, 0]) + radius[..., None] * unit
    return _lofted(points, (0.45 + 0.55 * np.clip(tuft, 0.6, 1.4) ** 2)[..., None] * colour)


def _cap(worn: _Worn, rng: np.random.Generator) -> list[Thing]:
    crown = worn.crown
    azimuth = _around(96)
    edge = worn.edge(azimuth, 38 + 20 * rng.random(), clears_ears=True)
    rows = 24
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    elevation = edge + (np.float32(1.56) - edge) * share
    turned = np.broadcast_to(azimuth, elevation.shape)
    tall = 7 + 9 * rng.random()
    stands = tall * ramp(0.05, 0.45, share) * (1 - 0.55 * ramp(0.6, 1.0, share))
    front = ramp(1.3, 0.5, np.abs(azimuth))
    offset = 3.5 + stands * (0.75 + 0.45 * front)
    # Six panels meet in seams, sunk between two rows of stitches.
    to_seam = (
        np.abs((azimuth / (math.pi / 3) + 0.5) % 1 - 0.5) * (math.pi / 3) * 95 * np.maximum(np.cos(elevation), 0.03)
    )
    seam = np.exp(-((to_seam / 2.2) ** 2))
    dent = _waves(rng, azimuth + 0.7 * share, 2, 5, 3) * 1.6 * ramp(0.1, 0.5, share) * (1 - front)
    radius = interpolated(crown.skull, turned, elevation) + offset - 1.1 * seam + dent
    points = crown.points(turned, elevation, radius)
    colour = _dye(rng)
    panels = np.broadcast_to(colour, (*turned.shape, 3))
    if rng.random() < 0.25:
        panels = np.where((front > 0.3)[..., None], _dye(rng), panels)
    shade = (1 - 0.35 * seam) * np.exp(0.03 * rng.standard_normal(turned.shape))
    shade[1:3] *= 0.93
    inner = crown.points(turned[:1], elevation[:1] + np.float32(0.06), radius[:1] - 3.2)
    under = crown.points(turned[:1], elevation[:1] - np.float32(0.006), radius[:1] - 1.5)
    dark = np.broadcast_to(0.35 * colour, (2, azimuth.shape[1], 3))
    things = [_lofted(np.concatenate([inner, under, points]), np.concatenate([dark, shade[..., None] * panels]))]
    if worn.height < 60:
        things += _visor(worn, azimuth[0], points[1], colour if rng.random() < 0.7 else _dye(rng), rng)
    if rng.random() < 0.25:
        things.append(_badge(crown, azimuth, edge, points, rng))
    things.append(_button(points[-1].mean(axis=0), colour))
    return things


def _badge(crown: Crown, azimuth: Real, edge: Real, shell: Real, rng: np.random.Generator) -> Thing:
    """A patch on the front: one of a few simple shapes, in two colours."""
    rows, columns = 12, 18
    wide, tall = 0.2 + 0.12 * rng.random(), 0.18 + 0.1 * rng.random()
    u = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    v = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    power = rng.choice([0.0, 2.0])
    # A square mapped to a disc keeps a round patch's grid whole.
    x = u * np.sqrt(1 - 0.5 * v * v) if power else u * np.ones_like(v)
    y = v * np.sqrt(1 - 0.5 * u * u) if power else v * np.ones_like(u)
    direction = (wide * x).astype(np.float32)
    middle = float(edge[0, azimuth.shape[1] // 2]) + 0.12 + tall
    elevation = (middle + tall * y).astype(np.float32)
    r = crown.directions(shell)[2]
    # The shell's rows are at the same shares of the way from the edge to the top.
    share = (elevation - middle + tall + 0.12) / (1.56 - (middle - tall - 0.12))
    column = (direction + math.pi) / (2 * math.pi) * shell.shape[1]
    i, j = share * (len(shell) - 1), column
    m, n = np.floor(i).astype(np.int64), np.floor(j).astype(np.int64)
    p, q = i - m, j - n
    below = (1 - q) * r[m, n] + q * r[m, n + 1]
    above = (1 - q) * r[m + 1, n] + q * r[m + 1, n + 1]
    rim = np.maximum(np.abs(u), np.abs(v)) > 0.98
    radius = (1 - p) * below + p * above + np.where(rim, -0.5, 0.9)
    cloth, print_ = _dye(rng), _dye(rng)
    shape = (np.cos(rng.uniform(2, 5) * x + rng.uniform(-1, 1)) * np.cos(rng.uniform(2, 5) * y) > 0.3) & (
        x * x + y * y < 0.8
    )
    return _lofted(
        crown.points(direction, elevation, radius.astype(np.float32)),
        np.where(shape[..., None], print_, cloth),
        closed=False,
    )


def _visor(worn: _Worn, azimuth: Real, edge: Real, colour: Real, rng: np.random.Generator) -> list[Thing]:
    """A stiff visor with an upper and a lower side, and a rim between them."""
    reach = 0.95 + 0.1 * rng.random()
    a = np.linspace(-1, 1, 33, dtype=np.float32)
    x, y, z = (np.interp(reach * a, azimuth, edge[:, axis]) for axis in range(3))
    root = np.stack([x, y, z], axis=-1)
    out = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    length = (62 + 14 * rng.random()) * np.sqrt(np.maximum(1 - np.abs(a) ** 2.6, 0)) + 3 * (1 - np.abs(a))
    curve = (8 + 12 * rng.random()) * (a**2)
    slope = math.radians(8 + 12 * rng.random())
    ahead = np.stack([0.10 * a, np.full_like(a, -math.sin(slope)), np.full_like(a, math.cos(slope))], axis=-1)
    points = root + (out * length)[..., None] * ahead
    points[..., 1] -= out**1.2 * curve * 0.6
    points[..., 1] += 2.5 * np.sin(math.pi * out) * (1 - a**2)
    # Never before the eyes of whoever is seen from the front.
    eyes = float(worn.head.landmarks[36:48, 1].max()) + 9.0
    points[..., 1] = np.maximum(points[..., 1], np.minimum(eyes, points[:1, :, 1]))
    down = np.array([0, 2.6, 0], np.float32)
    stitches = 1 - 0.22 * (np.abs((out * 5.2) % 1 - 0.5) < 0.12) * (out > 0.1)
    upper = _lofted(points, (stitches * np.ones_like(a))[..., None] * colour, closed=False, flipped=True)
    lower = _lofted(points - down, np.broadcast_to(0.55 * colour, points.shape), closed=False)
    rim = np.stack([points[-1] - down, points[-1]])
    return [upper, lower, _lofted(rim, np.broadcast_to(0.85 * colour, rim.shape), closed=False)]


def _button(at: Real, colour: Real) -> Thing:
    polar = np.linspace(1.7, 0.05, 6, dtype=np.float32)[:, None]
    around = _around(14)
    unit = np.stack(
        [np.sin(polar) * np.sin(around), 0.6 * np.cos(polar) * np.ones_like(around), np.sin(polar) * np.cos(around)],
        axis=-1,
    )
    return _lofted(at + 6.5 * unit, np.broadcast_to(0.9 * colour, unit.shape))


def _brimmed(
    worn: _Worn, rng: np.random.Generator, brim: float, droop: float, colours: Real, band: bool
) -> list[Thing]:
    """A hat with a brim all around, ``brim`` mm wide and ``droop`` radians below the horizontal."""
    crown = worn.crown
    azimuth = _around(80)
    edge = worn.edge(azimuth, 22 + 18 * rng.random(), clears_ears=True)
    rows = 20
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    skull = interpolated(crown.skull, azimuth, edge) + np.float32(4)
    ring = crown.points(azimuth, edge, skull)[0]
    middle = np.array([float(ring[:, 0].mean()), crown.top + 4 + 6 * rng.random(), float(ring[:, 2].mean())])
    # Walls that lean inwards, a rounded shoulder, and a top that is nearly flat.
    up = np.interp(share, [0, 0.5, 0.7, 0.85, 1], [0, 0.70, 0.90, 0.98, 1.0])
    inward = np.interp(share, [0, 0.5, 0.7, 0.85, 1], [0, 0.17, 0.33, 0.62, 0.995])
    walls = ring + (middle - ring) * np.stack([inward, up, inward], axis=-1)
    a, e, r = crown.directions(walls)
    least = interpolated(crown.skull, a, e) + np.float32(3.5)
    points = crown.points(
        a, e, np.maximum(r, least) + _waves(rng, azimuth + share, 2, 5, 3) * 1.2 * ramp(0.1, 0.4, share)
    )
    wide = brim * (1 + 0.06 * _waves(rng, azimuth, 1, 3, 3))[0]
    wavy = 0.16 * _waves(rng, azimuth, 2, 4, 3)[0]
    out = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
    angle = droop + wavy * out + (0.15 - 0.3 * rng.random()) * out
    # At the front it lifts off the eyes.
    angle = angle - 0.5 * droop * np.cos(azimuth).clip(0, 1) ** 2
    outwards = np.stack([np.sin(azimuth[0]), np.zeros(azimuth.shape[1]), np.cos(azimuth[0])], axis=-1)
    step = wide / (len(out) - 1)
    fell = np.concatenate([np.zeros((1, len(wide))), np.cumsum(step * np.sin(angle[1:]), axis=0)])
    gone = np.concatenate([np.zeros((1, len(wide))), np.cumsum(step * np.cos(angle[1:]), axis=0)])
    flat = points[0][None] + gone[..., None] * outwards
    flat[..., 1] -= fell
    # Never before the eyes of whoever is seen from the front.
    lowest = float(worn.head.landmarks[36:48, 1].max()) + 8.0 - 150 * ramp(0.8, 1.9, np.abs(azimuth[0]))
    flat[..., 1] = np.maximum(flat[..., 1], np.minimum(lowest, flat[:1, :, 1]))
    colour, lining, ribbon = colours
    rings = 1 + 0.10 * np.where(np.arange(12) % 2 == 0, 1, -1)[:, None] * np.ones_like(azimuth)
    grain = np.exp(0.06 * rng.standard_normal(rings.shape))
    under = flat - np.array([0, 1.8, 0])
    rim = np.stack([under[-1], flat[-1]])
    cloth = np.broadcast_to(colour, points.shape) * np.exp(0.05 * rng.standard_normal(points.shape[:2]))[..., None]
    cloth = cloth * (1 + 0.06 * np.where(np.arange(rows) % 2 == 0, 1, -1))[:, None, None]
    if band:
        cloth = np.where(((share > 0.03) & (share < 0.26))[..., None], ribbon, cloth)
    return [
        _lofted(points, cloth),
        _lofted(flat, (rings * grain)[..., None] * colour, flipped=True),
        _lofted(under, (0.5 * rings * grain)[..., None] * lining),
        _lofted(rim, np.broadcast_to(0.8 * colour, rim.shape)),
    ]


def _bucket(worn: _Worn, rng: np.random.Generator) -> list[Thing]:
    colour = _dye(rng)
    colours = np.stack([colour, colour if rng.random() < 0.7 else _dye(rng), colour])
    return _brimmed(worn, rng, 42 + 14 * rng.random(), math.radians(28 + 20 * rng.random()), colours, band=False)


def _sun_hat(worn: _Worn, rng: np.random.Generator) -> list[Thing]:
    colour = _STRAW[rng.integers(3)] * math.exp(0.15 * rng.standard_normal()) if rng.random() < 0.75 else _dye(rng)
    colours = np.stack([colour, colour, _dye(rng)])
    droop = math.radians(4 + 16 * rng.random())
    return _brimmed(worn, rng, 62 + 38 * rng.random(), droop, colours, band=bool(rng.random() < 0.8))


def _headscarf(worn: _Worn, rng: np.random.Generator) -> list[Thing]:
    """Cloth around face and neck: rings about +z, from the opening of the face to the back of the head."""
    crown, marks = worn.crown, worn.head.landmarks
    columns, rows = 112, 38
    turn = _around(columns)[0]
    # The opening, in the front view: over the forehead, beside the cheeks, under the chin.
    up = crown.brow + worn.height + 14 * rng.random() - float(crown.centre[1])
    chin = marks[8] - crown.centre
    jaw = 0.5 * (marks[14] + marks[15] - marks[2] - marks[1])[0] * 0.5
    high = math.atan2(up, 78.0)
    low = math.atan2(-float(chin[1]) + 10, max(float(chin[2]) - 12, 20.0))
    wide = math.atan2(1.03 * jaw + 4, 34.0)
    # ``turn`` is 0 upwards, positive to the subject's left.
    above = 0.5 + 0.5 * np.cos(turn)
    height = np.where(np.cos(turn) > 0, high, low)
    opening = 1 / np.sqrt((np.cos(turn) / np.tan(height)) ** 2 + (np.sin(turn) / math.tan(wide)) ** 2)
    opening = np.arctan(opening)
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    polar = opening + (3.141 - opening) * share**1.15
    unit = np.stack([np.sin(polar) * np.sin(turn), np.sin(polar) * np.cos(turn), np.cos(polar)], axis=-1)
    azimuth = np.arctan2(unit[..., 0], unit[..., 2]).astype(np.float32)
    elevation = np.arcsin(unit[..., 1].clip(-1, 1)).astype(np.float32)
    surface = np.maximum(crown.full, blurred(crown.full, 8))
    skin = interpolated(surface, azimuth, elevation)
    # Folds run around the face, deeper below the chin; the cloth hangs from the jaw to the shoulders.
    below = ramp(0.35, 0.0, above[None, :]) * np.ones_like(share)
    swing = _waves(rng, turn[None, :] * 1.0 + 2.5 * share, 2, 5, 3)
    phase = 2 * math.pi * (3.5 + 3 * rng.random()) * share**0.8 + 2.0 * swing + 2 * math.pi * rng.random()
    crest = 0.5 + 0.5 * np.cos(phase)
    fold = (2 * crest**1.7 - 0.9) * ramp(0.03, 0.15, share) * (1 - 0.6 * ramp(0.5, 1.0, share))
    beside = ramp(0.75, 0.35, above[None, :])
    thick = 4 + 3 * rng.random()
    # Hanging cloth is a cone down to the shoulders rather than the neck.
    flat = np.hypot(unit[..., 0], unit[..., 2])
    jawline = np.interp(np.abs(azimuth), [0, 0.8, 1.6, 3.2], [62, 72, 84, 80])
    hang = np.where(elevation < -0.5, jawline / np.maximum(flat, 0.25), 0)
    hang = np.minimum(hang, 190.0)
    radius = np.maximum(skin + thick + 3, hang * ramp(-0.5, -0.9, elevation))
    radius = radius + fold * (0.8 + 3.2 * np.maximum(beside, below)) + 1.0
    radius = np.maximum(radius, skin + 0.4)
    # The edge is turned in to the skin.
    close = interpolated(crown.full, azimuth[:2], elevation[:2])
    radius[0], radius[1] = close[0] - 1.5, close[1] + 2.5
    points = crown.points(azimuth, elevation, radius.astype(np.float32))
    colour = _dye(rng)
    shade = 0.78 + 0.22 * fold * np.maximum(beside, 0.4)
    shade = shade * np.exp(0.02 * rng.standard_normal(shade.shape))
    shade[:1] *= 0.5
    return [_lofted(points, shade[..., None] * colour)]


_STYLES: dict[HatStyle, Callable[[_Worn, np.random.Generator], list[Thing]]] = {
    "beanie": _beanie,
    "cap": _cap,
    "bucket": _bucket,
    "sun_hat": _sun_hat,
    "headscarf": _headscarf,
}
