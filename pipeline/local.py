"""Local execution: shards handed to this process or to worker processes of this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from facegen.errors import FacegenError, WorkerError
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard

Task = Callable[[Shard], ShardRecord]
Outcome = tuple[Shard, ShardRecord | Exception]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute(task: Task, shards: Sequence[Shard], workers: int) -> Generator[Outcome, None, None]:
    """Carry out ``task`` for each shard; outcomes come as they finish, an exception in place of its record.

    One worker is this process itself, more are spawned processes, each with one thread: shards are the parallelism,
    and a product of matrices that is always computed by one thread always has the same bytes. At most two shards a
    worker are in flight. Closing the iterator ends the workers.

    Args:
        task: picklable; called with a shard.
        shards: in the order in which they start.
        workers: at least 1.

    Raises:
        WorkerError: when a worker process died; the message names the shards that were in flight.
    """
    if workers == 1:
        single_thread()
        for shard in shards:
            try:
                yield shard, task(shard)
            except Exception as error:
                yield shard, error
        return
    yield from _execute_in_pool(task, shards, workers)


def _execute_in_pool(task: Task, shards: Sequence[Shard], workers: int) -> Generator[Outcome, None, None]:
    waiting = iter(shards)
    running: dict[Future[ShardRecord], Shard] = {}
    # Spawned children read these before they load any numeric library.
    saved = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=()
    )
    try:
        for shard in waiting:
            running[_submit(pool, task, shard)] = shard
            if len(running) < 2 * workers:
                continue
            yield from _finished(running)
        while running:
            yield from _finished(running)
    except BrokenProcessPool:
        numbers = ", ".join(str(shard.number) for shard in sorted(running.values(), key=lambda s: s.number))
        raise WorkerError(
            f"a worker process died (killed, or out of memory?) while shards {numbers} were in flight; "
            "finished shards are kept, the same command continues"
        ) from None
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        if running:
            # Interrupted: what is in flight is not worth waiting for, and every write is whole or absent.
            for process in processes:
                process.terminate()
        for process in processes:
            process.join()
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _submit(pool: ProcessPoolExecutor, task: Task, shard: Shard) -> Future[ShardRecord]:
    """Hand a shard to the pool, which may start a worker for it.

    Ctrl-C reaches the whole process group, but the parent alone decides what becomes of the workers: they inherit that
    the signal is blocked, so that not even their first imports are interrupted. The parent gets it when this is done.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_attempt, task, shard)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attempt(task: Task, shard: Shard) -> ShardRecord:
    """Carry out ``task``; of an exception of others only the words travel, for not every class can be sent."""
    try:
        return task(shard)
    except FacegenError:
        raise
    except Exception as error:
        raise WorkerError(describe(error)) from None


def describe(error: Exception) -> str:
    """One line about an exception: its message, and for those of others its class, which may say more."""
    lines = str(error).strip().splitlines()
    if isinstance(error, FacegenError) and lines:
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _finished(running: dict[Future[ShardRecord], Shard]) -> Iterator[Outcome]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        shard = running[future]
        try:
            outcome: ShardRecord | Exception = future.result()
        except BrokenProcessPool:
            raise
        except Exception as error:
            outcome = error
        del running[future]
        yield shard, outcome


def single_thread() -> None:
    """Let the numeric libraries of this process use one thread."""
    import torch

    torch.set_num_threads(1)


def _begin_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What there is to say of the input, the parent has said.
    logging.getLogger("facegen").setLevel(logging.ERROR)
    single_thread()


def _end_with_parent() -> None:
    """End this worker when its parent is gone, even by kill -9: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)
