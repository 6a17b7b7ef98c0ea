"""Faces of a packed dataset for training: :class:`FaceDataset`."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.dataset.layout import ArrayLayout, open_layout, read_record
from facegen.dataset.shards import Recent, ShardFile
from facegen.errors import DatasetError, UnknownChannelError
from facegen.morphable.topology import Topology

if TYPE_CHECKING:
    from facegen.dataset.derived import Derivation
    from facegen.imaging.annotation import Annotation
    from facegen.imaging.flow import Flow
    from facegen.imaging.seen import Pictured

Array = NDArray[np.generic]

# Per process. A decoded chunk holds a small array of one shard: 200 KiB for 68 landmarks of 256 faces, mostly far less.
_OPEN_FILES = 256
_DECODED_CHUNKS = 512


_OF_THIS_PROCESS = ("_files", "_decoded", "_process", "_labels")
"""Attributes that do not travel to other processes."""

MOST_TEXELS = 8192
"""Texels a side of maps."""


class FaceDataset(torch.utils.data.Dataset[Any]):
    """The valid faces of a dataset, each a dictionary of tensors.

    Shapes are those of the stored arrays without the first axis: images are (H, W, 3) uint8, not channels first, and
    other per-pixel channels (H, W) or (H, W, C); ``docs/dataset.md`` describes every one. Labels that are not stored
    are made from mesh, camera and visibility buffer when they are asked for (``docs/labels.md``): per-pixel channels
    bit for bit as pack would have stored them, dense landmarks, boxes and gaze, maps in texture space.

    Opening reads metadata and records only. Files are opened when a face is asked for, per process, so that an
    instance works in a DataLoader's workers under fork and under spawn, and between threads.

    Args:
        path: a run folder or the ``dataset.zarr`` in it.
        channels: names of what a face's dictionary holds, see :attr:`available`.
        transform: applied to the dictionary.
        map_size: texels a side of maps in texture space that are made here; ``None`` for that of the run's stored maps,
            256 where it has none.
        allow_incomplete: take the faces of the finished shards and leave out the others, instead of refusing.

    Raises:
        DatasetError: when there is no dataset, a channel is unknown (the message has the nearest name), or a shard has
            no record or one of another run (the message names the shard). Asking for a face raises it when a file of
            its shard is missing or damaged.
    """

    def __init__(
        self,
        path: str | Path,
        channels: Iterable[str] = ("image", "vertices"),
        *,
        transform: Callable[[dict[str, torch.Tensor]], Any] | None = None,
        map_size: int | None = None,
        allow_incomplete: bool = False,
    ) -> None:
        self._layout = open_layout(path)
        if map_size is not None and not 1 <= map_size <= MOST_TEXELS:
            raise DatasetError(f"map_size is {map_size}, expected 1 to {MOST_TEXELS}")
        self._map_size = map_size
        self.channels = self._known([channels] if isinstance(channels, str) else channels)
        self.transform = transform
        self.attributes: dict[str, Any] = self._layout.attributes
        """The dataset's own: model, units, frames, fingerprint, seed, versions."""
        self.failed: dict[int, str] = {}
        """Why faces failed, by face number; they are left out."""
        # One row per shard, one column per array: as arrays they travel to workers cheaply.
        self._sizes = np.zeros((self._layout.shards, len(self._layout.arrays)), np.int64)
        self._column = {name: column for column, name in enumerate(self._layout.arrays)}
        self.faces: NDArray[np.int64] = self._read_records(allow_incomplete)
        """(len,) face numbers, ascending."""
        self._topology: Topology | None = None
        self._open_caches()

    @property
    def available(self) -> tuple[str, ...]:
        """Names of all channels: stored ones first, then those that are made when they are asked for."""
        return tuple(dict.fromkeys([*self._layout.arrays, *self._labels.names]))

    @cached_property
    def _labels(self) -> Derivation:
        # Imported late: it compiles kernels, which workers that only read need not pay for.
        from facegen.dataset.derived import Derivation

        return Derivation(self._layout, self._map_size)

    @property
    def topology(self) -> Topology:
        """The mesh that all faces share, read once."""
        return self._labels.topology

    @property
    def annotation(self) -> Annotation:
        """Layers and dense landmarks of that mesh."""
        return self._labels.annotation

    @property
    def uv_mask(self) -> Array:
        """(S, S) bool: texels of attribute maps whose centre is on the mesh; the others are padding or empty."""
        return self._labels.atlas.mask

    @property
    def uv_weight(self) -> Array:
        """(S, S) float32, 0 … 1: how much places count, see :func:`facegen.imaging.maps.weight_map`."""
        from facegen.imaging.maps import weight_map

        return weight_map(self.topology, self.annotation, self._labels.atlas)

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: SupportsIndex) -> Any:
        values = self.read(index, self.channels)
        tensors = {name: torch.from_numpy(value) for name, value in values.items()}
        return self.transform(tensors) if self.transform else tensors

    def position(self, face: int) -> int:
        """Index of a face, given its number.

        Raises:
            DatasetError: when the dataset has no such face, or it failed.
        """
        index = int(np.searchsorted(self.faces, face))
        if index < len(self.faces) and self.faces[index] == face:
            return index
        why = f"failed: {self.failed[face]}" if face in self.failed else "is not in it"
        raise DatasetError(f"{self._layout.root}: face {face} {why}")

    def read(self, index: SupportsIndex, channels: Sequence[str]) -> dict[str, Array]:
        """Any channels of one face as new arrays; what :meth:`__getitem__` is made of.

        Args:
            index: from 0; negative counts from the end.
            channels: names, see :attr:`available`.

        Raises:
            IndexError: for an index outside the dataset.
            DatasetError: for an unknown channel, or a missing or damaged shard.
        """
        wanted = self._known(channels)
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"face {position} of {len(self)}")
        face = int(self.faces[position])
        stored = self._layout.arrays
        absent = [name for name in wanted if name not in stored]
        values = {name: self._read_stored(face, stored[name]) for name in wanted if name in stored}
        if absent:
            values |= self._derive(face, absent, values)
        return {name: values[name] for name in wanted}

    def flow(self, source: SupportsIndex, target: SupportsIndex) -> Flow:
        """Correspondence from one face's image to another's: of one person or not, they have one topology.

        Args:
            source, target: indices as for :meth:`read`.

        Raises:
            IndexError, DatasetError: as :meth:`read`.
        """
        from facegen.imaging.flow import flow

        return flow(self.topology, self._pictured(source), self._pictured(target))

    def _pictured(self, index: SupportsIndex) -> Pictured:
        from facegen.imaging.seen import Pictured

        return Pictured.of(self.topology, self.read(index, self._labels.needs(())))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open_caches()

    def _open_caches(self) -> None:
        self._files: Recent[tuple[str, int], ShardFile] = Recent(_OPEN_FILES)
        self._decoded: Recent[tuple[str, int], Array] = Recent(_DECODED_CHUNKS)
        self._process = os.getpid()

    def _read_stored(self, face: int, array: ArrayLayout) -> Array:
        if array.empty:
            return np.zeros(array.face_shape, array.dtype)
        if self._process != os.getpid():
            # After a fork: another thread of the parent may have held a lock.
            self._open_caches()
        shard, place = divmod(face, self._layout.shard_size)
        key = (array.name, shard)
        if array.chunk_faces == 1:
            return self._files.get(key, lambda: self._open(array, shard)).face(place)
        # Small arrays have one chunk per shard: decode it once for all faces.
        rows = self._decoded.get(key, lambda: self._open(array, shard).chunk(0))
        row: Array = rows[place : place + 1].copy().reshape(array.face_shape)
        return row

    def _open(self, array: ArrayLayout, shard: int) -> ShardFile:
        size = int(self._sizes[shard, self._column[array.name]])
        return ShardFile(self._layout.root, array, shard, size, self._layout.shard_size)

    def _derive(self, face: int, names: list[str], read: dict[str, Array]) -> dict[str, Array]:
        stored = self._layout.arrays
        needed = self._labels.needs(names)
        source = {name: read[name] if name in read else self._read_stored(face, stored[name]) for name in needed}
        try:
            return dict(self._labels.of(names, source))
        except ValueError as error:
            raise DatasetError(f"{self._layout.root}: face {face} is damaged: {error}") from None

    def _known(self, channels: Iterable[str]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(channels))
        for name in names:
            if name not in self._layout.arrays and name not in self._labels.names:
                nearest = difflib.get_close_matches(name, self.available, n=1, cutoff=0.5)
                hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(self.available)}"
                raise UnknownChannelError(f"{self._layout.root}: unknown channel '{name}'; {hint}")
        return names

    def _read_records(self, allow_incomplete: bool) -> NDArray[np.int64]:
        layout = self._layout
        taken = np.zeros(layout.faces, np.bool_)
        for shard in range(layout.shards):
            try:
                record = read_record(layout, shard)
            except DatasetError:
                if allow_incomplete:
                    continue
                raise
            faces = layout.faces_of(shard)
            taken[faces.start : faces.stop] = True
            self.failed |= record.failed
            self._sizes[shard] = [record.sizes.get(array.file(shard), 0) for array in layout.arrays.values()]
        taken[list(self.failed)] = False
        return np.flatnonzero(taken).astype(np.int64)
