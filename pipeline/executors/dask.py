"""Shards made by Dask: on a cluster of this machine's processes, or by a scheduler that is running already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import queue
import signal
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.scheduler import KilledWorker

import facegen
from facegen.errors import ConfigurationError, MissingDependencyError, WorkerError
from facegen.pipeline.executors.base import Died, Executor, Outcome, Task
from facegen.pipeline.executors.config import DaskConfig, Patience
from facegen.pipeline.executors.dask_worker import Served, Terms, Unfit, problem_here, serve
from facegen.pipeline.executors.gpus import VARIABLE, gpu_of, visible_gpus
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.executors.processes import blocked, environment, how_it_ended
from facegen.pipeline.executors.worker import THREAD_VARIABLES, describe
from facegen.pipeline.shards import Shard
from facegen.storage import write_atomically

_TICK = 0.5
"""Seconds between two looks at whether the scheduler is there."""
_COUNT_SECONDS = 1.0
"""Seconds for which the list of workers is taken as known."""
_CONNECT_SECONDS = 10.0
"""How long to try to reach a running scheduler."""
_CLOSE_SECONDS = 10.0
"""How long a cluster may take to end."""


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
            crew = stack.enter_context(_local_cluster(config, gpus))
        else:
            if config.gpus not in ("auto", 0):
                raise ConfigurationError(
                    "executor.gpus: whoever starts the workers of a running scheduler gives them their GPUs"
                )
            terms = terms_of(config, run, gpu=False)
            crew = stack.enter_context(_running_cluster(config, terms))
        return DaskExecutor(crew, task, terms, stack.pop_all())
    raise AssertionError("unreachable")


def terms_of(config: Patience, run: Path, *, gpu: bool) -> Terms:
    """What a configuration asks of each worker of a run."""
    return Terms(str(run.absolute()), facegen.__version__, config.recycle_shards, config.memory_limit_mib, gpu=gpu)


@dataclass
class Crew:
    """A Dask cluster, as the executor sees it."""

    kind: str
    """``dask`` or ``slurm``."""
    client: Any
    """A ``distributed.Client``."""
    start_seconds: float
    """How long there may be no worker at all."""
    most: int | None = None
    """At most so many shards in flight."""
    resources: dict[str, float] | None = None
    """What a shard needs of a worker, offered by all of them."""
    exit_codes: dict[str, int] | None = None
    """Of worker processes that ended, by address; where they are watched by this process."""
    tend: Callable[[], None] | None = None
    """Called about once a second, to bring workers back that are lost for good."""
    hint: str = ""
    """What may be the matter when there is no worker."""


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
        if not _has_bokeh():
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
            return f"the worker at {address} is gone (killed, or out of memory?)", 1 + error.allowed_failures
        # Its connection was closed a moment before its end is known.
        for _ in range(100):
            if address in codes:
                break
            await asyncio.sleep(0.02)
        return f"the worker process was {how_it_ended(codes.pop(address, None))}", 1 + error.allowed_failures

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
def quiet_dask() -> Iterator[None]:
    """Let Dask not log in this process: what there is to say, an executor says in one line."""
    names = [
        name
        for name in logging.root.manager.loggerDict
        if name.split(".")[0] in ("distributed", "tornado", "bokeh", "asyncio")
    ]
    saved = [(logger, logger.level) for logger in map(logging.getLogger, {*names, "distributed", "asyncio"})]
    for logger, _ in saved:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in saved:
            logger.setLevel(level)


@contextlib.contextmanager
def dask_settings(variables: dict[str, str]) -> Iterator[None]:
    """What clusters that are started here need of Dask and of the environment, for as long as they are there.

    Args:
        variables: more of the environment.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, "1")
    # A nanny puts these into this process's environment.
    left_behind = ("PYTHONHASHSEED", *dask.config.get("distributed.nanny.pre-spawn-environ"))
    with (
        environment(threads | variables, left_behind),
        dask.config.set(
            {
                "distributed.worker.multiprocessing-method": "spawn",
                # A worker that is replaced loads its libraries first, which takes a while on a busy machine.
                "distributed.deploy.lost-worker-timeout": "120s",
            }
        ),
    ):
        yield


@contextlib.contextmanager
def scheduler_settings() -> Iterator[None]:
    """While a scheduler of ours is made: one shard a worker, so that the death of a worker blames nobody else."""
    with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
        yield


def scheduler_options(dashboard: str) -> dict[str, Any]:
    """Of a scheduler of ours: each death is told at once, and a dashboard where there is bokeh to draw it."""
    return {
        "allowed_failures": 0,
        "dashboard": _has_bokeh(),
        "dashboard_address": dashboard,
    }


def _has_bokeh() -> bool:
    """Whether there is what draws Dask's pages."""
    return importlib.util.find_spec("bokeh") is not None


class _WatchedNanny(Nanny):
    """A nanny that tells how its workers ended."""

    exit_codes: dict[str, int]

    def _on_worker_exit_sync(self, exitcode: int) -> None:
        address = self.worker_address
        if exitcode and address is not None:
            self.exit_codes[address] = exitcode
        super()._on_worker_exit_sync(exitcode)


def worker_count(config: DaskConfig, gpus: Sequence[str]) -> int:
    """Worker processes of a cluster on this machine."""
    return config.workers or len(gpus) * config.workers_per_gpu or usable_cores()


@contextlib.contextmanager
def _local_cluster(config: DaskConfig, gpus: tuple[str, ...]) -> Iterator[Crew]:
    """Worker processes of this machine, each with its nanny in this process, and a scheduler in this process."""
    workers = worker_count(config, gpus)
    codes: dict[str, int] = {}
    nanny = type("WatchedNanny", (_WatchedNanny,), {"exit_codes": codes})
    # Read by Dask where workers load it: they share this process's terminal.
    with dask_settings({"DASK_LOGGING__DISTRIBUTED": "critical"}):
        # The first process that is started starts this one too, and takes the signals' block away.
        resource_tracker.ensure_running()
        with blocked(signal.SIGINT), scheduler_settings():
            cluster = _new_cluster(config, workers, gpus, nanny)
        with contextlib.ExitStack() as stack:
            stack.callback(_end_local_cluster, cluster)
            client = stack.enter_context(connect(cluster))
            yield Crew(
                "dask",
                client,
                config.start_seconds,
                resources={"GPU": 1} if gpus else None,
                exit_codes=codes,
                tend=lambda: cluster.scale(workers),
            )


def _new_cluster(config: DaskConfig, workers: int, gpus: tuple[str, ...], nanny: type[Nanny]) -> SpecCluster:
    options: dict[str, Any] = {
        "nthreads": 1,
        "host": "127.0.0.1",
        # What is too large is replaced after its shard; a pause, or spilling to disk, would help nobody.
        "memory_limit": None,
        "silence_logs": logging.CRITICAL,
        "resources": {"GPU": 1} if gpus else None,
    }
    scheduler = scheduler_options("127.0.0.1:0")
    try:
        if gpus and workers <= len(gpus) and importlib.util.find_spec("dask_cuda") is not None:
            return _cuda_cluster(gpus[:workers], options, scheduler, nanny)
        hidden = {VARIABLE: ""} if config.gpus == 0 else {}
        specs = {}
        for worker in range(workers):
            gpu = gpu_of(worker, gpus)
            own = options | {"env": hidden if gpu is None else {VARIABLE: gpu}}
            specs[worker] = {"cls": nanny, "options": own}
        return SpecCluster(
            workers=specs,
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0} | scheduler},
            silence_logs=False,
        )
    except (OSError, RuntimeError, TimeoutError) as error:
        raise WorkerError(f"the Dask cluster cannot be started: {describe(error)}") from None


def _cuda_cluster(
    gpus: tuple[str, ...], options: dict[str, Any], scheduler: dict[str, Any], nanny: type[Nanny]
) -> SpecCluster:
    """One process per GPU by dask-cuda, which binds each to the cores near its GPU as well."""
    from dask_cuda import LocalCUDACluster

    own = {name: value for name, value in options.items() if name != "nthreads"}
    dashboard = scheduler["dashboard_address"] if scheduler["dashboard"] else None
    cluster: SpecCluster = LocalCUDACluster(
        CUDA_VISIBLE_DEVICES=",".join(gpus),
        threads_per_worker=1,
        device_memory_limit=None,
        worker_class=nanny,
        dashboard_address=dashboard,
        scheduler_kwargs={"allowed_failures": scheduler["allowed_failures"]},
        **own,
    )
    return cluster


def _end_local_cluster(cluster: SpecCluster) -> None:
    """Kill the workers, then close what is left: what they have written is whole."""

    async def kill() -> None:
        for nanny in cluster.workers.values():
            nanny.close_gracefully(reason="facegen-close")
            if nanny.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)

    close_cluster(cluster, kill)


def close_cluster(cluster: SpecCluster, first: Callable[[], Any] | None = None) -> None:
    """Close a cluster that was started here; ``first`` is a coroutine function that is awaited before."""
    with contextlib.suppress(OSError, RuntimeError, TimeoutError, CancelledError):
        if first is not None:
            cluster.sync(first)
        cluster.close(timeout=_CLOSE_SECONDS)


@contextlib.contextmanager
def connect(target: SpecCluster | str, timeout: float = _CONNECT_SECONDS) -> Iterator[Any]:
    """A client of a cluster, or of the scheduler at an address; ``timeout`` seconds to reach it."""
    # Versions are compared by hand, where it is known who the others are.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        client = Client(target, timeout=timeout, set_as_default=False, name="facegen")
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError, CancelledError):
            client.close(timeout=_CLOSE_SECONDS)


@contextlib.contextmanager
def _running_cluster(config: DaskConfig, terms: Terms) -> Iterator[Crew]:
    """A scheduler that others started, after a look at whether its workers can work on this run."""
    address = config.scheduler
    assert address is not None
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(connect(address, min(config.start_seconds, _CONNECT_SECONDS)))
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            raise WorkerError(f"no Dask scheduler can be reached at {address} ({describe(error)})") from None
        try:
            _check_versions(client, address)
            _check_workers(client, terms)
        except (OSError, TimeoutError):
            raise WorkerError(f"the Dask scheduler at {address} does not answer") from None
        yield Crew("dask", client, config.start_seconds, most=config.workers)


def _check_versions(client: Any, address: str) -> None:
    """Refuse a scheduler, or workers, of another Dask or another Python."""
    found = client.get_versions(check=False)
    ours = _versions(found["client"])
    for place, versions in {f"scheduler at {address}": found["scheduler"], **_by_worker(found["workers"])}.items():
        for name, version in _versions(versions).items():
            if version != ours[name]:
                raise WorkerError(f"the Dask {place} has {name} {version}, this process {ours[name]}")


def _by_worker(versions: dict[str, Any]) -> dict[str, Any]:
    return {f"worker at {address}": value for address, value in versions.items()}


def _versions(found: dict[str, Any]) -> dict[str, str]:
    """What must be the same everywhere: Dask's own packages, and Python but for its patches."""
    packages = {name: str(found["packages"][name]) for name in ("dask", "distributed")}
    return packages | {"Python": ".".join(str(found["host"]["python"]).split(".")[:2])}


def _check_workers(client: Any, terms: Terms) -> None:
    """Ask the workers that are there whether they can work on a run; the others are asked with their first shard."""
    for address, answer in client.run(problem_here, terms, on_error="return").items():
        if isinstance(answer, BaseException):
            raise WorkerError(f"the Dask worker at {address} cannot work on this run: {describe(answer)}")  # type: ignore[arg-type]
        if answer is not None:
            raise WorkerError(f"the Dask worker at {address} cannot work on this run: {answer}")
    if terms.recycle_shards or terms.memory_limit_mib:
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            if not worker.get("nanny"):
                raise WorkerError(
                    f"the Dask worker at {address} cannot be replaced, for it has no nanny; start it with --nanny, "
                    "or set neither recycle_shards nor memory_limit_mib"
                )


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
    if not _has_bokeh():
        raise MissingDependencyError("a performance report needs bokeh: pip install 'facegen[cluster]'")
    with executor.report(path):
        yield
