"""A few shards made for the sake of their times and sizes, by as many workers as this machine has cores for."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from facegen import report
from facegen.errors import ConfigurationError, RunFolderError, WorkerError
from facegen.pipeline.drive import Drive, GivenUp
from facegen.pipeline.estimate import Measurement, Target, measurement_of_records
from facegen.pipeline.executors.base import Finished
from facegen.pipeline.executors.config import LocalConfig
from facegen.pipeline.executors.local import LocalExecutor, usable_cores
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.run import Job
from facegen.pipeline.shards import Shard, split
from facegen.stages.plan import Plan, plan
from facegen.stages.task import STAGES, produce, resident_mib

FACES = 512
"""Faces that a calibration measures unless said otherwise."""
ROUNDS = 2
"""Shards that each worker makes at least, after its first one."""


@dataclass(frozen=True)
class Calibration:
    """What is to be made for a measurement."""

    workers: int
    """Processes at the same time: as many as are planned, as far as this machine has cores."""
    shard_size: int
    """The configuration's own, or less where that would take too long."""
    faces: int
    """Altogether, each worker's first shard included."""


def calibration(faces: int, shard_size: int, workers: int, cores: int) -> Calibration:
    """What to make so that about ``faces`` faces are measured.

    Args:
        faces: at least 1; each worker makes :data:`ROUNDS` shards at least, whatever this says.
        shard_size: of the configuration.
        workers: of the planned run.
        cores: of this machine.
    """
    together = min(workers, cores)
    size = min(shard_size, max(1, faces // (ROUNDS * together)))
    rounds = max(ROUNDS, round(faces / (together * size)))
    return Calibration(together, size, together * size * (1 + rounds))


def calibrate(values: dict[str, Any], source: str, made: Calibration) -> Measurement:
    """Make the shards of a calibration in a temporary folder, and tell what they took.

    The folder is on the disk of temporary files (``TMPDIR``), which should be as fast as the one that is planned for.

    Args:
        values: of the configuration.
        source: of the values, for messages.
        made: what to make.

    Raises:
        ConfigurationError, ModelError, CaptureError, WeightsError, RenderError: as :func:`facegen.stages.plan.plan`.
        WorkerError: when a shard cannot be made.
        StorageError: when the disk refuses.
    """
    with tempfile.TemporaryDirectory(prefix="facegen-plan-") as path:
        folder = RunFolder(Path(path) / "run")
        began = time.monotonic()
        planned = plan(values | {"faces": made.faces, "shard_size": made.shard_size}, source=source)
        planned.prepare(folder, overwrite=False, packs=True)
        prepared = time.monotonic()
        shards = split(made.faces, made.shard_size)
        records, scheduler_seconds = _make(planned.job(folder, STAGES), shards, made.workers)
        record_bytes = statistics.mean(folder.record_path(STAGES[-1], s.number).stat().st_size for s in shards)
    measured = measurement_of_records(records, record_bytes, f"{made.faces:,} faces made now on this machine")
    by_worker = [
        sorted((record.host["started"], record.host["ended"], record.faces) for record in mine)
        for mine in _by_process(records).values()
    ]
    later = [span for spans in by_worker for span in spans[1:]]
    per_face = [(ended - started) / faces for started, ended, faces in later]
    mean = statistics.mean(per_face)
    return replace(
        measured,
        seconds_per_face=tuple(per_face),
        # A command loads the same program as a worker does before its first shard, and then the model.
        command_seconds=min(spans[0][0] for spans in by_worker) - began,
        worker_seconds=statistics.mean(spans[0][1] - prepared - mean * spans[0][2] for spans in by_worker),
        handover_seconds=statistics.mean(
            after[0] - before[1] for spans in by_worker for before, after in itertools.pairwise(spans)
        ),
        scheduler_seconds=scheduler_seconds,
        worker_mib=max(record.host["peak_mib"] for record in records),
    )


def target(planned: Plan, workers: int) -> Target:
    """The planned run; its metadata is written into a temporary folder for its size.

    Raises:
        StorageError: when the disk refuses.
    """
    spec = planned.spec
    with tempfile.TemporaryDirectory(prefix="facegen-plan-") as path:
        folder = RunFolder(Path(path) / "run")
        planned.prepare(folder, overwrite=False, packs=True)
        report.write_card(folder, planned)
        found = list(folder.path.rglob("*"))
        files = [file for file in found if file.is_file()]
        size = sum(file.stat().st_size for file in files)
    array_bytes = [int(np.prod(array.face_shape(spec.sizes))) * np.dtype(array.dtype).itemsize for array in spec.arrays]
    return Target(
        faces=spec.faces,
        shard_size=spec.shard_size,
        workers=workers,
        metadata_bytes=size,
        metadata_files=len(files),
        # Besides those there already: the run folder itself, two for records, one in each array for its shards.
        metadata_folders=len(found) - len(files) + 3 + sum(size > 0 for size in array_bytes),
        raw_bytes_per_face=sum(array_bytes),
        cores=usable_cores(),
        machine_mib=psutil.virtual_memory().total / 2**20,
    )


def learn(planned: Plan, path: Path) -> Measurement:
    """What the records of an earlier run tell.

    Args:
        planned: the run that is planned; the earlier one may differ from it in seed, name, faces and shard size.
        path: of the earlier run.

    Raises:
        RunFolderError: when it is no run, or has no finished shards.
        ConfigurationError: when its faces are made in another way.
    """
    folder = RunFolder(path)
    description = folder.describe()
    _refuse_others(planned, description, path)
    records = [r for r in folder.records(STAGES[-1]) if r.fingerprint == description["fingerprint"] and r.faces > 0]
    if not records:
        raise RunFolderError(f"{path}: no shard of this run is finished, so there is nothing to learn from it")
    sizes = [folder.record_path(STAGES[-1], record.shard).stat().st_size for record in records]
    return measurement_of_records(records, statistics.mean(sizes), str(path))


def _refuse_others(planned: Plan, description: dict[str, Any], path: Path) -> None:
    """Refuse a run whose faces take other work than the planned ones."""
    free = ("name", "seed", "faces", "shard_size", "model")
    there = description.get("configuration")
    known = there if isinstance(there, dict) else {}
    differs = [key for key in planned.configuration if key not in free and known.get(key) != planned.configuration[key]]
    if description.get("model") != planned.description()["model"]:
        differs.insert(0, "model")
    if differs:
        raise ConfigurationError(
            f"{path}: a run of another configuration (differs in {', '.join(differs)}); its times are not those of "
            f"'{planned.config.name}'"
        )


def _make(job: Job, shards: list[Shard], workers: int) -> tuple[list[ShardRecord], float]:
    """Records of all shards, with times and memory of their workers in ``host``, and CPU seconds of this process each.

    Raises:
        WorkerError: when a shard cannot be made.
    """
    config = LocalConfig(workers=workers)
    records: list[ShardRecord] = []
    first = 0.0
    with LocalExecutor(config, partial(_marked, job)) as executor:
        for news in Drive(executor, shards, config):
            if isinstance(news, GivenUp):
                raise WorkerError(f"shard {news.shard.number} of the calibration failed: {news.reason}")
            if isinstance(news, Finished):
                records.append(news.record)
                # By then all workers are started, which is no part of handing out.
                first = first or time.process_time()
        spent = time.process_time() - first
    return records, spent / max(len(records) - 1, 1)


def _marked(job: Job, shard: Shard) -> ShardRecord:
    """:func:`~facegen.stages.task.produce`, with times that all processes of a machine share."""
    started = time.monotonic()
    record = produce(job, shard)
    marks = {"process": os.getpid(), "started": started, "ended": time.monotonic(), "peak_mib": peak_resident_mib()}
    return replace(record, host=record.host | marks)


def peak_resident_mib() -> float:
    """Most resident memory that this process has had, MiB; what it has now where the system does not tell."""
    # Not getrusage: after a spawn it starts with what the parent had.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), resident_mib())


def _by_process(records: list[ShardRecord]) -> dict[int, list[ShardRecord]]:
    found: dict[int, list[ShardRecord]] = {}
    for record in records:
        found.setdefault(record.host["process"], []).append(record)
    return found
