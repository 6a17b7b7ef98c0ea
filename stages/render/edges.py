"""Anti-aliasing: pixels at the edges of surfaces.

A pixel with a neighbour of another material or another depth averages nine samples with the trapezoidal weights
1 2 1 / 2 4 2 / 1 2 1 over its square, where samples of one surface (same material, near depth) share their colour;
eyes, which have paint finer than their triangles, shade all nine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.rasterise_marked import list_marked
from facegen.morphable.topology import Triangles
from facegen.stages.render.deferred import table_entry
from facegen.stages.render.detail import Detail
from facegen.stages.render.lanes import (
    ALBEDO,
    COLOUR,
    KIND,
    LANES,
    Count,
    Indices,
    Lights,
    Points,
    compiled,
    interpolate,
    points,
    put_point,
    put_three,
    shade,
    three,
    weigh,
)
from facegen.stages.render.shading import F32, RGB, eye_paint, inline
from facegen.stages.render.surface import EYE

Index = int | np.uint64 | np.uint32
Bytes = NDArray[np.uint8]
Eye = tuple[F32, np.float32, RGB]
"""Directions (3V,) of the eyes' vertices, the iris's radius and colour."""

_EDGE = np.float32(0.004)  # step of the depth key, relative to it, that separates two surfaces
_BLOCK = 256
"""Edge pixels of which the surfaces are listed before their samples are averaged."""

# The nine samples of an edge pixel, centre first: offsets in half pixels and trapezoidal weights.
_SAMPLE_ROW = np.array([0, -1, -1, -1, 0, 0, 1, 1, 1])
_SAMPLE_COLUMN = np.array([0, -1, 0, 1, -1, 1, -1, 0, 1])
_SAMPLE_WEIGHT = np.array([4, 1, 2, 1, 2, 2, 1, 2, 1], np.float32) / np.float32(16)


@compiled
def mark_edges(
    triangle_id: NDArray[np.int32],
    key: F32,
    material: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    edge: NDArray[np.uint8],
) -> None:
    """Mark the pixels of which one sample does not tell the colour: beside another material or depth, and all eyes.

    Args:
        triangle_id: (H, W), -1 for the background, and ``key`` (H, W) the depth keys.
        material: (T,).
        kind: (H, W) is overwritten: 0 for the background, 1 + material elsewhere.
        edge: (H, W) the result, 1 or 0.
    """
    height, width = triangle_id.shape
    for r in range(height):
        for c in range(width):
            t = triangle_id[r, c]
            kind[r, c] = material[t] + 1 if t >= 0 else 0
    for r in range(height):
        up, down = max(r - 1, 0), min(r + 1, height - 1)
        # The ends of the row apart, so that the loop between them has no conditions.
        edge[r, 0] = _differs(key, kind, r, 0, up, down, 0, min(1, width - 1))
        for c in range(1, width - 1):
            # Unsigned: compiled code tests signed indices for a count from the end, which keeps it from vectors.
            edge[r, c] = _differs(
                key,
                kind,
                np.uint64(r),
                np.uint64(c),
                np.uint64(up),
                np.uint64(down),
                np.uint64(c - 1),
                np.uint64(c + 1),
            )
        edge[r, width - 1] = _differs(key, kind, r, width - 1, up, down, max(width - 2, 0), width - 1)


@inline
def _differs(
    key: F32, kind: NDArray[np.uint8], r: Index, c: Index, up: Index, down: Index, left: Index, right: Index
) -> np.uint8:
    k, m = key[r, c], kind[r, c]
    other = (kind[up, c] != m) | (kind[down, c] != m) | (kind[r, left] != m) | (kind[r, right] != m)
    # Second differences: a surface seen at a grazing angle is steep but straight, a step is neither.
    across, along = key[r, left] + key[r, right] - k - k, key[up, c] + key[down, c] - k - k
    step = max(max(across, -across), max(along, -along))
    return np.uint8((m == EYE + 1) | other | (step > _EDGE * k))


@compiled
def shade_edges(
    triangle_id: NDArray[np.int32],
    edge: NDArray[np.uint8],
    fine_triangle: NDArray[np.int32],
    fine_key: F32,
    triangles: Triangles,
    camera: F32,
    attributes: F32,
    material: NDArray[np.uint8],
    eye_direction: F32,
    iris_radius: np.float32,
    iris_rgb: F32,
    polynomial: F32,
    light_position: F32,
    light_colour: F32,
    intrinsics: NDArray[np.float64],
    projection: int,
    background: NDArray[np.uint8],
    decode: F32,
    encode: NDArray[np.uint8],
    detail: Detail | None,
    image: NDArray[np.uint8],
) -> None:
    """Write ``image`` for the edge pixels; arguments as for
    :func:`~facegen.stages.render.deferred.shade_surfaces`, and

    Args:
        fine_triangle: (2H + 1, 2W + 1) of :func:`facegen.imaging.rasterise.fill_near_edges`, and so is ``fine_key``.
        material: (T,).
        eye_direction: (V, 3) see :class:`facegen.stages.render.surface.Surface`, and so is ``iris_radius``.
        iris_rgb: (3,) linear RGB.
    """
    width = triangle_id.shape[1]
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    corner, place, behind = triangles.reshape(-1), camera.reshape(-1), np.ascontiguousarray(background).reshape(-1)
    sample_triangle, sample_key, shown = fine_triangle.reshape(-1), fine_key.reshape(-1), image.reshape(-1)
    light = polynomial, light_position, light_colour, projection == PERSPECTIVE
    eye = eye_direction.reshape(-1), iris_radius, (iris_rgb[0], iris_rgb[1], iris_rgb[2])
    found = points(len(light_position))
    pixels = np.empty(edge.size + 1, np.int32)
    pixels = pixels[: list_marked(edge.reshape(-1), pixels)]
    # Of the block's pixels the surface of each sample, -1 for the background, and the surfaces' colours.
    surface = np.empty(9 * _BLOCK, np.int32)
    colours = np.empty(3 * 9 * _BLOCK, np.float32)
    # Surfaces met inside the pixel: depth key, material, number.
    met_key, met_kind, met = np.empty(9, np.float32), np.empty(9, np.uint8), np.empty(9, np.int32)
    for first in range(0, len(pixels), _BLOCK):
        block = pixels[first : first + _BLOCK]
        surfaces, shaded = 0, 0
        for i in range(len(block)):
            r, c = block[i] // width, block[i] % width
            meetings = 0
            # The centre first: it gives the colour to the samples of its surface.
            for n in range(9):
                dy, dx = _SAMPLE_ROW[n], _SAMPLE_COLUMN[n]
                at = np.uint64((2 * r + 1 + dy) * (2 * width + 1) + 2 * c + 1 + dx)
                if sample_triangle[at] < 0:
                    surface[9 * i + n] = -1
                    continue
                t = np.uint64(sample_triangle[at])
                kind, key = material[t], sample_key[at]
                known = -1
                if kind != EYE:
                    for m in range(meetings):
                        if met_kind[m] == kind and abs(met_key[m] - key) <= _EDGE * key:
                            known = met[m]
                            break
                if known < 0:
                    known = surfaces
                    met_key[meetings], met_kind[meetings], met[meetings] = key, kind, known
                    meetings += 1
                    lane = np.uint64(surfaces - shaded)
                    u = (c + 0.5 + 0.5 * dx - intrinsics[0, 2]) * across
                    v = (r + 0.5 + 0.5 * dy - intrinsics[1, 2]) * down
                    put_point(found, lane, t, corner, place, u, v)
                    found[5][np.uint64(KIND * LANES) + lane] = np.float32(kind)
                    surfaces += 1
                    if surfaces - shaded == LANES:
                        _shade_samples(LANES, found, corner, attributes, eye, light, decode, detail, colours, shaded)
                        shaded = surfaces
                surface[9 * i + n] = known
        count = surfaces - shaded
        _shade_samples(count, found, corner, attributes, eye, light, decode, detail, colours, shaded)
        for i in range(len(block)):
            _average(np.uint64(block[i]), surface, 9 * i, colours, behind, decode, encode, shown)


@compiled
def _shade_samples(
    count: Count,
    found: Points,
    corner: Indices,
    attributes: F32,
    eye: Eye,
    light: Lights,
    decode: F32,
    detail: Detail | None,
    colours: F32,
    first: int,
) -> None:
    """Write the colours, clamped, of ``count`` points to ``colours``, whose first is number ``first``."""
    triangle, corners, rays, weights, shares, values, _, _, _ = found
    direction, iris_radius, iris = eye
    weigh(corners, rays, light[3], weights)
    for n in range(LANES):
        f1, f2 = np.float32(weights[n]), np.float32(weights[LANES + n])
        shares[n], shares[LANES + n], shares[2 * LANES + n] = np.float32(1.0) - f1 - f2, f1, f2
    interpolate(count, found, corner, attributes, decode, detail)
    for n in range(count):
        if values[KIND * LANES + n] == np.float32(EYE):
            f0, f1, f2 = shares[n], shares[LANES + n], shares[2 * LANES + n]
            at = np.uint64(3) * np.uint64(triangle[n])
            a, b, c = corner[at], corner[at + np.uint64(1)], corner[at + np.uint64(2)]
            towards = (
                _weighted(direction, 0, a, b, c, f0, f1, f2),
                _weighted(direction, 1, a, b, c, f0, f1, f2),
                _weighted(direction, 2, a, b, c, f0, f1, f2),
            )
            put_three(values, ALBEDO, n, eye_paint(towards, iris_radius, iris, three(values, ALBEDO, n)))
    shade(found, light)
    # Clamped before averaging, so that a highlight's edge is anti-aliased as it is seen.
    for n in range(count):
        red, green, blue = three(values, COLOUR, n)
        at = np.uint64(3 * (first + n))
        colours[at], colours[at + np.uint64(1)] = min(red, np.float32(1.0)), min(green, np.float32(1.0))
        colours[at + np.uint64(2)] = min(blue, np.float32(1.0))


@inline
def _weighted(
    array: F32, k: int, a: Index, b: Index, c: Index, w0: np.float32, w1: np.float32, w2: np.float32
) -> np.float32:
    """Column k of rows a, b, c, weighted."""
    column, three_ = np.uint64(k), np.uint64(3)
    value: np.float32 = (
        w0 * array[three_ * np.uint64(a) + column]
        + w1 * array[three_ * np.uint64(b) + column]
        + w2 * array[three_ * np.uint64(c) + column]
    )
    return value


@inline
def _average(
    p: np.uint64,
    surface: NDArray[np.int32],
    first: int,
    colours: F32,
    background: Bytes,
    decode: F32,
    encode: Bytes,
    image: Bytes,
) -> None:
    """Write the average of a pixel's samples, whose surfaces are listed from ``first`` on."""
    at = np.uint64(3) * p
    red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for n in range(9):
        weight, seen = _SAMPLE_WEIGHT[n], surface[np.uint64(first + n)]
        if seen < 0:
            red += weight * decode[background[at]]
            green += weight * decode[background[at + np.uint64(1)]]
            blue += weight * decode[background[at + np.uint64(2)]]
        else:
            begin = np.uint64(3 * seen)
            red += weight * colours[begin]
            green += weight * colours[begin + np.uint64(1)]
            blue += weight * colours[begin + np.uint64(2)]
    image[at] = encode[table_entry(red)]
    image[at + np.uint64(1)] = encode[table_entry(green)]
    image[at + np.uint64(2)] = encode[table_entry(blue)]
