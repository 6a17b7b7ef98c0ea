"""Arrays of the shipped model in few bytes: bases as 16-bit integers with a scale a component."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.storage import write_atomically

Float = NDArray[np.float32]

_LARGEST = 32767


def pack_basis(basis: NDArray[np.floating]) -> tuple[NDArray[np.uint8], Float]:
    """Components (K, …) as the high and the low bytes (2, K, …) of 16-bit integers, and the scale (K,) of each.

    Bytes of one kind lie together, because the high ones compress well. What is lost is below a 65,000th of a
    component's largest displacement.
    """
    flat = np.abs(basis.reshape(len(basis), -1)).max(axis=1)
    scale = (np.where(flat > 0, flat, 1) / _LARGEST).astype(np.float32)
    steps = np.rint(basis / scale.reshape(-1, *(1,) * (basis.ndim - 1)).astype(np.float64)).astype(np.int16)
    # Zigzag: small values of both signs have a high byte of zero.
    coded = ((steps.astype(np.int32) << 1) ^ (steps.astype(np.int32) >> 15)).astype(np.uint16)
    return np.stack([coded >> 8, coded & 255]).astype(np.uint8), scale


def unpack_basis(planes: NDArray[np.uint8], scale: Float) -> Float:
    """The inverse of :func:`pack_basis`, float32."""
    coded = planes[0].astype(np.uint16) << 8
    coded |= planes[1]
    steps = (coded >> 1).astype(np.int16) ^ -(coded & 1).astype(np.int16)
    basis: Float = steps.astype(np.float32)
    basis *= scale.reshape(-1, *(1,) * (basis.ndim - 1))
    return basis


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a compressed ``.npz``; equal arrays give equal bytes (its entries are dated 1980)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(sorted(arrays.items())))
    write_atomically(path, buffer.getbuffer())


def read_arrays(data: bytes, source: str) -> dict[str, NDArray[Any]]:
    """Arrays of :func:`write_arrays`.

    Raises:
        ModelError: the data are damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise ModelError(f"{source} is damaged ({error}); install facegen again") from None
