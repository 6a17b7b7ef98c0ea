"""Worker processes of this machine, one pipe each: who had which shard when it died is always known.

``concurrent.futures`` gives up its whole pool when one process dies, and does not tell over which task; hence this.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from facegen.errors import WorkerError
from facegen.pipeline.executors.base import Died, Executor, Outcome, Task
from facegen.pipeline.executors.config import LocalConfig
from facegen.pipeline.executors.gpus import VARIABLE, gpu_of, visible_gpus
from facegen.pipeline.executors.processes import blocked, environment, how_it_ended
from facegen.pipeline.executors.worker import THREAD_VARIABLES, attempt, prepare_worker
from facegen.pipeline.shards import Shard

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class _Worker:
    place: int
    """Of ``slots``; decides its GPU."""
    process: BaseProcess
    pipe: Connection
    shard: Shard | None = None
    made: int = 0


class LocalExecutor(Executor):
    """Spawned processes with one thread each. They start when there is a shard for them, and end with this process.

    Args:
        config: how many workers, when they are replaced, and their GPUs.
        task: picklable; loaded in each worker once.

    Raises:
        ConfigurationError: when more GPUs are asked for than there are.
    """

    def __init__(self, config: LocalConfig, task: Task) -> None:
        self._config = config
        self._task = task
        self._slots = usable_cores() if config.workers is None else config.workers
        self._gpus = visible_gpus(config.gpus)
        self._workers: list[_Worker] = []
        self._leaving: list[BaseProcess] = []
        self._abandoned: list[Outcome] = []
        # It would unblock the signals when it starts, in the middle of the first worker's start.
        resource_tracker.ensure_running()

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._slots

    def submit(self, shard: Shard) -> None:
        """Hand the shard to an idle worker, or to a new one.

        Raises:
            WorkerError: when no process can be started.
        """
        # Who died with nothing to do is nobody's fault.
        self._workers = [worker for worker in self._workers if worker.shard is not None or worker.process.is_alive()]
        worker = next((worker for worker in self._workers if worker.shard is None), None)
        if worker is None:
            worker = self._start()
        worker.shard = shard
        # One that dies before it has read this is found by `wait`.
        with contextlib.suppress(OSError):
            worker.pipe.send(shard)

    def wait(self, seconds: float) -> list[Outcome]:
        """What the workers sent, and who of them died."""
        outcomes, self._abandoned = self._abandoned, []
        busy = {worker.pipe: worker for worker in self._workers if worker.shard is not None}
        if not busy and not outcomes:
            time.sleep(seconds)
        for pipe in wait(list(busy), 0 if outcomes else seconds) if busy else ():
            outcomes.append(self._receive(busy[pipe]))  # type: ignore[index]
        self._leaving = [process for process in self._leaving if process.is_alive()]
        return outcomes

    def abandon(self, shard: Shard, reason: str) -> None:
        """Kill the shard's worker."""
        worker = next(worker for worker in self._workers if worker.shard == shard)
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._abandoned.append(Died(shard, reason))

    def close(self) -> None:
        """Kill all workers: what they have written is whole, what they have not is of no use."""
        with blocked(*_SIGNALS):
            processes = [worker.process for worker in self._workers] + self._leaving
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            for worker in self._workers:
                worker.pipe.close()
            self._workers, self._leaving = [], []

    def describe(self) -> dict[str, Any]:
        """Local, with so many workers, and the GPUs they share."""
        return {"executor": "local", "workers": self._slots} | ({"gpus": list(self._gpus)} if self._gpus else {})

    def _start(self) -> _Worker:
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(self._slots) if place not in taken)
        gpu = gpu_of(place, self._gpus)
        # Read by the numeric libraries when the process loads them, which is before any of our code runs there.
        hidden = {VARIABLE: ""} if self._config.gpus == 0 else {}
        variables = dict.fromkeys(THREAD_VARIABLES, "1") | (hidden if gpu is None else {VARIABLE: gpu})
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        try:
            with blocked(*_SIGNALS), environment(variables), theirs:
                process = context.Process(target=_serve, args=(theirs, self._task), daemon=True)
                process.start()
                worker = _Worker(place, process, ours)
                self._workers.append(worker)
        except OSError as error:
            raise WorkerError(f"a worker process cannot be started ({error.strerror})") from None
        return worker

    def _receive(self, worker: _Worker) -> Outcome:
        shard = worker.shard
        assert shard is not None
        try:
            outcome: Outcome = worker.pipe.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            worker.pipe.close()
            worker.process.join()
            return Died(shard, how_it_ended(worker.process.exitcode))
        worker.shard = None
        worker.made += 1
        if self._is_spent(worker):
            # It ends when it finds its pipe closed; the next shard gets a fresh one.
            self._workers.remove(worker)
            worker.pipe.close()
            self._leaving.append(worker.process)
        return outcome

    def _is_spent(self, worker: _Worker) -> bool:
        if 0 < self._config.recycle_shards <= worker.made:
            return True
        if not self._config.memory_limit_mib:
            return False
        try:
            resident = psutil.Process(worker.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return True
        return bool(resident > self._config.memory_limit_mib * 2**20)


def _serve(pipe: Connection, task: Task) -> None:
    """The life of a worker: a shard comes, its outcome goes, until the pipe is closed."""
    # Ctrl-C reaches the whole process group, but the parent alone decides what becomes of the workers: they inherit
    # that the signals are blocked, so that not even their first imports are interrupted.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_worker()
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(attempt(task, pipe.recv()))


def _end_with_parent() -> None:
    """End this worker when its parent is gone, even by kill -9 and in the middle of a shard."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
