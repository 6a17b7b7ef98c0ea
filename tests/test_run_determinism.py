"""The same faces bit for bit, however the work is cut up and whoever does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facegen.dataset import FaceDataset
from facegen.tests.command import facegen, quickstart, states, tree

ARRAYS = ("image", "vertices", "triangle_id", "barycentric", "landmarks_2d", "landmark_visible", "depth", "normal")


def content(run: Path) -> str:
    """The digest of all faces of a run that verify found sound."""
    outcome = facegen("verify", run, "--json")
    assert outcome.code == 0, outcome.out
    digest = outcome.json["content_sha256"]
    assert len(digest) == 64
    return str(digest)


def assert_same_faces(a: Path, b: Path) -> None:
    first, second = FaceDataset(a, ARRAYS), FaceDataset(b, ARRAYS)
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for name in ARRAYS:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("size", [5, 64])
def test_shard_size_does_not_change_a_face(clean_run: Path, tmp_path: Path, size: int) -> None:
    outcome = quickstart("run", tmp_path / "run", "--set", f"shard_size={size}")
    assert outcome.code == 0, outcome.err
    assert content(tmp_path / "run") == content(clean_run)
    assert_same_faces(tmp_path / "run", clean_run)


def test_stage_by_stage_is_in_one_go(clean_run: Path, tmp_path: Path) -> None:
    for command in ("sample", "render", "pack"):
        outcome = quickstart(command, tmp_path / "run")
        assert outcome.code == 0, outcome.err
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(clean_run / "dataset.zarr")
    assert {path.name for path in (tmp_path / "run" / "stages" / "sample").iterdir()} == {
        f"{shard:05d}.npz" for shard in range(3)
    }


def test_stages_out_of_order_are_refused_and_then_made(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    early = quickstart("pack", run)
    assert early.code == 1
    assert "shard 2 failed: stage 'sample' has not made it; run 'facegen sample' first" in early.err
    assert sorted(path.name for path in (run / "failed").iterdir()) == [f"shard-{n:05d}.json" for n in range(3)]
    for command in ("sample", "render", "pack"):
        assert quickstart(command, run).code == 0
    assert not list((run / "failed").iterdir())
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_a_damaged_stage_file_is_refused_by_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert quickstart("sample", run, faces=16).code == 0
    file = run / "stages" / "sample" / "00000.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    outcome = quickstart("render", run, faces=16)
    assert outcome.code == 1
    assert f"{file} its content has changed (sha256); run 'facegen sample' again" in outcome.err
    assert quickstart("sample", run, faces=16).code == 0
    assert quickstart("render", run, faces=16).code == 0


def test_more_faces_keep_what_is_there(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # 40 faces are two whole shards and a half.
    assert quickstart("run", run, faces=40).code == 0
    before = states(run)
    outcome = quickstart("run", run, "--json")
    assert outcome.code == 0
    assert outcome.json["made"] == 16
    after = states(run)
    kept = [name for name in before if "/c/0" in name or "/c/1" in name or name[-10:] in ("00000.json", "00001.json")]
    assert len(kept) > 40
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")
    assert content(run) == content(clean_run)


def test_seeds_differ(clean_run: Path, tmp_path: Path) -> None:
    assert quickstart("run", tmp_path / "zero", "--seed", "0", faces=16).code == 0
    assert quickstart("run", tmp_path / "one", "--seed", "1", faces=16).code == 0
    zero, one, clean = (
        FaceDataset(path, ["image", "vertices"]) for path in (tmp_path / "zero", tmp_path / "one", clean_run)
    )
    for place in range(16):
        np.testing.assert_array_equal(zero[place]["image"], clean[place]["image"])
        assert (zero[place]["vertices"] != one[place]["vertices"]).any()


def test_a_run_that_was_moved_reads_and_continues(clean_run: Path, tmp_path: Path) -> None:
    shutil.copytree(clean_run, tmp_path / "elsewhere")
    outcome = quickstart("run", tmp_path / "elsewhere", "--json")
    assert outcome.code == 0
    assert outcome.json["made"] == 0
