"""What is behind the face: a function of a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.paths import expand
from facegen.randomness import generator
from facegen.stages.render.backgrounds.config import (
    Background,
    GradientBackground,
    MixtureBackground,
    OneBackground,
    PlainBackground,
    SoftBackground,
    TextureBackground,
    image_folders,
)
from facegen.stages.render.backgrounds.gradient import draw_gradient
from facegen.stages.render.backgrounds.photographs import PhotographFolder
from facegen.stages.render.backgrounds.scenes import draw_scene
from facegen.stages.render.backgrounds.soft import draw_soft

FOLDER_KEY = "render.background.folder"
"""The setting that names a folder of pictures, for messages."""


class Backdrop:
    """Backgrounds of one configuration, of one size. The same seed gives the same bytes in any process."""

    def __init__(self, config: Background, height: int, width: int) -> None:
        """List the folders of pictures, if there are any.

        Raises:
            BackgroundError: one cannot be read or has no pictures.
            ConfigurationError: its path has a variable that is not set.
        """
        self._config = config
        self._size = height, width
        self._folders = {path: PhotographFolder(expand(path, FOLDER_KEY)) for path in image_folders(config)}

    def draw(self, seed: int) -> NDArray[np.uint8]:
        """An sRGB background (H, W, 3).

        Raises:
            BackgroundError: a picture is no longer what it was.
        """
        config = self._config
        if isinstance(config, MixtureBackground):
            # From a stream of its own, so that each part draws what it would draw alone.
            choice = generator(seed, "render", "background-kind", 0).random()
            bounds = np.cumsum([part.weight for part in config.components])
            chosen = np.searchsorted(bounds, choice * bounds[-1], side="right").clip(0, len(bounds) - 1)
            return self._one(config.components[int(chosen)].background, seed)
        return self._one(config, seed)

    def _one(self, config: OneBackground, seed: int) -> NDArray[np.uint8]:
        height, width = self._size
        if isinstance(config, PlainBackground):
            colour = np.round(np.array(config.colour) * 255).astype(np.uint8)
            return np.broadcast_to(colour, (height, width, 3)).copy()
        if isinstance(config, SoftBackground):
            return draw_soft(config, seed, height, width)
        rng = generator(seed, "render", f"background-{config.kind}", 0)
        if isinstance(config, GradientBackground):
            return draw_gradient(config, rng, height, width)
        if isinstance(config, TextureBackground):
            return draw_scene(config, rng, height, width)
        return self._folders[config.folder].draw(config, rng, height, width)

    def check(self) -> None:
        """Decode all pictures, once before a run.

        Raises:
            BackgroundError: naming one that is damaged or too small.
        """
        for folder in self._folders.values():
            folder.check(*self._size)


def folder_digests(config: Background) -> list[str]:
    """sha256 of names and contents of each folder of pictures, in order.

    Raises:
        BackgroundError: one cannot be read.
    """
    return [PhotographFolder(expand(path, FOLDER_KEY)).digest() for path in image_folders(config)]


def draw_background(config: Background, seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """One sRGB background (H, W, 3); see :class:`Backdrop`."""
    return Backdrop(config, height, width).draw(seed)
