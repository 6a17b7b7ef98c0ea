"""The bytes of a Zarr v3 shard: ``sharding_indexed`` over ``[bytes, zstd, crc32c]``, its index at the end.

zarr-python would give the same bytes at about twice the processor time and read one face at a time five times slower,
because it schedules every inner chunk as a task; hence these few functions. The tests compare the two byte by byte.

A shard is split along its first axis only. Layout: the encoded inner chunks one after the other, then the index (per
inner chunk its offset and length as little-endian uint64, both 2^64 - 1 where there is none), then the index's crc32c.
"""

from __future__ import annotations

from collections.abc import Iterable

import google_crc32c
import numcodecs.zstd
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

ABSENT = np.uint64(2**64 - 1)
_CRC_BYTES = 4


class DamagedError(ValueError):
    """Bytes that are not what the encoder wrote; the message says what is wrong but not where."""


def encode_shard(chunks: Iterable[Array], slots: int, level: int) -> bytes:
    """A whole shard.

    Args:
        chunks: the inner chunks in order, C-contiguous and little-endian; fewer than ``slots`` in a partial last shard.
        slots: inner chunks per full shard.
        level: of zstd.
    """
    index = np.full((slots, 2), ABSENT, "<u8")
    parts: list[bytes] = []
    offset = 0
    for slot, chunk in enumerate(chunks):
        encoded = encode_chunk(chunk, level)
        parts.append(encoded)
        index[slot] = offset, len(encoded)
        offset += len(encoded)
    parts.append(_with_crc(index.tobytes()))
    return b"".join(parts)


def encode_chunk(chunk: Array, level: int) -> bytes:
    """One chunk: zstd, then its crc32c."""
    compressed: bytes = numcodecs.zstd.compress(chunk.reshape(-1).view(np.uint8), level)
    return _with_crc(compressed)


def index_bytes(slots: int) -> int:
    """Length of the index at the end of a shard."""
    return 16 * slots + _CRC_BYTES


def decode_index(data: bytes, shard_bytes: int) -> NDArray[np.uint64]:
    """Offsets and lengths (slots, 2) from the last :func:`index_bytes` bytes of a shard of ``shard_bytes`` bytes.

    Raises:
        DamagedError: for a wrong checksum or entries that point outside the shard.
    """
    index = np.frombuffer(_without_crc(data, "index"), "<u8").reshape(-1, 2)
    present = index[index[:, 0] != ABSENT]
    limit = shard_bytes - len(data)
    if (present > limit).any() or (present.sum(axis=1) > limit).any():
        raise DamagedError("its index points outside the file")
    return index


def decode_chunk(data: bytes, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """The inverse of :func:`encode_chunk`; the result is writable.

    Raises:
        DamagedError: for a wrong checksum, or contents of another size than ``shape`` and ``dtype`` say.
    """
    result = np.empty(shape, dtype)
    compressed = _without_crc(data, "chunk")
    found = _content_bytes(compressed)
    if found != result.nbytes:
        raise DamagedError(f"it holds {found} bytes, expected {result.nbytes}")
    try:
        numcodecs.zstd.decompress(compressed, result.reshape(-1).view(np.uint8))
    except (RuntimeError, ValueError) as error:
        raise DamagedError(str(error)) from None
    return result


def _content_bytes(frame: bytes) -> int:
    """Size of what a zstd frame holds, from its header (RFC 8878, 3.1.1.1); -1 when the header does not say.

    zstd itself would fill a part of a larger buffer without complaint.
    """
    if len(frame) < 5 or frame[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    width = (single_segment, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    if width == 0 or len(frame) < start + width:
        return -1
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)


def _with_crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")


def _without_crc(data: bytes, what: str) -> bytes:
    body, stored = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if len(stored) < _CRC_BYTES or int(google_crc32c.value(body)).to_bytes(_CRC_BYTES, "little") != stored:
        raise DamagedError(f"the checksum (crc32c) of its {what} does not match")
    return body
