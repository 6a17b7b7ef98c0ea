"""The denoiser of one group of coefficients: its weights, checked against the model, and what they are asked for."""

from __future__ import annotations

import difflib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.errors import ConfigurationError, WeightsError
from facegen.manifold.checkpoint import Card, check_fits, read_checkpoint, shipped_weights
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import Group
from facegen.morphable.model import MorphableModel
from facegen.paths import expand
from facegen.places import in_places
from facegen.randomness import generator
from facegen.stages.denoise.config import GroupDenoising, PosteriorDenoising

Float = NDArray[np.float32]


class GroupDenoiser:
    """Denoises one group of coefficients of one model. A row depends on its value, its number and the seed alone."""

    def __init__(self, config: GroupDenoising, group: Group, model: MorphableModel, seed: int, device: str) -> None:
        """Read the weights.

        Args:
            config: method, weights, strength, and what a posterior sampler is asked for.
            group: which coefficients.
            model: whose coefficients.
            seed: of the run.
            device: torch device.

        Raises:
            ConfigurationError: the model has no such coefficients, a condition is unknown to the weights, a sampler's
                path would end where it starts, or the weights' path holds a variable that is not set.
            WeightsError: the weights are missing, damaged, untrained, of another method, group or model.
        """
        if not (model.identity_names if group == "identity" else model.expression_names):
            raise ConfigurationError(f"denoise.{group}: the model '{model.name}' has no {group} coefficients")
        path = _weights_path(config, group, model)
        denoiser, card = read_checkpoint(path)
        if card.method != config.method:
            raise WeightsError(f"{path}: weights of the method '{card.method}', expected '{config.method}'")
        check_fits(path, card, model, group)
        self._asked: torch.Tensor | None = None
        self.provenance: dict[str, Any] = {
            "method": card.method,
            "weights_sha256": card.weights_sha256,
            "strength": config.strength,
        }
        """All that decides what it makes of a face, besides the seed."""
        if isinstance(config, PosteriorDenoising) and isinstance(denoiser, PosteriorSampler):
            denoiser.path = _path(config, group, denoiser.path)
            self._asked = _asked(config, group, card, device)
            values = {name: float(value) for name, value in asdict(denoiser.path).items()}
            self.provenance |= {"path": values, "condition": dict(config.condition)}
        self._denoiser = denoiser.to(device)
        self._strength = config.strength
        self._group = group
        self._seed = seed
        self._device = device

    def __call__(self, raw: Float, numbers: NDArray[np.int64]) -> Float:
        """Denoised coefficients (B, K) of those drawn.

        Args:
            raw: (B, K). Rows that are not finite stay as they are: the render stage fails such faces.
            numbers: (B,) whose random numbers a row gets; rows of equal value and number have equal answers.
        """
        finite = np.isfinite(raw).all(axis=1)
        if self._strength == 0 or not finite.any():
            return raw
        blended = raw.copy()
        answers = in_places(self._answer, raw[finite], numbers[finite])
        if self._strength == 1:
            blended[finite] = answers
        else:
            # What overflows fails later, with its reason.
            with np.errstate(over="ignore", invalid="ignore"):
                blended[finite] += np.float32(self._strength) * (answers - raw[finite])
        return blended

    def _answer(self, values: Float, numbers: NDArray[np.int64]) -> Float:
        """What the network makes of a block of faces (n, K) with numbers (n,)."""
        normal = torch.from_numpy(self._normal(numbers)).to(self._device) if self._denoiser.numbers else None
        asked = None if self._asked is None else self._asked.expand(len(values), -1)
        with torch.inference_mode():
            answers = self._denoiser.denoise(torch.from_numpy(values).to(self._device), normal, asked)
        answered: Float = answers.cpu().numpy()
        return answered

    def _normal(self, numbers: NDArray[np.int64]) -> Float:
        """Standard normal numbers (n, N) of faces, the same whoever asks."""
        count = self._denoiser.numbers
        drawn = [
            generator(self._seed, "denoise", self._group, int(number)).standard_normal(count, np.float32)
            for number in numbers
        ]
        return np.stack(drawn)


def _weights_path(config: GroupDenoising, group: Group, model: MorphableModel) -> Path:
    if not isinstance(config.weights, Path):
        return shipped_weights(model, group, config.method)
    key = f"denoise.{group}.weights"
    path = expand(config.weights, key)
    if not path.name:
        raise WeightsError(f"{key} is '{config.weights}', which is no file")
    return path


def _path(config: PosteriorDenoising, group: Group, own: SamplingPath) -> SamplingPath:
    """The weights' own path, but for what the configuration says of it."""
    path = replace(
        own,
        start=own.start if config.start is None else config.start,
        end=own.end if config.end is None else config.end,
        steps=own.steps if config.heun_steps is None else config.heun_steps,
        churn=own.churn if config.churn is None else config.churn,
        churn_below=own.churn_below if config.churn_below is None else config.churn_below,
        guidance=own.guidance if config.guidance is None else config.guidance,
    )
    if path.end >= path.start:
        raise ConfigurationError(f"denoise.{group}: 'end' is {path.end}, not below 'start', {path.start}")
    return path


def _asked(config: PosteriorDenoising, group: Group, card: Card, device: str) -> torch.Tensor | None:
    """(1, C) what every face is asked to be, NaN where nothing is asked; ``None`` for nothing at all."""
    known = card.condition_names
    for name in config.condition:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known) or 'none'}"
            raise ConfigurationError(f"denoise.{group}.condition: unknown '{name}' to these weights; {hint}")
    if not config.condition:
        return None
    return torch.tensor([[config.condition.get(name, float("nan")) for name in known]], device=device)
