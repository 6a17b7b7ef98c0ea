"""Reader of MATLAB 5 files: numbers, and structures of numbers.

scipy reads more kinds, but a damaged file makes it stumble in every way, and some crash the process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.generic]
Value = Numbers | dict[str, "Numbers | str"] | str
"""Real numbers; of a structure its first element, by field; of all else what it is, in words."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHER = {1: "a cell array", 2: "a structure", 3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX = 0x0800
_PEEKED = 1024
"""Bytes of a compressed variable that tell its name."""
_LARGEST = 1 << 33
"""Bytes to which a variable may decompress."""


class Version73Error(ValueError):
    """The file is of MATLAB 7.3, which is HDF5."""


def read_variables(data: bytes, names: Collection[str]) -> dict[str, Value]:
    """Those of the named variables that a file has.

    Raises:
        ValueError: it is no MATLAB 5 file, or damaged.
    """
    order = _byte_order(data)
    found: dict[str, Value] = {}
    rest = memoryview(data)[_HEADER:]
    try:
        while rest:
            kind, body, rest = _element(rest, order)
            if kind == _COMPRESSED:
                kind, body = _decompressed(body, order, names)
            if kind == _MATRIX and _name(body, order) in names:
                found[_name(body, order)] = _value(body, order)
    except (struct.error, zlib.error, OverflowError) as error:
        raise ValueError(f"damaged ({error})") from None
    return found


def _byte_order(data: bytes) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("no MATLAB 5 file")
    (version,) = struct.unpack(f"{order}H", data[124:126])
    if version == 0x0200:
        raise Version73Error("MATLAB 7.3")
    if version != 0x0100:
        raise ValueError(f"of version {version:#06x}")
    return order


def _element(data: memoryview, order: str) -> tuple[int, memoryview, memoryview]:
    """Kind and content of the first element, and what follows it."""
    kind, size = struct.unpack(f"{order}II", data[:8])
    start = 8
    if kind >> 16:
        # Up to four bytes share the tag.
        kind, size, start = kind & 0xFFFF, kind >> 16, 4
        if size > 4:
            raise ValueError("damaged (a short element is too long)")
    if start + size > len(data):
        raise ValueError("damaged (it ends too early)")
    padded = start + size if kind == _COMPRESSED else -(-(start + size) // 8) * 8
    return kind, data[start : start + size], data[padded:]


def _decompressed(data: memoryview, order: str, names: Collection[str]) -> tuple[int, memoryview]:
    """The element in a compressed one; only its beginning where its name is not among ``names``."""
    stream = zlib.decompressobj()
    head = stream.decompress(data, _PEEKED)
    kind, _ = struct.unpack(f"{order}II", head[:8])
    if kind != _MATRIX:
        return 0, memoryview(b"")
    body = memoryview(head)[8:]
    if _name(body, order) not in names:
        return kind, body
    whole = head + stream.decompress(stream.unconsumed_tail, _LARGEST)
    if not stream.eof:
        raise ValueError("damaged (a compressed variable ends too early)")
    kind, body, _ = _element(memoryview(whole), order)
    return kind, body


def _name(body: memoryview, order: str) -> str:
    return _described(body, order)[3] if body else ""


def _described(body: memoryview, order: str) -> tuple[int, int, tuple[int, ...], str, memoryview]:
    """Of a matrix: class, flags, shape, name, and the elements that follow."""
    kind, flags, rest = _element(body, order)
    if kind != 6 or len(flags) != 8:
        raise ValueError("damaged (a variable has no flags)")
    (flag,) = struct.unpack(f"{order}I", flags[:4])
    if flag & 0xFF not in _NUMERIC | _OTHER:
        # Functions and opaque objects, which are laid out in another way.
        return flag & 0xFF, flag, (), "", rest
    kind, sizes, rest = _element(rest, order)
    if kind != 5 or len(sizes) % 4 or len(sizes) < 8:
        raise ValueError("damaged (a variable has no shape)")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape) < 0:
        raise ValueError("damaged (a variable has a negative size)")
    kind, name, rest = _element(rest, order)
    return flag & 0xFF, flag, shape, bytes(name).decode("latin-1"), rest


def _value(body: memoryview, order: str) -> Value:
    group, _, shape, _, rest = _described(body, order)
    if group != 2:
        return _numbers(body, order)
    _, length, rest = _element(rest, order)
    _, names, rest = _element(rest, order)
    (width,) = struct.unpack(f"{order}i", length)
    if width < 1 or len(names) % width:
        raise ValueError("damaged (a structure has no names)")
    fields: dict[str, Numbers | str] = {}
    if math.prod(shape):
        for start in range(0, len(names), width):
            kind, inner, rest = _element(rest, order)
            if kind != _MATRIX:
                raise ValueError("damaged (a field of a structure is no variable)")
            name = bytes(names[start : start + width]).split(b"\0")[0].decode("latin-1")
            # MATLAB writes an empty array as an empty element.
            fields[name] = _numbers(inner, order) if inner else np.zeros((0, 0))
    return fields


def _numbers(body: memoryview, order: str) -> Numbers | str:
    """Real numbers, or what else it is."""
    group, flag, shape, _, rest = _described(body, order)
    if group not in _NUMERIC:
        return _OTHER.get(group, "an object")
    if flag & _COMPLEX:
        return "complex numbers"
    kind, stored, _ = _element(rest, order)
    if kind not in _STORED:
        raise ValueError("damaged (numbers of an unknown kind)")
    type_ = np.dtype(order + _STORED[kind])
    if len(stored) != math.prod(shape) * type_.itemsize:
        raise ValueError("damaged (numbers are missing)")
    # Whole numbers are stored in fewer bytes than their class has.
    return np.frombuffer(stored, type_).astype(_NUMERIC[group]).reshape(shape, order="F")
