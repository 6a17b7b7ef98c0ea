"""Reading Radiance pictures (``.hdr``): Ward 1991, "Real pixels", and the format's reference, filefmts.pdf of Radiance.

Pixels of a shared exponent, flat or run-length encoded in either of the two ways, in rows from any of the four corners.
"""

from __future__ import annotations

import re

import numba
import numpy as np
from numpy.typing import NDArray

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")

_LONGEST_HEADER = 65536

_FINE, _TOO_SHORT, _BAD_RUN = 0, 1, 2
_PROBLEMS = {_TOO_SHORT: "ends before its last pixel", _BAD_RUN: "has a run of pixels that does not fit its row"}


def read_rgbe(data: bytes, most_pixels: int) -> NDArray[np.float32]:
    """The picture (H, W, 3), linear RGB, row 0 at the top.

    Args:
        data: the file.
        most_pixels: more are refused.

    Raises:
        ValueError: saying what is wrong with the file.
    """
    if data[:2] != b"#?":
        raise ValueError("not a Radiance picture: it does not begin with '#?'")
    end = data.find(b"\n\n", 0, _LONGEST_HEADER)
    if end < 0:
        raise ValueError("the header has no end")
    exposure = _exposure(data[:end].split(b"\n")[1:])
    stop = data.find(b"\n", end + 2, end + 100)
    size = re.fullmatch(rb"([+-])Y (\d{1,9}) ([+-])X (\d{1,9})", data[end + 2 : stop].strip()) if stop > 0 else None
    if not size:
        raise ValueError("its size is not given as '-Y rows +X columns'")
    height, width = int(size[2]), int(size[4])
    if not 0 < height * width <= most_pixels:
        raise ValueError(f"{width} × {height} pixels; from 1 to {most_pixels:,} can be read")
    pixels = np.empty((height, width, 4), np.uint8)
    problem = _decode(np.frombuffer(data, np.uint8), stop + 1, pixels)
    if problem != _FINE:
        raise ValueError(f"it {_PROBLEMS[problem]}")
    upright = pixels[:: -1 if size[1] == b"+" else 1, :: -1 if size[3] == b"-" else 1]
    return _linear(upright) / np.float32(exposure)


def _exposure(lines: list[bytes]) -> float:
    """What pixels have been multiplied by: the product of all EXPOSURE lines."""
    exposure = 1.0
    for line in lines:
        name, _, value = line.partition(b"=")
        if name == b"FORMAT" and value.strip() != b"32-bit_rle_rgbe":
            raise ValueError(
                f"pixels of format {value.strip()[:40].decode('ascii', 'replace')!r}; expected 32-bit_rle_rgbe"
            )
        if name == b"EXPOSURE":
            try:
                exposure *= float(value)
            except ValueError:
                exposure = 0
            if not 1e-30 < exposure < 1e30:
                raise ValueError("its EXPOSURE is no positive number")
    return exposure


def _linear(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    # The value in the middle of those that were rounded to it, as Radiance has it. An exponent of 0 is black.
    scale = np.ldexp(np.float32(1), pixels[..., 3:].astype(np.int32) - 136) * (pixels[..., 3:] > 0)
    return np.asarray((pixels[..., :3] + np.float32(0.5)) * scale, np.float32)


@_compile
def _decode(data: NDArray[np.uint8], at: int, pixels: NDArray[np.uint8]) -> int:
    """Fill ``pixels`` (H, W, 4) from ``data``; what went wrong."""
    height, width, size = pixels.shape[0], pixels.shape[1], len(data)
    for row in range(height):
        if at + 4 > size:
            return _TOO_SHORT
        by_component = 8 <= width < 32768 and data[at] == 2 and data[at + 1] == 2 and data[at + 2] < 128
        if by_component:
            if (int(data[at + 2]) << 8) + int(data[at + 3]) != width:
                return _BAD_RUN
            at += 4
            for component in range(4):
                x = 0
                while x < width:
                    if at + 2 > size:
                        return _TOO_SHORT
                    length, same = int(data[at]), data[at] > 128
                    if same:
                        length -= 128
                    at += 1
                    if length == 0 or x + length > width:
                        return _BAD_RUN
                    if not same and at + length > size:
                        return _TOO_SHORT
                    for i in range(length):
                        pixels[row, x + i, component] = data[at] if same else data[at + i]
                    at += 1 if same else length
                    x += length
            continue
        # Flat pixels, or the older runs: red, green and blue of 1 repeat the pixel before, by digits of base 256.
        x, shift = 0, 0
        while x < width:
            if at + 4 > size:
                return _TOO_SHORT
            if data[at] == 1 and data[at + 1] == 1 and data[at + 2] == 1:
                length = int(data[at + 3]) << shift
                if x == 0 or x + length > width:
                    return _BAD_RUN
                for i in range(length):
                    for component in range(4):
                        pixels[row, x + i, component] = pixels[row, x - 1, component]
                x += length
                shift = min(shift + 8, 24)
            else:
                for component in range(4):
                    pixels[row, x, component] = data[at + component]
                x += 1
                shift = 0
            at += 4
    return _FINE
