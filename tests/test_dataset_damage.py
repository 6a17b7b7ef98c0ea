"""A missing or damaged shard raises and names itself; it never reads as zeros."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.dataset import FaceDataset
from facegen.dataset.verify import verify
from facegen.errors import DatasetError
from facegen.stages.pack.schema import ARRAYS
from facegen.tests import synthetic

STORED = tuple(array.name for array in ARRAYS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = synthetic.specification(synthetic.sphere(6, 8), 5, 2, size=8)
    return synthetic.write_run(tmp_path_factory.mktemp("run"), spec)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def shard_files(run: Path, shard: int) -> list[Path]:
    record = json.loads((run / "records" / "pack" / f"{shard:05d}.json").read_text())
    return [run / entry["path"] for entry in record["files"]]


def read_all(run: Path) -> None:
    dataset = FaceDataset(run, STORED)
    for index in range(len(dataset)):
        dataset[index]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(run: Path, data: st.DataObject) -> None:
    shard = data.draw(st.integers(0, 2), "shard")
    file = data.draw(st.sampled_from(shard_files(run, shard)), "file")
    sound = file.read_bytes()
    position = data.draw(st.integers(0, len(sound) - 1), "position")
    damaged = bytearray(sound)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7), "bit")
    file.write_bytes(damaged)
    try:
        with pytest.raises(DatasetError, match=f"shard {shard:05d} of .*{file.relative_to(run / 'dataset.zarr')}"):
            read_all(run)
    finally:
        file.write_bytes(sound)
    read_all(run)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [Path.unlink, cut, empty, lengthen, zeros])
@pytest.mark.parametrize("shard", [0, 2])
def test_every_file_of_a_shard_counts(copy: Path, damage: Callable[[Path], None], shard: int) -> None:
    for file in shard_files(copy, shard):
        sound = file.read_bytes()
        damage(file)
        name = str(file.relative_to(copy / "dataset.zarr"))
        with pytest.raises(DatasetError, match=f"shard {shard:05d} of .*{name}"):
            read_all(copy)
        report = verify(copy)
        assert not report.ok
        assert f"shard {shard:05d}" in report.problems[0]
        assert name in report.problems[0]
        assert report.content_sha256 is None
        file.write_bytes(sound)
    assert verify(copy).ok


def test_other_shards_stay_readable(copy: Path) -> None:
    for file in shard_files(copy, 1):
        file.unlink()
    dataset = FaceDataset(copy, STORED)
    for index, face in enumerate(dataset.faces.tolist()):
        if face in (2, 3):
            with pytest.raises(DatasetError, match="shard 00001"):
                dataset[index]
        else:
            dataset[index]


def test_shards_swapped_with_each_other_are_found(copy: Path) -> None:
    """Sound bytes in the wrong place: the sizes or the digests of the record tell."""
    one, other = (next(f for f in shard_files(copy, shard) if "vertices" in str(f)) for shard in (0, 1))
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    assert len(verify(copy).problems) == 2


def change_record(run: Path, number: int, values: dict[str, Any]) -> None:
    file = run / "records" / "pack" / f"{number:05d}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_shard_without_a_record_is_refused(copy: Path) -> None:
    (copy / "records" / "pack" / "00001.json").unlink()
    with pytest.raises(DatasetError, match=r"shard 00001 of .* has no record"):
        FaceDataset(copy)
    partial = FaceDataset(copy, STORED, allow_incomplete=True)
    assert partial.faces.tolist() == [0, 1, 4]
    assert [int(item["face"]) for item in partial] == [0, 1, 4]
    report = verify(copy)
    assert report.finished_shards == 2
    assert len(report.problems) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "f2"}, "belongs to another run: fingerprint f2, expected f1"),
        ({"shard": 0}, "has the record of shard 0"),
        ({"faces": 1}, "with 1 faces from 2; expected 2 from 2"),
        ({"files": []}, "has a record without face/c/1"),
        ({"files": [{}]}, "has an unusable record"),
        ({"failed": None}, "has an unusable record"),
    ],
)
def test_records_that_do_not_fit_are_refused(copy: Path, change: dict[str, Any], message: str) -> None:
    change_record(copy, 1, change)
    with pytest.raises(DatasetError, match=f"shard 00001 of .* {message}"):
        FaceDataset(copy)
    assert FaceDataset(copy, allow_incomplete=True).faces.tolist() == [0, 1, 4]
    assert not verify(copy).ok


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_damaged_records_name_the_shard(copy: Path, content: bytes) -> None:
    (copy / "records" / "pack" / "00002.json").write_bytes(content)
    with pytest.raises(DatasetError, match="shard 00002 of "):
        FaceDataset(copy)


def test_a_damaged_model_is_found(copy: Path) -> None:
    file = copy / "dataset.zarr" / "model" / "triangles" / "c" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=r"model/triangles of .* is missing or damaged"):
        FaceDataset(copy, ["normal"])[0]
    assert "model/triangles" in verify(copy).problems[0]
    file.unlink()
    with pytest.raises(DatasetError, match=r"model/triangles of .* is missing or damaged"):
        FaceDataset(copy, ["normal"])[0]


@pytest.mark.parametrize("change", ["shape", "dtype", "codec", "gone"])
def test_metadata_that_does_not_fit_is_refused(copy: Path, change: str) -> None:
    file = copy / "dataset.zarr" / "vertices" / "zarr.json"
    document = json.loads(file.read_text())
    if change == "shape":
        document["shape"][1] += 1
        document["chunk_grid"]["configuration"]["chunk_shape"][1] += 1
        document["codecs"][0]["configuration"]["chunk_shape"][1] += 1
    if change == "dtype":
        document["data_type"] = "float64"
    if change == "codec":
        document["codecs"][0]["configuration"]["codecs"][1] = {"name": "gzip", "configuration": {"level": 1}}
    file.write_text(json.dumps(document))
    if change == "gone":
        file.unlink()
    with pytest.raises(DatasetError, match="vertices"):
        FaceDataset(copy, ["vertices"])[0]
