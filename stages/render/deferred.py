"""Deferred shading and anti-aliasing: from a visibility buffer to an sRGB image and barycentric weights.

Each pixel is shaded once, at its centre, unless a neighbour shows another material or another depth. Such an edge pixel
averages nine samples with the trapezoidal weights 1 2 1 / 2 4 2 / 1 2 1 over its square, where samples of one surface
(same material, near depth) share their colour; eyes, which have paint finer than their triangles, shade all nine.
Light is linear until the last step.

Models with a texture have the albedo of its texels and a normal tilted by its relief. Both are for the image alone:
labels stay those of the mesh. numba compiles the loops once with and once without (``detail is None``).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.visibility import (
    UNIT,
    Point,
    inside,
    point,
    quantise,
    weights_on_outline,
    weights_on_plane,
    weights_on_ray,
)
from facegen.morphable.topology import Triangles
from facegen.stages.render.detail import Detail, grain_at, relief_at, texture_at, tilted
from facegen.stages.render.shading import (
    F32,
    RGB,
    Light,
    eye_paint,
    from_around,
    from_light,
    inline,
    position_at,
    towards_point,
    towards_viewer,
    unit,
)
from facegen.stages.render.surface import EYE

Index = int | np.uint64

_EDGE = np.float32(0.004)  # step of the depth key, relative to it, that separates two surfaces
_LUT_SIZE = 4096
_LANES = 64
"""Pixels shaded together. Values lie lane by lane in rows of this constant length, which lets the compiler see that
reads and writes do not overlap and use vector registers (measured: 10 times as fast)."""

# The nine samples of an edge pixel, centre first: offsets in half pixels and trapezoidal weights.
_SAMPLE_ROW = np.array([0, -1, -1, -1, 0, 0, 1, 1, 1])
_SAMPLE_COLUMN = np.array([0, -1, 0, 1, -1, 1, -1, 0, 1])
_SAMPLE_WEIGHT = np.array([4, 1, 2, 1, 2, 2, 1, 2, 1], np.float32) / np.float32(16)

# Rows of what shading knows of each lane; the first are columns of the packed attributes, where the lights after the
# first have theirs at the end.
_NORMAL, _SEEN, _LIT, _ALBEDO, _KIND, _RAY, _VIEWER, _COLOUR, _POINT = 0, 3, 4, 5, 8, 9, 11, 14, 17
_SHARED, _ROWS = 8, 20

_compile = numba.njit(
    cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract", "nsz", "nnan", "ninf"}
)


def srgb_encoding() -> NDArray[np.uint8]:
    """sRGB byte of linear values i / 4095 (IEC 61966-2-1)."""
    linear = np.arange(_LUT_SIZE) / (_LUT_SIZE - 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curve * 255).astype(np.uint8)


def srgb_decoding() -> F32:
    """Linear value of each sRGB byte."""
    byte = np.arange(256) / 255
    return np.where(byte <= 0.04045, byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4).astype(np.float32)


@_compile
def pack_attributes(normals: F32, occlusion: F32, lit: F32, albedo: F32 | None, attributes: F32) -> None:
    """Put what shading interpolates side by side, for the cache's sake, in ``attributes`` (V, 7 + M).

    Normal, occlusion, share of the first light, albedo, and the shares of the other lights; ``lit`` is (M, V).
    """
    for i in range(attributes.shape[0]):
        attributes[i, 0], attributes[i, 1], attributes[i, 2] = normals[i, 0], normals[i, 1], normals[i, 2]
        attributes[i, 3], attributes[i, 4] = occlusion[i], lit[0, i]
        if albedo is not None:
            attributes[i, 5], attributes[i, 6], attributes[i, 7] = albedo[i, 0], albedo[i, 1], albedo[i, 2]
    for m in range(1, lit.shape[0]):
        for i in range(attributes.shape[0]):
            attributes[i, _column(m)] = lit[m, i]


@inline
def _column(m: int) -> int:
    """Which of the packed attributes is the share of light m."""
    return _LIT if m == 0 else _SHARED - 1 + m


@_compile
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


@inline
def _interpolate(array: F32, k: int, a: int, b: int, c: int, w0: np.float32, w1: np.float32, w2: np.float32) -> RGB:
    """Columns k, k + 1, k + 2 of rows a, b, c, weighted."""
    return (
        w0 * array[a, k] + w1 * array[b, k] + w2 * array[c, k],
        w0 * array[a, k + 1] + w1 * array[b, k + 1] + w2 * array[c, k + 1],
        w0 * array[a, k + 2] + w1 * array[b, k + 2] + w2 * array[c, k + 2],
    )


@inline
def _rgb(values: F32) -> RGB:
    return values[0], values[1], values[2]


@inline
def _light(p: F32, k: int) -> Light:
    return p[k, 0], p[k, 1], p[k, 2], p[k, 3], p[k, 4], p[k, 5], p[k, 6], p[k, 7], p[k, 8], p[k, 9]


@inline
def _row(array: F32, k: int) -> RGB:
    return array[k, 0], array[k, 1], array[k, 2]


@inline
def _is_point(light_position: F32, m: int) -> bool:
    point: bool = light_position[m, 3] != np.float32(0.0)
    return point


@inline
def _three(values: F32, row: int, n: int) -> RGB:
    """Three rows of lane n."""
    return values[row * _LANES + n], values[(row + 1) * _LANES + n], values[(row + 2) * _LANES + n]


@inline
def _put(values: F32, row: int, n: int, three: RGB) -> None:
    values[row * _LANES + n], values[(row + 1) * _LANES + n], values[(row + 2) * _LANES + n] = three


@inline
def _byte(value: np.float32, encode: NDArray[np.uint8]) -> np.uint8:
    clipped = min(max(value, np.float32(0.0)), np.float32(1.0))
    byte: np.uint8 = encode[int(clipped * np.float32(_LUT_SIZE - 1) + np.float32(0.5))]
    return byte


@_compile
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
    scale = np.float32(1.0 / UNIT)
    cx, cy = intrinsics[0, 2], intrinsics[1, 2]
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    pixel = np.empty((_LANES, 2), np.int32)
    corners = np.ones(9 * _LANES, np.float32)
    rays = np.zeros(2 * _LANES, np.float64)
    weights = np.zeros(2 * _LANES, np.float64)
    values = np.ones(_ROWS * _LANES, np.float32)
    lights, any_point = len(light_position), False
    lit = np.ones(lights * _LANES, np.float32)
    for m in range(lights):
        any_point |= _is_point(light_position, m)
    if detail is not None:
        corner_uv, texture, relief, micro, micro_strength, micro_repeats, fade = detail
        slopes = np.zeros(8 * _LANES, np.float32)
    waiting = 0
    for r in range(height):
        for c in range(width):
            t = triangle_id[r, c]
            if t < 0:
                barycentric[r, c, 0] = 0
                barycentric[r, c, 1] = 0
                for k in range(3):
                    image[r, c, k] = background[r, c, k]
            else:
                pixel[waiting, 0], pixel[waiting, 1] = r, c
                rays[waiting], rays[_LANES + waiting] = (c + 0.5 - cx) * across, (r + 0.5 - cy) * down
                for k in range(3):
                    i = triangles[t, k]
                    corners[3 * k * _LANES + waiting] = camera[i, 0]
                    corners[(3 * k + 1) * _LANES + waiting] = camera[i, 1]
                    corners[(3 * k + 2) * _LANES + waiting] = camera[i, 2]
                waiting += 1
            last = r == height - 1 and c == width - 1
            if waiting == _LANES or (last and waiting > 0):
                _weigh_lanes(corners, rays, perspective, weights)
                for n in range(waiting):
                    pr, pc = pixel[n, 0], pixel[n, 1]
                    w1, w2 = weights[n], weights[_LANES + n]
                    if not inside(w1, w2):
                        w1, w2 = weights_on_outline(
                            _corner(corners, 0, n), _corner(corners, 1, n), _corner(corners, 2, n),
                            rays[n], rays[_LANES + n], perspective,
                        )  # fmt: skip
                        weights[n], weights[_LANES + n] = w1, w2
                    q1, q2 = quantise(w1, w2)
                    barycentric[pr, pc, 0] = q1
                    barycentric[pr, pc, 1] = q2
                    f1, f2 = np.float32(q1) * scale, np.float32(q2) * scale
                    f0 = np.float32(1.0) - f1 - f2
                    seen_triangle = triangle_id[pr, pc]
                    ia, ib, ic = triangles[seen_triangle, 0], triangles[seen_triangle, 1], triangles[seen_triangle, 2]
                    for k in range(_SHARED if detail is None else _ALBEDO):
                        values[k * _LANES + n] = (
                            f0 * attributes[ia, k] + f1 * attributes[ib, k] + f2 * attributes[ic, k]
                        )
                    for m in range(1, lights):
                        k = _column(m)
                        lit[m * _LANES + n] = f0 * attributes[ia, k] + f1 * attributes[ib, k] + f2 * attributes[ic, k]
                    if detail is not None and not edge[pr, pc]:
                        u0, v0, u1, v1, u2, v2 = _six(corner_uv, seen_triangle)
                        u, v = f0 * u0 + f1 * u1 + f2 * u2, f0 * v0 + f1 * v1 + f2 * v2
                        _put(values, _ALBEDO, n, texture_at(texture, decode, u, v))
                        along_u, along_v = relief_at(relief, u, v)
                        slopes[n], slopes[_LANES + n] = u1 - u0, v1 - v0
                        slopes[2 * _LANES + n], slopes[3 * _LANES + n] = u2 - u0, v2 - v0
                        slopes[4 * _LANES + n], slopes[5 * _LANES + n] = along_u, along_v
                        slopes[6 * _LANES + n], slopes[7 * _LANES + n] = u, v
                    values[_KIND * _LANES + n] = kind[pr, pc] - 1
                    values[_RAY * _LANES + n] = rays[n]
                    values[(_RAY + 1) * _LANES + n] = rays[_LANES + n]
                if detail is not None:
                    # Apart, because the code alone slows the loop above, and small images show no grain.
                    if fade > np.float32(0.0):
                        for n in range(waiting):
                            u, v = slopes[6 * _LANES + n], slopes[7 * _LANES + n]
                            along_u, along_v = grain_at(micro, micro_strength, micro_repeats, fade, u, v)
                            slopes[4 * _LANES + n] += along_u
                            slopes[5 * _LANES + n] += along_v
                    _tilt_lanes(corners, slopes, values)
                _shade_lanes(values, polynomial, perspective)
                if any_point:
                    _place_lanes(corners, weights, perspective, values)
                for m in range(lights):
                    if m > 0:
                        for n in range(_LANES):
                            values[_LIT * _LANES + n] = lit[m * _LANES + n]
                    if _is_point(light_position, m):
                        _add_point_light(values, _row(light_position, m), _row(light_colour, m))
                    else:
                        _add_light_at_infinity(values, _row(light_position, m), _row(light_colour, m))
                for n in range(waiting):
                    pr, pc = pixel[n, 0], pixel[n, 1]
                    if not edge[pr, pc]:
                        red, green, blue = _three(values, _COLOUR, n)
                        image[pr, pc, 0] = _byte(red, encode)
                        image[pr, pc, 1] = _byte(green, encode)
                        image[pr, pc, 2] = _byte(blue, encode)
                waiting = 0


@inline
def _corner(corners: F32, k: int, n: int) -> Point:
    """Corner k of lane n in float64."""
    return (
        np.float64(corners[3 * k * _LANES + n]),
        np.float64(corners[(3 * k + 1) * _LANES + n]),
        np.float64(corners[(3 * k + 2) * _LANES + n]),
    )


# Not the fast arithmetic of shading: these weights are labels.
@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=False)
def _weigh_lanes(corners: F32, rays: NDArray[np.float64], perspective: bool, weights: NDArray[np.float64]) -> None:
    for n in range(_LANES):
        a, b, c = _corner(corners, 0, n), _corner(corners, 1, n), _corner(corners, 2, n)
        w1, w2 = weights_on_plane(a, b, c, rays[n], rays[_LANES + n], perspective)
        weights[n] = w1
        weights[_LANES + n] = w2


@inline
def _six(array: F32, row: Index) -> tuple[np.float32, ...]:
    return array[row, 0], array[row, 1], array[row, 2], array[row, 3], array[row, 4], array[row, 5]


@_compile
def _tilt_lanes(corners: F32, slopes: F32, values: F32) -> None:
    """Tilt the normals in ``values``; rows of ``slopes``: 0-1 u and v along side 1, 2-3 side 2, 4-5 slopes."""
    for n in range(_LANES):
        x, y, z = corners[n], corners[_LANES + n], corners[2 * _LANES + n]
        normal = tilted(
            (values[n], values[_LANES + n], values[2 * _LANES + n]),
            (corners[3 * _LANES + n] - x, corners[4 * _LANES + n] - y, corners[5 * _LANES + n] - z),
            (corners[6 * _LANES + n] - x, corners[7 * _LANES + n] - y, corners[8 * _LANES + n] - z),
            slopes[n], slopes[_LANES + n], slopes[2 * _LANES + n], slopes[3 * _LANES + n],
            (slopes[4 * _LANES + n], slopes[5 * _LANES + n]),
        )  # fmt: skip
        values[n], values[_LANES + n], values[2 * _LANES + n] = normal


@_compile
def _shade_lanes(values: F32, polynomial: F32, perspective: bool) -> None:
    """Make the normals unit and the rays unit vectors to the viewer, and start the colours: the light from around."""
    sh = _light(polynomial, 0), _light(polynomial, 1), _light(polynomial, 2)
    for n in range(_LANES):
        normal = unit(_three(values, _NORMAL, n))
        viewer = towards_viewer(values[_RAY * _LANES + n], values[(_RAY + 1) * _LANES + n], perspective)
        colour = from_around(normal, values[_SEEN * _LANES + n], _three(values, _ALBEDO, n), sh)
        _put(values, _NORMAL, n, normal)
        _put(values, _VIEWER, n, viewer)
        _put(values, _COLOUR, n, colour)


@_compile
def _place_lanes(corners: F32, weights: NDArray[np.float64], perspective: bool, values: F32) -> None:
    """Write the points that the rays meet."""
    for n in range(_LANES):
        a, b, c = corners[2 * _LANES + n], corners[5 * _LANES + n], corners[8 * _LANES + n]
        z = a + np.float32(weights[n]) * (b - a) + np.float32(weights[_LANES + n]) * (c - a)
        ray = values[_RAY * _LANES + n], values[(_RAY + 1) * _LANES + n]
        _put(values, _POINT, n, position_at(ray, z, perspective))


# Two loops, because a condition within one would keep it from vector registers.
@_compile
def _add_light_at_infinity(values: F32, direction: RGB, light_colour: RGB) -> None:
    for n in range(_LANES):
        _add(values, n, values[_LIT * _LANES + n], direction, light_colour)


@_compile
def _add_point_light(values: F32, position: RGB, light_colour: RGB) -> None:
    for n in range(_LANES):
        direction, left = towards_point(position, _three(values, _POINT, n))
        _add(values, n, values[_LIT * _LANES + n] * left, direction, light_colour)


@inline
def _add(values: F32, n: int, lit: np.float32, direction: RGB, light_colour: RGB) -> None:
    """Add a light to the colour of lane n."""
    added = from_light(
        _three(values, _NORMAL, n), values[_SEEN * _LANES + n], lit, _three(values, _ALBEDO, n),
        _three(values, _VIEWER, n), values[_KIND * _LANES + n], direction, light_colour,
    )  # fmt: skip
    red, green, blue = _three(values, _COLOUR, n)
    _put(values, _COLOUR, n, (red + added[0], green + added[1], blue + added[2]))


@inline
def _side(array: F32, a: Index, b: Index) -> RGB:
    """Row b less row a."""
    return array[b, 0] - array[a, 0], array[b, 1] - array[a, 1], array[b, 2] - array[a, 2]


@_compile
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
    """Write ``image`` for the edge pixels; arguments as for :func:`shade_surfaces`, and

    Args:
        fine_triangle: (2H + 1, 2W + 1) of :func:`facegen.imaging.rasterise.fill_near_edges`, and so is ``fine_key``.
        material: (T,).
        eye_direction: (V, 3) see :class:`facegen.stages.render.surface.Surface`, and so is ``iris_radius``.
        iris_rgb: (3,) linear RGB.
    """
    height, width = triangle_id.shape
    perspective = projection == PERSPECTIVE
    iris = _rgb(iris_rgb)
    sh = _light(polynomial, 0), _light(polynomial, 1), _light(polynomial, 2)
    cx, cy = intrinsics[0, 2], intrinsics[1, 2]
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    zero, one = np.float32(0.0), np.float32(1.0)
    # Surfaces met inside the pixel: depth key, material, colour.
    surface_key = np.empty(9, np.float32)
    surface_kind = np.empty(9, np.uint8)
    surface_colour = np.empty((9, 3), np.float32)
    if detail is not None:
        corner_uv, texture, relief, micro, micro_strength, micro_repeats, fade = detail
    for r in range(height):
        for c in range(width):
            if not edge[r, c]:
                continue
            surfaces = 0
            red, green, blue = zero, zero, zero
            # The centre first: it gives the colour to the samples of its surface.
            for n in range(9):
                dy, dx, weight = _SAMPLE_ROW[n], _SAMPLE_COLUMN[n], _SAMPLE_WEIGHT[n]
                t = fine_triangle[2 * r + 1 + dy, 2 * c + 1 + dx]
                if t < 0:
                    red += weight * decode[background[r, c, 0]]
                    green += weight * decode[background[r, c, 1]]
                    blue += weight * decode[background[r, c, 2]]
                    continue
                kind, key = material[t], fine_key[2 * r + 1 + dy, 2 * c + 1 + dx]
                found = -1
                if kind != EYE:
                    for m in range(surfaces):
                        if surface_kind[m] == kind and abs(surface_key[m] - key) <= _EDGE * key:
                            found = m
                            break
                if found < 0:
                    found = surfaces
                    surfaces += 1
                    ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    u, v = (c + 0.5 + 0.5 * dx - cx) * across, (r + 0.5 + 0.5 * dy - cy) * down
                    w1, w2 = weights_on_ray(point(camera, ia), point(camera, ib), point(camera, ic), u, v, perspective)
                    f1, f2 = np.float32(w1), np.float32(w2)
                    f0 = one - f1 - f2
                    normal = _interpolate(attributes, _NORMAL, ia, ib, ic, f0, f1, f2)
                    if detail is None:
                        albedo = _interpolate(attributes, _ALBEDO, ia, ib, ic, f0, f1, f2)
                    else:
                        u0, v0, u1, v1, u2, v2 = _six(corner_uv, t)
                        tu, tv = f0 * u0 + f1 * u1 + f2 * u2, f0 * v0 + f1 * v1 + f2 * v2
                        albedo = texture_at(texture, decode, tu, tv)
                        along_u, along_v = relief_at(relief, tu, tv)
                        if fade > zero:
                            grain_u, grain_v = grain_at(micro, micro_strength, micro_repeats, fade, tu, tv)
                            along_u, along_v = along_u + grain_u, along_v + grain_v
                        normal = tilted(
                            normal, _side(camera, ia, ib), _side(camera, ia, ic), u1 - u0, v1 - v0, u2 - u0, v2 - v0,
                            (along_u, along_v),
                        )  # fmt: skip
                    if kind == EYE:
                        direction = _interpolate(eye_direction, 0, ia, ib, ic, f0, f1, f2)
                        albedo = eye_paint(direction, iris_radius, iris, albedo)
                    surface_key[found] = key
                    surface_kind[found] = kind
                    normal = unit(normal)
                    seen = f0 * attributes[ia, _SEEN] + f1 * attributes[ib, _SEEN] + f2 * attributes[ic, _SEEN]
                    viewer = towards_viewer(u, v, perspective)
                    shown = from_around(normal, seen, albedo, sh)
                    for m in range(len(light_position)):
                        k = _column(m)
                        lit = f0 * attributes[ia, k] + f1 * attributes[ib, k] + f2 * attributes[ic, k]
                        light = _row(light_position, m)
                        if _is_point(light_position, m):
                            z = f0 * camera[ia, 2] + f1 * camera[ib, 2] + f2 * camera[ic, 2]
                            place = position_at((np.float32(u), np.float32(v)), z, perspective)
                            light, left = towards_point(light, place)
                            lit *= left
                        added = from_light(normal, seen, lit, albedo, viewer, kind, light, _row(light_colour, m))
                        shown = shown[0] + added[0], shown[1] + added[1], shown[2] + added[2]
                    surface_colour[found, 0], surface_colour[found, 1], surface_colour[found, 2] = shown
                # Clamped before averaging, so that a highlight's edge is anti-aliased as it is seen.
                red += weight * min(surface_colour[found, 0], one)
                green += weight * min(surface_colour[found, 1], one)
                blue += weight * min(surface_colour[found, 2], one)
            image[r, c, 0] = _byte(red, encode)
            image[r, c, 1] = _byte(green, encode)
            image[r, c, 2] = _byte(blue, encode)
