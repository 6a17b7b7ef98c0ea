"""What every executor promises, as tests that an executor's test class inherits."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from facegen.errors import ModelError, StorageError
from facegen.pipeline.executors.base import Died, Executor, Finished, Outcome, Raised
from facegen.pipeline.executors.worker import THREAD_VARIABLES
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard, split
from facegen.tests.waiting import wait_until

Make = Callable[..., Executor]
"""From a task and settings of the executor's configuration to an executor."""


def record_of(shard: Shard, **host: Any) -> ShardRecord:
    """The record of a shard that wrote nothing, with words about the process that made it."""
    host = (
        {"pid": os.getpid()}
        | {name: os.environ.get(name) for name in (*THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES")}
        | host
    )
    return ShardRecord(shard.number, shard.first_face, shard.faces, "fingerprint", (), host=host)


@dataclass(frozen=True)
class Trouble:
    """A task that makes trouble at some shards, told by its number."""

    marks: Path
    """A folder; each attempt of a shard leaves a file there."""
    at: dict[int, str]
    """Shard number → what happens."""
    times: int = 1000
    """How often it happens to a shard; later attempts succeed."""
    seconds: float = 0.0
    """How long each shard takes."""

    def __call__(self, shard: Shard) -> ShardRecord:
        before = len(list(self.marks.glob(f"{shard.number}-*")))
        (self.marks / f"{shard.number}-{before}-{os.getpid()}").touch()
        time.sleep(self.seconds)
        if before < self.times:
            self._make_trouble(self.at.get(shard.number, ""))
        return record_of(shard)

    def _make_trouble(self, what: str) -> None:
        if what == "raise":
            raise ValueError("it did not work\nfor many reasons")
        if what == "refuse":
            raise ModelError("model.npz: not a model")
        if what == "full":
            raise StorageError("cannot write x") from OSError(errno.ENOSPC, "No space left on device")
        if what == "exit":
            os._exit(7)
        if what == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            time.sleep(1000)


def attempts(marks: Path) -> list[tuple[int, int]]:
    """Shard and process of each attempt."""
    names = [file.name.split("-") for file in marks.iterdir()]
    return sorted((int(name[0]), int(name[2])) for name in names)


def drive(executor: Executor, shards: Iterable[Shard], seconds: float = 60) -> list[Outcome]:
    """Keep as many shards in flight as there are slots, until all have come back; no shard is tried again."""
    waiting, flying = deque(shards), set[int]()
    outcomes: list[Outcome] = []
    deadline = time.monotonic() + seconds
    while waiting or flying:
        assert time.monotonic() < deadline, f"not back within {seconds} s: {sorted(flying)}"
        while waiting and len(flying) < executor.slots:
            shard = waiting.popleft()
            executor.submit(shard)
            flying.add(shard.number)
        for outcome in executor.wait(1.0):
            flying.remove(outcome.shard.number)
            outcomes.append(outcome)
    return outcomes


class ExecutorContract(ABC):
    """Inherit, define the fixture ``make``, and the executor is tested. ``make`` closes what it made."""

    processes: ClassVar[bool] = True
    """Whether shards are made in processes of their own, so that a crash is survived."""

    @pytest.fixture
    @abstractmethod
    def make(self) -> Iterable[Make]:
        """Makes an executor with two workers; keywords are settings of its configuration."""

    @pytest.fixture
    def marks(self, tmp_path: Path) -> Path:
        (tmp_path / "marks").mkdir()
        return tmp_path / "marks"

    def _processes_only(self) -> None:
        if not self.processes:
            pytest.skip("makes shards in this process")

    def test_all_come_back_once_and_an_exception_is_told(self, make: Make, marks: Path) -> None:
        executor = make(Trouble(marks, {1: "raise", 3: "refuse", 4: "full"}))
        shards = split(70, 10)
        outcomes = {outcome.shard.number: outcome for outcome in drive(executor, shards)}
        assert sorted(outcomes) == list(range(7))
        assert outcomes[1] == Raised(shards[1], "ValueError: it did not work", "transient")
        assert outcomes[3] == Raised(shards[3], "model.npz: not a model", "refused")
        assert outcomes[4] == Raised(shards[4], "cannot write x", "storage")
        for number in (0, 2, 5, 6):
            outcome = outcomes[number]
            assert isinstance(outcome, Finished)
            assert outcome.shard == shards[number]
            assert outcome.record == record_of(shards[number], **outcome.record.host)
            # Shards are the parallelism.
            assert {outcome.record.host[name] for name in THREAD_VARIABLES} == {"1"}
        assert [shard for shard, _ in attempts(marks)] == list(range(7))
        assert executor.wait(0) == []
        # What did not work may be tried again.
        executor.submit(shards[1])
        assert [outcome.shard for outcome in next_of(executor)] == [shards[1]]
        described = json.loads(json.dumps(executor.describe()))
        assert described["executor"] in ("local", "dask", "slurm")
        assert described["workers"] >= int(self.processes)

    def test_deaths_are_told_and_the_others_finish(self, make: Make, marks: Path) -> None:
        self._processes_only()
        shards = split(9, 1)
        ends = {2: ("exit", "exit code 7"), 4: ("segfault", "SIGSEGV"), 6: ("kill", "SIGKILL")}
        executor = make(Trouble(marks, {number: how for number, (how, _) in ends.items()}, times=1))
        outcomes = {outcome.shard.number: outcome for outcome in drive(executor, shards)}
        assert sorted(outcomes) == list(range(9))
        for number, (_, told) in ends.items():
            died = outcomes.pop(number)
            assert isinstance(died, Died)
            assert died.deaths == 1
            assert "\n" not in died.reason
            self.check_reason(died.reason, told)
        assert all(isinstance(outcome, Finished) for outcome in outcomes.values())
        # The dead workers have successors, which can make the shards.
        again = drive(executor, [shards[number] for number in ends])
        assert all(isinstance(outcome, Finished) for outcome in again)
        assert [shard for shard, _ in attempts(marks)] == [0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8], attempts(marks)

    def check_reason(self, reason: str, expected: str) -> None:
        """Whether a death was told as far as it can be known."""
        assert expected in reason

    def test_a_shard_in_flight_can_be_abandoned(self, make: Make, marks: Path) -> None:
        self._processes_only()
        executor = make(Trouble(marks, {0: "hang"}, times=1))
        shards = split(6, 1)
        executor.submit(shards[0])
        wait_until(lambda: attempts(marks))
        pid = attempts(marks)[0][1]
        executor.abandon(shards[0], "had it for too long")
        assert next_of(executor) == [Died(shards[0], "had it for too long")]
        outcomes = drive(executor, shards)
        assert all(isinstance(outcome, Finished) for outcome in outcomes)
        assert sorted(outcome.shard.number for outcome in outcomes) == list(range(6))
        wait_until(lambda: not is_alive(pid))
        assert [shard for shard, _ in attempts(marks)] == [0, 0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("setting", [{"recycle_shards": 2}, {"memory_limit_mib": 1}])
    def test_workers_are_replaced(self, make: Make, marks: Path, setting: dict[str, int]) -> None:
        self._processes_only()
        most = setting.get("recycle_shards", 1)
        outcomes = drive(make(Trouble(marks, {}), workers=1, **setting), split(most + 1, 1))
        assert all(isinstance(outcome, Finished) for outcome in outcomes), outcomes
        made = attempts(marks)
        # Nothing is made twice, and nobody makes more than a worker may.
        assert [shard for shard, _ in made] == list(range(most + 1))
        assert [pid for _, pid in made] == [made[0][1]] * most + [made[-1][1]]
        assert made[0][1] != made[-1][1]

    def test_closing_ends_the_workers_at_once(self, make: Make, marks: Path) -> None:
        self._processes_only()
        executor = make(Trouble(marks, dict.fromkeys(range(2), "hang")))
        for shard in split(2, 1):
            executor.submit(shard)
        wait_until(lambda: len(attempts(marks)) == 2)
        executor.close()
        wait_until(lambda: not any(is_alive(pid) for _, pid in attempts(marks)))
        executor.close()


def next_of(executor: Executor, seconds: float = 60) -> list[Outcome]:
    return wait_until(partial(executor.wait, 1.0), seconds)  # type: ignore[no-any-return]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
