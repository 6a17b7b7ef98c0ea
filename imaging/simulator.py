"""numba's CUDA simulator, which runs kernels as Python on any machine."""

from __future__ import annotations

from importlib import import_module


def simulated() -> bool:
    """Whether this process simulates: ``NUMBA_ENABLE_CUDASIM=1`` when numba was imported."""
    return bool(import_module("numba.core.config").ENABLE_CUDASIM)
