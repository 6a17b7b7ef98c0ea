"""The identity basis: principal components of drawn heads, in the metric of the skin and of what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.draw import Heads, draw_heads, pooled_law
from facegen.morphable.default.identity import calibrated_points, read_table
from facegen.morphable.default.measurements import Measurements
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.population import Attributes

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

SYMMETRIC, ANTISYMMETRIC = 60, 8
HEADS, SEED = 4000, 1994
"""How many heads are drawn, and the seed."""

SEEN = 0.5
"""Variance of standardised measurements and free fields against that of the skin: a lid is little of it, but seen."""


@dataclass(frozen=True)
class Components:
    """The identity basis on the control points, and the drawn heads' coefficients."""

    names: tuple[str, ...]
    """(68,) identity_1 … identity_60, asymmetry_1 … asymmetry_8, by falling variance each."""
    mean: Float
    """(n, 3) mm: mean displacement of the drawn heads from the calibrated mean; small, no part of the model's mean."""
    displacement: Float
    """(68, 2, n, 3) mm per σ of the left control points and of the right ones, these as if they were on the left."""
    variance: Float
    """(60,) each symmetric component's share of the skin's symmetric variance; they sum to less than 1."""
    attributes: Attributes
    """Of H drawn heads."""
    coefficients: Float
    """(H, 68) in σ: mean 0, standard deviation 1."""


def identity_components(network: ControlNetwork, operator: Float, weights: Float) -> Components:
    """Draw heads, align them and find their principal components.

    Args:
        network: the control network.
        operator: (S, 2n) from control points to skin, as :func:`.solve.skin_operator` gives it.
        weights: (S,) of the squared displacement of each vertex, as :func:`skin_weights` gives them.
    """
    heads = draw_heads(network, HEADS, SEED)
    names: list[str] = []
    parts, scores, mean, shares = [], [], np.zeros((network.count, 3)), np.zeros(0)
    for basis, amounts, side, count in (
        (heads.symmetric, heads.symmetric_amounts, 1.0, SYMMETRIC),
        (heads.antisymmetric, heads.antisymmetric_amounts, -1.0, ANTISYMMETRIC),
    ):
        aligned = _aligned(basis, side, operator, weights)
        middle = amounts.mean(axis=0)
        metric = _gram(aligned, side, operator, weights)
        seen = _seen(network, heads, aligned) if side > 0 else np.zeros_like(metric)
        directions, score, share = _principal(amounts - middle, metric, seen, count)
        displacement = np.tensordot(directions, aligned, 1)
        sign = _sign(displacement)
        parts.append(np.stack([displacement, side * displacement], axis=1) * sign[:, None, None, None])
        scores.append(score * sign)
        if side > 0:
            mean, shares = np.tensordot(middle, aligned, 1), share
        names += [f"{'identity' if side > 0 else 'asymmetry'}_{k + 1}" for k in range(count)]
    return Components(
        tuple(names), mean, np.concatenate(parts), shares, heads.attributes, np.concatenate(scores, axis=1)
    )


def skin_weights(network: ControlNetwork, vertices: Float, triangles: Ints) -> Float:
    """Area (S,) around each vertex, mm², times how much it matters: most at eyes, mouth and nose, least behind.

    Args:
        network: whose anatomical points tell where things are.
        vertices: (S, 3) skin of the mean.
        triangles: (T, 3).
    """
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    around = np.bincount(triangles.ravel(), np.repeat(area, 3), len(vertices))
    folded = np.stack([np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]], axis=1)
    points, at = network.points, network.names
    eye = (points[at["endocanthion"]] + points[at["exocanthion"]]) / 2
    importance = 1 + 3 / (1 + np.exp(-(vertices[:, 2] - 30) / 10))
    for centre, reach, amount in (
        (eye, (20, 13, 25), 16.0),
        (points[at["pronasale"]], (20, 28, 40), 8.0),
        (points[at["stomion_upper"]], (30, 16, 30), 12.0),
    ):
        importance += amount * np.exp(-0.5 * (((folded - centre) / (0.7 * np.array(reach))) ** 2).sum(axis=1))
    weights: Float = around * importance
    return weights


def components_for(variance: Float, share: float) -> int:
    """How many of the leading components hold a share of the variance."""
    return int(np.searchsorted(np.cumsum(variance), share)) + 1


def _aligned(basis: Float, side: float, operator: Float, weights: Float) -> Float:
    """Displacements (f, n, 3) less the weighted mean translation of the skin: a shifted head is the same head."""
    moves = np.array([0.0, 1.0, 1.0]) if side > 0 else np.array([1.0, 0.0, 0.0])
    count = basis.shape[1]
    share = weights / weights.sum()
    over_skin = share @ (operator[:, :count] + operator[:, count:])
    # Of the components that the mirror image keeps, left and right points move alike.
    aligned: Float = basis - (np.einsum("n,fnc->fc", over_skin, basis) * moves)[:, None]
    return aligned


def _gram(basis: Float, side: float, operator: Float, weights: Float) -> Float:
    """(f, f) inner products of displacements (f, n, 3) as the skin's vertices move."""
    count = basis.shape[1]
    result = np.zeros((len(basis), len(basis)))
    root = np.sqrt(weights)[:, None]
    for axis in range(3):
        mirrored = -side if axis == 0 else side
        moved = root * ((operator[:, :count] + mirrored * operator[:, count:]) @ basis[:, :, axis].T)
        result += moved.T @ moved
    return result


def _seen(network: ControlNetwork, heads: Heads, basis: Float) -> Float:
    """(f, f) inner products of displacements (f, n, 3) as measurements and free fields change, each in its σ."""
    table = read_table()["measurements"]
    measure = Measurements(table, network)
    spans = measure.spans(calibrated_points(network))
    along = spans / np.linalg.norm(spans, axis=1, keepdims=True)
    changes = np.einsum("fmc,mc->fm", measure.spans(basis), along) / pooled_law(table)[2]
    result: Float = changes @ changes.T
    free = np.arange(len(basis))[heads.free]
    result[free, free] += 1 / heads.symmetric_amounts[:, free].var(axis=0)
    return result


def _principal(amounts: Float, metric: Float, seen: Float, count: int) -> tuple[Float, Float, Float]:
    """Leading directions (count, f) of one σ, coefficients (H, count), and shares of the skin's variance (count,)."""
    second = amounts.T @ amounts / len(amounts)
    skin, standard = float((second * metric).sum()), float((second * seen).sum())
    joint = metric + (SEEN * skin / standard if standard else 0.0) * seen
    values, vectors = np.linalg.eigh(joint)
    kept = values > 1e-9 * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    spread, axes = np.linalg.eigh(root.T @ second @ root)
    scores = amounts @ root @ axes[:, ::-1][:, :count] / np.sqrt(spread[::-1][:count])
    # In the space of amounts one σ is the regression of the amounts on the coefficient.
    directions = scores.T @ amounts / len(amounts)
    return directions, scores, np.einsum("kf,fg,kg->k", directions, metric, directions) / skin


def _sign(displacement: Float) -> Float:
    """(k,) ±1 so that the largest movement of each component (k, n, 3) is positive."""
    flat = displacement.reshape(len(displacement), -1)
    largest = np.abs(flat).argmax(axis=1)
    signs: Float = np.sign(flat[np.arange(len(flat)), largest])
    return signs
