"""Checking a packed dataset from end to end, and a digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.dataset.layout import ArrayLayout, Layout, Record, open_layout, read_record
from facegen.dataset.shards import ShardFile
from facegen.errors import DatasetError
from facegen.morphable.topology import Topology

Array = NDArray[np.generic]

_PIXELS = 0.01
_MILLIMETRES = 0.01


_SHOWN = 20
"""Problems listed for people; JSON has all."""


@dataclass(frozen=True)
class VerifyReport:
    """What :func:`verify` found."""

    root: Path
    faces: int
    """Faces that a complete dataset has, failed ones included."""
    failed_faces: int
    shards: int
    """Shards that a complete dataset has."""
    finished_shards: int
    """Shards without a problem."""
    bytes: int
    """Size of all shard files of record."""
    problems: tuple[str, ...]
    """One line each; empty for a sound dataset."""
    strays: tuple[str, ...]
    """Files that belong to nothing, relative to the run: left by a killed process or put there by hand. Harmless."""
    content_sha256: str | None
    """Digest of the decoded arrays, face by face in face order: equal for equal faces, whatever the shard size or the
    compression. ``None`` unless all shards are sound."""

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {"ok": self.ok} | asdict(self) | {"root": str(self.root)}

    def as_text(self) -> str:
        """The report for people: problems first, the verdict last."""
        lines = [f"problem: {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"… and {len(self.problems) - _SHOWN} more problems")
        lines += [f"stray file: {stray}" for stray in self.strays[:_SHOWN]]
        if self.failed_faces:
            lines.append(f"{self.failed_faces} of {self.faces:,} faces failed when they were made (see failed/)")
        state = f"{self.finished_shards:,} of {self.shards:,} shards sound"
        if self.ok:
            lines.append(f"{self.root}: {self.faces:,} faces, {state}, {self.bytes / 2**20:,.1f} MiB: all is well")
            lines.append(f"content sha256 {self.content_sha256}")
        else:
            lines.append(f"{self.root}: {state}, {len(self.problems)} problems; the same run command makes them again")
        return "\n".join(lines)


@dataclass
class _Shard:
    problems: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    bytes: int = 0
    failed: int = 0


def verify(path: str | Path, *, threads: int = 2) -> VerifyReport:
    """Check everything that can be checked without the configuration.

    Every record, every file's size and sha256, every inner chunk's checksum, face numbers and failures; and of every
    valid face that its landmarks are the projections of their vertices, that its image is not of one colour, its
    triangle numbers exist and its vertices are finite.

    Args:
        path: a run folder or the ``dataset.zarr`` in it.
        threads: shards checked at the same time.

    Raises:
        DatasetError: when there is no dataset or its metadata cannot be read; damage below that goes into the report.
    """
    layout = open_layout(path)
    problems: list[str] = []
    topology: Topology | None = None
    try:
        topology = layout.topology()
    except DatasetError as error:
        problems.append(str(error))
    with ThreadPoolExecutor(threads) as pool:
        shards = list(pool.map(lambda number: _check_shard(layout, topology, number), range(layout.shards)))
    problems += [problem for shard in shards for problem in shard.problems]
    content = hashlib.sha256(b"".join(digest for shard in shards for digest in shard.digests)).hexdigest()
    return VerifyReport(
        root=layout.root,
        faces=layout.faces,
        failed_faces=sum(shard.failed for shard in shards),
        shards=layout.shards,
        finished_shards=sum(not shard.problems for shard in shards),
        bytes=sum(shard.bytes for shard in shards),
        problems=tuple(problems),
        strays=tuple(_strays(layout)),
        content_sha256=None if problems else content,
    )


def _check_shard(layout: Layout, topology: Topology | None, number: int) -> _Shard:
    result = _Shard()
    try:
        record = read_record(layout, number)
        result.bytes, result.failed = sum(record.sizes.values()), len(record.failed)
        result.problems += _check_files(layout, number, record)
        if not result.problems:
            for face, arrays in _faces(layout, number, record):
                result.digests.append(_digest(arrays))
                result.problems += [
                    f"shard {number:05d} of {layout.root}: face {face}: {problem}"
                    for problem in _check_face(face, arrays, record, topology)
                ]
    except DatasetError as error:
        result.problems.append(str(error))
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


def _faces(layout: Layout, number: int, record: Record) -> Iterator[tuple[int, dict[str, Array]]]:
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
    for place, face in enumerate(layout.faces_of(number)):
        yield face, {name: _one(array, place, files, small) for name, array in layout.arrays.items()}


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


def _check_face(face: int, arrays: dict[str, Any], record: Record, topology: Topology | None) -> Iterator[str]:
    if int(arrays["face"]) != face:
        yield f"its number is stored as {int(arrays['face'])}"
    if bool(arrays["valid"]) == (face in record.failed):
        yield "valid or failed? array and record disagree"
    if not arrays["valid"]:
        return
    if not np.isfinite(arrays["vertices"]).all():
        yield "vertices are not finite"
        return
    image = arrays["image"].reshape(-1, 3)
    if (image == image[0]).all():
        yield "the image is of one colour"
    if topology is None:
        return
    lowest, highest = int(arrays["triangle_id"].min()), int(arrays["triangle_id"].max())
    if lowest < -1 or highest >= len(topology.triangles):
        yield f"triangle_id spans {lowest} to {highest}, expected -1 to {len(topology.triangles) - 1}"
    yield from _check_landmarks(arrays, topology)


def _check_landmarks(arrays: dict[str, Any], topology: Topology) -> Iterator[str]:
    """Landmarks against K (E v), in plain NumPy: on purpose not by the code that made them."""
    vertices = arrays["vertices"][topology.landmarks].astype(np.float64)
    intrinsics, extrinsics = arrays["intrinsics"], arrays["extrinsics"]
    camera = vertices @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    off = np.abs(camera - arrays["landmarks_3d"]).max(initial=0.0)
    if not off <= _MILLIMETRES:
        yield f"landmarks_3d are up to {off:.3g} mm from their vertices"
    if arrays["projection"] == PERSPECTIVE:
        # A point at or behind the camera has no pixel.
        seen = camera[:, 2] > 0
        camera = camera / np.where(seen, camera[:, 2], 1.0)[:, None]
    else:
        seen = np.ones(len(camera), np.bool_)
    pixels = camera[:, :2] * (intrinsics[0, 0], intrinsics[1, 1]) + intrinsics[:2, 2]
    off = np.abs(pixels - arrays["landmarks_2d"])[seen].max(initial=0.0)
    if not off <= _PIXELS:
        yield f"landmarks_2d are up to {off:.3g} pixels from the projections of their vertices"


def _strays(layout: Layout) -> Iterator[str]:
    run = layout.root.parent
    metadata = {"zarr.json", "model/zarr.json"}
    for array in layout.arrays.values():
        metadata |= {f"{array.path}/zarr.json", f"{array.path.split('/')[0]}/zarr.json"}
    shards = {array.file(number) for array in layout.arrays.values() for number in range(layout.shards)}
    records = {f"{number:05d}.json" for number in range(layout.shards)}
    for file in sorted(layout.root.rglob("*")):
        name = file.relative_to(layout.root).as_posix()
        in_model = name.startswith("model/") and not file.name.startswith(".")
        if file.is_file() and name not in metadata and name not in shards and not in_model:
            yield file.relative_to(run).as_posix()
    if layout.records.is_dir():
        for file in sorted(layout.records.iterdir()):
            if file.name not in records:
                yield file.relative_to(run).as_posix()
