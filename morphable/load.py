"""From a configuration to a morphable model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.morphable.config import DefaultModelConfig, IctModelConfig

if TYPE_CHECKING:
    from facegen.morphable.model import MorphableModel


def load_model(config: DefaultModelConfig | IctModelConfig) -> MorphableModel:
    """The model that ``config`` names, read once per process.

    Raises:
        ConfigurationError: the path holds an environment variable that is not set.
        ModelError: the file is missing, damaged or another model.
    """
    if isinstance(config, DefaultModelConfig):
        return _load_default(config)
    return _load_ict(config.resolved_path(), config)


@lru_cache(maxsize=2)
def _load_default(config: DefaultModelConfig) -> MorphableModel:
    from facegen.morphable.bust import with_bust
    from facegen.morphable.default.embedded import load_default

    model = load_default(config.resolution, config.expressions)
    return with_bust(model) if config.bust else model


@lru_cache(maxsize=2)
def _load_ict(path: Path, config: IctModelConfig) -> MorphableModel:
    from facegen.morphable.bust import with_bust
    from facegen.morphable.ict.build import build_ict
    from facegen.morphable.ict.source import read_ict

    model = build_ict(read_ict(path), config.part, config.eyes, config.teeth)
    return with_bust(model) if config.bust else model
