"""Denoisers: faces per core second as the stage applies them, beside the same network of the library's convolutions."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facegen.benchmarks.timing import Work, in_turn, one_thread, seconds
from facegen.manifold.checkpoint import METHODS, read_checkpoint, shipped_weights
from facegen.manifold.convolutional import CHANNELS, ConvolutionalDenoiser
from facegen.manifold.denoiser import Denoiser
from facegen.morphable.coefficients import Group
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.places import BLOCK

GROUPS: tuple[Group, ...] = ("identity", "expression")

LARGE = 4096
"""Faces of a batch on a GPU, which a block of the stage would not fill."""


def run(repeats: int) -> dict[str, Any]:
    """Measure the shipped denoisers of the embedded model on uniform faces.

    CPU time of one thread, in blocks of the size that the stage uses; A B A B …, medians. Where torch finds a GPU, wall
    time there too, in large batches.
    """
    model = load_model(DefaultModelConfig())
    with one_thread(), torch.no_grad():
        rows = [_measured(model, group, method, repeats) for group in GROUPS for method in METHODS]
        decode = seconds(_decoding(model), repeats) / BLOCK
    return {
        "block": BLOCK,
        "vertices": model.topology.vertex_count,
        "decode_us_per_face": round(1e6 * decode, 1),
        "denoisers": rows,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{'denoiser':<26}{'µs a face':>10}{'faces/s a core':>16}{'× decode':>10}{'library, ×':>12}{'GPU faces/s':>13}"
    ]
    for row in result["denoisers"]:
        library = "-" if row["library_ratio"] is None else f"{row['library_ratio']:.2f}"
        gpu = "-" if row["gpu_faces_per_second"] is None else f"{row['gpu_faces_per_second']:,.0f}"
        lines.append(
            f"{row['group'] + ', ' + row['method']:<26}{row['us_per_face']:>10.1f}"
            f"{row['faces_per_core_second']:>16,.0f}{row['us_per_face'] / result['decode_us_per_face']:>10.2f}"
            f"{library:>12}{gpu:>13}"
        )
    lines.append(
        f"decoding a face to its {result['vertices']:,} vertices takes {result['decode_us_per_face']:.0f} µs; "
        "'library, ×' is the time of torch's own convolutions and pooling over ours"
    )
    return "\n".join(lines)


class LibraryConvolutions(nn.Module):
    """The paper's network by torch's convolution, pooling and unpooling, with the weights of ours."""

    def __init__(self, ours: ConvolutionalDenoiser) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        """Denoised faces (B, K) of corrupted ones, both in raw units."""
        code, pooled = raw[:, None], []
        for layer in self.ours.encoder:
            code = functional.relu(layer(code))
            length = code.shape[-1]
            code, places = functional.max_pool1d_with_indices(code, [2])
            pooled.append((places, length))
        for number, (layer, (places, length)) in enumerate(zip(self.ours.decoder, reversed(pooled), strict=True)):
            code = layer(functional.max_unpool1d(code, places, [2], output_size=[length]))
            if number < len(CHANNELS) - 1:
                code = functional.relu(code)
        return code[:, 0]


def _measured(model: MorphableModel, group: Group, method: str, repeats: int) -> dict[str, Any]:
    denoiser, _ = read_checkpoint(shipped_weights(model, group, method))
    ours = _applied(denoiser, BLOCK, "cpu")
    library = None
    if isinstance(denoiser, ConvolutionalDenoiser):
        values = _faces(denoiser, BLOCK, "cpu")[0]
        twin = LibraryConvolutions(denoiser)
        library = statistics.median(a / b for a, b in in_turn(lambda: twin(values), ours, repeats))
    spent = seconds(ours, repeats) / BLOCK
    return {
        "group": group,
        "method": method,
        "parameters": sum(parameter.numel() for parameter in denoiser.parameters()),
        "us_per_face": round(1e6 * spent, 2),
        "faces_per_core_second": round(1 / spent),
        "library_ratio": None if library is None else round(library, 2),
        "gpu_faces_per_second": _on_gpu(denoiser, repeats) if torch.cuda.is_available() else None,
    }


def _applied(denoiser: Denoiser, count: int, device: str) -> Work:
    values, numbers = _faces(denoiser, count, device)
    return lambda: denoiser.denoise(values, numbers)


def _faces(denoiser: Denoiser, count: int, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    random = torch.Generator().manual_seed(0)
    values = (20 * torch.rand(count, denoiser.length, generator=random) - 10).to(device)
    numbers = torch.randn(count, denoiser.numbers, generator=random).to(device) if denoiser.numbers else None
    return values, numbers


def _decoding(model: MorphableModel) -> Work:
    identity = np.zeros((BLOCK, len(model.identity_names)), np.float32)
    expression = np.zeros((BLOCK, len(model.expression_names)), np.float32)
    return lambda: model.decode(identity, expression)


def _on_gpu(denoiser: Denoiser, repeats: int) -> int:
    """Faces a second, wall time, in batches of :data:`LARGE`."""
    work = _applied(denoiser.to("cuda"), LARGE, "cuda")
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            torch.cuda.synchronize()
            started = time.perf_counter()
            work()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    denoiser.to("cpu")
    return round(LARGE / statistics.median(times[1:]))
