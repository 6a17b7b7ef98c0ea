"""`facegen verify` of whole runs: every kind of damage gives one line that names it, and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.storage import this_process
from facegen.tests.command import facegen, only_line, quickstart, states, tree
from facegen.tests.damage import flip, truncate
from facegen.tests.planting import plant

IMAGE = "dataset.zarr/image/c/1/0/0/0"
AGAIN = "the same `facegen run` command again makes 1 shard again"


@pytest.fixture
def run(clean_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def staged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean run made stage by stage. Not to be changed."""
    run = tmp_path_factory.mktemp("staged") / "run"
    for command in ("sample", "render", "pack"):
        assert quickstart(command, run).code == 0
    return run


@pytest.fixture
def staged(staged_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(staged_run, tmp_path / "run"))


def problems(run: Path, *arguments: str) -> list[str]:
    """The problems of a run that has some."""
    outcome = facegen("verify", run, "--json", *arguments)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.json["ok"] is False
    return list(outcome.json["problems"])


def last_line(run: Path) -> str:
    outcome = facegen("verify", run)
    assert (outcome.code, outcome.err) == (1, "")
    return outcome.out.splitlines()[-1]


def of_another_run(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "ab"}))


def of_another_shard(file: Path) -> None:
    file.write_bytes((file.parent / "00002.json").read_bytes())


@pytest.mark.parametrize(
    ("file", "harm", "told"),
    [
        (IMAGE, flip, "image/c/1/0/0/0 is damaged: its sha256 is"),
        (IMAGE, truncate, "image/c/1/0/0/0 has"),
        (IMAGE, Path.unlink, "image/c/1/0/0/0 is missing"),
        ("records/pack/00001.json", Path.unlink, "has no record: it was not finished"),
        ("records/pack/00001.json", truncate, "not JSON; the file is damaged"),
        ("records/pack/00001.json", of_another_run, "belongs to another run: fingerprint ab, expected"),
        ("records/pack/00001.json", of_another_shard, "has the record of shard 2 with 16 faces from 32"),
    ],
)
def test_damage_of_a_shard(run: Path, file: str, harm: Callable[[Path], None], told: str) -> None:
    if harm is truncate and "json" in file:
        # Without its newline a record is whole.
        truncate(run / file)
        truncate(run / file)
    else:
        harm(run / file)
    (problem,) = problems(run)
    assert problem.startswith(f"shard 00001 of {run / 'dataset.zarr'}")
    assert told in problem
    assert last_line(run) == f"{run}: 2 of 3 shards sound, 1 problem; {AGAIN}"
    assert quickstart("run", run, "--json").json["made"] == 16
    assert facegen("verify", run).code == 0


def test_several_damaged_shards(run: Path) -> None:
    (run / "records" / "pack" / "00000.json").unlink()
    flip(run / IMAGE)
    again = AGAIN.replace("1 shard again", "2 shards again")
    assert last_line(run) == f"{run}: 1 of 3 shards sound, 2 problems; {again}"


def not_a_number(values: NDArray[Any]) -> None:
    values[3].flat[1] = np.nan


def blank(values: NDArray[Any]) -> None:
    values[3] = 9


def moved(values: NDArray[Any]) -> None:
    values[3, 20, 0] += 1


FAULTS = [
    ("light_position", not_a_number, "light_position holds NaN"),
    ("image", blank, "the image is of one colour"),
    ("landmarks_2d", moved, "landmarks_2d are up to 1 pixels from the projections of their vertices"),
]


@pytest.mark.parametrize(("array", "change", "told"), FAULTS)
def test_wrong_labels_with_right_digests(
    run: Path, array: str, change: Callable[[NDArray[Any]], None], told: str
) -> None:
    plant(run, 1, array, change)
    assert problems(run) == [f"shard 00001 of {run / 'dataset.zarr'}: face 19: {told}"]
    # Place 3 of 16 is neither in a sample of one nor in one of two, but in one of seven.
    for sample, looked_at in (("1", 3), ("2", 6)):
        outcome = facegen("verify", run, "--sample", sample, "--json")
        assert (outcome.code, outcome.json["checked_faces"], outcome.json["content_sha256"]) == (0, looked_at, None)
    assert len(problems(run, "--sample", "7")) == 1
    # The record vouches for it, so that a run takes the shard for done until its record is gone.
    assert last_line(run) == (
        f"{run}: 2 of 3 shards sound, 1 problem; delete what records/pack has of shard 1, for it vouches for what "
        f"is wrong; {AGAIN}"
    )
    assert quickstart("run", run, "--json").json["made"] == 0
    (run / "records" / "pack" / "00001.json").unlink()
    assert quickstart("run", run, "--json").json["made"] == 16
    assert facegen("verify", run).code == 0


def test_a_sample_tells_how_many_faces_it_looked_at(clean_run: Path) -> None:
    lines = facegen("verify", clean_run, "--sample", "3", "--threads", "2").out.splitlines()
    assert lines[-2] == "labels of 9 of 48 faces checked"
    assert lines[-1].startswith(f"{clean_run}: 48 faces, 3 of 3 shards sound, ")
    assert lines[-1].endswith(": all is well")
    assert not any("content" in line for line in lines)


def test_threads_change_nothing(clean_run: Path) -> None:
    one, three = (facegen("verify", clean_run, "--threads", n, "--json").json for n in ("1", "3"))
    assert one == three
    assert one["content_sha256"]


def test_the_dataset_itself_may_be_named(clean_run: Path) -> None:
    assert facegen("verify", clean_run / "dataset.zarr", "--json").json == facegen("verify", clean_run, "--json").json


class TestStages:
    """What single stages left is checked against its records, and the stage's own command mends it."""

    def test_sound(self, staged_run: Path, clean_run: Path) -> None:
        values = facegen("verify", staged_run, "--json").json
        whole = {"finished_shards": 3, "damaged_shards": []}
        assert values["stages"] == {"render": whole, "sample": whole}
        assert values["ok"] is True
        assert values["strays"] == []
        assert values["content_sha256"] == facegen("verify", clean_run, "--json").json["content_sha256"]

    @pytest.mark.parametrize(
        ("file", "harm", "told"),
        [
            ("stages/render/00001.npz", flip, "stages/render/00001.npz: its content has changed (sha256)"),
            ("stages/render/00001.npz", truncate, "stages/render/00001.npz: has "),
            ("stages/render/00001.npz", Path.unlink, "stages/render/00001.npz: is missing"),
            ("records/render/00001.json", of_another_run, "made by another configuration"),
            ("records/render/00001.json", of_another_shard, "holds 16 faces from 32, expected 16 from 16"),
            ("records/render/00001.json", lambda file: file.write_text("{"), "its record cannot be read"),
        ],
    )
    def test_damage(self, staged: Path, file: str, harm: Callable[[Path], None], told: str) -> None:
        harm(staged / file)
        (problem,) = problems(staged)
        assert problem.startswith(f"shard 00001 of {staged}, stage render: {told}")
        mend = "the same `facegen render` command again makes 1 shard again"
        assert last_line(staged) == f"{staged}: 3 of 3 shards sound, 1 problem; {mend}"
        assert quickstart("render", staged, "--json").json["made"] == 16
        assert facegen("verify", staged).code == 0

    def test_a_file_without_its_record_is_a_stray(self, staged: Path) -> None:
        (staged / "records" / "sample" / "00001.json").unlink()
        outcome = facegen("verify", staged, "--json")
        assert outcome.code == 0
        assert outcome.json["strays"] == ["stages/sample/00001.npz"]
        assert outcome.json["stages"]["sample"]["finished_shards"] == 2

    def test_records_of_fewer_faces_are_no_fault(self, tmp_path: Path) -> None:
        for command in ("sample", "render"):
            assert quickstart(command, tmp_path / "run", faces=40).code == 0
        assert quickstart("run", tmp_path / "run").code == 0
        outcome = facegen("verify", tmp_path / "run", "--json")
        assert outcome.code == 0
        assert outcome.json["stages"]["sample"] == {"finished_shards": 2, "damaged_shards": []}

    def test_before_anything_is_packed(self, tmp_path: Path) -> None:
        assert quickstart("sample", tmp_path / "run").code == 0
        outcome = facegen("verify", tmp_path / "run")
        assert outcome.code == 0
        assert outcome.out.splitlines() == [
            "stage sample: 3 of 3 shards sound",
            f"{tmp_path / 'run'}: nothing is packed yet: all is well",
        ]
        shutil.rmtree(tmp_path / "run" / "records")
        refused = facegen("verify", tmp_path / "run")
        assert (refused.code, refused.out) == (2, "")
        assert only_line(refused.err) == f"facegen: {tmp_path / 'run'}: nothing was made in this run yet"


class TestAround:
    """What lies beside the shards."""

    def test_leftovers_are_told(self, staged: Path) -> None:
        strays = [
            "dataset.zarr/image/c/1/0/0/.0.77-88.partial",
            "dataset.zarr/image/c/9/0/0/0",
            "dataset.zarr/model/notes.txt",
            "records/pack/00007.json",
            "records/sample/00007.json",
            "records/sample/.00001.json.77-88.partial",
            "stages/sample/.00001.npz.77-88.partial",
            "stages/sample/notes.txt",
        ]
        for name in strays:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(b"x")
        # This one is still being written.
        (staged / "stages" / "sample" / f".00002.npz.{this_process()}-1.partial").write_bytes(b"x")
        outcome = facegen("verify", staged, "--json")
        assert outcome.code == 0
        assert outcome.json["strays"] == sorted(strays)

    def test_given_up_shards_are_told(self, run: Path) -> None:
        (run / "records" / "pack" / "00001.json").unlink()
        (run / "failed").mkdir()
        entry = {"shard": 1, "quarantined": True, "reason": "killed its worker three times"}
        (run / "failed" / "shard-00001.json").write_text(json.dumps(entry))
        assert len(problems(run)) == 1
        assert facegen("verify", run, "--json").json["given_up"] == {"1": "killed its worker three times (quarantined)"}
        lines = facegen("verify", run).out.splitlines()
        assert lines[1] == "given up: shard 00001: killed its worker three times (quarantined)"
        assert lines[-1].endswith(AGAIN)
        assert quickstart("run", run).code == 0
        assert facegen("verify", run, "--json").json["given_up"] == {}

    @pytest.mark.parametrize("content", ["", "[]", "{}", "\0"])
    def test_an_unreadable_reason(self, run: Path, content: str) -> None:
        (run / "failed").mkdir()
        (run / "failed" / "shard-00001.json").write_text(content)
        assert facegen("verify", run, "--json").json["given_up"] == {"1": "for a reason that cannot be read"}

    def test_without_run_yaml(self, run: Path) -> None:
        (run / "run.yaml").unlink()
        outcome = facegen("verify", run)
        assert outcome.code == 0
        assert outcome.out.splitlines()[0] == "without run.yaml, all was compared with the dataset's metadata"
        flip(run / IMAGE)
        assert last_line(run).endswith(
            "1 problem; put back run.yaml: the same `facegen run` command in a new folder writes the same one; " + AGAIN
        )

    def test_an_unreadable_run_yaml(self, run: Path) -> None:
        (run / "run.yaml").write_text("{")
        (problem,) = problems(run)
        assert problem.startswith(f"{run / 'run.yaml'}: cannot be read")

    def test_run_yaml_of_another_run(self, run: Path) -> None:
        text = (run / "run.yaml").read_text()
        fingerprint = text.split("fingerprint: ")[1].split("\n")[0]
        (run / "run.yaml").write_text(text.replace(fingerprint, "ab"))
        (problem,) = problems(run)
        assert problem.endswith(f"fingerprint ab, expected {fingerprint}")
        assert last_line(run).endswith("put back the run.yaml, or the dataset.zarr, that belongs to the other")

    def test_an_extension_that_has_not_begun(self, run: Path) -> None:
        text = (run / "run.yaml").read_text()
        (run / "run.yaml").write_text(text.replace("faces: 48", "faces: 64"))
        (problem,) = problems(run)
        assert "is of 64 faces, the metadata of" in problem
        assert last_line(run).endswith("the same `facegen run` command again does what is left to do")
        assert quickstart("run", run, faces=64).code == 0
        assert facegen("verify", run).code == 0

    @pytest.mark.parametrize("harm", [flip, Path.unlink])
    def test_a_damaged_model(self, run: Path, clean_run: Path, harm: Callable[[Path], None]) -> None:
        harm(run / "dataset.zarr" / "model" / "triangles" / "c" / "0" / "0")
        (problem,) = problems(run)
        assert "model/triangles" in problem
        assert last_line(run).endswith("the same `facegen run` command again does what is left to do")
        assert quickstart("run", run).code == 0
        assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")

    def test_a_dataset_that_is_gone(self, run: Path) -> None:
        shutil.rmtree(run / "dataset.zarr")
        (problem,) = problems(run)
        assert problem == f"{run / 'dataset.zarr'} is missing, or its zarr.json, although shards were packed"
        assert quickstart("run", run).code == 0
        assert facegen("verify", run).code == 0

    def test_nothing_is_changed(self, staged_run: Path) -> None:
        before = states(staged_run)
        assert facegen("verify", staged_run, "--sample", "1").code == 0
        assert states(staged_run) == before
