"""What a dataset's metadata says, and the records of its finished shards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import DatasetError, NotADatasetError
from facegen.morphable.topology import Topology
from facegen.stages.pack import sharding

if TYPE_CHECKING:
    from facegen.imaging.annotation import Annotation

FORMAT, FORMAT_VERSION = "facegen", 3
_TOPOLOGY_ARRAYS = ("triangles", "triangle_region", "uv", "uv_triangles", "landmarks", "reference")
_ANNOTATION_ARRAYS = ("layers", "dense_triangle", "dense_weights")


@dataclass(frozen=True)
class ArrayLayout:
    """Where the faces of one array lie."""

    name: str
    path: str
    """In the hierarchy, which is also a folder."""
    face_shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    chunk_faces: int
    """Faces per inner chunk."""
    unit: str
    frame: str
    description: str

    @property
    def empty(self) -> bool:
        """Whether a face has no elements at all; such an array has no files."""
        return 0 in self.face_shape

    def file(self, shard: int) -> str:
        """The shard's file, relative to the dataset's root."""
        return "/".join([self.path, "c", str(shard), *["0"] * len(self.face_shape)])


@dataclass(frozen=True)
class Layout:
    """A dataset: where it lies and what its metadata says."""

    root: Path
    """The Zarr hierarchy; records lie beside it."""
    attributes: dict[str, Any]
    arrays: dict[str, ArrayLayout]
    """By short name."""
    faces: int
    shard_size: int
    fingerprint: str

    @property
    def shards(self) -> int:
        """Number of shards when complete."""
        return -(-self.faces // self.shard_size)

    @property
    def records(self) -> Path:
        """Folder of the records."""
        return self.root.parent / "records" / "pack"

    def faces_of(self, shard: int) -> range:
        """Numbers of the faces in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.faces))

    def topology(self) -> Topology:
        """The mesh that all faces share.

        Raises:
            DatasetError: when a file of the model group is missing or damaged.
        """
        arrays = {name: self._model_array(name) for name in _TOPOLOGY_ARRAYS}
        attributes = _read_json(self.root / "model" / "zarr.json").get("attributes", {})
        return Topology(**arrays, region_names=tuple(attributes.get("region_names", ())))

    def annotation(self) -> Annotation:
        """What is known of the surface that all faces share.

        Raises:
            DatasetError: as :meth:`topology`.
        """
        # Imported late: it compiles kernels, which those that only read need not pay for.
        from facegen.imaging.annotation import Annotation, SurfacePoints

        layers, triangle, weights = (self._model_array(name) for name in _ANNOTATION_ARRAYS)
        attributes = _read_json(self.root / "model" / "zarr.json").get("attributes", {})
        return Annotation(layers, tuple(attributes.get("layer_names", ())), SurfacePoints(triangle, weights))

    def _model_array(self, name: str) -> Any:
        return _read_model_array(self.root, name)


@dataclass(frozen=True)
class Record:
    """What the record of a finished shard says."""

    shard: int
    sizes: dict[str, int]
    """Bytes of each file, by path relative to the dataset's root."""
    digests: dict[str, str]
    """sha256 of each file."""
    failed: dict[int, str]
    """Why faces failed, by face number."""


def open_layout(path: str | Path) -> Layout:
    """Read the metadata of a dataset.

    Args:
        path: a run folder, or the ``dataset.zarr`` in it.

    Raises:
        DatasetError: when there is no dataset, or one that this version cannot read.
    """
    given = Path(path).expanduser().absolute()
    root = next((place for place in (given / "dataset.zarr", given) if (place / "zarr.json").is_file()), None)
    if root is None:
        reason = "no such file or folder" if not given.exists() else "neither a run folder nor a dataset.zarr"
        raise NotADatasetError(f"{given}: {reason}")
    attributes = _read_json(root / "zarr.json").get("attributes", {})
    if attributes.get("format") != FORMAT or attributes.get("format_version") != FORMAT_VERSION:
        found = f"{attributes.get('format')} {attributes.get('format_version')}"
        raise DatasetError(f"{root}: expected a dataset of format {FORMAT} {FORMAT_VERSION}, found {found}")
    try:
        faces, shard_size = int(attributes["faces"]), int(attributes["shard_size"])
        fingerprint = str(attributes["fingerprint"])
        paths = dict(attributes["arrays"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{root / 'zarr.json'}: unusable attribute ({error!r})") from None
    arrays = {name: _read_array(root, name, path, faces, shard_size) for name, path in paths.items()}
    return Layout(root, attributes, arrays, faces, shard_size, fingerprint)


def metadata_files(layout: Layout) -> tuple[str, ...]:
    """All files but those of the shards, relative to the dataset's root: the metadata documents and the model."""
    groups = {path.split("/")[0] for path in (array.path for array in layout.arrays.values()) if "/" in path}
    nodes = [*sorted(groups | {array.path for array in layout.arrays.values()}), "model"]
    model = [_model_array_files(layout.root, name) for name in (*_TOPOLOGY_ARRAYS, *_ANNOTATION_ARRAYS)]
    return ("zarr.json", *(f"{node}/zarr.json" for node in nodes), *(name for names in model for name in names))


def difference(a: Layout, b: Layout) -> str | None:
    """Which metadata say that two datasets are not of one run; ``None`` when they may differ in the number of faces.

    Raises:
        DatasetError: when the model group of one is missing or damaged.
    """
    apart = ("faces", "shards", "versions")
    for key in sorted(a.attributes.keys() | b.attributes.keys()):
        if key not in apart and a.attributes.get(key) != b.attributes.get(key):
            return f"the attribute '{key}'"
    for name, array in a.arrays.items():
        if b.arrays[name] != array:
            return f"the array '{name}'"
    for name in (*_TOPOLOGY_ARRAYS, *_ANNOTATION_ARRAYS):
        if not np.array_equal(_read_model_array(a.root, name), _read_model_array(b.root, name)):
            return f"the model's '{name}'"
    if a.topology().region_names != b.topology().region_names:
        return "the model's 'region_names'"
    return None


def read_record(layout: Layout, shard: int) -> Record:
    """The record of one shard.

    Raises:
        DatasetError: naming the shard, when the record is missing, damaged, or of another fingerprint.
    """
    file = layout.records / f"{shard:05d}.json"
    what = f"shard {shard:05d} of {layout.root}"
    if not file.is_file():
        raise DatasetError(f"{what} has no record: it was not finished; expected {file}")
    document = _read_json(file, what)
    try:
        fingerprint = document["fingerprint"]
        files = {_below_root(layout, entry["path"]): entry for entry in document["files"]}
        record = Record(
            shard=int(document["shard"]),
            sizes={name: int(entry["bytes"]) for name, entry in files.items()},
            digests={name: str(entry["sha256"]) for name, entry in files.items()},
            failed={int(entry["face"]): str(entry["reason"]) for entry in document["failed"]},
        )
        first, count = int(document["first_face"]), int(document["faces"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{what} has an unusable record {file} ({error!r})") from None
    if fingerprint != layout.fingerprint:
        raise DatasetError(f"{what} belongs to another run: fingerprint {fingerprint}, expected {layout.fingerprint}")
    faces = layout.faces_of(shard)
    if (record.shard, first, count) != (shard, faces.start, len(faces)):
        raise DatasetError(
            f"{what} has the record of shard {record.shard} with {count} faces from {first}; "
            f"expected {len(faces)} from {faces.start}"
        )
    missing = [array.file(shard) for array in layout.arrays.values() if not array.empty]
    missing = [name for name in missing if name not in record.sizes]
    if missing:
        raise DatasetError(f"{what} has a record without {missing[0]}")
    return record


def _below_root(layout: Layout, path: str) -> str:
    """Records name files from the run folder on."""
    return path.removeprefix(f"{layout.root.name}/")


def _read_array(root: Path, name: str, path: str, faces: int, shard_size: int) -> ArrayLayout:
    file = root / path / "zarr.json"
    document = _read_json(file)
    try:
        shape = tuple(document["shape"])
        shard = document["chunk_grid"]["configuration"]["chunk_shape"]
        (codec,) = document["codecs"]
        sharded = codec["configuration"]
        inner = [step["name"] for step in sharded["codecs"]]
        index = [step["name"] for step in sharded["index_codecs"]]
        chunk = sharded["chunk_shape"]
        dtype = np.dtype(document["data_type"])
        attributes = document["attributes"]
        known = (codec["name"], inner, index, sharded["index_location"]) == (
            "sharding_indexed", ["bytes", "zstd", "crc32c"], ["bytes", "crc32c"], "end",
        )  # fmt: skip
        # Only the first axis is split.
        whole = [max(n, 1) for n in shape[1:]]
        known &= shard == [shard_size, *whole] and chunk in ([1, *whole], [shard_size, *whole])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DatasetError(f"{file}: unusable array metadata ({error!r})") from None
    if not known or shape[0] != faces:
        raise DatasetError(f"{file}: chunks, codecs or shape are not those that facegen writes")
    labels = [str(attributes.get(key, "")) for key in ("unit", "frame", "description")]
    return ArrayLayout(name, path, shape[1:], dtype, int(chunk[0]), *labels)


def _read_model_array(root: Path, name: str) -> NDArray[np.generic]:
    folder = root / "model" / name
    document = _read_json(folder / "zarr.json")
    try:
        shape, dtype = tuple(document["shape"]), np.dtype(document["data_type"])
        if 0 in shape:
            return np.zeros(shape, dtype)
        file = folder.joinpath("c", *["0"] * len(shape))
        return sharding.decode_chunk(file.read_bytes(), shape, dtype)
    except (KeyError, TypeError, sharding.DamagedError, OSError) as error:
        raise DatasetError(f"model/{name} of {root} is missing or damaged: {error}") from None


def _model_array_files(root: Path, name: str) -> list[str]:
    """The files of an array of the model group; one without elements has no chunk.

    Raises:
        DatasetError: when its metadata cannot be read.
    """
    shape = _read_json(root / "model" / name / "zarr.json").get("shape")
    if not isinstance(shape, list):
        raise DatasetError(f"model/{name} of {root} is damaged: its metadata have no shape")
    chunk = [] if 0 in shape else ["/".join(["model", name, "c", *["0"] * len(shape)])]
    return [f"model/{name}/zarr.json", *chunk]


def _read_json(file: Path, what: str | None = None) -> dict[str, Any]:
    subject = f"{what}: {file}" if what else str(file)
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise DatasetError(f"{subject}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise DatasetError(f"{subject}: not JSON; the file is damaged") from None
    if not isinstance(document, dict):
        raise DatasetError(f"{subject}: expected a JSON object")
    return document
