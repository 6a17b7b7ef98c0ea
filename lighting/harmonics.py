"""Real spherical harmonics of order 2 as light: projection, what a matte surface shows, rotation.

Coefficients (9, 3) are those of :attr:`facegen.batch.Samples.light_sh`: order Y00, Y1-1 (y), Y10 (z), Y11 (x), Y2-2
(xy), Y2-1 (yz), Y20 (3z²-1), Y21 (xz), Y22 (x²-y²), real orthonormal, convolved with the Lambertian kernel and divided
by π (Ramamoorthi & Hanrahan 2001, "An efficient representation for irradiance environment maps"): a surface of albedo ρ
and normal n shows ρ Σ sh_k Y_k(n).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_Y0 = 0.5 / np.sqrt(np.pi)
_Y1 = np.sqrt(0.75 / np.pi)
_XY = np.sqrt(15 / (4 * np.pi))
_Z2 = np.sqrt(5 / (16 * np.pi))
_X2 = np.sqrt(15 / (16 * np.pi))

_KERNEL = np.array([1.0] + 3 * [2 / 3] + 5 * [1 / 4])
"""The clamped cosine, by order, divided by π."""

# Y down and z away instead of y up and z towards the viewer: the sign of each function.
_FLIPPED = np.array([1.0, -1, -1, 1, -1, 1, 1, -1, 1])


def basis(direction: Float64) -> Float64:
    """The nine functions (…, 9) at unit vectors (…, 3)."""
    x, y, z = np.moveaxis(direction, -1, 0)
    values = [
        np.full_like(x, _Y0),
        _Y1 * y,
        _Y1 * z,
        _Y1 * x,
        _XY * x * y,
        _XY * y * z,
        _Z2 * (3 * z * z - 1),
        _XY * x * z,
        _X2 * (x * x - y * y),
    ]
    return np.stack(values, axis=-1)


def project(direction: Float64, flux: Float64) -> Float64:
    """Coefficients (9, 3) of light that comes from n directions.

    Args:
        direction: (n, 3) unit vectors towards the light.
        flux: (n, 3) linear RGB radiance times solid angle.
    """
    return np.asarray(_KERNEL[:, None] * np.einsum("nk,nc->kc", basis(direction), flux))


def shown(sh: Float64, normal: Float64) -> Float64:
    """What a white surface shows (…, 3) under the light ``sh`` (9, 3), by its unit normal (…, 3)."""
    return np.asarray(basis(normal) @ sh)


def fluence(sh: Float64) -> Float64:
    """The light (3,) that arrives from all sides: radiance integrated over the sphere."""
    return np.asarray(sh[0] / _Y0)


def rotated(sh: Float64, rotation: Float64) -> Float64:
    """The coefficients (9, 3) of a light that has been turned: what came from d comes from ``rotation`` (3, 3) @ d.

    Order 1 is a vector and order 2 a symmetric matrix without trace, which turn as such.
    """
    vector = rotation @ sh[[3, 1, 2]]
    xx, yy = -_Z2 * sh[6] + _X2 * sh[8], -_Z2 * sh[6] - _X2 * sh[8]
    xy, yz, xz = 0.5 * _XY * sh[4], 0.5 * _XY * sh[5], 0.5 * _XY * sh[7]
    matrix = np.stack([np.stack([xx, xy, xz]), np.stack([xy, yy, yz]), np.stack([xz, yz, 2 * _Z2 * sh[6]])])
    turned = np.einsum("ij,jkc,lk->ilc", rotation, matrix, rotation)
    result = np.empty_like(sh)
    result[0], result[[3, 1, 2]] = sh[0], vector
    result[4], result[5], result[7] = (turned[i, j] * 2 / _XY for i, j in ((0, 1), (1, 2), (0, 2)))
    result[6] = turned[2, 2] / (2 * _Z2)
    result[8] = (turned[0, 0] - turned[1, 1]) / (2 * _X2)
    return result


def flipped(sh: Float64) -> Float64:
    """The coefficients in axes whose y and z point the other way: :func:`rotated` by diag(1, -1, -1)."""
    return np.asarray(sh * _FLIPPED[:, None])


@lru_cache(maxsize=8)
def even_directions(count: int) -> Float64:
    """Unit vectors (count, 3), each of 4π / count of the sphere: a Fibonacci lattice about y, from top to bottom."""
    number = np.arange(count)
    up = 1 - (2 * number + 1) / count
    angle = number * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - up * up)
    result = np.stack([across * np.sin(angle), up, across * np.cos(angle)], axis=1)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=8)
def _even_basis(count: int) -> Float64:
    result = np.asarray(basis(even_directions(count)) * _KERNEL * (4 * np.pi / count))
    result.flags.writeable = False
    return result


def project_even(radiance: Float64) -> Float64:
    """Coefficients (9, 3) of linear RGB radiance (n, 3) from the directions of :func:`even_directions`."""
    return np.asarray(np.einsum("nk,nc->kc", _even_basis(len(radiance)), radiance))
