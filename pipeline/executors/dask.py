"""Shards made by Dask: on a cluster of this machine's processes, or by a scheduler that is running already."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
from distributed.scheduler import KilledWorker

import facegen
from facegen.errors import ConfigurationError, MissingDependencyError, WorkerError
from facegen.pipeline.executors.base import Died, Executor, Outcome, Task
from facegen.pipeline.executors.config import DaskConfig, Patience
from facegen.pipeline.executors.dask_cluster import Crew, has_bokeh, local_cluster, quiet_dask, running_cluster
from facegen.pipeline.executors.dask_worker import Served, Terms, Unfit, serve
from facegen.pipeline.executors.gpus import visible_gpus
from facegen.pipeline.executors.processes import how_it_ended
from facegen.pipeline.executors.worker import describe
from facegen.pipeline.shards import Shard
from facegen.storage import write_atomically

_TICK = 0.5
"""Seconds between two looks at whether the scheduler is there."""
_COUNT_SECONDS = 1.0
"""Seconds for which the list of workers is taken as known."""


def dask_executor(config: DaskConfig, task: Task, run: Path) -> DaskExecutor:
    """Start a cluster of this machine's processes, or connect to a running scheduler.

    Args:
        config: which one, and how many workers.
        task: what makes a shard.
        run: the run folder, which all workers must see.

    Raises:
        ConfigurationError: when more GPUs are asked for than there are, or GPUs of workers that others started.
        WorkerError: when the cluster does not start, or the scheduler or its workers cannot work on this run.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_dask())
        if config.scheduler is None:
            gpus = visible_gpus(config.gpus)
            terms = terms_of(config, run, gpu=bool(gpus))
            crew = stack.enter_context(local_cluster(config, gpus))
        else:
            if config.gpus not in ("auto", 0):
                raise ConfigurationError(
                    "executor.gpus: whoever starts the workers of a running scheduler gives them their GPUs"
                )
            terms = terms_of(config, run, gpu=False)
            crew = stack.enter_context(running_cluster(config, terms))
        return DaskExecutor(crew, task, terms, stack.pop_all())
    raise AssertionError("unreachable")


def terms_of(config: Patience, run: Path, *, gpu: bool) -> Terms:
    """What a configuration asks of each worker of a run."""
    return Terms(str(run.absolute()), facegen.__version__, config.recycle_shards, config.memory_limit_mib, gpu=gpu)


@dataclass
class _Flight:
    shard: Shard
    future: Any
    worker: str | None
    """Where it should run; Dask may know better."""


class DaskExecutor(Executor):
    """Shards as tasks of a Dask cluster, one a worker at a time; only their records come back.

    Args:
        crew: the cluster.
        task: what makes a shard.
        terms: what is asked of each worker.
        stack: what to leave when the executor is closed: client, cluster, and changes of this process.
    """

    def __init__(self, crew: Crew, task: Task, terms: Terms, stack: contextlib.ExitStack) -> None:
        self._crew = crew
        self._client = crew.client
        self._address = str(crew.client.scheduler.address)
        self._task = task
        self._terms = terms
        self._stack = stack
        self._flights: dict[str, _Flight] = {}
        self._back: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._abandoned: list[Outcome] = []
        self._workers: tuple[str, ...] = ()
        self._leaving: set[str] = set()
        self._counted = -float("inf")
        self._seen = time.monotonic()

    @property
    def slots(self) -> int:
        """The number of workers that take shards now, known to within a second; 1 while none has come yet."""
        self._count()
        ready = sum(worker not in self._leaving for worker in self._workers)
        return max(1, ready if self._crew.most is None else min(ready, self._crew.most))

    def submit(self, shard: Shard) -> None:
        """Send the shard to a worker that has none, if there is one.

        Raises:
            WorkerError: when the scheduler is gone.
        """
        self._count()
        self._locate()
        busy = {flight.worker for flight in self._flights.values()} | self._leaving
        worker = next((worker for worker in self._workers if worker not in busy), None)
        # The name before the number is what Dask keeps statistics of: one entry for all shards.
        key = f"shard-{shard.number}-{uuid.uuid4().hex}"
        future = self._client.submit(
            serve,
            self._task,
            shard,
            self._terms,
            key=key,
            pure=False,
            resources=self._crew.resources,
            workers=None if worker is None else [worker],
            allow_other_workers=worker is not None,
        )
        self._flights[key] = _Flight(shard, future, worker)
        self._client.loop.add_callback(self._follow, key, future)

    def wait(self, seconds: float) -> list[Outcome]:
        """What the workers sent, and over which shards they died.

        Raises:
            WorkerError: when the scheduler is gone, there has been no worker for too long, or one cannot work on
                this run.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._count()
            outcomes, self._abandoned = self._abandoned, []
            rest = 0.0 if outcomes else deadline - time.monotonic()
            with contextlib.suppress(queue.Empty):
                entry = self._back.get(timeout=max(0.0, min(rest, _TICK)))
                while True:
                    outcomes += self._outcome(*entry)
                    entry = self._back.get_nowait()
            if outcomes or rest <= _TICK:
                return outcomes

    def abandon(self, shard: Shard, reason: str) -> None:
        """Kill the worker that has the shard; its nanny starts another one."""
        key = next(key for key, flight in self._flights.items() if flight.shard == shard)
        flight = self._flights.pop(key)
        with contextlib.suppress(OSError, TimeoutError, CancelledError):
            # Whoever had it is no choice for the next shard, even while Dask does not know yet that it is gone.
            self._leaving.update(self._client.sync(self._end_worker, key, flight.future))
        self._abandoned.append(Died(shard, reason))

    def close(self) -> None:
        """End a cluster that was started here within seconds; leave another one as it was."""
        for flight in self._flights.values():
            flight.future.release()
        self._flights.clear()
        self._stack.close()

    def describe(self) -> dict[str, Any]:
        """Dask or SLURM, how many workers there are, and the dashboard's address."""
        self._count()
        described: dict[str, Any] = {"executor": self._crew.kind, "workers": len(self._workers)}
        link = self._dashboard()
        return described | ({"dashboard": link} if link else {})

    @contextlib.contextmanager
    def report(self, path: Path) -> Iterator[None]:
        """Write Dask's performance report of what is done inside; nothing when that ends with an exception."""
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.html")
        with self._client.as_current():
            report = distributed.performance_report(filename=str(partial))
            try:
                report.__enter__()
                yield
                report.__exit__(None, None, None)
                write_atomically(path, partial.read_bytes())
            except ImportError as error:
                raise MissingDependencyError(f"the Dask scheduler cannot write a report: {describe(error)}") from None
            finally:
                partial.unlink(missing_ok=True)

    def _dashboard(self) -> str | None:
        if not has_bokeh():
            return None
        try:
            port = self._client.scheduler_info(n_workers=0)["services"].get("dashboard")
        except OSError:
            return None
        return str(self._client.dashboard_link) if port else None

    def _forget_count(self) -> None:
        self._counted = -float("inf")

    def _count(self) -> None:
        """Ask who is there, at most once a second.

        Raises:
            WorkerError: when the scheduler is gone, or there has been nobody for too long.
        """
        if self._client.status != "running":
            raise self._gone()
        now = time.monotonic()
        if now < self._counted + _COUNT_SECONDS:
            return
        try:
            self._workers = tuple(self._client.nthreads())
        except (OSError, ValueError, RuntimeError):
            raise self._gone() from None
        self._leaving &= set(self._workers)
        self._counted = now
        if self._workers:
            self._seen = now
        elif now > self._seen + self._crew.start_seconds:
            raise WorkerError(
                f"the Dask scheduler at {self._address} has had no worker for {self._crew.start_seconds:.0f} s"
                f"{self._crew.hint}; what was finished is kept"
            )
        if self._crew.tend is not None:
            self._crew.tend()

    def _locate(self) -> None:
        """Find out where those shards are that were sent to nobody, or to a worker that has gone meanwhile.

        A worker that gets a second shard while it has one, and dies over it, takes the first one along.
        """
        known = set(self._workers)
        if all(flight.worker in known for flight in self._flights.values()):
            return
        try:
            processing = self._client.processing()
        except (OSError, ValueError, RuntimeError):
            raise self._gone() from None
        for worker, keys in processing.items():
            for key in keys:
                if key in self._flights:
                    self._flights[key].worker = worker

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"the Dask scheduler at {self._address} is gone; what was finished is kept, the same command continues"
        )

    async def _follow(self, key: str, future: Any) -> None:
        """Take the outcome of a task as soon as it is there, and forget the task. Runs in Dask's thread."""
        result: Any
        try:
            result = await future
        except (Exception, asyncio.CancelledError) as error:
            result = error
        if isinstance(result, KilledWorker):
            result = await self._death(result)
        future.release()
        self._back.put((key, result))

    async def _death(self, error: KilledWorker) -> tuple[str, int]:
        """How the last worker that had a task ended, and how many there were."""
        address = error.last_worker.address
        codes = self._crew.exit_codes
        if codes is None:
            return f"lost at {address} (killed, or out of memory?)", 1 + error.allowed_failures
        # Its connection was closed a moment before its end is known.
        for _ in range(100):
            if address in codes:
                break
            await asyncio.sleep(0.02)
        return how_it_ended(codes.pop(address, None)), 1 + error.allowed_failures

    def _outcome(self, key: str, result: Any) -> list[Outcome]:
        flight = self._flights.pop(key, None)
        if flight is None:
            # Given up before.
            return []
        if isinstance(result, Served):
            if result.leaving:
                self._leaving.add(result.worker)
            return [result.outcome]
        if isinstance(result, tuple):
            self._forget_count()
            return [Died(flight.shard, *result)]
        if isinstance(result, Unfit):
            raise WorkerError(f"a Dask worker cannot work on this run: {result.problem}")
        if isinstance(result, CancelledError | asyncio.CancelledError):
            raise self._gone()
        # What a worker cannot unpickle, Dask wraps in words of its own.
        cause = result.__cause__ if isinstance(result.__cause__, Exception) else result
        raise WorkerError(f"Dask cannot run shard {flight.shard.number}: {describe(cause)}")

    async def _end_worker(self, key: str, future: Any) -> list[str]:
        """Kill the process that works on a task; its address. Runs in Dask's thread."""
        processing = await self._client.processing()
        # Forgotten first, or Dask would hand the task to the next worker.
        future.release()
        workers = [worker for worker, keys in processing.items() if key in keys]
        if workers:
            await self._client.run(_kill_worker, workers=workers, nanny=True, on_error="ignore")
        return workers


def _kill_worker(dask_worker: Any) -> None:
    """End the process that a nanny watches; asking would not reach one that hangs."""
    if dask_worker.pid is not None:
        os.kill(dask_worker.pid, signal.SIGKILL)


@contextlib.contextmanager
def performance_report(executor: Executor, path: Path) -> Iterator[None]:
    """Write Dask's performance report, one HTML file, of what is done inside.

    Raises:
        ConfigurationError: when the executor is no Dask.
        MissingDependencyError: when bokeh, which draws it, is not installed.
        StorageError: when the file cannot be written.
    """
    if not isinstance(executor, DaskExecutor):
        raise ConfigurationError("a performance report is Dask's: --executor dask, or --scheduler")
    if not has_bokeh():
        raise MissingDependencyError("a performance report needs bokeh: pip install 'facegen[cluster]'")
    with executor.report(path):
        yield
