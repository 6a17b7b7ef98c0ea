"""Waiting for something to become so."""

from __future__ import annotations

import time
from typing import Any


def wait_until(condition: Any, seconds: float = 60) -> Any:
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError(f"not within {seconds} s")
