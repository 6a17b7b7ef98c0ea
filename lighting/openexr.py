"""Reading OpenEXR pictures (``.exr``), by the format's own library."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import MissingDependencyError


def read_exr(path: Path, most_pixels: int) -> NDArray[np.float32]:
    """The picture (H, W, 3), linear RGB, row 0 at the top; a picture of luminance alone is grey.

    Args:
        path: the file.
        most_pixels: more are refused, before they are decoded.

    Raises:
        ValueError: saying what is wrong with the file.
        MissingDependencyError: OpenEXR is not installed.
    """
    library = _library()
    try:
        with _silent():
            header = library.File(str(path), header_only=True, num_threads=0).header()
            low, high = (np.asarray(corner, np.int64) for corner in header["dataWindow"])
            width, height = (high - low + 1).tolist()
            fits = 0 < width <= most_pixels and 0 < height <= most_pixels and width * height <= most_pixels
            # A file whose pixels are damaged has no parts.
            channels = library.File(str(path), True, num_threads=0).channels() if fits else {}
            pixels = {name: np.asarray(channel.pixels) for name, channel in channels.items()}
    except Exception as error:  # the library raises all kinds
        raise ValueError(f"damaged, or no OpenEXR picture ({' '.join(str(error).split())[:160]})") from None
    if not fits:
        raise ValueError(f"{width} × {height} pixels; from 1 to {most_pixels:,} can be read")
    names = ("R", "G", "B") if "R" in pixels else ("Y", "Y", "Y")
    found = [pixels[name] for name in names if name in pixels]
    if len(found) < 3 or any(plane.shape != (height, width) or plane.dtype.kind != "f" for plane in found):
        listed = ", ".join(sorted(pixels))[:80] or "none"
        raise ValueError(f"its channels are {listed}; expected R, G, B or Y in floating point, all of one size")
    return np.stack(found, axis=2).astype(np.float32)


@contextmanager
def _silent() -> Iterator[None]:
    """Send nowhere what the library prints and writes about damaged files: its errors say it as well."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _library() -> Any:
    try:
        return importlib.import_module("OpenEXR")
    except ImportError:
        raise MissingDependencyError(
            "environment maps that end in .exr need OpenEXR: pip install 'facegen[exr]'"
        ) from None
