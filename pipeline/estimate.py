"""What a run will take: arithmetic on what a few shards took. Nothing is measured here and nothing is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facegen.errors import ConfigurationError
from facegen.pipeline.records import ShardRecord

MOST_FILES = 1_000_000
"""More files than this in one run, and quotas, backups and listings become the trouble."""
LARGEST_SHARD = 65536
"""Faces that a shard may have."""
IDLE_SHARE = 0.1
"""Share of the workers' time without work above which there is something to say."""


@dataclass(frozen=True)
class Measurement:
    """What some shards took, the first ones of each worker left out of the times."""

    source: str
    """Where it comes from, for people."""
    shard_size: int
    """Faces of the measured shards."""
    workers: int
    """Processes that made them at the same time."""
    seconds_per_face: tuple[float, ...]
    """Wall-clock seconds of each measured shard over its faces."""
    cpu_seconds_per_face: dict[str, float]
    """By stage."""
    bytes_per_face: float
    """Of the packed dataset, metadata left out."""
    record_bytes: float
    """Of one shard's record."""
    files_per_shard: float
    """The record included."""
    folders_per_shard: float
    worker_mib: float
    """Most memory that one worker had."""
    command_seconds: float
    """Until a run's first worker is started: the program and its model are loaded, the run is prepared."""
    worker_seconds: float
    """What a worker takes beyond its shards: to start, to load the model, to load kernels."""
    handover_seconds: float
    """For which a worker waits between two shards."""
    scheduler_seconds: float
    """CPU time of the process that hands out the shards, per shard."""

    @property
    def mean_seconds_per_face(self) -> float:
        """Wall-clock seconds of one worker for a face."""
        return math.fsum(self.seconds_per_face) / len(self.seconds_per_face)


@dataclass(frozen=True)
class Target:
    """The run that is planned, and the machines it is planned for."""

    faces: int
    shard_size: int
    workers: int
    metadata_bytes: int
    """Of files that are written once, whatever the number of shards."""
    metadata_files: int
    metadata_folders: int
    raw_bytes_per_face: int
    """Of the stored arrays before they are compressed."""
    cores: int
    """Of a machine."""
    machine_mib: float
    """Memory of a machine."""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.faces // self.shard_size)

    @property
    def workers_per_machine(self) -> int:
        """Workers on the machine that has most: one a core."""
        return min(self.workers, self.cores)


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take."""

    wall_seconds: float
    """From the command to its end."""
    start_seconds: float
    """Of these, until the workers are at full speed."""
    faces_per_second: float
    """Over the whole run."""
    idle_share: float
    """Share of the workers' time in which they wait for the last shards, or for the scheduler."""
    scheduler_bound: bool
    """Whether the scheduler hands out shards more slowly than the workers make them."""
    cpu_hours: float
    shards: int
    files: int
    folders: int
    dataset_bytes: int
    """Shards and metadata."""
    record_bytes: int
    worker_mib: float
    total_mib: float
    """Of all workers."""

    @property
    def bytes(self) -> int:
        """All that the run writes and keeps."""
        return self.dataset_bytes + self.record_bytes


def makespan(full: int, full_seconds: float, last_seconds: float, workers: int) -> float:
    """Seconds until ``full`` equal shards and a last, shorter one are made, each by the first worker that is free.

    Args:
        full: number of full shards.
        full_seconds: of each.
        last_seconds: of the last shard; 0 when there is none, never more than ``full_seconds``.
        workers: at least 1.
    """
    waves, rest = divmod(full, workers)
    # The last shard starts when the full waves are over, on a worker that has no shard of the wave begun.
    return max((waves + (rest > 0)) * full_seconds, waves * full_seconds + last_seconds)


def estimate(measured: Measurement, target: Target) -> Estimate:
    """What the target run will take, if its workers are like those that were measured."""
    full, rest = divmod(target.faces, target.shard_size)
    per_face = measured.mean_seconds_per_face
    between = max(measured.handover_seconds, measured.scheduler_seconds)
    full_seconds = target.shard_size * per_face + between
    last_seconds = rest * per_face + between if rest else 0.0
    by_workers = makespan(full, full_seconds, last_seconds, target.workers)
    # One scheduler hands out all shards in turn; the last of them is still to be made then.
    by_scheduler = target.shards * measured.scheduler_seconds + min(full_seconds, target.faces * per_face)
    working = max(by_workers, by_scheduler)
    start = measured.command_seconds + measured.worker_seconds
    cpu = math.fsum(measured.cpu_seconds_per_face.values()) * target.faces
    cpu += measured.command_seconds + measured.worker_seconds * min(target.workers, target.shards)
    cpu += measured.scheduler_seconds * target.shards
    worker_mib = worker_memory(measured, target)
    return Estimate(
        wall_seconds=start + working,
        start_seconds=start,
        faces_per_second=target.faces / (start + working),
        idle_share=1 - target.faces * per_face / (target.workers * working) if working else 0.0,
        scheduler_bound=by_scheduler > by_workers,
        cpu_hours=cpu / 3600,
        shards=target.shards,
        files=round(target.shards * measured.files_per_shard) + target.metadata_files,
        folders=round(target.shards * measured.folders_per_shard) + target.metadata_folders,
        dataset_bytes=round(target.faces * measured.bytes_per_face) + target.metadata_bytes,
        record_bytes=round(target.shards * measured.record_bytes),
        worker_mib=worker_mib,
        total_mib=worker_mib * min(target.workers, target.shards),
    )


def worker_memory(measured: Measurement, target: Target) -> float:
    """Memory of a worker in MiB; larger shards than those measured hold more faces, raw and encoded."""
    more = max(0, min(target.shard_size, target.faces) - measured.shard_size)
    return measured.worker_mib + more * (target.raw_bytes_per_face + measured.bytes_per_face) / 2**20


def advice(measured: Measurement, target: Target, expected: Estimate) -> tuple[str, ...]:
    """What could be better about the planned run, in sentences; empty when nothing is due."""
    found = []
    if expected.files > MOST_FILES:
        found.append(_about_files(measured, target, expected))
    if expected.scheduler_bound:
        rate = 1 / measured.scheduler_seconds
        size = _round_up(math.ceil(target.workers * measured.scheduler_seconds / measured.mean_seconds_per_face))
        found.append(
            f"the scheduler hands out at most {rate:,.0f} shards a second, which is less than {target.workers:,} "
            f"workers make; shard_size={size} or more gives them enough to do"
        )
    if target.shards < target.workers:
        size = max(1, target.faces // target.workers)
        found.append(
            f"{target.workers - target.shards:,} of {target.workers:,} workers would have nothing to do, there are "
            f"only {target.shards:,} shards"
            + (f"; shard_size={size} has work for all" if size < target.shard_size else "")
        )
    elif expected.idle_share > IDLE_SHARE and not expected.scheduler_bound:
        size = max(1, target.faces // (20 * target.workers))
        found.append(
            f"workers would be idle for {expected.idle_share:.0%} of the time, mostly while the last shards are made; "
            + (f"shard_size={size} makes 20 rounds of them" if size < target.shard_size else "use fewer workers")
        )
    machine = expected.worker_mib * target.workers_per_machine
    if machine > target.machine_mib:
        fitting = int(target.machine_mib // expected.worker_mib)
        found.append(
            f"{target.workers_per_machine:,} workers on a machine need {machine / 1024:.1f} GiB of memory, this one "
            f"has {target.machine_mib / 1024:.1f}; "
            + (f"{fitting:,} fit" if fitting else "not one fits; use a smaller shard_size")
        )
    return tuple(found)


def assumptions(measured: Measurement, target: Target) -> tuple[str, ...]:
    """What the estimate takes for granted, in sentences."""
    found = []
    if target.workers > target.cores:
        machines = -(-target.workers // target.cores)
        found.append(
            f"this machine has {target.cores} core{'s' if target.cores > 1 else ''}: {target.workers:,} workers are "
            f"assumed to be on machines like this one with {target.workers:,} cores altogether ({machines:,} such "
            "machines), and to write to a disk that keeps up with all of them"
        )
    if measured.shard_size != min(target.shard_size, target.faces):
        found.append(
            f"measured on shards of {measured.shard_size:,} faces, planned are shards of {target.shard_size:,}: time "
            "and bytes are taken to grow with the faces, memory with what they hold"
        )
    if measured.workers < target.workers_per_machine:
        found.append(
            f"measured with {measured.workers} worker{'s' if measured.workers > 1 else ''} at a time, so what "
            f"{target.workers_per_machine} on one machine take from each other is not in it"
        )
    if measured.command_seconds == measured.worker_seconds == 0:
        found.append("records do not tell how long a run takes to start: that is not in the time")
    return tuple(found)


def measurement_of_records(records: Sequence[ShardRecord], record_bytes: float, source: str) -> Measurement:
    """What the records of a run tell. They do not tell how long the start and the handing out took: these count as 0.

    Args:
        records: of finished shards, at least one; a worker's first one is left out of the times where it has others.
        record_bytes: mean size of a record's file.
        source: of the records, for people.

    Raises:
        ConfigurationError: when no record tells how long its shard took.
    """
    steady = steady_records(records)
    faces = sum(record.faces for record in steady)
    times = [sum((record.elapsed or record.seconds).values()) / record.faces for record in steady]
    if not all(time > 0 for time in times):
        raise ConfigurationError(f"{source}: its records do not tell how long the shards took")
    stages = list(dict.fromkeys(stage for record in steady for stage in record.seconds))
    return Measurement(
        source=source,
        shard_size=max(record.faces for record in records),
        workers=len({_worker(record) for record in records}),
        seconds_per_face=tuple(times),
        cpu_seconds_per_face={
            stage: math.fsum(record.seconds.get(stage, 0.0) for record in steady) / faces for stage in stages
        },
        bytes_per_face=sum(file.bytes for record in records for file in record.files)
        / sum(record.faces for record in records),
        record_bytes=record_bytes,
        files_per_shard=1 + sum(len(record.files) for record in records) / len(records),
        folders_per_shard=folders_per_shard(records),
        worker_mib=max(float(record.host.get("resident_mib", 0.0)) for record in records),
        command_seconds=0.0,
        worker_seconds=0.0,
        handover_seconds=0.0,
        scheduler_seconds=0.0,
    )


def steady_records(records: Sequence[ShardRecord]) -> list[ShardRecord]:
    """Full shards without the first one of each worker, which loads kernels; all full ones where that leaves none."""
    largest = max(record.faces for record in records)
    first: dict[object, int] = {}
    for record in records:
        worker = _worker(record)
        first[worker] = min(first.get(worker, record.shard), record.shard)
    full = [record for record in records if record.faces == largest]
    return [record for record in full if record.shard != first[_worker(record)]] or full


def folders_per_shard(records: Sequence[ShardRecord]) -> float:
    """Folders that each shard makes for itself: those that hold files of one shard alone.

    A run of a single shard cannot tell them from those that all shards share; they count as its own.
    """
    owners: dict[str, set[int]] = {}
    for record in records:
        for file in record.files:
            steps = file.path.split("/")
            for depth in range(1, len(steps)):
                owners.setdefault("/".join(steps[:depth]), set()).add(record.shard)
    return sum(len(shards) == 1 for shards in owners.values()) / len(records)


def _worker(record: ShardRecord) -> tuple[object, object]:
    return record.host.get("name"), record.host.get("process")


def _about_files(measured: Measurement, target: Target, expected: Estimate) -> str:
    shards = int((MOST_FILES - target.metadata_files) // measured.files_per_shard)
    size = _round_up(-(-target.faces // shards)) if shards > 0 else LARGEST_SHARD + 1
    text = f"{expected.files:,} files are more than many file systems and quotas like; "
    if size > LARGEST_SHARD:
        return text + f"not even shards of {LARGEST_SHARD:,} faces bring them below {MOST_FILES:,}: make several runs"
    return text + f"shard_size={size} gives no more than {MOST_FILES:,}"


def _round_up(size: int) -> int:
    """The next power of two, up to 64, or multiple of 64."""
    return 1 << (size - 1).bit_length() if size <= 64 else -(-size // 64) * 64
