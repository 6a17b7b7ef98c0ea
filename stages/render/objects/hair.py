"""Hair that has a shape: strands over the scalp, in the styles that people wear."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import ScalarLaw, Uniform
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.crown import COLUMNS, ROWS, STEP, Crown, blurred, crown_of, interpolated
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.grooms import STYLES, Drawn, Groom, Style
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import quads
from facegen.stages.render.objects.strands import Strands, above_the_neck, ribbons, traced, undercoat
from facegen.stages.render.objects.thing import FLESH, HAIR, MATTE, Thing, joined

Float = NDArray[np.float32]
Real = NDArray[np.floating]


class Hair(Section):
    """Hair with a shape, over the model's painted or bald scalp."""

    probability: Probability = 0.8
    """Of a face to have it; others keep the scalp of the model."""
    styles: Frequencies[Style] = Field(
        default={
            "crop": 0.22, "receding": 0.06, "side_part": 0.14, "swept_back": 0.09, "fringe": 0.1, "bob": 0.1,
            "long": 0.13, "tied": 0.07, "curly": 0.06, "afro": 0.03,
        },
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
    drawn = Drawn(
        length=float(config.length.draw(rng, 1)[0].clip(0.3, 3)),
        volume=float(config.volume.draw(rng, 1)[0].clip(0.1, 3)),
        wave=float(config.wave.draw(rng, 1)[0].clip(0, 2)),
    )
    tone = hair_colour(rng) if colour is None else np.asarray(colour, np.float32)
    crown = crown_of(head)
    ceiling = ceiling_of(crown, hat)
    groom = STYLES[style](crown, head, drawn, rng)
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


def _grown(crown: Crown, head: Head, groom: Groom, colour: Float, ceiling: Float, rng: np.random.Generator) -> Thing:
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


def _knot(crown: Crown, groom: Groom, colour: Float, rng: np.random.Generator) -> Thing:
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
    here, there = corner[:-1], corner[1:]
    triangles = quads(here, there, np.roll(there, -1, axis=1), np.roll(here, -1, axis=1))
    return Thing(
        points.reshape(-1, 3).astype(np.float32),
        triangles,
        (colour * bright[:, None]).clip(0.001, 0.9).astype(np.float32),
        np.full(len(triangles), FLESH, np.uint8),
        HAIR,
    )


def _thickness(crown: Crown, groom: Groom) -> Float:
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
