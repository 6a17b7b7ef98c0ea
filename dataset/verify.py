"""Checking a packed dataset from end to end, and a digest of its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.dataset.labels import label_problems
from facegen.dataset.layout import ArrayLayout, Layout, Record, metadata_files, open_layout, read_record
from facegen.dataset.shards import ShardFile
from facegen.errors import DatasetError
from facegen.morphable.topology import Topology
from facegen.storage import PARTIAL, is_left_behind

Array = NDArray[np.generic]


@dataclass
class ShardReport:
    """What was found in one shard."""

    damage: list[str] = field(default_factory=list)
    """Missing, changed, or of another run, a line each: a run makes such a shard again."""
    faults: list[str] = field(default_factory=list)
    """Wrong although its record holds, a line each: a run takes such a shard for done."""
    content: bytes = b""
    """Digests of its faces' arrays, one after the other; empty when not all were read."""
    bytes: int = 0
    """Size of its files of record."""
    failed: int = 0
    """Faces that failed when they were made."""
    checked: int = 0
    """Faces whose labels were checked."""


@dataclass(frozen=True)
class VerifyReport:
    """What :func:`verify` found."""

    root: Path
    faces: int
    """Faces that a complete dataset has, failed ones included."""
    failed_faces: int
    checked_faces: int
    """Faces whose labels were checked; the others' bytes were."""
    shards: int
    """Shards that a complete dataset has."""
    damaged_shards: tuple[int, ...]
    """Missing, changed, or of another run: a run makes them again."""
    faulty_shards: tuple[int, ...]
    """Wrong although their records hold: a run takes them for done."""
    bytes: int
    """Size of all shard files of record."""
    metadata_problems: tuple[str, ...]
    """Of the files that are no shard's, a line each."""
    shard_problems: tuple[str, ...]
    """One line each, by shard."""
    strays: tuple[str, ...]
    """Files that belong to nothing, relative to the run: left by a killed process or put there by hand. Harmless."""
    content_sha256: str | None
    """Digest of the decoded arrays, face by face in face order: equal for equal faces, whatever the shard size or the
    compression. ``None`` unless all faces were read and nothing is wrong."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One line each; empty for a sound dataset."""
        return self.metadata_problems + self.shard_problems

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def finished_shards(self) -> int:
        """Shards without a problem."""
        return self.shards - len(self.damaged_shards) - len(self.faulty_shards)


Spread = Callable[[Callable[[int], ShardReport], Sequence[int]], Iterable[tuple[int, ShardReport]]]
"""Does something for each shard, perhaps several at the same time; shards and results come in order."""


def one_by_one(check: Callable[[int], ShardReport], numbers: Sequence[int]) -> Iterable[tuple[int, ShardReport]]:
    """The simplest :data:`Spread`."""
    return ((number, check(number)) for number in numbers)


def verify(path: str | Path, *, sample: int | None = None, spread: Spread = one_by_one) -> VerifyReport:
    """Check everything that can be checked without the configuration.

    Every record, every file's size and sha256, every inner chunk's checksum and size, face numbers and failures; and of
    every valid face what :func:`~facegen.dataset.labels.label_problems` looks at. Of a shard one face's large arrays
    are in memory at a time.

    Args:
        path: a run folder or the ``dataset.zarr`` in it.
        sample: faces of each shard to decode and look at, spread evenly; ``None`` for all. Files are compared with
            their records either way.
        spread: how to go about the shards.

    Raises:
        DatasetError: when there is no dataset or its metadata cannot be read; damage below that goes into the report.
    """
    layout = open_layout(path)
    topology: Topology | None = None
    metadata: set[str] = set()
    metadata_problems: list[str] = []
    try:
        metadata = {*metadata_files(layout)}
        topology = layout.topology()
    except DatasetError as error:
        metadata_problems.append(str(error))
    total = ShardReport()
    damaged, faulty = [], []
    problems: list[str] = []
    content = hashlib.sha256()
    for number, found in spread(lambda number: _check_shard(layout, topology, number, sample), range(layout.shards)):
        problems += found.damage + found.faults
        damaged += [number] if found.damage else []
        faulty += [number] if found.faults and not found.damage else []
        total.bytes += found.bytes
        total.failed += found.failed
        total.checked += found.checked
        content.update(found.content)
    whole = sample is None and not problems and not metadata_problems
    return VerifyReport(
        root=layout.root,
        faces=layout.faces,
        failed_faces=total.failed,
        checked_faces=total.checked,
        shards=layout.shards,
        damaged_shards=tuple(damaged),
        faulty_shards=tuple(faulty),
        bytes=total.bytes,
        metadata_problems=tuple(metadata_problems),
        shard_problems=tuple(problems),
        strays=tuple(sorted(_strays(layout, metadata))),
        content_sha256=content.hexdigest() if whole else None,
    )


def _check_shard(layout: Layout, topology: Topology | None, number: int, sample: int | None) -> ShardReport:
    result = ShardReport()
    try:
        record = read_record(layout, number)
    except DatasetError as error:
        result.damage.append(str(error))
        return result
    result.bytes, result.failed = sum(record.sizes.values()), len(record.failed)
    result.damage += _check_files(layout, number, record)
    if result.damage:
        return result
    where = f"shard {number:05d} of {layout.root}"
    digests = []
    try:
        for face, arrays in _faces(layout, number, record, sample):
            result.checked += 1
            digests.append(_digest(arrays))
            problems = label_problems(face, arrays, failed=face in record.failed, topology=topology)
            result.faults += [f"{where}: face {face}: {problem}" for problem in problems]
    except DatasetError as error:
        result.faults.append(str(error))
    result.content = b"".join(digests)
    return result


def _check_files(layout: Layout, number: int, record: Record) -> Iterator[str]:
    for name, size in record.sizes.items():
        where = f"shard {number:05d} of {layout.root}: {name}"
        try:
            with (layout.root / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found = file.tell()
        except FileNotFoundError:
            yield f"{where} is missing"
        except OSError as error:
            yield f"{where} cannot be read: {error.strerror}"
        else:
            if found != size:
                yield f"{where} has {found} bytes, expected {size}"
            elif digest != record.digests[name]:
                yield f"{where} is damaged: its sha256 is {digest}, expected {record.digests[name]}"


def _faces(layout: Layout, number: int, record: Record, sample: int | None) -> Iterator[tuple[int, dict[str, Array]]]:
    """Face numbers and arrays of one shard; only one face's large arrays are in memory at a time."""
    files: dict[str, ShardFile] = {}
    small: dict[str, Array] = {}
    for array in layout.arrays.values():
        if not array.empty:
            size = record.sizes[array.file(number)]
            file = ShardFile(layout.root, array, number, size, layout.shard_size)
            if array.chunk_faces == 1:
                files[array.name] = file
            else:
                small[array.name] = file.chunk(0)
    faces = layout.faces_of(number)
    for place in sampled(len(faces), sample):
        yield faces[place], {name: _one(array, place, files, small) for name, array in layout.arrays.items()}


def sampled(count: int, sample: int | None) -> Sequence[int]:
    """Places of at most ``sample`` of ``count`` things, spread evenly; all for ``None``."""
    if sample is None or sample >= count:
        return range(count)
    return [(2 * place + 1) * count // (2 * sample) for place in range(sample)]


def _one(array: ArrayLayout, place: int, files: dict[str, ShardFile], small: dict[str, Array]) -> Array:
    if array.empty:
        return np.zeros(array.face_shape, array.dtype)
    if array.name in files:
        return files[array.name].face(place)
    row: Array = small[array.name][place : place + 1].reshape(array.face_shape)
    return row


def _digest(arrays: dict[str, Array]) -> bytes:
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.digest()


def _strays(layout: Layout, metadata: set[str]) -> Iterator[str]:
    """Files that are neither of the metadata nor of a shard; without ``metadata``, those of the model may be any."""
    run = layout.root.parent
    by_path = {array.path: array for array in layout.arrays.values()}
    for folder, _, names in os.walk(layout.root):
        for name in names:
            file = Path(folder, name)
            relative = file.relative_to(layout.root).as_posix()
            if name.endswith(PARTIAL):
                stray = is_left_behind(file)
            elif not metadata and (relative.startswith("model/") or name == "zarr.json"):
                stray = False
            else:
                stray = relative not in metadata and not _is_shard_file(layout, by_path, relative)
            if stray:
                yield file.relative_to(run).as_posix()
    records = {f"{number:05d}.json" for number in range(layout.shards)}
    for file in layout.records.iterdir() if layout.records.is_dir() else ():
        if file.name not in records and (not file.name.endswith(PARTIAL) or is_left_behind(file)):
            yield file.relative_to(run).as_posix()


def _is_shard_file(layout: Layout, by_path: dict[str, ArrayLayout], name: str) -> bool:
    path, separator, key = name.partition("/c/")
    number = key.split("/")[0]
    if not separator or path not in by_path or not number.isdecimal() or int(number) >= layout.shards:
        return False
    return not by_path[path].empty and by_path[path].file(int(number)) == name
