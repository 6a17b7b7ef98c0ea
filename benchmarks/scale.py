"""What many workers cost and bring: scheduling per shard, two workers against one, the client's memory."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from facegen.pipeline.configuration import read_configuration
from facegen.pipeline.drive import Drive
from facegen.pipeline.executors.base import Executor, Finished, Task
from facegen.pipeline.executors.choose import make_executor
from facegen.pipeline.executors.config import DaskConfig, LocalConfig
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard, split
from facegen.stages.plan import plan
from facegen.stages.task import STAGES, produce, resident_mib

SHARD_FACES = 256
"""Faces of the shard that the cost of scheduling is compared with."""
NOTHING_SHARDS = 2000
"""Shards without work, for that cost and for the client's memory."""

Kind = Literal["local", "dask"]


def run(config: str, *, shards: int, repeats: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Measure on this machine.

    Args:
        config: name or path of a configuration, carried out in shards of 64 faces.
        shards: measured in each run, beside one a worker that loads what it needs.
        repeats: runs with one worker and with two, in turn.
        overrides: as for ``--set``.
    """
    scheduling = {kind: _scheduling(kind) for kind in ("local", "dask")}
    one, two = [], []
    for _ in range(repeats):
        one.append(_throughput(config, 1, shards, overrides))
        two.append(_throughput(config, 2, shards, overrides))
    rates = [statistics.median(measured["faces_per_second"] for measured in runs) for runs in (one, two)]
    processor = [statistics.median(measured["cpu_ms_per_face"] for measured in runs) for runs in (one, two)]
    shard_seconds = SHARD_FACES / rates[0]
    for values in scheduling.values():
        values["share_of_a_shard"] = round(values["ms_per_shard"] / 1000 / shard_seconds, 5)
    return {
        "cores": usable_cores(),
        "shard_faces": SHARD_FACES,
        "shard_seconds": round(shard_seconds, 3),
        "scheduling": scheduling,
        "faces_per_second": {"1 worker": round(rates[0], 1), "2 workers": round(rates[1], 1)},
        "speed_up": round(rates[1] / rates[0], 3),
        "speed_up_of_each_pair": [
            round(b["faces_per_second"] / a["faces_per_second"], 3) for a, b in zip(one, two, strict=True)
        ],
        "cpu_ms_per_face": {"1 worker": round(processor[0], 2), "2 workers": round(processor[1], 2)},
    }


def nothing(shard: Shard) -> ShardRecord:
    """A shard without work, with a record as long as a real one's."""
    return ShardRecord(shard.number, shard.first_face, shard.faces, "0" * 64, (), seconds={"render": 0.0})


def _scheduling(kind: Kind) -> dict[str, Any]:
    """Milliseconds a shard without work takes with one worker, those of this process's CPU, and how its memory grows.

    With Dask, this process is client and scheduler; the CPU time is what limits very many workers.
    """
    marks = []
    with (
        tempfile.TemporaryDirectory(prefix="facegen-benchmark-") as folder,
        _executor(kind, 1, nothing, folder) as made,
    ):
        # What Dask's workers look for before they begin.
        (Path(folder) / "run.yaml").touch()
        started = time.perf_counter()
        for done, _ in enumerate(_finished(made, split(NOTHING_SHARDS, 1)), 1):
            if done % (NOTHING_SHARDS // 4) == 0:
                marks.append((time.perf_counter() - started, time.process_time(), resident_mib()))
    # The first quarter has the start of the worker in it.
    elapsed, processor = (1000 * (marks[-1][clock] - marks[0][clock]) / (NOTHING_SHARDS * 3 / 4) for clock in (0, 1))
    return {
        "ms_per_shard": round(elapsed, 3),
        "cpu_ms_per_shard": round(processor, 3),
        "client_mib": [round(mark[2], 1) for mark in marks],
    }


def _throughput(config: str, workers: int, shards: int, overrides: Sequence[str]) -> dict[str, float]:
    """Faces a second while all workers are at work, and CPU time a face."""
    values = read_configuration(config, overrides) | {"shard_size": 64, "faces": 64 * (shards * workers + workers)}
    planned = plan(values, source=config)
    with tempfile.TemporaryDirectory(prefix="facegen-benchmark-") as folder:
        place = RunFolder(Path(folder) / "run")
        planned.prepare(place, overwrite=False, packs=True)
        task = partial(produce, planned.job(place, STAGES))
        with _executor("local", workers, task, folder) as made:
            ends: list[float] = []
            records: list[ShardRecord] = []
            for record in _finished(made, split(planned.config.faces, planned.config.shard_size)):
                ends.append(time.perf_counter())
                records.append(record)
    steady = records[workers:]
    return {
        "faces_per_second": sum(record.faces for record in steady) / (ends[-1] - ends[workers - 1]),
        "cpu_ms_per_face": 1000 * sum(sum(record.seconds.values()) for record in steady) / (64 * len(steady)),
    }


def _executor(kind: Kind, workers: int, task: Task, folder: str) -> Executor:
    config = LocalConfig(workers=workers) if kind == "local" else DaskConfig(workers=workers)
    return make_executor(config, task, Path(folder))


def _finished(executor: Executor, shards: Sequence[Shard]) -> Any:
    """Records as they come; whatever else comes is an error."""
    for settled in Drive(executor, shards, LocalConfig()):
        if isinstance(settled, Finished):
            yield settled.record
        elif settled is not None:
            raise RuntimeError(settled.reason)


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    rates, processor = result["faces_per_second"], result["cpu_ms_per_face"]
    lines = [
        f"{kind}: {values['ms_per_shard']:.2f} ms to schedule a shard ({values['cpu_ms_per_shard']:.2f} ms of CPU in "
        f"this process), {values['share_of_a_shard']:.2%} of one of "
        f"{result['shard_faces']} faces ({result['shard_seconds']:.1f} s); client memory after 500, 1,000, 1,500 and "
        f"2,000 shards: {', '.join(f'{mib:.0f}' for mib in values['client_mib'])} MiB"
        for kind, values in result["scheduling"].items()
    ]
    lines.append(
        f"two workers make {rates['2 workers']:.1f} faces/s, one {rates['1 worker']:.1f}: {result['speed_up']:.2f} "
        f"times as many; CPU time a face {processor['1 worker']:.1f} ms with one, {processor['2 workers']:.1f} with two"
    )
    return "\n".join(lines)
