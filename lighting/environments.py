"""A folder of environment maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import LightError
from facegen.folders import FileFolder
from facegen.lighting.light import Light
from facegen.lighting.openexr import read_exr
from facegen.lighting.panorama import light_of, panorama
from facegen.lighting.rgbe import read_rgbe

SUFFIXES = (".exr", ".hdr")

MOST_PIXELS = 8192 * 4096
MOST_BYTES = 512 * 2**20
"""Larger files are refused: such maps have no more light, and may be no maps at all."""

BRIGHTEST = 1e9
"""Largest value of a map: the sun in a sky of 1 is about 1e5."""


class EnvironmentFolder(FileFolder):
    """The ``.hdr`` and ``.exr`` files of a folder, by name; other files and folders in it are passed over."""

    def __init__(self, folder: Path) -> None:
        """List the folder.

        Raises:
            LightError: it cannot be read, or has no such file.
        """
        super().__init__(folder, SUFFIXES, "environment maps", LightError)
        self._lights: dict[tuple[int, int], Light] = {}

    def check(self, count: int) -> None:
        """Read every map, so that a bad one is told before any work.

        Raises:
            LightError, MissingDependencyError: as :meth:`light`.
        """
        for number in range(len(self.files)):
            self.light(number, count)

    def light(self, number: int, count: int) -> Light:
        """The light of a map, with ``count`` lights; see :mod:`facegen.lighting.panorama`. Kept once it is known.

        Raises:
            LightError: naming a file that is no map.
            MissingDependencyError: it is an .exr file, and OpenEXR is not installed.
        """
        if (number, count) not in self._lights:
            self._lights[number, count] = light_of(panorama(read_map(self.files[number])), count)
        return self._lights[number, count]


def read_map(path: Path) -> NDArray[np.float32]:
    """A map (H, 2H, 3), linear RGB.

    Raises:
        LightError: it cannot be read, is damaged, too large, not twice as wide as high, black, or has values that no
            light has.
        MissingDependencyError: it is an .exr file, and OpenEXR is not installed.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise LightError(f"{path}: {size:,} bytes; at most {MOST_BYTES:,} are read")
        exr = path.suffix.lower() == ".exr"
        picture = read_exr(path, MOST_PIXELS) if exr else read_rgbe(path.read_bytes(), MOST_PIXELS)
    except OSError as error:
        raise LightError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        if isinstance(error, LightError):
            raise
        raise LightError(f"{path}: {error}") from None
    height, width = picture.shape[:2]
    if width != 2 * height:
        raise LightError(f"{path}: {width} × {height} pixels; a latitude-longitude map is twice as wide as high")
    if height < 2:
        raise LightError(f"{path}: {width} × {height} pixels are no map")
    wrong = int(np.count_nonzero(~((picture >= 0) & (picture <= BRIGHTEST))))
    if wrong:
        raise LightError(f"{path}: {wrong:,} values are negative, not finite or more than {BRIGHTEST:.0e}")
    if not picture.any():
        raise LightError(f"{path}: all black")
    return picture
