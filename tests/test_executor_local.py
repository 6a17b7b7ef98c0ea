"""The executor of this machine's processes, and of this process itself, against what every executor promises."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from facegen.pipeline.executors.base import Executor, Finished, Task
from facegen.pipeline.executors.choose import make_executor
from facegen.pipeline.executors.config import LocalConfig
from facegen.pipeline.executors.local import LocalExecutor, usable_cores
from facegen.pipeline.shards import split
from facegen.tests.executor_contract import ExecutorContract, Make, Trouble, attempts, drive, record_of
from facegen.tests.waiting import wait_until


class TestProcesses(ExecutorContract):
    @pytest.fixture
    def make(self) -> Iterator[Make]:
        with ExitStack() as stack:

            def make(task: Task, **settings: Any) -> Executor:
                return stack.enter_context(LocalExecutor(LocalConfig(**{"workers": 2, **settings}), task))

            yield make

    def test_workers_that_were_killed_while_idle_are_replaced(self, make: Make, marks: Path) -> None:
        executor = make(Trouble(marks, {}))
        drive(executor, split(2, 1))
        pids = {pid for _, pid in attempts(marks)}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        # Gone with all its threads, not only its first one.
        wait_until(lambda: not pids & {child.pid for child in multiprocessing.active_children()})
        assert all(isinstance(outcome, Finished) for outcome in drive(executor, split(4, 1)))
        assert len(attempts(marks)) == 6

    def test_the_signal_mask_and_the_environment_are_as_before(self, make: Make) -> None:
        mask, environment = signal.pthread_sigmask(signal.SIG_BLOCK, []), dict(os.environ)
        executor = make(record_of)
        drive(executor, split(3, 1))
        executor.close()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
        assert dict(os.environ) == environment

    def test_workers_start_when_there_is_a_shard_for_them(self, make: Make, marks: Path) -> None:
        executor = make(Trouble(marks, {}))
        drive(executor, split(1, 1))
        drive(executor, split(1, 1))
        assert len({pid for _, pid in attempts(marks)}) == 1

    def test_gpus_are_shared_out(self, make: Make, marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        executor = make(Trouble(marks, {}, seconds=0.05))
        assert executor.describe()["gpus"] == ["3", "5"]
        outcomes = drive(executor, split(8, 1))
        seen = {
            outcome.record.host["pid"]: outcome.record.host["CUDA_VISIBLE_DEVICES"]
            for outcome in outcomes
            if isinstance(outcome, Finished)
        }
        assert sorted(seen.values()) == ["3", "5"]

    def test_no_gpus_hides_them(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        (outcome,) = drive(make(record_of, gpus=0), split(1, 1))
        assert isinstance(outcome, Finished)
        assert outcome.record.host["CUDA_VISIBLE_DEVICES"] == ""


class TestThisProcess(ExecutorContract):
    processes = False

    @pytest.fixture
    def make(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
            monkeypatch.setenv(name, "1")

        def make(task: Task, **settings: Any) -> Executor:
            return make_executor(LocalConfig(workers=0, **settings), task, tmp_path)

        return make

    def test_it_has_no_worker_but_itself(self, make: Make) -> None:
        assert make(record_of).describe() == {"executor": "local", "workers": 0}


def test_one_worker_per_core_unless_said() -> None:
    with LocalExecutor(LocalConfig(), record_of) as executor:
        assert executor.slots == usable_cores()
        assert executor.describe()["workers"] == usable_cores()
