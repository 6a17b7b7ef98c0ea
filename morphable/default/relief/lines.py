"""One wrinkle line: how it wanders, breaks and branches, and the height of the skin around it.

A line is a narrow valley between soft rolls of skin; the rolls hold what the valley lacks, so that the mean height is
that of the mesh. All lengths are in mm of the front chart, which is nearly to scale on the face.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d

from facegen.morphable.default.relief.points import nearest
from facegen.morphable.default.relief.surface import texels
from facegen.morphable.default.uv import PER_MILLIMETRE, front_places, front_uv

Float = NDArray[np.float64]

STEP = 0.15
"""Spacing of the samples along a line."""


@dataclass(frozen=True)
class Stroke:
    """How a line is drawn."""

    depth: float
    """Of the valley in the middle of the line."""
    width: float
    """σ of the valley's profile."""
    roll: float
    """σ of the rolls beside it."""
    lean: float = 0.0
    """-1 … 1: how much more skin lies on the line's right (seen along it, from outside) than on its left."""
    wander: float = 1.0
    """Factor of the sideways noise."""
    uneven: float = 1.0
    """Factor of the noise of its depth."""
    taper: float = 0.35
    """Share of the line over which each end fades out."""


@dataclass(frozen=True)
class Line:
    """A line of m samples."""

    places: Float
    """(m, 2) of its smooth course in the chart."""
    offset: Float
    """(m,) where the valley runs, to the left of that."""
    depth: Float
    """(m,)."""
    stroke: Stroke

    @property
    def directions(self) -> Float:
        """(m, 2) unit vectors along it."""
        along = np.gradient(self.places, axis=0)
        return np.asarray(along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9), np.float64)

    @property
    def length(self) -> float:
        """Of its course."""
        return STEP * (len(self.places) - 1)


def course(points: Float) -> Float:
    """Samples (m, 2) every :data:`STEP` along a smooth curve through points (k, 2)."""
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    spline = make_interp_spline(knots, points, k=min(3, len(points) - 1))
    fine: Float = spline(np.linspace(0, knots[-1], max(int(knots[-1] / STEP) * 2, 4)))
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(round(float(length[-1]) / STEP), 3) + 1)
    return np.stack([np.interp(at, length, column) for column in fine.T], axis=1)


def noise(count: int, wavelength: float, generator: np.random.Generator) -> Float:
    """Smooth noise (count,) of unit variance along a line."""
    sigma = wavelength / 4 / STEP
    margin = int(4 * sigma) + 1
    values = gaussian_filter1d(generator.standard_normal(count + 2 * margin), sigma)[margin : margin + count]
    return np.asarray(values * np.sqrt(2 * np.sqrt(np.pi) * sigma), np.float64)


def drawn(places: Float, stroke: Stroke, generator: np.random.Generator) -> Line:
    """A line along a course (m, 2): it wanders, and is deeper here than there."""
    count = len(places)
    along = np.linspace(0, 1, count)
    wander = 0.32 * noise(count, 18, generator) + 0.11 * noise(count, 7, generator) + 0.05 * noise(count, 3, generator)
    ends = np.minimum(along, 1 - along) / max(stroke.taper, 1e-3)
    fade = np.sin(np.pi / 2 * ends.clip(0, 1)) ** 1.3
    uneven = 0.95 + stroke.uneven * (0.24 * noise(count, 12, generator) + 0.10 * noise(count, 4, generator))
    return Line(places, stroke.wander * wander, stroke.depth * fade * uneven.clip(0.12, 1.5), stroke)


def broken(places: Float, pieces: int, generator: np.random.Generator) -> list[Float]:
    """A course in a few pieces that overlap and stand a little beside one another."""
    count = len(places)
    cuts = np.linspace(0, 1, pieces + 1) + np.concatenate([[0], generator.uniform(-0.3, 0.3, pieces - 1) / pieces, [0]])
    across = np.gradient(places, axis=0)[:, ::-1] * (-1.0, 1.0) / STEP
    overlap = 3.0 / STEP
    result = []
    side = generator.choice([-1.0, 1.0])
    for a, b in pairwise(cuts):
        first, last = max(int(a * count - overlap), 0), min(int(b * count + overlap), count)
        tilt = np.linspace(generator.uniform(-0.5, 0.5), generator.uniform(-0.5, 0.5), last - first)
        result.append(places[first:last] + across[first:last] * (side * generator.uniform(0.3, 0.9) + tilt)[:, None])
        side = -side
    return result


def branches(line: Line, count: int, generator: np.random.Generator) -> list[Line]:
    """Side branches that leave a line at acute angles."""
    result = []
    for _ in range(count):
        start = int(generator.uniform(0.15, 0.85) * len(line.places))
        forward = generator.choice([-1.0, 1.0])
        angle = generator.choice([-1.0, 1.0]) * np.deg2rad(generator.uniform(14, 38))
        length = min(generator.uniform(4, 11), 0.4 * line.length)
        places = _ray(line.places[start] + line.offset[start] * _left(line.directions[start]),
                      forward * line.directions[start], angle, -0.6 * angle, length)  # fmt: skip
        depth = line.depth[start] * generator.uniform(0.45, 0.75)
        # It begins in the main valley, so only its far end fades.
        stroke = Stroke(depth, line.stroke.width * 0.8, line.stroke.roll * 0.7, wander=0.6 * line.stroke.wander)
        made = drawn(places, stroke, generator)
        fade = np.cos(np.pi / 2 * np.linspace(0, 1, len(places)))
        result.append(Line(places, made.offset - made.offset[0], depth * fade, stroke))
    return result


def strays(
    lines: list[Line],
    count: int,
    stroke: Stroke,
    spread: float,
    angle: float,
    length: float,
    generator: np.random.Generator,
) -> list[Line]:
    """Fine lines that run roughly along others.

    Args:
        lines: the main lines.
        count: how many.
        stroke: of a strong one.
        spread: standard distance from a main line.
        angle: standard angle to it, degrees.
        length: median length.
        generator: of chance.
    """
    result = []
    share = np.array([line.length for line in lines])
    for chosen in generator.choice(len(lines), count, p=share / share.sum()):
        line = lines[int(chosen)]
        at = int(generator.uniform(0, 1) * (len(line.places) - 1))
        direction = line.directions[at]
        middle = line.places[at] + _left(direction) * generator.normal(0, spread)
        turn = np.deg2rad(generator.normal(0, angle))
        long = length * np.exp(generator.normal(0, 0.35))
        turned = _turned(direction, turn)
        places = _ray(middle - turned * long / 2, turned, 0.0, np.deg2rad(generator.normal(0, 18)), long)
        fine = Stroke(stroke.depth * generator.uniform(0.35, 1), stroke.width, stroke.roll, wander=0.5, taper=0.5)
        result.append(drawn(places, fine, generator))
    return result


def _ray(start: Float, direction: Float, angle: float, bend: float, length: float) -> Float:
    """A course from a place, ``angle`` off a direction and then turning by ``bend``."""
    count = max(int(length / STEP), 4)
    heading = np.arctan2(direction[1], direction[0]) + angle + bend * np.linspace(0, 1, count)
    steps = STEP * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return np.asarray(start + np.cumsum(steps, axis=0) - steps[0], np.float64)


def _turned(direction: Float, angle: float) -> Float:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * direction[0] - s * direction[1], s * direction[0] + c * direction[1]])


def _left(direction: Float) -> Float:
    return np.asarray(direction[..., ::-1] * (-1.0, 1.0), np.float64)


class Canvas:
    """Heights over a texture, at ``SUB`` times its resolution."""

    SUB = 2

    def __init__(self, size: int) -> None:
        self._size = size * self.SUB
        self._uv = texels(self._size)
        self._valley = np.zeros((self._size, self._size))
        self._roll = np.zeros((self._size, self._size))

    def draw(self, lines: Iterable[Line]) -> None:
        """Add lines: where they cross, valleys do not become twice as deep."""
        for line in lines:
            self._draw(line)

    def add(self, centres: Float, depth: Float, radii: Float, angle: Float) -> None:
        """Add pits: at (n, 2), (n,) deep, of σ (n, 2) turned by (n,)."""
        for place, deep, (a, b), turn in zip(centres, depth, radii, angle, strict=True):
            box = self._box(place[None], 3.5 * max(a, b))
            if box is not None:
                x, y = np.moveaxis(front_places(self._uv[box]) - place, -1, 0)
                along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
                square = (along / a) ** 2 + (across / b) ** 2
                # The Laplacian of a Gaussian has no mean.
                self._roll[box] -= deep * (1 - square / 2) * np.exp(-square / 2)

    @property
    def heights(self) -> Float:
        """(2 size, 2 size) mm."""
        return np.asarray(self._roll - self._valley**0.25, np.float64)

    def _box(self, places: Float, margin: float) -> tuple[slice, slice] | None:
        uv = front_uv(places)
        low = np.floor((uv.min(axis=0) - margin * PER_MILLIMETRE) * self._size).astype(int).clip(0, self._size)
        high = np.ceil((uv.max(axis=0) + margin * PER_MILLIMETRE) * self._size).astype(int).clip(0, self._size)
        if (high <= low).any():
            return None
        return slice(self._size - high[1], self._size - low[1]), slice(low[0], high[0])

    def _draw(self, line: Line) -> None:
        stroke = line.stroke
        # The rolls' crests lie just outside the valley.
        crest = 0.9 * stroke.roll + 0.6 * stroke.width
        reach = crest + 2.6 * stroke.roll
        box = self._box(line.places, reach)
        if box is None:
            return
        places = front_places(self._uv[box])
        distance, sample = nearest(line.places, places.reshape(-1, 2), reach=reach)
        near = np.isfinite(distance)
        rows = sample[near]
        beside = places.reshape(-1, 2)[near] - line.places[rows]
        direction = line.directions[rows]
        across = direction[:, 0] * beside[:, 1] - direction[:, 1] * beside[:, 0]
        beyond = np.einsum("nd,nd->n", direction, beside)
        # Beyond its ends a line goes on as its last sample, which is next to nothing.
        depth = line.depth[rows] * np.exp(-((beyond / stroke.width) ** 2) / 2)
        valley = np.exp(-(((across - line.offset[rows]) / stroke.width) ** 2) / 2)
        left = np.exp(-(((across - crest) / stroke.roll) ** 2) / 2)
        right = np.exp(-(((across + crest) / stroke.roll) ** 2) / 2)
        roll = stroke.width / stroke.roll * (0.5 * (1 - stroke.lean) * left + 0.5 * (1 + stroke.lean) * right)
        flat = np.zeros((2, len(distance)))
        flat[0, near], flat[1, near] = (depth * valley) ** 4, depth * roll
        self._valley[box] += flat[0].reshape(places.shape[:2])
        self._roll[box] += flat[1].reshape(places.shape[:2])


def slopes(heights: Float, scale: Float) -> Float:
    """Slopes (size, size, 2) along growing u and v.

    Args:
        heights: (k size, k size) mm.
        scale: (size, size, 2) mm per unit of u and of v.
    """
    size = len(scale)
    factor = len(heights) // size
    by_u = np.gradient(heights, axis=1) * len(heights)
    by_v = -np.gradient(heights, axis=0) * len(heights)
    means = [part.reshape(size, factor, size, factor).mean(axis=(1, 3)) for part in (by_u, by_v)]
    return np.asarray(np.stack(means, axis=-1) / scale, np.float64)
