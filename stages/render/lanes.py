"""Points of surfaces, weighed and shaded many at a time.

Each point has a lane: its values lie in rows of constant length, a row a quantity, which lets the compiler see that
reads and writes do not overlap and use vector registers (measured: 10 times as fast).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.rows import weighted8
from facegen.imaging.visibility import UNIT, Point, inside, weights_on_outline, weights_on_plane
from facegen.stages.render.detail import Detail, grain_at, relief_at, texture_at, tilted
from facegen.stages.render.shading import (
    F32,
    RGB,
    Light,
    from_around,
    from_light,
    inline,
    position_at,
    towards_point,
    towards_viewer,
    unit,
)

F64 = NDArray[np.float64]
Indices = NDArray[np.uint32] | NDArray[np.int32]
Count = int | np.int64
Ints = NDArray[np.int32]
Lights = tuple[F32, F32, F32, bool]
"""Polynomial (3, 10) of the light from around, positions (M, 4), colours (M, 3), whether the camera is perspective."""
Points = tuple[Indices, F32, F64, F64, F32, F32, F32, F32, Ints]
"""Of the lanes: triangles, corners, rays, weights in float64 and float32, values, shares of the lights, slopes, and
whole numbers."""

LANES = 64

# Rows of what shading knows of each lane; the first are columns of the packed attributes, where the lights after the
# first have theirs at the end.
_NORMAL, SEEN, _LIT, ALBEDO, KIND, _RAY, _VIEWER, COLOUR, _POINT = 0, 3, 4, 5, 8, 9, 11, 14, 17
_ROWS = 20

PACKED = 7
"""Columns of packed attributes, to which each light adds one."""

compiled = numba.njit(
    cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract", "nsz", "nnan", "ninf"}
)


@compiled
def pack_attributes(normals: F32, occlusion: F32, lit: F32, albedo: F32 | None, attributes: F32) -> None:
    """Put what shading interpolates side by side, for the cache's sake, in ``attributes`` (V, 7 + M).

    Normal, occlusion, share of the first light, albedo, and the shares of the other lights; ``lit`` is (M, V) and
    ``normals`` (V, 3), or (V, 4) with something after them.
    """
    # Flat, because row lengths that the compiler does not know cost time at every index.
    packed, rows = attributes.reshape(-1), np.ascontiguousarray(normals).reshape(-1)
    colours = packed if albedo is None else np.ascontiguousarray(albedo).reshape(-1)
    stride, step, three_ = np.uint64(attributes.shape[1]), np.uint64(normals.shape[1]), np.uint64(3)
    lights, count = lit.shape
    for n in range(count):
        i = np.uint64(n)
        _copy_three(rows, step * i, packed, stride * i)
        packed[stride * i + np.uint64(SEEN)], packed[stride * i + np.uint64(_LIT)] = occlusion[i], lit[0, i]
        if albedo is not None:
            _copy_three(colours, three_ * i, packed, stride * i + np.uint64(ALBEDO))
    for m in range(1, lights):
        for n in range(count):
            attributes[n, PACKED + m] = lit[m, n]


@inline
def _copy_three(values: F32, start: np.uint64, out: F32, at: np.uint64) -> None:
    out[at], out[at + np.uint64(1)] = values[start], values[start + np.uint64(1)]
    out[at + np.uint64(2)] = values[start + np.uint64(2)]


@compiled
def points(lights: int) -> Points:
    """Room for points in the light of so many lights."""
    return (
        np.zeros(LANES, np.uint32),
        np.ones(9 * LANES, np.float32),
        np.zeros(2 * LANES, np.float64),
        np.zeros(2 * LANES, np.float64),
        np.zeros(3 * LANES, np.float32),
        np.ones(_ROWS * LANES, np.float32),
        np.ones(lights * LANES, np.float32),
        np.zeros(8 * LANES, np.float32),
        np.zeros(3 * LANES, np.int32),
    )


@inline
def put_point(found: Points, n: np.uint64, t: np.uint64, corner: Indices, place: F32, u: float, v: float) -> None:
    """Put the point of triangle t on the ray (u, v) into lane n; ``corner`` is (3T,) and ``place`` (3V,)."""
    triangle, corners, rays = found[0], found[1], found[2]
    triangle[n] = t
    rays[n], rays[np.uint64(LANES) + n] = u, v
    at = np.uint64(3) * t
    for k in range(3):
        i = np.uint64(3) * np.uint64(corner[at + np.uint64(k)])
        for axis in range(3):
            corners[np.uint64((3 * k + axis) * LANES) + n] = place[i + np.uint64(axis)]


@inline
def _corner(corners: F32, k: int, n: int) -> Point:
    """Corner k of lane n in float64."""
    return (
        np.float64(corners[3 * k * LANES + n]),
        np.float64(corners[(3 * k + 1) * LANES + n]),
        np.float64(corners[(3 * k + 2) * LANES + n]),
    )


# Not the fast arithmetic of shading: these weights are labels.
@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=False)
def weigh(corners: F32, rays: F64, perspective: bool, weights: F64) -> None:
    """Write the weights of corners 1 and 2 where the rays meet their triangles."""
    missed = 0
    for n in range(LANES):
        a, b, c = _corner(corners, 0, n), _corner(corners, 1, n), _corner(corners, 2, n)
        w1, w2 = weights_on_plane(a, b, c, rays[n], rays[LANES + n], perspective)
        weights[n] = w1
        weights[LANES + n] = w2
        missed += 0 if inside(w1, w2) else 1
    if missed == 0:
        return
    for n in range(LANES):
        if not inside(weights[n], weights[LANES + n]):
            a, b, c = _corner(corners, 0, n), _corner(corners, 1, n), _corner(corners, 2, n)
            w1, w2 = weights_on_outline(a, b, c, rays[n], rays[LANES + n], perspective)
            weights[n], weights[LANES + n] = w1, w2


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=False)
def quantised(weights: F64, whole: Ints) -> None:
    """As :func:`facegen.imaging.visibility.quantise`, in 32 bits, of which vector registers make whole numbers."""
    for n in range(LANES):
        first, second = weights[n] * UNIT + 0.5, weights[LANES + n] * UNIT + 0.5
        whole[n] = np.int32(first)
        whole[LANES + n] = min(np.int32(second), np.int32(np.int32(UNIT) - whole[n]))


@inline
def three(values: F32, row: int, n: int) -> RGB:
    """Three rows of lane n."""
    return values[row * LANES + n], values[(row + 1) * LANES + n], values[(row + 2) * LANES + n]


@inline
def put_three(values: F32, row: int, n: int, numbers: RGB) -> None:
    """Write three rows of lane n."""
    values[row * LANES + n], values[(row + 1) * LANES + n], values[(row + 2) * LANES + n] = numbers


@compiled
def interpolate(
    count: Count, found: Points, corner: Indices, attributes: F32, decode: F32, detail: Detail | None
) -> None:
    """Write normals, occlusion, shares of the lights and albedo of ``count`` points, whose weights are known."""
    triangle, corners, _, _, shares, values, lit, slopes, _ = found
    one, two = np.uint64(1), np.uint64(2)
    packed, stride = attributes.reshape(-1), np.uint64(attributes.shape[1])
    lights = len(lit) // LANES
    for m in range(count):
        n = np.uint64(m)
        f0, f1, f2 = shares[n], shares[np.uint64(LANES) + n], shares[np.uint64(2 * LANES) + n]
        at = np.uint64(3) * np.uint64(triangle[n])
        a, b, c = (
            stride * np.uint64(corner[at]),
            stride * np.uint64(corner[at + one]),
            stride * np.uint64(corner[at + two]),
        )
        nx, ny, nz, seen, first_lit, red, green, blue = weighted8(packed, a, b, c, f0, f1, f2)
        values[n], values[np.uint64(LANES) + n], values[np.uint64(2 * LANES) + n] = nx, ny, nz
        values[np.uint64(SEEN * LANES) + n], values[np.uint64(_LIT * LANES) + n] = seen, first_lit
        if detail is None:
            values[np.uint64(ALBEDO * LANES) + n] = red
            values[np.uint64((ALBEDO + 1) * LANES) + n] = green
            values[np.uint64((ALBEDO + 2) * LANES) + n] = blue
        for light in range(1, lights):
            k = np.uint64(PACKED + light)
            lit[np.uint64(light * LANES) + n] = f0 * packed[a + k] + f1 * packed[b + k] + f2 * packed[c + k]
    if detail is not None:
        _look_up(count, triangle, shares, decode, detail, values, slopes)
        _tilt(corners, slopes, values)


@compiled
def _look_up(
    count: Count, triangle: Indices, shares: F32, decode: F32, detail: Detail, values: F32, slopes: F32
) -> None:
    """Albedo from the texture; rows of ``slopes``: 0-1 u and v along side 1, 2-3 side 2, 4-5 slopes, 6-7 u and v."""
    corner_uv, texture, relief, micro, micro_strength, micro_repeats, fade = detail
    for n in range(count):
        f0, f1, f2 = shares[n], shares[LANES + n], shares[2 * LANES + n]
        t = np.uint64(triangle[n])
        u0, v0, u1 = corner_uv[t, 0], corner_uv[t, 1], corner_uv[t, 2]
        v1, u2, v2 = corner_uv[t, 3], corner_uv[t, 4], corner_uv[t, 5]
        u, v = f0 * u0 + f1 * u1 + f2 * u2, f0 * v0 + f1 * v1 + f2 * v2
        put_three(values, ALBEDO, n, texture_at(texture, decode, u, v))
        along_u, along_v = relief_at(relief, u, v)
        slopes[n], slopes[LANES + n] = u1 - u0, v1 - v0
        slopes[2 * LANES + n], slopes[3 * LANES + n] = u2 - u0, v2 - v0
        slopes[4 * LANES + n], slopes[5 * LANES + n] = along_u, along_v
        slopes[6 * LANES + n], slopes[7 * LANES + n] = u, v
    # Apart, because the code alone slows the loop above, and small images show no grain.
    if fade > np.float32(0.0):
        for n in range(count):
            u, v = slopes[6 * LANES + n], slopes[7 * LANES + n]
            along_u, along_v = grain_at(micro, micro_strength, micro_repeats, fade, u, v)
            slopes[4 * LANES + n] += along_u
            slopes[5 * LANES + n] += along_v


@compiled
def _tilt(corners: F32, slopes: F32, values: F32) -> None:
    """Tilt the normals in ``values``."""
    for n in range(LANES):
        x, y, z = three(corners, 0, n)
        bx, by, bz = three(corners, 3, n)
        cx, cy, cz = three(corners, 6, n)
        normal = tilted(
            three(values, _NORMAL, n), (bx - x, by - y, bz - z), (cx - x, cy - y, cz - z),
            slopes[n], slopes[LANES + n], slopes[2 * LANES + n], slopes[3 * LANES + n],
            (slopes[4 * LANES + n], slopes[5 * LANES + n]),
        )  # fmt: skip
        put_three(values, _NORMAL, n, normal)


@compiled
def shade(found: Points, light: Lights) -> None:
    """Write the colours, linear RGB, of points whose attributes and materials are known."""
    _, corners, rays, weights, _, values, lit, _, _ = found
    polynomial, position, colour, perspective = light
    _light_from_around(rays, polynomial, perspective, values)
    placed = False
    for m in range(len(position)):
        if m > 0:
            for n in range(LANES):
                values[_LIT * LANES + n] = lit[m * LANES + n]
        if position[m, 3] == np.float32(0.0):
            _add_light_at_infinity(values, _row(position, m), _row(colour, m))
        else:
            if not placed:
                _place(corners, weights, perspective, values)
                placed = True
            _add_point_light(values, _row(position, m), _row(colour, m))


@inline
def _row(array: F32, k: int) -> RGB:
    return array[k, 0], array[k, 1], array[k, 2]


@inline
def _coefficients(p: F32, k: int) -> Light:
    return p[k, 0], p[k, 1], p[k, 2], p[k, 3], p[k, 4], p[k, 5], p[k, 6], p[k, 7], p[k, 8], p[k, 9]


@compiled
def _light_from_around(rays: F64, polynomial: F32, perspective: bool, values: F32) -> None:
    """Make the normals unit and the rays unit vectors to the viewer, and start the colours: the light from around."""
    sh = _coefficients(polynomial, 0), _coefficients(polynomial, 1), _coefficients(polynomial, 2)
    for n in range(LANES):
        values[_RAY * LANES + n] = np.float32(rays[n])
        values[(_RAY + 1) * LANES + n] = np.float32(rays[LANES + n])
    for n in range(LANES):
        normal = unit(three(values, _NORMAL, n))
        viewer = towards_viewer(values[_RAY * LANES + n], values[(_RAY + 1) * LANES + n], perspective)
        colour = from_around(normal, values[SEEN * LANES + n], three(values, ALBEDO, n), sh)
        put_three(values, _NORMAL, n, normal)
        put_three(values, _VIEWER, n, viewer)
        put_three(values, COLOUR, n, colour)


@compiled
def _place(corners: F32, weights: F64, perspective: bool, values: F32) -> None:
    """Write the points that the rays meet."""
    for n in range(LANES):
        a, b, c = corners[2 * LANES + n], corners[5 * LANES + n], corners[8 * LANES + n]
        z = a + np.float32(weights[n]) * (b - a) + np.float32(weights[LANES + n]) * (c - a)
        ray = values[_RAY * LANES + n], values[(_RAY + 1) * LANES + n]
        put_three(values, _POINT, n, position_at(ray, z, perspective))


# Two loops, because a condition within one would keep it from vector registers.
@compiled
def _add_light_at_infinity(values: F32, direction: RGB, light_colour: RGB) -> None:
    for n in range(LANES):
        _add(values, n, values[_LIT * LANES + n], direction, light_colour)


@compiled
def _add_point_light(values: F32, position: RGB, light_colour: RGB) -> None:
    for n in range(LANES):
        direction, left = towards_point(position, three(values, _POINT, n))
        _add(values, n, values[_LIT * LANES + n] * left, direction, light_colour)


@inline
def _add(values: F32, n: int, lit: np.float32, direction: RGB, light_colour: RGB) -> None:
    """Add a light to the colour of lane n."""
    added = from_light(
        three(values, _NORMAL, n), values[SEEN * LANES + n], lit, three(values, ALBEDO, n),
        three(values, _VIEWER, n), values[KIND * LANES + n], direction, light_colour,
    )  # fmt: skip
    red, green, blue = three(values, COLOUR, n)
    put_three(values, COLOUR, n, (red + added[0], green + added[1], blue + added[2]))
