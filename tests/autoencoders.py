"""Small autoencoders of the small runs' model, and the faces that they learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegen.composition.checkpoint import Card, Composition, write_checkpoint
from facegen.composition.config import ComaConfig, WeightedConfig, architecture_of
from facegen.composition.faces import Faces, face_sets
from facegen.composition.hierarchy import Hierarchy, cached
from facegen.composition.initial import start_linear
from facegen.composition.parts import Parts, PartsConfig, find_parts
from facegen.composition.training import new_network
from facegen.morphable.model import MorphableModel

FACTORS = (4, 3)
CHANNELS = (8, 8)
PARTS = PartsConfig(reach=40)
"""On a mesh this coarse a wider reach tells the nose from the head."""
SMALL: dict[str, Any] = {"channels": CHANNELS, "order": 3, "latent": 12, "schedule": {"epochs": 2, "batch": 8}}


@dataclass(frozen=True)
class Studio:
    """All that a training of the small model needs."""

    faces: Faces
    test: Faces
    hierarchy: Hierarchy
    parts: Parts


def studio_of(model: MorphableModel) -> Studio:
    """24 people to learn from and 8 to test on."""
    faces, test = face_sets(model, 24, 8, 0)
    hierarchy = cached(faces.skin.mean, faces.skin.triangles, FACTORS)
    parts = find_parts(PARTS, faces.skin, hierarchy, faces.displacements.astype(np.float64))
    return Studio(faces, test, hierarchy, parts)


def composition_of(studio: Studio, config: WeightedConfig | ComaConfig | None = None) -> Composition:
    """An autoencoder that does what a linear model does."""
    network = new_network(config or WeightedConfig(**SMALL), studio.hierarchy, studio.parts, 0)
    network.scale.fill_(studio.faces.scale)
    start_linear(network, studio.hierarchy, studio.faces.displacements / np.float32(studio.faces.scale))
    return Composition(network.eval().requires_grad_(False), studio.hierarchy, studio.parts)


def card_of(studio: Studio, config: WeightedConfig | ComaConfig | None = None, **fields: Any) -> Card:
    """The card that :func:`composition_of` would have after one epoch."""
    config = config or WeightedConfig(**SMALL)
    values: dict[str, Any] = {
        "method": config.method,
        "model": studio.faces.people.model,
        "model_sha256": studio.faces.people.model_sha256,
        "skin_sha256": studio.faces.skin.sha256,
        "parts": studio.parts.names,
        "architecture": architecture_of(config).as_dict(),
        "epochs": 1,
    }
    return Card(**{**values, **fields})


def write_autoencoder(folder: Path, studio: Studio, name: str = "small", **fields: Any) -> Path:
    """Weights and card of a small autoencoder; the path of the weights."""
    path = folder / f"{name}.safetensors"
    write_checkpoint(path, composition_of(studio), card_of(studio, **fields))
    return path
