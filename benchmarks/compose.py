"""Autoencoders: a step of training beside the same network of torch-geometric's convolutions, and swaps a second."""

from __future__ import annotations

import os
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facegen.benchmarks.timing import Work, in_turn, one_thread, peak_mib, seconds
from facegen.composition.chebyshev import ChebyshevConvolution
from facegen.composition.checkpoint import Composition
from facegen.composition.composer import BLOCK, Composer
from facegen.composition.config import WeightedConfig, architecture_of
from facegen.composition.hierarchy import Hierarchy, cached
from facegen.composition.network import Architecture, MeshAutoencoder
from facegen.composition.parts import Parts
from facegen.composition.skin import Skin
from facegen.errors import MissingDependencyError
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel

ARCHITECTURE = Architecture((16, 16, 16, 32))
"""The paper's."""
FACTORS = (4, 4, 4, 4)
BATCH = 8
PARTS = 4

EMBEDDED_FACTORS = (4, 4, 2)
"""As in the shipped configuration."""


def run(path: Path | None, repeats: int) -> dict[str, Any]:
    """Measure a training step on the head of 11,248 vertices, and the use of a network of the embedded model's.

    CPU time of one thread; A B A B …, medians.

    Args:
        path: ICT-FaceKit. ``None`` takes ``$FACEGEN_ICT``, and where that is not set the embedded model.
        repeats: turns.

    Raises:
        MissingDependencyError: torch-geometric, which is compared with, is not installed.
        ModelError, ConfigurationError: there is no model at ``path``.
    """
    # Said before anything takes long.
    need_library()
    embedded = load_model(DefaultModelConfig(bust=False))
    if path is None and "FACEGEN_ICT" not in os.environ:
        model = embedded
    else:
        ict = IctModelConfig() if path is None else IctModelConfig(path=path)
        model = load_model(ict.model_copy(update={"part": "head", "eyes": False, "teeth": False}))
    with one_thread():
        return {"training": training(model, repeats), "use": use(embedded, repeats)}


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    step, use = result["training"], result["use"]
    swaps = ", ".join(f"{name} {use[f'{name}_per_core_second']:,}" for name in ("encode", "decode", "swap"))
    return (
        f"a training step of {step['batch']} faces of the model '{step['model']}', {step['vertices']:,} vertices: "
        f"{step['ours_ms']:.0f} ms, of torch-geometric's convolutions {step['library_ms']:.0f} ms, "
        f"{step['library_ratio']:.1f} times as long\n"
        f"memory grows by {step['ours_peak_mib']:.0f} MiB, with torch-geometric's by {step['library_peak_mib']:.0f} "
        f"MiB; answers differ by {step['largest_difference']:.1e} at most, of {step['spread']:.2f} (root mean square)\n"
        f"faces a core second of the model '{use['model']}', {use['vertices']:,} vertices: {swaps}"
    )


def training(model: MorphableModel, repeats: int) -> dict[str, Any]:
    """A step of training, forth and back, of the paper's network on a model's skin, and of its twin."""
    skin = Skin.of(model)
    hierarchy = cached(skin.mean, skin.triangles, FACTORS)
    ours = _network(hierarchy, ARCHITECTURE)
    library = LibraryConvolutions(ours, hierarchy)
    faces = torch.randn(len(skin.mean), BATCH, 3, generator=torch.Generator().manual_seed(0))
    swapped = faces.transpose(0, 1).contiguous()
    first, second = _step(library, swapped), _step(ours, faces)
    memory = {"ours": peak_mib(second), "library": peak_mib(first)}
    with torch.no_grad():
        answer = ours(faces)
        difference = (library(swapped).transpose(0, 1) - answer).abs().max()
    times = in_turn(first, second, repeats)
    return {
        "model": model.name,
        "vertices": len(skin.mean),
        "sizes": list(hierarchy.sizes),
        "batch": BATCH,
        "order": ARCHITECTURE.order,
        "channels": [3, *ARCHITECTURE.channels],
        "ours_ms": round(1000 * statistics.median(b for _, b in times), 2),
        "library_ms": round(1000 * statistics.median(a for a, _ in times), 2),
        "library_ratio": round(statistics.median(a / b for a, b in times), 2),
        "ours_peak_mib": round(memory["ours"], 1),
        "library_peak_mib": round(memory["library"], 1),
        "largest_difference": float(difference),
        "spread": round(float(answer.square().mean().sqrt()), 4),
    }


def use(model: MorphableModel, repeats: int) -> dict[str, Any]:
    """Faces a core second, in blocks as the stage takes them, by a network of random weights."""
    skin = Skin.of(model)
    hierarchy = cached(skin.mean, skin.triangles, EMBEDDED_FACTORS)
    network = _network(hierarchy, architecture_of(WeightedConfig())).requires_grad_(False)
    names = tuple(f"part {number}" for number in range(PARTS))
    parts = Parts(names, network.local_weights.numpy())
    composer = Composer(model, Composition(network, hierarchy, parts))
    numbers = np.arange(BLOCK)
    identity = np.random.default_rng(0).standard_normal((BLOCK, len(model.identity_names))).astype(np.float32)
    own = composer.codes(identity, numbers)
    mixed = own.copy()
    mixed[:, 0] = own[::-1, 0]
    works: dict[str, Work] = {
        "encode": lambda: composer.codes(identity, numbers),
        "decode": lambda: composer.decoded(own, numbers),
        # What the network decodes of the two codes, subtracted.
        "swap": lambda: composer.skin_offsets(identity, own, mixed, numbers),
    }
    return {
        "model": model.name,
        "vertices": len(skin.mean),
        "sizes": list(hierarchy.sizes),
        "channels": [3, *network.architecture.channels],
        "block": BLOCK,
        **{f"{name}_per_core_second": round(BLOCK / seconds(work, repeats)) for name, work in works.items()},
    }


def need_library() -> Any:
    """torch-geometric's Chebyshev convolution.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from torch_geometric.nn import ChebConv
    except ImportError:
        raise MissingDependencyError(
            "the benchmark compares with torch-geometric; install it with: pip install 'facegen[benchmark]'"
        ) from None
    return ChebConv


class LibraryConvolutions(nn.Module):
    """The network by torch-geometric's convolutions, with the weights of ours; codes and up-sampling are ours.

    Faces are (B, n, 3), as torch-geometric has them.
    """

    def __init__(self, ours: MeshAutoencoder, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.ours = ours
        self.kept = [torch.from_numpy(step.kept) for step in hierarchy.steps]
        self.edges = [_edges(mesh) for mesh in hierarchy.meshes[:-1]]
        self.encoder, self.decoder = _of_library(ours.encoder), _of_library(ours.decoder)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """What the network makes of faces (B, n, 3)."""
        ours, found = self.ours, faces
        for layer, edges, kept in zip(self.encoder, self.edges, self.kept, strict=True):
            found = torch.relu(layer(found, edges))[:, kept]
        codes = ours.project(ours.to_code(found.flatten(1)))
        weighted = torch.einsum("vk,bkz->vbz", ours.local_weights, codes)
        made = (torch.matmul(weighted, ours.to_channels) + ours.channel_bias).transpose(0, 1)
        for number, (up, layer, edges) in enumerate(zip(ours.up, self.decoder, reversed(self.edges), strict=True)):
            made = layer(up(made.transpose(0, 1)).transpose(0, 1), edges)
            if number < len(self.decoder) - 1:
                made = torch.relu(made)
        return made


def _of_library(layers: nn.ModuleList) -> nn.ModuleList:
    convolution, made = need_library(), nn.ModuleList()
    for layer in layers:
        assert isinstance(layer, ChebyshevConvolution)
        order, before, after = layer.weight.shape
        twin = convolution(before, after, order)
        with torch.no_grad():
            for linear, filters in zip(twin.lins, layer.weight, strict=True):
                linear.weight.copy_(filters.T)
            twin.bias.copy_(layer.bias)
        made.append(twin)
    return made


def _edges(mesh: NDArray[np.int64]) -> torch.Tensor:
    """(2, E) of a mesh, in both directions."""
    pairs = np.concatenate([mesh[:, [i, j]] for i, j in (*pairwise((0, 1, 2, 0)), *pairwise((0, 2, 1, 0)))])
    return torch.from_numpy(np.unique(pairs, axis=0).T.copy())


def _network(hierarchy: Hierarchy, architecture: Architecture) -> MeshAutoencoder:
    weights = np.full((hierarchy.sizes[-1], PARTS), 1 / PARTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MeshAutoencoder(hierarchy, weights, architecture)


def _step(network: nn.Module, faces: torch.Tensor) -> Work:
    def step() -> None:
        network.zero_grad()
        (network(faces) - faces).abs().mean().backward()

    return step
