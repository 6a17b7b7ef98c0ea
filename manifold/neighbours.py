"""Distances to nearest neighbours, in blocks that fit in memory."""

from __future__ import annotations

import torch

BLOCK = 512
"""Points compared with all others at a time."""


def neighbour_distance(points: torch.Tensor, k: int) -> torch.Tensor:
    """(N,) Euclidean distance of each of N points (N, K) to its k-th nearest other one.

    Raises:
        ValueError: there are no k others.
    """
    if len(points) <= k:
        raise ValueError(f"{len(points)} points have no {k}-th neighbour")
    # The nearest is the point itself.
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in torch.split(points, BLOCK)])
