"""Shards made by jobs of a SLURM cluster, through dask-jobqueue: each job starts Dask workers."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import SchedulerPlugin
from distributed.core import Status

from facegen.errors import MissingDependencyError, StorageError, WorkerError
from facegen.pipeline.executors.base import Task
from facegen.pipeline.executors.config import SlurmConfig
from facegen.pipeline.executors.dask import DaskExecutor, terms_of
from facegen.pipeline.executors.dask_cluster import (
    Crew,
    close_cluster,
    connect,
    dask_settings,
    quiet_dask,
    scheduler_options,
    scheduler_settings,
)
from facegen.pipeline.executors.worker import THREAD_VARIABLES, describe

_LOST_SECONDS = 120.0
"""How long a job that has had workers may have none before another one is submitted in its place."""


def slurm_executor(config: SlurmConfig, task: Task, run: Path) -> DaskExecutor:
    """Start a scheduler in this process, and submit the jobs whose workers connect to it.

    Args:
        config: what to ask SLURM for.
        task: what makes a shard.
        run: the run folder, which all nodes must see.

    Raises:
        MissingDependencyError: when dask-jobqueue is not installed.
        WorkerError: when there is no SLURM here, or it refuses the job.
        StorageError: when the folder for the jobs' output cannot be made.
    """
    _need_jobqueue()
    if shutil.which("sbatch") is None:
        raise WorkerError(
            "there is no sbatch on PATH: start this where jobs are submitted; "
            "--dry-run prints the job script and --shards K/N works in any job, here as well"
        )
    _make_folder(_log_folder(config, run))
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_dask())
        crew = stack.enter_context(_slurm_cluster(config, run))
        return DaskExecutor(crew, task, terms_of(config, run, gpu=config.gpus_per_job > 0), stack.pop_all())
    raise AssertionError("unreachable")


def job_script(config: SlurmConfig, run: Path) -> str:
    """The script of one job, with a stand-in for the scheduler's address; needs no SLURM, and touches nothing.

    Raises:
        MissingDependencyError: when dask-jobqueue is not installed.
    """
    _need_jobqueue()
    from dask_jobqueue.slurm import SLURMJob

    return str(SLURMJob("tcp://SCHEDULER:8786", name="facegen-0", **_job_options(config, run)).job_script())


def _need_jobqueue() -> None:
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise MissingDependencyError("the SLURM executor needs dask-jobqueue: pip install 'facegen[cluster]'")


def _log_folder(config: SlurmConfig, run: Path) -> Path:
    return (run / "logs" if config.log_folder is None else Path(config.log_folder)).absolute()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot create the folder for the jobs' output ({error.strerror})") from None


def _job_options(config: SlurmConfig, run: Path) -> dict[str, Any]:
    """What dask-jobqueue needs to write the script of a job."""
    processes = config.workers_per_job
    directives = [f"--output={_log_folder(config, run)}/%j.out"]
    # The nanny's own limit pauses a worker for good; what is above SLURM's limit, SLURM ends.
    arguments = ["--memory-limit", "0"]
    if config.gpus_per_job:
        directives.append(f"--gres=gpu:{config.gpus_per_job}")
        # Gives each process of the job one of its GPUs.
        arguments += ["--resources", "GPU=1", "--preload-nanny", "facegen.pipeline.executors.dask_worker"]
    return {
        # One thread a worker, however many cores it has.
        "cores": processes,
        "job_cpu": processes * config.cores_per_worker,
        "processes": processes,
        "memory": _times(config.memory_per_worker, processes),
        "walltime": config.walltime,
        "queue": config.partition,
        "account": config.account,
        "interface": config.interface,
        "job_name": "facegen",
        "python": shlex.quote(sys.executable),
        "job_extra_directives": [*directives, *config.directives],
        "job_script_prologue": [*(f"export {name}=1" for name in THREAD_VARIABLES), *config.prologue],
        "worker_extra_args": arguments,
    }


def _times(memory: str, count: int) -> str:
    from dask.utils import parse_bytes

    return f"{parse_bytes(memory) * count} B"


@contextlib.contextmanager
def _slurm_cluster(config: SlurmConfig, run: Path) -> Iterator[Crew]:
    from dask_jobqueue.slurm import SLURMCluster

    with dask_settings({}):
        try:
            with scheduler_settings():
                cluster = SLURMCluster(
                    silence_logs=logging.CRITICAL,
                    scheduler_options=scheduler_options(":0"),
                    name="facegen",
                    **_job_options(config, run),
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkerError(f"the Dask scheduler for SLURM's jobs cannot be started: {describe(error)}") from None
        with contextlib.ExitStack() as stack:
            stack.callback(close_cluster, cluster)
            jobs = _Jobs(cluster, math.ceil(config.workers / config.workers_per_job))
            jobs.submit()
            client = stack.enter_context(connect(cluster))
            yield Crew(
                "slurm",
                client,
                config.start_seconds,
                most=config.workers,
                resources={"GPU": 1} if config.gpus_per_job else None,
                tend=jobs.tend,
                hint=", its jobs may still be queued (squeue) or have failed (their output tells)",
            )


class _Jobs(SchedulerPlugin):
    """The jobs of a cluster. Those that ended, by their time limit or preempted, are submitted again."""

    def __init__(self, cluster: Any, count: int) -> None:
        self._cluster = cluster
        self._count = count
        self._workers: dict[str, str] = {}
        """The job of each worker that is there, by address."""
        self._left: dict[str, float] = {}
        """When the last worker of a job went, on the monotonic clock."""
        cluster.scheduler.add_plugin(self, name="facegen-jobs")

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """A worker has come."""
        name = str(scheduler.workers[worker].name)
        # A worker of several in a job has a number after the job's name.
        job = name if name in self._cluster.worker_spec else name.rpartition("-")[0]
        self._workers[worker] = job
        self._left.pop(job, None)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """A worker has gone."""
        job = self._workers.pop(worker)
        if job not in self._workers.values():
            self._left[job] = time.monotonic()

    def submit(self) -> None:
        """Submit the jobs that are not there.

        Raises:
            WorkerError: when SLURM refuses, with its own words.
        """

        async def submit() -> None:
            while len(self._cluster.worker_spec) < self._count:
                self._cluster.worker_spec.update(self._cluster.new_worker_spec())
            await self._cluster

        try:
            self._cluster.sync(submit)
        except (OSError, RuntimeError, ValueError) as error:
            for job in self._cluster.workers.values():
                if job.job_id is None:
                    # What never was cannot be closed.
                    job.status = Status.failed
            raise WorkerError(f"SLURM does not take the job: {_words(error)}") from None

    def tend(self) -> None:
        """Submit jobs in place of those whose workers have all been gone for a while.

        Raises:
            WorkerError: when SLURM refuses.
        """
        self._cluster.sync(self._drop_lost)
        if len(self._cluster.workers) < self._count:
            self.submit()

    async def _drop_lost(self) -> None:
        now = time.monotonic()
        for name in [name for name, since in self._left.items() if now > since + _LOST_SECONDS]:
            del self._left[name]
            job = self._cluster.workers.pop(name, None)
            if job is not None:
                await job.close()


def _words(error: Exception) -> str:
    """What sbatch said; dask-jobqueue wraps it in an account of several lines."""
    lines = [line.strip() for line in str(error).partition("stderr:")[2].splitlines() if line.strip()]
    return lines[0] if lines else describe(error)
