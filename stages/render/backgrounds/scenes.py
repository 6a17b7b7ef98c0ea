"""Scenes that stand out of focus behind a face: walls, rooms, books, bricks, curtains, leaves, land, lights.

Each function takes a random generator and draws a canvas (h, w, 3) of linear light; lengths are in its heights. Light
may be more than 1: a window is brighter than white paper, and the lens spreads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.backgrounds.colours import colour, colours
from facegen.stages.render.backgrounds.config import SceneName, TextureBackground
from facegen.stages.render.backgrounds.finish import to_bytes, working_size
from facegen.stages.render.backgrounds.painting import add_discs, fill, fractal_noise
from facegen.stages.render.linear import disc_blur

F32 = NDArray[np.float32]
Rng = np.random.Generator


@dataclass
class Scene:
    """What is drawn, before and after the lens."""

    canvas: F32
    """(h, w, 3) linear light, in focus."""
    points: F32
    """(n, 6) points of light, which the lens makes discs: row and column in heights, size relative to the disc of
    confusion, linear RGB of the disc."""


def draw_scene(config: TextureBackground, rng: Rng, height: int, width: int) -> NDArray[np.uint8]:
    """sRGB (height, width, 3)."""
    names = list(config.scenes)
    bounds = np.cumsum(list(config.scenes.values()))
    chosen = names[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right").clip(0, len(names) - 1))]
    radius = float(np.clip(config.blur.draw(rng, 1)[0], 0.5, 25)) / 100 * height
    h, w = working_size(height, width, radius)
    scene = SCENES[chosen](rng, h, w)
    # The whole in more or less light, as cameras find it.
    light = disc_blur(scene.canvas * np.float32(2 ** rng.uniform(-0.9, 0.4)), radius * h / height)
    if len(scene.points):
        row, column = (scene.points[:, k] * np.float32(h) for k in range(2))
        add_discs(light, row, column, scene.points[:, 2] * np.float32(radius * h / height), scene.points[:, 3:].copy())
    return to_bytes(light, height, width, config.grain, rng)


def _no_points() -> F32:
    return np.zeros((0, 6), np.float32)


def _position(h: int, w: int) -> tuple[F32, F32]:
    """Heights below the top (h, 1) and right of the left edge (1, w) of the pixels' centres."""
    down, right = (((np.arange(n, dtype=np.float32) + np.float32(0.5)) / np.float32(h)) for n in (h, w))
    return down[:, None], right[None]


def _paint(rng: Rng) -> F32:
    """The colour of a wall: mostly pale and hardly coloured, now and then dark or strong."""
    kind = rng.random()
    if kind < 0.65:
        return colour(rng.normal(0.1, 0.06), rng.uniform(0.02, 0.18), rng.uniform(0.6, 0.9))
    if kind < 0.85:
        return colour(rng.normal(0.58, 0.08), rng.uniform(0.03, 0.25), rng.uniform(0.4, 0.8))
    return colour(rng.random(), rng.uniform(0.1, 0.4), rng.uniform(0.15, 0.55))


def _wood(rng: Rng) -> F32:
    return colour(rng.normal(0.075, 0.015), rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.65))


def _thing(rng: Rng) -> F32:
    """The colour of some object: grey, brown, or any."""
    if rng.random() < 0.6:
        return colour(rng.normal(0.08, 0.03), rng.uniform(0.0, 0.5), rng.uniform(0.08, 0.7))
    return colour(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.1, 0.7))


def _things(rng: Rng, count: tuple[int, ...]) -> F32:
    """(*count, 3) colours of :func:`_thing`, all at once."""
    n = math.prod(count)
    brown = rng.random(n) < 0.6
    hue = np.where(brown, rng.normal(0.08, 0.03, n), rng.random(n))
    saturation = np.where(brown, rng.uniform(0.0, 0.5, n), rng.uniform(0.1, 0.65, n))
    return colours(hue, saturation, rng.uniform(0.08, 0.7, n)).reshape(*count, 3)


class _Rectangles:
    """Rectangles to paint, the last on top."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []

    def add(self, top: float, left: float, bottom: float, right: float, light: F32) -> None:
        """Bounds in heights of the canvas, linear RGB."""
        self._rows.append((top, left, bottom, right, *light.tolist()))

    def paint(self, canvas: F32) -> None:
        """Put them on ``canvas`` (h, w, 3)."""
        fill(canvas, np.array(self._rows, np.float32).reshape(-1, 7))


def _falloff(rng: Rng, h: int, w: int, strength: float) -> F32:
    """(h, w, 1) light that falls off from a side, mostly downwards."""
    down, right = _position(h, w)
    angle = rng.normal(math.pi / 2, 0.9)
    along = (right - np.float32(w / h / 2)) * np.float32(math.cos(angle)) + (down - 0.5) * np.float32(math.sin(angle))
    light: F32 = np.exp2(-np.float32(strength) * 2 * along)[..., None]
    return light


def _plaster(rng: Rng, h: int, w: int) -> F32:
    """A lit wall (h, w, 3), with a corner in half of all rooms."""
    light = _falloff(rng, h, w, rng.uniform(0.2, 0.9))
    light = light * (1 + np.float32(0.12) * (fractal_noise(rng, h, w, rng.uniform(1, 3), 4)[..., None] - 0.5))
    if rng.random() < 0.5:
        corner = rng.uniform(0.1, 0.9) * w
        light[:, : int(corner)] *= np.float32(rng.uniform(0.45, 0.85))
    canvas: F32 = (light * _paint(rng)).astype(np.float32)
    return canvas


def wall(rng: Rng, h: int, w: int) -> Scene:
    """A bare wall, sometimes with a lower half of another colour."""
    canvas = _plaster(rng, h, w)
    if rng.random() < 0.3:
        dado = round(rng.uniform(0.5, 0.85) * h)
        canvas[dado:] *= _paint(rng) * np.float32(1.2)
        canvas[dado : dado + max(h // 60, 1)] *= np.float32(0.6)
    return Scene(canvas, _no_points())


def room(rng: Rng, h: int, w: int) -> Scene:
    """A wall with a window or a door, pictures, furniture, perhaps a lamp."""
    canvas = _plaster(rng, h, w)
    aspect = w / h
    bright = float(canvas.max())
    painted = _Rectangles()
    if rng.random() < 0.55:
        # A window and what is seen through it, with a frame and bars.
        left, top = rng.uniform(-0.15, aspect - 0.15), rng.uniform(-0.1, 0.25)
        wide, tall = rng.uniform(0.25, 0.55), rng.uniform(0.4, 0.75)
        frame = colour(0.1, rng.uniform(0, 0.15), rng.uniform(0.5, 0.95)) * np.float32(0.7)
        painted.add(top - 0.02, left - 0.02, top + tall + 0.02, left + wide + 0.02, frame)
        sky = colour(0.58, rng.uniform(0.0, 0.3), 1.0) * np.float32(rng.uniform(0.8, 2.6))
        painted.add(top, left, top + tall, left + wide, sky)
        if rng.random() < 0.5:
            below = colour(rng.uniform(0.2, 0.35), 0.4, rng.uniform(0.3, 0.7))
            painted.add(top + tall * rng.uniform(0.4, 0.8), left, top + tall, left + wide, below)
        for bar in np.arange(1, rng.integers(1, 4)) / 3:
            painted.add(top, left + wide * bar - 0.008, top + tall, left + wide * bar + 0.008, frame)
    elif rng.random() < 0.5:
        left, wide, top = rng.uniform(-0.2, aspect), rng.uniform(0.25, 0.4), rng.uniform(0.0, 0.3)
        leaf = _wood(rng) if rng.random() < 0.5 else _paint(rng)
        painted.add(top - 0.03, left - 0.03, 1.1, left + wide + 0.03, leaf * np.float32(1.1))
        painted.add(top, left, 1.1, left + wide, leaf * np.float32(0.8))
    for _ in range(rng.integers(0, 4)):
        left, top = rng.uniform(-0.1, aspect), rng.uniform(0.02, 0.5)
        wide, tall = rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)
        painted.add(top - 0.015, left - 0.015, top + tall + 0.015, left + wide + 0.015, _wood(rng) * np.float32(bright))
        painted.add(top, left, top + tall, left + wide, _thing(rng) * np.float32(0.9))
        if rng.random() < 0.5:
            middle = top + tall * rng.uniform(0.3, 0.7)
            painted.add(middle, left, top + tall, left + wide, _thing(rng) * np.float32(0.9))
    for _ in range(rng.integers(1, 5)):
        # Furniture stands on the floor; its top is lit, its front less.
        left, top = rng.uniform(-0.3, aspect), rng.uniform(0.5, 0.95)
        wide, front = rng.uniform(0.2, 0.7), _thing(rng) * np.float32(0.6)
        painted.add(top, left, 1.1, left + wide, front)
        painted.add(top, left, top + 0.03, left + wide, front * np.float32(1.8))
    painted.paint(canvas)
    points = _no_points()
    if rng.random() < 0.25:
        warm = colour(0.09, rng.uniform(0.2, 0.5), 1.0)
        row, column = rng.uniform(0.05, 0.5), rng.uniform(0, aspect)
        down, right = _position(h, w)
        near = (down - np.float32(row)) ** 2 + (right - np.float32(column)) ** 2
        canvas += (np.float32(0.35) / (1 + 30 * near))[..., None] * warm
        points = np.array([[row, column, rng.uniform(1.2, 2.2), *warm * rng.uniform(0.5, 1.5)]], np.float32)
    canvas *= np.float32(1) + np.float32(0.08) * (fractal_noise(rng, h, w, 6, 3)[..., None] - 0.5)
    return Scene(canvas, points)


def shelves(rng: Rng, h: int, w: int) -> Scene:
    """Books on shelves."""
    wood = _wood(rng) if rng.random() < 0.6 else _paint(rng)
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:] = wood * np.float32(0.12)
    shelf, board, aspect = rng.uniform(0.2, 0.34), 0.028, w / h
    foot = np.arange(rng.random() * shelf, 1 + shelf, shelf + board)
    # Books of all shelves at once, more than fit; some of them are gaps.
    count = len(foot), int(aspect / 0.03) + 4
    wide = rng.uniform(0.018, 0.055, count)
    gap = rng.random(count) < 0.06
    wide[gap] += rng.uniform(0, 0.12, int(gap.sum()))
    left = np.cumsum(wide, axis=1) - wide - 0.1 * rng.random((len(foot), 1))
    tall = shelf * rng.uniform(0.6, 0.88, count)
    bottom = np.broadcast_to(foot[:, None], count)
    spine = np.empty((*count, 7), np.float32)
    spine[..., 0], spine[..., 1] = bottom - tall, left
    spine[..., 2], spine[..., 3] = bottom, left + 0.93 * wide
    label = spine.copy()
    label[..., 0] = bottom - tall * rng.uniform(0.6, 0.85, count)
    label[..., 2] = label[..., 0] + 0.02
    spine[..., 4:] = _things(rng, count) * rng.uniform(0.5, 1.0, count)[..., None]
    label[..., 4:] = _things(rng, count)
    fill(canvas, spine[~gap])
    fill(canvas, label[~gap & (rng.random(count) < 0.3)])
    boards = _Rectangles()
    for y in foot.tolist():
        boards.add(y, 0, y + board, aspect, wood * np.float32(0.8))
    for x in np.arange(rng.uniform(0, 0.7), aspect, rng.uniform(0.6, 1.0)).tolist():
        boards.add(0, x, 1, x + 0.03, wood * np.float32(0.7))
    boards.paint(canvas)
    return Scene(canvas * _falloff(rng, h, w, rng.uniform(0.1, 0.6)), _no_points())


def bricks(rng: Rng, h: int, w: int) -> Scene:
    """A wall of bricks or of tiles, each of a tone of its own, seen a little from the side."""
    down, right = _position(h, w)
    tiles = rng.random() < 0.35
    # Not finer than the canvas shows: the lens would have made it one tone.
    tall = max(rng.uniform(0.08, 0.2) if tiles else rng.uniform(0.045, 0.09), 5 / h)
    wide = tall * (rng.uniform(1.0, 2.0) if tiles else rng.uniform(2.6, 3.4))
    # Perspective of a wall that recedes to one side.
    depth = 1 + np.float32(rng.uniform(-0.35, 0.35)) * (right / np.float32(w / h) - 0.5)
    y = (down - 0.5) * depth / np.float32(tall) + 64
    course = np.floor(y).astype(np.int64)
    x = right * depth / np.float32(wide) + 64 + (0 if tiles else np.float32(0.5) * (course % 2))
    number = np.floor(x).astype(np.int64)
    tone = rng.random((64, 64), np.float32)[course % 64, number % 64][..., None]
    body = _paint(rng) if tiles or rng.random() < 0.3 else colour(rng.normal(0.035, 0.012), 0.55, 0.5)
    mortar = colour(0.1, 0.06, rng.uniform(0.4, 0.8))
    joint = rng.uniform(0.02, 0.04) if tiles else rng.uniform(0.08, 0.16)
    # In pixels from the middle of the joint, whose border is a pixel soft: thin joints would come and go.
    half = max(joint * tall * h, 1) / 2
    off = np.minimum(
        (0.5 - np.abs(y - course - 0.5)) * np.float32(tall * h), (0.5 - np.abs(x - number - 0.5)) * np.float32(wide * h)
    )
    seam = np.clip(np.float32(half + 0.5) - off, 0, 1)[..., None]
    canvas = body * (1 + np.float32(0.15 if tiles else 0.9) * (tone - 0.5))
    canvas = canvas + seam * (mortar - canvas)
    rough = 1 + np.float32(0.3) * (fractal_noise(rng, h, w, 12, 3)[..., None] - 0.5)
    return Scene((canvas * rough * _falloff(rng, h, w, rng.uniform(0.1, 0.6))).astype(np.float32), _no_points())


def curtain(rng: Rng, h: int, w: int) -> Scene:
    """Folds of cloth, or panels of wood."""
    _, right = _position(h, w)
    aspect = w / h
    if rng.random() < 0.5:
        # Folds: a wave whose phase wanders.
        folds = rng.uniform(5, 14)
        wander = fractal_noise(rng, 1, w, 2, 2)[0] if w > 1 else np.zeros(w, np.float32)
        slow = fractal_noise(rng, h, w, 1.2, 2) - 0.5
        phase = right * np.float32(folds) + 3 * wander[None] + np.float32(0.5) * slow
        wave = 0.5 + 0.5 * np.sin(np.float32(2 * math.pi) * phase)
        cloth = _thing(rng) * np.float32(1.3)
        canvas = cloth * (np.float32(0.3) + np.float32(0.7) * wave[..., None])
    else:
        panel = rng.uniform(0.08, 0.22)
        number = np.floor(right / np.float32(panel)).astype(np.int64)
        tone = rng.random(int(aspect / panel) + 2, np.float32)[number][..., None]
        along = fractal_noise(rng, max(h // 6, 2), w, 6, 3)
        grain = np.repeat(along, -(-h // len(along)), axis=0)[:h][..., None]
        wood = _wood(rng) if rng.random() < 0.7 else _paint(rng)
        canvas = wood * (np.float32(0.75) + np.float32(0.3) * tone + np.float32(0.35) * (grain - 0.5))
        gap = (right / np.float32(panel) - number) < 0.05
        canvas = canvas * np.where(gap, np.float32(0.35), np.float32(1))[..., None]
    return Scene((canvas * _falloff(rng, h, w, rng.uniform(0.1, 0.6))).astype(np.float32), _no_points())


def _leaves(rng: Rng, h: int, w: int, cells: float) -> F32:
    """(h, w, 3) leaves in sun and shade."""
    hue, saturation = rng.normal(0.26, 0.035), rng.uniform(0.3, 0.65)
    dark, lit = colour(hue + 0.04, saturation, 0.16), colour(hue - 0.03, saturation * 0.75, rng.uniform(0.4, 0.68))
    coarse, fine = fractal_noise(rng, h, w, cells, 3), fractal_noise(rng, h, w, 4 * cells, 3, 0.8)
    share = np.clip((coarse + np.float32(0.9) * fine - np.float32(0.65)) * np.float32(2.2), 0, 1)[..., None]
    other = np.clip((fractal_noise(rng, h, w, 2 * cells, 2)[..., None] - 0.5) * 3, 0, 1) * np.float32(0.5)
    ripe = colour(rng.normal(0.14, 0.04), 0.6, 0.6)
    canvas: F32 = ((dark + share * (lit - dark)) * (1 - other * share) + ripe * other * share * share).astype(
        np.float32
    )
    return canvas


def foliage(rng: Rng, h: int, w: int) -> Scene:
    """Leaves, with the sky coming through as discs."""
    canvas = _leaves(rng, h, w, rng.uniform(3, 6))
    down, _ = _position(h, w)
    gaps = fractal_noise(rng, h, w, rng.uniform(2, 4), 4, 0.6)
    open_sky = np.clip((gaps - (np.float32(rng.uniform(0.58, 0.75)) + np.float32(0.35) * down)) * 10, 0, 1)[..., None]
    sky = colour(0.56, rng.uniform(0.0, 0.35), 1.0) * np.float32(rng.uniform(0.8, 1.6))
    canvas += open_sky * (sky - canvas)
    count = int(rng.integers(0, 40))
    rows, columns = rng.random(count) ** 1.6, rng.random(count) * w / h
    bright = rng.random(count)[:, None] ** 2 * 0.45
    tint = colour(rng.normal(0.18, 0.05), 0.35, 1.0)
    points = np.column_stack([rows, columns, rng.uniform(1.0, 1.8, count), bright * tint])
    return Scene(canvas, points.astype(np.float32))


def landscape(rng: Rng, h: int, w: int) -> Scene:
    """Sky, something on the horizon, ground."""
    down, right = _position(h, w)
    horizon = rng.uniform(0.35, 0.85)
    overcast = rng.random()
    zenith = colour(rng.normal(0.59, 0.015), 0.6 * (1 - overcast), 0.85 - 0.1 * overcast)
    haze = colour(rng.normal(0.57, 0.03), 0.15 * (1 - overcast), 0.97)
    share = np.clip(down / np.float32(horizon), 0, 1)[..., None]
    clouds = np.clip((fractal_noise(rng, h, w, rng.uniform(1.5, 3), 4)[..., None] - 0.5) * 2.5, 0, 1)
    canvas = zenith + share * (haze - zenith) + 0.0 * right[..., None]
    canvas = (canvas + clouds * np.float32(0.6) * (np.float32(0.95) - canvas)).astype(np.float32)
    ridge = fractal_noise(rng, 1, w, rng.uniform(1.5, 5), 4, 0.55)[0] if w > 1 else np.zeros(w, np.float32)
    top = np.float32(horizon) - np.float32(rng.uniform(0.1, 0.5)) * ridge[None]
    built = rng.random() < 0.4
    if built:
        edge = np.maximum.accumulate((rng.random(w) < 9 / w).astype(np.int64) * np.arange(w))
        top = top[:, edge]
        house = rng.random(w, np.float32)[edge][:, None]
        pitch = min(20.0, h / 5)
        windows = ((down * pitch % 1 > 0.5) & (right * pitch % 1 > 0.5))[..., None]
        things = _paint(rng) * (np.float32(0.35) + np.float32(0.5) * house) * (1 - np.float32(0.45) * windows)
    else:
        things = _leaves(rng, h, w, rng.uniform(4, 8))
    cover = np.clip((down - top) * h + 0.5, 0, 1)[..., None]
    canvas += cover * (things - canvas)
    ground = _leaves(rng, h, w, 5) * np.float32(0.8) + np.float32(0.04) if not built else (
        colour(0.1, 0.05, rng.uniform(0.35, 0.65)) + 0.0 * canvas
    )  # fmt: skip
    near = 1 + np.float32(0.5) * (fractal_noise(rng, h, w, 5, 3)[..., None] - 0.5)
    canvas += np.clip((down - np.float32(horizon)) * h * 0.2, 0, 1)[..., None] * (ground * near - canvas)
    return Scene(canvas.astype(np.float32), _no_points())


def lights(rng: Rng, h: int, w: int) -> Scene:
    """Lamps and windows at night or in a dark hall."""
    aspect = w / h
    hue = rng.choice([0.07, 0.6, 0.8])
    canvas = colour(hue, 0.4, 0.2) * (0.3 + fractal_noise(rng, h, w, 2, 3)[..., None]) * _falloff(rng, h, w, 0.6)
    canvas = canvas.astype(np.float32)
    painted = _Rectangles()
    for _ in range(rng.integers(3, 9)):
        left, top = rng.uniform(-0.2, aspect), rng.uniform(-0.1, 0.9)
        painted.add(top, left, top + rng.uniform(0.1, 0.6), left + rng.uniform(0.05, 0.4),
            _thing(rng) * np.float32(rng.uniform(0.02, 0.25)),
        )  # fmt: skip
    painted.paint(canvas)
    count = int(rng.integers(8, 45))
    # In rows along streets and ceilings, more than anywhere.
    level, slope = rng.uniform(0.2, 0.8), rng.uniform(-0.3, 0.3)
    columns = rng.random(count) * aspect
    rows = np.where(
        rng.random(count) < 0.6, level + slope * columns + 0.05 * rng.standard_normal(count), rng.random(count)
    )
    size = rng.uniform(1.2, 2.4) * rng.uniform(0.7, 1.2, count)
    hues = rng.choice([0.08, 0.1, 0.12, 0.0, 0.55, 0.33], count)
    tint = colours(hues, rng.uniform(0.15, 0.75, count), np.ones(count))
    bright = 0.08 + 0.8 * rng.random((count, 1)) ** 2.5
    return Scene(canvas, np.column_stack([rows, columns, size, bright * tint]).astype(np.float32))


SCENES: Mapping[SceneName, Callable[[Rng, int, int], Scene]] = {
    "wall": wall,
    "room": room,
    "shelves": shelves,
    "bricks": bricks,
    "curtain": curtain,
    "foliage": foliage,
    "landscape": landscape,
    "lights": lights,
}
"""Scene → what draws it."""
