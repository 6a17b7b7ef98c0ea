"""Carrying out a run: find what is missing, have it made, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from facegen.pipeline.drive import Drive, GivenUp
from facegen.pipeline.executors.base import Executor, Finished
from facegen.pipeline.executors.choose import make_executor
from facegen.pipeline.executors.config import DaskConfig, LocalConfig, SlurmConfig
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.interruption import terminable
from facegen.pipeline.live import LiveFile
from facegen.pipeline.progress import FaceProgress, Pace, duration
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard


@dataclass(frozen=True)
class Job:
    """What workers need to know; picklable and small."""

    folder: RunFolder
    fingerprint: str
    configuration: dict[str, Any]
    """The resolved configuration as plain values."""
    stages: tuple[str, ...]
    """Stages to carry a shard through, in order; the last one's record tells that the shard is done."""


ShardTask = Callable[[Job, Shard], ShardRecord]
Watcher = Callable[[Executor], AbstractContextManager[None]]
"""Something that is around the work of an executor, such as a performance report."""


@dataclass
class Summary:
    """What a run did."""

    faces: int = 0
    """Faces of the run, or of the piece of it that was asked for."""
    made: int = 0
    """Faces made now; the others were there."""
    failed_faces: list[int] = field(default_factory=list)
    """All failed faces of the run, made now or before."""
    failed_shards: dict[int, str] = field(default_factory=dict)
    """Shards given up now, and why."""
    elapsed: float = 0.0
    """Wall-clock seconds."""
    seconds: dict[str, float] = field(default_factory=dict)
    """CPU seconds by stage, summed over the shards made now."""
    stage_elapsed: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage, likewise."""
    devices: dict[str, int] = field(default_factory=dict)
    """Shards by the device that made them."""
    workers: int = 0
    """Workers at the end; 0 for this process itself."""
    working: float = 0.0
    """Wall-clock seconds from the first submitted shard to the last."""
    retries: int = 0
    """Attempts that were made again."""
    deaths: int = 0
    """Workers that died."""

    @property
    def complete(self) -> bool:
        """Whether every face was made."""
        return not self.failed_faces and not self.failed_shards

    @property
    def busy(self) -> float | None:
        """Share of the workers' time that went into shards; ``None`` when nothing was made."""
        capacity = self.working * max(self.workers, 1)
        return sum(self.stage_elapsed.values()) / capacity if capacity and self.made else None

    def add(self, record: ShardRecord) -> None:
        """Count a shard that was made."""
        self.made += record.faces
        for total, items in ((self.seconds, record.seconds), (self.stage_elapsed, record.elapsed)):
            for stage, seconds in items.items():
                total[stage] = total.get(stage, 0.0) + seconds
        device = str(record.host.get("device", "unknown"))
        self.devices[device] = self.devices.get(device, 0) + 1


def carry_out(
    task: ShardTask,
    job: Job,
    shards: Sequence[Shard],
    executor: LocalConfig | DaskConfig | SlurmConfig,
    *,
    read: bool = True,
    quiet: bool = False,
    watch: Watcher | None = None,
) -> Summary:
    """Make the shards that are not done yet.

    A shard that raises again and again, or kills its workers, is given up, noted in ``failed/``, and the others go on;
    when the disk refuses, the run stops, for the others would meet the same fate.

    Args:
        task: makes one shard, in any process.
        job: handed to ``task``.
        shards: of the run, or of a piece of it.
        executor: who makes them.
        read: compare the digests of what is there with its records; otherwise sizes alone.
        quiet: no progress.
        watch: around the work.

    Raises:
        StorageError: when the disk is full or read-only. What was finished stays.
        WorkerError: when there is nobody left who could make a shard.
        KeyboardInterrupt: on Ctrl-C; on SIGTERM its subclass :class:`~facegen.pipeline.interruption.Terminated`.
    """
    final = job.stages[-1]
    started = time.monotonic()
    # Workers may have another current folder.
    job = replace(job, folder=RunFolder(job.folder.path.absolute()))
    with terminable():
        job.folder.sweep()
        todo = job.folder.unfinished(final, shards, job.fingerprint, read=read, threads=usable_cores(), quiet=quiet)
        summary = Summary(faces=sum(shard.faces for shard in shards))
        if todo:
            pace = Pace(summary.faces, summary.faces - sum(shard.faces for shard in todo))
            label = "run" if len(job.stages) > 1 else final
            with (
                make_executor(_no_more_than(executor, len(todo)), partial(task, job), job.folder.path) as makers,
                FaceProgress(pace, label, quiet=quiet) as progress,
                LiveFile(job.folder.path) as live,
                watch(makers) if watch else nullcontext(),
            ):
                _make(makers, Drive(makers, todo, executor), job, summary, pace, progress, live)
            if summary.deaths:
                # What they were writing would lie there until the next command.
                job.folder.sweep()
    # From the records, and listed again, for a run may have been killed between a record and its list.
    records = [record for record in job.folder.records(final) if record.failed]
    for record in records:
        job.folder.write_failed_faces(record)
    mine = {shard.number for shard in shards}
    summary.failed_faces = sorted(failed.face for record in records if record.shard in mine for failed in record.failed)
    summary.elapsed = time.monotonic() - started
    return summary


def _no_more_than(
    executor: LocalConfig | DaskConfig | SlurmConfig, shards: int
) -> LocalConfig | DaskConfig | SlurmConfig:
    """No more workers than shards; the default number stays where it is not known here."""
    known = usable_cores() if executor.workers is None and isinstance(executor, LocalConfig) else executor.workers
    return executor if known is None else executor.model_copy(update={"workers": min(known, shards)})


def _make(
    makers: Executor, drive: Drive, job: Job, summary: Summary, pace: Pace, progress: FaceProgress, live: LiveFile
) -> None:
    started = time.monotonic()
    about = makers.describe()
    if about.get("dashboard"):
        progress.say(f"Dask dashboard: {about['dashboard']}")
    for settled in drive:
        if isinstance(settled, Finished):
            job.folder.clear_failed_shard(settled.shard.number)
            job.folder.write_failed_faces(settled.record)
            summary.add(settled.record)
            pace.advance(settled.shard.faces, settled.record.seconds)
        elif isinstance(settled, GivenUp):
            summary.failed_shards[settled.shard.number] = settled.reason
            job.folder.write_failed_shard(settled.shard, settled.reason, quarantined=settled.quarantined)
        about = makers.describe()
        progress.show(_working(about, drive))
        live.tell(
            about
            | {"stages": list(job.stages), "started": time.time() - (time.monotonic() - started)}
            | pace.as_dict()
            | {"in_flight": _in_flight(drive), "retries": drive.retries, "deaths": drive.deaths}
        )
    summary.working = time.monotonic() - started
    summary.workers = int(about["workers"])
    summary.retries, summary.deaths = drive.retries, drive.deaths


def _in_flight(drive: Drive) -> dict[str, float]:
    """Seconds that each shard has been in flight, by number."""
    now = time.monotonic()
    return {str(number): round(now - since, 1) for number, (_, since) in drive.in_flight.items()}


def _working(about: dict[str, Any], drive: Drive) -> str:
    """Who is at work on what."""
    workers = int(about["workers"])
    who = {0: "this process"}.get(workers, f"{workers} worker{'s' if workers > 1 else ''}")
    if workers == 0 and about["executor"] != "local":
        who = "no worker yet"
    if not drive.in_flight:
        return who
    number, (_, since) = next(iter(drive.in_flight.items()))
    flying = len(drive.in_flight)
    shards = f"shard {number}" if flying == 1 else f"{flying} shards in flight, shard {number}"
    return f"{who}, {shards} for {duration(time.monotonic() - since)}"
