"""A denoiser that sees which coefficients are out of range, keeps those that are clean and fills in the others."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from facegen.manifold.corruption import Corruption
from facegen.manifold.denoiser import Denoiser, Units

FARTHEST = 4.0
"""Standard deviations from the mean beyond which no clean coefficient is looked for."""


class GatedDenoiser(Denoiser):
    """A residual network whose answer is, for each coefficient, a blend of what it was given and what it expects.

    The corruption leaves some coefficients as they are; a network that answers them anew loses what they say. Its
    inputs are the coefficients, clamped; tanh(z / 3), which tells corrupted ones apart; and whether each is out of
    range. Where it is, what was given has no part in the answer.
    """

    raw: torch.Tensor
    noise: torch.Tensor
    mean: torch.Tensor
    spread: torch.Tensor
    low: torch.Tensor
    """(K,) and ``high``: between which a coefficient is in range, in σ."""
    high: torch.Tensor

    def __init__(self, length: int, conditions: int = 0, hidden: int = 256, blocks: int = 3) -> None:
        super().__init__(length)
        self.enter = nn.Linear(3 * length, hidden)
        self.blocks = nn.ModuleList(_Residual(hidden) for _ in range(blocks))
        self.leave = nn.Linear(hidden, 2 * length)
        for name, value in (("raw", 1.0), ("mean", 0.0), ("spread", 1.0), ("low", 0.0), ("high", 0.0)):
            self.register_buffer(name, torch.full((length,), value))
        self.register_buffer("noise", torch.ones(()))

    def fit_units(self, units: Units) -> None:
        """Ranges and spreads of the clean faces; raw units for the loss."""
        self.raw.copy_(torch.from_numpy(units.raw))
        self.mean.copy_(torch.from_numpy(units.mean))
        # A coefficient that never moves has no spread to divide by.
        self.spread.copy_(torch.from_numpy(units.spread).clamp(min=1e-2 * float(units.spread.max())))
        self.low.copy_((self.mean - FARTHEST * self.spread).clamp(min=units.bounds[0]))
        self.high.copy_((self.mean + FARTHEST * self.spread).clamp(max=units.bounds[1]))
        self.noise.fill_(units.noise)

    def denoise(
        self, values: torch.Tensor, numbers: torch.Tensor | None = None, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Without chance or conditions."""
        outside = (values < self.low) | (values > self.high)
        z = (values - self.mean) / self.spread
        inputs = [z.clamp(-FARTHEST, FARTHEST) / FARTHEST, torch.tanh(z / 3), outside.to(z.dtype)]
        hidden = self.enter(torch.cat(inputs, dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        expected, kept = self.leave(hidden).chunk(2, dim=1)
        kept = torch.where(outside, torch.zeros_like(kept), torch.sigmoid(kept + 1))
        # Far values must not turn into infinities: 0 times infinity is no number.
        given = torch.where(outside, self.mean, values)
        blend: torch.Tensor = kept * given + (1 - kept) * (self.mean + self.spread * expected)
        return blend

    def loss(self, clean: torch.Tensor, conditions: torch.Tensor | None, random: torch.Generator) -> torch.Tensor:
        """Mean squared error of corrupted faces, in raw units as the paper's."""
        corrupted = Corruption(float(self.noise))(clean * self.raw, random) / self.raw
        return functional.mse_loss(self.denoise(corrupted) * self.raw, clean * self.raw)


class _Residual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The same shape (B, H)."""
        moved: torch.Tensor = hidden + self.second(functional.silu(self.first(self.norm(hidden))))
        return moved
