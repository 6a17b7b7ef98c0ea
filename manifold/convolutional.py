"""The network of the manifold paper: a 1-D convolutional autoencoder with max-unpooling at the stored indices."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from facegen.manifold.corruption import Corruption
from facegen.manifold.denoiser import Denoiser, Units

CHANNELS = (8, 16, 32, 64)
"""Of the four layers of the encoder (Fig. 2 of the paper)."""


class ConvolutionalDenoiser(Denoiser):
    """Section II-B and Fig. 2 of the paper, for any number K ≥ 16 of coefficients.

    Encoder: four times [convolution of kernel 3 and padding 1, rectifier, max-pooling by 2]. Decoder: four times
    [max-unpooling to the length that was pooled, at the places of the maxima; transposed convolution, and a rectifier
    but after the last]. The paper does not name its activation; without one the layers would be one convolution.
    """

    raw: torch.Tensor
    noise: torch.Tensor

    def __init__(self, length: int, conditions: int = 0) -> None:
        super().__init__(length)
        if length < 2 ** len(CHANNELS):
            raise ValueError(f"{length} coefficients; four poolings by 2 need at least {2 ** len(CHANNELS)}")
        channels = (1, *CHANNELS)
        pairs = list(itertools.pairwise(channels))
        self.encoder = nn.ModuleList(nn.Conv1d(a, b, 3, padding=1) for a, b in pairs)
        self.decoder = nn.ModuleList(nn.ConvTranspose1d(b, a, 3, padding=1) for a, b in reversed(pairs))
        self.register_buffer("raw", torch.ones(length))
        self.register_buffer("noise", torch.ones(()))

    def fit_units(self, units: Units) -> None:
        """As in the paper: raw units divided by one number."""
        self.raw.copy_(torch.from_numpy(units.raw))
        self.noise.fill_(units.noise)

    def encode(self, raw: torch.Tensor) -> tuple[torch.Tensor, list[tuple[torch.Tensor, int]]]:
        """Code (B, L, 64) of faces (B, K) in raw units; of each pooling where the first of two won, and the length."""
        code, pooled = raw[:, :, None], []
        for layer in self.encoder:
            assert isinstance(layer, nn.Conv1d)
            code = functional.relu(_convolve(code, layer.weight.permute(2, 1, 0), layer.bias))
            length = code.shape[1]
            first, second = code[:, 0 : length // 2 * 2 : 2], code[:, 1 : length // 2 * 2 : 2]
            # Factors of 0 and 1 choose as exactly as a selection does, and their gradients are cheaper.
            wins = (first >= second).to(code.dtype)
            code = first * wins + second * (1 - wins)
            pooled.append((wins, length))
        return code, pooled

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Denoised faces (B, K) of corrupted ones, both in raw units.

        Convolutions are products of matrices over (B L, 3 C), and pooling is a comparison of neighbours: with so few
        channels this takes a fifth of the time of the library's convolutions. The tests compare it with those.
        """
        code, pooled = self.encode(raw)
        for number, (layer, (wins, length)) in enumerate(zip(self.decoder, reversed(pooled), strict=True)):
            assert isinstance(layer, nn.ConvTranspose1d)
            pair = torch.stack([code * wins, code * (1 - wins)], dim=2).flatten(1, 2)
            # A pooled length that was odd left its last place out.
            code = functional.pad(pair, (0, 0, 0, length - pair.shape[1]))
            code = _convolve(code, layer.weight.permute(2, 0, 1).flip(0), layer.bias)
            if number < len(CHANNELS) - 1:
                code = functional.relu(code)
        return code[:, :, 0]

    def denoise(
        self, values: torch.Tensor, numbers: torch.Tensor | None = None, conditions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Without chance or conditions."""
        denoised: torch.Tensor = self(values * self.raw) / self.raw
        return denoised

    def loss(self, clean: torch.Tensor, conditions: torch.Tensor | None, random: torch.Generator) -> torch.Tensor:
        """Mean squared error of corrupted faces, in raw units."""
        raw = clean * self.raw
        return functional.mse_loss(self(Corruption(float(self.noise))(raw, random)), raw)


def _convolve(values: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Values (B, L, C') of (B, L, C) and a kernel (3, C, C'), with zeros beyond the ends."""
    padded = functional.pad(values, (0, 0, 1, 1))
    neighbours = torch.cat([padded[:, :-2], values, padded[:, 2:]], dim=2)
    return functional.linear(neighbours, kernel.flatten(0, 1).T, bias)
