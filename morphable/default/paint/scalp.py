"""Short hair on the scalp."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from facegen.morphable.default.chart import FRONT, to_chart
from facegen.morphable.default.paint.canvas import Canvas, resampled, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import bent_strokes, combed_noise, draw_strokes, solid_noise, uniform

Float = NDArray[np.float64]


def paint_scalp(layers: Layers) -> None:
    """Short hair that grows away from the crown, thin and ragged at the hairline."""
    canvas, hair = layers.canvas, read_appearance()["hair"]
    depth = _scalp_depth(canvas)
    growth = _growth(canvas)
    fine, middle, locks = _strands(canvas, growth, depth > -12)
    zone = _recession(canvas, depth)
    # Close to the ear hair begins at once.
    beside_ear = 1 - step(3, 16, -canvas.depth(canvas.outline("ear")))
    ragged = sum(
        noise["by"] * solid_noise(canvas.sphere, noise["wavelength"], seed=160 + k).clip(-2, 2)
        for k, noise in enumerate(hair["ragged"])
    )
    within = depth + (1 - beside_ear) * (ragged + 0.7 * locks.clip(-2, 2)) + 2.5
    density = step(0, 1, within / (_ramp_width(canvas) * (1 - 0.5 * beside_ear)))
    density *= 1 - hair["recession"]["thin"] * zone
    # Single hairs show where texels are small.
    blur = 1.3 - 0.3 * canvas.in_face
    coverage = step(-1, 1, (1.6 * density**0.8 - 0.12 - uniform(fine + 0.4 * middle)) / blur)
    coverage += (density - coverage) * beside_ear
    coverage *= step(0.0, 0.15, density)
    coverage = 1 - (1 - 0.86 * coverage) * (1 - 0.80 * density)
    for number, kind in enumerate(("fringe", "baby_hairs")):
        coverage = 1 - (1 - coverage) * (1 - _single_hairs(canvas, growth, depth, zone, hair[kind], 64 + number))
    # Where texels are large their noise would look like tufts.
    shade = (hair["strands"] * fine + hair["clumps"] * middle) * (1 - 0.4 * canvas.behind) + hair["locks"] * locks
    shade += hair["patches"] * solid_noise(canvas.sphere, 34, seed=66) - hair["top"] * step(
        0.2, 0.9, canvas.direction[:, 1]
    )
    layers.cover(coverage, np.array(hair["density"]) + shade.clip(-0.75, 0.6)[:, None])
    grey = (0.58 + 0.42 * uniform(fine + 0.7 * middle)) * (0.82 + 0.18 * _temples(canvas))
    # Where hair recedes its colour must not stand out from the skin.
    pigmented = coverage * (1 - 0.5 * hair["recession"]["thin"] * zone)
    layers.weigh("hair_darkness", pigmented)
    layers.weigh("hair_redness", pigmented)
    layers.weigh("grey_hair", pigmented * grey)
    layers.weigh("hairline_recession", coverage * zone)


def _scalp_depth(canvas: Canvas) -> Float:
    """Distance (n,) inside the hairline, mm, negative on face and neck."""
    nape = to_chart(np.array(read_appearance()["hair"]["nape"], np.float64), FRONT)
    line = np.concatenate([canvas.outline("hairline"), nape])
    away, _ = canvas.near(resampled(line, 0.5), reach=60)
    closed = np.concatenate([line, line[::-1] * (-1, 1)])
    bare = canvas.depth(closed, reach=1) > 0
    return np.where(bare, -away, away)


def _ramp_width(canvas: Canvas) -> Float:
    """mm (n,) over which hair thickens: sharp above the forehead, a fade at temple, side-burn and nape."""
    up = canvas.direction[:, 1]
    return 13.0 + 7.0 * (1 - step(-0.05, 0.55, up))


def _recession(canvas: Canvas, depth: Float) -> Float:
    """Where (n,) the hairline recedes: first at its corners."""
    values = read_appearance()["hair"]["recession"]
    hairline = canvas.network.outlines["hairline"]
    nearest = np.linalg.norm(hairline - np.array(values["corner"]), axis=1).argmin()
    corner = canvas.bump(canvas.outline("hairline")[nearest], (values["radius"],) * 2)
    front = step(0.25, 0.5, canvas.direction[:, 1]) * step(-0.2, 0.25, canvas.direction[:, 2])
    band = np.exp(-0.5 * (depth / values["depth"]) ** 2)
    zone: Float = front * np.maximum(
        corner * np.exp(-0.5 * (depth / (1.8 * values["depth"])) ** 2), values["elsewhere"] * band
    )
    return zone.clip(0, 1)


def _temples(canvas: Canvas) -> Float:
    return canvas.bump(canvas.anchor(["temple_line", 0.75, 0, 8]), (34, 34))


def _strands(canvas: Canvas, growth: Float, chosen: NDArray[np.bool_]) -> tuple[Float, Float, Float]:
    """Fine and coarser strands and whole locks (n,), each of about unit variance."""
    grid = np.zeros((canvas.size, canvas.size, 2))
    grid[canvas.skin] = canvas.texel_flow(growth)
    where = canvas.skin.copy()
    where[canvas.skin] = chosen
    random = np.random.default_rng(62)
    found = []
    # Breadth in texels, mm a step, steps.
    for breadth, stride, reach in ((0.0, 0.5, 12), (1.4, 0.8, 11), (3.2, 1.2, 10)):
        source = random.standard_normal(where.shape)
        if breadth:
            source = gaussian_filter(source, breadth * canvas.size / 768)
        combed = combed_noise(source, grid * stride, where, reach)
        combed /= combed[where].std()
        found.append(combed[canvas.skin])
    return found[0], found[1], found[2]


def _growth(canvas: Canvas) -> Float:
    """Unit tangents (n, 3) along which hair grows: out of a whorl at the crown, forwards to one side, and down."""
    direction = canvas.direction
    crown = np.array(read_appearance()["hair"]["crown"], np.float64) - (0, -30, -10)
    crown /= np.linalg.norm(crown)
    away = direction - crown
    around = np.cross(crown, away)
    whorl = np.exp(-((np.linalg.norm(away, axis=1) / 0.35) ** 2))[:, None]
    front = (step(0.55, 0.85, direction[:, 1]) * step(-0.1, 0.5, direction[:, 2]))[:, None]
    bend = (
        0.2 * solid_noise(canvas.sphere, 50, seed=63)[:, None] + 0.1 * solid_noise(canvas.sphere, 14, seed=67)[:, None]
    )
    field = away + bend * np.cross(direction, away) + 1.3 * whorl * around
    field += np.array([0, -0.45, -0.1]) + front * np.array([0.5, 0, 0])
    tangent = field - (field * direction).sum(axis=1, keepdims=True) * direction
    unit: Float = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    return unit


def _single_hairs(canvas: Canvas, growth: Float, depth: Float, zone: Float, kind: dict[str, Any], seed: int) -> Float:
    """Coverage (n,) of single hairs at the hairline, in tufts of uneven number and direction."""
    random = np.random.default_rng(seed)
    low, high = kind["band"]
    likely = step(low, low + 0.4 * (high - low), depth) * (1 - step(high - 0.4 * (high - low), high, depth))
    tufts = solid_noise(canvas.sphere, kind["tufts"], seed=seed + 10)
    likely *= (0.12 + step(-0.6, 1.4, tufts)) * (1 - read_appearance()["hair"]["recession"]["thin"] * zone)
    # Behind the ears and at the nape texels are too coarse for hairs.
    likely *= step(0.02, 0.10, canvas.direction[:, 1]) * step(-0.15, 0.05, canvas.direction[:, 2])
    likely *= step(2, 6, -canvas.depth(canvas.outline("ear")))
    index = random.choice(len(likely), kind["count"], replace=False, p=likely / likely.sum())
    rows, columns = np.nonzero(canvas.skin)
    roots = np.stack([columns[index], rows[index]], axis=1) + random.uniform(-0.5, 0.5, (len(index), 2))
    flow = canvas.texel_flow(growth)[index]
    together = solid_noise(canvas.sphere[index], 1.4 * kind["tufts"], seed=seed + 20)
    turn = kind["turn"] * (together + 0.6 * random.standard_normal(len(index)))
    heading = flow * np.cos(turn)[:, None] + np.stack([-flow[:, 1], flow[:, 0]], axis=1) * np.sin(turn)[:, None]
    shortest, longest = kind["length"]
    length = shortest + (longest - shortest) * random.random(len(index)) ** 1.6
    lines = bent_strokes(roots, roots + heading * length[:, None], random.normal(0, 0.12, len(index)))
    amount = kind["amount"] * random.uniform(0.3, 1.0, (len(index), 1)) * np.array([0.7, 0.9, 1.0, 0.85, 0.6, 0.2])
    widths = kind["width"] * canvas.texels_per_mm * random.uniform(0.7, 1.2, (len(index), 1)) * np.ones(6)
    return draw_strokes(canvas.size, lines, widths, amount)[canvas.skin]
