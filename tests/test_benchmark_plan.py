"""The benchmark of `facegen plan`: what it foretells of a run that is then made."""

from __future__ import annotations

import pytest

from facegen.benchmarks.plan import run, text
from facegen.tests.command import SMALL


def test_what_is_foretold_comes_true() -> None:
    overrides = [word for word in SMALL[: SMALL.index("--workers")] if word != "--set"]
    result = run("quickstart", faces=32, times=2, workers=1, overrides=overrides)
    assert (result["calibration_faces"], result["faces"], result["workers"]) == (48, 96, 1)
    predicted, actual = result["predicted"], result["actual"]
    assert (predicted["files"], predicted["folders"]) == (actual["files"], actual["folders"])
    assert predicted["bytes"] == pytest.approx(actual["bytes"], rel=0.02)
    # How long it takes is what the benchmark is for, not this test.
    assert predicted["wall_seconds"] > 0 < actual["wall_seconds"]
    for name, ratio in result["predicted_over_actual"].items():
        assert ratio == pytest.approx(predicted[name] / actual[name], abs=1e-4)
    said = text(result)
    assert "48 faces foretell 96 with --workers 1" in said
    assert len(said.splitlines()) == 2 + len(predicted)
