"""Where a training starts: the network that does what a linear model does, as far as its layers can.

Random weights take hundreds of epochs to learn what principal components know at once. Here convolutions pass the
displacement on, by the pair of channels ``relu(x), relu(-x)`` for each axis; the code is that of the principal
components, which the encoder's last layer learns by ridge regression; and the decoder's first layer places at each
coarse vertex what, interpolated, comes nearest to each component. All channels beyond those six stay random.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import nn

from facegen.composition.chebyshev import ChebyshevConvolution, interpolation
from facegen.composition.hierarchy import Hierarchy
from facegen.composition.linear import PrincipalComponents
from facegen.composition.network import MeshAutoencoder

Float = NDArray[np.float32]

PASSED = 6
"""Channels that carry the displacement: the two signs of three axes."""

_HELD_OUT = 0.1
"""Share of the faces by which the strength of the ridge is chosen."""
_RIDGES = 10.0 ** np.arange(-6, 1)
_BATCH = 32


def start_linear(network: MeshAutoencoder, hierarchy: Hierarchy, faces: Float) -> None:
    """Set a network's weights to those of a linear model of ``faces``.

    Args:
        network: with one map a coarse vertex, and six channels or more.
        hierarchy: that it was made for.
        faces: (N, n, 3) displacements in units of the network's scale.
    """
    architecture = network.architecture
    if architecture.shared_map or min(architecture.channels) < PASSED:
        raise ValueError(f"a linear start needs a map for each coarse vertex, and {PASSED} channels")
    components = PrincipalComponents.of(faces, architecture.latent)
    count = len(components.basis)
    with torch.no_grad():
        for number, layer in enumerate(network.encoder):
            _pass_on(layer, first=number == 0)
        for number, layer in enumerate(network.decoder):
            _pass_on(layer, last=number == len(network.decoder) - 1, only=len(network.decoder) == 1)
        fields = _coarse_fields(hierarchy, np.concatenate([components.basis, components.mean[None]]))
        scaled = fields[:count] * components.deviation[:, None, None]
        network.to_channels[:, :count, :PASSED] = _both_signs(scaled.transpose(1, 0, 2))
        network.to_channels[:, count:, :PASSED] = 0
        network.channel_bias[:, 0, :PASSED] = _both_signs(fields[count])
        if network.projections is not None:
            network.projections.copy_(torch.eye(architecture.latent).expand_as(network.projections))
        codes = np.zeros((len(faces), architecture.latent), np.float32)
        codes[:, :count] = components.codes(faces) / components.deviation
        _fit(network.to_code, _features(network, faces), torch.from_numpy(codes))


def _pass_on(layer: nn.Module, *, first: bool = False, last: bool = False, only: bool = False) -> None:
    """Make the first channels of a convolution carry on what they are given."""
    assert isinstance(layer, ChebyshevConvolution)
    weight = layer.weight
    if first:
        weight[:, :, :PASSED] = 0
        weight[0, :, :PASSED] = _both_signs(np.eye(3, dtype=np.float32))
    elif last:
        weight.zero_()
        weight[0, :PASSED] = _both_signs(np.eye(3, dtype=np.float32)).T * (0.5 if only else 1.0)
    else:
        weight[:, :, :PASSED] = 0
        weight[0, :PASSED, :PASSED] = torch.eye(PASSED)


def _both_signs(values: Float) -> torch.Tensor:
    """(…, 6) of (…, 3): x, -x, y, -y, z, -z."""
    return torch.from_numpy(np.stack([values, -values], axis=-1).reshape(*values.shape[:-1], PASSED).copy())


def _coarse_fields(hierarchy: Hierarchy, fields: Float) -> Float:
    """Values (C, P, 3) at the coarsest vertices that, interpolated, come nearest to fields (C, n, 3)."""
    matrices = [interpolation(step.corners, step.weights, len(step.kept)) for step in hierarchy.steps]
    whole = matrices[0]
    for matrix in matrices[1:]:
        whole = whole @ matrix
    flat = fields.transpose(1, 0, 2).reshape(fields.shape[1], -1).astype(np.float64)
    normal = sparse.csc_array(whole.T @ whole)
    ridge = 1e-6 * float(normal.diagonal().mean())
    solved = splu((normal + ridge * sparse.eye_array(normal.shape[0])).tocsc()).solve(whole.T @ flat)
    return np.asarray(solved.reshape(-1, len(fields), 3).transpose(1, 0, 2), np.float32)


def _features(network: MeshAutoencoder, faces: Float) -> torch.Tensor:
    """(N, P · C) what the encoder's last layer is given."""
    parts = []
    for start in range(0, len(faces), _BATCH):
        batch = torch.from_numpy(faces[start : start + _BATCH].transpose(1, 0, 2).copy())
        parts.append(network.features(batch.to(network.scale.device)).cpu())
    return torch.cat(parts)


def _fit(layer: nn.Linear, features: torch.Tensor, codes: torch.Tensor) -> None:
    """Ridge regression of codes (N, Z) on features (N, F), by the dual, for N is below F."""
    x, y = features.double(), codes.double()
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    held_out = torch.arange(len(x)) % round(1 / _HELD_OUT) == 0
    size = float(x.square().sum() / len(x))

    def solve(rows: torch.Tensor, ridge: float) -> torch.Tensor:
        own = x[rows]
        gram = own @ own.T + ridge * size * torch.eye(len(own), dtype=x.dtype)
        solution: torch.Tensor = own.T @ torch.linalg.solve(gram, y[rows])
        return solution

    def error(ridge: float) -> float:
        return float((x[held_out] @ solve(~held_out, ridge) - y[held_out]).square().mean())

    solution = solve(torch.ones_like(held_out), min(_RIDGES, key=error))
    layer.weight.copy_(solution.T)
    layer.bias.copy_(y_mean - x_mean @ solution)
