"""Trained autoencoders on disk: network and mesh hierarchy as safetensors, and a JSON file that tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from facegen.composition.hierarchy import Hierarchy
from facegen.composition.network import Architecture, MeshAutoencoder
from facegen.composition.parts import Parts
from facegen.composition.skin import Skin
from facegen.errors import WeightsError
from facegen.morphable.model import MorphableModel
from facegen.weights import card_path, check_card, read_card_of, read_weights, write_with_card

FORMAT = 1
"""Changes when a reader of the version before would misread the weights."""

WIDEST = 8192
"""Largest layer that a card may ask for."""

_HIERARCHY, _NETWORK = "hierarchy.", "network."


@dataclass(frozen=True)
class Composition:
    """All that is needed to swap parts of faces."""

    network: MeshAutoencoder
    hierarchy: Hierarchy
    parts: Parts
    """Names, and the local weights by which they were found; those of an ablation's network may be others."""


@dataclass(frozen=True)
class Card:
    """What is known of an autoencoder besides its weights."""

    method: str
    """``weighted`` or ``coma``."""
    model: str
    """Name of the face model."""
    model_sha256: str
    """``source_sha256`` of the face model."""
    skin_sha256: str
    """Digest of the triangles of the model's skin."""
    parts: tuple[str, ...]
    """(K,) names."""
    architecture: dict[str, Any]
    """Fields of :class:`~facegen.composition.network.Architecture`."""
    epochs: int = 0
    """Epochs of training; 0 is untrained."""
    weights_sha256: str = ""
    """Digest of the file of weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """Command, configuration, seed, digest of the faces, versions, learning curve."""
    metrics: dict[str, float] = field(default_factory=dict)
    """On the test faces."""
    format: int = FORMAT


def write_checkpoint(path: Path, composition: Composition, card: Card, *, half: bool = False) -> Card:
    """Write ``path`` (.safetensors) and the card beside it (.json); the card last.

    Args:
        path: of the weights.
        composition: to be stored.
        card: about it; its digest of the weights is filled in.
        half: store the network in 16 bits, for one that was :func:`rounded`. Local weights and scale keep 32.

    Returns:
        The card as written.

    Raises:
        StorageError: when the disk refuses.
    """
    trained = {name for name, _ in composition.network.named_parameters()}
    tensors = {
        _NETWORK + name: (tensor.half() if half and name in trained else tensor)
        for name, tensor in composition.network.state_dict().items()
    }
    arrays = {**composition.hierarchy.to_arrays(), "parts": composition.parts.weights}
    # Copies: the network's local weights may be the parts' own memory.
    tensors |= {_HIERARCHY + name: torch.tensor(array) for name, array in arrays.items()}
    return write_with_card(path, tensors, card)


def rounded(network: MeshAutoencoder) -> None:
    """Round a network in place to what 16 bits hold."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())


def read_card(weights: Path) -> Card:
    """The card of the weights at ``weights``.

    Raises:
        WeightsError: it is missing, or not what its format says.
    """
    card = read_card_of(Card, weights, "autoencoder", ("parts",))
    kinds: dict[str, type] = dict.fromkeys(("method", "model", "model_sha256", "skin_sha256", "weights_sha256"), str)
    kinds |= {"epochs": int, **dict.fromkeys(("architecture", "training", "metrics"), dict)}
    check_card(weights, card, "autoencoder", kinds, "parts")
    if card.format != FORMAT:
        raise WeightsError(f"{card_path(weights)}: of format {card.format}; this facegen reads format {FORMAT}")
    return card


def read_checkpoint(weights: Path) -> tuple[Composition, Card]:
    """The autoencoder at ``weights``, ready for use.

    Raises:
        WeightsError: a file is missing or damaged, the weights are untrained or not those of the card.
    """
    card = read_card(weights)
    data = read_weights(weights, card)
    if card.epochs < 1:
        raise WeightsError(f"{weights}: untrained ({card.weights_sha256[:12]}…); train it with 'facegen train compose'")
    try:
        composition = _composition(load_tensors(data), card)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{weights}: not the weights that its card describes ({type(error).__name__})") from None
    network = composition.network
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise WeightsError(f"{weights}: holds numbers that are not finite")
    network.eval().requires_grad_(False)
    return composition, card


def check_fits(weights: Path, card: Card, model: MorphableModel, skin: Skin) -> None:
    """Refuse weights that were trained for another face model, or for another cut of it.

    Raises:
        WeightsError: naming both.
    """
    if card.model_sha256 != model.source_sha256:
        raise WeightsError(
            f"{weights}: trained for the model '{card.model}' ({card.model_sha256[:12]}…), "
            f"expected '{model.name}' ({model.source_sha256[:12]}…)"
        )
    if card.skin_sha256 != skin.sha256:
        raise WeightsError(
            f"{weights}: trained for another skin of the model '{card.model}' (triangles {card.skin_sha256[:12]}…, "
            f"expected {skin.sha256[:12]}…): another resolution or part of it"
        )


def shipped_weights(model: MorphableModel) -> Path:
    """Where the weights that come with facegen lie.

    Raises:
        WeightsError: none come for this model.
    """
    path = Path(str(files("facegen.composition") / "weights" / f"{model.name}.safetensors"))
    if not path.is_file():
        raise WeightsError(
            f"no shipped weights to compose faces of the model '{model.name}'; "
            "train some with 'facegen train compose' and name their file"
        )
    return path


def _composition(tensors: dict[str, torch.Tensor], card: Card) -> Composition:
    stored = {name.removeprefix(_HIERARCHY): t.numpy() for name, t in tensors.items() if name.startswith(_HIERARCHY)}
    weights = stored.pop("parts").astype(np.float32)
    hierarchy = Hierarchy.from_arrays(stored)
    values = {**card.architecture, "channels": tuple(card.architecture["channels"])}
    architecture = Architecture(**values)
    sizes = (*architecture.channels, architecture.order, architecture.latent)
    if not all(type(size) is int and 1 <= size <= WIDEST for size in sizes):
        raise ValueError("layers of no size, or too large")
    state = {name.removeprefix(_NETWORK): t.float() for name, t in tensors.items() if name.startswith(_NETWORK)}
    if weights.shape != (hierarchy.sizes[-1], len(card.parts)) or len(state["local_weights"]) != len(weights):
        raise ValueError("local weights of another mesh")
    network = MeshAutoencoder(hierarchy, state["local_weights"].numpy(), architecture)
    network.load_state_dict(state)
    return Composition(network, hierarchy, Parts(card.parts, weights))
