"""Small denoisers with random weights, which pass for trained ones: tests need no training and no shipped weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegen.manifold.checkpoint import METHODS, Card, write_checkpoint
from facegen.manifold.denoiser import Denoiser, Units
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import Group
from facegen.morphable.model import MorphableModel

CONDITIONS: dict[Group, tuple[str, ...]] = {"identity": ("sex", "age"), "expression": ("expressiveness",)}
Denoisers = dict[tuple[str, str], Path]
"""(group, method) → path of the weights."""
SIZE = {"hidden": 32, "blocks": 1}


def denoiser_of(model: MorphableModel, group: Group, method: str, seed: int = 0) -> Denoiser:
    """A network whose every layer has something to say."""
    names = model.identity_names if group == "identity" else model.expression_names
    conditions = len(CONDITIONS[group]) if method == "posterior" else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = METHODS[method](len(names), conditions, **({} if method == "convolutional" else SIZE))
        for parameter in denoiser.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
    weights = group == "expression"
    denoiser.fit_units(
        Units(
            raw=np.ones(len(names), np.float32),
            noise=5.0,
            mean=np.full(len(names), 0.4 if weights else 0.0, np.float32),
            spread=np.full(len(names), 0.2 if weights else 1.0, np.float32),
            bounds=(0.0, 1.0) if weights else (-np.inf, np.inf),
        )
    )
    return denoiser


def write_denoiser(
    folder: Path, model: MorphableModel, group: Group, method: str, /, *, seed: int = 0, **card: Any
) -> Path:
    """Weights and card of a small denoiser; returns the path of the weights.

    Args:
        folder: to write into.
        model: that it claims to be trained for.
        group: that it claims to be trained for.
        method: of the checkpoint's methods.
        seed: of the weights.
        card: fields of the card that are to be others.
    """
    denoiser = denoiser_of(model, group, method, seed)
    values: dict[str, Any] = {
        "method": method,
        "group": group,
        "model": model.name,
        "model_sha256": model.source_sha256,
        "names": model.identity_names if group == "identity" else model.expression_names,
        "condition_names": CONDITIONS[group] if method == "posterior" else (),
        "architecture": {} if method == "convolutional" else SIZE,
        "path": asdict(SamplingPath(steps=4)) if isinstance(denoiser, PosteriorSampler) else {},
        "steps": 1,
    }
    path = folder / f"{group}-{method}-{seed}.safetensors"
    write_checkpoint(path, denoiser, Card(**{**values, **card}))
    return path
