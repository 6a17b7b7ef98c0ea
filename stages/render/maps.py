"""What the render stage adds for attribute maps: the neutral face and the albedo in texture space."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.atlas import Atlas
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import level_for
from facegen.stages.render.deferred import srgb_decoding
from facegen.stages.render.linear import encode_srgb
from facegen.stages.render.shading import F32, eye_paint
from facegen.stages.render.surface import surface_of


class AlbedoMaps:
    """Makes albedo maps of one model at one size.

    Args:
        model: the model.
        size: texels a side, S.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        self._model = model
        self._atlas = Atlas(model.topology, size)
        self._decode = srgb_decoding()
        surface = surface_of(model)
        self._iris_radius = np.float32(surface.iris_radius)
        direction = self._atlas.spread(surface.eye_direction)
        self._eyes = np.nonzero(direction.any(axis=2))
        self._direction = direction[self._eyes]

    def true(self, albedo: F32, iris_colour: F32) -> NDArray[np.uint8]:
        """(n, S, S, 3) sRGB: what the renderer paints faces with.

        Args:
            albedo: (n, Ka) coefficients in σ.
            iris_colour: (n, 3) linear RGB.
        """
        size, model = self._atlas.size, self._model
        if isinstance(model.albedo, TextureAlbedo):
            textures = model.albedo.decode_texture(albedo, level_for(model.albedo.sizes, size))
            light = np.stack([_resized(texture, self._decode, size) for texture in textures])
        else:
            light = np.stack([self._atlas.spread(colours) for colours in model.decode_albedo(albedo)])
        for face, iris in zip(light, iris_colour, strict=True):
            face[self._eyes] = _painted(self._direction, self._iris_radius, iris, face[self._eyes])
        return self._encoded(light)

    def linear(self, colours: F32) -> NDArray[np.uint8]:
        """(n, S, S, 3) sRGB of linear colours (n, V, 3) at the vertices."""
        return self._encoded(np.stack([self._atlas.spread(face) for face in colours]))

    def _encoded(self, light: F32) -> NDArray[np.uint8]:
        return np.where((self._atlas.triangle >= 0)[..., None], encode_srgb(light), np.uint8(0))


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _resized(texture: NDArray[np.uint8], decode: F32, size: int) -> F32:
    """A texture (H, H, 3) sRGB as linear light (S, S, 3), interpolated between its four nearest texels."""
    result = np.empty((size, size, 3), np.float32)
    last = texture.shape[0] - 1
    scale = np.float32(texture.shape[0]) / np.float32(size)
    half, zero, one = np.float32(0.5), np.float32(0.0), np.float32(1.0)
    for r in range(size):
        y = min(max((np.float32(r) + half) * scale - half, zero), np.float32(last))
        top = int(y)
        bottom, fy = min(top + 1, last), y - np.float32(top)
        for c in range(size):
            x = min(max((np.float32(c) + half) * scale - half, zero), np.float32(last))
            left = int(x)
            right, fx = min(left + 1, last), x - np.float32(left)
            for k in range(3):
                upper = decode[texture[top, left, k]] * (one - fx) + decode[texture[top, right, k]] * fx
                lower = decode[texture[bottom, left, k]] * (one - fx) + decode[texture[bottom, right, k]] * fx
                result[r, c, k] = upper * (one - fy) + lower * fy
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _painted(direction: F32, iris_radius: np.float32, iris: F32, sclera: F32) -> F32:
    """(n, 3) albedo of an eyeball in directions (n, 3) of its frame; ``sclera`` (n, 3) is what is beside the iris."""
    result = np.empty_like(sclera)
    for i in range(len(direction)):
        red, green, blue = eye_paint(
            (direction[i, 0], direction[i, 1], direction[i, 2]),
            iris_radius,
            (iris[0], iris[1], iris[2]),
            (sclera[i, 0], sclera[i, 1], sclera[i, 2]),
        )
        result[i, 0], result[i, 1], result[i, 2] = red, green, blue
    return result
