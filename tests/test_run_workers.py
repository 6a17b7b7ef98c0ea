"""Many workers and many commands on one run: the same bytes, a shard that kills them, and what others are told."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from facegen.pipeline.executors.config import LocalConfig
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.live import LiveFile, read_live
from facegen.pipeline.records import ShardRecord, read_record
from facegen.pipeline.run import Job, carry_out
from facegen.pipeline.shards import Shard, split
from facegen.stages import task
from facegen.storage import is_gone, is_left_behind, replacing, this_process, write_atomically
from facegen.tests.command import SMALL, facegen, finish, only_line, quickstart, start, states, tree
from facegen.tests.waiting import wait_until

SHARDS = ("--set", "shard_size=4", "--set", "render.size=32")
"""Twelve shards of the small quickstart's 48 faces."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every byte of a dataset of twelve shards that one process made in one go."""
    run = tmp_path_factory.mktemp("twelve") / "run"
    assert quickstart("run", run, *SHARDS).code == 0
    return tree(run / "dataset.zarr")


def dataset(run: Path) -> dict[str, bytes]:
    return tree(run / "dataset.zarr")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("executor", ["local", "dask"])
def test_worker_processes_write_the_bytes_of_this_one(
    clean: dict[str, bytes], tmp_path: Path, executor: str, workers: str
) -> None:
    outcome = quickstart("run", tmp_path / "run", *SHARDS, "--executor", executor, "--workers", workers, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.json["workers"] == int(workers)
    assert outcome.json["shards_by_device"] == {"cpu": 12}
    assert 0 < outcome.json["workers_busy"] <= 1
    assert dataset(tmp_path / "run") == clean


def test_a_job_array_in_reverse_order(clean: dict[str, bytes], tmp_path: Path) -> None:
    run = tmp_path / "run"
    for piece in (2, 1, 0):
        assert not (run / "README.md").exists()
        outcome = quickstart("run", run, *SHARDS, "--shards", f"{piece}/3", "--json")
        assert outcome.code == 0, outcome.err
        assert (outcome.json["faces"], outcome.json["made"]) == (16, 16)
    assert dataset(run) == clean
    assert (run / "README.md").is_file()
    assert facegen("status", run, "--json").json["complete"]


def test_a_range_of_shards_and_then_the_rest(clean: dict[str, bytes], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert quickstart("run", run, *SHARDS, "--shards", "5:7").code == 0
    assert [path.stem for path in sorted((run / "records" / "pack").iterdir())] == ["00005", "00006"]
    outcome = quickstart("run", run, *SHARDS, "--json")
    assert outcome.json["made"] == 40
    assert dataset(run) == clean


def test_a_piece_without_shards(tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", *SHARDS, "--shards", "0/40")
    assert outcome.code == 0
    assert only_line(outcome.err) == f"{tmp_path / 'run'}: no shard is in this piece; nothing to do"


def test_two_commands_at_the_same_time(clean: dict[str, bytes], tmp_path: Path) -> None:
    command = ("run", "quickstart", "--out", tmp_path / "run", "--faces", "48", *SMALL, *SHARDS, "--json")
    processes = [start(*command), start(*command)]
    for process in processes:
        outcome = finish(process)
        assert outcome.code == 0, outcome.err
    assert dataset(tmp_path / "run") == clean
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert not (tmp_path / "run" / "live").exists()
    assert facegen("verify", tmp_path / "run").code == 0


_produce = task.produce


def deadly(job: Job, shard: Shard) -> ShardRecord:
    """The real task, but that shard 7 crashes as native code does, amid a file, as long as there is a cause."""
    if shard.number == 7 and (job.folder.path.parent / "cause").exists():
        with replacing(job.folder.dataset / "image" / "c" / "7" / "0" / "0" / "0") as temporary:
            temporary.write_bytes(b"half of ")
            ctypes.string_at(0)
    return _produce(job, shard)


def test_a_shard_that_crashes_its_workers_is_quarantined(
    clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    (tmp_path / "cause").touch()
    monkeypatch.setattr(task, "produce", deadly)
    outcome = quickstart("run", run, *SHARDS, "--workers", "2", "--json")
    assert outcome.code == 1
    assert outcome.json["made"] == 44
    reason = "3 workers died over it, the last one killed by SIGSEGV"
    assert outcome.json["failed_shards"] == {"7": reason}
    assert outcome.json["worker_deaths"] == 3
    # What the dead were writing is gone with them.
    assert not list(run.rglob("*.partial"))
    entry = json.loads((run / "failed" / "shard-00007.json").read_text())
    assert entry == {"shard": 7, "quarantined": True, "reason": reason}
    status = facegen("status", run, "--json").json
    assert status["failed_shards"] == [7]
    assert not status["complete"]
    (tmp_path / "cause").unlink()
    again = quickstart("run", run, *SHARDS, "--workers", "2", "--json")
    assert again.code == 0
    assert again.json["made"] == 4
    assert not (run / "failed" / "shard-00007.json").exists()
    assert dataset(run) == clean


def tired(job: Job, shard: Shard) -> ShardRecord:
    """The real task, but that shard 3 fails twice, as a busy file system would."""
    tries = job.folder.path.parent / "tries"
    if shard.number == 3:
        with tries.open("a") as file:
            file.write("x")
        if len(tries.read_text()) < 3:
            raise TimeoutError("the file server does not answer")
    return _produce(job, shard)


def test_what_passes_is_tried_again(clean: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "produce", tired)
    outcome = quickstart("run", tmp_path / "run", *SHARDS, "--set", "executor.backoff=0.01", "--json")
    assert outcome.code == 0
    assert outcome.json["retries"] == 2
    assert not (tmp_path / "run" / "failed").exists()
    assert dataset(tmp_path / "run") == clean


def test_a_worker_with_other_files_makes_nothing(clean_run: Path, tmp_path: Path) -> None:
    described = RunFolder(clean_run).describe()
    job = Job(RunFolder(tmp_path / "run"), "0" * 64, described["configuration"], ("sample",))
    summary = carry_out(task.produce, job, split(16, 16), LocalConfig(workers=0), quiet=True)
    assert summary.failed_shards == {
        0: f"on {platform.node()} the model, the weights, the recordings, the background images or the environment "
        "maps of the run have other contents than where it was started"
    }
    assert not (tmp_path / "run" / "records").exists()


def test_records_tell_where_and_how_long(clean_run: Path) -> None:
    record = read_record(clean_run / "records" / "pack" / "00001.json")
    assert record is not None
    assert record.host["name"] == platform.node()
    assert record.host["device"] == "cpu"
    assert record.host["resident_mib"] > 50
    assert record.seconds.keys() == record.elapsed.keys() == {"sample", "render", "pack"}


def test_quick_looks_at_sizes_alone(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert quickstart("run", run).code == 0
    flipped, shortened = (run / "dataset.zarr" / "image" / "c" / str(shard) / "0/0/0" for shard in (0, 1))
    data = bytearray(flipped.read_bytes())
    data[len(data) // 3] ^= 4
    flipped.write_bytes(data)
    os.truncate(shortened, 100)
    assert quickstart("run", run, "--quick", "--json").json["made"] == 16
    assert quickstart("run", run, "--json").json["made"] == 16
    assert dataset(run) == dataset(clean_run)


def test_a_temporary_file_of_a_living_writer_stays(clean_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert quickstart("run", run, faces=16).code == 0
    mine = run / "dataset.zarr" / f".0.{this_process()}-5.partial"
    other_host = run / "dataset.zarr" / ".0.elsewhere-1-5.partial"
    old = run / "dataset.zarr" / ".0.elsewhere-2-5.partial"
    gone = run / "dataset.zarr" / f".0.{this_process().rpartition('-')[0]}-{2**22 + 5}-5.partial"
    for path in (mine, other_host, old, gone):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert [is_left_behind(path) for path in (mine, other_host, old, gone)] == [False, False, True, True]
    assert quickstart("run", run, faces=16).code == 0
    assert [path.exists() for path in (mine, other_host, old, gone)] == [True, True, False, False]


def test_write_atomically_names_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        assert not is_left_behind(source)
        seen.append(source.name)
        replace(source, target)

    monkeypatch.setattr("facegen.storage.os.replace", look)
    write_atomically(tmp_path / "a", b"1")
    assert len(seen) == 1
    assert not is_gone(this_process(), time.time())
    # A process that began after the writing is another one with its number.
    assert is_gone(this_process(), psutil.Process().create_time() - 120)


def test_a_killed_process_is_gone_though_nobody_has_taken_note() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    name = f"{this_process().rpartition('-')[0]}-{process.pid}"
    assert not is_gone(name, time.time())
    process.kill()
    wait_until(lambda: is_gone(name, time.time()))
    process.wait()
    assert is_gone(name, time.time())


class TestStatus:
    """What another terminal sees."""

    def test_while_it_runs_and_after(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        command = ("run", "quickstart", "--faces", "320", *SMALL, *SHARDS, "--out", run, "--workers", "1", "--quiet")
        process = start(*command)
        wait_until(lambda: list((run / "live").glob("*.json")) or process.poll() is not None)
        values = facegen("status", run, "--json").json
        assert not values["complete"]
        (working,) = values["working"]
        assert working["process"] == f"{this_process().rpartition('-')[0]}-{process.pid}"
        assert (working["executor"], working["workers"]) == ("local", 1)
        assert working["stages"] == list(task.STAGES)
        assert len(working["in_flight"]) <= 1
        text = facegen("status", run).out
        assert f"sample, denoise, compose, render, pack by {working['process']} (local, 1 worker): " in text
        # Another configuration does not replace a run that is being worked on.
        refused = quickstart("run", run, "--seed", "9", "--overwrite")
        assert only_line(refused.err).endswith(f"{working['process']} is working on that run now; not replaced")
        watched = facegen("status", run, "--watch", "--every", "0.2", "--json")
        assert finish(process).code == 0
        tellings = [json.loads(line) for line in watched.out.splitlines()]
        faces = [telling["stages"].get("pack", {}).get("faces", 0) for telling in tellings]
        assert faces == sorted(faces)
        assert tellings[-1]["complete"]
        assert facegen("status", run, "--json").json["working"] == []
        assert not (run / "live").exists()

    def test_of_a_killed_command(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        process = start("run", "quickstart", "--faces", "240", *SMALL, *SHARDS, "--out", run)
        wait_until(lambda: list((run / "live").glob("*.json")) or process.poll() is not None)
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        outcome = facegen("status", run)
        assert "nobody is working on it; the same run command continues" in outcome.out
        assert list((run / "live").glob("*.json"))
        assert quickstart("run", run, *SHARDS, faces=240).code == 0
        assert not (run / "live").exists()

    def test_watching_what_nobody_works_on_ends_at_once(self, clean_run: Path) -> None:
        before = states(clean_run)
        outcome = facegen("status", clean_run, "--watch")
        assert outcome.code == 0
        assert "complete" in outcome.out
        assert states(clean_run) == before

    def test_a_live_file_that_is_damaged_is_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "live").mkdir()
        (tmp_path / "live" / f"{this_process()}.json").write_text("{")
        (tmp_path / "live" / "x.json").write_text("[]")
        assert read_live(tmp_path) == []

    def test_a_live_file_lasts_as_long_as_its_command(self, tmp_path: Path) -> None:
        with LiveFile(tmp_path) as live:
            live.tell({"a": 1})
            live.tell({"a": 2})
            (told,) = read_live(tmp_path)
            assert told["a"] == 1
        assert not (tmp_path / "live").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--shards", "3"), "--shards 3: expected A:B (shards A to B - 1) or K/N (piece K of N, from 0)"),
        (("--shards", "3/3"), "--shards 3/3: expected K/N with K below N, pieces being counted from 0"),
        (("--shards", "7:9"), "--shards 7:9: no shard is in it; the run has 3, from 0"),
        (
            ("--executor", "slurn"),
            "--executor slurn: expected local, dask, slurm, or a YAML file; there is no such file",
        ),
        (
            ("--executor", "local", "--scheduler", "tcp://a:1"),
            "--scheduler is an address of Dask; found --executor local",
        ),
        (("--performance-report", "x.html"), "--performance-report is Dask's; add --executor dask or --scheduler"),
        (("--set", "executor.kind=cloud"), "quickstart: 'executor.kind': 'cloud' is none of 'local', 'dask', 'slurm'"),
        (("--set", "executor.recycle=3"), "quickstart: unknown key 'executor.recycle'; did you mean 'recycle_shards'?"),
        (("--set", "executor=3"), "quickstart: 'executor'"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    outcome = quickstart("run", tmp_path / "run", *arguments)
    assert outcome.code == 2
    assert only_line(outcome.err).startswith(f"facegen: {line}")
    assert not (tmp_path / "run").exists()


def test_a_file_with_an_executor(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("executor: {workers: 2, recycle_shards: 5}\n")
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", "--executor", str(file), "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["executor"]["kind"] == "local"
    assert (outcome.json["executor"]["workers"], outcome.json["executor"]["recycle_shards"]) == (2, 5)
    file.write_text("workers: 2\n")
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", "--executor", str(file), "--dry-run")
    assert only_line(outcome.err) == f"facegen: {file}: expected the block 'executor' alone, found workers"


def test_who_makes_the_shards_does_not_count(tmp_path: Path) -> None:
    arguments = [
        ("--executor", "dask", "--workers", "2"),
        ("--workers", "0"),
        ("--workers", "7", "--set", "executor.attempts=9"),
    ]
    found = {
        quickstart("run", tmp_path / "run", "--dry-run", "--json", *more).json["fingerprint"] for more in arguments
    }
    assert len(found) == 1
