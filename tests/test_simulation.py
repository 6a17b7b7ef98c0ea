"""Simulated runs: against list scheduling by other means, and with everything going wrong."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.errors import WorkerError
from facegen.pipeline.drive import Drive, GivenUp
from facegen.pipeline.executors.base import Finished
from facegen.pipeline.executors.config import Patience
from facegen.pipeline.shards import Shard, split
from facegen.pipeline.simulation import Hazards, SimulatedExecutor, Simulation, draw_durations, simulate

NOTHING = Hazards()
LASTING = Patience(attempts=100, deaths=100, backoff=0.5, stall_seconds=0)
Durations = st.lists(st.integers(1, 50), min_size=1, max_size=60)


def list_schedule(durations: list[float], workers: int) -> list[float]:
    """When each worker is free in the end, if each shard goes to the one that is free first."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return free


def run(
    durations: list[float], workers: int, hazards: Hazards = NOTHING, patience: Patience = LASTING, seed: int = 0
) -> Simulation:
    return simulate(np.array(durations, np.float64), split(len(durations), 1), workers, hazards, patience, seed)


def same(a: Simulation, b: Simulation) -> bool:
    """Equal but for the real time that the simulation took."""
    real = ("scheduler_cpu_ms_per_shard", "real_seconds")
    return all(value == b.as_dict()[key] for key, value in a.as_dict().items() if key not in real)


@given(Durations, st.integers(1, 12))
@settings(deadline=None)
def test_without_failures_it_is_list_scheduling(durations: list[float], workers: int) -> None:
    result = run(durations, workers)
    free = list_schedule(durations, workers)
    assert result.makespan == max(free)
    assert result.tail == max(free) - min(free)
    assert result.worked == sum(durations)
    assert result.ideal_makespan == sum(durations) / workers
    assert (result.finished, result.attempts) == (len(durations), len(durations))
    assert (result.lost, result.deaths, result.quarantined, result.given_up) == (0, 0, 0, 0)


@given(Durations, st.integers(1, 12), st.floats(5, 500), st.floats(0, 30), st.floats(0, 0.5), st.integers(0, 2**32))
@settings(deadline=None)
def test_with_failures_every_shard_is_made_and_work_is_conserved(
    durations: list[float], workers: int, mtbf: float, restart: float, errors: float, seed: int
) -> None:
    # Failures are rarer than the longest shard is long: no shard meets a hundred of them.
    hazards = Hazards(max(durations) * mtbf, restart, errors, scheduler_seconds=0.01)
    result = run(durations, workers, hazards, seed=seed)
    assert result.finished == len(durations)
    assert (result.quarantined, result.given_up) == (0, 0)
    assert result.worked == pytest.approx(sum(durations))
    assert result.worked + result.lost <= workers * result.makespan * (1 + 1e-9)
    assert result.makespan >= max(list_schedule(durations, len(durations)))
    assert same(result, run(durations, workers, hazards, seed=seed))


@given(Durations, st.floats(10, 500), st.floats(0, 30), st.integers(0, 2**32))
@settings(deadline=None)
def test_one_worker_works_loses_or_restarts(durations: list[float], mtbf: float, restart: float, seed: int) -> None:
    result = run(durations, 1, Hazards(max(durations) + mtbf, restart), seed=seed)
    assert result.makespan == pytest.approx(result.worked + result.lost + restart * result.deaths)


def test_a_worker_that_dies_loses_its_shard_so_far() -> None:
    hazards = Hazards(mean_time_between_failures=30.0, restart_seconds=7.0)
    deaths = np.random.Generator(np.random.Philox(np.random.SeedSequence(4).spawn(2)[0]))
    now = lost = 0.0
    count = 0
    fails = deaths.exponential(30.0)
    for _ in range(40):
        while fails < now + 10:
            lost += fails - now
            now = fails + 7.0
            count += 1
            fails = now + deaths.exponential(30.0)
        now += 10
    result = run([10.0] * 40, 1, hazards, seed=4)
    assert count > 3
    assert result.deaths == count
    assert result.lost == pytest.approx(lost)
    assert result.makespan == pytest.approx(now)


def test_a_shard_that_always_kills_its_worker_is_quarantined() -> None:
    shards = split(20, 1)
    executor = SimulatedExecutor([4.0] * 20, 3, Hazards(restart_seconds=1.0, deadly=frozenset({7})))
    news = list(Drive(executor, shards, Patience(deaths=3), clock=executor.clock))
    given_up = [one for one in news if isinstance(one, GivenUp)]
    assert [(one.shard.number, one.quarantined) for one in given_up] == [(7, True)]
    assert {one.shard.number for one in news if isinstance(one, Finished)} == set(range(20)) - {7}
    assert executor.died == 3
    assert executor.lost == 3 * 4.0 / 2


def test_workers_that_always_die_stop_the_run() -> None:
    with pytest.raises(WorkerError, match="in a row"):
        run([1.0] * 10, 2, Hazards(deadly=frozenset(range(10))), Patience())


def test_a_shard_that_raises_too_often_is_given_up() -> None:
    result = run([2.0] * 200, 5, Hazards(error_rate=0.5), Patience(attempts=2))
    assert result.finished + result.given_up == 200
    assert 0 < result.given_up < 200
    # Every attempt lasts as long: those that made nothing are what is lost.
    assert result.lost == 2.0 * (result.attempts - result.finished)
    # Those given up had two attempts, the others one or two.
    assert result.finished + 2 * result.given_up <= result.attempts <= 400


def test_a_stalled_shard_costs_its_workers() -> None:
    result = run([100.0, 1.0, 1.0], 2, patience=Patience(deaths=2, stall_seconds=5))
    assert (result.finished, result.quarantined, result.deaths) == (2, 1, 2)
    assert result.lost == pytest.approx(2 * 5, abs=2 * 2)


def test_one_scheduler_hands_out_one_shard_at_a_time() -> None:
    result = run([3.0] * 50, 50, Hazards(scheduler_seconds=0.25))
    # The first workers are done long before the last one gets its shard.
    assert result.makespan == 50 * 0.25 + 3.0


def test_idle_workers_die_and_come_back() -> None:
    executor = SimulatedExecutor([], 50, Hazards(mean_time_between_failures=1.0, restart_seconds=3.0))
    lowest = 50
    while executor.clock() < 100:
        assert executor.wait(1.0) == []
        lowest = min(lowest, executor.slots)
    assert executor.died > 50
    assert lowest < 50 / 2
    assert executor.lost == 0


def test_the_clock_never_passes_what_was_allowed() -> None:
    executor = SimulatedExecutor([10.0], 1, Hazards())
    executor.submit(Shard(0, 0, 1))
    assert executor.wait(4.0) == []
    assert executor.clock() == 4.0
    assert executor.wait(0.0) == []
    assert [type(one) for one in executor.wait(7.0)] == [Finished]
    assert executor.clock() == 10.0


def test_durations_are_those_recorded() -> None:
    shards = split(1000, 64)
    recorded = [0.01, 0.02, 0.05]
    drawn = draw_durations(recorded, shards, seed=3)
    per_face = drawn / [shard.faces for shard in shards]
    assert drawn.shape == (16,)
    assert set(np.round(per_face, 12)) <= set(recorded)
    assert np.array_equal(drawn, draw_durations(recorded, shards, seed=3))
    assert not np.array_equal(drawn, draw_durations(recorded, shards, seed=4))


def test_ten_million_faces_on_512_workers() -> None:
    shards = split(10_000_000, 256)
    durations = draw_durations([0.010, 0.011, 0.0125], shards)
    hazards = Hazards(3600.0, restart_seconds=20.0, error_rate=0.001, scheduler_seconds=0.002)
    result = simulate(durations, shards, 512, hazards, Patience())
    assert (len(shards), result.finished) == (39_063, 39_063)
    assert result.worked == pytest.approx(math.fsum(durations))
    assert result.deaths > 0
    assert result.ideal_makespan <= result.makespan
    assert result.efficiency > 0.95
    assert 0 < result.tail < 10 * durations.max()
