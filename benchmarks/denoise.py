"""Denoisers: faces per core second as the stage applies them, beside the same network of the library's convolutions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facegen.manifold.checkpoint import METHODS, read_checkpoint, shipped_weights
from facegen.manifold.convolutional import CHANNELS, ConvolutionalDenoiser
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.places import BLOCK
from facegen.morphable.coefficients import Group
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel

GROUPS: tuple[Group, ...] = ("identity", "expression")

LARGE = 4096
"""Faces of a batch on a GPU, which a block of the stage would not fill."""


def run(repeats: int) -> dict[str, Any]:
    """Measure the shipped denoisers of the embedded model on uniform faces.

    CPU time of one thread, in blocks of the size that the stage uses; A B A B …, medians. Where torch finds a GPU, wall
    time there too, in large batches.
    """
    model = load_model(DefaultModelConfig())
    with _one_thread():
        rows = [_measured(model, group, method, repeats) for group in GROUPS for method in METHODS]
        decode = _seconds(_decoding(model), repeats) / BLOCK
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
        library = _ratio(lambda: twin(values), ours, repeats)
    seconds = _seconds(ours, repeats) / BLOCK
    return {
        "group": group,
        "method": method,
        "parameters": sum(parameter.numel() for parameter in denoiser.parameters()),
        "us_per_face": round(1e6 * seconds, 2),
        "faces_per_core_second": round(1 / seconds),
        "library_ratio": None if library is None else round(library, 2),
        "gpu_faces_per_second": _on_gpu(denoiser, repeats) if torch.cuda.is_available() else None,
    }


def _applied(denoiser: Denoiser, count: int, device: str) -> Callable[[], object]:
    values, numbers = _faces(denoiser, count, device)
    return lambda: denoiser.denoise(values, numbers)


def _faces(denoiser: Denoiser, count: int, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    random = torch.Generator().manual_seed(0)
    values = (20 * torch.rand(count, denoiser.length, generator=random) - 10).to(device)
    numbers = torch.randn(count, denoiser.numbers, generator=random).to(device) if denoiser.numbers else None
    return values, numbers


def _decoding(model: MorphableModel) -> Callable[[], object]:
    identity = np.zeros((BLOCK, len(model.identity_names)), np.float32)
    expression = np.zeros((BLOCK, len(model.expression_names)), np.float32)
    return lambda: model.decode(identity, expression)


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of a call."""
    with torch.no_grad():
        work()
        return statistics.median(_once(work) for _ in range(repeats))


def _ratio(first: Callable[[], object], second: Callable[[], object], repeats: int) -> float:
    """Median of the ratio of CPU times, measured in turn."""
    with torch.no_grad():
        first(), second()
        return statistics.median(_once(first) / _once(second) for _ in range(repeats))


def _once(work: Callable[[], object]) -> float:
    # Long enough that the clock's step does not count.
    calls, started = 0, time.process_time()
    while (spent := time.process_time() - started) < 0.02:
        work()
        calls += 1
    return spent / calls


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


class _one_thread:
    """Let torch use one thread inside a ``with``."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)
