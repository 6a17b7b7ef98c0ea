"""The policy of a run, against an executor whose every move is written down beforehand, in a time of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegen.errors import ConfigurationError, StorageError, WorkerError
from facegen.pipeline.drive import HOPELESS, Drive, GivenUp
from facegen.pipeline.executors.base import Died, Executor, Finished, Outcome, Raised
from facegen.pipeline.executors.config import LocalConfig, Patience
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard, ranges, select, split

Script = Callable[[Shard, int], Outcome | None]
"""What becomes of a shard's n-th submission, from 0; ``None`` when it never comes back by itself."""


def done(shard: Shard) -> Finished:
    return Finished(shard, ShardRecord(shard.number, shard.first_face, shard.faces, "f", ()))


@dataclass
class Scripted(Executor):
    """Does what the script says, a second a shard."""

    script: Script
    slots: int = 2
    now: float = 0.0
    flying: list[tuple[float, Outcome | None, Shard]] = field(default_factory=list)
    submitted: list[tuple[float, int]] = field(default_factory=list)
    abandoned: list[tuple[float, int]] = field(default_factory=list)

    def submit(self, shard: Shard) -> None:
        assert len(self.flying) < self.slots
        times = sum(number == shard.number for _, number in self.submitted)
        self.submitted.append((self.now, shard.number))
        self.flying.append((self.now + 1, self.script(shard, times), shard))

    def wait(self, seconds: float) -> list[Outcome]:
        due = min((at for at, outcome, _ in self.flying if outcome), default=self.now + seconds)
        self.now = min(due, self.now + seconds) if due > self.now else self.now
        back = [outcome for at, outcome, _ in self.flying if outcome and at <= self.now]
        self.flying = [flight for flight in self.flying if not (flight[1] and flight[0] <= self.now)]
        return back

    def abandon(self, shard: Shard, reason: str) -> None:
        self.abandoned.append((self.now, shard.number))
        self.flying = [flight for flight in self.flying if flight[2] != shard]
        self.flying.append((self.now, Died(shard, reason), shard))

    def close(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {}


def carried_out(executor: Scripted, shards: int, **patience: Any) -> tuple[Drive, list[Finished | GivenUp]]:
    drive = Drive(executor, split(shards * 4, 4), Patience(**patience), clock=lambda: executor.now)
    return drive, [settled for settled in drive if settled]


def test_every_shard_comes_once_and_no_more_than_the_slots_are_in_flight() -> None:
    executor = Scripted(lambda shard, times: done(shard), slots=3)
    drive, settled = carried_out(executor, 10)
    assert sorted(outcome.shard.number for outcome in settled) == list(range(10))
    assert [number for _, number in executor.submitted] == list(range(10))
    assert executor.now == 4.0
    assert (drive.retries, drive.deaths, drive.in_flight) == (0, 0, {})


def test_nothing_to_do() -> None:
    assert carried_out(Scripted(lambda shard, times: done(shard)), 0)[1] == []


def test_an_exception_is_tried_again_after_pauses_that_grow() -> None:
    def script(shard: Shard, times: int) -> Outcome:
        return done(shard) if shard.number != 1 or times == 3 else Raised(shard, "busy", "transient")

    executor = Scripted(script)
    drive, settled = carried_out(executor, 3, attempts=4, backoff=10.0)
    assert all(isinstance(outcome, Finished) for outcome in settled)
    assert [at for at, number in executor.submitted if number == 1] == [0.0, 11.0, 52.0, 213.0]
    # The others did not wait for it.
    assert [at for at, number in executor.submitted if number == 2] == [1.0]
    assert drive.retries == 3


def test_what_raises_every_time_is_given_up() -> None:
    executor = Scripted(lambda shard, times: Raised(shard, f"busy {times}", "transient"), slots=1)
    _, settled = carried_out(executor, 1, attempts=3, backoff=0.0)
    assert settled == [GivenUp(Shard(0, 0, 4), "busy 2", quarantined=False)]


def test_what_is_refused_is_not_tried_again() -> None:
    executor = Scripted(lambda shard, times: Raised(shard, "no such stage", "refused"))
    drive, settled = carried_out(executor, 2)
    assert [outcome for outcome in settled if isinstance(outcome, GivenUp)] == settled
    assert len(executor.submitted) == 2
    assert drive.retries == 0


def test_a_disk_that_refuses_ends_the_run() -> None:
    executor = Scripted(lambda shard, times: Raised(shard, "cannot write: full", "storage"))
    with pytest.raises(StorageError, match="cannot write: full"):
        carried_out(executor, 5)
    assert len(executor.submitted) == 2


def test_the_third_death_quarantines_the_shard_and_the_others_are_made() -> None:
    def script(shard: Shard, times: int) -> Outcome:
        return Died(shard, "killed by SIGSEGV") if shard.number == 7 else done(shard)

    executor = Scripted(script)
    drive, settled = carried_out(executor, 20)
    (lost,) = [outcome for outcome in settled if isinstance(outcome, GivenUp)]
    assert lost == GivenUp(Shard(7, 28, 4), "3 workers died over it, the last one killed by SIGSEGV", quarantined=True)
    assert sorted(outcome.shard.number for outcome in settled) == list(range(20))
    assert (drive.deaths, drive.retries) == (3, 2)


def test_deaths_that_came_together_count_together() -> None:
    executor = Scripted(lambda shard, times: Died(shard, "gone", deaths=4) if shard.number == 0 else done(shard))
    _, settled = carried_out(executor, 2)
    assert GivenUp(Shard(0, 0, 4), "4 workers died over it, the last one gone", quarantined=True) in settled


def test_a_run_whose_every_worker_dies_ends() -> None:
    executor = Scripted(lambda shard, times: Died(shard, "killed by SIGKILL"))
    with pytest.raises(WorkerError, match=f"^{HOPELESS} shards in a row cost 3 workers each and nothing else was made"):
        carried_out(executor, 1000)
    assert len(executor.submitted) <= 3 * (HOPELESS + executor.slots)


def test_deaths_here_and_there_do_not_end_it() -> None:
    executor = Scripted(lambda shard, times: Died(shard, "gone") if shard.number % 2 else done(shard))
    _, settled = carried_out(executor, 60, deaths=1)
    assert sum(isinstance(outcome, GivenUp) for outcome in settled) == 30


def test_a_worker_that_does_not_come_back_is_ended_once() -> None:
    def script(shard: Shard, times: int) -> Outcome | None:
        return None if shard.number == 1 and times == 0 else done(shard)

    executor = Scripted(script)
    drive, settled = carried_out(executor, 300, stall_seconds=60.0)
    assert len(settled) == 300
    ((at, number),) = executor.abandoned
    assert number == 1
    assert 60 < at <= 62
    assert drive.deaths == 1


def test_with_no_limit_nobody_is_ended() -> None:
    executor = Scripted(lambda shard, times: None if shard.number == 0 and executor.now < 1 else done(shard))
    drive = Drive(executor, split(8, 4), Patience(stall_seconds=0), clock=lambda: executor.now)
    for _, settled in zip(range(5000), drive, strict=False):
        assert settled is None or settled.shard.number == 1
    assert executor.abandoned == []


@given(st.integers(1, 400), st.integers(1, 40))
def test_pieces_are_all_shards_once_and_alike(shards: int, pieces: int) -> None:
    everything = split(shards, 1)
    found = [select(everything, f"{piece}/{pieces}") for piece in range(pieces)]
    assert [shard for piece in found for shard in piece] == everything
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_range_of_shards_is_a_slice(first: int, end: int) -> None:
    everything = split(40, 1)
    expected = everything[first:end]
    if expected:
        assert select(everything, f"{first}:{end}") == expected
        assert select(everything, f" {first}: ".strip()) == everything[first:]
    else:
        with pytest.raises(ConfigurationError, match="no shard is in it; the run has 40, from 0"):
            select(everything, f"{first}:{end}")


@settings(max_examples=200)
@given(st.text(alphabet="0123456789:/-+ .a", max_size=8))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    everything = split(40, 1)
    message = None
    try:
        assert all(shard in everything for shard in select(everything, text))
    except ConfigurationError as error:
        message = str(error)
    assert message is None or message.startswith(f"--shards {text}: ")


@given(st.sets(st.integers(0, 60)))
def test_ranges_name_every_number(numbers: set[int]) -> None:
    named: set[int] = set()
    for part in filter(None, ranges(numbers).split(", ")):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == numbers


def test_the_default_is_patient() -> None:
    config = LocalConfig()
    assert (config.attempts, config.deaths) == (3, 3)
