"""A run without its work: the policy of :mod:`facegen.pipeline.drive` against workers of a made-up time."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.pipeline.drive import Drive, GivenUp
from facegen.pipeline.executors.base import Died, Executor, Finished, Outcome, Raised
from facegen.pipeline.executors.config import Patience
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard

FINISH, RAISE, DIE, RETURN = "finish", "raise", "die", "return"


@dataclass(frozen=True)
class Hazards:
    """What goes wrong in a simulation, and how fast things are handed out."""

    mean_time_between_failures: float = math.inf
    """Of one worker, s; times to failure are exponential."""
    restart_seconds: float = 0.0
    """Until a worker that died is back."""
    error_rate: float = 0.0
    """Chance that an attempt at a shard raises, at its end."""
    deadly: frozenset[int] = frozenset()
    """Numbers of shards that kill their worker, half way through."""
    scheduler_seconds: float = 0.0
    """For which the scheduler, one for all workers, is busy with each shard that it hands out."""


@dataclass
class _Worker:
    number: int
    up: bool = True
    shard: Shard | None = None
    since: float = 0.0
    """When it got its shard."""
    busy_until: float = 0.0
    """When it last had a shard."""
    fails: float = math.inf
    """When it dies unless something else ends it before."""
    version: int = 0
    """Of its next event; older ones in the queue do not count any more."""


class SimulatedExecutor(Executor):
    """Workers in a time of their own: :meth:`wait` sets the clock to whatever happens next.

    Args:
        durations: seconds that each shard takes, by its number, at every attempt.
        workers: at least 1.
        hazards: what goes wrong.
        seed: of all that is drawn.
    """

    def __init__(self, durations: Sequence[float], workers: int, hazards: Hazards, seed: int = 0) -> None:
        deaths, errors = np.random.SeedSequence(seed).spawn(2)
        self._deaths = np.random.Generator(np.random.Philox(deaths))
        self._errors = np.random.Generator(np.random.Philox(errors))
        self._durations = durations
        self._hazards = hazards
        self._now = 0.0
        self._scheduler_free = 0.0
        self._events: list[tuple[float, int, int, str]] = []
        self._workers = [_Worker(number) for number in range(workers)]
        self._idle = list(range(workers))
        self._up = workers
        self._holder: dict[int, _Worker] = {}
        self._back: list[Outcome] = []
        self.died = 0
        """Workers that died, with a shard or without."""
        self.worked = 0.0
        """Worker seconds that made a shard."""
        self.lost = 0.0
        """Worker seconds over shards that were not made."""
        self.started = 0
        """Attempts at shards."""
        for worker in self._workers:
            self._draw_failure(worker)
            self._expect(worker)

    def clock(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    @property
    def slots(self) -> int:
        """Workers that are up."""
        return self._up

    @property
    def busy_until(self) -> list[float]:
        """When each worker last had a shard, simulated seconds."""
        return [worker.busy_until for worker in self._workers]

    def submit(self, shard: Shard) -> None:
        """Give the shard to an idle worker; there is one as long as no more shards are in flight than slots."""
        worker = self._workers[heapq.heappop(self._idle)]
        self.started += 1
        self._scheduler_free = max(self._now, self._scheduler_free) + self._hazards.scheduler_seconds
        worker.shard = shard
        worker.since = self._scheduler_free
        self._holder[shard.number] = worker
        self._expect(worker)

    def wait(self, seconds: float) -> list[Outcome]:
        """Set the clock to the next event, at most ``seconds`` from now; a worker that is back has no outcome."""
        outcomes, self._back = self._back, []
        if outcomes:
            return outcomes
        until = self._now + seconds
        while self._events and self._events[0][0] <= until:
            when, number, version, event = heapq.heappop(self._events)
            worker = self._workers[number]
            if version == worker.version:
                self._now = max(self._now, when)
                return self._happen(worker, event)
        self._now = until
        return []

    def abandon(self, shard: Shard, reason: str) -> None:
        """End the shard's worker now."""
        self._back += self._die(self._holder[shard.number], reason)

    def close(self) -> None:
        """Nothing to end."""

    def describe(self) -> dict[str, Any]:
        """Simulated, with so many workers."""
        return {"executor": "simulated", "workers": len(self._workers)}

    def _expect(self, worker: _Worker) -> None:
        """Queue what happens next to a worker that is up."""
        worker.version += 1
        when, event = worker.fails, DIE
        if worker.shard is not None:
            end, what = self._end_of_attempt(worker.shard, worker.since)
            if end <= when:
                when, event = end, what
        if when < math.inf:
            heapq.heappush(self._events, (when, worker.number, worker.version, event))

    def _end_of_attempt(self, shard: Shard, since: float) -> tuple[float, str]:
        """When and how an attempt at a shard ends on a worker that does not fail before."""
        duration = self._durations[shard.number]
        if shard.number in self._hazards.deadly:
            return since + duration / 2, DIE
        raises = self._hazards.error_rate > 0 and self._errors.random() < self._hazards.error_rate
        return since + duration, RAISE if raises else FINISH

    def _happen(self, worker: _Worker, event: str) -> list[Outcome]:
        if event == DIE:
            return self._die(worker, "lost")
        if event == RETURN:
            self._up += 1
            worker.up = True
            self._draw_failure(worker)
            self._rest(worker)
            return []
        shard = self._release(worker)
        spent = self._now - worker.since
        self._rest(worker)
        if event == RAISE:
            self.lost += spent
            return [Raised(shard, "simulated error", "transient")]
        self.worked += spent
        return [Finished(shard, ShardRecord(shard.number, shard.first_face, shard.faces, "simulated", ()))]

    def _die(self, worker: _Worker, reason: str) -> list[Outcome]:
        self.died += 1
        self._up -= 1
        worker.up = False
        worker.version += 1
        heapq.heappush(self._events, (self._now + self._hazards.restart_seconds, worker.number, worker.version, RETURN))
        if worker.shard is None:
            self._idle.remove(worker.number)
            heapq.heapify(self._idle)
            return []
        # The scheduler may not even have come to hand the shard out.
        self.lost += max(0.0, self._now - worker.since)
        return [Died(self._release(worker), reason)]

    def _release(self, worker: _Worker) -> Shard:
        shard = worker.shard
        assert shard is not None
        worker.shard = None
        worker.busy_until = self._now
        del self._holder[shard.number]
        return shard

    def _rest(self, worker: _Worker) -> None:
        heapq.heappush(self._idle, worker.number)
        self._expect(worker)

    def _draw_failure(self, worker: _Worker) -> None:
        mean = self._hazards.mean_time_between_failures
        if mean < math.inf:
            worker.fails = self._now + self._deaths.exponential(mean)


@dataclass(frozen=True)
class Simulation:
    """What a simulated run was like; seconds are simulated unless said otherwise."""

    faces: int
    shards: int
    workers: int
    attempts: int
    """Shards handed out, those handed out again included."""
    finished: int
    quarantined: int
    """Shards given up because their workers died."""
    given_up: int
    """Shards given up because they raised."""
    deaths: int
    """Workers that died."""
    makespan: float
    """From the first shard handed out to the last one that is settled."""
    ideal_makespan: float
    """Of the same shards shared out evenly, with nothing lost and nobody waiting."""
    tail: float
    """From the moment when the first worker has nothing left to do, to the end."""
    worked: float
    """Worker seconds that made a shard."""
    lost: float
    """Worker seconds over attempts that came to nothing."""
    scheduler_cpu_ms_per_shard: float
    """Real CPU time of the policy, this simulation included, for each shard handed out."""
    real_seconds: float
    """Real time that the simulation took."""

    @property
    def efficiency(self) -> float:
        """Share of the workers' time in which shards were made."""
        return self.ideal_makespan / self.makespan if self.makespan else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"efficiency": self.efficiency}


def simulate(
    durations: NDArray[np.float64],
    shards: Sequence[Shard],
    workers: int,
    hazards: Hazards,
    patience: Patience,
    seed: int = 0,
) -> Simulation:
    """Carry out a run in which nothing is made, by the policy that real runs have.

    Args:
        durations: (shards,) seconds of each shard, as :func:`draw_durations` gives them.
        shards: of the run, numbered from 0.
        workers: at least 1.
        hazards: what goes wrong.
        patience: retries and limits.
        seed: of deaths and errors; the same one gives the same simulation.

    Raises:
        WorkerError: when workers die so often that the policy stops the run.
    """
    executor = SimulatedExecutor(durations.tolist(), workers, hazards, seed)
    finished = quarantined = given_up = 0
    started, cpu_started = time.monotonic(), time.process_time()
    for news in Drive(executor, shards, patience, clock=executor.clock):
        if isinstance(news, Finished):
            finished += 1
        elif isinstance(news, GivenUp):
            quarantined += news.quarantined
            given_up += not news.quarantined
    cpu = time.process_time() - cpu_started
    return Simulation(
        faces=sum(shard.faces for shard in shards),
        shards=len(shards),
        workers=workers,
        attempts=executor.started,
        finished=finished,
        quarantined=quarantined,
        given_up=given_up,
        deaths=executor.died,
        makespan=executor.clock(),
        ideal_makespan=executor.worked / workers,
        tail=executor.clock() - min(executor.busy_until),
        worked=executor.worked,
        lost=executor.lost,
        scheduler_cpu_ms_per_shard=1000 * cpu / max(executor.started, 1),
        real_seconds=time.monotonic() - started,
    )


def draw_durations(seconds_per_face: Sequence[float], shards: Sequence[Shard], seed: int = 0) -> NDArray[np.float64]:
    """Seconds of each shard, (shards,): of a recorded shard picked at random, times the number of faces.

    Args:
        seconds_per_face: of recorded shards, at least one.
        shards: for which they are drawn.
        seed: of the picks.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    faces = np.array([shard.faces for shard in shards], np.float64)
    return generator.choice(np.asarray(seconds_per_face, np.float64), len(faces)) * faces
