"""Carrying out a run: find what is missing, have it made, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from facegen.errors import StorageError
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.local import describe, execute
from facegen.pipeline.progress import FaceProgress
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


@dataclass
class Summary:
    """What a run did."""

    faces: int = 0
    """Faces of the run."""
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

    @property
    def complete(self) -> bool:
        """Whether every face was made."""
        return not self.failed_faces and not self.failed_shards


def carry_out(task: ShardTask, job: Job, shards: list[Shard], workers: int, *, quiet: bool = False) -> Summary:
    """Make the shards that are not done yet.

    A shard that raises is given up, noted in ``failed/``, and the others go on; when the disk refuses, the run stops,
    for the others would meet the same fate.

    Raises:
        StorageError: when the disk is full or read-only. What was finished stays.
        WorkerError: when a worker process died.
    """
    final = job.stages[-1]
    started = time.monotonic()
    job.folder.sweep()
    todo = job.folder.unfinished(final, shards, job.fingerprint)
    summary = Summary(faces=sum(shard.faces for shard in shards))
    label = "run" if len(job.stages) > 1 else final
    outcomes = execute(partial(task, job), todo, min(workers, max(len(todo), 1)))
    there = summary.faces - sum(shard.faces for shard in todo)
    with FaceProgress(summary.faces, there, label, quiet=quiet) as progress:
        try:
            for shard, outcome in outcomes:
                if isinstance(outcome, StorageError):
                    raise outcome
                if isinstance(outcome, Exception):
                    summary.failed_shards[shard.number] = describe(outcome)
                    job.folder.write_failed_shard(shard, describe(outcome))
                    continue
                job.folder.clear_failed_shard(shard.number)
                job.folder.write_failed_faces(outcome)
                summary.made += shard.faces
                _add(summary.seconds, outcome.seconds.items())
                progress.advance(shard.faces)
        finally:
            outcomes.close()
    # From the records, and listed again, for a run may have been killed between a record and its list.
    records = [record for record in job.folder.records(final) if record.failed]
    for record in records:
        job.folder.write_failed_faces(record)
    summary.failed_faces = sorted(failed.face for record in records for failed in record.failed)
    summary.elapsed = time.monotonic() - started
    return summary


def _add(total: dict[str, float], items: Iterable[tuple[str, float]]) -> None:
    for name, seconds in items:
        total[name] = total.get(name, 0.0) + seconds
