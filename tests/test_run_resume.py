"""What a run survives: kill -9, Ctrl-C, dead workers, damaged files; the same command continues."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from facegen.pipeline.records import ShardRecord
from facegen.pipeline.run import Job
from facegen.pipeline.shards import Shard
from facegen.stages import task
from facegen.tests.command import (
    SMALL,
    facegen,
    finish,
    group_members,
    is_worker,
    only_line,
    quickstart,
    start,
    states,
    tree,
)
from facegen.tests.damage import flip, truncate
from facegen.tests.waiting import wait_until

LONG = ("run", "quickstart", "--faces", "200", *SMALL, "--set", "shard_size=4", "--set", "render.size=32")
"""Fifty small shards: time enough to interrupt."""


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every byte of the dataset that :data:`LONG` makes when nobody interrupts it."""
    run = tmp_path_factory.mktemp("long") / "run"
    assert facegen(*LONG, "--out", run).code == 0
    return tree(run / "dataset.zarr")


def records(run: Path) -> list[Path]:
    return sorted((run / "records" / "pack").glob("*.json"))


def assert_continues(run: Path, clean: dict[str, bytes]) -> None:
    """The same command finishes the run, makes no finished shard again, and leaves what a clean run leaves."""
    there = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in records(run)}
    assert 0 < len(there) < 50
    assert facegen("status", run, "--json").json["complete"] is False
    outcome = facegen(*LONG, "--out", run, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["made"] == 200 - 4 * len(there)
    assert {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in there} == there
    assert not list(run.rglob("*.partial"))
    assert tree(run / "dataset.zarr") == clean


def test_kill_9_in_the_middle(long_run: dict[str, bytes], tmp_path: Path) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--workers", "2")
    wait_until(lambda: records(tmp_path / "run") or process.poll() is not None)
    assert len(group_members(process.pid)) >= 3
    process.kill()
    assert process.wait() == -signal.SIGKILL
    # Its workers notice by themselves.
    wait_until(lambda: not group_members(process.pid), seconds=5)
    finish(process)
    assert_continues(tmp_path / "run", long_run)


def test_ctrl_c(long_run: dict[str, bytes], tmp_path: Path) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--workers", "2", "--quiet")
    wait_until(lambda: records(tmp_path / "run") or process.poll() is not None)
    # A terminal sends it to the whole group.
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process, 10)
    assert outcome.code == 1
    assert only_line(outcome.err) == "facegen: interrupted; what was finished is kept, the same command continues"
    wait_until(lambda: not group_members(process.pid), seconds=5)
    assert_continues(tmp_path / "run", long_run)


def test_ctrl_c_while_workers_start(tmp_path: Path) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--workers", "2", "--quiet")
    # A worker that has begun to import torch is busy with it for a second or so.
    wait_until(lambda: any(is_importing(number) for number in group_members(process.pid)) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process, 20)
    assert outcome.code == 1
    assert only_line(outcome.err) == "facegen: interrupted; what was finished is kept, the same command continues"
    wait_until(lambda: not group_members(process.pid), seconds=5)


def test_ctrl_c_to_a_single_process(long_run: dict[str, bytes], tmp_path: Path) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--quiet")
    wait_until(lambda: records(tmp_path / "run") or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process, 10)
    assert outcome.code == 1
    assert "interrupted" in only_line(outcome.err)
    assert_continues(tmp_path / "run", long_run)


def test_a_killed_worker_is_replaced(long_run: dict[str, bytes], tmp_path: Path) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--workers", "2", "--json")
    wait_until(lambda: records(tmp_path / "run") or process.poll() is not None)
    workers = [number for number in group_members(process.pid) if is_worker(number)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    outcome = finish(process, 60)
    assert outcome.code == 0, outcome.err
    assert outcome.json["worker_deaths"] == outcome.json["retries"] == 1
    assert outcome.json["made"] == 200
    assert tree(tmp_path / "run" / "dataset.zarr") == long_run
    wait_until(lambda: not group_members(process.pid), seconds=5)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_sigterm(long_run: dict[str, bytes], tmp_path: Path, workers: str) -> None:
    process = start(*LONG, "--out", tmp_path / "run", "--workers", workers, "--quiet")
    wait_until(lambda: records(tmp_path / "run") or process.poll() is not None)
    process.terminate()
    outcome = finish(process, 10)
    assert outcome.code == 1
    assert only_line(outcome.err) == "facegen: terminated; what was finished is kept, the same command continues"
    wait_until(lambda: not group_members(process.pid), seconds=5)
    assert not (tmp_path / "run" / "live").exists()
    assert_continues(tmp_path / "run", long_run)


def is_importing(number: int) -> bool:
    with contextlib.suppress(OSError):
        return is_worker(number) and "libtorch" in Path(f"/proc/{number}/maps").read_text()
    return False


@pytest.mark.parametrize("harm", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
@pytest.mark.parametrize("file", ["dataset.zarr/image/c/1/0/0/0", "records/pack/00001.json"], ids=["chunk", "record"])
def test_damage_makes_exactly_that_shard_again(
    clean_run: Path, tmp_path: Path, file: str, harm: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(clean_run, run)
    harm(run / file)
    # A record is JSON of no checksum of its own: a flipped bit may leave it readable, and then says something wrong.
    assert facegen("verify", run).code == 1
    before = states(run / "records")
    outcome = quickstart("run", run, "--json")
    assert outcome.code == 0
    assert outcome.json["made"] == 16
    after = states(run / "records")
    assert [name for name in after if after[name] != before.get(name)] == ["pack/00001.json"]
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")
    assert facegen("verify", run).code == 0


@pytest.mark.parametrize("file", ["zarr.json", "image/zarr.json", "model/zarr.json", "model/uv/c/0/0"])
def test_damaged_metadata_is_written_again(clean_run: Path, tmp_path: Path, file: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(clean_run, run)
    truncate(run / "dataset.zarr" / file)
    assert facegen("verify", run).code == 1
    assert quickstart("run", run, "--json").json["made"] == 0
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_a_complete_run_is_left_alone(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(clean_run, run)
    before = {name: state for name, state in states(run).items() if name != "README.md"}
    outcome = quickstart("run", run)
    assert outcome.code == 0
    assert only_line(outcome.err) == f"{run}: all 48 faces are there already; nothing to do"
    assert {name: state for name, state in states(run).items() if name != "README.md"} == before


def test_leftovers_of_killed_writers_are_swept(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(clean_run, run)
    leftover = run / "dataset.zarr" / "image" / "c" / "1" / ".0.77-88.partial"
    leftover.write_bytes(b"half a chunk")
    assert quickstart("run", run).code == 0
    assert not leftover.exists()
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_a_run_killed_while_it_wrote_run_yaml_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.yaml.77-88.partial").write_bytes(b"name: quick")
    assert quickstart("run", tmp_path / "run", faces=16).code == 0
    assert not list((tmp_path / "run").rglob("*.partial"))


class _UnlikelyError(Exception):
    """An exception that pickle cannot bring back: its constructor wants two arguments."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}\nand a second line")


_produce = task.produce


def sometimes_broken(job: Job, shard: Shard) -> ShardRecord:
    """The real task, but for shard 1."""
    if shard.number == 1:
        raise _UnlikelyError("trouble", "shard one")
    return _produce(job, shard)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_shard_that_raises_is_listed_and_the_others_finish(
    clean_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(task, "produce", sometimes_broken)
        outcome = quickstart("run", run, "--workers", workers, "--set", "executor.backoff=0", "--json")
    assert outcome.code == 1
    assert outcome.json["made"] == 32
    assert outcome.json["failed_shards"] == {"1": "_UnlikelyError: trouble in shard one"}
    assert outcome.json["retries"] == 2
    assert (run / "failed" / "shard-00001.json").is_file()
    assert [file.stem for file in records(run)] == ["00000", "00002"]
    assert facegen("status", run, "--json").json["failed_shards"] == [1]
    assert not (run / "README.md").exists()
    again = quickstart("run", run, "--json")
    assert again.code == 0
    assert again.json["made"] == 16
    assert not (run / "failed" / "shard-00001.json").exists()
    assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")


def test_a_failure_is_told_even_when_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "produce", sometimes_broken)
    outcome = quickstart("run", tmp_path / "run", "--quiet", "--set", "executor.attempts=1", faces=32)
    assert outcome.code == 1
    assert "shard 1 failed: _UnlikelyError: trouble in shard one" in outcome.err
