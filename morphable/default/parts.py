"""The named amounts of ``parts.yaml``."""

from __future__ import annotations

from typing import Any

from facegen.morphable.default.tables import read_yaml


def amounts(part: str) -> dict[str, Any]:
    """The amounts of a part, mm and degrees. Not to be changed: they are shared."""
    found: dict[str, Any] = read_yaml("parts.yaml")[part]
    return found
