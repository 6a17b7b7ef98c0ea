"""Draws of whole heads: attributes, then measurements and free fields, then displacements of the control points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.identity import (
    antisymmetric_fields,
    calibrated_points,
    effects_of,
    newton,
    read_table,
    settled,
    symmetric_fields,
)
from facegen.morphable.default.measurements import Measurements
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.population import CLIP, AttributeLaw, Attributes

Float = NDArray[np.float64]

MODES = 60
"""Modes kept of each component of a Gaussian residual."""

LEAST_SPREAD = 0.6
"""Of a measurement's standard deviation within a sex, what is left to chance however much attributes explain."""


@dataclass(frozen=True)
class Heads:
    """H heads as linear combinations of displacements of the left control points."""

    attributes: Attributes
    symmetric_amounts: Float
    """(H, f)."""
    symmetric: Float
    """(f, n, 3) mm; the right half mirrors them."""
    free: slice
    """Which of the f are the fields that no measurement fixes."""
    antisymmetric_amounts: Float
    """(H, g)."""
    antisymmetric: Float
    """(g, n, 3) mm; the right half does the opposite of their mirror image."""


def draw_heads(network: ControlNetwork, count: int, seed: int) -> Heads:
    """Draw heads by the law of ``anthropometry.yaml`` about the calibrated mean; the same for the same seed.

    The 19 measurements of every head are exactly the drawn ones, whatever its free fields and its residual are.
    """
    table = read_table()
    rng = np.random.Generator(np.random.Philox(seed))
    attributes = attribute_law().draw(rng, count)
    fields = symmetric_fields(network)
    measure = Measurements(table["measurements"], network)
    free = tuple(name for name in fields if name not in measure.names)
    smooth = gaussian_modes(network, **table["residual"]["symmetric"], symmetric=True)
    shift = attribute_effects(attributes, (*measure.names, *free))
    known = len(measure.names)

    loose = np.stack([*(fields[name] for name in free), *smooth])
    spread = np.array([table["free"][name] for name in free])
    amounts = np.concatenate(
        [shift[:, known:] + spread * _normal(rng, count, len(free)), _normal(rng, count, len(smooth))], axis=1
    )
    target = _drawn_measurements(table, shift[:, :known], rng)
    drivers = np.stack([fields[name] for name in measure.names])
    points = calibrated_points(network) + np.einsum("hf,fnc->hnc", amounts, loose, optimize=True)
    driven = newton(measure, points, drivers, target)

    uneven = antisymmetric_fields(network)
    rough = gaussian_modes(network, **table["residual"]["antisymmetric"], symmetric=False)
    sigmas = np.array([*(table["asymmetry"][name] for name in uneven), *np.ones(len(rough))])
    return Heads(
        attributes,
        np.concatenate([driven, amounts], axis=1),
        np.concatenate([drivers, loose]),
        slice(known, known + len(free)),
        sigmas * _normal(rng, count, len(sigmas)),
        np.stack([*uneven.values(), *rough]),
    )


def attribute_law() -> AttributeLaw:
    """The law of the attributes of ``anthropometry.yaml``."""
    laws = read_table()["attributes"]
    age, ancestry = laws["age"], laws["ancestry"]
    return AttributeLaw(
        sex_spread=laws["sex"]["spread"],
        age=np.array([age[key] for key in ("low", "high", "alpha", "beta")], np.float64),
        age_terms=np.array([age[key] for key in ("centre", "onset", "scale")], np.float64),
        concentration=np.full(len(ancestry["names"]), ancestry["concentration"]),
    )


def term_names() -> tuple[str, ...]:
    """Of the terms that :meth:`AttributeLaw.terms` gives, as the tables call them."""
    return ("sex", "age", "old_age", *read_table()["attributes"]["ancestry"]["names"])


def attribute_effects(attributes: Attributes, names: tuple[str, ...]) -> Float:
    """Expected shifts (H, len(names)) of measurements, mm, and of fields, in their unit; about 0 in the population."""
    table = read_table()
    effects = table["effects"]
    dimorphism = {name: (entry["male"] - entry["female"]) / 2 for name, entry in table["measurements"].items()}
    by_term = {**effects, "sex": dimorphism | effects["sex"], **effects["ancestry"]}
    slopes = np.stack([effects_of(by_term[term], names) for term in term_names()])
    result: Float = attribute_law().terms(attributes) @ slopes
    return result


def gaussian_modes(network: ControlNetwork, sigma: float, length: float, *, symmetric: bool) -> Float:
    """The strongest modes (3 · MODES, n, 3), mm per σ, of a smooth Gaussian displacement that keeps off the lids.

    Its covariance is squared exponential in the distance on the whole head, made symmetric or antisymmetric under
    reflection; so it is smooth across the midline.

    Args:
        network: the control points.
        sigma: standard deviation of each component, mm, away from the midline.
        length: at which the correlation has fallen to exp(-1/2), mm.
        symmetric: whether the right half mirrors the left one or does the opposite.
    """
    points = network.points
    near, across = (
        sigma**2 * np.exp(-0.5 * ((points[:, None] - other) ** 2).sum(axis=2) / length**2)
        for other in (points, points * (-1.0, 1.0, 1.0))
    )
    modes = np.zeros((3 * MODES, network.count, 3))
    for axis in range(3):
        # x of the right half is that of the left one with the sign turned.
        sign = 1.0 if symmetric == (axis > 0) else -1.0
        values, vectors = np.linalg.eigh((near + sign * across) / 2)
        # Half of the variance of u(p) ± u(p') is left when both are averaged.
        scaled = np.sqrt(2 * values[-MODES:].clip(0)) * vectors[:, -MODES:]
        modes[axis * MODES : (axis + 1) * MODES, :, axis] = scaled.T
    return settled(network, modes)


def _drawn_measurements(table: dict[str, Any], shift: Float, rng: np.random.Generator) -> Float:
    """Measurements (H, 19): attributes' shifts and a correlated residual that makes up the table's pooled spread."""
    known = table["measurements"]
    middle, within, pooled = pooled_law(known)
    explained = shift.std(axis=0)
    left = np.sqrt(np.maximum(pooled**2 - explained**2, (LEAST_SPREAD * within) ** 2))
    chance = (_normal(rng, *shift.shape, clip=False) @ _correlation_factor(table).T).clip(-CLIP, CLIP)
    drawn: Float = middle + shift + left * chance
    return drawn


def pooled_law(known: dict[str, Any]) -> tuple[Float, Float, Float]:
    """Mean of both sexes, standard deviation within a sex, and that of both sexes together: (19,) each, mm."""
    male, female, within = (np.array([entry[key] for entry in known.values()]) for key in ("male", "female", "sd"))
    return (male + female) / 2, within, np.hypot(within, (male - female) / 2)


def _correlation_factor(table: dict[str, Any]) -> Float:
    """(19, 19) with L Lᵀ the correlations, made positive definite."""
    rules, names = table["correlations"], list(table["measurements"])
    matrix = np.full((len(names), len(names)), rules["general"])
    alone = [names.index(name) for name in rules["alone"]]
    matrix[alone, :] = matrix[:, alone] = 0
    for block in rules["blocks"]:
        rows = [names.index(name) for name in block["of"]]
        matrix[np.ix_(rows, rows)] = block["by"]
    np.fill_diagonal(matrix, 1)
    values, vectors = np.linalg.eigh(matrix)
    factor = vectors * np.sqrt(values.clip(1e-3))
    result: Float = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    return result


def _normal(rng: np.random.Generator, *shape: int, clip: bool = True) -> Float:
    numbers = rng.standard_normal(shape)
    return numbers.clip(-CLIP, CLIP) if clip else numbers
