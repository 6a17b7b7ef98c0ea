"""The grain of the skin: a tile of pores and fine furrows that continues itself, and where on the head it is strong.

Furrows run between the cells of random points (Worley 1996, "A cellular texture basis function"), as those of skin do
between its plateaus; pores are small pits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from facegen.morphable.default.chart import BACK, FRONT
from facegen.morphable.default.levels import REGIONS
from facegen.morphable.default.relief.points import nearest, spread_points
from facegen.morphable.default.relief.surface import MeanFace, texels
from facegen.morphable.default.tables import read_yaml
from facegen.morphable.default.uv import PER_MILLIMETRE, TO_SCALE, front_places

Float = NDArray[np.float64]

_SEED = 7


def read_grain() -> dict[str, Any]:
    """``micro.yaml``."""
    return read_yaml("relief/micro.yaml")


def tile_slopes() -> Float:
    """(n, n, 2) slopes along growing u and v of a tile at full strength; row 0 is the top."""
    values = read_grain()
    heights = tile_heights(values)
    spacing = values["tile"]["millimetres"] / values["tile"]["texels"]
    by_u = (np.roll(heights, -1, axis=1) - np.roll(heights, 1, axis=1)) / (2 * spacing)
    by_v = (np.roll(heights, 1, axis=0) - np.roll(heights, -1, axis=0)) / (2 * spacing)
    slopes = np.stack([by_u, by_v], axis=-1)
    return np.asarray(slopes * values["tile"]["slope"] / np.sqrt((slopes**2).mean()), np.float64)


def tile_heights(values: dict[str, Any]) -> Float:
    """(n, n) heights of the tile, mm, periodic."""
    generator = np.random.default_rng(_SEED)
    side, count = float(values["tile"]["millimetres"]), int(values["tile"]["texels"])
    size = np.array([side, side])
    at = (np.arange(count) + 0.5) * side / count
    places = np.stack(np.meshgrid(at, at), axis=-1)
    sigma = float(values["undulation"]["wavelength"]) / 4 * count / side
    smooth = gaussian_filter(generator.standard_normal((count, count)), sigma, mode="wrap")
    heights = values["undulation"]["depth"] * smooth / smooth.std()
    for layer in values["furrows"]:
        points = spread_points(size, layer["spacing"], generator)
        distance, cells = nearest(points, places.reshape(-1, 2), count=2, size=size)
        border = (distance[:, 1] - distance[:, 0]) / 2
        # Furrows differ: each has the depth of the pair of cells beside it.
        depth = generator.uniform(0.3, 1.0, len(points))[cells].mean(axis=1)
        furrow = layer["depth"] * depth * np.exp(-((border / layer["width"]) ** 2) / 2)
        heights = heights - furrow.reshape(count, count)
    pores = values["pores"]
    centres = spread_points(size, pores["spacing"], generator)
    (narrow, wide), (least, most) = pores["radius"], pores["depth"]
    radius = generator.uniform(narrow, wide, len(centres))
    # Few are deep.
    depth = least + (most - least) * generator.uniform(0, 1, len(centres)) ** 2
    distance, pore = nearest(centres, places.reshape(-1, 2), size=size)
    pits = depth[pore] * np.exp(-((distance / radius[pore]) ** 2) / 2)
    heights = heights - pits.reshape(count, count)
    return np.asarray(heights, np.float64)


def strength(face: MeanFace, size: int) -> Float:
    """(size, size) factor of the grain, 0 … 1: nothing on eyes, teeth, lips and whatever else is no skin."""
    values = read_grain()["strength"]
    triangle = _triangle_of_texels(face, size)
    region, island = face.level.region[triangle], face.level.island[triangle]
    drawn = triangle >= 0
    front, lips = drawn & (island == FRONT), drawn & (region == REGIONS.index("lips"))
    texel = 1 / (size * PER_MILLIMETRE)
    by_region = np.array([values["regions"].get(name, 0.0) for name in REGIONS])[region]
    result = np.zeros((size, size))
    result[front] = _blended(by_region, front & ~lips, values["blend"] / texel)[front]
    uv = texels(size)
    places = front_places(uv)
    result = _with_places(result, places, values["places"], face)
    # Where the texture is squeezed the grain is drawn out, as it is behind.
    squeezed = ((np.linalg.norm(places, axis=-1) - TO_SCALE) / values["reach"]).clip(0, 1)
    result += (values["back"] - result) * squeezed
    result *= 1 - gaussian_filter(lips.astype(np.float64), values["lip_edge"] / texel)
    result[lips | ~front] = 0.0
    result[drawn & (island == BACK)] = values["back"]
    # What is sampled beside a border is what lies within.
    distance, within = distance_transform_edt(~drawn, return_indices=True)
    return np.where(distance <= _BORDER, result[tuple(within)], 0.0)


_BORDER = 2.0
"""Texels that the strength goes on beyond the islands."""


def _blended(values: Float, known: NDArray[np.bool_], sigma: float) -> Float:
    """Known values smoothed without those that are not known."""
    weight = gaussian_filter(known.astype(np.float64), sigma)
    return np.asarray(gaussian_filter(np.where(known, values, 0.0), sigma) / np.maximum(weight, 1e-6), np.float64)


def _with_places(base: Float, texels_at: Float, entries: list[dict[str, Any]], face: MeanFace) -> Float:
    """Named places take over where they are near."""
    total, sum_of_values, rest = np.zeros_like(base), np.zeros_like(base), np.ones_like(base)
    for entry in entries:
        for side in (1.0, -1.0) if entry["at"][0] else (1.0,):
            centre = face.front_places(np.array([entry["at"]]) * (side, 1.0))[0]
            near = np.exp(-((((texels_at - centre) / entry["radii"]) ** 2).sum(axis=-1)) / 2)
            total += near
            sum_of_values += near * entry["value"]
            rest *= 1 - near
    mean: Float = sum_of_values / np.maximum(total, 1e-9)
    return base * rest + mean * (1 - rest)


def _triangle_of_texels(face: MeanFace, size: int) -> NDArray[np.int64]:
    """(size, size) which triangle a texel's centre lies in; -1 where none does."""
    result = np.full((size, size), -1, np.int64)
    corners = face.uv[face.level.uv_triangles] * (size, -size) + (-0.5, size - 0.5)
    low = np.ceil(corners.min(axis=1) - 1e-9).astype(int).clip(0, size)
    high = np.floor(corners.max(axis=1) + 1e-9).astype(int).clip(-1, size - 1) + 1
    for number, ((left, top), (right, bottom)) in enumerate(zip(low, high, strict=True)):
        if right <= left or bottom <= top:
            continue
        x, y = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        a, b, c = corners[number]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        second = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        third = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        inside = (second >= -1e-6) & (third >= -1e-6) & (second + third <= 1 + 1e-6)
        result[top:bottom, left:right][inside] = number
    return result
