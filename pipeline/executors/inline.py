"""Shards made by this process itself: no start-up, and a debugger that works; a crash takes the run along."""

from __future__ import annotations

import time
from typing import Any

from facegen.pipeline.executors.base import Executor, Outcome, Task
from facegen.pipeline.executors.worker import attempt, single_thread
from facegen.pipeline.shards import Shard


class InlineExecutor(Executor):
    """One slot, and :meth:`submit` is where the work is done."""

    def __init__(self, task: Task) -> None:
        self._take_back = single_thread()
        self._task = task
        self._back: list[Outcome] = []

    @property
    def slots(self) -> int:
        """Always one."""
        return 1

    def submit(self, shard: Shard) -> None:
        """Make the shard now."""
        self._back.append(attempt(self._task, shard))

    def wait(self, seconds: float) -> list[Outcome]:
        """What :meth:`submit` made."""
        if not self._back:
            time.sleep(seconds)
        outcomes, self._back = self._back, []
        return outcomes

    def abandon(self, shard: Shard, reason: str) -> None:
        """Never called: nothing is in flight between two calls."""
        raise AssertionError(f"shard {shard.number} was not in flight ({reason})")

    def close(self) -> None:
        """Give this process its threads back."""
        self._take_back()

    def describe(self) -> dict[str, Any]:
        """No workers but this process."""
        return {"executor": "local", "workers": 0}
