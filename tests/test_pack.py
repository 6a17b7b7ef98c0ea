"""Pack: what zarr-python reads is what was written, and the bytes are those that zarr-python would write."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from facegen.errors import ConfigurationError, DatasetError, StorageError
from facegen.morphable.topology import Topology
from facegen.settings import validate
from facegen.stages.pack import sharding
from facegen.stages.pack.config import PackConfig
from facegen.stages.pack.schema import ANNOTATION_ARRAYS, MODEL_ARRAYS, OPTIONAL_ARRAYS, DatasetSpec
from facegen.stages.pack.writer import create_dataset, write_shard
from facegen.storage import write_atomically
from facegen.tests import synthetic

CHANNELS = tuple(array.name for array in OPTIONAL_ARRAYS)


@pytest.fixture(scope="module")
def topology() -> Topology:
    return synthetic.sphere()


def by_zarr(value: NDArray[Any], slots: int, chunk: int, level: int, fill: Any) -> bytes:
    """The shard that zarr-python makes of ``value`` in an array of ``slots`` rows."""
    store = MemoryStore()
    array = zarr.create_array(
        store,
        shape=(slots, *value.shape[1:]),
        shards=(slots, *value.shape[1:]),
        chunks=(chunk, *value.shape[1:]),
        dtype=value.dtype,
        compressors=[ZstdCodec(level=level), Crc32cCodec()],
        fill_value=fill,
        config={"write_empty_chunks": True},
    )
    array[: len(value)] = value
    key = "/".join(["c"] + ["0"] * value.ndim)
    buffer = asyncio.run(store.get(key, default_buffer_prototype()))
    assert buffer is not None
    return buffer.to_bytes()


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 6),
    spare=st.integers(0, 3),
    shape=st.sampled_from([(), (3,), (4, 5), (2, 3, 2)]),
    dtype=st.sampled_from(["uint8", "bool", "int32", "uint16", "float32", "float64", "uint64"]),
    level=st.sampled_from([1, 3, 9]),
)
def test_shards_are_byte_for_byte_those_of_zarr_python(
    count: int, spare: int, shape: tuple[int, ...], dtype: str, level: int
) -> None:
    value = (np.random.default_rng(count).integers(0, 9, (count, *shape)) % 5).astype(dtype)
    assert sharding.encode_shard(value, count + spare, level) == by_zarr(value, count + spare, 1, level, 0)
    assert sharding.encode_shard([value], 1, level) == by_zarr(value, count, count, level, 0)


@pytest.mark.parametrize("faces", [8, 7, 3], ids=["whole", "partial last shard", "less than a shard"])
def test_plain_zarr_reads_every_array(tmp_path: Path, topology: Topology, faces: int) -> None:
    spec = synthetic.specification(topology, faces, 4, channels=CHANNELS)
    synthetic.write_run(tmp_path, spec)
    samples, renders = synthetic.batch(topology, np.arange(faces))
    extra = [synthetic.channels_of(spec, samples, renders, place) for place in range(faces)]
    expected = {**samples.as_dict(), **renders.as_dict()}
    expected |= {name: np.stack([face[name] for face in extra]) for name in CHANNELS}
    group = zarr.open_group(tmp_path / "dataset.zarr", mode="r")
    for array in spec.arrays:
        stored = group[array.path]
        assert isinstance(stored, zarr.Array)
        assert stored.dtype == np.dtype(array.dtype)
        assert {"unit", "frame", "description"} <= set(stored.attrs)
        np.testing.assert_array_equal(stored[:], expected[array.name])
    assert set(expected) - {array.name for array in spec.arrays} == {"reason"}
    for model_array in MODEL_ARRAYS:
        stored = group[f"model/{model_array.name}"]
        assert isinstance(stored, zarr.Array)
        np.testing.assert_array_equal(stored[:], getattr(topology, model_array.name))
    for model_array in ANNOTATION_ARRAYS:
        assert group[f"model/{model_array.name}"].shape == getattr(spec.annotate(), model_array.name).shape
    assert group["model"].attrs["layer_names"] == list(spec.annotate().layer_names)
    assert group["model"].attrs["region_names"] == list(topology.region_names)


def test_root_attributes_say_where_the_data_come_from(tmp_path: Path, topology: Topology) -> None:
    spec = synthetic.specification(topology, 4, 4)
    create_dataset(tmp_path, spec)
    attributes = dict(zarr.open_group(tmp_path, mode="r").attrs)
    assert attributes["model"] == {"name": "sphere", "sha256": "ab" * 32}
    assert attributes["fingerprint"] == "f1"
    assert attributes["seed"] == 7
    assert {"facegen", "numpy", "zarr", "numcodecs", "python"} <= set(attributes["versions"])  # type: ignore[arg-type]
    assert attributes["units"]
    assert attributes["frames"]


def test_a_missing_shard_is_not_a_number_to_plain_zarr(tmp_path: Path, topology: Topology) -> None:
    create_dataset(tmp_path, synthetic.specification(topology, 4, 2))
    group = zarr.open_group(tmp_path, mode="r")
    assert np.isnan(group["vertices"][0]).all()  # type: ignore[index, arg-type]
    assert (group["triangle_id"][0] == -1).all()  # type: ignore[index, union-attr]
    assert not group["valid"][:].any()  # type: ignore[index, union-attr]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_writing_again_gives_the_same_bytes(tmp_path: Path, topology: Topology) -> None:
    spec = synthetic.specification(topology, 6, 4, channels=("depth", "uv"))
    first = files_of(synthetic.write_run(tmp_path / "a", spec))
    assert files_of(synthetic.write_run(tmp_path / "b", spec)) == first
    assert files_of(synthetic.write_run(tmp_path / "a", spec)) == first


def test_written_files_are_what_is_on_disk(tmp_path: Path, topology: Topology) -> None:
    spec = synthetic.specification(topology, 3, 4)
    create_dataset(tmp_path, spec)
    before = set(files_of(tmp_path))
    written = write_shard(tmp_path, spec, 0, *synthetic.batch(topology, np.arange(3)))
    assert {file.path for file in written} == set(files_of(tmp_path)) - before
    for file in written:
        assert (tmp_path / file.path).stat().st_size == file.bytes


def test_arrays_without_elements_have_no_files(tmp_path: Path, topology: Topology) -> None:
    from dataclasses import replace

    spec = replace(synthetic.specification(topology, 3, 4), albedo=0)
    samples, renders = synthetic.batch(topology, np.arange(3))
    samples = replace(samples, albedo=np.zeros((3, 0), np.float32))
    create_dataset(tmp_path, spec)
    assert not [f for f in write_shard(tmp_path, spec, 0, samples, renders) if "albedo" in f.path]
    assert zarr.open_group(tmp_path, mode="r")["coefficients/albedo"][:].shape == (3, 0)  # type: ignore[index, union-attr]


@pytest.mark.parametrize("change", ["shape", "dtype", "faces", "missing"])
def test_arrays_of_the_wrong_kind_are_refused(tmp_path: Path, topology: Topology, change: str) -> None:
    from dataclasses import replace

    spec = synthetic.specification(topology, 4, 4, channels=("uv",) if change == "missing" else ())
    samples, renders = synthetic.batch(topology, np.arange(4) + (change == "faces"))
    if change == "shape":
        renders = replace(renders, vertices=renders.vertices[:, 1:])
    if change == "dtype":
        renders = replace(renders, image=renders.image.astype(np.float32))
    with pytest.raises(ValueError, match="shard 0 holds faces" if change == "faces" else "array '"):
        write_shard(tmp_path, spec, 0, samples, renders)


def test_another_dataset_is_not_overwritten(tmp_path: Path, topology: Topology) -> None:
    create_dataset(tmp_path, synthetic.specification(topology, 4, 4))
    before = files_of(tmp_path)
    with pytest.raises(DatasetError, match="fingerprint f1; expected f2"):
        create_dataset(tmp_path, synthetic.specification(topology, 4, 4, fingerprint="f2"))
    assert files_of(tmp_path) == before


def no_partials(folder: Path) -> bool:
    return not [file for file in folder.rglob("*") if file.name.endswith(".partial")]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = tmp_path / "a" / "b"
    write_atomically(file, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match=r"cannot write .*/a/b: No space left on device"):
        write_atomically(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert no_partials(tmp_path)


def test_a_disk_that_fills_in_the_middle_of_a_shard(
    tmp_path: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = synthetic.specification(topology, 4, 4)
    create_dataset(tmp_path, spec)
    room, write = [20_000], os.write

    def limited(file: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # Like a real disk: the last write that fits is a short one.
        written = write(file, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", limited)
    batch = synthetic.batch(topology, np.arange(4))
    with pytest.raises(StorageError, match="No space left"):
        write_shard(tmp_path, spec, 0, *batch)
    monkeypatch.undo()
    assert no_partials(tmp_path)
    write_shard(tmp_path, spec, 0, *batch)
    np.testing.assert_array_equal(zarr.open_group(tmp_path, mode="r")["vertices"][:], batch[1].vertices)  # type: ignore[index]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    write_atomically(tmp_path / "f", b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere
        opened = os.open

        def refuse(path: Any, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_CREAT:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return opened(path, flags, mode)

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="cannot write"):
        write_atomically(folder / "f", b"data")
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        write_atomically(tmp_path / "a" / "b", b"data")


def test_config_names_the_channels() -> None:
    assert PackConfig().channels == ()
    assert validate(PackConfig, {"channels": ["uv", "depth"]}, source="x").channels == ("uv", "depth")
    with pytest.raises(ConfigurationError, match="x: 'channels"):
        validate(PackConfig, {"channels": ["colour"]}, source="x")


def test_config_and_schema_know_the_same_channels() -> None:
    assert validate(PackConfig, {"channels": CHANNELS}, source="x").channels == CHANNELS


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=200))
def test_decoders_refuse_arbitrary_bytes(data: bytes) -> None:
    with pytest.raises(sharding.DamagedError):
        sharding.decode_chunk(data, (3, 4), np.dtype(np.float32))
    with pytest.raises(sharding.DamagedError):
        sharding.decode_index(data, 1000)


@pytest.mark.parametrize("count", [1, 12, 63, 64, 65, 100, 16_384, 70_000])
@pytest.mark.parametrize("level", [1, 3, 19])
def test_chunks_round_trip_and_those_of_another_size_are_refused(count: int, level: int) -> None:
    value = np.arange(count, dtype=np.float32)
    encoded = sharding.encode_chunk(value, level)
    np.testing.assert_array_equal(sharding.decode_chunk(encoded, (count,), value.dtype), value)
    for wrong in (count - 1, count + 1, 2 * count):
        with pytest.raises(sharding.DamagedError, match="expected"):
            sharding.decode_chunk(encoded, (wrong,), value.dtype)


def test_metadata_has_no_time_or_host(tmp_path: Path, topology: Topology) -> None:
    spec: DatasetSpec = synthetic.specification(topology, 4, 4)
    create_dataset(tmp_path, spec)
    text = json.dumps(json.loads((tmp_path / "zarr.json").read_text()))
    assert os.uname().nodename not in text
    assert str(tmp_path) not in text
