"""The styles that people wear their hair in: where strands grow, where they lead, and how long and dense they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.objects.crown import Crown, interpolated
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import ramp
from facegen.stages.render.objects.strands import ASIDE, AWAY, DOWN, FORWARD, OFF_EAR, OFF_FACE, TARGET, Guides

Float = NDArray[np.float32]
Real = NDArray[np.floating]

Style = Literal["crop", "receding", "side_part", "swept_back", "fringe", "bob", "long", "tied", "curly", "afro"]


@dataclass(frozen=True)
class Drawn:
    """What of a style differs from head to head, see :class:`~.hair.Hair`."""

    length: float
    volume: float
    wave: float


@dataclass(frozen=True)
class Groom:
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
        grows &= rng.random(number) < beside + (1 - beside) * ramp(0.2, 0.6, elevation)
    azimuth, elevation = azimuth[grows], elevation[grows]
    return _Roots(
        azimuth.astype(np.float32),
        elevation.astype(np.float32),
        margin[grows],
        ramp(0.25, 0.85, elevation).astype(np.float32),
        ramp(1.9, 1.2, np.abs(azimuth)).astype(np.float32),
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


def _crop(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 485, rng)
    whorl = _whorl(crown, rng)
    length = drawn.length * (13 + 15 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.5 + 0.5 * ramp(0, 22, roots.margin)
    height = drawn.volume * (1.6 + 5.5 * roots.top) * (0.35 + 0.65 * ramp(0, 18, roots.margin))
    lean = 0.35 * rng.standard_normal()
    field = _field(roots, away=(1, 1), aside=(0.2 * rng.standard_normal(len(roots)), lean), down=(0.1, 0.35))
    return Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, rise=8, stick=1),
        per_guide=12, segments=3, spread=9, width=1.3, clump=0.35, amplitude=0.6 * drawn.wave, waves=1.0, steps=15,
        over_ears=False, under=0.45, inset=5,
    )  # fmt: skip


def _receding(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 520, rng)
    whorl = _whorl(crown, rng)
    # The temples go first, then the forehead's middle.
    azimuth = np.abs(roots.azimuth)
    bare = (26 + 30 * rng.random()) * ramp(0.05, 0.5, azimuth) * ramp(1.15, 0.7, azimuth) + 14 * rng.random()
    thin = ramp(0.0, 12.0, roots.margin - bare * ramp(1.3, 0.8, azimuth))
    keep = rng.random(len(roots)) < 0.06 + 0.94 * thin
    roots = _Roots(*(value[keep] for value in vars(roots).values()))
    thin = thin[keep]
    length = drawn.length * (11 + 9 * roots.top * thin) * _noise(rng, len(roots), 0.15)
    length *= 0.5 + 0.5 * ramp(0, 22, roots.margin)
    height = drawn.volume * (1.4 + 2.0 * roots.top * thin) * (0.35 + 0.65 * ramp(0, 18, roots.margin))
    field = _field(roots, away=(1, 1), aside=(0.2 * rng.standard_normal(len(roots)), 0), down=(0.1, 0.35))
    return Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, rise=8, stick=1),
        per_guide=8, segments=4, spread=8, width=1.6, clump=0.3, amplitude=0.5 * drawn.wave, waves=1.0, steps=15,
        over_ears=False, under=0.25, inset=30,
    )  # fmt: skip


def _side_part(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 330, rng)
    whorl = _whorl(crown, rng)
    handed = 1 if rng.random() < 0.6 else -1
    part = handed * (28 + 12 * rng.random())
    side = np.where(roots.top > 0.15, _sides(roots, part, rng), np.sign(roots.point[:, 0]))
    ahead = roots.front * roots.top
    length = drawn.length * (20 + 50 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.45 + 0.55 * ramp(0, 30, roots.margin + 30 * ahead)
    height = drawn.volume * (2.2 + 11 * roots.top) * (0.3 + 0.7 * ramp(0, 22, roots.margin))
    field = _field(
        roots,
        away=(1 - roots.top, 1 - roots.top),
        aside=(roots.top, roots.top),
        forward=(-0.35 * ahead, -0.75 * ahead),
        down=(0.15, 0.8),
        off_face=(1.5, 1.5),
    )
    return Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, side=side.astype(np.float32), rise=26, stick=0.9),
        per_guide=8, segments=6, spread=10, width=2.2, clump=0.6, amplitude=2.0 * drawn.wave, waves=1.2,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _swept_back(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 330, rng)
    length = drawn.length * (30 + 55 * roots.top) * _noise(rng, len(roots), 0.12)
    length *= 0.45 + 0.55 * ramp(0, 30, roots.margin + 40 * roots.front)
    height = drawn.volume * (2.2 + 9 * roots.top) * (0.35 + 0.65 * ramp(0, 25, roots.margin))
    field = _field(
        roots,
        forward=(-1, -0.8),
        down=(1.0 - 0.9 * roots.front, 1.0 - 0.5 * roots.front),
        aside=(0.15 + 0.1 * rng.standard_normal(len(roots)), 0.2),
    )
    return Groom(
        _guides(crown, roots, field, length, height, whorl=_whorl(crown, rng), rise=26, stick=0.95),
        per_guide=8, segments=6, spread=10, width=2.2, clump=0.6, amplitude=1.8 * drawn.wave, waves=1.3,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _fringe(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 330, rng)
    whorl = _whorl(crown, rng)
    low = crown.brow + 6 + 16 * rng.random()
    before = ramp(0.95, 0.6, np.abs(roots.azimuth))
    length = drawn.length * (28 + 75 * roots.top) * _noise(rng, len(roots), 0.1)
    length *= 0.5 + 0.5 * ramp(0, 25, roots.margin + 60 * before)
    length = np.maximum(length, 75 * before)
    lowest = np.where(np.abs(roots.azimuth) < 1.05, low + 3 * rng.standard_normal(len(roots)), -1e4)
    height = drawn.volume * (3 + 8 * roots.top) * (0.4 + 0.6 * ramp(0, 25, roots.margin))
    lean = 0.5 * rng.standard_normal()
    field = _field(roots, away=(1, 0.6), down=(0.2, 1.0), forward=(0.4 * before, 0.0), aside=(0.0, lean))
    return Groom(
        _guides(crown, roots, field, length, height, whorl=whorl, lowest=lowest, rise=24, stick=0.85),
        per_guide=8, segments=6, spread=10, width=2.3, clump=0.6, amplitude=1.8 * drawn.wave, waves=1.2,
        over_ears=False, under=0.42,
    )  # fmt: skip


def _falling(
    crown: Crown, drawn: Drawn, rng: np.random.Generator, lowest: float, length: float, uneven: float, fringe: bool
) -> Groom:
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
    ahead = roots.front * ramp(0.0, 0.5, roots.elevation)
    end = np.where(fringed, crown.brow + 6 + 3 * rng.standard_normal(len(roots)), lowest)
    end = end + np.where(fringed, 0, uneven * rng.standard_normal(len(roots)))
    height = drawn.volume * (6 + 5 * roots.top) * (0.45 + 0.55 * ramp(0, 30, roots.margin))
    field = _field(
        roots,
        aside=(np.where(fringed, 0, roots.top * (0.3 + 0.6 * roots.front) + 0.25 * roots.front), 0.0),
        forward=(np.where(fringed, 0.6, -0.45 * ahead), np.where(fringed, 0.1, 0.0)),
        away=(np.where(fringed, 0, 0.35 * (1 - ahead)), 0.0),
        down=(np.where(fringed, 0.8, 0.55), 1.3),
        off_face=(np.where(fringed, 0, 2.2), np.where(fringed, 0, 2.2)),
    )
    return Groom(
        _guides(
            crown, roots, field, np.full(len(roots), length), height, whorl=whorl, side=side, lowest=end, rise=30,
        ),
        per_guide=8, segments=10, spread=13, width=2.5, clump=0.4, contrast=0.75, bunched=1.4,
        amplitude=1 + 5 * drawn.wave, waves=1 + 2.2 * drawn.wave, over_ears=True, under=0.3, within=0.3,
        ragged=0.18, steps=40,
    )  # fmt: skip


def _bob(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    mouth, chin = float(head.landmarks[48:68, 1].mean()), float(head.landmarks[8, 1])
    lowest = mouth + (chin - 15 - mouth) * rng.random()
    return _falling(crown, drawn, rng, lowest, 330.0, 4.0, bool(rng.random() < 0.35))


def _long(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    chin = float(head.landmarks[8, 1])
    lowest = chin - (55 + 75 * rng.random()) * drawn.length
    return _falling(crown, drawn, rng, lowest, 460.0, 12.0, bool(rng.random() < 0.2))


def _tied(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    roots = _rooted(crown, 258, rng)
    azimuth, elevation = np.array([math.pi], np.float32), np.radians(np.array([rng.uniform(-15, 70)], np.float32))
    knot = crown.points(azimuth, elevation, interpolated(crown.skull, azimuth, elevation) + np.float32(6))[0]
    distance = np.linalg.norm(roots.point - knot, axis=1)
    length = distance * 1.25 + 6
    height = drawn.volume * (1.5 + 3.5 * ramp(0, 40, roots.margin))
    field = _field(roots, target=(1, 1), down=(0.1, 0.0), off_ear=(2.5, 2.5))
    return Groom(
        _guides(crown, roots, field, length, height, whorl=knot, target=knot, rise=25, stick=1),
        per_guide=8, segments=7, spread=9, width=2.2, clump=0.55, amplitude=0.6 * drawn.wave, waves=1.2,
        over_ears=False, under=0.4, ragged=0.1, knot=20 + 12 * rng.random(),
    )  # fmt: skip


def _curls(crown: Crown, drawn: Drawn, rng: np.random.Generator, top: float, beside: float, curl: float) -> Groom:
    roots = _rooted(crown, 395, rng)
    count = len(roots)
    grown = ramp(0, 28, roots.margin)
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
    return Groom(
        _guides(crown, roots, field, length, height, whorl=_whorl(crown, rng), rise=6, stick=0.4),
        per_guide=5, segments=8, spread=7, width=2.6, clump=0.1, amplitude=curl, waves=1.6 + rng.random(), steps=15,
        over_ears=False, under=0.72, inset=6,
    )  # fmt: skip


def _curly(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    return _curls(crown, drawn, rng, 20, 9, 4.5)


def _afro(crown: Crown, head: Head, drawn: Drawn, rng: np.random.Generator) -> Groom:
    return _curls(crown, drawn, rng, 42, 34, 3.0)


STYLES: dict[Style, Callable[[Crown, Head, Drawn, np.random.Generator], Groom]] = {
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
