"""Trained denoisers on disk: weights as safetensors, and beside them a JSON file that tells all about them."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from facegen.errors import WeightsError
from facegen.manifold.convolutional import ConvolutionalDenoiser
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.gated import GatedDenoiser
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import Group
from facegen.morphable.model import MorphableModel
from facegen.weights import card_path, check_card, read_card_of, read_weights, refuse_card, write_with_card

FORMAT = 1
"""Changes when a reader of the version before would misread the weights."""

WIDEST = 8192
"""Largest network that a card may ask for."""

METHODS: dict[str, type[Denoiser]] = {
    "convolutional": ConvolutionalDenoiser,
    "gated": GatedDenoiser,
    "posterior": PosteriorSampler,
}


@dataclass(frozen=True)
class Card:
    """What is known of a denoiser besides its weights."""

    method: str
    """Of :data:`METHODS`."""
    group: Group
    """Which coefficients it denoises."""
    model: str
    """Name of the face model."""
    model_sha256: str
    """``source_sha256`` of the face model."""
    names: tuple[str, ...]
    """(K,) of the coefficients."""
    condition_names: tuple[str, ...] = ()
    """(C,) of the conditions that it can be asked for."""
    architecture: dict[str, int] = field(default_factory=dict)
    """What the network is built with besides K and C."""
    path: dict[str, float] = field(default_factory=dict)
    """Of a posterior sampler: how it draws unless told otherwise."""
    steps: int = 0
    """Steps of training; 0 is untrained."""
    weights_sha256: str = ""
    """Digest of the file of weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """Command, configuration, seed, digests of the clean faces, versions, learning curve."""
    metrics: dict[str, float] = field(default_factory=dict)
    """On the test faces."""
    format: int = FORMAT


def write_checkpoint(path: Path, denoiser: Denoiser, card: Card, *, half: bool = False) -> Card:
    """Write ``path`` (.safetensors) and the card beside it (.json); the card last.

    Args:
        path: of the weights.
        denoiser: to be stored.
        card: about it; its digest of the weights is filled in.
        half: store the weights of layers in 16 bits, for a denoiser that was :func:`rounded`. Scales keep 32.

    Raises:
        StorageError: when the disk refuses.
    """
    layers = {name for name, _ in denoiser.named_parameters()}
    tensors = {
        name: (tensor.half() if half and name in layers else tensor) for name, tensor in denoiser.state_dict().items()
    }
    return write_with_card(path, tensors, card)


def rounded(denoiser: Denoiser) -> Denoiser:
    """A copy whose layers hold what 16 bits can: as it will be when it is read again."""
    copied = copy.deepcopy(denoiser)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.copy_(parameter.half().float())
    return copied


def read_card(weights: Path) -> Card:
    """The card of the weights at ``weights``.

    Raises:
        WeightsError: it is missing, or not what its format says.
    """
    path = card_path(weights)
    card = read_card_of(Card, weights, "denoiser", ("names", "condition_names"))
    texts = dict.fromkeys(("method", "group", "model", "model_sha256", "weights_sha256"), str)
    kinds = {**texts, "steps": int, **dict.fromkeys(("architecture", "path", "training", "metrics"), dict)}
    check_card(weights, card, "denoiser", kinds, "names")
    if not all(type(n) is int and 1 <= n <= WIDEST for n in card.architecture.values()):
        refuse_card(weights, "denoiser", "architecture")
    if card.format != FORMAT:
        raise WeightsError(f"{path}: of format {card.format}; this facegen reads format {FORMAT}")
    if card.method not in METHODS:
        raise WeightsError(f"{path}: of the method '{card.method}'; known: {', '.join(METHODS)}")
    return card


def read_checkpoint(weights: Path) -> tuple[Denoiser, Card]:
    """The denoiser at ``weights``, ready for use.

    Raises:
        WeightsError: a file is missing or damaged, the weights are untrained or not those of the card.
    """
    card = read_card(weights)
    data = read_weights(weights, card)
    if card.steps < 1:
        raise WeightsError(f"{weights}: untrained ({card.weights_sha256[:12]}…); train it with 'facegen train denoise'")
    try:
        denoiser = METHODS[card.method](len(card.names), len(card.condition_names), **card.architecture)
        stored = load_tensors(data)
        denoiser.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
        if isinstance(denoiser, PosteriorSampler):
            denoiser.path = _sampling_path(card.path)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{weights}: not the weights that its card describes ({type(error).__name__})") from None
    if not all(bool(torch.isfinite(tensor).all()) for tensor in denoiser.state_dict().values()):
        raise WeightsError(f"{weights}: holds numbers that are not finite")
    return denoiser.eval().requires_grad_(False), card


def check_fits(weights: Path, card: Card, model: MorphableModel, group: Group) -> None:
    """Refuse weights that were trained for something else.

    Raises:
        WeightsError: they are of the other group, of another model, or of other coefficients of it.
    """
    if card.group != group:
        raise WeightsError(f"{weights}: trained for {card.group}, expected weights for {group}")
    if card.model_sha256 != model.source_sha256:
        raise WeightsError(
            f"{weights}: trained for the model '{card.model}' ({card.model_sha256[:12]}…), "
            f"expected '{model.name}' ({model.source_sha256[:12]}…)"
        )
    names = model.identity_names if group == "identity" else model.expression_names
    if card.names != names:
        raise WeightsError(
            f"{weights}: trained for {len(card.names)} {group} coefficients ({', '.join(card.names[:1])} …), "
            f"expected {len(names)} ({', '.join(names[:1])} …)"
        )


def shipped_weights(model: MorphableModel, group: Group, method: str) -> Path:
    """Where the weights that come with facegen lie.

    Raises:
        WeightsError: none come for this model.
    """
    path = Path(str(files("facegen.manifold") / "weights" / f"{model.name}-{group}-{method}.safetensors"))
    if not path.is_file():
        raise WeightsError(
            f"no shipped weights '{method}' for {group} of the model '{model.name}'; "
            "train some with 'facegen train denoise' and name their file"
        )
    return path


def _sampling_path(values: dict[str, float]) -> SamplingPath:
    numbers: dict[str, Any] = {name: float(value) for name, value in values.items()}
    path = SamplingPath(**{**numbers, "steps": int(values["steps"])})
    if not (path.steps >= 1 and path.start > path.end > 0 and min(path.churn, path.churn_below, path.guidance) >= 0):
        raise ValueError("a path that leads nowhere")
    if not all(math.isfinite(value) for value in asdict(path).values()):
        raise ValueError("a path without end")
    return path
