"""Shards made by Dask: on its own cluster of processes, and by a scheduler that runs already."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import dask
import distributed
import pytest
from distributed import Client, LocalCluster

import facegen
from facegen.errors import ConfigurationError, MissingDependencyError, WorkerError
from facegen.pipeline.executors.base import Executor, Finished, Raised, Task
from facegen.pipeline.executors.config import DaskConfig
from facegen.pipeline.executors.dask import DaskExecutor, dask_executor, performance_report
from facegen.pipeline.executors.dask_cluster import worker_count
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard, split
from facegen.tests.command import group_members
from facegen.tests.executor_contract import (
    ExecutorContract,
    Make,
    Trouble,
    attempts,
    drive,
    is_alive,
    next_of,
    record_of,
)
from facegen.tests.waiting import wait_until


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that workers take for that of a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").touch()
    return tmp_path / "run"


class TestOwnCluster(ExecutorContract):
    @pytest.fixture
    def make(self, run: Path) -> Iterator[Make]:
        with contextlib.ExitStack() as stack:

            def make(task: Task, **settings: Any) -> Executor:
                config = DaskConfig.model_validate({"workers": 2, "gpus": 0} | settings)
                return stack.enter_context(dask_executor(config, task, run))

            yield make

    def test_each_process_gets_its_gpu(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-2b")
        executor = make(record_of, gpus=2, workers=None)
        wait_until(lambda: executor.slots == 2)
        seen = [outcome.record.host for outcome in drive(executor, split(4, 1)) if isinstance(outcome, Finished)]
        assert len(seen) == 4
        assert {host["CUDA_VISIBLE_DEVICES"] for host in seen} == {"1", "GPU-2b"}
        assert len({(host["CUDA_VISIBLE_DEVICES"], host["pid"]) for host in seen}) == 2
        assert offered(executor) == [{"GPU": 1.0}] * 2

    def test_dask_cuda_is_used_where_it_is(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
        module = ModuleType("dask_cuda")
        module.__spec__ = ModuleSpec("dask_cuda", None)
        module.LocalCUDACluster = CudaCluster  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "dask_cuda", module)
        executor = make(record_of, gpus=1, workers=None)
        assert isinstance(drive(executor, split(1, 1))[0], Finished)
        assert CudaCluster.devices == "4"
        assert offered(executor) == [{"GPU": 1.0}]

    def test_nothing_of_it_stays_in_this_process(self, make: Make, capfd: pytest.CaptureFixture[str]) -> None:
        before = dict(os.environ), dask.config.config.copy(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
        levels = {name: logging.getLogger(name).level for name in ("distributed", "distributed.client", "tornado")}
        executor = make(record_of, workers=1)
        drive(executor, split(2, 1))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before[2]
        assert dask.config.get("distributed.scheduler.worker-saturation") != 1.0
        executor.close()
        assert (dict(os.environ), dask.config.config, signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
        assert {name: logging.getLogger(name).level for name in levels} == levels
        assert capfd.readouterr() == ("", "")

    def test_a_report_of_what_was_done(self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make(record_of, workers=1)
        with performance_report(executor, tmp_path / "report.html"):
            drive(executor, split(2, 1))
        assert "<title>Dask Performance Report</title>" in (tmp_path / "report.html").read_text()
        with pytest.raises(KeyboardInterrupt), performance_report(executor, tmp_path / "none.html"):
            raise KeyboardInterrupt
        assert {file.name for file in tmp_path.iterdir()} == {"run", "report.html"}
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        with (
            pytest.raises(MissingDependencyError, match=r"pip install 'facegen\[cluster\]'"),
            performance_report(executor, tmp_path / "none.html"),
        ):
            pass


def test_how_many_processes_there_are() -> None:
    assert worker_count(DaskConfig(), ()) == usable_cores()
    assert worker_count(DaskConfig(workers_per_gpu=3), ()) == usable_cores()
    assert worker_count(DaskConfig(workers_per_gpu=3), ("0", "1")) == 6
    assert worker_count(DaskConfig(workers_per_gpu=3, workers=2), ("0", "1")) == 2


class CudaCluster(LocalCluster):
    """A stand-in for dask-cuda's cluster: takes its keywords, and starts a process for each device."""

    devices: ClassVar[str]

    def __init__(
        self,
        CUDA_VISIBLE_DEVICES: str,
        threads_per_worker: int,
        device_memory_limit: float | None,
        **others: Any,
    ) -> None:
        assert device_memory_limit is None
        type(self).devices = CUDA_VISIBLE_DEVICES
        super().__init__(
            n_workers=len(CUDA_VISIBLE_DEVICES.split(",")), threads_per_worker=threads_per_worker, **others
        )


def offered(executor: Executor) -> list[dict[str, float]]:
    """The resources that the workers offer."""
    assert isinstance(executor, DaskExecutor)
    info = executor._client.scheduler_info(n_workers=-1)
    return [worker["resources"] for worker in info["workers"].values()]


PARENT = """
import sys
from pathlib import Path
from facegen.pipeline.executors.config import DaskConfig
from facegen.pipeline.executors.dask import dask_executor
from facegen.pipeline.shards import split
from facegen.tests.executor_contract import Trouble, drive
run, marks = map(Path, sys.argv[1:])
try:
    with dask_executor(DaskConfig(workers=2, gpus=0), Trouble(marks, {0: "hang", 1: "hang"}), run) as executor:
        drive(executor, split(2, 1))
except KeyboardInterrupt:
    print("interrupted")
"""


class TestEndings:
    """Of a process that has an executor with two hanging workers."""

    @pytest.fixture
    def parent(self, run: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
        (tmp_path / "marks").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(run), str(tmp_path / "marks")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            wait_until(lambda: len(attempts(tmp_path / "marks")) == 2 or process.poll() is not None)
            yield process, [pid for _, pid in attempts(tmp_path / "marks")]
        finally:
            process.kill()
            process.communicate()

    def test_ctrl_c(self, parent: tuple[subprocess.Popen[str], list[int]]) -> None:
        process, workers = parent
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=30) == ("interrupted\n", "")
        assert process.returncode == 0
        assert not any(is_alive(pid) for pid in workers)

    def test_kill_9_of_the_parent_ends_its_workers(self, parent: tuple[subprocess.Popen[str], list[int]]) -> None:
        process, workers = parent
        assert len(workers) == 2
        process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in workers))
        wait_until(lambda: group_members(process.pid) == [])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of Dask's as a process, ended with all that it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def scheduler() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a scheduler, and its process."""
    port = free_port()
    with started("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard") as process:
        wait_until(lambda: is_open(port))
        yield f"tcp://127.0.0.1:{port}", process


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler that has two workers."""
    with scheduler() as (address, _):
        workers = ("--nworkers", "2", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard")
        with started("dask_worker", address, *workers), Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield address


def config_of(address: str, **settings: Any) -> DaskConfig:
    return DaskConfig(scheduler=address, **settings)


class TestRunningScheduler:
    def test_it_makes_the_shards_and_stays_as_it_was(self, cluster: str, run: Path, tmp_path: Path) -> None:
        (tmp_path / "marks").mkdir()
        task = Trouble(tmp_path / "marks", {1: "raise", 2: "exit"}, times=1)
        with dask_executor(config_of(cluster), task, run) as executor:
            described = executor.describe()
            assert (described["executor"], described["workers"]) == ("dask", 2)
            outcomes = {outcome.shard.number: outcome for outcome in drive(executor, split(6, 1))}
            # This scheduler has its own patience with workers that die.
            assert isinstance(outcomes.pop(1), Raised)
            assert all(isinstance(outcome, Finished) for outcome in outcomes.values())
            assert sorted(outcomes) == [0, 2, 3, 4, 5]
            executor.submit(Shard(9, 9, 1))
        assert [shard for shard, _ in attempts(tmp_path / "marks")][:7] == [0, 1, 2, 2, 3, 4, 5]
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            wait_until(lambda: client.run_on_scheduler(tasks_of) == 0)

    def test_nothing_of_a_shard_stays_in_this_process(self, cluster: str, run: Path) -> None:
        # Dask keeps so many of the last messages.
        with (
            dask.config.set({"distributed.admin.low-level-log-length": 10}),
            dask_executor(config_of(cluster), record_of, run) as executor,
        ):
            forget_outcomes(executor, 200)
            gc.collect()
            before = len(gc.get_objects())
            forget_outcomes(executor, 2000)
            gc.collect()
            assert len(gc.get_objects()) < before + 500
            assert executor._client.futures == {}

    def test_at_most_so_many_in_flight(self, cluster: str, run: Path) -> None:
        with dask_executor(config_of(cluster, workers=1), record_of, run) as executor:
            assert executor.slots == 1
            assert executor.describe()["workers"] == 2

    def test_workers_that_do_not_see_the_run_are_named(self, cluster: str, tmp_path: Path) -> None:
        with pytest.raises(WorkerError) as caught:
            dask_executor(config_of(cluster), record_of, tmp_path / "elsewhere")
        message = str(caught.value)
        assert message.startswith("the Dask worker at tcp://127.0.0.1:")
        assert f"{socket.gethostname()} does not see the run folder {tmp_path / 'elsewhere'}" in message
        assert "\n" not in message

    def test_a_run_folder_that_goes_away_is_told_by_the_first_shard(self, cluster: str, run: Path) -> None:
        with dask_executor(config_of(cluster, recycle_shards=1000), record_of, run) as executor:
            (run / "run.yaml").unlink()
            executor.submit(Shard(0, 0, 1))
            with pytest.raises(WorkerError, match=r"^a Dask worker cannot work on this run: .* does not see"):
                next_of(executor)

    def test_another_version_of_facegen_is_refused(self, cluster: str, run: Path) -> None:
        with (
            patch.object(facegen, "__version__", "9.9"),
            pytest.raises(WorkerError, match=rf"{socket.gethostname()} has facegen 0\.1\.0, this run needs 9\.9$"),
        ):
            dask_executor(config_of(cluster), record_of, run)

    def test_another_version_of_dask_is_refused(self, cluster: str, run: Path) -> None:
        with (
            patch.object(distributed.versions, "get_package_info", other_versions),
            pytest.raises(WorkerError, match=rf"^the Dask scheduler at {cluster} has dask \S+, this process 1\.2\.3$"),
        ):
            dask_executor(config_of(cluster), record_of, run)

    def test_a_task_that_workers_cannot_load_is_told(self, cluster: str, run: Path) -> None:
        with dask_executor(config_of(cluster), Unloadable(), run) as executor:
            executor.submit(Shard(3, 3, 1))
            with pytest.raises(WorkerError, match=r"^Dask cannot run shard 3: .*not today"):
                next_of(executor)

    def test_gpus_are_not_ours_to_give(self, cluster: str, run: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"executor\.gpus"):
            dask_executor(config_of(cluster, gpus=1), record_of, run)

    @pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nothing://here:1", "no-such-host.invalid:80", ""])
    def test_nobody_at_the_address(self, address: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        address = address.format(port=free_port())
        with pytest.raises(WorkerError) as caught:
            dask_executor(config_of(address, start_seconds=0.5), record_of, run)
        assert str(caught.value).startswith(f"no Dask scheduler can be reached at {address} (")
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")

    def test_no_workers_and_then_no_scheduler(self, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with scheduler() as (address, process):
            with dask_executor(config_of(address, start_seconds=0.5), record_of, run) as executor:
                assert executor.slots == 1
                executor.submit(Shard(0, 0, 1))
                with pytest.raises(WorkerError) as caught:
                    next_of(executor)
                assert str(caught.value) == (
                    f"the Dask scheduler at {address} has had no worker for 0 s; what was finished is kept"
                )
            with dask_executor(config_of(address), record_of, run) as executor:
                executor.submit(Shard(0, 0, 1))
                assert executor.wait(0.1) == []
                process.kill()
                started_waiting = time.monotonic()
                with pytest.raises(WorkerError) as caught:
                    next_of(executor, 20)
                assert time.monotonic() - started_waiting < 10
                gone = f"the Dask scheduler at {address} is gone; what was finished is kept, the same command continues"
                assert str(caught.value) == gone
                with pytest.raises(WorkerError, match="is gone"):
                    executor.submit(Shard(1, 1, 1))
        assert capfd.readouterr() == ("", "")


class Unloadable:
    """A task that cannot be unpickled."""

    def __call__(self, shard: Shard) -> ShardRecord:
        raise AssertionError("never called")

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ()


def refuse() -> None:
    raise RuntimeError("not today")


def other_versions(packages: Any) -> dict[str, str]:
    return {"dask": "1.2.3", "distributed": "1.2.3", "msgpack": "1", "cloudpickle": "1", "toolz": "1"}


def tasks_of(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def forget_outcomes(executor: Executor, shards: int) -> None:
    """Have shards made, a hundred in flight, and forget their outcomes."""
    for first in range(0, shards, 100):
        for number in range(first, first + 100):
            executor.submit(Shard(number, number, 1))
        back = 0
        while back < 100:
            back += len(executor.wait(5))
