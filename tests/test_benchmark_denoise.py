"""The denoise benchmark: what it reports, and that what it compares with is the same network; never its times."""

from __future__ import annotations

import torch

from facegen.benchmarks.denoise import LibraryConvolutions, run, text
from facegen.manifold.checkpoint import METHODS
from facegen.manifold.convolutional import ConvolutionalDenoiser
from facegen.tests.command import facegen


def test_report_has_all_figures() -> None:
    before = torch.get_num_threads()
    report = run(repeats=1)
    assert torch.get_num_threads() == before
    rows = report["denoisers"]
    assert [(row["group"], row["method"]) for row in rows] == [
        (group, method) for group in ("identity", "expression") for method in METHODS
    ]
    for row in rows:
        assert row["faces_per_core_second"] > 0
        assert (row["library_ratio"] is not None) == (row["method"] == "convolutional")
        assert (row["gpu_faces_per_second"] is not None) == torch.cuda.is_available()
    lines = text(report).splitlines()
    assert len(lines) == len(rows) + 2
    assert "library" in lines[-1]


def test_the_command_prints_json() -> None:
    outcome = facegen("benchmark", "denoise", "--json", "--repeats", "1")
    assert outcome.code == 0
    assert outcome.err == ""
    assert set(outcome.json) == {"block", "vertices", "decode_us_per_face", "denoisers", "gpu"}


def test_what_it_is_compared_with_gives_the_same_faces() -> None:
    torch.manual_seed(0)
    ours = ConvolutionalDenoiser(68).double()
    raw = torch.randn(5, 68, dtype=torch.float64)
    torch.testing.assert_close(LibraryConvolutions(ours)(raw), ours(raw), rtol=0, atol=1e-12)
