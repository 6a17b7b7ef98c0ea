"""The numbers and colours that are kept as data: the YAML files of this folder."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


@lru_cache(maxsize=16)
def read_yaml(path: str) -> dict[str, Any]:
    """The contents of a file, by its path below this folder. Not to be changed: they are shared."""
    text = files("facegen.morphable.default").joinpath(path).read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values
