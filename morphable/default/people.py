"""The default model's population, fitted to drawn heads and read from the tables of attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.components import Components
from facegen.morphable.default.draw import attribute_law, term_names
from facegen.morphable.default.identity import effects_of
from facegen.morphable.default.tables import read_yaml
from facegen.morphable.population import Population

Float = NDArray[np.float64]

_LOW, _HIGH = -2.4, 2.4


def read_people() -> dict[str, Any]:
    """The contents of ``people.yaml``. Not to be changed: it is shared."""
    return read_yaml("people.yaml")


def fit_population(components: Components) -> Population:
    """The joint law of the identity components, by linear regression on the drawn heads, and of the albedo."""
    terms = attribute_law().terms(components.attributes)
    regressors = np.concatenate([np.ones((len(terms), 1)), terms], axis=1)
    # Shares sum to 1, so the regressors are dependent: the smallest of the solutions.
    identity_map = np.linalg.lstsq(regressors, components.coefficients, rcond=1e-9)[0].T
    residual = components.coefficients - regressors @ identity_map.T
    covariance = np.cov(residual, rowvar=False, bias=True) + 1e-9 * np.eye(residual.shape[1])
    return population_about(identity_map, np.linalg.cholesky(covariance).astype(np.float64))


def population_about(identity_map: Float, identity_factor: Float) -> Population:
    """The population whose identity coefficients follow a law, with the tables' albedo and irises.

    Args:
        identity_map: (K, 1 + q), see :class:`Population`.
        identity_factor: (K, K).
    """
    table = read_people()
    names = tuple(table["albedo"])
    entries = list(table["albedo"].values())
    of_terms = [
        {name: value for name, value in entry.items() if name not in ("at", "spread", "low", "high")}
        for entry in entries
    ]
    iris, ancestries = table["iris"], term_names()[3:]
    return Population(
        ancestries=ancestries,
        albedo_names=names,
        iris_names=tuple(iris["colours"]),
        attributes=attribute_law(),
        identity_map=identity_map,
        identity_factor=identity_factor,
        albedo_map=np.stack(
            [
                [entry.get("at", 0.0), *effects_of(shifts, term_names())]
                for entry, shifts in zip(entries, of_terms, strict=True)
            ]
        ),
        albedo_spread=np.array([entry["spread"] for entry in entries]),
        albedo_bounds=np.array([[entry.get("low", _LOW), entry.get("high", _HIGH)] for entry in entries]),
        iris_colours=np.array(list(iris["colours"].values())),
        iris_frequencies=np.stack(
            [effects_of(iris["frequencies"][name], tuple(iris["colours"])) for name in ancestries]
        ),
        albedo_limits=np.array([_limit(rule, names) for rule in table["limits"]]),
    )


def _limit(rule: dict[str, Any], names: tuple[str, ...]) -> list[float]:
    """A row of :attr:`Population.albedo_limits`."""
    side, line = (1.0, rule["least"]) if "least" in rule else (-1.0, rule["most"])
    return [names.index(rule["of"]), names.index(rule["by"]), side, line["at"], line["slope"]]
