"""Deferred shading and anti-aliasing: visibility and attributes to an sRGB image. Light is linear until the last step.

Each pixel is shaded once, at its centre, unless its corners see another material or another depth. Such an edge pixel
averages nine samples with the trapezoidal weights 1 2 1 / 2 4 2 / 1 2 1 over its square, where samples of one surface
(same material, near depth) share their colour; eyes, which have paint finer than their triangles, shade all nine.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.visibility import UNIT, point, quantise, weights_on_ray
from facegen.stages.render.surface import EYE, SKIN

F32 = NDArray[np.float32]
RGB = tuple[np.float32, np.float32, np.float32]
Light = tuple[np.float32, ...]

# Shading may reassociate: its last bits are below what an sRGB byte shows. Visibility and barycentrics never do.
_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=True)
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=True, forceinline=True)

_EDGE = np.float32(0.006)  # relative difference of depth keys across half a pixel's diagonal that makes an edge
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


def light_polynomial(light_sh: F32) -> F32:
    """(10, 3) coefficients of 1, y, z, x, xy, yz, z², xz, x², y² from (9, 3) spherical-harmonic light."""
    sh = light_sh.astype(np.float64)
    c0, c1, c2, c20, c22 = 0.28209479, 0.48860251, 1.09254843, 0.31539157, 0.54627422
    constant = c0 * sh[0] - c20 * sh[6]
    rows = [
        constant, c1 * sh[1], c1 * sh[2], c1 * sh[3], c2 * sh[4], c2 * sh[5],
        3 * c20 * sh[6], c2 * sh[7], c22 * sh[8], -c22 * sh[8],
    ]  # fmt: skip
    return np.stack(rows).astype(np.float32)


@_inline
def _smooth(low: np.float32, high: np.float32, x: np.float32) -> np.float32:
    s = min(max((x - low) / (high - low), np.float32(0.0)), np.float32(1.0))
    return s * s * (np.float32(3.0) - np.float32(2.0) * s)


@_inline
def _power16(x: np.float32) -> np.float32:
    x *= x
    x *= x
    x *= x
    return x * x


@_compile
def _eye_paint(direction: RGB, iris_radius: np.float32, iris: RGB, sclera: RGB) -> RGB:
    """Albedo of an eyeball in a direction of the eye's frame: pupil, iris and limbal ring over the sclera."""
    dx, dy, dz = direction
    if dz <= np.float32(0.0):
        return sclera
    x, y = dx / iris_radius, dy / iris_radius
    radius = np.float32(math.sqrt(x * x + y * y))
    inside = np.float32(1.0) - _smooth(np.float32(0.94), np.float32(1.08), radius)
    if inside <= np.float32(0.0):
        return sclera
    pupil = np.float32(1.0) - _smooth(np.float32(0.30), np.float32(0.40), radius)
    ring = _smooth(np.float32(0.70), np.float32(1.0), radius)
    # Radial fibres: a few incommensurate waves around the pupil.
    angle = np.float32(math.atan2(y, x))
    fibres = np.float32(
        math.sin(angle * 11 + radius * 3) + math.sin(angle * 23 - radius * 5) + math.sin(angle * 37 + radius * 7)
    )
    tone = np.float32(1.0) + np.float32(0.09) * fibres * _smooth(np.float32(0.35), np.float32(0.6), radius)
    # The collarette around the pupil is paler, the limbus darker.
    tone *= np.float32(1.25) - np.float32(0.35) * _smooth(np.float32(0.4), np.float32(0.8), radius)
    tone *= np.float32(1.0) - np.float32(0.72) * ring
    tone *= np.float32(1.0) - np.float32(0.985) * pupil
    return (
        sclera[0] + inside * (iris[0] * tone - sclera[0]),
        sclera[1] + inside * (iris[1] * tone - sclera[1]),
        sclera[2] + inside * (iris[2] * tone - sclera[2]),
    )


@_compile
def pack_attributes(normals: F32, occlusion: F32, albedo: F32, attributes: F32) -> None:
    """Put what shading interpolates side by side, for the cache's sake: normal, occlusion, albedo in (V, 8)."""
    for i in range(attributes.shape[0]):
        attributes[i, 0], attributes[i, 1], attributes[i, 2] = normals[i, 0], normals[i, 1], normals[i, 2]
        attributes[i, 3] = occlusion[i]
        attributes[i, 4], attributes[i, 5], attributes[i, 6] = albedo[i, 0], albedo[i, 1], albedo[i, 2]


@_inline
def _diffuse(albedo: np.float32, ambient: np.float32, seen: np.float32, direct: np.float32) -> np.float32:
    """One colour of the diffuse light; what bounces inside a hollow takes the colour of its walls (after Jimenez 2016)."""
    bounced = np.float32(1.0) + np.float32(0.5) * (np.float32(1.0) - seen) * albedo
    return albedo * (max(ambient, np.float32(0.0)) * seen * bounced + direct)


@_inline
def _polynomial(c: Light, x: np.float32, y: np.float32, z: np.float32) -> np.float32:
    # In pairs, which the processor adds side by side.
    return (
        ((c[0] + c[1] * y) + (c[2] * z + c[3] * x))
        + ((c[4] * (x * y) + c[5] * (y * z)) + (c[6] * (z * z) + c[7] * (x * z)))
        + (c[8] * (x * x) + c[9] * (y * y))
    )


@_inline
def _interpolate(array: F32, k: int, a: int, b: int, c: int, w0: np.float32, w1: np.float32, w2: np.float32) -> RGB:
    """Columns k, k + 1, k + 2 of rows a, b, c, weighted."""
    return (
        w0 * array[a, k] + w1 * array[b, k] + w2 * array[c, k],
        w0 * array[a, k + 1] + w1 * array[b, k + 1] + w2 * array[c, k + 1],
        w0 * array[a, k + 2] + w1 * array[b, k + 2] + w2 * array[c, k + 2],
    )


# Scalars and tuples only: a compiled function that takes arrays counts references, at the price of its arithmetic.
@_inline
def _shade(
    normal: RGB,
    seen: np.float32,
    albedo: RGB,
    position: RGB,
    kind: int,
    sh: tuple[Light, Light, Light],
    light: RGB,
    light_colour: RGB,
    perspective: bool,
) -> RGB:
    """Linear RGB of a surface point; ``normal`` and ``position`` in the camera frame, ``normal`` of any length."""
    one, zero = np.float32(1.0), np.float32(0.0)
    nx, ny, nz = normal
    scale = one / np.float32(math.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-20)))
    nx, ny, nz = nx * scale, ny * scale, nz * scale

    # Diffuse: spherical harmonics dimmed by the occlusion, and the directional light, which wraps around skin, red
    # most. A hollow dims the directional light as well.
    nl = nx * light[0] + ny * light[1] + nz * light[2]
    direct_seen = _smooth(np.float32(0.15), np.float32(0.65), seen)
    ambient_r = _polynomial(sh[0], nx, ny, nz)
    ambient_g = _polynomial(sh[1], nx, ny, nz)
    ambient_b = _polynomial(sh[2], nx, ny, nz)
    if kind == SKIN:
        wrap_r, wrap_g, wrap_b = np.float32(0.24), np.float32(0.16), np.float32(0.08)
    else:
        wrap_r, wrap_g, wrap_b = np.float32(0.05), np.float32(0.05), np.float32(0.05)
    direct_r = light_colour[0] * direct_seen * (max(nl + wrap_r, zero) / (one + wrap_r))
    direct_g = light_colour[1] * direct_seen * (max(nl + wrap_g, zero) / (one + wrap_g))
    direct_b = light_colour[2] * direct_seen * (max(nl + wrap_b, zero) / (one + wrap_b))
    red = _diffuse(albedo[0], ambient_r, seen, direct_r)
    green = _diffuse(albedo[1], ambient_g, seen, direct_g)
    blue = _diffuse(albedo[2], ambient_b, seen, direct_b)
    if nl <= zero:
        return red, green, blue

    # Highlight: Blinn-Phong with Schlick's Fresnel term at F0 = 0.028 (0.04 for what is wet).
    vx, vy, vz = zero, zero, -one
    if perspective:
        px, py, pz = position
        length = -one / np.float32(math.sqrt(px * px + py * py + pz * pz))
        vx, vy, vz = px * length, py * length, pz * length
    hx, hy, hz = light[0] + vx, light[1] + vy, light[2] + vz
    length = one / np.float32(math.sqrt(hx * hx + hy * hy + hz * hz + np.float32(1e-12)))
    nh = max((nx * hx + ny * hy + nz * hz) * length, zero)
    grazing = one - max((vx * hx + vy * hy + vz * hz) * length, zero)
    grazing2 = grazing * grazing
    lobe = _power16(nh)
    if kind == SKIN:
        fresnel = np.float32(0.028) + np.float32(0.972) * grazing2 * grazing2 * grazing
        # A broad lobe and, for the oil on the skin, a narrower one.
        lobe = lobe * np.float32(1.6) + lobe * lobe * lobe * np.float32(1.4)
    else:
        fresnel = np.float32(0.04) + np.float32(0.96) * grazing2 * grazing2 * grazing
        lobe = _power16(lobe) * np.float32(33.0)
    strength = fresnel * lobe * min(nl * np.float32(2.0), one) * direct_seen
    return red + strength * light_colour[0], green + strength * light_colour[1], blue + strength * light_colour[2]


@_compile
def _rgb(values: F32) -> RGB:
    return values[0], values[1], values[2]


@_compile
def _light(p: F32, k: int) -> Light:
    return p[0, k], p[1, k], p[2, k], p[3, k], p[4, k], p[5, k], p[6, k], p[7, k], p[8, k], p[9, k]


@_compile
def shade_image(
    grid_triangle: NDArray[np.int32],
    grid_key: F32,
    triangles: NDArray[np.int32],
    camera: F32,
    attributes: F32,
    material: NDArray[np.uint8],
    eye_direction: F32,
    iris_radius: np.float32,
    iris_rgb: F32,
    polynomial: F32,
    light_vector: F32,
    light_rgb: F32,
    intrinsics: NDArray[np.float64],
    projection: int,
    background: NDArray[np.uint8],
    decode: F32,
    encode: NDArray[np.uint8],
    image: NDArray[np.uint8],
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
) -> None:
    """Shade a supersampled visibility grid (2H+1, 2W+1) and write ``image``, ``triangle_id`` and ``barycentric``.

    Args:
        grid_triangle: from :func:`facegen.imaging.rasterise.fill_visibility`, and so is ``grid_key``.
        camera: (V, 3) vertices in the camera frame.
        attributes: (V, 8) of :func:`pack_attributes`, normals in the camera frame.
        polynomial: (10, 3) of :func:`light_polynomial`.
        light_vector: (3,) unit vector towards the directional light.
        background: (H, W, 3) sRGB.
        decode: (256,) sRGB to linear; ``encode`` (4096,) the way back.
    """
    height, width = triangle_id.shape
    perspective = projection == PERSPECTIVE
    scale = np.float32(1.0 / UNIT)
    iris, light, light_colour = _rgb(iris_rgb), _rgb(light_vector), _rgb(light_rgb)
    sh = _light(polynomial, 0), _light(polynomial, 1), _light(polynomial, 2)
    cx, cy = intrinsics[0, 2], intrinsics[1, 2]
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    top, half, zero, one = np.float32(_LUT_SIZE - 1), np.float32(0.5), np.float32(0.0), np.float32(1.0)
    # Surfaces met inside an edge pixel: depth key, material, colour.
    surface_key = np.empty(9, np.float32)
    surface_kind = np.empty(9, np.uint8)
    surface_colour = np.empty((9, 3), np.float32)
    for r in range(height):
        for c in range(width):
            gr, gc = 2 * r + 1, 2 * c + 1
            t = grid_triangle[gr, gc]
            triangle_id[r, c] = t
            t0, t1 = grid_triangle[gr - 1, gc - 1], grid_triangle[gr - 1, gc + 1]
            t2, t3 = grid_triangle[gr + 1, gc - 1], grid_triangle[gr + 1, gc + 1]
            surfaces = 0
            edge = True
            red, green, blue = zero, zero, zero
            if t < 0:
                barycentric[r, c, 0] = 0
                barycentric[r, c, 1] = 0
                if max(max(t0, t1), max(t2, t3)) < 0:
                    for k in range(3):
                        image[r, c, k] = background[r, c, k]
                    continue
            else:
                ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                w1, w2 = weights_on_ray(
                    point(camera, ia), point(camera, ib), point(camera, ic), (c + 0.5 - cx) * across,
                    (r + 0.5 - cy) * down, perspective,
                )  # fmt: skip
                q1, q2 = quantise(w1, w2)
                barycentric[r, c, 0] = q1
                barycentric[r, c, 1] = q2
                kind = material[t]
                f1, f2 = np.float32(q1) * scale, np.float32(q2) * scale
                f0 = one - f1 - f2
                albedo = _interpolate(attributes, 4, ia, ib, ic, f0, f1, f2)
                if kind == EYE:
                    direction = _interpolate(eye_direction, 0, ia, ib, ic, f0, f1, f2)
                    albedo = _eye_paint(direction, iris_radius, iris, albedo)
                red, green, blue = _shade(
                    _interpolate(attributes, 0, ia, ib, ic, f0, f1, f2),
                    f0 * attributes[ia, 3] + f1 * attributes[ib, 3] + f2 * attributes[ic, 3],
                    albedo, _interpolate(camera, 0, ia, ib, ic, f0, f1, f2), kind, sh, light, light_colour, perspective,
                )  # fmt: skip
                if min(min(t0, t1), min(t2, t3)) >= 0:
                    k0, k1 = grid_key[gr - 1, gc - 1], grid_key[gr - 1, gc + 1]
                    k2, k3 = grid_key[gr + 1, gc - 1], grid_key[gr + 1, gc + 1]
                    low, high = min(min(k0, k1), min(k2, k3)), max(max(k0, k1), max(k2, k3))
                    edge = (
                        kind == EYE
                        or high - low > _EDGE * high
                        or material[t0] != kind
                        or material[t1] != kind
                        or material[t2] != kind
                        or material[t3] != kind
                    )
                surfaces = 1
                surface_key[0] = grid_key[gr, gc]
                surface_kind[0] = kind
                surface_colour[0, 0], surface_colour[0, 1], surface_colour[0, 2] = red, green, blue
            if edge:
                red, green, blue = zero, zero, zero
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        weight = np.float32((2 - abs(dy)) * (2 - abs(dx))) * np.float32(0.0625)
                        s = grid_triangle[gr + dy, gc + dx]
                        if s < 0:
                            red += weight * decode[background[r, c, 0]]
                            green += weight * decode[background[r, c, 1]]
                            blue += weight * decode[background[r, c, 2]]
                            continue
                        kind, key = material[s], grid_key[gr + dy, gc + dx]
                        found = -1
                        if kind != EYE:
                            for n in range(surfaces):
                                if surface_kind[n] == kind and abs(surface_key[n] - key) <= _EDGE * key:
                                    found = n
                                    break
                        if found < 0:
                            ia, ib, ic = triangles[s, 0], triangles[s, 1], triangles[s, 2]
                            w1, w2 = weights_on_ray(
                                point(camera, ia), point(camera, ib), point(camera, ic),
                                (c + 0.5 + 0.5 * dx - cx) * across, (r + 0.5 + 0.5 * dy - cy) * down, perspective,
                            )  # fmt: skip
                            f1, f2 = np.float32(w1), np.float32(w2)
                            f0 = one - f1 - f2
                            albedo = _interpolate(attributes, 4, ia, ib, ic, f0, f1, f2)
                            if kind == EYE:
                                direction = _interpolate(eye_direction, 0, ia, ib, ic, f0, f1, f2)
                                albedo = _eye_paint(direction, iris_radius, iris, albedo)
                            found = min(surfaces, 8)
                            surfaces = found + 1
                            surface_key[found] = key
                            surface_kind[found] = kind
                            surface_colour[found, 0], surface_colour[found, 1], surface_colour[found, 2] = _shade(
                                _interpolate(attributes, 0, ia, ib, ic, f0, f1, f2),
                                f0 * attributes[ia, 3] + f1 * attributes[ib, 3] + f2 * attributes[ic, 3],
                                albedo, _interpolate(camera, 0, ia, ib, ic, f0, f1, f2), kind, sh, light, light_colour,
                                perspective,
                            )  # fmt: skip
                        # Clamped before averaging, so that a highlight's edge is anti-aliased as it is seen.
                        red += weight * min(surface_colour[found, 0], one)
                        green += weight * min(surface_colour[found, 1], one)
                        blue += weight * min(surface_colour[found, 2], one)
            image[r, c, 0] = encode[int(min(max(red, zero), one) * top + half)]
            image[r, c, 1] = encode[int(min(max(green, zero), one) * top + half)]
            image[r, c, 2] = encode[int(min(max(blue, zero), one) * top + half)]
