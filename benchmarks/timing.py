"""CPU time of one thread: medians of calls, and of calls in turn."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import torch

from facegen.stages.task import resident_mib

Work = Callable[[], object]

SHORTEST = 0.02
"""Seconds that a measurement lasts at least, so that the clock's step does not count."""


def seconds(work: Work, repeats: int) -> float:
    """Median CPU seconds of a call."""
    work()
    return statistics.median(_once(work) for _ in range(repeats))


def in_turn(first: Work, second: Work, repeats: int) -> list[tuple[float, float]]:
    """CPU seconds of a call of each, A B A B …"""
    first(), second()
    return [(_once(first), _once(second)) for _ in range(repeats)]


def peak_mib(work: Work) -> float:
    """By how much the memory of this process grows while ``work`` is done once, looked at every millisecond."""
    done = threading.Event()
    seen: list[float] = []

    def look() -> None:
        while not done.wait(0.001):
            seen.append(resident_mib())

    before = resident_mib()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(0.0, resident_mib() - before, *(mib - before for mib in seen))


class one_thread:
    """Let torch use one thread inside a ``with``."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)


def _once(work: Work) -> float:
    calls, started = 0, time.process_time()
    while (spent := time.process_time() - started) < SHORTEST:
        work()
        calls += 1
    return spent / calls
