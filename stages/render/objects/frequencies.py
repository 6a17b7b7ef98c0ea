"""Relative frequencies: one of several names is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, Field

K = TypeVar("K", bound=str)

Frequency = Annotated[float, Field(ge=0)]


def _any_positive(frequencies: dict[K, float]) -> dict[K, float]:
    if sum(frequencies.values()) <= 0:
        raise ValueError("at least one frequency above 0 is needed")
    return frequencies


Frequencies = Annotated[dict[K, Frequency], AfterValidator(_any_positive)]
"""Names with their relative frequencies, not all 0; those that are not named are never drawn."""


def choose(frequencies: Mapping[K, float], rng: np.random.Generator) -> K:
    """One of the names; takes one number from ``rng``."""
    bounds = np.cumsum(list(frequencies.values()))
    number = int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))
    return list(frequencies)[min(number, len(bounds) - 1)]
