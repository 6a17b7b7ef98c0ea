"""What happens inside a Dask worker, and inside the nanny that starts it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import psutil
from distributed.core import Status

import facegen
from facegen.pipeline.executors.base import Finished, Raised, Task
from facegen.pipeline.executors.gpus import VARIABLE, gpu_of, visible_gpus
from facegen.pipeline.executors.worker import attempt, prepare_worker
from facegen.pipeline.shards import Shard


@dataclass(frozen=True)
class Terms:
    """What a run asks of its workers."""

    run: str
    """The run folder, absolute."""
    version: str
    """Of facegen."""
    recycle_shards: int
    """Shards after which a worker is replaced; 0 for never."""
    memory_limit_mib: int
    """Resident memory above which a worker is replaced; 0 for no limit."""
    gpu: bool
    """Whether a worker must see a GPU."""


@dataclass(frozen=True)
class Served:
    """What came of a shard, and what becomes of the worker."""

    outcome: Finished | Raised
    worker: str
    """Its address."""
    leaving: bool
    """Whether it is about to be replaced, and takes no more shards."""


@dataclass(frozen=True)
class Unfit:
    """A worker that cannot work on the run; the shard was not touched."""

    problem: str


_lock = threading.Lock()
_prepared: set[Terms] = set()
_made = 0


def problem_here(terms: Terms) -> str | None:
    """Why this process cannot work on a run, in one line with its host; ``None`` when it can."""
    host = socket.gethostname()
    if facegen.__version__ != terms.version:
        return f"{host} has facegen {facegen.__version__}, this run needs {terms.version}"
    if not (Path(terms.run) / "run.yaml").is_file():
        return f"{host} does not see the run folder {terms.run}; it must be on a file system that all workers share"
    if terms.gpu and not os.environ.get(VARIABLE):
        return f"{host} shows its workers no GPU"
    return None


def serve(task: Task, shard: Shard, terms: Terms) -> Served | Unfit:
    """Make a shard here; never raises. The first one of a process sets it up."""
    global _made
    with _lock:
        if terms not in _prepared:
            problem = problem_here(terms)
            if problem is not None:
                return Unfit(problem)
            prepare_worker()
            _prepared.add(terms)
    outcome = attempt(task, shard)
    with _lock:
        _made += 1
    worker = distributed.get_worker()
    leaving = worker.nanny is not None and _is_spent(terms)
    if leaving:
        worker.loop.add_callback(_replace, worker, worker.get_current_task())
    return Served(outcome, worker.address, leaving)


def _is_spent(terms: Terms) -> bool:
    if 0 < terms.recycle_shards <= _made:
        return True
    limit = terms.memory_limit_mib * 2**20
    return 0 < limit < int(psutil.Process().memory_info().rss)


async def _replace(worker: Any, key: Any) -> None:
    """End this process once the outcome of its last task was taken; the nanny starts another one.

    A worker that leaves by Dask's own means does not count as one that died. It would lose an outcome that nobody
    else can keep, though, and the shard would be made again; so it is closed to new tasks first.
    """
    while worker.state.executing or key in worker.data:
        # Set again and again, for the nanny's limit of memory may take it back.
        worker.status = Status.paused
        await asyncio.sleep(0.01)
    await worker.close_gracefully(restart=True, reason="facegen-recycle")


def dask_setup(nanny: Any) -> None:
    """Give a worker of a job its GPU, in turn by the number that ends its name; for ``dask worker --preload-nanny``."""
    number = re.search(r"\d+$", str(nanny.name))
    gpu = gpu_of(int(number[0]) if number else 0, visible_gpus("auto"))
    if gpu is not None:
        nanny.env[VARIABLE] = gpu
