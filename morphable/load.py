"""From a configuration to a morphable model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.morphable.config import ModelConfig

if TYPE_CHECKING:
    from facegen.morphable.model import MorphableModel


def load_model(config: ModelConfig) -> MorphableModel:
    """The model that ``config`` names, read once per process.

    Raises:
        ConfigurationError: the path holds an environment variable that is not set.
        ModelError: the file is missing, damaged or another model.
    """
    return _load(config.resolved_path(), config)


@lru_cache(maxsize=2)
def _load(path: Path, config: ModelConfig) -> MorphableModel:
    from facegen.morphable.build import build_ict
    from facegen.morphable.bust import with_bust
    from facegen.morphable.ict import read_ict

    model = build_ict(read_ict(path), config.part, config.eyes, config.teeth)
    return with_bust(model) if config.bust else model
