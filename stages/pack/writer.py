"""Writing a dataset: once its metadata and model, then shard after shard in any order, each by one writer."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import facegen
from facegen.batch import Renders, Samples
from facegen.errors import DatasetError
from facegen.stages.pack import schema, sharding
from facegen.stages.pack.schema import ArraySchema, DatasetSpec
from facegen.storage import write_atomically

Array = NDArray[np.generic]


@dataclass(frozen=True)
class WrittenFile:
    """A file of a finished shard."""

    path: str
    """Relative to the dataset's root, with forward slashes."""
    bytes: int
    sha256: str


def create_dataset(path: Path, spec: DatasetSpec) -> None:
    """Write all metadata and the model group. Repeating it, even while others do, leaves the same bytes.

    Raises:
        DatasetError: when another dataset is there.
        StorageError: when the disk refuses.
    """
    _refuse_other(path, spec)
    # The root's metadata comes last: a folder that has it is complete but for its shards.
    files = {**_array_files(spec), **_model_files(spec), "zarr.json": _json(_group(_root_attributes(spec)))}
    for name, data in files.items():
        file = path / name
        if not (file.is_file() and file.read_bytes() == data):
            write_atomically(file, data)


def write_shard(
    path: Path,
    spec: DatasetSpec,
    shard: int,
    samples: Samples,
    renders: Renders,
    extra_channels: Mapping[str, Array] | None = None,
) -> tuple[WrittenFile, ...]:
    """Encode one shard in memory and write its files, replacing those of an earlier attempt.

    Args:
        path: the dataset's root.
        spec: of the dataset, as given to :func:`create_dataset`.
        shard: number of the shard.
        samples: of the shard's faces, in order.
        renders: of the same faces.
        extra_channels: (B, H, W, ...) of each channel in ``spec.channels``.

    Returns:
        The files in the order of the schema, for the shard's record. The same input gives the same bytes.

    Raises:
        ValueError: when the arrays are not those of the shard's faces or not of the schema's shapes and dtypes.
        StorageError: when the disk refuses. Files written before it stay; without a record nobody reads them.
    """
    # Intrinsics that render changed stand for those that were drawn.
    values = {**samples.as_dict(), **renders.as_dict(), **(extra_channels or {})}
    expected = np.array(spec.faces_of(shard), np.int64)
    if not (np.array_equal(samples.face, expected) and np.array_equal(renders.face, expected)):
        raise ValueError(f"shard {shard} holds faces {expected[0]} to {expected[-1]}, in order; found others")
    written = []
    for array in spec.arrays:
        value = _checked(values, array, spec, len(expected))
        # Zarr has no chunks, hence no files, for an array without elements.
        if value.size:
            data = _encode(value, array, spec)
            name = shard_file(array.path, shard, len(array.shape))
            write_atomically(path / name, data)
            written.append(WrittenFile(name, len(data), hashlib.sha256(data).hexdigest()))
    return tuple(written)


def shard_file(array_path: str, shard: int, face_axes: int) -> str:
    """Path of a shard's file below the dataset's root: Zarr's default chunk keys, one chunk along all axes of a face.

    Args:
        array_path: of the array in the hierarchy.
        shard: number of the shard.
        face_axes: number of axes after the first.
    """
    return "/".join([array_path, "c", str(shard), *["0"] * face_axes])


def _encode(value: Array, array: ArraySchema, spec: DatasetSpec) -> bytes:
    if array.large:
        return sharding.encode_shard(value, spec.shard_size, spec.compression_level)
    if len(value) < spec.shard_size:
        # A chunk is always whole: the end of the last one is padding.
        padding = np.full((spec.shard_size - len(value), *value.shape[1:]), array.fill_value, value.dtype)
        value = np.concatenate([value, padding])
    return sharding.encode_shard([value], 1, spec.compression_level)


def _checked(values: Mapping[str, Array], array: ArraySchema, spec: DatasetSpec, count: int) -> Array:
    if array.name not in values:
        raise ValueError(f"array '{array.name}' is missing")
    value = np.ascontiguousarray(values[array.name])
    shape = (count, *array.face_shape(spec.sizes))
    if value.shape != shape or value.dtype != np.dtype(array.dtype):
        raise ValueError(f"array '{array.name}' is {value.dtype}{value.shape}, expected {array.dtype}{shape}")
    return value


def _refuse_other(path: Path, spec: DatasetSpec) -> None:
    file = path / "zarr.json"
    if not file.is_file():
        return
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        # Damaged; it is written again.
        return
    try:
        found = document["attributes"]["fingerprint"]
    except (KeyError, TypeError):
        found = "none"
    if found != spec.fingerprint:
        raise DatasetError(f"{path}: holds another dataset, of fingerprint {found}; expected {spec.fingerprint}")


def _root_attributes(spec: DatasetSpec) -> dict[str, Any]:
    # Nothing here may vary from run to run on one machine: no times, no host names.
    return {
        "format": schema.FORMAT,
        "format_version": schema.FORMAT_VERSION,
        "model": {"name": spec.model_name, "sha256": spec.model_sha256},
        **({"denoisers": {group: dict(about) for group, about in spec.denoisers.items()}} if spec.denoisers else {}),
        **({"composer": dict(spec.composer)} if spec.composer else {}),
        "units": schema.UNITS,
        "frames": schema.FRAMES,
        "seed": spec.seed,
        "fingerprint": spec.fingerprint,
        "faces": spec.faces,
        "shard_size": spec.shard_size,
        "shards": spec.shards,
        "image_size": {"height": spec.height, "width": spec.width},
        **({"map_size": spec.map_size} if spec.map_size else {}),
        "arrays": {array.name: array.path for array in spec.arrays},
        "versions": {
            "facegen": facegen.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "zarr", "numcodecs")},
        },
    }


def _array_files(spec: DatasetSpec) -> dict[str, bytes]:
    files = {}
    for array in spec.arrays:
        shape = array.face_shape(spec.sizes)
        parts = {"parts": list(spec.parts)} if schema.PARTS in array.shape else {}
        names = {"names": list(array.names)} if array.names else {}
        metadata = _array(
            shape=(spec.faces, *shape),
            chunk=(spec.shard_size, *shape),
            dtype=array.dtype,
            fill_value=array.fill_value,
            codecs=_sharded((1 if array.large else spec.shard_size, *shape), array.dtype, spec.compression_level),
            attributes={"unit": array.unit, "frame": array.frame, "description": array.description, **parts, **names},
        )
        files[f"{array.path}/zarr.json"] = _json(metadata)
    groups = {array.path.split("/")[0] for array in spec.arrays if "/" in array.path}
    return files | {f"{group}/zarr.json": _json(_group({})) for group in sorted(groups)}


def _model_files(spec: DatasetSpec) -> dict[str, bytes]:
    files = {}
    annotation = spec.annotate()
    owners = ((spec.topology, schema.MODEL_ARRAYS), (annotation, schema.ANNOTATION_ARRAYS))
    for owner, array in ((owner, array) for owner, arrays in owners for array in arrays):
        value = np.ascontiguousarray(getattr(owner, array.name), dtype=array.dtype)
        metadata = _array(
            shape=value.shape,
            chunk=value.shape,
            dtype=array.dtype,
            fill_value=0,
            codecs=_inner(array.dtype, spec.compression_level),
            attributes={"unit": array.unit, "description": array.description},
        )
        files[f"model/{array.name}/zarr.json"] = _json(metadata)
        if value.size:
            key = "/".join(["c", *["0"] * value.ndim])
            files[f"model/{array.name}/{key}"] = sharding.encode_chunk(value, spec.compression_level)
    attributes = {
        "name": spec.model_name,
        "sha256": spec.model_sha256,
        "region_names": list(spec.topology.region_names),
        "layer_names": list(annotation.layer_names),
    }
    return files | {"model/zarr.json": _json(_group(attributes))}


# Metadata documents of the Zarr v3 specification, written as plain JSON: zarr-python takes milliseconds an array to
# write them and may word them differently from version to version.


def _group(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _array(
    *,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: str,
    fill_value: float | int | bool,
    codecs: list[dict[str, Any]],
    attributes: dict[str, Any],
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": _at_least_one(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        # NaN is no JSON number; Zarr spells it as a string.
        "fill_value": "NaN" if fill_value != fill_value else fill_value,
        "codecs": codecs,
        "attributes": attributes,
    }


def _sharded(chunk: tuple[int, ...], dtype: str, level: int) -> list[dict[str, Any]]:
    configuration = {
        "chunk_shape": _at_least_one(chunk),
        "codecs": _inner(dtype, level),
        "index_codecs": [_bytes("uint64"), {"name": "crc32c"}],
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": configuration}]


def _inner(dtype: str, level: int) -> list[dict[str, Any]]:
    zstd = {"name": "zstd", "configuration": {"level": level, "checksum": False}}
    return [_bytes(dtype), zstd, {"name": "crc32c"}]


def _bytes(dtype: str) -> dict[str, Any]:
    endian = {"configuration": {"endian": "little"}} if np.dtype(dtype).itemsize > 1 else {}
    return {"name": "bytes", **endian}


def _at_least_one(chunk: tuple[int, ...]) -> list[int]:
    """Zarr wants chunks of at least one element also along axes of length 0."""
    return [max(n, 1) for n in chunk]


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()
