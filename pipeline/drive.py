"""The policy: shards are kept in flight, tried again, given up, and watched, whoever makes them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from facegen.errors import StorageError, WorkerError
from facegen.pipeline.executors.base import Died, Executor, Finished, Outcome, Raised
from facegen.pipeline.executors.config import Patience
from facegen.pipeline.shards import Shard

TICK = 1.0
"""Seconds after which the caller hears something, so that it can show how far things are."""
HOPELESS = 5
"""Shards in a row that cost all their workers, with nothing made in between, after which a run stops."""


@dataclass(frozen=True)
class GivenUp:
    """A shard that will not be made in this run."""

    shard: Shard
    reason: str
    quarantined: bool
    """Whether it killed its workers, rather than raised."""


class Drive:
    """Has shards made by an executor: iterate over it, once, for what becomes of them.

    As many shards are in flight as the executor has slots, never more: nothing piles up, and a worker that dies takes
    one shard along. A shard that raises is tried again after a pause that grows, up to ``patience.attempts`` times; a
    shard over which ``patience.deaths`` workers died is quarantined; a worker that has had its shard for longer than
    ``patience.stall_seconds`` is ended.

    Args:
        executor: who makes them; the caller closes it.
        shards: in the order in which they start.
        patience: see there.
        clock: seconds, for simulations with a time of their own.
    """

    def __init__(
        self,
        executor: Executor,
        shards: Sequence[Shard],
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.in_flight: dict[int, tuple[Shard, float]] = {}
        """Shard and time of its submission by number, the longest in flight first."""
        self.retries = 0
        """Attempts that were made again, whatever for."""
        self.deaths = 0
        """Workers that died."""
        self._executor = executor
        self._fresh = iter(shards)
        self._patience = patience
        self._clock = clock
        self._later: list[tuple[float, int, Shard]] = []
        self._raised: dict[int, int] = {}
        self._died: dict[int, int] = {}
        self._hopeless = 0

    def __iter__(self) -> Iterator[Finished | GivenUp | None]:
        """What becomes of each shard, in the order in which it is known; ``None`` about once a second without news.

        Raises:
            StorageError: when the disk refuses, for the other shards would meet the same fate.
            WorkerError: when the executor is lost, or every worker dies.
        """
        more = True
        while True:
            more = self._fill() if more or self._later else False
            if not (more or self.in_flight or self._later):
                return
            outcomes = self._executor.wait(self._until_something_is_due())
            if not outcomes:
                yield None
            for outcome in outcomes:
                settled = self._settle(outcome)
                if settled is not None:
                    yield settled
            self._end_stalled_workers()

    def _fill(self) -> bool:
        """Submit what there is room for; whether there may be fresh shards left."""
        slots = self._executor.slots
        while len(self.in_flight) < slots:
            if self._later and self._later[0][0] <= self._clock():
                shard = heapq.heappop(self._later)[2]
            else:
                fresh = next(self._fresh, None)
                if fresh is None:
                    return False
                shard = fresh
            self.in_flight[shard.number] = shard, self._clock()
            self._executor.submit(shard)
        return True

    def _until_something_is_due(self) -> float:
        if self._later and len(self.in_flight) < self._executor.slots:
            return min(TICK, max(0.0, self._later[0][0] - self._clock()))
        return TICK

    def _settle(self, outcome: Outcome) -> Finished | GivenUp | None:
        """What an outcome means for its shard; ``None`` when it is tried again."""
        shard = outcome.shard
        del self.in_flight[shard.number]
        if isinstance(outcome, Finished):
            self._hopeless = 0
            self._raised.pop(shard.number, None)
            self._died.pop(shard.number, None)
            return outcome
        if isinstance(outcome, Died):
            return self._after_death(shard, outcome)
        return self._after_exception(shard, outcome)

    def _after_exception(self, shard: Shard, outcome: Raised) -> GivenUp | None:
        if outcome.kind == "storage":
            raise StorageError(outcome.reason)
        tries = self._raised[shard.number] = self._raised.get(shard.number, 0) + 1
        if outcome.kind == "refused" or tries >= self._patience.attempts:
            return GivenUp(shard, outcome.reason, quarantined=False)
        self._again(shard, self._patience.backoff * 4 ** (tries - 1))
        return None

    def _after_death(self, shard: Shard, outcome: Died) -> GivenUp | None:
        self.deaths += outcome.deaths
        deaths = self._died[shard.number] = self._died.get(shard.number, 0) + outcome.deaths
        if deaths < self._patience.deaths:
            self._again(shard, 0.0)
            return None
        self._hopeless += 1
        workers = "1 worker" if deaths == 1 else f"{deaths} workers"
        if self._hopeless == HOPELESS:
            raise WorkerError(
                f"{HOPELESS} shards in a row cost {workers} each and nothing else was made; the last worker over shard "
                f"{shard.number} was {outcome.reason}; what was finished is kept"
            )
        return GivenUp(shard, f"{workers} died over it, the last one {outcome.reason}", quarantined=True)

    def _again(self, shard: Shard, seconds: float) -> None:
        self.retries += 1
        heapq.heappush(self._later, (self._clock() + seconds, shard.number, shard))

    def _end_stalled_workers(self) -> None:
        limit = self._patience.stall_seconds
        while limit and self.in_flight:
            shard, since = next(iter(self.in_flight.values()))
            now = self._clock()
            if now - since <= limit:
                return
            # To the end of the queue, so that its worker is ended once.
            del self.in_flight[shard.number]
            self.in_flight[shard.number] = shard, now
            self._executor.abandon(shard, f"ended: it had the shard for more than {limit:g} s")
