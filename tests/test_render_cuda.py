"""The CUDA back-end without a GPU: in numba's simulator, and refused in one line where there is neither."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facegen.errors import RenderError
from facegen.stages.plan import plan
from facegen.stages.render import backends, cuda_device
from facegen.stages.render.backends import make_renderer, resolved
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.torch_backend import TorchRenderer
from facegen.tests.small_balls import ball

QUICK = "bit_identical or coverage or floor or refused or products or alone or (picture and perspective-True)"
"""Of the tests in simulated_cuda.py, those that take a second; ``make simulate`` runs them all, in minutes."""


def test_in_the_simulator() -> None:
    file = Path(__file__).with_name("simulated_cuda.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", QUICK, str(file)],
        capture_output=True, text=True, timeout=600, check=False, cwd=file.parents[1],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_auto_is_cuda_on_a_gpu_and_numba_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = RenderConfig(size=16, backend="auto")
    monkeypatch.setattr(backends, "on_gpu", lambda: True)
    assert resolved(automatic).backend == "cuda"
    monkeypatch.setattr(backends, "on_gpu", lambda: False)
    assert resolved(automatic) == automatic.model_copy(update={"backend": "numba"})
    assert isinstance(make_renderer(automatic, ball()), NumbaRenderer)
    torch = RenderConfig(size=16, backend="torch")
    assert resolved(torch) is torch
    assert isinstance(make_renderer(torch, ball()), TorchRenderer)


def test_a_run_records_what_auto_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "on_gpu", lambda: False)
    automatic, chosen = (
        plan({"faces": 1, "render": {"size": 16, "backend": name}}, source="x") for name in ("auto", "numba")
    )
    assert automatic.description() == chosen.description()
    assert automatic.configuration["render"]["backend"] == "numba"


def test_a_machine_without_cuda_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cuda_device, "missing", lambda: cuda_device.Missing("numba finds no usable NVIDIA GPU", "nvidia-smi")
    )
    with pytest.raises(RenderError) as caught:
        make_renderer(RenderConfig(size=16, backend="cuda"), ball())
    assert str(caught.value) == (
        "render.backend is 'cuda', and numba finds no usable NVIDIA GPU; take 'numba' or 'auto', or run: nvidia-smi"
    )
    assert not cuda_device.on_gpu()


@pytest.mark.parametrize(
    ("available", "refusal", "implementation", "reason"),
    [
        (True, None, "NVIDIA", None),
        (False, "no driver", "NVIDIA", "numba finds no usable NVIDIA GPU"),
        (True, None, "Built-in", "NVIDIA's package numba-cuda is not installed"),
        (False, None, "NVIDIA", "numba-cuda finds no CUDA compiler"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, available: bool, refusal: str | None, implementation: str, reason: str | None
) -> None:
    from numba import cuda

    monkeypatch.setattr(cuda, "is_available", lambda: available)
    monkeypatch.setattr(cuda, "cuda_error", lambda: refusal)
    monkeypatch.setattr(cuda, "implementation", implementation)
    monkeypatch.setattr(cuda_device, "simulated", lambda: False)
    lacking = cuda_device.missing()
    assert (lacking and lacking.reason) == reason
    if lacking is not None and "numba-cuda" in lacking.reason:
        assert lacking.command == "pip install 'facegen[cuda]'"
