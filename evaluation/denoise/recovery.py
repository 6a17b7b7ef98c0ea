"""How much of a corrupted face a denoiser recovers: mean squared errors beside those of simple predictors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from facegen.evaluation.denoise.baselines import NEIGHBOURS, Baseline, mean_face, nearest, wiener
from facegen.manifold.apply import corrupted_pairs, denoised, squared_error
from facegen.manifold.convolutional import ConvolutionalDenoiser
from facegen.manifold.denoiser import Denoiser, Units
from facegen.morphable.coefficients import CoefficientSet

NEAREST_FACES = 512
"""Corrupted faces of the nearest-neighbour baselines, which compare each with every clean face."""

CLEAN_FACES = 8192
"""Most clean faces that those look at."""

LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8)
"""Strengths of the test noise relative to the paper's: nine, as in Figs. 8 and 10."""

CORRUPTED = "corrupted"
"""Name of the row of the faces before denoising."""


@dataclass(frozen=True)
class Recovery:
    """An error per coefficient, in raw units divided by their unit, squared; and what it means."""

    mse: float
    share: float
    """Of the variance of the clean faces: 1 - mse / mse of the mean face. Negative is worse than always answering the
    mean face."""


def recovery(
    denoisers: Mapping[str, Denoiser], train: CoefficientSet, test: CoefficientSet, seed: int
) -> dict[str, Recovery]:
    """Errors of the corrupted faces themselves, of the baselines and of the denoisers, by name, on the test faces.

    A posterior sampler draws one of the possible faces instead of their mean, which costs it up to twice the error.
    """
    units = Units.of(train)
    clean, corrupted = corrupted_pairs(test, units, units.noise, seed)
    scale = torch.from_numpy(units.raw)
    raw = torch.from_numpy(train.values * units.raw)
    some = raw[:: -(-len(raw) // CLEAN_FACES)]
    baselines: dict[str, Baseline] = {
        "mean face": mean_face(raw),
        "Wiener": wiener(raw, units.corruption),
        f"nearest {NEIGHBOURS}": nearest(some, truncated=False),
        f"nearest {NEIGHBOURS}, truncated": nearest(some, truncated=True),
    }
    errors = {CORRUPTED: squared_error(corrupted, clean, units)}
    for name, baseline in baselines.items():
        step = len(clean) // NEAREST_FACES if name.startswith("nearest") else 1
        answer = (baseline(torch.from_numpy(corrupted[::step]) * scale) / scale).clamp(*test.bounds).numpy()
        errors[name] = squared_error(answer, clean[::step], units)
    for name, denoiser in denoisers.items():
        errors[name] = squared_error(denoised(denoiser, corrupted, seed, test.bounds), clean, units)
    return {name: Recovery(mse, 1 - mse / errors["mean face"]) for name, mse in errors.items()}


def robustness(
    denoisers: Mapping[str, Denoiser], train: CoefficientSet, test: CoefficientSet, seed: int
) -> dict[str, list[float]]:
    """Mean squared errors at each of :data:`LEVELS`: of the corrupted faces and of the convolutional denoisers."""
    units = Units.of(train)
    chosen = {name: one for name, one in denoisers.items() if isinstance(one, ConvolutionalDenoiser)}
    curves: dict[str, list[float]] = {name: [] for name in (CORRUPTED, *chosen)}
    for level in LEVELS:
        clean, corrupted = corrupted_pairs(test, units, units.noise * level, seed)
        curves[CORRUPTED].append(squared_error(corrupted, clean, units))
        for name, denoiser in chosen.items():
            curves[name].append(squared_error(denoised(denoiser, corrupted, seed, test.bounds), clean, units))
    return curves
