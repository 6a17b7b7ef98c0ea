"""Laws of distribution that stages share: how a group of numbers is drawn for one face."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from facegen.settings import Section

Float64 = NDArray[np.float64]


class Uniform(Section):
    """Uniform between two bounds, each number independently; ``width: n`` stands for -n … n."""

    law: Literal["uniform"] = "uniform"
    low: float | None = None
    """Lower bound."""
    high: float | None = None
    """Upper bound."""
    width: float | None = Field(default=None, ge=0)
    """Half the width of a law symmetric about 0."""

    @model_validator(mode="after")
    def _one_form(self) -> Uniform:
        if (self.width is None) == (self.low is None and self.high is None):
            raise ValueError("a uniform law takes either 'width' or both 'low' and 'high'")
        if self.width is None:
            if self.low is None or self.high is None:
                raise ValueError("a uniform law takes either 'width' or both 'low' and 'high'")
            if self.low > self.high:
                raise ValueError(f"'low' is {self.low}, above 'high', {self.high}")
        return self

    def draw(self, rng: np.random.Generator, count: int) -> Float64:
        """Numbers (count,)."""
        low, high = (self.low, self.high) if self.width is None else (-self.width, self.width)
        assert low is not None
        assert high is not None
        return low + (high - low) * rng.random(count)


class Gaussian(Section):
    """Normal, each number independently."""

    law: Literal["gaussian"] = "gaussian"
    mean: float = 0.0
    """Mean."""
    sigma: float = Field(default=1.0, ge=0)
    """Standard deviation."""

    def draw(self, rng: np.random.Generator, count: int) -> Float64:
        """Numbers (count,)."""
        return self.mean + self.sigma * rng.standard_normal(count)


class Constant(Section):
    """Always the same number."""

    law: Literal["constant"] = "constant"
    value: float = 0.0
    """The number."""

    def draw(self, rng: np.random.Generator, count: int) -> Float64:
        """Numbers (count,); draws nothing from ``rng``."""
        return np.full(count, self.value)


class Component(Section):
    """One part of a mixture."""

    weight: float = Field(gt=0)
    """Relative probability."""
    law: Annotated[Uniform | Gaussian | Constant, Field(discriminator="law")]
    """What is drawn when this part is chosen."""


class Mixture(Section):
    """One of several laws, chosen anew for each number or once for the whole face."""

    law: Literal["mixture"] = "mixture"
    components: tuple[Component, ...] = Field(min_length=1)
    """The laws and their weights."""
    per: Literal["coefficient", "face"] = "coefficient"
    """Whether each number chooses its law, or all numbers of a face together."""

    def draw(self, rng: np.random.Generator, count: int) -> Float64:
        """Numbers (count,)."""
        weights = np.array([component.weight for component in self.components])
        bounds = np.cumsum(weights) / weights.sum()
        choices = rng.random(count if self.per == "coefficient" else 1)
        chosen = np.broadcast_to(np.searchsorted(bounds, choices, side="right").clip(0, len(bounds) - 1), count)
        drawn = np.stack([component.law.draw(rng, count) for component in self.components])
        numbers: Float64 = drawn[chosen, np.arange(count)]
        return numbers


ScalarLaw = Annotated[Uniform | Gaussian | Constant | Mixture, Field(discriminator="law")]
