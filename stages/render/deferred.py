"""Deferred shading: from a visibility buffer to an sRGB image and barycentric weights.

Each pixel is shaded once, at its centre, but those at edges, which :mod:`facegen.stages.render.edges` shades. Light is
linear until the last step.

Models with a texture have the albedo of its texels and a normal tilted by its relief. Both are for the image alone:
labels stay those of the mesh. numba compiles the loops once with and once without (``detail is None``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Triangles
from facegen.stages.render.detail import Detail
from facegen.stages.render.lanes import (
    COLOUR,
    KIND,
    LANES,
    Count,
    Indices,
    Points,
    compiled,
    interpolate,
    points,
    put_point,
    quantised,
    shade,
    weigh,
)
from facegen.stages.render.shading import F32, inline

Bytes = NDArray[np.uint8]

_LUT_SIZE = 4096


def srgb_encoding() -> NDArray[np.uint8]:
    """sRGB byte of linear values i / 4095 (IEC 61966-2-1)."""
    linear = np.arange(_LUT_SIZE) / (_LUT_SIZE - 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curve * 255).astype(np.uint8)


def srgb_decoding() -> F32:
    """Linear value of each sRGB byte."""
    byte = np.arange(256) / 255
    return np.where(byte <= 0.04045, byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4).astype(np.float32)


@compiled
def shade_surfaces(
    triangle_id: NDArray[np.int32],
    kind: NDArray[np.uint8],
    edge: NDArray[np.uint8],
    triangles: Triangles,
    camera: F32,
    attributes: F32,
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
    barycentric: NDArray[np.uint16],
) -> None:
    """Write ``image`` for all pixels but the edges, and ``barycentric`` for all.

    Args:
        triangle_id: (H, W) at the pixel centres.
        kind: (H, W) of :func:`mark_edges`, and so is ``edge``.
        camera: (V, 3) vertices in the camera frame.
        attributes: (V, 7 + M) of :func:`pack_attributes`, normals in the camera frame.
        polynomial: (3, 10) of :func:`~facegen.stages.render.shading.light_polynomial`.
        light_position: (M, 4) of the lights, homogeneous; ``light_colour`` (M, 3) their colours.
        background: (H, W, 3) sRGB.
        decode: (256,) sRGB to linear.
        encode: (4096,) linear to sRGB.
        detail: what stands for the albedo of the vertices, if anything does.
    """
    height, width = triangle_id.shape
    perspective = projection == PERSPECTIVE
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    # Flat, and indices unsigned: compiled code tests signed ones for a count from the end.
    triangle, corner, place = triangle_id.reshape(-1), triangles.reshape(-1), camera.reshape(-1)
    kinds, is_edge, behind = kind.reshape(-1), edge.reshape(-1), np.ascontiguousarray(background).reshape(-1)
    weight, shown = barycentric.reshape(-1), image.reshape(-1)
    light = polynomial, light_position, light_colour, perspective
    # Pixels of surfaces wait for a full set of lanes, and apart from them those of edges, of which only the weights
    # are wanted.
    found, at_edges = points(len(light_position)), points(1)
    pixels, edge_pixels = np.zeros(LANES, np.uint32), np.zeros(LANES, np.uint32)
    waiting, waiting_edges = np.uint64(0), np.uint64(0)
    for r in range(height):
        _clear_row(r * width, width, behind, shown, weight)
        v = (r + 0.5 - intrinsics[1, 2]) * down
        for c in range(width):
            p = np.uint64(r * width + c)
            if triangle[p] < 0:
                continue
            u, t = (c + 0.5 - intrinsics[0, 2]) * across, np.uint64(triangle[p])
            if is_edge[p]:
                put_point(at_edges, waiting_edges, t, corner, place, u, v)
                edge_pixels[waiting_edges] = p
                waiting_edges += np.uint64(1)
                if waiting_edges == np.uint64(LANES):
                    _label(LANES, edge_pixels, at_edges, perspective, weight)
                    waiting_edges = np.uint64(0)
            else:
                put_point(found, waiting, t, corner, place, u, v)
                found[5][np.uint64(KIND * LANES) + waiting] = np.float32(np.int32(kinds[p]) - np.int32(1))
                pixels[waiting] = p
                waiting += np.uint64(1)
                if waiting == np.uint64(LANES):
                    _label(LANES, pixels, found, perspective, weight)
                    interpolate(LANES, found, corner, attributes, decode, detail)
                    shade(found, light)
                    _show(LANES, pixels, found, encode, shown)
                    waiting = np.uint64(0)
    _label(np.int64(waiting_edges), edge_pixels, at_edges, perspective, weight)
    _label(np.int64(waiting), pixels, found, perspective, weight)
    interpolate(np.int64(waiting), found, corner, attributes, decode, detail)
    shade(found, light)
    _show(np.int64(waiting), pixels, found, encode, shown)


@inline
def _clear_row(first: int, width: int, background: Bytes, image: Bytes, barycentric: NDArray[np.uint16]) -> None:
    """Begin a row of pixels: background, and weights of 0."""
    for n in range(2 * first, 2 * (first + width)):
        barycentric[np.uint64(n)] = 0
    for n in range(3 * first, 3 * (first + width)):
        image[np.uint64(n)] = background[np.uint64(n)]


@compiled
def _label(count: Count, pixels: Indices, found: Points, perspective: bool, barycentric: NDArray[np.uint16]) -> None:
    """Write the quantised weights of pixels' points to ``barycentric``, and to the points what they stand for."""
    _, corners, rays, weights, shares, _, _, _, whole = found
    weigh(corners, rays, perspective, weights)
    quantised(weights, whole)
    for n in range(LANES):
        f1 = np.float32(whole[n]) * np.float32(1.0 / UNIT)
        f2 = np.float32(whole[LANES + n]) * np.float32(1.0 / UNIT)
        shares[n], shares[LANES + n], shares[2 * LANES + n] = np.float32(1.0) - f1 - f2, f1, f2
    for m in range(count):
        lane, at = np.uint64(m), np.uint64(2) * np.uint64(pixels[np.uint64(m)])
        barycentric[at], barycentric[at + np.uint64(1)] = whole[lane], whole[np.uint64(LANES) + lane]


@inline
def _show(count: Count, pixels: Indices, found: Points, encode: Bytes, image: Bytes) -> None:
    """Write the colours of pixels' points to ``image``."""
    values, entry = found[5], found[8]
    for n in range(3 * LANES):
        entry[n] = table_entry(values[COLOUR * LANES + n])
    for m in range(count):
        lane, at = np.uint64(m), np.uint64(3) * np.uint64(pixels[np.uint64(m)])
        image[at] = encode[np.uint64(entry[lane])]
        image[at + np.uint64(1)] = encode[np.uint64(entry[np.uint64(LANES) + lane])]
        image[at + np.uint64(2)] = encode[np.uint64(entry[np.uint64(2 * LANES) + lane])]


@inline
def table_entry(value: np.float32) -> np.int32:
    """Where the table of bytes has a linear value."""
    clipped = min(max(value, np.float32(0.0)), np.float32(1.0))
    return np.int32(clipped * np.float32(_LUT_SIZE - 1) + np.float32(0.5))
