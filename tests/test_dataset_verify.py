"""verify: silent on sound datasets, one line for every kind of wrong content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.dataset.layout import Layout, difference, metadata_files, open_layout
from facegen.dataset.verify import sampled, verify
from facegen.errors import DatasetError
from facegen.morphable.topology import Topology
from facegen.stages.pack import sharding
from facegen.stages.pack.writer import create_dataset
from facegen.tests import synthetic
from facegen.tests.planting import plant, vouch


@pytest.fixture(scope="module")
def topology() -> Topology:
    return synthetic.sphere()


def test_a_sound_dataset(tmp_path: Path, topology: Topology) -> None:
    run = synthetic.write_run(tmp_path, synthetic.specification(topology, 11, 4, channels=("uv",)), failed=(3,))
    report = verify(run)
    assert report.ok
    assert report.problems == report.strays == ()
    assert (report.faces, report.failed_faces, report.shards, report.finished_shards) == (11, 1, 3, 3)
    assert report.checked_faces == 11
    assert report.damaged_shards == report.faulty_shards == ()
    assert report.bytes == sum(f.stat().st_size for f in (run / "dataset.zarr").rglob("c/**/*") if f.is_file()) - sum(
        f.stat().st_size for f in (run / "dataset.zarr" / "model").rglob("c/**/*") if f.is_file()
    )


def test_content_does_not_depend_on_shards_or_compression(tmp_path: Path, topology: Topology) -> None:
    specs = {
        "a": synthetic.specification(topology, 11, 4),
        "b": synthetic.specification(topology, 11, 16, fingerprint="f2"),
        "c": synthetic.specification(topology, 11, 1, compression_level=1),
    }
    digests = {verify(synthetic.write_run(tmp_path / name, spec)).content_sha256 for name, spec in specs.items()}
    assert len(digests) == 1
    assert None not in digests
    fewer = synthetic.write_run(tmp_path / "d", synthetic.specification(topology, 10, 4))
    failed = synthetic.write_run(tmp_path / "e", synthetic.specification(topology, 11, 4), failed=(1,))
    assert {verify(fewer).content_sha256, verify(failed).content_sha256}.isdisjoint(digests)


def test_strays_are_named_and_harmless(tmp_path: Path, topology: Topology) -> None:
    run = synthetic.write_run(tmp_path, synthetic.specification(topology, 4, 4))
    strays = [
        "dataset.zarr/image/c/0/0/0/.0.123-4.partial",
        "dataset.zarr/image/c/7",
        "dataset.zarr/model/triangles/.zarr.json.1-2.partial",
        "dataset.zarr/notes.txt",
        "records/pack/00001.json",
    ]
    for name in strays:
        (run / name).write_bytes(b"x")
    report = verify(run)
    assert report.ok
    assert sorted(report.strays) == strays


def vertices_nan(values: dict[str, Any]) -> None:
    values["vertices"][1, 3, 0] = np.nan


def landmark_pixel(values: dict[str, Any]) -> None:
    values["landmarks_2d"][1, 2, 1] += 0.02


def landmark_point(values: dict[str, Any]) -> None:
    values["landmarks_3d"][1, 2, 1] += 0.02


def landmark_nan(values: dict[str, Any]) -> None:
    values["landmarks_2d"][1, 2, 1] = np.nan


def focal_length(values: dict[str, Any]) -> None:
    values["intrinsics"][1, 0, 0] *= 1.01


def camera_pose(values: dict[str, Any]) -> None:
    values["extrinsics"][1, 0, 3] += 1


def blank_image(values: dict[str, Any]) -> None:
    values["image"][1] = (1, 2, 3)


def triangle_too_high(values: dict[str, Any]) -> None:
    values["triangle_id"][1, 0, 0] = 10**6


def triangle_too_low(values: dict[str, Any]) -> None:
    values["triangle_id"][1, 0, 0] = -2


def silent_failure(values: dict[str, Any]) -> None:
    values["valid"][1] = False


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (vertices_nan, "vertices are not finite"),
        (landmark_pixel, "landmarks_2d are up to 0.02 pixels from the projections of their vertices"),
        (landmark_point, "landmarks_3d are up to 0.02 mm from their vertices"),
        (landmark_nan, "landmarks_2d holds NaN"),
        (focal_length, "landmarks_2d are up to"),
        (camera_pose, "landmarks_3d are up to 1 mm"),
        (blank_image, "the image is of one colour"),
        (triangle_too_high, "triangle_id spans -1 to 1000000"),
        (triangle_too_low, "triangle_id spans -2 to"),
        (silent_failure, "valid or failed? array and record disagree"),
    ],
)
def test_wrong_content_is_named(
    tmp_path: Path,
    topology: Topology,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    make = synthetic.batch

    def spoilt(*args: Any, **more: Any) -> Any:
        samples, renders = make(*args, **more)
        values: dict[str, Any] = {**samples.as_dict(), **renders.as_dict()}
        spoil(values)
        parts = [{name: values[name] for name in part.as_dict()} for part in (samples, renders)]
        return replace(samples, **parts[0]), replace(renders, **parts[1])

    monkeypatch.setattr(synthetic, "batch", spoilt)
    report = verify(synthetic.write_run(tmp_path, synthetic.specification(topology, 3, 4)))
    assert report.problems
    assert report.problems[0].startswith(f"shard 00000 of {tmp_path}")
    assert f"face 1: {message}" in report.problems[0]
    assert all("face 1:" in problem and "\n" not in problem for problem in report.problems)
    assert (report.damaged_shards, report.faulty_shards, report.finished_shards) == ((), (0,), 0)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither a run folder nor"):
        verify(tmp_path)


@pytest.fixture(scope="module")
def channels_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight faces in two shards, face 5 failed, with every floating channel stored. Not to be changed."""
    spec = synthetic.specification(synthetic.sphere(6, 8), 8, 4, size=8, channels=("depth", "normal", "uv", "pncc"))
    return synthetic.write_run(tmp_path_factory.mktemp("channels"), spec, failed=(5,))


def floating(run: Path) -> list[str]:
    return [name for name, array in open_layout(run).arrays.items() if array.dtype.kind == "f"]


def test_nan_in_any_array_is_that_array(channels_run: Path, tmp_path: Path) -> None:
    names = floating(channels_run)
    assert {"depth", "normal", "uv", "pncc", "vertices", "light_sh", "intrinsics", "landmarks_3d"} <= {*names}
    for name in names:
        run = Path(shutil.copytree(channels_run, tmp_path / name))

        def spoil(values: NDArray[Any]) -> None:
            values.reshape(len(values), -1)[2, 0] = np.nan

        plant(run, 1, name, spoil)
        told = "vertices are not finite" if name == "vertices" else f"{name} holds NaN"
        assert verify(run).problems == (f"shard 00001 of {run / 'dataset.zarr'}: face 6: {told}",)


def test_a_failed_face_may_hold_anything(channels_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(channels_run, tmp_path / "run"))

    def spoil(values: NDArray[Any]) -> None:
        values[1] = np.nan

    plant(run, 1, "identity", spoil)
    assert verify(run).ok


def longer(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values, values[:, :1]], axis=1)


def wider(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float64)


@pytest.mark.parametrize("change", [longer, wider], ids=["shape", "dtype"])
@pytest.mark.parametrize("name", ["vertices", "pose"], ids=["large", "small"])
def test_a_wrong_shape_is_named(
    channels_run: Path, tmp_path: Path, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    run = Path(shutil.copytree(channels_run, tmp_path / "run"))
    array = open_layout(run).arrays[name]
    found: list[int] = []

    def spoil(values: NDArray[Any]) -> NDArray[Any]:
        changed = change(values)
        found.append(changed.nbytes // (len(values) if name == "vertices" else 1))
        return changed

    plant(run, 1, name, spoil)
    expected = array.chunk_faces * int(np.prod(array.face_shape)) * array.dtype.itemsize
    assert verify(run).problems == (
        f"shard 00001 of {run / 'dataset.zarr'}: {array.file(1)} is damaged: chunk 0: "
        f"it holds {found[0]} bytes, expected {expected}",
    )


def test_every_chunk_is_decoded(channels_run: Path, tmp_path: Path) -> None:
    """One chunk of another size among those of a shard, all with right checksums."""
    run = Path(shutil.copytree(channels_run, tmp_path / "run"))
    layout = open_layout(run)
    file = layout.root / layout.arrays["image"].file(1)
    data = sharding.encode_shard([np.ones((8 * 8 - (place == 3), 3), np.uint8) for place in range(4)], 4, 3)
    file.write_bytes(data)
    vouch(run, "pack", 1, file.relative_to(run).as_posix())
    assert "image/c/1/0/0/0 is damaged: chunk 3: it holds 189 bytes, expected 192" in verify(run).problems[-1]


@given(count=st.integers(1, 300), sample=st.integers(1, 300))
def test_a_sample_is_spread_evenly(count: int, sample: int) -> None:
    places = list(sampled(count, sample))
    assert len(places) == len({*places}) == min(count, sample)
    assert places == sorted(places)
    gaps = {after - before for before, after in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(places[0] - (count - 1 - places[-1])) <= 1
    assert 0 <= places[0] <= places[-1] < count
    assert list(sampled(count, None)) == list(range(count))


def test_a_sample_looks_at_some_faces(channels_run: Path, tmp_path: Path) -> None:
    report = verify(channels_run, sample=2)
    assert report.ok
    assert (report.checked_faces, report.content_sha256) == (4, None)
    for place in range(4):
        run = Path(shutil.copytree(channels_run, tmp_path / str(place)))

        def blank(values: NDArray[Any], place: int = place) -> None:
            values[place] = 7

        plant(run, 0, "image", blank)
        seen = place in sampled(4, 2)
        problem = f"shard 00000 of {run / 'dataset.zarr'}: face {place}: the image is of one colour"
        assert verify(run, sample=2).problems == ((problem,) if seen else ())
        assert verify(run).problems == (problem,)


def test_a_sample_compares_every_byte(channels_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(channels_run, tmp_path / "run"))
    file = run / "dataset.zarr" / "image" / "c" / "0" / "0" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    (problem,) = verify(run, sample=1).problems
    assert "image/c/0/0/0/0 is damaged: its sha256 is" in problem


def test_metadata_files_are_all_files_but_the_shards(channels_run: Path) -> None:
    layout = open_layout(channels_run)
    shards = {array.file(number) for array in layout.arrays.values() for number in range(layout.shards)}
    there = {file.relative_to(layout.root).as_posix() for file in layout.root.rglob("*") if file.is_file()}
    assert {*metadata_files(layout)} == there - shards
    assert len(metadata_files(layout)) == len({*metadata_files(layout)})


def layout_of(path: Path, **more: Any) -> Layout:
    topology = more.pop("topology", None) or synthetic.sphere()
    faces = more.pop("faces", 8)
    create_dataset(path / "dataset.zarr", synthetic.specification(topology, faces, 4, **more))
    return open_layout(path)


def test_datasets_of_one_run_may_differ_in_the_number_of_faces(tmp_path: Path, topology: Topology) -> None:
    here = layout_of(tmp_path / "here")
    assert difference(here, layout_of(tmp_path / "more", faces=11)) is None
    assert difference(here, layout_of(tmp_path / "size", size=16)) == "the attribute 'image_size'"
    assert difference(here, layout_of(tmp_path / "uv", channels=("uv",))) == "the attribute 'arrays'"
    moved = replace(topology, reference=topology.reference + 1)
    assert difference(here, layout_of(tmp_path / "moved", topology=moved)) == "the model's 'reference'"
