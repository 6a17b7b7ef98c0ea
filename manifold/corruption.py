"""The corruption of the manifold paper: some coefficients of a clean face, with Gaussian noise added to each."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from facegen.morphable.coefficients import CoefficientSet, Group

NOISE_RATIO: dict[Group, float] = {"identity": 5.2, "expression": 6.8}
"""Standard deviation of the paper's noise (500,000 and 2 in raw Basel units) over the root mean square of the standard
deviations of the coefficients it is added to (96,900 and 0.292, from the paper's Table I)."""


@dataclass(frozen=True)
class Corruption:
    """Draws corrupted versions of faces, in raw units divided by :attr:`unit`, on any device.

    For each face: n ~ U{1 … K}; n of the K coefficients, chosen at random; N(0, noise²) added to each of those (section
    II-C of the paper). The expected mean squared error of a corrupted face is ``noise² (K + 1) / 2K``.
    """

    noise: float
    """Standard deviation of the noise, in the same units as the faces: the same for every coefficient."""

    def __call__(self, clean: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Corrupted versions (B, K) of faces (B, K)."""
        count, length = clean.shape
        corrupted = torch.randint(1, length + 1, (count, 1), generator=random, device=clean.device)
        # The rank of independent random numbers is a random permutation: the first n of it are the chosen ones.
        rank = torch.rand(count, length, generator=random, device=clean.device).argsort(dim=1).argsort(dim=1)
        noise = torch.randn(count, length, generator=random, device=clean.device) * self.noise
        return clean + torch.where(rank < corrupted, noise, torch.zeros_like(noise))

    def expected_mse(self, length: int) -> float:
        """Mean squared error per coefficient that it adds to faces of ``length`` coefficients."""
        return self.noise**2 * (length + 1) / (2 * length)


def raw_unit(clean: CoefficientSet) -> float:
    """The raw units that count as 1 inside the networks: the root mean square of the coefficients' standard deviations.

    The paper divides identity by 1e5, which is about that for the Basel model. Where coefficients are weights, which
    have no Gaussian law, the clean faces tell their spread.
    """
    if clean.bounds == (0.0, 1.0):
        return float(clean.values.std(axis=0).astype("float64").__pow__(2).mean() ** 0.5)
    return float((clean.deviation.astype("float64") ** 2).mean() ** 0.5)
