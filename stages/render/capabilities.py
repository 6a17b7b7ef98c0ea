"""What this machine can render with: the rows of ``facegen doctor``."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facegen.morphable.ict.source import NEUTRAL
from facegen.stages.render import cuda_device
from facegen.stages.render.opengl import PACKAGES, missing

TIMEOUT = 60.0
"""Seconds that a driver may take to draw its first pixel."""

_PYRENDER_PROBE = """
from facegen.morphable.ict.source import NEUTRAL
from facegen.stages.render.opengl import choose_platform
choose_platform({platform!r})
import pyrender
from OpenGL import GL
context = pyrender.OffscreenRenderer(8, 8)
print("pyrender", pyrender.__version__, "on", GL.glGetString(GL.GL_RENDERER).decode())
"""

_MODERNGL_PROBE = """
import moderngl
context = moderngl.create_standalone_context(backend="egl")
print("moderngl", moderngl.__version__, "on", context.info["GL_RENDERER"])
"""


@dataclass(frozen=True)
class Capability:
    """One way to render, or one thing that it needs."""

    name: str
    available: bool
    detail: str
    """What was found, in words; one line."""
    remedy: str | None
    """The command that makes it available; ``None`` when it is, or when no command can."""


def report() -> list[Capability]:
    """Probe this machine. Never raises; OpenGL is tried in processes of its own, because drivers may crash."""
    with ThreadPoolExecutor() as pool:
        drivers = [pool.submit(probe) for probe in (_osmesa, _egl, _moderngl)]
        return [
            _numba(),
            _numba_cuda(),
            _torch(),
            _torch_cuda(),
            *(driver.result() for driver in drivers),
            _ict_model(),
        ]


def _numba() -> Capability:
    name = "numba on the CPU"
    try:
        import numba
    except Exception as error:  # a broken installation raises more than ImportError
        return Capability(name, False, _one_line(str(error)), "pip install numba")
    return Capability(name, True, f"numba {numba.__version__}, {numba.get_num_threads()} threads", None)


def _numba_cuda() -> Capability:
    name = "numba on CUDA"
    lacking = cuda_device.missing()
    if lacking is not None:
        return Capability(name, False, lacking.reason, lacking.command)
    return Capability(name, True, cuda_device.describe(), None)


def _torch() -> Capability:
    name = "torch on the CPU"
    try:
        import torch
    except Exception as error:
        return Capability(name, False, _one_line(str(error)), "pip install torch")
    return Capability(name, True, f"torch {torch.__version__}, {torch.get_num_threads()} threads", None)


def _torch_cuda() -> Capability:
    name = "torch on CUDA"
    try:
        import torch

        with warnings.catch_warnings():
            # An unusable driver is a finding here, not a warning.
            warnings.simplefilter("ignore")
            if torch.cuda.is_available():
                return Capability(name, True, f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}", None)
    except Exception as error:
        return Capability(name, False, _one_line(str(error)), "pip install torch")
    if torch.version.cuda is None:
        return Capability(
            name, False, f"torch {torch.__version__} is built without CUDA", "pip install --force-reinstall torch"
        )
    return Capability(name, False, f"torch {torch.__version__} finds no usable GPU", "nvidia-smi")


def _osmesa() -> Capability:
    return _pyrender("pyrender on OSMesa", "osmesa")


def _egl() -> Capability:
    return _pyrender("pyrender on EGL", "egl")


def _pyrender(name: str, platform: str) -> Capability:
    lacking = missing(platform)
    if lacking is not None:
        return Capability(name, False, lacking.reason, lacking.command)
    return _probe(name, _PYRENDER_PROBE.format(platform=platform), PACKAGES[platform])


def _moderngl() -> Capability:
    return _probe("moderngl on EGL (tests only)", _MODERNGL_PROBE, "pip install moderngl")


def _ict_model() -> Capability:
    name = "ICT face model (FACEGEN_ICT)"
    command = "export FACEGEN_ICT=/path/to/ICT-FaceKit/FaceXModel"
    value = os.environ.get("FACEGEN_ICT")
    if not value:
        return Capability(name, False, "FACEGEN_ICT is not set", command)
    path = Path(value).expanduser()
    if path.suffix != ".npz" and not (path / NEUTRAL).is_file():
        return Capability(name, False, f"FACEGEN_ICT: no {NEUTRAL} in {path}", command)
    if not path.exists():
        return Capability(name, False, f"FACEGEN_ICT: {path} does not exist", command)
    return Capability(name, True, str(path), None)


def _probe(name: str, code: str, command: str) -> Capability:
    """Run ``code`` in a process of its own; its last line tells."""
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Capability(name, False, f"no answer within {TIMEOUT:.0f} s", command)
    except OSError as error:
        return Capability(name, False, _one_line(str(error)), command)
    if done.returncode == 0:
        return Capability(name, True, _last_line(done.stdout), None)
    if done.returncode < 0:
        return Capability(name, False, f"the driver crashed (signal {-done.returncode})", command)
    return Capability(name, False, _last_line(done.stderr), command)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return _one_line(lines[-1]) if lines else "no message"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
