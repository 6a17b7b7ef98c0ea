"""What all tests share: the face models, and a small run to look at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facegen.manifold.checkpoint import METHODS
from facegen.morphable.coefficients import Group
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.pipeline.executors.worker import THREAD_VARIABLES, single_thread
from facegen.tests.autoencoders import Studio, studio_of, write_autoencoder
from facegen.tests.command import quickstart
from facegen.tests.data_paths import shared_path
from facegen.tests.denoisers import Denoisers, write_denoiser

# Workers use one thread, and the bits of a matrix product may depend on their number. Commands started here inherit it.
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
single_thread()


@pytest.fixture(autouse=True, scope="session")
def _one_run_configuration_for_all() -> None:
    """Shield the tests from the caller's environment."""
    os.environ.pop("PYOPENGL_PLATFORM", None)


@pytest.fixture(scope="session")
def ict() -> Path:
    """The file of the real face model, which ``FACEGEN_ICT`` names while the tests run."""
    path = shared_path("models/ict-facekit/ict_facekit.npz")
    os.environ["FACEGEN_ICT"] = str(path)
    return path


@pytest.fixture(scope="session")
def head() -> MorphableModel:
    """The model of the small runs: the embedded head with few vertices."""
    return load_model(DefaultModelConfig(resolution="coarse", bust=False))


@pytest.fixture(scope="session")
def denoisers(head: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Denoisers:
    """Small denoisers of every method for both groups of the small runs' model. Not to be changed."""
    folder = tmp_path_factory.mktemp("denoisers")
    groups: tuple[Group, ...] = ("identity", "expression")
    return {(group, method): write_denoiser(folder, head, group, method) for group in groups for method in METHODS}


@pytest.fixture(scope="session")
def studio(head: MorphableModel) -> Studio:
    """Faces, mesh hierarchy and parts of the small runs' model. Not to be changed."""
    return studio_of(head)


@pytest.fixture(scope="session")
def autoencoder(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small autoencoder of the small runs' model. Not to be changed."""
    return write_autoencoder(tmp_path_factory.mktemp("autoencoder"), studio)


@pytest.fixture(scope="session")
def clean_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 48 faces in three shards. Not to be changed."""
    run = tmp_path_factory.mktemp("clean") / "run"
    outcome = quickstart("run", run)
    assert outcome.code == 0, outcome.err
    return run
