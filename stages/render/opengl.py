"""OpenGL without a window: which platform this process uses, and what to install where one is missing.

PyOpenGL reads ``PYOPENGL_PLATFORM`` when it is imported and cannot change afterwards, so the platform is chosen once
per process. Nothing here imports PyOpenGL.
"""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import os
import sys
from typing import Literal, NamedTuple

from facegen.errors import RenderError

Platform = Literal["auto", "osmesa", "egl"]

VARIABLE = "PYOPENGL_PLATFORM"

LIBRARIES = {"osmesa": "OSMesa", "egl": "EGL"}
"""The shared library behind each platform."""

PACKAGES = {"osmesa": "apt-get install libosmesa6", "egl": "apt-get install libegl1 libgl1 libgl1-mesa-dri"}
"""The command that installs each platform's library on Debian and its relatives."""

# pyrender pins PyOpenGL 3.1.0, which lacks OSMesaCreateContextAttribs; hence --no-deps.
_PYOPENGL = "pip install --no-deps PyOpenGL==3.1.10"


class Missing(NamedTuple):
    """What a platform lacks."""

    reason: str
    command: str
    """The command that installs it."""


def missing(platform: str) -> Missing | None:
    """What ``platform`` (``"osmesa"`` or ``"egl"``) still needs; ``None`` when all is installed."""
    for package in ("pyrender", "PyOpenGL"):
        if _version(package) is None:
            return Missing(f"{package} is not installed", f"pip install {package}")
    library = LIBRARIES[platform]
    if ctypes.util.find_library(library) is None:
        return Missing(f"lib{library} is not installed", PACKAGES[platform])
    if platform == "osmesa" and _version("PyOpenGL") == "3.1.0":
        return Missing("PyOpenGL 3.1.0 cannot create OSMesa's contexts", _PYOPENGL)
    return None


def platform_in_use() -> str | None:
    """The platform that PyOpenGL is bound to in this process; ``None`` while it is not imported."""
    module = sys.modules.get("OpenGL.platform")
    if module is None:
        return None
    # PyOpenGL's plug-ins are called EGLPlatform, OSMesaPlatform, GLXPlatform, …
    return type(module.PLATFORM).__name__.removesuffix("Platform").lower()


def choose_platform(wanted: Platform) -> str:
    """Bind this process to a platform, before PyOpenGL is imported.

    Args:
        wanted: ``"auto"`` keeps what the process already uses or ``PYOPENGL_PLATFORM`` names, and otherwise prefers
            OSMesa, which gives the same bytes with and without a GPU.

    Returns:
        ``"osmesa"`` or ``"egl"``.

    Raises:
        RenderError: another platform is in use, or its libraries are missing; the message carries the command.
    """
    used = platform_in_use()
    platform = used or os.environ.get(VARIABLE) if wanted == "auto" else wanted
    if platform is None:
        platform = next((name for name in LIBRARIES if missing(name) is None), "osmesa")
    if platform not in LIBRARIES:
        raise RenderError(
            f"OpenGL platform '{platform}' draws into windows; set {VARIABLE}=osmesa or {VARIABLE}=egl before starting"
        )
    if used is not None and used != platform:
        raise RenderError(
            f"OpenGL platform '{platform}' was asked for, but this process already uses '{used}'; "
            f"start a new process with {VARIABLE}={platform}"
        )
    lacking = missing(platform)
    if lacking is not None:
        raise RenderError(f"OpenGL platform '{platform}': {lacking.reason}; run: {lacking.command}")
    os.environ[VARIABLE] = platform
    return platform


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
