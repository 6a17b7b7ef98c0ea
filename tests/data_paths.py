"""Where tests find the face model and the recordings that are not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FACEGEN_TEST_DATA", Path(__file__).resolve().parents[1].parent / "shared"))


def shared_path(relative: str) -> Path:
    """The path of a test file; the test is skipped where it is absent."""
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"{path} is absent; set FACEGEN_TEST_DATA to the folder that holds it (see data/README.md)")
    return path
