"""Pictures in linear light: from sRGB bytes and back, and the convolutions that lenses do."""

from __future__ import annotations

import math
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.deferred import srgb_decoding, srgb_encoding

F32 = NDArray[np.float32]

# Plain arithmetic: the same bits whatever vector registers a processor has.
_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


def decode_srgb(image: NDArray[np.uint8]) -> F32:
    """Linear light (…), 0 … 1, of sRGB bytes (…)."""
    decoded: F32 = _decoding()[image]
    return decoded


def encode_srgb(light: F32) -> NDArray[np.uint8]:
    """The nearest sRGB bytes (…) of linear light (…), which is cut to 0 … 1; undoes :func:`decode_srgb` exactly."""
    image = np.empty(light.shape, np.uint8)
    _encode(np.ascontiguousarray(light).reshape(-1), _encoding(), image.reshape(-1))
    return image


def gain_srgb(image: NDArray[np.uint8], gain: F32) -> NDArray[np.uint8]:
    """sRGB bytes (H, W, 3) of the linear light of ``image`` times ``gain`` (3,)."""
    table = encode_srgb(decode_srgb(np.arange(256, dtype=np.uint8))[:, None] * gain)
    return np.stack([table[:, k][image[..., k]] for k in range(3)], axis=-1)


def gaussian_blur(light: F32, sigma: float) -> F32:
    """Convolve (H, W, 3) with a Gaussian of ``sigma`` pixels, cut at 3 σ; beyond the border the picture is mirrored."""
    radius = math.ceil(3 * sigma)
    if radius == 0:
        return light
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weight = (weight / weight.sum()).astype(np.float32)
    zero = np.zeros_like(weight, np.int64)
    step = np.arange(len(weight))
    across = convolve(_mirrored(light, 0, radius), zero, step, weight, light.shape)
    return convolve(_mirrored(across, radius, 0), step, zero, weight, light.shape)


def motion_blur(light: F32, across: float, down: float) -> F32:
    """Average (H, W, 3) along a segment of (across, down) pixels around each point; mirrored beyond the border."""
    steps = 2 * math.ceil(max(abs(across), abs(down))) + 1
    along = (np.arange(steps) + 0.5) / steps - 0.5
    rows, columns = along * down, along * across
    # Each sample is bilinear: it gives its share to four pixels.
    taps: dict[tuple[int, int], float] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        top, left = math.floor(row), math.floor(column)
        for y, share_y in ((top, top + 1 - row), (top + 1, row - top)):
            for x, share_x in ((left, left + 1 - column), (left + 1, column - left)):
                taps[y, x] = taps.get((y, x), 0.0) + share_y * share_x / steps
    return _with_taps(light, taps)


def disc_blur(light: F32, radius: float) -> F32:
    """Average (H, W, 3) over a disc of ``radius`` pixels: what a lens out of focus does; mirrored beyond the border."""
    reach = math.ceil(radius + 0.5)
    offsets = range(-reach, reach + 1)
    # The rim is one pixel soft, so that the radius may be any number.
    taps = {(y, x): min(max(radius + 0.5 - math.hypot(y, x), 0.0), 1.0) for y in offsets for x in offsets}
    total = sum(taps.values())
    return _with_taps(light, {place: share / total for place, share in taps.items()})


def _with_taps(light: F32, taps: dict[tuple[int, int], float]) -> F32:
    used = {place: share for place, share in sorted(taps.items()) if share > 0}
    rows, columns = (np.array([place[axis] for place in used]) for axis in (0, 1))
    reach_y, reach_x = int(np.abs(rows).max()), int(np.abs(columns).max())
    padded = _mirrored(light, reach_y, reach_x)
    weights = np.array(list(used.values()), np.float32)
    return convolve(padded, rows + reach_y, columns + reach_x, weights, light.shape)


def _mirrored(light: F32, rows: int, columns: int) -> F32:
    return np.pad(light, ((rows, rows), (columns, columns), (0, 0)), mode="symmetric")


def convolve(
    padded: F32, rows: NDArray[np.int64], columns: NDArray[np.int64], weights: F32, shape: tuple[int, ...]
) -> F32:
    """Sum (H, W, 3) = ``shape`` of ``weights`` (n,) times ``padded`` from offsets ``rows`` and ``columns`` (n,) on."""
    result = np.zeros(shape, np.float32)
    flat = np.ascontiguousarray(padded).reshape(len(padded), -1)
    _convolve(flat, rows, 3 * columns, weights, result.reshape(shape[0], -1))
    return result


@_compile
def _convolve(padded: F32, rows: NDArray[np.int64], columns: NDArray[np.int64], weights: F32, result: F32) -> None:
    for r in range(result.shape[0]):
        for n in range(len(weights)):
            source = padded[r + rows[n], columns[n] : columns[n] + result.shape[1]]
            for i in range(result.shape[1]):
                result[r, i] += weights[n] * source[i]


@_compile
def _encode(light: F32, table: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    top = np.float32(len(table) - 1)
    for i in range(len(light)):
        clipped = min(max(light[i], np.float32(0.0)), np.float32(1.0))
        image[i] = table[int(clipped * top + np.float32(0.5))]


_decoding = lru_cache(maxsize=1)(srgb_decoding)
_encoding = lru_cache(maxsize=1)(srgb_encoding)
