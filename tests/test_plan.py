"""`facegen plan`: the arithmetic on invented measurements, then real ones on a small configuration."""

from __future__ import annotations

import heapq
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.errors import ConfigurationError
from facegen.pipeline.estimate import (
    MOST_FILES,
    Measurement,
    Target,
    advice,
    assumptions,
    estimate,
    makespan,
    measurement_of_records,
)
from facegen.pipeline.executors.config import Patience
from facegen.pipeline.records import FileRecord, ShardRecord
from facegen.pipeline.shards import split
from facegen.pipeline.simulation import Hazards, simulate
from facegen.stages.calibration import ROUNDS, calibration
from facegen.tests.command import SMALL, Outcome, facegen, only_line, quickstart

FEW = SMALL[: SMALL.index("--workers")]
"""The small quickstart's overrides without its workers."""

MEASURED = Measurement(
    source="invented",
    shard_size=64,
    workers=2,
    seconds_per_face=(0.01, 0.03),
    cpu_seconds_per_face={"render": 0.012, "pack": 0.004},
    bytes_per_face=1000.0,
    record_bytes=300.0,
    files_per_shard=20.0,
    folders_per_shard=30.0,
    worker_mib=500.0,
    command_seconds=3.0,
    worker_seconds=4.0,
    handover_seconds=0.0,
    scheduler_seconds=0.0,
)
TARGET = Target(
    faces=64_000,
    shard_size=64,
    workers=2,
    metadata_bytes=5000,
    metadata_files=40,
    metadata_folders=50,
    raw_bytes_per_face=2**20,
    cores=2,
    machine_mib=8192,
)
measurements = st.builds(
    replace,
    st.just(MEASURED),
    seconds_per_face=st.lists(st.floats(1e-4, 1), min_size=1, max_size=5).map(tuple),
    command_seconds=st.floats(0, 30),
    worker_seconds=st.floats(0, 30),
    handover_seconds=st.floats(0, 0.1),
    scheduler_seconds=st.floats(0, 0.1),
)
targets = st.builds(
    replace,
    st.just(TARGET),
    faces=st.integers(1, 10**8),
    shard_size=st.integers(1, 4096),
    workers=st.integers(1, 2000),
)


def plan(*arguments: str | Path) -> Outcome:
    return facegen("plan", "quickstart", *FEW, *arguments)


@given(st.integers(0, 200), st.integers(1, 50), st.integers(0, 50), st.integers(1, 30))
def test_makespan_is_list_scheduling(full: int, full_seconds: int, last_seconds: int, workers: int) -> None:
    last = min(last_seconds, full_seconds)
    free = [0] * workers
    for duration in [full_seconds] * full + [last]:
        heapq.heapreplace(free, free[0] + duration)
    assert makespan(full, full_seconds, last, workers) == max(free)


@given(st.integers(1, 3000), st.integers(1, 100), st.integers(1, 20))
@settings(deadline=None)
def test_the_estimate_is_what_a_simulation_without_failures_gives(faces: int, shard_size: int, workers: int) -> None:
    target = replace(TARGET, faces=faces, shard_size=shard_size, workers=workers)
    expected = estimate(MEASURED, target)
    shards = split(faces, shard_size)
    durations = np.array([shard.faces * 0.02 for shard in shards])
    simulated = simulate(durations, shards, workers, Hazards(), Patience(stall_seconds=0))
    assert expected.wall_seconds - expected.start_seconds == pytest.approx(simulated.makespan)
    assert expected.shards == simulated.shards
    assert 1 - expected.idle_share == pytest.approx(simulated.efficiency)


def test_an_estimate_in_round_numbers() -> None:
    found = estimate(MEASURED, TARGET)
    assert (found.shards, found.start_seconds) == (1000, 7.0)
    assert found.wall_seconds == pytest.approx(7 + 64_000 * 0.02 / 2)
    assert found.cpu_hours * 3600 == pytest.approx(64_000 * 0.016 + 3 + 2 * 4)
    assert (found.files, found.folders) == (1000 * 20 + 40, 1000 * 30 + 50)
    assert (found.dataset_bytes, found.record_bytes) == (64_000_000 + 5000, 300_000)
    assert found.bytes == found.dataset_bytes + found.record_bytes
    assert (found.worker_mib, found.total_mib) == (500, 1000)
    assert found.idle_share == pytest.approx(0)
    assert advice(MEASURED, TARGET, found) == ()
    assert assumptions(MEASURED, TARGET) == ()


@given(measurements, targets, st.integers(1, 2000))
def test_more_workers_never_take_longer(measured: Measurement, target: Target, more: int) -> None:
    with_more = replace(target, workers=target.workers + more)
    slower, faster = estimate(measured, target), estimate(measured, with_more)
    assert faster.wall_seconds <= slower.wall_seconds * (1 + 1e-12)
    assert faster.bytes == slower.bytes
    # No number of workers beats the work shared out evenly.
    work = target.faces * measured.mean_seconds_per_face
    assert faster.wall_seconds >= faster.start_seconds + work / with_more.workers * (1 - 1e-9)
    assert -1e-9 <= faster.idle_share < 1


@given(measurements, targets, st.integers(2, 50))
def test_storage_grows_with_the_faces(measured: Measurement, target: Target, times: int) -> None:
    whole = replace(target, faces=target.shard_size)
    one, many = estimate(measured, whole), estimate(measured, replace(whole, faces=whole.faces * times))
    assert many.bytes - target.metadata_bytes == pytest.approx(times * (one.bytes - target.metadata_bytes))
    assert many.files - target.metadata_files == times * (one.files - target.metadata_files)
    assert many.wall_seconds >= one.wall_seconds


def test_a_scheduler_that_is_too_slow_is_the_limit() -> None:
    measured = replace(MEASURED, scheduler_seconds=0.01)
    target = replace(TARGET, workers=1000)
    found = estimate(measured, target)
    assert found.scheduler_bound
    assert found.wall_seconds == pytest.approx(7 + 1000 * 0.01 + 64 * 0.02 + 0.01)
    assert any("100 shards a second" in sentence for sentence in advice(measured, target, found))


def test_larger_shards_take_memory_for_what_they_hold() -> None:
    found = estimate(MEASURED, replace(TARGET, shard_size=64 + 2**10))
    assert found.worker_mib == pytest.approx(500 + 2**10 * (1 + 1000 / 2**20))


@given(targets, st.integers(1, 40))
def test_advice_on_files_is_good_advice(target: Target, files: int) -> None:
    measured = replace(MEASURED, files_per_shard=float(files))
    found = estimate(measured, target)
    said = [sentence for sentence in advice(measured, target, found) if "quotas" in sentence]
    assert bool(said) == (found.files > MOST_FILES)
    if said and "shard_size=" in said[0]:
        size = int(said[0].split("shard_size=")[1].split(" ")[0])
        assert estimate(measured, replace(target, shard_size=size)).files <= MOST_FILES
        assert size > target.shard_size


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 2000}, "1,000 of 2,000 workers would have nothing to do"),
        ({"faces": 64 * 5, "workers": 4, "cores": 4}, "workers would be idle for 38%"),
        ({"machine_mib": 600}, "2 workers on a machine need 1.0 GiB"),
    ],
)
def test_advice_where_it_is_due(changes: dict[str, int], words: str) -> None:
    target = replace(TARGET, **changes)
    assert any(words in sentence for sentence in advice(MEASURED, target, estimate(MEASURED, target)))


def test_what_is_assumed_is_said() -> None:
    many = assumptions(MEASURED, replace(TARGET, workers=64))
    assert "64 workers are assumed to be on machines like this one" in many[0]
    assert "32 such machines" in many[0]
    assert "shards of 64 faces, planned are shards of 256" in assumptions(MEASURED, replace(TARGET, shard_size=256))[0]
    silent = replace(MEASURED, command_seconds=0.0, worker_seconds=0.0)
    assert "that is not in the time" in assumptions(silent, TARGET)[0]
    assert "measured with 2 workers at a time" in assumptions(MEASURED, replace(TARGET, workers=4, cores=8))[0]


@given(st.integers(1, 10**6), st.integers(1, 65536), st.integers(1, 1000), st.integers(1, 256))
def test_a_calibration_is_as_large_as_it_must_be(faces: int, shard_size: int, workers: int, cores: int) -> None:
    made = calibration(faces, shard_size, workers, cores)
    assert made.workers == min(workers, cores)
    assert 1 <= made.shard_size <= shard_size
    rounds, rest = divmod(made.faces, made.workers * made.shard_size)
    assert rest == 0
    assert rounds >= 1 + ROUNDS
    # About as many as asked for, but for the first shards, unless not even one face a shard is so few.
    measured = made.faces - made.workers * made.shard_size
    assert measured <= max(2 * faces, ROUNDS * made.workers)
    assert made.shard_size == shard_size or made.shard_size == max(1, faces // (ROUNDS * made.workers))


def records(count: int, processes: int, faces: int = 8) -> list[ShardRecord]:
    """Of shards that took 1 s, and 100 s where they were the first of their process."""
    return [
        ShardRecord(
            shard=number,
            first_face=number * faces,
            faces=faces,
            fingerprint="",
            files=(FileRecord(f"d/image/c/{number}/0/0", 80, ""), FileRecord(f"d/pose/c/{number}/0", 16, "")),
            seconds={"render": 0.5, "pack": 0.25},
            elapsed={"render": 99.5 if number < processes else 0.5, "pack": 0.5},
            host={"name": "here", "process": number % processes, "resident_mib": 100.0 + number},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("processes", [1, 3])
def test_the_first_shard_of_a_worker_is_not_its_pace(processes: int) -> None:
    found = measurement_of_records(records(12, processes), 300.0, "there")
    assert found.seconds_per_face == (1 / 8,) * (12 - processes)
    assert found.cpu_seconds_per_face == {"render": 0.5 / 8, "pack": 0.25 / 8}
    assert (found.workers, found.shard_size, found.worker_mib) == (processes, 8, 111.0)
    assert (found.bytes_per_face, found.files_per_shard, found.folders_per_shard) == (12.0, 3.0, 3.0)


def test_a_smaller_last_shard_counts_for_sizes_alone() -> None:
    last = replace(records(1, 1, faces=2)[0], shard=12, first_face=96, elapsed={"render": 77.0})
    found = measurement_of_records([*records(12, 1), last], 300.0, "there")
    assert found.seconds_per_face == (1 / 8,) * 11
    assert found.bytes_per_face == 13 * 96 / (12 * 8 + 2)


def test_where_there_are_only_first_shards_they_are_taken() -> None:
    assert measurement_of_records(records(2, 2), 300.0, "there").seconds_per_face == (100 / 8,) * 2


def test_records_without_times_are_refused() -> None:
    silent = [replace(record, seconds={}, elapsed={}) for record in records(4, 1)]
    with pytest.raises(ConfigurationError, match="do not tell how long"):
        measurement_of_records(silent, 300.0, "there")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plan") / "run"
    assert quickstart("run", out, faces=56).code == 0
    return out


def test_a_run_that_was_made_is_planned_to_the_byte(finished: Path) -> None:
    result = plan("--faces", "56", "--from", finished, "--json")
    assert result.code == 0
    assert result.err == ""
    found = list(finished.rglob("*"))
    files = [file for file in found if file.is_file()]
    assert result.json["bytes"]["total"] == sum(file.stat().st_size for file in files)
    assert result.json["files"] == len(files)
    assert result.json["folders"] == len(found) - len(files) + 1
    assert (result.json["shards"], result.json["shard_size"]) == (4, 16)


def test_a_plan_from_a_run_is_simulated(finished: Path) -> None:
    options = ("--faces", "40000", "--workers", "8", "--from", finished, "--mtbf", "0.001", "--seed", "3")
    result = plan(*options, "--json")
    assert result.code == 0
    simulation = result.json["simulation"]
    # A shard may meet three deaths by chance, on a slow machine.
    assert simulation["finished"] + simulation["quarantined"] == result.json["shards"] == 2500
    assert simulation["deaths"] > 0
    assert simulation["lost"] > 0
    assert simulation["makespan"] > simulation["ideal_makespan"] > 0
    text = plan(*options)
    assert text.code == 0
    for words in ("40,000 faces on 8 workers", "lost work", "tail", "CPU a shard", "8 workers are assumed"):
        assert words in text.out
    assert text.err == "simulating: 2,500 shards on 8 workers\n"


def test_a_plan_measures_real_workers() -> None:
    result = plan("--faces", "100000", "--workers", "1", "--calibration", "32", "--executor-cost", "2", "--json")
    assert result.code == 0, result.err
    values = result.json
    assert set(values) == {
        *("configuration", "faces", "workers", "shard_size", "shards", "wall_seconds", "start_seconds"),
        *("faces_per_second", "idle_share", "cpu_hours", "bytes", "files", "folders", "memory_mib", "cores"),
        *("measured", "advice", "assumptions"),
    }
    measured = values["measured"]
    assert (values["shards"], measured["shard_size"], measured["workers"]) == (6250, 16, 1)
    assert len(measured["seconds_per_face"]) == 2
    assert measured["scheduler_seconds"] == 0.002
    for key in ("command_seconds", "worker_seconds", "handover_seconds", "bytes_per_face", "worker_mib"):
        assert measured[key] > 0
    pace = measured["mean_seconds_per_face"]
    between = max(measured["handover_seconds"], 0.002)
    assert values["wall_seconds"] - values["start_seconds"] == pytest.approx(100_000 * pace + 6250 * between, rel=1e-5)
    assert math.isclose(values["faces_per_second"], 100_000 / values["wall_seconds"], rel_tol=1e-3)
    assert values["bytes"]["total"] == values["bytes"]["dataset"] + values["bytes"]["records"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), "--workers: expected at least 1, found 0"),
        (("--calibration", "0"), "--calibration: expected at least 1, found 0"),
        (("--faces", "0"), "'faces'"),
        (("--mtbf", "0"), "--mtbf: expected more than 0 hours"),
        (("--mtbf", "nan"), "--mtbf: expected more than 0 hours"),
        (("--executor-cost", "-1"), "--executor-cost: expected 0 or more"),
        (("--error-rate", "1"), "--error-rate: expected a share"),
        (("--from", "nowhere"), "nowhere: not a run folder (does not exist)"),
        (("--from", "nowhere", "--calibration", "5"), "found --calibration beside it"),
    ],
)
def test_wrong_use_gets_one_line(arguments: tuple[str, ...], words: str) -> None:
    result = plan(*arguments)
    assert result.code == 2
    assert words in only_line(result.err)
    assert result.out == ""


def test_a_run_without_records_teaches_nothing(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("records", "dataset.zarr"))
    result = plan("--from", tmp_path / "run")
    assert result.code == 2
    assert "no shard of this run is finished" in only_line(result.err)


def test_a_run_of_other_faces_teaches_nothing(finished: Path) -> None:
    result = plan("--from", finished, "--set", "render.size=32", "--set", "model.bust=true")
    assert result.code == 2
    assert "differs in model, render" in only_line(result.err)
    assert plan("--from", finished, "--set", "seed=7", "--set", "shard_size=8", "--set", "name=x").code == 0


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps({"faces": "many"}))
    result = plan("--from", tmp_path)
    assert result.code == 2
    assert "not the description of a run" in only_line(result.err)
