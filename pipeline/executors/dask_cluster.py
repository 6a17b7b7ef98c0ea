"""Dask clusters: one of this machine's processes, and one that others started."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import dask
import distributed
from distributed import Client, Nanny, Scheduler, SpecCluster

from facegen.errors import WorkerError
from facegen.pipeline.executors.config import DaskConfig
from facegen.pipeline.executors.dask_worker import Terms, problem_here
from facegen.pipeline.executors.gpus import VARIABLE, gpu_of
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.executors.processes import blocked, environment
from facegen.pipeline.executors.worker import THREAD_VARIABLES, describe

_CONNECT_SECONDS = 10.0
"""How long to try to reach a running scheduler."""
_CLOSE_SECONDS = 10.0
"""How long a cluster may take to end."""


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
        "dashboard": has_bokeh(),
        "dashboard_address": dashboard,
    }


def has_bokeh() -> bool:
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
def local_cluster(config: DaskConfig, gpus: tuple[str, ...]) -> Iterator[Crew]:
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


class _Client(Client):
    """A client that only we close. One that could not connect would otherwise try to when it is collected, whoever's
    thread that happens in, and hold it up for as long as it takes.
    """

    def __del__(self) -> None:
        pass


@contextlib.contextmanager
def connect(target: SpecCluster | str, timeout: float = _CONNECT_SECONDS) -> Iterator[Any]:
    """A client of a cluster, or of the scheduler at an address; ``timeout`` seconds to reach it."""
    # Versions are compared by hand, where it is known who the others are.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        client = _Client(target, timeout=timeout, set_as_default=False, name="facegen")
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError, CancelledError):
            client.close(timeout=_CLOSE_SECONDS)


@contextlib.contextmanager
def running_cluster(config: DaskConfig, terms: Terms) -> Iterator[Crew]:
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
