"""Applying a denoiser to many faces at once, as its training and its judges do. The stage has its own way, by face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.manifold.corruption import Corruption
from facegen.manifold.denoiser import Denoiser, Units
from facegen.morphable.coefficients import CoefficientSet

Float = NDArray[np.float32]

FACES = 4096
"""Corrupted faces that an error is measured on."""

_BATCH = 1024


def denoised(
    denoiser: Denoiser, values: Float, seed: int, bounds: tuple[float, float], asked: Sequence[float] | None = None
) -> Float:
    """Denoised faces (N, K), within bounds.

    Args:
        denoiser: any.
        values: (N, K) in σ.
        seed: of a sampler's draws.
        bounds: of every coefficient.
        asked: (C,) conditions, NaN for what is not asked for.
    """
    random = torch.Generator().manual_seed(seed)
    answers = []
    with torch.no_grad():
        for some in torch.split(torch.from_numpy(values), _BATCH):
            numbers = torch.randn(len(some), denoiser.numbers, generator=random) if denoiser.numbers else None
            conditions = None if asked is None else torch.tensor(asked).expand(len(some), -1)
            answers.append(denoiser.denoise(some, numbers, conditions))
    answer: Float = torch.cat(answers).clamp(*bounds).numpy()
    return answer


def corrupted_pairs(test: CoefficientSet, units: Units, noise: float, seed: int) -> tuple[Float, Float]:
    """Clean faces (:data:`FACES`, K) spread over a set, and corrupted versions of them, both in σ."""
    rows = np.arange(FACES) * len(test) // FACES
    clean = test.values[rows]
    raw = torch.from_numpy(clean * units.raw)
    corrupted = Corruption(noise)(raw, torch.Generator().manual_seed(seed))
    return clean, (corrupted / torch.from_numpy(units.raw)).numpy()


def squared_error(answer: Float, clean: Float, units: Units) -> float:
    """Mean squared error per coefficient, in raw units divided by their unit."""
    difference = (answer.astype(np.float64) - clean) * units.raw
    return float((difference**2).mean())


def errors_on(denoiser: Denoiser, train: CoefficientSet, test: CoefficientSet, seed: int) -> dict[str, float]:
    """The squared errors of the paper on test faces: corrupted, denoised, and of always answering the mean face."""
    units = Units.of(train)
    clean, corrupted = corrupted_pairs(test, units, units.noise, seed)
    answer = denoised(denoiser, corrupted, seed, test.bounds)
    mean = squared_error(np.broadcast_to(units.mean, clean.shape), clean, units)
    out = squared_error(answer, clean, units)
    return {
        "mse_corrupted": squared_error(corrupted, clean, units),
        "mse_denoised": out,
        "mse_mean_face": mean,
        "share_of_variance_recovered": 1 - out / mean,
    }
