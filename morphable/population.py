"""A population of faces: the joint law of shape, colours and eyes of people, by sex, age and ancestry.

Attributes are drawn first; identity and albedo coefficients follow them in the mean and vary about it. The law is
plain numbers, so that a model can ship it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

CLIP = 2.5
"""Standard normal numbers are clipped here: beyond lie odd faces."""

LEAST_FREQUENCY = 1e-6
"""Of an iris colour in any ancestry."""


@dataclass(frozen=True)
class Attributes:
    """Of one person, or of H people in arrays with a leading axis."""

    sex: Float
    """-1 female … +1 male."""
    age: Float
    """Years."""
    ancestry: Float
    """(..., K) shares that sum to 1."""

    def caption(self) -> str:
        """One person's sex and age in words."""
        return f"{'man' if self.sex > 0 else 'woman'}, {self.age:.0f}"


@dataclass(frozen=True)
class AttributeLaw:
    """How attributes are distributed, and the terms by which other things depend on them."""

    sex_spread: float
    """Standard deviation about -1 or +1, before sex is clipped to -1 … 1."""
    age: Float
    """(4,) youngest and oldest, years, and the two parameters of a beta law between them."""
    age_terms: Float
    """(3,) the age where the first term is 0, the age where the second starts, and the scale of both; years."""
    concentration: Float
    """(K,) of the Dirichlet law of ancestry."""

    def draw(self, rng: np.random.Generator, count: int) -> Attributes:
        """Attributes of ``count`` people."""
        sign = np.where(rng.random(count) < 0.5, -1.0, 1.0)
        sex = (sign + self.sex_spread * rng.standard_normal(count)).clip(-1, 1)
        youngest, oldest, low, high = self.age
        age = youngest + (oldest - youngest) * rng.beta(low, high, count)
        return Attributes(sex, age, rng.dirichlet(self.concentration, count))

    def terms(self, attributes: Attributes) -> Float:
        """(..., 3 + K) sex, age, old age and ancestry shares, each of mean 0 in the population (age: nearly)."""
        centre, onset, scale = self.age_terms
        age = (attributes.age - centre) / scale
        old = np.maximum(attributes.age - onset, 0) / scale - self._mean_old_age
        shares = attributes.ancestry - self.concentration / self.concentration.sum()
        return np.concatenate([np.stack([attributes.sex, age, old], axis=-1), shares], axis=-1)

    @cached_property
    def _mean_old_age(self) -> float:
        youngest, oldest, low, high = self.age
        _, onset, scale = self.age_terms
        years = youngest + (oldest - youngest) * betaincinv(low, high, (np.arange(1000) + 0.5) / 1000)
        return float((np.maximum(years - onset, 0) / scale).mean())


@dataclass(frozen=True)
class PopulationDraw:
    """One person."""

    attributes: Attributes
    """Of no leading axis."""
    identity: Float32
    """(Ki,) in σ."""
    albedo: Float32
    """(Ka,) in σ."""
    iris: Float32
    """(3,) linear RGB."""


@dataclass(frozen=True)
class Population:
    """The joint law of a model's people: Ki identity and Ka albedo coefficients, q = 3 + K terms of attributes."""

    ancestries: tuple[str, ...]
    """(K,) names."""
    albedo_names: tuple[str, ...]
    """(Ka,)."""
    iris_names: tuple[str, ...]
    """(m,) colours."""
    attributes: AttributeLaw
    identity_map: Float
    """(Ki, 1 + q) identity coefficients are ``identity_map @ [1, terms] + identity_factor @ ε``."""
    identity_factor: Float
    """(Ki, Ki)."""
    albedo_map: Float
    """(Ka, 1 + q) as for identity."""
    albedo_spread: Float
    """(Ka,) standard deviation about that."""
    albedo_bounds: Float
    """(Ka, 2) to which albedo coefficients are clipped."""
    iris_colours: Float
    """(m, 3) linear RGB."""
    iris_frequencies: Float
    """(K, m) of the colours in each ancestry; rows sum to 1. Those of a mixture are their product, each to the power
    of its share: a colour that one of the ancestries does not have is rare in it."""
    albedo_limits: Float = field(default_factory=lambda: np.zeros((0, 5)))
    """(r, 5) what two coefficients of one person allow each other, one row after the other: number i of the limited
    and j of the limiting coefficient, side, offset and slope. ``albedo[i]`` is at least (side +1) or at most (-1)
    ``offset + slope · albedo[j]``, as far as its bounds allow."""

    def draw_attributes(self, rng: np.random.Generator) -> Attributes:
        """Attributes of one person."""
        drawn = self.attributes.draw(rng, 1)
        return Attributes(drawn.sex[0], drawn.age[0], drawn.ancestry[0])

    def draw(self, rng: np.random.Generator, attributes: Attributes | None = None) -> PopulationDraw:
        """One person, of given attributes or of drawn ones.

        Identity coefficients have about mean 0 and standard deviation 1 over the population.
        """
        attributes = self.draw_attributes(rng) if attributes is None else attributes
        identity, albedo = self.expected(attributes)
        identity = identity + self.identity_factor @ rng.standard_normal(len(identity)).clip(-CLIP, CLIP)
        albedo = albedo + self.albedo_spread * rng.standard_normal(len(albedo)).clip(-CLIP, CLIP)
        limited = self._limited(albedo).astype(np.float32)
        return PopulationDraw(attributes, identity, limited, self._draw_iris(attributes, rng))

    def expected(self, attributes: Attributes) -> tuple[Float, Float]:
        """Mean identity (..., Ki) and, before clipping, albedo (..., Ka) coefficients of people of some attributes."""
        terms = self.attributes.terms(attributes)
        regressors = np.concatenate([np.ones((*terms.shape[:-1], 1)), terms], axis=-1)
        return regressors @ self.identity_map.T, regressors @ self.albedo_map.T

    def _limited(self, albedo: Float) -> Float:
        """(Ka,) within the bounds and the limits."""
        low, high = self.albedo_bounds.T
        limited = albedo.clip(low, high)
        for of, by, side, offset, slope in self.albedo_limits:
            i, bound = int(of), offset + slope * limited[int(by)]
            limited[i] = (max if side > 0 else min)(limited[i], float(np.clip(bound, low[i], high[i])))
        return limited

    def _draw_iris(self, attributes: Attributes, rng: np.random.Generator) -> Float32:
        frequencies = np.exp(attributes.ancestry @ np.log(self.iris_frequencies + LEAST_FREQUENCY))
        bounds = np.cumsum(frequencies) / frequencies.sum()
        chosen = int(np.searchsorted(bounds, rng.random(), side="right").clip(0, len(bounds) - 1))
        varied = np.exp(0.25 * rng.standard_normal() + 0.08 * rng.standard_normal(3))
        colour: Float = self.iris_colours[chosen] * varied
        return colour.astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named plain arrays for a file; names of things are UTF-8 bytes, one a line."""
        arrays: dict[str, NDArray[Any]] = {}
        for entry in fields(self):
            value, name = getattr(self, entry.name), entry.name
            if isinstance(value, tuple):
                arrays[name] = np.frombuffer("\n".join(value).encode(), np.uint8).copy()
            elif isinstance(value, AttributeLaw):
                arrays |= {f"{name}.{part.name}": np.asarray(getattr(value, part.name)) for part in fields(value)}
            else:
                arrays[name] = value
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Population:
        """The population of :meth:`to_arrays`."""

        def names(key: str) -> tuple[str, ...]:
            return tuple(bytes(arrays[key]).decode().split("\n"))

        def numbers(key: str) -> Float:
            return arrays[key].astype(np.float64)

        return cls(
            ancestries=names("ancestries"),
            albedo_names=names("albedo_names"),
            iris_names=names("iris_names"),
            attributes=AttributeLaw(
                sex_spread=float(arrays["attributes.sex_spread"]),
                age=numbers("attributes.age"),
                age_terms=numbers("attributes.age_terms"),
                concentration=numbers("attributes.concentration"),
            ),
            identity_map=numbers("identity_map"),
            identity_factor=numbers("identity_factor"),
            albedo_map=numbers("albedo_map"),
            albedo_spread=numbers("albedo_spread"),
            albedo_bounds=numbers("albedo_bounds"),
            iris_colours=numbers("iris_colours"),
            iris_frequencies=numbers("iris_frequencies"),
            **({"albedo_limits": numbers("albedo_limits")} if "albedo_limits" in arrays else {}),
        )

    def describe(self) -> dict[str, Any]:
        """The law in plain values: how attributes are distributed, and what they do to each albedo coefficient.

        ``text`` is the same for people to read.
        """
        terms = ("sex", "age", "old age", *self.ancestries)
        shifts = {
            name: dict(zip((*terms, "chance"), np.append(row[1:], spread).round(3).tolist(), strict=True))
            for name, row, spread in zip(self.albedo_names, self.albedo_map, self.albedo_spread, strict=True)
        }
        iris = {
            name: dict(zip(self.iris_names, row.round(3).tolist(), strict=True))
            for name, row in zip(self.ancestries, self.iris_frequencies, strict=True)
        }
        return {
            "age": self.attributes.age[:2].tolist(),
            "ancestries": list(self.ancestries),
            "albedo": shifts,
            "iris": iris,
            "text": self._text(shifts, iris),
        }

    def _text(self, shifts: dict[str, dict[str, float]], iris: dict[str, dict[str, float]]) -> str:
        youngest, oldest = self.attributes.age[:2]
        heads = [name[:11] for name in next(iter(shifts.values()), {})]
        lines = [
            "population: sex from -1 (female) to +1 (male), mostly near the ends; "
            f"age {youngest:.0f} … {oldest:.0f}; ancestry a mixture of {', '.join(self.ancestries)}",
            "",
            "albedo, σ".ljust(22) + "".join(head.rjust(12) for head in heads),
            *(name.ljust(22) + "".join(f"{v:+12.2f}" for v in row.values()) for name, row in shifts.items()),
            "",
            "iris, %".ljust(22) + "".join(name.rjust(12) for name in self.iris_names),
            *(name.ljust(22) + "".join(f"{100 * v:12.0f}" for v in row.values()) for name, row in iris.items()),
        ]
        return "\n".join(lines)
