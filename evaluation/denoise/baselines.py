"""What a denoiser has to beat: the mean face, the linear filter, and the nearest clean faces."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen.manifold.corruption import Corruption
from facegen.manifold.neighbours import BLOCK

Baseline = Callable[[torch.Tensor], torch.Tensor]
"""Takes corrupted faces (B, K), gives denoised ones, both in raw units."""

NEIGHBOURS = 8
"""Clean faces whose mean the nearest-neighbour baseline answers."""

TRUNCATED = 3.0
"""Standard deviations at which a coefficient's part of a distance stops growing."""


def mean_face(clean: torch.Tensor) -> Baseline:
    """Always answers the mean (K,) of the clean faces (N, K)."""
    mean = clean.mean(dim=0)
    return lambda corrupted: mean.expand_as(corrupted)


def wiener(clean: torch.Tensor, corruption: Corruption) -> Baseline:
    """The linear filter of least squared error for the first two moments of clean faces and corruption.

    The corruption adds independent noise of variance ``expected_mse`` to every coefficient, on average over which are
    chosen: the filter is C (C + v I)⁻¹ about the mean.
    """
    faces = clean.double()
    mean = faces.mean(dim=0)
    covariance = (faces - mean).T @ (faces - mean) / len(faces)
    noise = corruption.expected_mse(faces.shape[1]) * torch.eye(faces.shape[1], dtype=torch.float64)
    gain = torch.linalg.solve(covariance + noise, covariance)
    return lambda corrupted: (mean + (corrupted.double() - mean) @ gain).to(corrupted.dtype)


def nearest(clean: torch.Tensor, *, truncated: bool) -> Baseline:
    """The mean of the nearest clean faces.

    Args:
        clean: (N, K).
        truncated: let no single coefficient count for more than :data:`TRUNCATED` standard deviations, so that the
            clean ones decide.
    """
    spread = clean.std(dim=0).clamp(min=1e-6)

    def answer(corrupted: torch.Tensor) -> torch.Tensor:
        answers = []
        for some in torch.split(corrupted, 32 if truncated else BLOCK):
            if truncated:
                apart = ((some[:, None] - clean[None]) / spread).abs().clamp(max=TRUNCATED)
                distance = (apart**2).sum(dim=2)
            else:
                distance = torch.cdist(some, clean)
            answers.append(clean[distance.topk(NEIGHBOURS, largest=False).indices].mean(dim=1))
        return torch.cat(answers)

    return answer
