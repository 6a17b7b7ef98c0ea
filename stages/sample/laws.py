"""Laws of distribution of coefficients: those of numbers, and those that draw whole faces or people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import Constant, Gaussian, Mixture, Uniform


class Empirical(Section):
    """A frame of recorded performances, chosen uniformly, with optional jitter (expression only)."""

    law: Literal["empirical"] = "empirical"
    recordings: tuple[Path, ...] = Field(min_length=1)
    """Live Link Face CSV files; ``$NAME`` in a path is an environment variable."""
    jitter: float = Field(default=0.0, ge=0)
    """Standard deviation of Gaussian noise added to each weight before it is clipped to its bounds."""


class FromPopulation(Section):
    """One person of the model's population, whose identity, albedo and iris belong together (not for other numbers)."""

    law: Literal["population"] = "population"


VectorLaw = Annotated[Uniform | Gaussian | Constant | Mixture | Empirical, Field(discriminator="law")]
PersonLaw = Annotated[Uniform | Gaussian | Constant | Mixture | FromPopulation, Field(discriminator="law")]
