"""CPU time of one thread: medians of calls, and of calls in turn."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from facegen.stages.calibration import peak_resident_mib

Work = Callable[[], object]

SHORTEST = 0.02
"""Seconds that a measurement lasts at least, so that the clock's step does not count."""
_RESET_PEAK = Path("/proc/self/clear_refs")
"""Writing 5 to it sets the mark of the peak to what is resident now."""


def seconds(work: Work, repeats: int) -> float:
    """Median CPU seconds of a call."""
    work()
    return statistics.median(_once(work) for _ in range(repeats))


def in_turn(first: Work, second: Work, repeats: int) -> list[tuple[float, float]]:
    """CPU seconds of a call of each, A B A B …"""
    first(), second()
    return [(_once(first), _once(second)) for _ in range(repeats)]


def peak_mib(work: Work) -> float:
    """By how much the memory of this process grows while ``work`` is done once, at its most.

    Raises:
        OSError: where the system keeps no such mark; Linux does.
    """
    # What is garbage already must not make room for what is to be measured.
    gc.collect()
    _RESET_PEAK.write_text("5")
    before = peak_resident_mib()
    work()
    return peak_resident_mib() - before


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
