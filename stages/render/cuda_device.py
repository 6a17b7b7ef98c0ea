"""Whether numba can compile for a GPU of this machine and run there."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from facegen.errors import RenderError
from facegen.imaging.simulator import simulated

PACKAGES = "pip install 'facegen[cuda]'"
"""What a machine with NVIDIA's driver may lack."""


@dataclass(frozen=True)
class Missing:
    """Why there is no rendering with CUDA here, in one line, and what may help."""

    reason: str
    command: str


def missing() -> Missing | None:
    """``None`` where the cuda back-end works: on a GPU, or under numba's CUDA simulator."""
    try:
        cuda: Any = import_module("numba.cuda")
        if simulated():
            return None
        available, refusal = cuda.is_available(), cuda.cuda_error()
    except Exception as error:  # a broken installation raises more than ImportError
        return Missing(" ".join(str(error).split())[:200], PACKAGES)
    if refusal is not None:
        return Missing("numba finds no usable NVIDIA GPU", "nvidia-smi")
    # The one that comes with numba is no longer maintained and cannot compile the kernels.
    if cuda.implementation == "Built-in":
        return Missing("NVIDIA's package numba-cuda is not installed", PACKAGES)
    return None if available else Missing("numba-cuda finds no CUDA compiler", PACKAGES)


def require() -> None:
    """Refuse a machine where the cuda back-end does not work.

    Raises:
        RenderError: in one line, with the remedy.
    """
    lacking = missing()
    if lacking is not None:
        raise RenderError(
            f"render.backend is 'cuda', and {lacking.reason}; take 'numba' or 'auto', or run: {lacking.command}"
        )


def on_gpu() -> bool:
    """Whether the cuda back-end works on a GPU: not where a simulator stands for it."""
    return missing() is None and not simulated()


def describe() -> str:
    """What runs the kernels, in a few words; only where nothing is :func:`missing`."""
    version = import_module("numba").__version__
    if simulated():
        return f"numba {version}, the CUDA simulator"
    name = import_module("numba.cuda").get_current_device().name
    return f"numba {version}, {name.decode() if isinstance(name, bytes) else name}"
