"""`facegen merge`: pieces made in different places give the bytes of one run, and nothing damaged gets in."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from facegen.errors import StorageError
from facegen.pipeline import merge as merging
from facegen.storage import replacing
from facegen.tests.command import (
    SMALL,
    Outcome,
    facegen,
    finish,
    only_line,
    quickstart,
    start,
    states,
    tree,
)
from facegen.tests.damage import flip, truncate
from facegen.tests.planting import vouch
from facegen.tests.waiting import wait_until

IMAGE = "dataset.zarr/image/c/1/0/0/0"


def piece(run: Path, to: Path, shards: Iterable[int], total: int = 3) -> Path:
    """A copy of a run with only some of its shards, as a job array leaves it: without a card."""
    shutil.copytree(run, to)
    for shard in {*range(total)} - {*shards}:
        drop(to, shard)
    (to / "README.md").unlink()
    return to


def drop(run: Path, shard: int) -> None:
    for record in (run / "records").glob(f"*/{shard:05d}.json"):
        for entry in json.loads(record.read_text())["files"]:
            (run / entry["path"]).unlink()
        record.unlink()


def without_card(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != "README.md"}


def merge(*arguments: str | Path) -> Outcome:
    return facegen("merge", *arguments)


def refusal(*arguments: str | Path) -> str:
    """The line of a merge that is wrong use."""
    outcome = merge(*arguments)
    assert (outcome.code, outcome.out) == (2, ""), outcome
    return only_line(outcome.err)


@pytest.fixture
def a(clean_run: Path, tmp_path: Path) -> Path:
    return piece(clean_run, tmp_path / "a", [0, 2])


@pytest.fixture
def b(clean_run: Path, tmp_path: Path) -> Path:
    return piece(clean_run, tmp_path / "b", [1])


@pytest.mark.parametrize("link", [(), ("--link",)], ids=["copy", "link"])
def test_pieces_give_the_bytes_of_one_run(
    clean_run: Path, tmp_path: Path, a: Path, b: Path, link: tuple[str, ...]
) -> None:
    before = states(a), states(b)
    out = tmp_path / "new" / "all"
    outcome = merge(a, b, "--out", out, "--json", *link)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json == {
        "run": str(out),
        "complete": True,
        "faces": 48,
        "shards": 3,
        "there": {},
        "taken": {str(a): {"pack": 2}, str(b): {"pack": 1}},
        "damaged": [],
        "missing": {"pack": ""},
    }
    assert tree(out) == without_card(tree(clean_run))
    assert (states(a), states(b)) == before
    same = (out / IMAGE).samefile(b / IMAGE)
    assert same == bool(link)
    # The inputs are files of their own, but for what was linked.
    assert not (out / "run.yaml").samefile(a / "run.yaml")
    assert facegen("verify", out).code == 0
    ran = quickstart("run", out, "--json")
    assert (ran.code, ran.json["made"]) == (0, 0)
    assert tree(out) == tree(clean_run)


def test_what_is_told(tmp_path: Path, a: Path, b: Path) -> None:
    out = tmp_path / "all"
    told = merge(a, b, "--out", out)
    assert (told.code, told.out) == (0, "")
    assert told.err.splitlines() == [
        f"from {a}: 2 shards of pack",
        f"from {b}: 1 shard of pack",
        f"{out}: 48 faces in 3 shards, complete; the same `facegen run` command writes its README.md",
    ]
    again = merge(a, b, "--out", out)
    assert again.err.splitlines() == [
        "there before: 3 shards of pack",
        f"{out}: 48 faces in 3 shards, complete; the same `facegen run` command writes its README.md",
    ]
    quiet = merge(a, b, "--out", out, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_again_changes_nothing(tmp_path: Path, a: Path, b: Path) -> None:
    out = tmp_path / "all"
    for link in ((), ("--link",)):
        assert merge(a, b, "--out", out, *link).code == 0
        before = states(out)
        assert merge(a, b, "--out", out, *link).code == 0
        assert states(out) == before


def test_the_card_comes_from_a_run_that_has_it(clean_run: Path, tmp_path: Path, a: Path) -> None:
    outcome = merge(a, clean_run, "--out", tmp_path / "all")
    assert outcome.err.splitlines()[-1] == f"{tmp_path / 'all'}: 48 faces in 3 shards, complete"
    assert tree(tmp_path / "all") == tree(clean_run)


def test_overlapping_runs(clean_run: Path, tmp_path: Path, a: Path) -> None:
    other = piece(clean_run, tmp_path / "b", [1, 2])
    outcome = merge(a, other, "--out", tmp_path / "all", "--json")
    assert outcome.json["taken"] == {str(a): {"pack": 2}, str(other): {"pack": 1}}
    assert tree(tmp_path / "all") == without_card(tree(clean_run))


def test_one_piece_and_what_is_missing(clean_run: Path, tmp_path: Path, b: Path) -> None:
    out = tmp_path / "all"
    outcome = merge(b, "--out", out)
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        f"from {b}: 1 shard of pack",
        "missing of stage pack: 2 shards (0, 2)",
        f"{out}: 48 faces in 3 shards, not complete; the same `facegen run` command with --out {out} makes it so",
    ]
    assert merge(b, "--out", out, "--json").json["missing"] == {"pack": "0, 2"}
    assert quickstart("run", out, "--json").json["made"] == 32
    assert tree(out / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_added_to_a_run_that_is_there(clean_run: Path, tmp_path: Path, a: Path, b: Path) -> None:
    before = states(a)
    outcome = merge(b, "--out", a, "--json")
    assert outcome.json["there"] == {"pack": 2}
    assert outcome.json["taken"] == {str(b): {"pack": 1}}
    assert tree(a) == without_card(tree(clean_run))
    after = states(a)
    assert {name: after[name] for name in before} == before


class TestConflicts:
    """The same shard with different contents."""

    def test_two_inputs(self, clean_run: Path, tmp_path: Path, a: Path) -> None:
        other = piece(clean_run, tmp_path / "b", [1, 2])
        file = "dataset.zarr/image/c/2/0/0/0"
        flip(other / file)
        vouch(other, "pack", 2, file)
        line = refusal(a, other, "--out", tmp_path / "all")
        assert line == (
            f"facegen: shard 00002 of stage pack is not the same in {a} and {other} ({file}); delete one of the two "
            "records to take the other"
        )
        assert not (tmp_path / "all").exists()
        (other / "records" / "pack" / "00002.json").unlink()
        assert merge(a, other, "--out", tmp_path / "all").code == 0
        assert tree(tmp_path / "all") == without_card(tree(clean_run))

    def test_an_input_and_what_is_there(self, clean_run: Path, tmp_path: Path, a: Path, b: Path) -> None:
        out = piece(clean_run, tmp_path / "all", [1])
        flip(out / IMAGE)
        vouch(out, "pack", 1, IMAGE)
        before = states(out)
        assert f"not the same in {out} and {b} ({IMAGE})" in refusal(a, b, "--out", out)
        assert states(out) == before

    def test_a_damaged_shard_is_no_conflict(self, clean_run: Path, tmp_path: Path) -> None:
        other = piece(clean_run, tmp_path / "b", [1])
        flip(other / IMAGE)
        outcome = merge(other, clean_run, "--out", tmp_path / "all", "--json")
        assert outcome.code == 1
        (problem,) = outcome.json["damaged"]
        assert problem == f"shard 00001 of {other}, stage pack: {IMAGE}: its content has changed (sha256)"
        assert outcome.json["complete"] is True
        assert tree(tmp_path / "all") == tree(clean_run)


def of_another_run(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fingerprint": "ab"}))


def of_another_shard(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shard": 2, "first_face": 32}))


def of_no_file(file: Path) -> None:
    file.write_text("{}")


def leading_out(file: Path) -> None:
    document = json.loads(file.read_text())
    document["files"][0]["path"] = "../outside"
    (file.parents[2].parent / "outside").write_bytes(b"x" * document["files"][0]["bytes"])
    file.write_text(json.dumps(document))


def over_run_yaml(file: Path) -> None:
    run = file.parents[2]
    document = json.loads(file.read_text())
    document["files"][0] = {"path": "run.yaml", "bytes": (run / "run.yaml").stat().st_size, "sha256": ""}
    file.write_text(json.dumps(document))


@pytest.mark.parametrize("link", [(), ("--link",)], ids=["copy", "link"])
@pytest.mark.parametrize(
    ("file", "harm", "told"),
    [
        (IMAGE, flip, f"{IMAGE}: its content has changed (sha256)"),
        (IMAGE, truncate, f"{IMAGE}: has "),
        (IMAGE, Path.unlink, f"{IMAGE}: is missing"),
        ("records/pack/00001.json", of_no_file, "its record cannot be read"),
        ("records/pack/00001.json", of_another_run, "made by another configuration"),
        ("records/pack/00001.json", of_another_shard, "holds 16 faces from 32, expected 16 from 16"),
        ("records/pack/00001.json", leading_out, "../outside: no place for a file of a shard"),
        ("records/pack/00001.json", over_run_yaml, "run.yaml: no place for a file of a shard"),
    ],
)
def test_damaged_shards_are_left_out(
    clean_run: Path,
    tmp_path: Path,
    a: Path,
    b: Path,
    file: str,
    harm: Callable[[Path], None],
    told: str,
    link: tuple[str, ...],
) -> None:
    harm(b / file)
    out = tmp_path / "all" / "run"
    outcome = merge(a, b, "--out", out, *link)
    assert (outcome.code, outcome.out) == (1, "")
    lines = outcome.err.splitlines()
    assert lines[0].startswith(f"damaged, left out: shard 00001 of {b}, stage pack: {told}")
    assert lines[1:] == [
        f"from {a}: 2 shards of pack",
        "missing of stage pack: 1 shard (1)",
        f"{out}: 48 faces in 3 shards, not complete; the same `facegen run` command with --out {out} makes it so",
    ]
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["run"]
    assert not list(out.rglob("*.partial"))
    assert [path.stem for path in sorted((out / "records" / "pack").iterdir())] == ["00000", "00002"]
    assert quickstart("run", out, "--json").json["made"] == 16
    assert tree(out / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_what_is_damaged_in_the_run_itself_is_replaced(clean_run: Path, tmp_path: Path, a: Path) -> None:
    flip(a / IMAGE.replace("/1/", "/2/"))
    outcome = merge(clean_run, "--out", a, "--json")
    assert (outcome.code, outcome.json["there"]) == (0, {"pack": 1})
    assert outcome.json["taken"] == {str(clean_run): {"pack": 2}}
    assert tree(a) == tree(clean_run)


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first forty faces of the clean run: its third shard is half a one."""
    run = tmp_path_factory.mktemp("shorter") / "run"
    assert quickstart("run", run, faces=40).code == 0
    return run


def assert_joined(out: Path, clean: Path, others: dict[int, Path]) -> None:
    """All is as in the clean run, but for the records of those shards that another run made."""
    names = {f"records/pack/{shard:05d}.json": run for shard, run in others.items()}
    expected = tree(clean) | {name: (run / name).read_bytes() for name, run in names.items()}
    assert tree(out) == without_card(expected)


class TestExtended:
    """Runs of one configuration with different numbers of faces."""

    @pytest.mark.parametrize("first", [True, False])
    def test_the_whole_has_the_most_faces(self, clean_run: Path, shorter: Path, tmp_path: Path, first: bool) -> None:
        longer = piece(clean_run, tmp_path / "b", [2])
        inputs = (shorter, longer) if first else (longer, shorter)
        outcome = merge(*inputs, "--out", tmp_path / "all", "--json")
        assert (outcome.code, outcome.json["faces"]) == (0, 48)
        assert outcome.json["taken"] == {str(shorter): {"pack": 2}, str(longer): {"pack": 1}}
        assert_joined(tmp_path / "all", clean_run, {0: shorter, 1: shorter})

    def test_a_shorter_last_shard_is_not_taken(self, clean_run: Path, shorter: Path, tmp_path: Path) -> None:
        longer = piece(clean_run, tmp_path / "b", [0])
        out = tmp_path / "all"
        outcome = merge(longer, shorter, "--out", out, "--json")
        assert (outcome.code, outcome.json["damaged"], outcome.json["missing"]) == (0, [], {"pack": "2"})
        assert quickstart("run", out, "--json").json["made"] == 16
        assert tree(out / "dataset.zarr") == tree(clean_run / "dataset.zarr")

    def test_a_run_that_is_there_gets_more_faces(self, clean_run: Path, shorter: Path, tmp_path: Path) -> None:
        out = Path(shutil.copytree(shorter, tmp_path / "all"))
        longer = piece(clean_run, tmp_path / "b", [2])
        assert merge(longer, "--out", out).code == 0
        # Its card, of forty faces, is gone.
        assert_joined(out, clean_run, {0: shorter, 1: shorter})

    def test_a_run_that_is_there_keeps_its_faces(self, clean_run: Path, shorter: Path, tmp_path: Path) -> None:
        out = piece(clean_run, tmp_path / "all", [2])
        before = states(out)
        assert merge(shorter, "--out", out).code == 0
        assert_joined(out, clean_run, {0: shorter, 1: shorter})
        after = states(out)
        assert {name: after[name] for name in before} == before


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("staged") / "run"
    for command in ("sample", "render", "pack"):
        assert quickstart(command, run).code == 0
    (run / "README.md").touch()
    return run


class TestStages:
    """All stages' records come along."""

    def test_all_stages(self, staged: Path, tmp_path: Path) -> None:
        pieces = piece(staged, tmp_path / "a", [0]), piece(staged, tmp_path / "b", [1, 2])
        outcome = merge(*pieces, "--out", tmp_path / "all", "--json")
        assert outcome.json["missing"] == {"pack": "", "render": "", "sample": ""}
        assert outcome.json["taken"][str(pieces[1])] == {"pack": 2, "render": 2, "sample": 2}
        assert tree(tmp_path / "all") == without_card(tree(staged))

    def test_before_anything_is_packed(self, staged: Path, tmp_path: Path) -> None:
        pieces = piece(staged, tmp_path / "a", [0]), piece(staged, tmp_path / "b", [1, 2])
        for run in pieces:
            shutil.rmtree(run / "records" / "pack")
            shutil.rmtree(run / "records" / "render")
            shutil.rmtree(run / "dataset.zarr")
        outcome = merge(*pieces, "--out", tmp_path / "all", "--json")
        assert (outcome.code, outcome.json["complete"], outcome.json["missing"]) == (0, False, {"sample": ""})
        assert quickstart("render", tmp_path / "all").code == 0
        assert quickstart("pack", tmp_path / "all").code == 0
        assert tree(tmp_path / "all" / "dataset.zarr") == tree(staged / "dataset.zarr")


def test_failed_faces_and_given_up_shards(tmp_path: Path) -> None:
    laws = "{weight: 9, law: {law: uniform, width: 1.6}}, {weight: 1, law: {law: constant, value: 1.0e+300}}"
    law = ("--set", f"sample.identity={{law: mixture, per: face, components: [{laws}]}}")
    run = tmp_path / "run"
    assert quickstart("run", run, *law).code == 1
    failed = {path.name for path in (run / "failed").iterdir()}
    assert len(failed) >= 2
    (run / "README.md").touch()
    pieces = piece(run, tmp_path / "a", [0, 2]), piece(run, tmp_path / "b", [1])
    for path in pieces:
        shutil.rmtree(path / "failed")
    assert merge(*pieces, "--out", tmp_path / "all").code == 0
    assert tree(tmp_path / "all") == without_card(tree(run))
    # A shard that was given up and comes from somewhere else is no longer given up.
    (pieces[0] / "failed").mkdir()
    (pieces[0] / "failed" / "shard-00001.json").write_text("{}")
    assert merge(pieces[1], "--out", pieces[0]).code == 0
    assert {path.name for path in (pieces[0] / "failed").iterdir()} == failed


LONG = ("run", "quickstart", "--faces", "320", *SMALL, "--set", "shard_size=4", "--set", "render.size=32")
"""Eighty small shards: time enough to interrupt."""


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("long") / "run"
    assert facegen(*LONG, "--out", run).code == 0
    return run


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("link", [(), ("--link",)], ids=["copy", "link"])
def test_interrupted_in_the_middle(long_run: Path, tmp_path: Path, how: signal.Signals, link: tuple[str, ...]) -> None:
    out = tmp_path / "all"
    process = start("merge", long_run, "--out", out, *link)
    wait_until(lambda: list((out / "records" / "pack").glob("*.json")) or process.poll() is not None)
    process.send_signal(how)
    outcome = finish(process)
    # A killed one may leave a record half written, under another name.
    done = {name: state for name, state in states(out / "records").items() if name.endswith(".json")}
    assert 0 < len(done) < 80
    if how == signal.SIGKILL:
        assert outcome.code == -how
    else:
        word = "terminated" if how == signal.SIGTERM else "interrupted"
        assert outcome.code == 1
        assert only_line(outcome.err) == f"facegen: {word}; what was finished is kept, the same command continues"
        assert not list(out.rglob("*.partial"))
    # Whatever has a record is whole.
    problems = facegen("verify", out, "--json", "--sample", "1").json["problems"]
    assert len(problems) == 80 - len(done)
    assert all("has no record" in problem for problem in problems)
    again = merge(long_run, "--out", out, "--json", *link)
    assert (again.code, again.json["there"]) == (0, {"pack": len(done)})
    assert {name: state for name, state in states(out / "records").items() if name in done} == done
    assert tree(out) == tree(long_run)


class TestRefused:
    """Wrong use: one line, exit 2, and nothing is written."""

    def test_runs_of_different_configurations(self, clean_run: Path, tmp_path: Path) -> None:
        other = tmp_path / "b"
        assert quickstart("sample", other, "--seed", "3", faces=16).code == 0
        line = refusal(clean_run, other, "--out", tmp_path / "all")
        assert line == (f"facegen: {other} and {clean_run} are runs of different configurations (differs in seed)")
        assert not (tmp_path / "all").exists()
        assert "(differs in seed)" in refusal(other, "--out", clean_run)

    def test_places(self, clean_run: Path, tmp_path: Path, a: Path) -> None:
        before = states(tmp_path)
        for inputs, out in (
            ((a, clean_run), a),
            ((a, clean_run), tmp_path / "x" / ".." / "a"),
            ((a, clean_run), a / "below"),
            ((a, clean_run), tmp_path),
        ):
            assert "expected a folder outside of the runs that are merged" in refusal(*inputs, "--out", out)
        assert refusal(a, a / ".", "--out", tmp_path / "all") == f"facegen: {a}: given twice"
        assert states(tmp_path) == before

    def test_what_is_no_run(self, tmp_path: Path, a: Path) -> None:
        absent = tmp_path / "absent"
        assert refusal(a, absent, "--out", tmp_path / "all") == f"facegen: {absent}: not a run folder (does not exist)"
        assert not (tmp_path / "all").exists()

    def test_a_folder_that_is_in_use(self, tmp_path: Path, a: Path) -> None:
        (tmp_path / "all").mkdir()
        (tmp_path / "all" / "thesis.tex").write_text("years of work")
        assert "the folder is not empty and not a run" in refusal(a, "--out", tmp_path / "all")
        assert "a file is in the way" in refusal(a, "--out", tmp_path / "all" / "thesis.tex")
        assert [path.name for path in (tmp_path / "all").iterdir()] == ["thesis.tex"]

    def test_without_runs(self, tmp_path: Path) -> None:
        assert merge("--out", tmp_path / "all").code == 2

    def test_links_between_file_systems(
        self, tmp_path: Path, a: Path, b: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: Path, path: Path) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(merging.os, "link", refuse)
        out = tmp_path / "all"
        line = refusal(a, b, "--out", out, "--link")
        assert line == (
            f"facegen: --link: no file of {a} can be linked into {out}: they are on different file systems; copy "
            "without --link"
        )
        assert not out.exists()
        assert merge(a, b, "--out", out).code == 0

    def test_datasets_that_differ(self, clean_run: Path, tmp_path: Path, a: Path, b: Path) -> None:
        file = b / "dataset.zarr" / "zarr.json"
        document: dict[str, Any] = json.loads(file.read_text())
        document["attributes"]["image_size"]["height"] = 65
        file.write_text(json.dumps(document))
        line = refusal(a, b, "--out", tmp_path / "all")
        assert line.endswith(f"{b / 'dataset.zarr'} and {a / 'dataset.zarr'} differ in the attribute 'image_size'")
        assert not (tmp_path / "all").exists()


@pytest.mark.parametrize("harm", [flip, Path.unlink])
def test_metadata_come_from_where_they_are_sound(
    clean_run: Path, tmp_path: Path, a: Path, b: Path, harm: Callable[[Path], None]
) -> None:
    harm(a / "dataset.zarr" / "model" / "triangles" / "c" / "0" / "0")
    outcome = merge(a, b, "--out", tmp_path / "all", "--json")
    assert outcome.code == 1
    (problem,) = outcome.json["damaged"]
    assert problem.startswith(f"model/triangles of {a / 'dataset.zarr'} is missing or damaged")
    assert outcome.json["complete"] is True
    assert tree(tmp_path / "all") == without_card(tree(clean_run))


def test_without_any_metadata(clean_run: Path, tmp_path: Path, a: Path, b: Path) -> None:
    for run in (a, b):
        (run / "dataset.zarr" / "zarr.json").unlink()
    outcome = merge(a, b, "--out", tmp_path / "all", "--json")
    assert (outcome.code, outcome.json["complete"]) == (0, False)
    assert quickstart("run", tmp_path / "all", "--json").json["made"] == 0
    assert tree(tmp_path / "all" / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_a_full_disk_stops_it(
    clean_run: Path, tmp_path: Path, a: Path, b: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all"

    def full(source: Path, temporary: Path) -> tuple[int, str]:
        if (out / "records" / "pack" / "00000.json").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, temporary)

    copy = merging._copy_bytes
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_copy_bytes", full)
        outcome = merge(a, b, "--out", out)
    assert outcome.code == 1
    assert re.fullmatch(rf"facegen: cannot write {out}/.*: No space left on device", only_line(outcome.err))
    assert not list(out.rglob("*.partial"))
    assert merge(a, b, "--out", out).code == 0
    assert tree(out) == without_card(tree(clean_run))


def test_replacing_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def half_written(error: Exception) -> None:
        with replacing(file) as temporary:
            temporary.write_bytes(b"new")
            raise error

    with pytest.raises(StorageError, match=f"cannot write {file}: broken"):
        half_written(OSError(errno.EIO, "broken"))
    with pytest.raises(KeyError):
        half_written(KeyError())
    assert tree(tmp_path) == {"file": b"old"}
    # Renaming one link of a file to another one does nothing, on POSIX.
    with replacing(file) as temporary:
        os.link(file, temporary)
    assert tree(tmp_path) == {"file": b"old"}
