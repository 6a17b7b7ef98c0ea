"""Which GPUs there are, and who gets which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import ConfigurationError
from facegen.pipeline.executors.dask_worker import dask_setup
from facegen.pipeline.executors.gpus import gpu_of, visible_gpus

LISTING = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-66666666-2222-3333-4444-555555555555)
  MIG 1g.10gb     Device  0: (UUID: MIG-aaaaaaaa-2222-3333-4444-555555555555)
  MIG 1g.10gb     Device  1: (UUID: MIG-bbbbbbbb-2222-3333-4444-555555555555)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-77777777-2222-3333-4444-555555555555)
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nvidia-smi of a machine, on PATH alone; its GPUs are to be listed."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def answer(command: Path, listing: str, code: int = 0) -> None:
    command.write_text(f"#!/bin/sh\n[ \"$*\" = -L ] || exit 9\necho '{listing}'\nexit {code}\n")
    command.chmod(0o755)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0,1", ("0", "1")),
        (" 3 , GPU-1a2b,MIG-77", ("3", "GPU-1a2b", "MIG-77")),
        ("", ()),
        ("-1", ()),
        ("2,-1,3", ("2",)),
        ("NoDevFiles", ()),
    ],
)
def test_what_the_environment_names(value: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus("auto") == expected
    assert visible_gpus(len(expected)) == expected
    assert visible_gpus(0) == ()
    with pytest.raises(ConfigurationError) as caught:
        visible_gpus(len(expected) + 1)
    assert str(caught.value) == (
        f"executor.gpus: {len(expected) + 1} asked for, CUDA_VISIBLE_DEVICES={value} names {len(expected) or 'none'}"
    )


def test_what_the_machine_has(machine: Path) -> None:
    answer(machine, LISTING)
    found = visible_gpus("auto")
    assert [name[:12] for name in found] == ["GPU-11111111", "MIG-aaaaaaaa", "MIG-bbbbbbbb", "GPU-77777777"]
    assert visible_gpus(2) == found[:2]
    with pytest.raises(ConfigurationError, match=r"^executor\.gpus: 5 asked for, nvidia-smi lists 4$"):
        visible_gpus(5)


def test_a_machine_without(machine: Path) -> None:
    assert visible_gpus("auto") == ()
    answer(machine, "NVIDIA-SMI has failed because it could not communicate with the driver.", 9)
    assert visible_gpus("auto") == ()
    with pytest.raises(ConfigurationError, match=r"1 asked for, nvidia-smi lists none$"):
        visible_gpus(1)


@given(st.lists(st.text(), max_size=9), st.integers(0, 10**6))
def test_they_are_shared_out_in_turn(gpus: list[str], worker: int) -> None:
    assert gpu_of(worker, gpus) == (gpus[worker % len(gpus)] if gpus else None)


@pytest.mark.parametrize(("name", "expected"), [("facegen-0-0", "3"), ("facegen-0-1", "4"), ("facegen-7-2", "3")])
def test_a_worker_of_a_job_gets_one_by_its_name(name: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nanny:
        env: dict[str, str] = {}  # noqa: RUF012

    nanny = Nanny()
    nanny.name = name  # type: ignore[attr-defined]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    dask_setup(nanny)
    assert nanny.env == {"CUDA_VISIBLE_DEVICES": expected}


def test_cuda_is_not_touched() -> None:
    code = "import sys, facegen.pipeline.executors.gpus as g; g.visible_gpus('auto'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
