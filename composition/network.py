"""The locally weighted mesh autoencoder, and its ablations.

After "A 3D face generative model with local weights" (sections 3 and 4, Tables 1 and 2): an encoder of Chebyshev
convolutions and down-sampling, projections of its code into one code a part, local weights that say at which vertex of
the coarsest mesh which part counts, and a decoder that mirrors the encoder. With one part and no projection it is CoMA
(Ranjan et al. 2018).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facegen.composition.chebyshev import ChebyshevConvolution, SparseMatrix, interpolation, scaled_laplacian
from facegen.composition.hierarchy import Hierarchy


@dataclass(frozen=True)
class Architecture:
    """The sizes that decide a network's tensors."""

    channels: tuple[int, ...]
    """Of the encoder's convolutions, one a level of the hierarchy; the decoder mirrors them."""
    order: int = 6
    """K of the Chebyshev polynomials."""
    latent: int = 64
    """Numbers of a code."""
    projections: bool = True
    """Whether each part has a projection of its own; without them every part has the whole code."""
    shared_map: bool = False
    """Whether all coarse vertices share the map from code to channels, rather than each having its own."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for a card."""
        return {**asdict(self), "channels": list(self.channels)}


class MeshAutoencoder(nn.Module):
    """From displacements of n vertices to K part codes and back. Displacements are (n, B, 3), in units of ``scale``."""

    def __init__(self, hierarchy: Hierarchy, local_weights: NDArray[np.floating], architecture: Architecture) -> None:
        """Make a network with random weights.

        Args:
            hierarchy: of the mesh.
            local_weights: (P, K) of the coarsest vertices; rows of sum 1.
            architecture: sizes; as many channels as the hierarchy has steps.
        """
        super().__init__()
        sizes, channels = hierarchy.sizes, architecture.channels
        if len(channels) != len(hierarchy.steps):
            raise ValueError(f"{len(channels)} levels of channels for a hierarchy of {len(hierarchy.steps)} steps")
        self.architecture = architecture
        coarse, parts, latent, order = sizes[-1], local_weights.shape[1], architecture.latent, architecture.order
        laplacians = [
            SparseMatrix(scaled_laplacian(mesh, size), symmetric=True)
            for mesh, size in zip(hierarchy.meshes[:-1], sizes[:-1], strict=True)
        ]
        self.encoder = nn.ModuleList(
            ChebyshevConvolution(laplacian, before, after, order, torch.from_numpy(step.kept))
            for laplacian, step, (before, after) in zip(
                laplacians, hierarchy.steps, pairwise((3, *channels)), strict=True
            )
        )
        self.up = nn.ModuleList(
            SparseMatrix(interpolation(step.corners, step.weights, len(step.kept)))
            for step in reversed(hierarchy.steps)
        )
        # Table 2: 32 → 16 → 16 → 16 → 3 for an encoder 3 → 16 → 16 → 16 → 32.
        out = (*channels[-2::-1], 3)
        self.decoder = nn.ModuleList(
            ChebyshevConvolution(laplacian, before, after, order)
            for laplacian, (before, after) in zip(reversed(laplacians), pairwise((channels[-1], *out)), strict=True)
        )
        self.to_code = nn.Linear(coarse * channels[-1], latent)
        maps = 1 if architecture.shared_map else coarse
        self.to_channels = nn.Parameter(torch.empty(maps, latent, channels[-1]))
        self.channel_bias = nn.Parameter(torch.zeros(maps, 1, channels[-1]))
        nn.init.normal_(self.to_channels, std=latent**-0.5)
        self.projections = (
            nn.Parameter(torch.empty(parts, latent, latent).normal_(std=latent**-0.5))
            if architecture.projections
            else None
        )
        self.register_buffer("local_weights", torch.from_numpy(np.asarray(local_weights, np.float32)))
        self.local_weights: torch.Tensor
        self.register_buffer("scale", torch.ones(()))
        self.scale: torch.Tensor

    @property
    def parts(self) -> int:
        """Number of parts K."""
        return self.local_weights.shape[1]

    def features(self, displacements: torch.Tensor) -> torch.Tensor:
        """What the encoder finds at the coarsest vertices, (B, P · C), of displacements (n, B, 3)."""
        found = displacements
        for convolution in self.encoder:
            found = torch.relu(convolution(found))
        return found.transpose(0, 1).flatten(1)

    def encode(self, displacements: torch.Tensor) -> torch.Tensor:
        """Codes (B, Z) of displacements (n, B, 3)."""
        code: torch.Tensor = self.to_code(self.features(displacements))
        return code

    def project(self, code: torch.Tensor) -> torch.Tensor:
        """Part codes (B, K, Z) of codes (B, Z)."""
        if self.projections is None:
            return code[:, None].expand(-1, self.parts, -1)
        return torch.einsum("kyz,bz->bky", self.projections, code)

    def decode(self, part_codes: torch.Tensor) -> torch.Tensor:
        """Displacements (n, B, 3) of part codes (B, K, Z)."""
        weighted = torch.einsum("vk,bkz->vbz", self.local_weights, part_codes)
        features = torch.matmul(weighted, self.to_channels) + self.channel_bias
        last = len(self.decoder) - 1
        for level, (up, convolution) in enumerate(zip(self.up, self.decoder, strict=True)):
            features = convolution(up(features))
            if level < last:
                features = torch.relu(features)
        return features

    def forward(self, displacements: torch.Tensor) -> torch.Tensor:
        """What the network makes of displacements (n, B, 3)."""
        return self.decode(self.project(self.encode(displacements)))
