"""Hair that has a shape: strands over the scalp, in the styles that people wear."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import ScalarLaw, Uniform
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.crown import COLUMNS, ROWS, STEP, Crown, blurred, crown_of, interpolated
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.strands import (
    ASIDE,
    AWAY,
    DOWN,
    FORWARD,
    OFF_EAR,
    OFF_FACE,
    TARGET,
    Guides,
    Strands,
    above_the_neck,
    ribbons,
    traced,
    undercoat,
)
from facegen.stages.render.objects.thing import FLESH, HAIR, MATTE, Thing, joined

Float = NDArray[np.float32]
Real = NDArray[np.floating]

Style = Literal["crop", "receding", "side_part", "swept_back", "fringe", "bob", "long", "tied", "curly", "afro"]


class Hair(Section):
    """Hair with a shape, over the model's painted or bald scalp."""

    probability: Probability = 0.8
    """Of a face to have it; others keep the scalp of the model."""
    styles: Frequencies[Style] = Field(
        default={
            "crop": 0.22, "receding": 0.06, "side_part": 0.14, "swept_back": 0.09, "fringe": 0.1, "bob": 0.1,
            "long": 0.13, "tied": 0.07, "curly": 0.06, "afro": 0.03,
        },
        min_length=1,
    )  # fmt: skip
    """Relative frequency of each; those that are not named do not occur."""
    length: ScalarLaw = Uniform(low=0.8, high=1.25)
    """Relative to the usual length of the style."""
    volume: ScalarLaw = Uniform(low=0.75, high=1.35)
    """Height over the scalp, relative to the usual one of the style."""
    wave: ScalarLaw = Uniform(low=0.0, high=1.0)
    """0 straight … 1 wavy."""


_COLOURS = np.array(
    [
        [0.010, 0.008, 0.007],
        [0.022, 0.014, 0.009],
        [0.045, 0.026, 0.014],
        [0.090, 0.055, 0.028],
        [0.170, 0.110, 0.055],
        [0.300, 0.215, 0.120],
        [0.150, 0.050, 0.018],
        [0.190, 0.180, 0.165],
        [0.480, 0.460, 0.420],
    ]
)
"""Linear RGB reflectance: black, dark to light brown, dark blond, blond, red, grey, white."""

_FREQUENCIES = np.array([0.3, 0.2, 0.16, 0.1, 0.07, 0.05, 0.03, 0.06, 0.03])


def hair_colour(rng: np.random.Generator) -> Float:
    """(3,) linear RGB reflectance of natural hair."""
    one, other = rng.choice(len(_COLOURS), 2, p=_FREQUENCIES / _FREQUENCIES.sum())
    near = abs(int(one) - int(other)) == 1 and max(one, other) < 6
    mixed = _COLOURS[one] ** 0.7 * _COLOURS[other] ** 0.3 if near else _COLOURS[one]
    drawn: Float = (mixed * math.exp(0.12 * rng.standard_normal())).astype(np.float32)
    return drawn


def make_hair(
    head: Head, config: Hair, rng: np.random.Generator, colour: Float | None = None, hat: Sequence[Thing] = ()
) -> list[Thing]:
    """Hair of a style that is drawn, on a head with a cranium (see :func:`~.crown.require_cranium`).

    Args:
        head: the head.
        config: styles and laws.
        rng: decides everything that is drawn.
        colour: (3,) linear RGB reflectance; ``None`` to draw it.
        hat: what is worn over the hair, which then stays below it.
    """
    style = choose(config.styles, rng)
    drawn = _Drawn(
        length=float(config.length.draw(rng, 1)[0].clip(0.3, 3)),
        volume=float(config.volume.draw(rng, 1)[0].clip(0.1, 3)),
        wave=float(config.wave.draw(rng, 1)[0].clip(0, 2)),
    )
    tone = hair_colour(rng) if colour is None else np.asarray(colour, np.float32)
    crown = crown_of(head)
    ceiling = ceiling_of(crown, hat)
    groom = _STYLES[style](crown, head, drawn, rng)
    grown = [_grown(crown, head, groom, tone, ceiling, rng)]
    if groom.knot:
        knot = _knot(crown, groom, tone, rng)
        azimuth, elevation, radius = crown.directions(knot.vertices)
        if (radius < interpolated(ceiling, azimuth, elevation)).all():
            grown.append(knot)
    return [joined(grown)]


def ceiling_of(crown: Crown, hat: Sequence[Thing]) -> Float:
    """(ROWS, COLUMNS) mm from the crown's centre to a hat, infinite in directions where there is none."""
    ceiling = np.full((ROWS, COLUMNS), np.inf, np.float32)
    for thing in hat:
        # Samples of triangles, with what is next to each direction, leave no direction out.
        corners = thing.vertices[thing.triangles]
        samples = np.concatenate([corners.mean(axis=1), corners[:, 0], corners[:, [0, 1]].mean(axis=1)])
        azimuth, elevation, radius = crown.directions(samples)
        np.minimum.at(ceiling, _cell(azimuth, elevation), radius)
    if hat:
        ceiling[-3:] = ceiling[-3:].min()
    # From under its edge hair comes out little by little.
    for slack in (0.0, 3.0, 6.0, 8.0, 8.0):
        for axis in (0, 1):
            beside = np.minimum(np.roll(ceiling, 1, axis), np.roll(ceiling, -1, axis)) + np.float32(slack)
            ceiling = np.minimum(ceiling, beside)
    return np.where(np.isfinite(ceiling), ceiling, np.float32(1e4))


@dataclass(frozen=True)
class _Drawn:
    length: float
    volume: float
    wave: float


@dataclass(frozen=True)
class _Groom:
    """How hair is worn: guides, and what their strands are like."""

    guides: Guides
    per_guide: int
    segments: int
    spread: float
    """mm around a guide where its strands start."""
    width: float
    """mm of a strand."""
    clump: float
    amplitude: float
    """mm of waves, and how many there are from root to tip."""
    waves: float
    over_ears: bool
    under: float
    """Thickness of what is between strands and scalp, relative to the height of the guides."""
    inset: float = 8.0
    """mm from the hairline to the undercoat."""
    within: float = 0.0
    """Share of strands that are seen from within."""
    contrast: float = 1.0
    """Of the tones of strands, relative to the usual one."""
    bunched: float = 1.0
    """See :class:`~.strands.Strands`."""
    ragged: float = 0.3
    """How much strands of a guide differ in length."""
    steps: int = 24
    """In which a guide is traced."""
    knot: float = 0.0
    """Radius in mm of what the hair is tied to at the guides' target; 0 for none."""


def _grown(crown: Crown, head: Head, groom: _Groom, colour: Float, ceiling: Float, rng: np.random.Generator) -> Thing:
    guides = groom.guides
    surface = above_the_neck(crown.full if groom.over_ears else crown.skull)
    chin = float(head.landmarks[8, 1])
    below = np.concatenate([head.shoulders, head.skin[head.skin[:, 1] < chin - 25][::2]])
    paths = traced(crown, surface, guides, below if groom.over_ears else below[:0], groom.steps)
    locks, count = len(guides.azimuth), len(guides.azimuth) * groom.per_guide

    def uniform(*shape: int) -> Float:
        return rng.random(shape, np.float32)

    def normal(*shape: int) -> Float:
        return rng.standard_normal(shape, np.float32)

    owner = np.repeat(np.arange(locks), groom.per_guide)
    away, angle = np.float32(groom.spread) * np.sqrt(uniform(count)), np.float32(2 * math.pi) * uniform(count)
    layer, height = uniform(count), guides.height[owner]
    phase = np.float32(2 * math.pi) * uniform(locks)[owner] + np.float32(0.5) * normal(count)
    strands = Strands(
        guide=owner,
        across=away * np.cos(angle),
        along=away * np.sin(angle),
        lift=(layer - np.float32(0.7)) * np.float32(0.55) * height,
        share=1 - np.float32(groom.ragged) * uniform(count) ** np.float32(1.5),
        width=np.float32(groom.width) * (np.float32(0.7) + np.float32(0.6) * uniform(count)),
        tilt=(np.float32(0.45) * normal(count)).clip(-1, 1),
        inward=uniform(count) < groom.within,
        wave=np.stack(
            [
                np.float32(groom.amplitude) * (np.float32(0.5) + uniform(count)),
                np.float32(groom.waves) * (np.float32(0.85) + np.float32(0.3) * uniform(count)),
                phase,
            ],
            axis=1,
        ),
        clump=groom.clump,
        bunched=groom.bunched,
    )
    vertices, triangles, along = ribbons(crown, surface, ceiling, paths, strands, groom.segments)
    each = 2 * groom.segments + 1
    # Strands differ in tone, and locks; deeper is darker, as light does not get there.
    lock = np.float32(0.14 * groom.contrast) * normal(locks)[owner]
    tone = np.exp(lock + np.float32(0.22 * groom.contrast) * normal(count))
    tone *= np.where(strands.inward, np.float32(0.35), np.float32(0.62) + np.float32(0.5) * layer)
    t, up = along.reshape(count, each, 2).transpose(2, 0, 1)
    turns = t * (np.float32(1.5) + 2 * uniform(count, 1)) + uniform(count, 1)
    ripple = 1 + np.float32(0.08) * np.sin(np.float32(2 * math.pi) * turns)
    depth = np.float32(0.55) + np.float32(0.45) * (up / (np.float32(0.6) * height[:, None] + 1)).clip(0, 1)
    warmth = 1 + np.float32(0.06) * normal(count, 1) * np.array([1, 0, -1], np.float32)
    albedo = ((tone[:, None] * ripple * depth)[:, :, None] * (colour * warmth)[:, None, :]).reshape(-1, 3)
    base, faces = undercoat(crown, surface, ceiling, _thickness(crown, groom), groom.inset)
    # Streaks from the top down.
    streak = _cell(*crown.directions(base)[:2])[1]
    shade = np.float32(0.5) * np.exp(np.float32(0.2) * normal(COLUMNS)[streak] + np.float32(0.1) * normal(len(base)))
    together = np.concatenate([faces, triangles + np.uint32(len(base))])
    return Thing(
        np.concatenate([base, vertices]).astype(np.float32),
        together,
        np.concatenate([colour * shade[:, None], albedo]).clip(0.001, 0.9).astype(np.float32),
        np.where(np.arange(len(together)) < len(faces), MATTE, FLESH).astype(np.uint8),
        HAIR,
    )


def _knot(crown: Crown, groom: _Groom, colour: Float, rng: np.random.Generator) -> Thing:
    """A bun: a flattened ball of strands that wind around the way out of the head."""
    rows, columns = 22, 64
    out = groom.guides.target - crown.centre
    out = out / np.linalg.norm(out)
    right = np.cross([0.0, 1.0, 0.0], out) if abs(out[1]) < 0.95 else np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    polar = np.linspace(0.02, 2.3, rows)[:, None]
    twist = rng.choice([-1.0, 1.0]) * 2.2
    around = np.linspace(0, 2 * math.pi, columns, endpoint=False)[None, :]
    # Along rows of constant ``lane`` strands wind from the middle outwards.
    lane = around - twist * polar
    furrow = np.zeros((rows, columns))
    for _ in range(5):
        furrow += np.cos(rng.integers(3, 16) * lane + 2 * math.pi * rng.random()) / 5
    radius = groom.knot * (1 + 0.10 * furrow + 0.05 * np.cos(2 * around + 6 * rng.random()))
    across = radius * np.sin(polar)
    points = (
        groom.guides.target
        + (0.78 * radius * np.cos(polar) + 0.45 * groom.knot)[..., None] * out
        + (across * np.cos(around))[..., None] * right
        + (across * np.sin(around))[..., None] * np.cross(out, right)
    )
    fine = np.interp(lane.reshape(-1) % (2 * math.pi), np.linspace(0, 2 * math.pi, 97), 0.2 * rng.standard_normal(97))
    bright = np.exp(fine + 0.45 * furrow.reshape(-1)) * (
        0.55 + 0.45 * np.cos(polar * 0.6) * np.ones_like(around)
    ).reshape(-1)
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    triangles = np.stack([np.stack([a, c, d], -1), np.stack([a, d, b], -1)], 2).reshape(-1, 3).astype(np.uint32)
    return Thing(
        points.reshape(-1, 3).astype(np.float32),
        triangles,
        (colour * bright[:, None]).clip(0.001, 0.9).astype(np.float32),
        np.full(len(triangles), FLESH, np.uint8),
        HAIR,
    )


def _thickness(crown: Crown, groom: _Groom) -> Float:
    """(ROWS, COLUMNS) mm of the undercoat: of the guides around each direction."""
    total, weight = np.zeros((ROWS, COLUMNS), np.float32), np.full((ROWS, COLUMNS), 1e-3, np.float32)
    guides = groom.guides
    cell = _cell(guides.azimuth, guides.elevation)
    np.add.at(total, cell, guides.height)
    np.add.at(weight, cell, np.float32(1))
    return groom.under * blurred(total, 6) / blurred(weight, 6)


def _cell(azimuth: Real, elevation: Real) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of tables that are nearest to directions."""
    row = np.rint((elevation + math.pi / 2) / STEP).astype(np.int64).clip(0, ROWS - 1)
    return row, np.rint((azimuth + math.pi) / STEP).astype(np.int64) % COLUMNS


@dataclass(frozen=True)
class _Roots:
    """Roots of G guides; radians, mm, and shares 0 … 1."""

    azimuth: Float
    elevation: Float
    margin: Float
    """From the hairline."""
    top: Float
    """1 over the crown, 0 at the sides."""
    front: Float
    """1 before the ears, 0 behind them."""
    point: Float
    """(G, 3)."""

    def __len__(self) -> int:
        return len(self.azimuth)


def _smooth(low: float, high: float, x: Real) -> Float:
    s = np.clip((x - low) / (high - low), 0, 1)
    result: Float = (s * s * (3 - 2 * s)).astype(np.float32)
    return result


def _rooted(crown: Crown, count: int, rng: np.random.Generator, beside: float = 1.0) -> _Roots:
    """About ``count`` roots behind the hairline, evenly but for the sides, where there are ``beside`` times as many."""
    # A Fibonacci lattice: even on the sphere; the scalp is about three fifths of it.
    number = int(count / (0.27 + 0.31 * beside))
    n = np.arange(number) + 0.5
    elevation = np.arcsin(1 - 2 * n / number) + 0.35 / math.sqrt(number) * rng.standard_normal(number)
    azimuth = n * math.pi * (3 - math.sqrt(5)) + 2 * math.pi * rng.random()
    azimuth = azimuth + 0.35 / math.sqrt(number) * rng.standard_normal(number) / np.maximum(np.cos(elevation), 0.1)
    azimuth = (azimuth + math.pi) % (2 * math.pi) - math.pi
    elevation = elevation.clip(-1.5, 1.5)
    margin = interpolated(crown.margin, azimuth, elevation)
    grows = (margin > 1.5 * np.abs(rng.standard_normal(number))) & (elevation > -0.93)
    if beside < 1:
        grows &= rng.random(number) < beside + (1 - beside) * _smooth(0.2, 0.6, elevation)
    azimuth, elevation = azimuth[grows], elevation[grows]
    return _Roots(
        azimuth.astype(np.float32),
        elevation.astype(np.float32),
        margin[grows],
        _smooth(0.25, 0.85, elevation),
        _smooth(1.9, 1.2, np.abs(azimuth)),
        crown.points(azimuth, elevation, interpolated(crown.skull, azimuth, elevation)),
    )


def _field(roots: _Roots, **weights: tuple[Real | float, Real | float]) -> Float:
    """(G, 7, 2) weights of directions, by name, at the root and at the tip."""
    places = {
        "away": AWAY, "aside": ASIDE, "forward": FORWARD, "down": DOWN, "target": TARGET, "off_face": OFF_FACE,
        "off_ear": OFF_EAR,
    }  # fmt: skip
    field = np.zeros((len(roots), 7, 2), np.float32)
    for name, (start, end) in weights.items():
        field[:, places[name], 0], field[:, places[name], 1] = start, end
    return field


def _whorl(crown: Crown, rng: np.random.Generator) -> Float:
    """(3,) where hair turns around at the upper back of the head."""
    azimuth = np.array([math.pi + 0.25 * rng.standard_normal()], np.float32)
    elevation = np.array([math.radians(52) + 0.08 * rng.standard_normal()], np.float32)
    place: Float = crown.points(azimuth, elevation, interpolated(crown.skull, azimuth, elevation))[0]
    return place


def _sides(roots: _Roots, part: float, rng: np.random.Generator) -> Float:
    """(G,) to which side of a parting at x = ``part`` mm the hair falls."""
    return np.where(roots.point[:, 0] + 3 * rng.standard_normal(len(roots)) > part, 1, -1).astype(np.float32)


def _guides(
    crown: Crown, roots: _Roots, field: Real, length: Real, height: Real, *, whorl: Real, side: Real | None = None,
    lowest: Real | float = -1e4, rise: float = 20.0, target: Real | None = None, stick: float = 0.0,
) -> Guides:  # fmt: skip
    count = len(roots)
    return Guides(
        azimuth=roots.azimuth,
        elevation=roots.elevation,
        side=np.sign(roots.point[:, 0] - crown.centre[0] + 1e-3).astype(np.float32) if side is None else side,
        field=field,
        length=np.asarray(length, np.float32),
        lowest=np.broadcast_to(np.asarray(lowest, np.float32), count).copy(),
        height=np.asarray(height, np.float32),
        rise=rise,
        whorl=whorl,
        target=whorl if target is None else target,
        stick=stick,
    )


def _noise(rng: np.random.Generator, count: int, sigma: float) -> Float:
    noise: Float = np.exp(sigma * rng.standard_normal(count)).astype(np.float32)
    return noise


def _crop(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 485, rng)
    whorl = _whorl(crown, rng)
    length = drawn.length * (13 + 15 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.5 + 0.5 * _smooth(0, 22, roots.margin)
    height = drawn.volume * (1.6 + 5.5 * roots.top) * (0.35 + 0.65 * _smooth(0, 18, roots.margin))
    lean = 0.35 * rng.standard_normal()
    field = _field(roots, away=(1, 1), aside=(0.2 * rng.standard_normal(len(roots)), lean), down=(0.1, 0.35))
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, rise=8, stick=1),
        per_guide=12, segments=3, spread=9, width=1.3, clump=0.35, amplitude=0.6 * drawn.wave, waves=1.0, steps=15,
        over_ears=False, under=0.45, inset=5,
    )  # fmt: skip


def _receding(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 520, rng)
    whorl = _whorl(crown, rng)
    # The temples go first, then the forehead's middle.
    azimuth = np.abs(roots.azimuth)
    bare = (26 + 30 * rng.random()) * _smooth(0.05, 0.5, azimuth) * _smooth(1.15, 0.7, azimuth) + 14 * rng.random()
    thin = _smooth(0.0, 12.0, roots.margin - bare * _smooth(1.3, 0.8, azimuth))
    keep = rng.random(len(roots)) < 0.06 + 0.94 * thin
    roots = _Roots(*(value[keep] for value in vars(roots).values()))
    thin = thin[keep]
    length = drawn.length * (11 + 9 * roots.top * thin) * _noise(rng, len(roots), 0.15)
    length *= 0.5 + 0.5 * _smooth(0, 22, roots.margin)
    height = drawn.volume * (1.4 + 2.0 * roots.top * thin) * (0.35 + 0.65 * _smooth(0, 18, roots.margin))
    field = _field(roots, away=(1, 1), aside=(0.2 * rng.standard_normal(len(roots)), 0), down=(0.1, 0.35))
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, rise=8, stick=1),
        per_guide=8, segments=4, spread=8, width=1.6, clump=0.3, amplitude=0.5 * drawn.wave, waves=1.0, steps=15,
        over_ears=False, under=0.25, inset=30,
    )  # fmt: skip


def _side_part(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 330, rng)
    whorl = _whorl(crown, rng)
    handed = 1 if rng.random() < 0.6 else -1
    part = handed * (28 + 12 * rng.random())
    side = np.where(roots.top > 0.15, _sides(roots, part, rng), np.sign(roots.point[:, 0]))
    ahead = roots.front * roots.top
    length = drawn.length * (20 + 50 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.45 + 0.55 * _smooth(0, 30, roots.margin + 30 * ahead)
    height = drawn.volume * (2.2 + 11 * roots.top) * (0.3 + 0.7 * _smooth(0, 22, roots.margin))
    field = _field(
        roots,
        away=(1 - roots.top, 1 - roots.top),
        aside=(roots.top, roots.top),
        forward=(-0.35 * ahead, -0.75 * ahead),
        down=(0.15, 0.8),
        off_face=(1.5, 1.5),
    )
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, side=side.astype(np.float32), rise=26, stick=0.9),
        per_guide=8, segments=6, spread=10, width=2.2, clump=0.6, amplitude=2.0 * drawn.wave, waves=1.2,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _swept_back(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 330, rng)
    length = drawn.length * (30 + 55 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.45 + 0.55 * _smooth(0, 30, roots.margin + 40 * roots.front)
    height = drawn.volume * (2.2 + 9 * roots.top) * (0.35 + 0.65 * _smooth(0, 25, roots.margin))
    field = _field(
        roots,
        forward=(-1, -0.8),
        down=(1.0 - 0.9 * roots.front, 1.0 - 0.5 * roots.front),
        aside=(0.15 + 0.1 * rng.standard_normal(len(roots)), 0.2),
    )
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=_whorl(crown, rng), rise=26, stick=0.95),
        per_guide=8, segments=6, spread=10, width=2.2, clump=0.6, amplitude=1.8 * drawn.wave, waves=1.3,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _fringe(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 330, rng)
    whorl = _whorl(crown, rng)
    low = crown.brow + 6 + 16 * rng.random()
    before = _smooth(0.95, 0.6, np.abs(roots.azimuth))
    length = drawn.length * (28 + 75 * roots.top) * _noise(rng, len(roots), 0.1)
    length *= 0.5 + 0.5 * _smooth(0, 25, roots.margin + 60 * before)
    length = np.maximum(length, 75 * before)
    lowest = np.where(np.abs(roots.azimuth) < 1.05, low + 3 * rng.standard_normal(len(roots)), -1e4)
    height = drawn.volume * (3 + 8 * roots.top) * (0.4 + 0.6 * _smooth(0, 25, roots.margin))
    lean = 0.5 * rng.standard_normal()
    field = _field(roots, away=(1, 0.6), down=(0.2, 1.0), forward=(0.4 * before, 0.0), aside=(0.0, lean))
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, lowest=lowest, rise=24, stick=0.85),
        per_guide=8, segments=6, spread=10, width=2.3, clump=0.6, amplitude=1.8 * drawn.wave, waves=1.2,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _falling(
    crown: Crown, drawn: _Drawn, rng: np.random.Generator, lowest: float, length: float, uneven: float, fringe: bool
) -> _Groom:
    """Hair that falls from a parting to the height ``lowest``."""
    # What grows at the sides is below what falls there from above.
    roots = _rooted(crown, 196, rng, beside=0.6)
    whorl = _whorl(crown, rng)
    part = rng.choice([0.0, 1.0, -1.0]) * (14 + 20 * rng.random()) + 3 * rng.standard_normal()
    side = _sides(roots, part, rng)
    side = np.where(roots.top > 0.1, side, np.sign(roots.point[:, 0])).astype(np.float32)
    fringed = np.zeros(len(roots), np.bool_)
    if fringe:
        fringed = (np.abs(roots.azimuth) < 0.75) & (roots.margin < 40)
    ahead = roots.front * _smooth(0.0, 0.5, roots.elevation)
    end = np.where(fringed, crown.brow + 6 + 3 * rng.standard_normal(len(roots)), lowest)
    end = end + np.where(fringed, 0, uneven * rng.standard_normal(len(roots)))
    height = drawn.volume * (6 + 5 * roots.top) * (0.45 + 0.55 * _smooth(0, 30, roots.margin))
    field = _field(
        roots,
        aside=(np.where(fringed, 0, roots.top * (0.3 + 0.6 * roots.front) + 0.25 * roots.front), 0.0),
        forward=(np.where(fringed, 0.6, -0.45 * ahead), np.where(fringed, 0.1, 0.0)),
        away=(np.where(fringed, 0, 0.35 * (1 - ahead)), 0.0),
        down=(np.where(fringed, 0.8, 0.55), 1.3),
        off_face=(np.where(fringed, 0, 2.2), np.where(fringed, 0, 2.2)),
    )
    return _Groom(
        _guides(
            crown, roots, field, np.full(len(roots), length), height, whorl=whorl, side=side, lowest=end, rise=30,
        ),
        per_guide=8, segments=10, spread=13, width=2.5, clump=0.4, contrast=0.75, bunched=1.4,
        amplitude=1 + 5 * drawn.wave, waves=1 + 2.2 * drawn.wave, over_ears=True, under=0.3, within=0.3,
        ragged=0.18, steps=40,
    )  # fmt: skip


def _bob(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    mouth, chin = float(head.landmarks[48:68, 1].mean()), float(head.landmarks[8, 1])
    lowest = mouth + (chin - 15 - mouth) * rng.random()
    return _falling(crown, drawn, rng, lowest, 330.0, 4.0, bool(rng.random() < 0.35))


def _long(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    chin = float(head.landmarks[8, 1])
    lowest = chin - (55 + 75 * rng.random()) * drawn.length
    return _falling(crown, drawn, rng, lowest, 460.0, 12.0, bool(rng.random() < 0.2))


def _tied(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    roots = _rooted(crown, 258, rng)
    azimuth, elevation = np.array([math.pi], np.float32), np.radians(np.array([rng.uniform(-15, 70)], np.float32))
    knot = crown.points(azimuth, elevation, interpolated(crown.skull, azimuth, elevation) + np.float32(6))[0]
    distance = np.linalg.norm(roots.point - knot, axis=1)
    length = distance * 1.25 + 6
    height = drawn.volume * (1.5 + 3.5 * _smooth(0, 40, roots.margin))
    field = _field(roots, target=(1, 1), down=(0.1, 0.0), off_ear=(2.5, 2.5))
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=knot, target=knot, rise=25, stick=1),
        per_guide=8, segments=7, spread=9, width=2.2, clump=0.55, amplitude=0.6 * drawn.wave, waves=1.2,
        over_ears=False, under=0.4, ragged=0.1, knot=20 + 12 * rng.random(),
    )  # fmt: skip


def _curls(crown: Crown, drawn: _Drawn, rng: np.random.Generator, top: float, beside: float, curl: float) -> _Groom:
    roots = _rooted(crown, 395, rng)
    count = len(roots)
    grown = _smooth(0, 28, roots.margin)
    height = (
        drawn.volume * (beside + (top - beside) * roots.top) * (0.25 + 0.75 * grown) * (0.75 + 0.35 * rng.random(count))
    )
    angle = 2 * math.pi * rng.random(count)
    field = _field(
        roots,
        aside=(np.cos(angle), np.cos(angle + 2)),
        forward=(np.sin(angle), np.sin(angle + 2)),
        down=(0.2 * rng.standard_normal(count), 0.35),
        away=(0.4, 0.4),
    )
    length = (14 + 20 * rng.random(count)) * (0.4 + 0.6 * grown) * drawn.length
    return _Groom(
        _guides(crown, roots, field, length, height, whorl=_whorl(crown, rng), rise=6, stick=0.4),
        per_guide=5, segments=8, spread=7, width=2.6, clump=0.1, amplitude=curl, waves=1.6 + rng.random(), steps=15,
        over_ears=False, under=0.72, inset=6,
    )  # fmt: skip


def _curly(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    return _curls(crown, drawn, rng, 20, 9, 4.5)


def _afro(crown: Crown, head: Head, drawn: _Drawn, rng: np.random.Generator) -> _Groom:
    return _curls(crown, drawn, rng, 42, 34, 3.0)


_STYLES: dict[Style, Callable[[Crown, Head, _Drawn, np.random.Generator], _Groom]] = {
    "crop": _crop,
    "receding": _receding,
    "side_part": _side_part,
    "swept_back": _swept_back,
    "fringe": _fringe,
    "bob": _bob,
    "long": _long,
    "tied": _tied,
    "curly": _curly,
    "afro": _afro,
}
