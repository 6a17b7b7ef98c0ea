"""A sampler of the posterior: possible faces that an impossible one may have come from, drawn by a diffusion model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from facegen.manifold.denoiser import Denoiser, Units

RHO = 7.0
"""Karras et al. 2022, eq. 5: how closely the noise levels of the path crowd together near the end."""

LOG_LEVEL = -0.1
"""Mean of the logarithm of the noise levels in training, in spreads of the clean faces."""

DROPPED = 0.3
"""Share of faces that training shows without each condition."""

FREQUENCIES = 32
"""Of the embedding of the noise level."""


@dataclass(frozen=True)
class Path:
    """How faces are drawn."""

    start: float = 4.0
    """Noise level to which a face is brought first, in spreads of the clean faces: more forgets more of it."""
    end: float = 0.4
    """Noise level at which the path ends: what the network expects there is the answer. Below it lies what tells one
    frame of a performance from the next; to stop above keeps faces off the thin rim of the manifold."""
    steps: int = 18
    """Heun steps in between; each evaluates the network twice."""
    churn: float = 0.0
    """Noise added anew on the way (Karras et al. 2022, algorithm 2: S_churn), which mends the errors of the steps."""
    churn_below: float = 2.0
    """Noise level below which that is done (S_tmax): above it, it would forget what was started from."""
    guidance: float = 1.0
    """Weight of what the conditions change (Ho & Salimans 2022); 1 neither stresses nor mutes it."""


class PosteriorSampler(Denoiser):
    """A score-based diffusion model in coefficient space, started at the face that is to be mended.

    The network D(x; σ) is trained to remove Gaussian noise of any level σ from clean faces (EDM: Karras et al. 2022,
    "Elucidating the design space of diffusion-based generative models"). A face is then brought to the level ``start``
    by adding noise (SDEdit: Meng et al. 2022) and led down the path dx = (x - D(x; σ)) / σ dσ by Heun's method. Unlike
    the mean that a network trained on squared error answers, what it draws is one of the possible faces.

    Inside, coefficients are centred on the clean faces' mean and scaled so that the root mean square of their standard
    deviations is 1. With ``raw_power`` 0 one number scales all, and noise of a level blurs every coefficient alike.
    With 1 they are in raw units, and noise of a level is so many millimetres for every coefficient: what is large on
    the face survives a level that draws the details anew, as coarse structure does in pictures.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, length: int, conditions: int = 0, hidden: int = 256, blocks: int = 3) -> None:
        super().__init__(length, conditions)
        self.enter = nn.Linear(length + 2 * conditions, hidden)
        self.level = nn.Linear(2 * FREQUENCIES, hidden)
        self.blocks = nn.ModuleList(_Modulated(hidden) for _ in range(blocks))
        self.leave = nn.Linear(hidden, length)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("scale", torch.ones(length))
        self.path = Path()
        self.raw_power = 0.0
        """How far the scales follow the raw units; of use in training only, for the scales tell the rest."""
        self.level_spread = 1.2
        """Standard deviation of the logarithm of the noise levels in training."""

    @property
    def numbers(self) -> int:  # type: ignore[override]
        """Noise for the start and, where there is churn, for every step."""
        return self.length * (1 + (self.path.steps if self.path.churn > 0 else 0))

    def fit_units(self, units: Units) -> None:
        """Centre and spread of the clean faces."""
        self.mean.copy_(torch.from_numpy(units.mean))
        scale = units.raw.astype("float64") ** self.raw_power
        spread = float(((units.spread * scale) ** 2).mean() ** 0.5)
        self.scale.copy_(torch.from_numpy(scale / spread))

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
        """Expected clean faces (B, K) of noisy ones, inside units.

        Args:
            noisy: (B, K).
            level: (B, 1) or (1, 1) standard deviation of their noise.
            asked: (B, C), NaN for what is not asked for; ``None`` for nothing at all.
        """
        variance = level**2 + 1
        inputs = [noisy / variance.sqrt()]
        if self.conditions:
            if asked is None:
                asked = noisy.new_full((len(noisy), self.conditions), torch.nan)
            inputs += [asked.nan_to_num(0.0), (~asked.isnan()).to(noisy.dtype)]
        rates = torch.exp(torch.linspace(-2, 4, FREQUENCIES, device=level.device))
        phase = level.log() / 4 * rates
        embedded = functional.silu(self.level(torch.cat([phase.sin(), phase.cos()], dim=1)))
        hidden = self.enter(torch.cat(inputs, dim=1))
        for block in self.blocks:
            hidden = block(hidden, embedded)
        answer: torch.Tensor = noisy / variance + level / variance.sqrt() * self.leave(hidden)
        return answer

    def denoise(
        self, values: torch.Tensor, numbers: torch.Tensor | None = None, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Draw one of the possible faces of each.

        Raises:
            ValueError: the numbers are not (B, :attr:`numbers`).
        """
        if numbers is None or numbers.shape != (len(values), self.numbers):
            found = None if numbers is None else tuple(numbers.shape)
            raise ValueError(f"numbers are {found}; expected {(len(values), self.numbers)}")
        path, noise = self.path, numbers.reshape(len(values), -1, self.length)
        levels = self._levels().to(values)
        x = (values - self.mean) * self.scale + levels[0] * noise[:, 0]
        for step in range(path.steps):
            level, following = levels[step], levels[step + 1]
            if path.churn > 0 and level <= path.churn_below:
                raised = level * (1 + min(path.churn / path.steps, 2**0.5 - 1))
                x = x + (raised**2 - level**2).sqrt() * noise[:, 1 + step]
                level = raised
            slope = (x - self._guided(x, level, conditions)) / level
            moved = x + (following - level) * slope
            if step < path.steps - 1:
                second = (moved - self._guided(moved, following, conditions)) / following
                moved = x + (following - level) * (slope + second) / 2
            x = moved
        drawn: torch.Tensor = x / self.scale + self.mean
        return drawn

    def _levels(self) -> torch.Tensor:
        """(steps + 1,) from the start to 0."""
        ramp = torch.linspace(0, 1, self.path.steps)
        start, end = (level ** (1 / RHO) for level in (self.path.start, self.path.end))
        return torch.cat([(start + ramp * (end - start)) ** RHO, torch.zeros(1)])

    def _guided(self, x: torch.Tensor, level: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
        level = level.reshape(1, 1)
        if asked is None or not self.conditions or bool(asked.isnan().all()):
            answer: torch.Tensor = self(x, level, None)
            return answer
        answer = self(x, level, asked)
        if self.path.guidance != 1.0:
            free = self(x, level, None)
            answer = free + self.path.guidance * (answer - free)
        return answer

    def loss(self, clean: torch.Tensor, conditions: torch.Tensor | None, random: torch.Generator) -> torch.Tensor:
        """Karras et al. 2022, eq. 8, with σ_data = 1."""
        x = (clean - self.mean) * self.scale
        normal = torch.randn(len(x), 1, generator=random, device=x.device)
        level = torch.exp(LOG_LEVEL + self.level_spread * normal)
        noisy = x + level * torch.randn(x.shape, generator=random, device=x.device)
        asked = None
        if self.conditions and conditions is not None:
            dropped = torch.rand(conditions.shape, generator=random, device=x.device) < DROPPED
            asked = conditions.masked_fill(dropped, torch.nan)
        weight = (level**2 + 1) / level**2
        loss: torch.Tensor = (weight * (self(noisy, level, asked) - x) ** 2).mean()
        return loss


class _Modulated(nn.Module):
    """A residual block whose normalised input is scaled and shifted by the noise level."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulate = nn.Linear(hidden, 2 * hidden)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """(B, H), modulated by (B, H) or (1, H)."""
        scale, shift = self.modulate(embedded).chunk(2, dim=1)
        inner = functional.silu(self.first(self.norm(hidden) * (1 + scale) + shift))
        moved: torch.Tensor = hidden + self.second(inner)
        return moved
