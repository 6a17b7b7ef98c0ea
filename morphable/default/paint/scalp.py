"""Short hair on the scalp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from facegen.morphable.default.chart import FRONT, to_chart
from facegen.morphable.default.paint.canvas import Canvas, resampled, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import bent_strokes, combed_noise, draw_strokes, solid_noise, uniform

Float = NDArray[np.float64]


def paint_scalp(layers: Layers) -> None:
    """Short hair that grows away from the crown, thin at the hairline."""
    canvas, hair = layers.canvas, read_appearance()["hair"]
    depth = _scalp_depth(canvas)
    strands, clumps = _strands(canvas, depth > -9)
    zone = _recession(canvas, depth)
    # Close to the ear hair begins at once.
    beside_ear = 1 - step(3, 16, -canvas.depth(canvas.outline("ear")))
    ramp = _ramp_width(canvas) * (1 - 0.5 * beside_ear)
    wander = 1.3 * solid_noise(canvas.sphere, 16, seed=60) + 1.0 * solid_noise(canvas.sphere, 5, seed=61)
    growth = step(0, 1, (depth + (1 - beside_ear) * (wander.clip(-3, 3) + 1.0) + 1.0) / ramp) * (1 - 0.25 * zone)
    # Single hairs show where texels are small.
    blur = 1.0 - 0.55 * canvas.in_face
    coverage = step(-1, 1, (1.5 * growth**0.75 - 0.08 - uniform(strands + 0.15 * clumps)) / blur)
    coverage += (growth - coverage) * beside_ear
    coverage *= step(0.0, 0.1, growth)
    coverage = 1 - (1 - 0.88 * coverage) * (1 - 0.72 * growth) * (1 - _baby_hairs(canvas, depth))
    # Where texels are large their noise would look like tufts.
    shade = (hair["strands"] * strands + hair["clumps"] * clumps) * (0.5 + 0.5 * ~canvas.behind)
    density = np.array(hair["density"]) + shade.clip(-0.55, 0.55)[:, None]
    layers.cover(coverage, density)
    grey = (0.62 + 0.38 * uniform(strands + 0.5 * clumps)) * (0.86 + 0.14 * _temples(canvas))
    layers.weigh("hair_darkness", coverage)
    layers.weigh("hair_redness", coverage)
    layers.weigh("grey_hair", coverage * grey)
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
    return 12.0 + 8.0 * (1 - step(-0.05, 0.55, up))


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


def _strands(canvas: Canvas, chosen: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Fine and coarse strands (n,), of about unit variance."""
    flow = canvas.texel_flow(_growth(canvas))
    grid = np.zeros((canvas.size, canvas.size, 2))
    grid[canvas.skin] = flow
    where = canvas.skin.copy()
    where[canvas.skin] = chosen
    random = np.random.default_rng(62)
    white = random.standard_normal(where.shape)
    coarse = gaussian_filter(random.standard_normal(where.shape), 1.6)
    found = []
    for source, step_length, reach in ((white, 0.5, 9), (coarse, 0.8, 9)):
        combed = combed_noise(source, grid * step_length, where, reach)
        combed /= combed[where].std()
        found.append(combed[canvas.skin])
    return found[0], found[1]


def _growth(canvas: Canvas) -> Float:
    """Unit tangents (n, 3) along which hair grows: away from the crown, and down the sides."""
    crown = np.array(read_appearance()["hair"]["crown"], np.float64) - (0, -30, -10)
    away = canvas.direction - crown / np.linalg.norm(crown)
    bend = 0.14 * solid_noise(canvas.sphere, 50, seed=63)[:, None] * np.cross(canvas.direction, away)
    field = away + bend + np.array([0, -0.45, -0.1])
    tangent = field - (field * canvas.direction).sum(axis=1, keepdims=True) * canvas.direction
    unit: Float = tangent / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
    return unit


def _baby_hairs(canvas: Canvas, depth: Float) -> Float:
    """Coverage (n,) of single short hairs at the hairline's edge."""
    kind = read_appearance()["hair"]["baby_hairs"]
    random = np.random.default_rng(64)
    low, high = kind["band"]
    likely = step(low, 0.4 * low, depth) * (1 - step(0.5 * high, high, depth))
    # Behind the ears and at the nape texels are too coarse for hairs.
    likely *= step(0.02, 0.10, canvas.direction[:, 1]) * step(-0.15, 0.05, canvas.direction[:, 2])
    likely *= step(2, 6, -canvas.depth(canvas.outline("ear")))
    index = np.flatnonzero(random.random(len(depth)) < likely)
    index = random.choice(index, min(kind["count"], len(index)), replace=False)
    rows, columns = np.nonzero(canvas.skin)
    roots = np.stack([columns[index], rows[index]], axis=1) + random.uniform(-0.5, 0.5, (len(index), 2))
    flow = canvas.texel_flow(_growth(canvas))[index] * np.where(random.random(len(index)) < 0.5, 1, -1)[:, None]
    turn = random.normal(0, 0.35, len(index))
    heading = flow + np.stack([-flow[:, 1], flow[:, 0]], axis=1) * turn[:, None]
    shortest, longest = kind["length"]
    length = random.uniform(shortest, longest, len(index))
    lines = bent_strokes(roots, roots + heading * length[:, None], random.normal(0, 0.08, len(index)))
    amount = kind["amount"] * random.uniform(0.3, 1.0, (len(index), 1)) * np.array([1.0, 1.0, 0.95, 0.8, 0.6, 0.3])
    widths = np.full(amount.shape, kind["width"] * canvas.texels_per_mm)
    return draw_strokes(canvas.size, lines, widths, amount)[canvas.skin]
