"""verify: silent on sound datasets, one line for every kind of wrong content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen.dataset.verify import verify
from facegen.errors import DatasetError
from facegen.morphable.topology import Topology
from facegen.tests import synthetic


@pytest.fixture(scope="module")
def topology() -> Topology:
    return synthetic.sphere()


def test_a_sound_dataset(tmp_path: Path, topology: Topology) -> None:
    run = synthetic.write_run(tmp_path, synthetic.specification(topology, 11, 4, channels=("uv",)), failed=(3,))
    report = verify(run)
    assert report.ok
    assert report.problems == report.strays == ()
    assert (report.faces, report.failed_faces, report.shards, report.finished_shards) == (11, 1, 3, 3)
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
        (landmark_nan, "landmarks_2d are up to nan pixels"),
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


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither a run folder nor"):
        verify(tmp_path)
