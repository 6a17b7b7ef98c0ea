"""Backgrounds from a folder of pictures."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facegen.errors import BackgroundError
from facegen.folders import FileFolder
from facegen.stages.render.backgrounds.config import ImagesBackground
from facegen.stages.render.backgrounds.finish import to_bytes, working_size
from facegen.stages.render.linear import decode_srgb, disc_blur

SUFFIXES = (".jpeg", ".jpg", ".png")

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Of Pillow: those with 8 bits or fewer a channel, which become RGB without loss of range."""


class PhotographFolder(FileFolder):
    """The PNG and JPEG files of a folder, by name; other files and folders in it are passed over."""

    def __init__(self, folder: Path) -> None:
        """List the folder.

        Raises:
            BackgroundError: it cannot be read, or has no such file.
        """
        super().__init__(folder, SUFFIXES, "background images", BackgroundError)

    def check(self, height: int, width: int) -> None:
        """Decode every picture, so that a bad one is told before any work.

        Args:
            height, width: of the images they are to stand behind.

        Raises:
            BackgroundError: naming a file that is damaged, too small, or of more than 8 bits a channel.
        """
        with warnings.catch_warnings():
            # Pillow warns of pictures of more pixels than it trusts; it would do so again for each face.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for path in self.files:
                self._check_one(path, height, width)

    @staticmethod
    def _check_one(path: Path, height: int, width: int) -> None:
        with _open(path) as picture:
            if picture.mode not in MODES:
                raise BackgroundError(
                    f"{path}: a picture of mode {picture.mode}; expected 8 bits a channel, grey or in colours"
                )
            found = _oriented(picture, path).size
        if found[0] < width or found[1] < height:
            raise BackgroundError(f"{path}: {found[0]} × {found[1]} pixels, too small for images of {width} × {height}")

    def draw(self, config: ImagesBackground, rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
        """sRGB (height, width, 3): a crop of one of the pictures.

        Raises:
            BackgroundError: the file is no longer what it was.
        """
        path = self.files[int(rng.integers(len(self.files)))]
        share, right, down = config.crop.draw(rng, 1)[0], rng.random(), rng.random()
        radius = float(np.clip(config.blur.draw(rng, 1)[0], 0, 25)) / 100 * height
        size = working_size(height, width, radius)
        with _open(path) as picture:
            # A JPEG is decoded at a half, a quarter or an eighth where that has pixels enough.
            upright = picture.getexif().get(0x0112, 1) < 5
            full = picture.size if upright else picture.size[::-1]
            largest = min(full[0] / width, full[1] / height)
            side = min(max(share * largest, 1.0), largest)
            need = max(size[0] / (side * height), size[1] / (side * width))
            picture.draft("RGB", tuple(math.ceil(n * need) for n in picture.size))
            decoded = _oriented(picture, path).convert("RGB")
        scale = decoded.size[0] / full[0], decoded.size[1] / full[1]
        left, top = right * (full[0] - side * width), down * (full[1] - side * height)
        box = (
            left * scale[0],
            top * scale[1],
            min((left + side * width) * scale[0], decoded.size[0]),
            min((top + side * height) * scale[1], decoded.size[1]),
        )
        cut = np.array(decoded.resize(size[::-1], Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
        if radius == 0:
            return cut
        return to_bytes(disc_blur(decode_srgb(cut), radius * size[0] / height), height, width, 0.0, rng)


def _open(path: Path) -> Image.Image:
    """The picture, its header read.

    Raises:
        BackgroundError: it is none.
    """
    try:
        return Image.open(path, formats=("PNG", "JPEG"))
    except Exception as error:  # of damaged files decoders raise all kinds
        raise BackgroundError(f"{path}: not a readable PNG or JPEG picture ({_line(error)})") from None


def _oriented(picture: Image.Image, path: Path) -> Image.Image:
    """The decoded picture, the right way up by its EXIF tag.

    Raises:
        BackgroundError: it is damaged.
    """
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # as above
        raise BackgroundError(f"{path}: damaged picture ({_line(error)})") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
