"""Shards made by SLURM jobs. A stand-in for SLURM runs them here: its commands start and end processes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facegen import configs
from facegen.errors import MissingDependencyError, StorageError, WorkerError
from facegen.pipeline.executors import slurm
from facegen.pipeline.executors.base import Died, Finished
from facegen.pipeline.executors.config import SlurmConfig
from facegen.pipeline.executors.slurm import job_script, slurm_executor
from facegen.pipeline.shards import split
from facegen.settings import validate
from facegen.tests.command import group_members
from facegen.tests.executor_contract import Trouble, attempts, drive, next_of, record_of
from facegen.tests.waiting import wait_until

SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
jobs = pathlib.Path(os.environ["FAKE_SLURM"])
script = pathlib.Path(sys.argv[1]).read_text()
if "--partition-that-is-not" in script:
    print("sbatch: error: invalid partition specified", file=sys.stderr)
    sys.exit(1)
number = len(list(jobs.glob("*.sh"))) + 1
(jobs / f"{{number}}.sh").write_text(script)
output = re.search(r"#SBATCH --output=(.*)", script)[1].replace("%j", str(number))
gpus = {{"CUDA_VISIBLE_DEVICES": "3,4"}} if "--gres=gpu:2" in script else {{}}
process = subprocess.Popen(
    ["bash", str(jobs / f"{{number}}.sh")],
    env=os.environ | gpus | {{"SLURM_JOB_ID": str(number)}},
    stdout=open(output, "w"),
    stderr=subprocess.STDOUT,
    start_new_session=True,
)
(jobs / f"{{number}}.pid").write_text(str(process.pid))
print(f"Submitted batch job {{number}}")
"""

SCANCEL = """#!{python}
import os, pathlib, signal, sys
try:
    os.killpg(int((pathlib.Path(os.environ["FAKE_SLURM"]) / f"{{sys.argv[1]}}.pid").read_text()), signal.SIGKILL)
except ProcessLookupError:
    sys.exit(1)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that workers take for that of a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").touch()
    return tmp_path / "run"


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the script and the process of each job; the commands are on PATH. All jobs end with the test."""
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(text.format(python=sys.executable))
        command.chmod(0o755)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "jobs"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield tmp_path / "jobs"
    for group in groups(tmp_path / "jobs"):
        for pid in group_members(group):
            os.kill(pid, signal.SIGKILL)


def groups(jobs: Path) -> list[int]:
    """The process group of each job."""
    return [int(file.read_text()) for file in sorted(jobs.glob("*.pid"))]


def config_of(**settings: object) -> SlurmConfig:
    return SlurmConfig.model_validate({"interface": "lo", "start_seconds": 60} | settings)


def directives(script: str) -> list[str]:
    return re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE)


class TestJobs:
    def test_their_workers_make_the_shards(self, jobs: Path, run: Path, tmp_path: Path) -> None:
        (tmp_path / "marks").mkdir()
        config = config_of(workers=2, workers_per_job=2, gpus_per_job=2)
        with slurm_executor(config, Trouble(tmp_path / "marks", {2: "exit"}, times=1), run) as executor:
            assert executor.slots == 1
            wait_until(lambda: executor.slots == 2)
            outcomes = {outcome.shard.number: outcome for outcome in drive(executor, split(5, 1))}
            died = outcomes.pop(2)
            assert isinstance(died, Died)
            assert died.deaths == 1
            assert sorted(outcomes) == [0, 1, 3, 4]
            assert executor.describe()["executor"] == "slurm"
            # Each of a job's workers has one of its GPUs.
            hosts = [outcome.record.host for outcome in outcomes.values() if isinstance(outcome, Finished)]
            assert len(hosts) == 4
            assert {host["CUDA_VISIBLE_DEVICES"] for host in hosts} == {"3", "4"}
            script = (jobs / "1.sh").read_text()
            assert script.replace(executor._address, "tcp://SCHEDULER:8786") == job_script(config, run)
        assert [group_members(group) for group in groups(jobs)] == [[]]
        assert "distributed" in (run / "logs" / "1.out").read_text()

    def test_a_job_that_ends_is_submitted_again(
        self, jobs: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slurm, "_LOST_SECONDS", 1.0)
        (tmp_path / "marks").mkdir()
        shards = split(1, 1)
        with slurm_executor(config_of(workers=1), Trouble(tmp_path / "marks", {0: "hang"}, times=1), run) as executor:
            executor.submit(shards[0])
            wait_until(lambda: attempts(tmp_path / "marks") or executor.wait(0.1))
            # Preempted.
            os.killpg(groups(jobs)[0], signal.SIGKILL)
            assert isinstance(next_of(executor)[0], Died)
            assert isinstance(drive(executor, shards)[0], Finished)
            assert len(groups(jobs)) == 2
        assert [group_members(group) for group in groups(jobs)] == [[], []]

    def test_a_job_that_slurm_refuses_is_told_in_its_words(self, jobs: Path, run: Path) -> None:
        with pytest.raises(WorkerError) as caught:
            slurm_executor(config_of(directives=["--partition-that-is-not"]), record_of, run)
        assert str(caught.value) == "SLURM does not take the job: sbatch: error: invalid partition specified"
        assert groups(jobs) == []

    def test_a_queue_that_does_not_move(self, jobs: Path, run: Path) -> None:
        config = config_of(start_seconds=0.5, prologue=["sleep 1000"], workers=1)
        with slurm_executor(config, record_of, run) as executor:
            executor.submit(split(1, 1)[0])
            with pytest.raises(WorkerError, match=r"no worker for 0 s, its jobs may still be queued \(squeue\)"):
                next_of(executor)
        assert [group_members(group) for group in groups(jobs)] == [[]]


class TestWithoutSlurm:
    def test_no_sbatch(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        with pytest.raises(WorkerError, match=r"^there is no sbatch on PATH: .*--dry-run.*--shards"):
            slurm_executor(config_of(), record_of, run)
        assert not (run / "logs").exists()

    def test_no_jobqueue(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        for attempt in (lambda: slurm_executor(config_of(), record_of, run), lambda: job_script(config_of(), run)):
            with pytest.raises(MissingDependencyError, match=r"needs dask-jobqueue: pip install 'facegen\[cluster\]'$"):
                attempt()

    def test_no_place_for_the_logs(self, jobs: Path, run: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=r"file/logs: cannot create the folder"):
            slurm_executor(config_of(log_folder=str(tmp_path / "file" / "logs")), record_of, run)
        assert groups(jobs) == []


class TestScript:
    def test_all_of_the_configuration_is_in_it(self, tmp_path: Path) -> None:
        config = SlurmConfig(
            workers_per_job=4,
            cores_per_worker=3,
            memory_per_worker="1.5 GiB",
            gpus_per_job=2,
            walltime="1-02:03:04",
            partition="gpu",
            account="faces",
            interface="ib0",
            directives=("--constraint=a100", "--qos=low"),
            prologue=("module load python", "ulimit -n 4096"),
            log_folder=str(tmp_path / "logs"),
        )
        script = job_script(config, tmp_path / "run")
        assert sorted(directives(script)) == sorted(
            [
                "-J facegen",
                "-p gpu",
                "-A faces",
                "-n 1",
                "--cpus-per-task=12",
                "--mem=6G",
                "-t 1-02:03:04",
                f"--output={tmp_path / 'logs'}/%j.out",
                "--gres=gpu:2",
                "--constraint=a100",
                "--qos=low",
            ]
        )
        lines = script.splitlines()
        assert lines.index("export OMP_NUM_THREADS=1") < lines.index("module load python") < len(lines) - 1
        assert lines[-1].startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://SCHEDULER:8786 ")
        for argument in ("--nthreads 1", "--nworkers 4", "--nanny", "--resources GPU=1", "--interface ib0"):
            assert f" {argument} " in f"{lines[-1]} "
        assert list(tmp_path.iterdir()) == []

    @given(st.builds(SlurmConfig, directives=st.just(()), prologue=st.just(()), log_folder=st.none()))
    def test_any_configuration_makes_a_script_that_bash_reads(self, config: SlurmConfig) -> None:
        script = job_script(config, Path("run"))
        found = directives(script)
        processes = config.workers_per_job
        assert f"--cpus-per-task={processes * config.cores_per_worker}" in found
        assert (f"--gres=gpu:{config.gpus_per_job}" in found) == (config.gpus_per_job > 0)
        assert (f"--nworkers {processes} " in script) == (processes > 1)


class TestShippedFiles:
    def test_the_configuration_is_complete_and_valid(self) -> None:
        values = yaml.safe_load((Path(configs.__path__[0]) / "cluster" / "slurm.yaml").read_text())
        assert list(values) == ["executor"]
        config = validate(SlurmConfig, values["executor"], source="slurm.yaml")
        assert values["executor"].keys() == SlurmConfig.model_fields.keys()
        assert job_script(config, Path("run"))

    def test_the_array_script_is_one_that_bash_reads(self) -> None:
        script = Path(configs.__path__[0]) / "cluster" / "array.sbatch"
        subprocess.run(["bash", "-n", str(script)], check=True)
        found = directives(script.read_text())
        assert "--requeue" in found
        assert any(line.startswith("--signal=B:TERM@") for line in found)

    @pytest.mark.parametrize(("task", "piece"), [("0", "0/4"), ("3", "3/4")])
    def test_a_task_of_the_array_makes_its_piece(self, tmp_path: Path, task: str, piece: str) -> None:
        command = tmp_path / "facegen"
        command.write_text('#!/bin/sh\necho "$@"\n')
        command.chmod(0o755)
        script = Path(configs.__path__[0]) / "cluster" / "array.sbatch"
        environment = os.environ | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": task,
            "SLURM_ARRAY_TASK_MIN": "0",
            "SLURM_ARRAY_TASK_COUNT": "4",
            "SLURM_CPUS_PER_TASK": "2",
        }
        done = subprocess.run(
            ["bash", str(script), "quickstart", "runs/a"], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["run", "quickstart", "--out", "runs/a", "--shards", piece, "--workers", "2"]

    def test_the_signal_before_the_end_reaches_facegen(self, tmp_path: Path) -> None:
        command = tmp_path / "facegen"
        command.write_text("#!/bin/bash\ntrap 'echo ending; exit 1' TERM\necho started\nsleep 100 & wait\n")
        command.chmod(0o755)
        script = Path(configs.__path__[0]) / "cluster" / "array.sbatch"
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "0"}
        with subprocess.Popen(
            ["bash", str(script), "quickstart", "runs/a"],
            env=environment | {"SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_CPUS_PER_TASK": "1"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            # SLURM sends it to the batch shell alone.
            process.terminate()
            assert process.stdout.readline() == "ending\n"
            os.killpg(process.pid, signal.SIGKILL)
