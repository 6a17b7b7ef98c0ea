"""The configuration of a model, and loading it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facegen.errors import ConfigurationError, ModelError
from facegen.morphable.config import IctModelConfig
from facegen.morphable.load import load_model
from facegen.settings import validate
from facegen.tests.data_paths import shared_path


def test_variables_in_the_path_are_replaced_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEGEN_ICT", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/someone")
    assert IctModelConfig().path == Path("$FACEGEN_ICT")
    assert IctModelConfig().resolved_path() == tmp_path
    assert IctModelConfig(path=Path("${FACEGEN_ICT}/x.npz")).resolved_path() == tmp_path / "x.npz"
    assert IctModelConfig(path=Path("~/x.npz")).resolved_path() == Path("/home/someone/x.npz")


def test_an_unset_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEGEN_ICT", raising=False)
    with pytest.raises(ConfigurationError, match=r"FACEGEN_ICT is not set.*data/README\.md"):
        load_model(IctModelConfig())


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(IctModelConfig(path=tmp_path / "absent.npz"))


def test_a_full_head_without_eyes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="take 'head'"):
        validate(IctModelConfig, {"part": "full", "eyes": False}, source="run.yaml")


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'part'"):
        validate(IctModelConfig, {"part": "nose"}, source="run.yaml")


def test_a_model_is_read_once() -> None:
    config = IctModelConfig(
        path=shared_path("models/ict-facekit/ict_facekit.npz"), part="face", eyes=False, teeth=False
    )
    assert load_model(config) is load_model(config.model_copy())
    assert load_model(config).topology.vertex_count == 9409


def test_importing_the_package_is_light() -> None:
    """The command line's help must not wait for torch."""
    code = "import sys, facegen.morphable.load; print({'torch', 'scipy', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
