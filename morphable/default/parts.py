"""The named amounts of ``parts.yaml``."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


@lru_cache(maxsize=1)
def _read() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(
        files("facegen.morphable.default").joinpath("parts.yaml").read_text(encoding="utf-8")
    )
    return values


def amounts(part: str) -> dict[str, Any]:
    """The amounts of a part, mm and degrees. Not to be changed: they are shared."""
    found: dict[str, Any] = _read()[part]
    return found
