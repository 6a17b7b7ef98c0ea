"""The light on a point of skin, eye or wet surface: scalar functions, linear RGB.

A point shows what the spherical harmonics give it (:func:`from_around`) and what each light adds (:func:`from_light`).

They take scalars and tuples only and have no branches (but for the eye's paint): so the compiler puts them into the
loops of :mod:`facegen.stages.render.lanes`, eight or sixteen pixels at a time. A function that took arrays would
count references, at the price of all its arithmetic.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.surface import LASH, LIP, SKIN

F32 = NDArray[np.float32]
RGB = tuple[np.float32, np.float32, np.float32]
Light = tuple[np.float32, ...]

METRE = 1000.0
"""mm at which a point light adds its colour to a white surface that faces it."""

NEAREST = 1.0
"""mm: nearer than this a point light grows no brighter."""

# No reassociation and no approximate reciprocals: the same bits in a scalar and in a vector register, on any processor
# that fuses multiplication and addition.
inline = numba.njit(
    cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True,
    fastmath={"contract", "nsz", "nnan", "ninf"},
)  # fmt: skip


# Compiled, because NumPy takes longer for these thirty numbers than for a tenth of the pixels.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def light_polynomial(light_sh: F32) -> F32:
    """(3, 10) coefficients, a row a colour, of 1, y, z, x, xy, yz, z², xz, x², y², from (9, 3) spherical harmonics."""
    c0, c1, c2, c20, c22 = 0.28209479, 0.48860251, 1.09254843, 0.31539157, 0.54627422
    result = np.empty((3, 10), np.float32)
    for k in range(3):
        sh = light_sh[:, k].astype(np.float64)
        result[k, 0] = c0 * sh[0] - c20 * sh[6]
        result[k, 1], result[k, 2], result[k, 3] = c1 * sh[1], c1 * sh[2], c1 * sh[3]
        result[k, 4], result[k, 5] = c2 * sh[4], c2 * sh[5]
        result[k, 6], result[k, 7] = 3 * c20 * sh[6], c2 * sh[7]
        result[k, 8], result[k, 9] = c22 * sh[8], -c22 * sh[8]
    return result


@inline
def _smooth(low: np.float32, high: np.float32, x: np.float32) -> np.float32:
    s = min(max((x - low) / (high - low), np.float32(0.0)), np.float32(1.0))
    return s * s * (np.float32(3.0) - np.float32(2.0) * s)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def eye_paint(direction: RGB, iris_radius: np.float32, iris: RGB, sclera: RGB) -> RGB:
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


@inline
def towards_viewer(u: float, v: float, perspective: bool) -> RGB:
    """Unit vector to the viewer from a point on the ray (u, v, 1), camera frame."""
    one, zero = np.float32(1.0), np.float32(0.0)
    x, y = np.float32(u) if perspective else zero, np.float32(v) if perspective else zero
    scale = -one / np.float32(math.sqrt(x * x + y * y + one))
    return x * scale, y * scale, scale


@inline
def _polynomial(c: Light, x: np.float32, y: np.float32, z: np.float32) -> np.float32:
    # In pairs, which the processor adds side by side.
    return (
        ((c[0] + c[1] * y) + (c[2] * z + c[3] * x))
        + ((c[4] * (x * y) + c[5] * (y * z)) + (c[6] * (z * z) + c[7] * (x * z)))
        + (c[8] * (x * x) + c[9] * (y * y))
    )


@inline
def unit(normal: RGB) -> RGB:
    """A vector of any length but zero, at length 1."""
    x, y, z = normal
    scale = np.float32(1.0) / np.float32(math.sqrt(x * x + y * y + z * z + np.float32(1e-20)))
    return x * scale, y * scale, z * scale


@inline
def _bounced(albedo: np.float32, ambient: np.float32, seen: np.float32) -> np.float32:
    """One colour of the light from all around.

    What bounces inside a hollow takes its walls' colour (after Jimenez et al. 2016, "Practical realtime strategies for
    accurate indirect occlusion").
    """
    one, zero = np.float32(1.0), np.float32(0.0)
    bounced = one + np.float32(0.5) * (one - seen) * albedo
    return albedo * (max(ambient, zero) * seen * bounced)


@inline
def from_around(normal: RGB, seen: np.float32, albedo: RGB, sh: tuple[Light, Light, Light]) -> RGB:
    """Linear RGB that the spherical harmonics give a surface point, dimmed by the occlusion.

    Args:
        normal: unit vector, camera frame.
        seen: share of the sky that the point sees.
        albedo: linear RGB.
        sh: rows of :func:`light_polynomial`.
    """
    nx, ny, nz = normal
    return (
        _bounced(albedo[0], _polynomial(sh[0], nx, ny, nz), seen),
        _bounced(albedo[1], _polynomial(sh[1], nx, ny, nz), seen),
        _bounced(albedo[2], _polynomial(sh[2], nx, ny, nz), seen),
    )


@inline
def position_at(ray: tuple[np.float32, np.float32], z: np.float32, perspective: bool) -> RGB:
    """The point of depth z on a ray, camera frame, mm; see :func:`facegen.imaging.visibility.weights_on_ray`."""
    scale = z if perspective else np.float32(1.0)
    return ray[0] * scale, ray[1] * scale, z


@inline
def towards_point(light: RGB, point: RGB) -> tuple[RGB, np.float32]:
    """Unit vector from a point to a light at a point, mm, and how much of the light's colour is left there.

    Nearer than :data:`NEAREST` it grows no brighter, and at the light itself the vector is zero.
    """
    x, y, z = light[0] - point[0], light[1] - point[1], light[2] - point[2]
    squared = max(x * x + y * y + z * z, np.float32(NEAREST * NEAREST))
    scale = np.float32(1.0) / np.float32(math.sqrt(squared))
    return (x * scale, y * scale, z * scale), np.float32(METRE * METRE) / squared


@inline
def towards_light(position: RGB, is_point: bool, point: RGB) -> tuple[RGB, np.float32]:
    """As :func:`towards_point`, but a light that is no point is at infinity, and ``position`` the unit vector to it."""
    return towards_point(position, point) if is_point else (position, np.float32(1.0))


@inline
def _wrapped(lambert: np.float32, wrap: np.float32) -> np.float32:
    return max(lambert + wrap, np.float32(0.0)) / (np.float32(1.0) + wrap)


@inline
def from_light(
    normal: RGB,
    seen: np.float32,
    lit: np.float32,
    albedo: RGB,
    viewer: RGB,
    kind: int,
    light: RGB,
    light_colour: RGB,
) -> RGB:
    """Linear RGB that one light gives a surface point; vectors in the camera frame.

    It wraps around the terminator of skin, red most, and has a Blinn-Phong highlight with Schlick's Fresnel term at
    F0 = 0.028 (0.04 for eyes and what is wet, none for lashes).

    Args:
        normal: unit vector.
        seen: share of the sky that the point sees; a hollow dims the light.
        lit: share of the light that nothing keeps from the point, times what is left of it after the way.
        albedo: linear RGB.
        viewer: unit vector to the viewer.
        kind: material.
        light: unit vector to the light.
        light_colour: what it adds to a white surface that faces it.
    """
    one, zero = np.float32(1.0), np.float32(0.0)
    nx, ny, nz = normal
    # Compared as float32: the material comes in a row of floats, and mixed types would be compared as float64.
    material = np.float32(kind)
    lip = material == np.float32(LIP)
    skin = lip | (material == np.float32(SKIN))
    lambert = nx * light[0] + ny * light[1] + nz * light[2]
    direct_seen = _smooth(np.float32(0.15), np.float32(0.65), seen) * lit
    wrap_r = np.float32(0.24) if skin else np.float32(0.05)
    wrap_g = np.float32(0.16) if skin else np.float32(0.05)
    wrap_b = np.float32(0.08) if skin else np.float32(0.05)

    # With the half vector h = l + v between unit vectors: h·h = 2 + 2 l·v, n·h = n·l + n·v, v·h = 1 + l·v.
    one_lv = max(one + light[0] * viewer[0] + light[1] * viewer[1] + light[2] * viewer[2], np.float32(1e-6))
    half_n = max(lambert + nx * viewer[0] + ny * viewer[1] + nz * viewer[2], zero)
    # Below these cosines the lobes are below what a byte shows, and their powers would be slow denormal numbers.
    cosine2 = max(half_n * half_n / (one_lv + one_lv), np.float32(0.2) if skin else np.float32(0.7))
    power2 = cosine2 * cosine2
    power4 = power2 * power2
    power8 = power4 * power4
    power24 = power8 * power8 * power8
    power32 = power24 * power8
    power128 = power32 * power32 * power32 * power32
    # On skin a broad lobe (n·h)^16 and, for its oil, a narrower one (n·h)^48; on moist lips (n·h)^64 as well; elsewhere
    # (n·h)^256.
    lobe = power8 * np.float32(1.6) + power24 * np.float32(1.4) if skin else power128 * np.float32(33.0)
    lobe = lobe + power32 * np.float32(3.0) if lip else lobe
    grazing = one - np.float32(math.sqrt(one_lv * np.float32(0.5)))
    grazing2 = grazing * grazing
    base = np.float32(0.028) if skin else np.float32(0.04)
    fresnel = base + (one - base) * grazing2 * grazing2 * grazing
    strength = zero if material == np.float32(LASH) else fresnel * lobe * min(max(lambert * np.float32(2.0), zero), one)
    return (
        light_colour[0] * direct_seen * (albedo[0] * _wrapped(lambert, wrap_r) + strength),
        light_colour[1] * direct_seen * (albedo[1] * _wrapped(lambert, wrap_g) + strength),
        light_colour[2] * direct_seen * (albedo[2] * _wrapped(lambert, wrap_b) + strength),
    )
