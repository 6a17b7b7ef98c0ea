"""Drawing the effects of a camera for each face, and applying them before and after it is rendered.

What changes the camera or the amount of light is done before rendering, exactly: a crop changes the intrinsics, and
exposure and white balance scale the scene's light (and the background's), of which the rendered linear light is a
multiple, so that a highlight that was too bright for a byte comes back in a darker picture. What a lens, a sensor and a
file do is done to the picture, in linear light; it leaves every label as it is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegen.batch import Arrays
from facegen.randomness import generator
from facegen.stages.laws import ScalarLaw
from facegen.stages.render.effects.config import EffectsConfig
from facegen.stages.render.linear import decode_srgb, encode_srgb, gain_srgb, gaussian_blur, motion_blur
from facegen.stages.render.renderer import View

Float = NDArray[np.float32]

MOST_STOPS = 8.0
"""Largest change of exposure, in stops either way; of white balance likewise."""

SCALES = (0.05, 20.0)
"""Smallest and largest scale of a crop."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear sRGB (ITU-R BT.709)."""


class _Effect(Protocol):
    @property
    def probability(self) -> float: ...


@dataclass(frozen=True)
class Drawn(Arrays):
    """What was drawn for B faces, as :class:`~facegen.batch.Renders` has it; ``None`` for effects that are off."""

    intrinsics: NDArray[np.float64] | None = None
    effect_crop: Float | None = None
    effect_exposure: Float | None = None
    effect_white_balance: Float | None = None
    effect_blur: Float | None = None
    effect_motion: Float | None = None
    effect_noise: Float | None = None
    effect_jpeg: NDArray[np.uint8] | None = None


class CameraEffects:
    """The effects of one configuration on images of one size.

    What a face gets depends on its ``background_seed`` alone, so it is drawn once per round of a grid, as the
    background is. Each effect has a stream of its own: switching one on changes no other.
    """

    def __init__(self, config: EffectsConfig, height: int, width: int) -> None:
        self._config = config
        self._height, self._width = height, width

    def draw(self, seed: NDArray[np.uint64], intrinsics: NDArray[np.float64]) -> Drawn:
        """Draw for the faces with seeds (B,) and intrinsics (B, 3, 3) before any crop."""
        config = self._config
        # Laws may reach beyond what floats hold; the bounds take care of it.
        with np.errstate(over="ignore", invalid="ignore"):
            crop = exposure = white_balance = blur = motion = noise = jpeg = None
            if config.crop is not None:
                low, high = SCALES
                crop = self._values("crop", config.crop, seed, [
                    (config.crop.scale, low, high, 1.0),
                    (config.crop.x, -1.0, 1.0, 0.0),
                    (config.crop.y, -1.0, 1.0, 0.0),
                ]) * np.array([1, self._width, self._height], np.float32)  # fmt: skip
            if config.exposure is not None:
                stops = (config.exposure.stops, -MOST_STOPS, MOST_STOPS, 0.0)
                exposure = self._values("exposure", config.exposure, seed, [stops])[:, 0]
            if config.white_balance is not None:
                laws = (config.white_balance.warmth, config.white_balance.tint)
                white_balance = _balance(self._values("white-balance", config.white_balance, seed, [
                    (law, -MOST_STOPS, MOST_STOPS, 0.0) for law in laws
                ]))  # fmt: skip
            # A picture that is blurred over more than itself shows nothing.
            most = float(max(self._height, self._width)) / 4
            if config.blur is not None:
                blur = self._values("blur", config.blur, seed, [(config.blur.sigma, 0.0, most, 0.0)])[:, 0]
            if config.motion is not None:
                length, angle = self._values("motion", config.motion, seed, [
                    (config.motion.length, 0.0, most, 0.0), (config.motion.angle, -360.0, 360.0, 0.0),
                ]).T  # fmt: skip
                radians = np.radians(angle.astype(np.float64))
                motion = (length * np.stack([np.cos(radians), np.sin(radians)])).T.astype(np.float32)
            if config.noise is not None:
                laws = (config.noise.shot, config.noise.read)
                noise = self._values("noise", config.noise, seed, [(law, 0.0, 1.0, 0.0) for law in laws])
            if config.jpeg is not None:
                # 0 where it is not compressed.
                quality = self._values("jpeg", config.jpeg, seed, [(config.jpeg.quality, 1.0, 100.0, 0.0)])[:, 0]
                jpeg = np.round(quality).astype(np.uint8)
            cropped = None if crop is None else self._cropped(intrinsics, crop)
        return Drawn(
            intrinsics=cropped,
            effect_crop=crop,
            effect_exposure=exposure,
            effect_white_balance=white_balance,
            effect_blur=blur,
            effect_motion=motion,
            effect_noise=noise,
            effect_jpeg=jpeg,
        )

    def _values(
        self, name: str, effect: _Effect, seed: NDArray[np.uint64], laws: list[tuple[ScalarLaw, float, float, float]]
    ) -> Float:
        """Numbers (B, n) by laws with their bounds, or where a face does not have the effect, their last entries."""
        values = np.empty((len(seed), len(laws)), np.float32)
        for row, number in enumerate(seed):
            rng = generator(int(number), "render", name, 0)
            has = rng.random() < effect.probability
            for column, (law, low, high, none) in enumerate(laws):
                values[row, column] = np.clip(law.draw(rng, 1)[0], low, high) if has else none
        return values

    def _cropped(self, intrinsics: NDArray[np.float64], crop: Float) -> NDArray[np.float64]:
        """Intrinsics (B, 3, 3) of crops (B, 3): scale about the centre, then shift right and down in pixels."""
        scale, shift = crop[:, 0].astype(np.float64), crop[:, 1:].astype(np.float64)
        centre = np.array([self._width / 2, self._height / 2])
        result = intrinsics * np.stack([scale, scale, np.ones_like(scale)], axis=1)[:, :, None]
        result[:, :2, 2] += centre * (1 - scale[:, None]) + shift
        return result

    def before(self, drawn: Drawn, row: int, view: View) -> View:
        """The view that the camera has of ``view``'s scene, for the face in ``row``."""
        if drawn.intrinsics is not None:
            view = replace(view, intrinsics=drawn.intrinsics[row])
        gain = np.ones(3, np.float32)
        if drawn.effect_exposure is not None:
            gain *= np.exp2(drawn.effect_exposure[row])
        if drawn.effect_white_balance is not None:
            gain *= drawn.effect_white_balance[row]
        if (gain == 1).all():
            return view
        return replace(
            view,
            light_sh=view.light_sh * gain,
            light_colour=view.light_colour * gain,
            background=gain_srgb(view.background, gain),
        )

    def after(self, drawn: Drawn, row: int, seed: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, 3) that the camera makes of ``image``, for the face in ``row`` with ``seed``."""
        sigma = 0.0 if drawn.effect_blur is None else float(drawn.effect_blur[row])
        across, down = (0.0, 0.0) if drawn.effect_motion is None else drawn.effect_motion[row].tolist()
        shot, read = (0.0, 0.0) if drawn.effect_noise is None else drawn.effect_noise[row].tolist()
        if any((sigma, across, down, shot, read)):
            light = decode_srgb(image)
            if sigma:
                light = gaussian_blur(light, sigma)
            if across or down:
                light = motion_blur(light, across, down)
            if shot or read:
                light = _noisy(light, shot, read, generator(seed, "render", "noise-field", 0))
            image = encode_srgb(light)
        if drawn.effect_jpeg is not None and drawn.effect_jpeg[row]:
            assert self._config.jpeg is not None
            image = _through_jpeg(image, int(drawn.effect_jpeg[row]), self._config.jpeg.chroma)
        return image


def _balance(stops: Float) -> Float:
    """Gains (B, 3) of warmth and tint (B, 2), such that white keeps its luminance."""
    warmth, tint = stops.astype(np.float64).T
    gain = np.exp2(np.stack([warmth / 2 + tint / 2, -tint / 2, -warmth / 2 + tint / 2], axis=1))
    balanced: Float = (gain / (gain @ LUMINANCE)[:, None]).astype(np.float32)
    return balanced


def _noisy(light: Float, shot: float, read: float, rng: np.random.Generator) -> Float:
    """Linear light (H, W, 3) as a sensor reads it."""
    deviation = np.sqrt(np.float32(read * read) + np.float32(shot * shot) * light)
    noise: Float = rng.standard_normal(light.shape, np.float32)
    noisy: Float = light + deviation * noise
    return noisy


def _through_jpeg(image: NDArray[np.uint8], quality: int, chroma: str) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=chroma)
    with Image.open(file) as stored:
        return np.array(stored)
