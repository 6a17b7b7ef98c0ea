"""Shading and anti-aliasing in kernels: what :mod:`facegen.stages.render.deferred` does, a thread a pixel.

The formulas are the CPU's own functions. Sums may be fused here, so an image may differ from the CPU's in its last
bits; the labels do not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from facegen.imaging.device_functions import approximate, bits_float, cuda, device, with_arrays
from facegen.imaging.rasterise_cuda import COMPLEMENT
from facegen.imaging.visibility import UNIT
from facegen.imaging.visibility_cuda import quantise, weights_on_ray
from facegen.stages.render import detail, shading
from facegen.stages.render.surface import EYE

_EDGE = np.float32(0.004)  # as in stages.render.edges
_WEIGHT = np.float32(1 / UNIT)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)

_cell, _wrapped_cell = approximate(detail._cell), approximate(detail._wrapped_cell)
_bilinear_slopes = with_arrays(detail._bilinear_slopes)
_texture_at = with_arrays(detail.texture_at, _cell=_cell)
_relief_at = with_arrays(detail.relief_at, _cell=_cell, _bilinear_slopes=_bilinear_slopes)
_grain_at = with_arrays(
    detail.grain_at, _cell=_cell, _wrapped_cell=_wrapped_cell, _bilinear_slopes=_bilinear_slopes
)  # fmt: skip
_tilted = approximate(detail.tilted)
_smooth, _polynomial = approximate(shading._smooth), approximate(shading._polynomial)
_eye_paint = approximate(shading.eye_paint, _smooth=_smooth)
_towards_viewer = approximate(shading.towards_viewer)
_unit, _position_at = approximate(shading.unit), approximate(shading.position_at)
_from_around = approximate(
    shading.from_around, _polynomial=_polynomial, _bounced=approximate(shading._bounced)
)  # fmt: skip
_towards_point = approximate(shading.towards_point)
_towards_light = approximate(shading.towards_light, towards_point=_towards_point)
_from_light = approximate(shading.from_light, _smooth=_smooth, _wrapped=approximate(shading._wrapped))


@device
def _side(camera: Any, b: int, i: int, j: int) -> Any:
    return camera[b, j, 0] - camera[b, i, 0], camera[b, j, 1] - camera[b, i, 1], camera[b, j, 2] - camera[b, i, 2]


@cuda.jit
def vertex_normals(camera: Any, triangles: Any, incident: Any, normals: Any) -> None:
    """Unit normals (B, V, 3) of vertices (B, V, 3), summed in the order of the triangles.

    Args:
        camera: (B, V, 3).
        triangles: (T, 3) int32.
        incident: (V, M) int32, the triangles of each vertex, ascending, filled up with T.
        normals: written.
    """
    count = camera.shape[1]
    for n in range(cuda.grid(1), camera.shape[0] * count, cuda.gridsize(1)):
        b, i = n // count, n % count
        x, y, z = _ZERO, _ZERO, _ZERO
        for m in range(incident.shape[1]):
            t = incident[i, m]
            if t == triangles.shape[0]:
                break
            p, q, r = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ux, uy, uz = _side(camera, b, p, q)
            vx, vy, vz = _side(camera, b, p, r)
            x, y, z = x + (uy * vz - uz * vy), y + (uz * vx - ux * vz), z + (ux * vy - uy * vx)
        length = math.sqrt(x * x + y * y + z * z)
        scale = _ONE / np.float32(length) if length > 0 else _ZERO
        normals[b, i, 0], normals[b, i, 1], normals[b, i, 2] = x * scale, y * scale, z * scale


@cuda.jit
def label(
    best: Any, camera: Any, triangles: Any, intrinsics: Any, perspective: Any, triangle_id: Any, barycentric: Any
) -> None:
    """Write ``triangle_id`` (B, H, W) int32 and ``barycentric`` (B, H, W, 2) uint16 from supersampled visibility."""
    faces, height, width = triangle_id.shape
    for i in range(cuda.grid(1), faces * height * width, cuda.gridsize(1)):
        b, r, c = i // (height * width), i // width % height, i % width
        t = _triangle(best[b, 2 * r + 1, 2 * c + 1])
        q1, q2 = 0, 0
        if t >= 0:
            w1, w2 = _weights(camera, triangles, intrinsics, perspective, b, t, r + 0.5, c + 0.5)
            q1, q2 = quantise(w1, w2)
        triangle_id[b, r, c] = t
        barycentric[b, r, c, 0] = q1
        barycentric[b, r, c, 1] = q2


@device
def _triangle(packed: int) -> int:
    return COMPLEMENT - (packed & 0xFFFFFFFF) if packed > 0 else -1


@device
def _key(packed: int) -> Any:
    return np.float32(bits_float(packed >> 32))


@device
def _ray(intrinsics: Any, b: int, y: float, x: float) -> Any:
    return (
        (x - intrinsics[b, 0, 2]) * (1.0 / intrinsics[b, 0, 0]),
        (y - intrinsics[b, 1, 2]) * (1.0 / intrinsics[b, 1, 1]),
    )


@device
def _point(camera: Any, b: int, i: int) -> Any:
    return np.float64(camera[b, i, 0]), np.float64(camera[b, i, 1]), np.float64(camera[b, i, 2])


@device
def _weights(camera: Any, triangles: Any, intrinsics: Any, perspective: Any, b: int, t: int, y: float, x: float) -> Any:
    u, v = _ray(intrinsics, b, y, x)
    return weights_on_ray(
        _point(camera, b, triangles[t, 0]), _point(camera, b, triangles[t, 1]), _point(camera, b, triangles[t, 2]),
        u, v, perspective[b] != 0,
    )  # fmt: skip


@device
def _blend(array: Any, b: int, i: int, j: int, k: int, f0: Any, f1: Any, f2: Any) -> Any:
    """Rows i, j, k of face b, weighted."""
    return (
        f0 * array[b, i, 0] + f1 * array[b, j, 0] + f2 * array[b, k, 0],
        f0 * array[b, i, 1] + f1 * array[b, j, 1] + f2 * array[b, k, 1],
        f0 * array[b, i, 2] + f1 * array[b, j, 2] + f2 * array[b, k, 2],
    )


@device
def _row(polynomial: Any, b: int, k: int) -> Any:
    return (
        polynomial[b, k, 0], polynomial[b, k, 1], polynomial[b, k, 2], polynomial[b, k, 3], polynomial[b, k, 4],
        polynomial[b, k, 5], polynomial[b, k, 6], polynomial[b, k, 7], polynomial[b, k, 8], polynomial[b, k, 9],
    )  # fmt: skip


@device
def _rgb(array: Any, b: int) -> Any:
    return array[b, 0], array[b, 1], array[b, 2]


@device
def _of_light(array: Any, b: int, m: int) -> Any:
    return array[b, m, 0], array[b, m, 1], array[b, m, 2]


@device
def _narrowed(values: Any) -> Any:
    """Three numbers as float32: what compiled functions return so, Python holds as floats."""
    return np.float32(values[0]), np.float32(values[1]), np.float32(values[2])


@device
def _colour(model: Any, face: Any, b: int, t: int, u: float, v: float, f1: Any, f2: Any) -> Any:
    """Linear RGB of a point of triangle t of face b on the ray (u, v), at weights f1 and f2."""
    triangles, material, occlusion, eye_direction, iris_radius, corner_uv, micro, micro_strength, repeats, decode = (
        model
    )
    camera, normals, perspective, albedo, texture, relief, fade, iris, polynomial, position, light_colour, lit = face
    i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
    f1, f2 = np.float32(f1), np.float32(f2)
    f0 = _ONE - f1 - f2
    normal = _blend(normals, b, i, j, k, f0, f1, f2)
    if texture.shape[0] > 0:
        u0, v0, u1, v1 = corner_uv[t, 0], corner_uv[t, 1], corner_uv[t, 2], corner_uv[t, 3]
        u2, v2 = corner_uv[t, 4], corner_uv[t, 5]
        tu, tv = f0 * u0 + f1 * u1 + f2 * u2, f0 * v0 + f1 * v1 + f2 * v2
        colour = _narrowed(_texture_at(texture[b], decode, tu, tv))
        along_u, along_v = _relief_at(relief[b], tu, tv)
        if fade[b] > _ZERO:
            grain_u, grain_v = _grain_at(micro, micro_strength, repeats, fade[b], tu, tv)
            along_u, along_v = along_u + grain_u, along_v + grain_v
        normal = _narrowed(
            _tilted(
                normal, _side(camera, b, i, j), _side(camera, b, i, k), u1 - u0, v1 - v0, u2 - u0, v2 - v0,
                (np.float32(along_u), np.float32(along_v)),
            )
        )  # fmt: skip
    else:
        colour = _blend(albedo, b, i, j, k, f0, f1, f2)
    kind = int(material[t])
    if kind == EYE:
        direction = _blend(eye_direction, 0, i, j, k, f0, f1, f2)
        colour = _narrowed(_eye_paint(direction, iris_radius, _rgb(iris, b), colour))
    normal = _narrowed(_unit(normal))
    seen = f0 * occlusion[i] + f1 * occlusion[j] + f2 * occlusion[k]
    viewer = _narrowed(_towards_viewer(u, v, perspective[b] != 0))
    z = f0 * camera[b, i, 2] + f1 * camera[b, j, 2] + f2 * camera[b, k, 2]
    place = _narrowed(_position_at((np.float32(u), np.float32(v)), z, perspective[b] != 0))
    red, green, blue = _narrowed(
        _from_around(normal, seen, colour, (_row(polynomial, b, 0), _row(polynomial, b, 1), _row(polynomial, b, 2)))
    )
    for m in range(position.shape[1]):
        light, left = _towards_light(_of_light(position, b, m), position[b, m, 3] != _ZERO, place)
        reached = (f0 * lit[b, m, i] + f1 * lit[b, m, j] + f2 * lit[b, m, k]) * np.float32(left)
        added = _narrowed(
            _from_light(normal, seen, reached, colour, viewer, kind, _narrowed(light), _of_light(light_colour, b, m))
        )
        red, green, blue = red + added[0], green + added[1], blue + added[2]
    return red, green, blue


@device
def _kind(best: Any, material: Any, b: int, r: int, c: int) -> int:
    t = _triangle(best[b, 2 * r + 1, 2 * c + 1])
    return int(material[t]) + 1 if t >= 0 else 0


@device
def _is_edge(best: Any, material: Any, b: int, r: int, c: int, height: int, width: int) -> bool:
    """Whether one sample does not tell the pixel's colour; see ``mark_edges`` in stages.render.edges."""
    up, down, left, right = max(r - 1, 0), min(r + 1, height - 1), max(c - 1, 0), min(c + 1, width - 1)
    kind = _kind(best, material, b, r, c)
    if kind == EYE + 1:
        return True
    if (
        _kind(best, material, b, up, c) != kind
        or _kind(best, material, b, down, c) != kind
        or _kind(best, material, b, r, left) != kind
        or _kind(best, material, b, r, right) != kind
    ):
        return True
    row, column = 2 * r + 1, 2 * c + 1
    key = _key(best[b, row, column])
    across = _key(best[b, row, 2 * left + 1]) + _key(best[b, row, 2 * right + 1]) - key - key
    along = _key(best[b, 2 * up + 1, column]) + _key(best[b, 2 * down + 1, column]) - key - key
    return max(abs(across), abs(along)) > _EDGE * key  # type: ignore[no-any-return]


@device
def _byte(value: Any, encode: Any) -> Any:
    clipped = min(max(np.float32(value), _ZERO), _ONE)
    return encode[int(clipped * np.float32(encode.shape[0] - 1) + np.float32(0.5))]


@cuda.jit
def shade_pixels(
    best: Any, triangle_id: Any, barycentric: Any, intrinsics: Any, model: Any, face: Any, background: Any,
    encode: Any, image: Any,
) -> None:  # fmt: skip
    """Write ``image`` (B, H, W, 3).

    Args:
        best: (B, 2H + 1, 2W + 1) of :func:`facegen.imaging.rasterise_cuda.rasterise_cuda`.
        triangle_id: (B, H, W), and ``barycentric`` (B, H, W, 2), of :func:`label`.
        intrinsics: (B, 3, 3).
        model: triangles (T, 3), material (T,), occlusion (V,), eye_direction (1, V, 3), iris_radius, corner_uv (T, 6),
            micro, micro_strength, micro_repeats and the table from sRGB to linear (256,).
        face: camera and normals (B, V, 3), perspective (B,), albedo (B, V, 3), texture (B, S, S, 3) and relief
            (B, S', S', 2), without rows where there is none, fade (B,), iris (B, 3), polynomial (B, 3, 10),
            light_position (B, M, 4), light_colour (B, M, 3) and lit (B, M, V).
        background: (B, H, W, 3) sRGB.
        encode: (4096,) from linear to sRGB.
        image: written.
    """
    faces, height, width = triangle_id.shape
    material, decode = model[1], model[9]
    for i in range(cuda.grid(1), faces * height * width, cuda.gridsize(1)):
        b, r, c = i // (height * width), i // width % height, i % width
        if _is_edge(best, material, b, r, c, height, width):
            _shade_edge(best, b, r, c, intrinsics, model, face, background, decode, encode, image)
            continue
        t = triangle_id[b, r, c]
        if t < 0:
            for k in range(3):
                image[b, r, c, k] = background[b, r, c, k]
            continue
        u, v = _ray(intrinsics, b, r + 0.5, c + 0.5)
        f1 = np.float32(barycentric[b, r, c, 0]) * _WEIGHT
        f2 = np.float32(barycentric[b, r, c, 1]) * _WEIGHT
        red, green, blue = _colour(model, face, b, t, u, v, f1, f2)
        image[b, r, c, 0] = _byte(red, encode)
        image[b, r, c, 1] = _byte(green, encode)
        image[b, r, c, 2] = _byte(blue, encode)


@device
def _shade_edge(
    best: Any, b: int, r: int, c: int, intrinsics: Any, model: Any, face: Any, background: Any, decode: Any,
    encode: Any, image: Any,
) -> None:  # fmt: skip
    """The mean of nine samples with trapezoidal weights, of which those of one surface share their colour."""
    triangles, material, camera, perspective = model[0], model[1], face[0], face[2]
    surface_key = cuda.local.array(9, np.float32)
    surface_kind = cuda.local.array(9, np.uint8)
    surface_colour = cuda.local.array((9, 3), np.float32)
    surfaces = 0
    red, green, blue = _ZERO, _ZERO, _ZERO
    for n in range(9):
        # The centre first: it gives the colour to the samples of its surface.
        place = 4 if n == 0 else (n - 1 if n <= 4 else n)
        dy, dx = place // 3 - 1, place % 3 - 1
        weight = np.float32((2 - abs(dy)) * (2 - abs(dx))) * np.float32(1.0 / 16.0)
        packed = best[b, 2 * r + 1 + dy, 2 * c + 1 + dx]
        t = _triangle(packed)
        if t < 0:
            red += weight * decode[background[b, r, c, 0]]
            green += weight * decode[background[b, r, c, 1]]
            blue += weight * decode[background[b, r, c, 2]]
            continue
        kind, key = material[t], _key(packed)
        found = -1
        if kind != EYE:
            for m in range(surfaces):
                if found < 0 and surface_kind[m] == kind and abs(surface_key[m] - key) <= _EDGE * key:
                    found = m
        if found < 0:
            found = surfaces
            surfaces += 1
            y, x = r + 0.5 + 0.5 * dy, c + 0.5 + 0.5 * dx
            w1, w2 = _weights(camera, triangles, intrinsics, perspective, b, t, y, x)
            u, v = _ray(intrinsics, b, y, x)
            shaded_red, shaded_green, shaded_blue = _colour(model, face, b, t, u, v, w1, w2)
            surface_key[found], surface_kind[found] = key, kind
            surface_colour[found, 0] = shaded_red
            surface_colour[found, 1] = shaded_green
            surface_colour[found, 2] = shaded_blue
        # Clamped before averaging, so that a highlight's edge is anti-aliased as it is seen.
        red += weight * min(surface_colour[found, 0], _ONE)
        green += weight * min(surface_colour[found, 1], _ONE)
        blue += weight * min(surface_colour[found, 2], _ONE)
    image[b, r, c, 0] = _byte(red, encode)
    image[b, r, c, 1] = _byte(green, encode)
    image[b, r, c, 2] = _byte(blue, encode)
