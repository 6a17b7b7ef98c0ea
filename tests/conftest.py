"""What all tests share: where the real data are, and a small run to look at."""

from __future__ import annotations

import os

import pytest

from facegen.pipeline.local import single_thread

# Workers use one thread, and the bits of a matrix product may depend on their number.
single_thread()


@pytest.fixture(autouse=True, scope="session")
def _one_run_configuration_for_all() -> None:
    """Shield the tests from the caller's environment."""
    os.environ.pop("PYOPENGL_PLATFORM", None)
