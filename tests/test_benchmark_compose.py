"""The compose benchmark: what it reports, and that what it compares with is the same network; never its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.benchmarks import compose as benchmark
from facegen.composition.hierarchy import build
from facegen.composition.network import Architecture, MeshAutoencoder
from facegen.errors import MissingDependencyError
from facegen.morphable.model import MorphableModel
from facegen.tests.command import facegen, only_line
from facegen.tests.surfaces import ball, sheet, together

pytest.importorskip("torch_geometric", reason="torch-geometric is not installed: pip install 'facegen[benchmark]'")


@pytest.fixture
def small(head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> MorphableModel:
    """The model of the small runs in place of the embedded one, and no other."""
    monkeypatch.delenv("FACEGEN_ICT", raising=False)
    monkeypatch.setattr(benchmark, "load_model", lambda config: head)
    monkeypatch.setattr(benchmark, "FACTORS", (4, 4, 2, 2))
    return head


def test_report_has_all_figures(small: MorphableModel) -> None:
    before = torch.get_num_threads()
    report = benchmark.run(None, repeats=1)
    assert torch.get_num_threads() == before
    assert json.loads(json.dumps(report)) == report
    step, use = report["training"], report["use"]
    assert (step["model"], step["vertices"], step["batch"], step["order"]) == ("default", 2302, 8, 6)
    assert step["channels"] == [3, 16, 16, 16, 32]
    assert step["sizes"] == [2302, 576, 144, 72, 36]
    assert step["library_ratio"] > 0
    assert step["ours_ms"] > 0
    assert step["library_ms"] > 0
    assert step["ours_peak_mib"] >= 0
    assert step["library_peak_mib"] >= 0
    assert 0 <= step["largest_difference"] < 4e-6
    assert step["spread"] > 0.01
    assert (use["model"], use["vertices"]) == ("default", 2302)
    assert all(use[f"{name}_per_core_second"] > 0 for name in ("encode", "decode", "swap"))
    lines = benchmark.text(report).splitlines()
    assert len(lines) == 3
    assert "2,302 vertices" in lines[0]


def test_the_command_prints_json(small: MorphableModel) -> None:
    outcome = facegen("benchmark", "compose", "--json", "--repeats", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert set(outcome.json) == {"training", "use"}


@pytest.mark.parametrize("named", [True, False])
def test_a_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    # What is named and absent is not replaced by another.
    path = tmp_path / "nothing.npz"
    monkeypatch.setenv("FACEGEN_ICT", str(path))
    outcome = facegen("benchmark", "compose", *(("--model", str(path)) if named else ()))
    assert (outcome.code, outcome.out) == (2, "")
    assert str(path) in only_line(outcome.err)


def test_without_torch_geometric_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(MissingDependencyError, match=r"install it with: pip install 'facegen\[benchmark\]'$"):
        benchmark.run(None, 1)
    assert "facegen[benchmark]" in only_line(facegen("benchmark", "compose").err)


def test_what_it_is_compared_with_is_the_same_network() -> None:
    hierarchy = build(*together(ball(10, 12), sheet(7, 8)), (3, 4))
    weights = np.random.default_rng(0).random((hierarchy.sizes[-1], 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = MeshAutoencoder(hierarchy, weights / weights.sum(axis=1, keepdims=True), Architecture((4, 8), 6, 5))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    theirs = benchmark.LibraryConvolutions(ours, hierarchy)
    ours, theirs = ours.double(), theirs.double()
    x = torch.randn(hierarchy.sizes[0], 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = x.clone().requires_grad_(), x.transpose(0, 1).clone().requires_grad_()
    # The Laplacian of ours is rounded to float32.
    found, wanted = ours(one), theirs(other)
    torch.testing.assert_close(wanted.transpose(0, 1), found, rtol=1e-6, atol=1e-6)
    for answer, target in ((found, x), (wanted, x.transpose(0, 1))):
        ours.zero_grad()
        (answer - target).square().mean().backward()
    assert one.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(other.grad.transpose(0, 1), one.grad, rtol=1e-5, atol=1e-7)


def test_growth_of_memory_is_seen() -> None:
    # In a process of its own: what other tests left behind may be given back to the system at any moment.
    script = """
import numpy as np
from facegen.benchmarks.timing import peak_mib

kept = []
still = peak_mib(lambda: None)
# So large that they are never made of memory that was freed before.
grown = peak_mib(lambda: kept.extend(np.ones(2**23) for _ in range(2)))
print(still, grown)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    still, grown = map(float, done.stdout.split())
    assert still < 16
    assert 112 < grown < 200
