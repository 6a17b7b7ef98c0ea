"""What every denoiser is: a network that takes coefficients of impossible faces and gives those of possible ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facegen.manifold.corruption import NOISE_RATIO, Corruption, raw_unit
from facegen.morphable.coefficients import CoefficientSet

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Units:
    """How K coefficients are scaled inside the networks, as learnt from the faces that they are trained on."""

    raw: Float
    """(K,) one σ (or one unit of weight) in raw units, divided by :func:`~facegen.manifold.corruption.raw_unit`."""
    noise: float
    """Standard deviation of the paper's noise in these units: 5.2 for identity; for expression 6.8."""
    mean: Float
    """(K,) of the faces, in σ."""
    spread: Float
    """(K,) standard deviation of the faces, in σ."""
    bounds: tuple[float, float]
    """Between which all of them lie, in σ."""

    @classmethod
    def of(cls, clean: CoefficientSet) -> Units:
        """The units for a set of clean faces."""
        values = clean.values.astype(np.float64)
        return cls(
            raw=(clean.deviation / raw_unit(clean)).astype(np.float32),
            noise=NOISE_RATIO[clean.group],
            mean=values.mean(axis=0).astype(np.float32),
            spread=values.std(axis=0).astype(np.float32),
            bounds=clean.bounds,
        )

    @property
    def corruption(self) -> Corruption:
        """The paper's corruption in these units."""
        return Corruption(self.noise)


class Denoiser(nn.Module, ABC):
    """A network for K coefficients of one group of one model.

    Its buffers and parameters are all that a checkpoint stores; they are built empty and filled by training or loading.
    """

    numbers: int = 0
    """Standard normal numbers that it draws for a face; 0 for one that answers without chance."""

    def __init__(self, length: int, conditions: int = 0) -> None:
        super().__init__()
        self.length = length
        """K."""
        self.conditions = conditions
        """C numbers that may tell what is wanted; 0 for none."""

    @abstractmethod
    def denoise(
        self, values: torch.Tensor, numbers: torch.Tensor | None = None, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Possible faces (B, K) for faces (B, K), both in σ.

        Args:
            values: any numbers.
            numbers: (B, :attr:`numbers`) standard normal.
            conditions: (B, C), NaN for what is not asked for; ``None`` asks for nothing.
        """

    @abstractmethod
    def loss(self, clean: torch.Tensor, conditions: torch.Tensor | None, random: torch.Generator) -> torch.Tensor:
        """What training makes small, a scalar, for clean faces (B, K) in σ; draws its corruptions from ``random``."""

    @abstractmethod
    def fit_units(self, units: Units) -> None:
        """Set the scales before training."""
