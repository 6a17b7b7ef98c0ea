"""The wheel: every package, configuration and model file, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import facegen

ROOT = Path(facegen.__path__[0])
SOURCES = (
    "annotation",
    "benchmarks",
    "commands",
    "composition",
    "configs",
    "dataset",
    "evaluation",
    "imaging",
    "lighting",
    "manifold",
    "morphable",
    "pipeline",
    "stages",
    "tests",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel built from a copy of the sources."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("facegen is installed without its sources")
    copy = tmp_path_factory.mktemp("sources") / "facegen"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [*ROOT.glob("*.py"), *(ROOT / name for name in ("pyproject.toml", "LICENSE", "README.md"))]:
        if file.is_file():
            shutil.copy(file, copy)
    if not (copy / "README.md").is_file():
        (copy / "README.md").write_text("facegen\n")
    program = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    built = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(copy / "dist" / built.stdout.split()[-1]) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_every_source_but_the_tests_is_in_the_wheel(wheel: set[str]) -> None:
    files = [*ROOT.glob("*.py")]
    for name in SOURCES:
        if name != "tests":
            files += [
                file
                for ending in ("py", "yaml", "sbatch", "npz", "safetensors", "json")
                for file in (ROOT / name).rglob(f"*.{ending}")
            ]
    assert wheel == {f"facegen/{file.relative_to(ROOT).as_posix()}" for file in files}


def test_every_listed_package_is_there(wheel: set[str]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = settings["tool"]["setuptools"]["packages"]
    folders = {name.rpartition("/")[0].replace("/", ".") for name in wheel if name.endswith("__init__.py")}
    assert folders == set(packages)
    assert "facegen/configs/quickstart.yaml" in wheel
    assert not [name for name in wheel if "test" in name]
