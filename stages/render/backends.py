"""Which back-end renders, and how it is made."""

from __future__ import annotations

from facegen.morphable.model import MorphableModel
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.cuda_device import on_gpu, require
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import Renderer


def resolved(config: RenderConfig) -> RenderConfig:
    """The configuration with the back-end that ``auto`` stands for on this machine: ``cuda`` on a GPU, else ``numba``.

    A run resolves it once and records the name, because images of different back-ends differ in their last bits: its
    workers all use that one, wherever they are.
    """
    if config.backend != "auto":
        return config
    return config.model_copy(update={"backend": "cuda" if on_gpu() else "numba"})


def make_renderer(config: RenderConfig, model: MorphableModel) -> Renderer:
    """The back-end that the configuration names.

    Raises:
        RenderError: when it cannot work on this machine.
    """
    height, width = config.height_width
    backend = resolved(config).backend
    # Imported where needed: OpenGL and CUDA are slow to start.
    if backend == "pyrender":
        from facegen.stages.render.pyrender_backend import PyrenderRenderer

        return PyrenderRenderer(model, height, width)
    if backend == "torch":
        from facegen.stages.render.torch_backend import TorchRenderer

        return TorchRenderer(model, height, width, config.device)
    if backend == "cuda":
        require()
        from facegen.stages.render.cuda_backend import CudaRenderer

        return CudaRenderer(model, height, width)
    return NumbaRenderer(model, height, width)
