"""Reading faces out of shard files: byte ranges, checksums, and a bounded number of open files."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from facegen.dataset.layout import ArrayLayout
from facegen.errors import DatasetError
from facegen.stages.pack import sharding

Array = NDArray[np.generic]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ShardFile:
    """One open shard file of one array.

    Args:
        root: the dataset's root.
        array: the array.
        shard: its number.
        size: bytes that the shard's record gives the file.
        shard_size: faces in a full shard.

    Raises:
        DatasetError: naming the shard, when the file is missing, of another size, or has a damaged index.
    """

    _file = -1

    def __init__(self, root: Path, array: ArrayLayout, shard: int, size: int, shard_size: int) -> None:
        self._array = array
        self._path = root / array.file(shard)
        self._where = f"shard {shard:05d} of {root}: {array.file(shard)}"
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            found = os.fstat(self._file).st_size
        except FileNotFoundError:
            raise DatasetError(f"{self._where} is missing") from None
        except OSError as error:
            raise DatasetError(f"{self._where} cannot be read: {error.strerror}") from None
        tail = sharding.index_bytes(shard_size // array.chunk_faces)
        if found != size or size < tail:
            raise DatasetError(f"{self._where} has {found} bytes, expected {max(size, tail)}")
        try:
            index = sharding.decode_index(self._read(found - tail, tail), found)
        except sharding.DamagedError as error:
            raise DatasetError(f"{self._where} is damaged: {error}") from None
        self._index: list[tuple[int, int]] = [(int(start), int(length)) for start, length in index]

    def __del__(self) -> None:
        # Whoever still reads holds a reference, so dropping a file from a cache cannot close it under a reader.
        if self._file >= 0:
            os.close(self._file)

    def chunk(self, number: int) -> Array:
        """One inner chunk, (chunk_faces, ...), writable.

        Raises:
            DatasetError: naming the shard, when it is missing or damaged.
        """
        start, length = self._index[number]
        if start == sharding.ABSENT:
            raise DatasetError(f"{self._where} is damaged: it has no chunk {number}")
        shape = (self._array.chunk_faces, *self._array.face_shape)
        try:
            return sharding.decode_chunk(self._read(start, length), shape, self._array.dtype)
        except sharding.DamagedError as error:
            raise DatasetError(f"{self._where} is damaged: chunk {number}: {error}") from None

    def face(self, place: int) -> Array:
        """The face at a place in the shard, of an array with one inner chunk per face; errors as :meth:`chunk`."""
        return self.chunk(place).reshape(self._array.face_shape)

    def _read(self, start: int, length: int) -> bytes:
        try:
            return os.pread(self._file, length, start)
        except OSError as error:
            raise DatasetError(f"{self._where} cannot be read: {error.strerror}") from None


class Recent(Generic[K, V]):
    """The most recently used values, at most ``limit``; safe between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of ``key``, made when it is not there. Two threads may both make it; one of the two is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        return value
