"""Weights of a network on disk, and the card beside them: a JSON file that tells all about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from safetensors.torch import save as save_tensors

from facegen.errors import WeightsError
from facegen.storage import write_atomically


class AnyCard(Protocol):
    """A dataclass that describes weights."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def weights_sha256(self) -> str:
        """Digest of the file of weights."""
        ...


C = TypeVar("C", bound=AnyCard)


def card_path(weights: Path) -> Path:
    """Where the card of some weights lies."""
    return weights.with_suffix(".json")


def write_with_card(path: Path, tensors: Mapping[str, torch.Tensor], card: C) -> C:
    """Write ``path`` (.safetensors) and the card beside it (.json); the card last, with the digest of the weights.

    Returns:
        The card as written.

    Raises:
        StorageError: when the disk refuses.
    """
    data = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    finished = replace(card, weights_sha256=hashlib.sha256(data).hexdigest())
    write_atomically(path, data)
    text = json.dumps(asdict(finished), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(card_path(path), text.encode())
    return finished


def read_card_of(kind: type[C], weights: Path, what: str, tuples: tuple[str, ...]) -> C:
    """The card of the weights at ``weights``; the kinds of its values are not looked at.

    Args:
        kind: its dataclass.
        weights: path of the weights.
        what: they are of, in words such as ``denoiser``.
        tuples: fields that JSON has as lists.

    Raises:
        WeightsError: it is missing, cannot be read, or has not the fields.
    """
    path = card_path(weights)
    try:
        values = json.loads(path.read_bytes())
        return kind(**{**values, **{name: tuple(values[name]) for name in tuples}})
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file; expected the card of a trained {what}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: not the card of {_one(what)} ({type(error).__name__})") from None


def check_card(weights: Path, card: AnyCard, what: str, kinds: Mapping[str, type], names: str) -> None:
    """Refuse a card whose fields are of other kinds.

    Args:
        weights: path of the weights.
        card: of them.
        what: they are of.
        kinds: field → its type.
        names: a field that holds some texts.

    Raises:
        WeightsError: naming the first field that is wrong.
    """
    wrong = [name for name, kind in kinds.items() if type(getattr(card, name)) is not kind]
    texts = getattr(card, names)
    if not texts or not all(type(name) is str for name in texts):
        wrong.append(names)
    if wrong:
        refuse_card(weights, what, wrong[0])


def refuse_card(weights: Path, what: str, field: str) -> None:
    """Refuse a card for one of its fields.

    Raises:
        WeightsError: always.
    """
    raise WeightsError(f"{card_path(weights)}: not the card of {_one(what)} ('{field}')")


def read_weights(weights: Path, card: AnyCard) -> bytes:
    """The bytes of weights that are those of their card.

    Raises:
        WeightsError: they are missing, or others.
    """
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights}: cannot be read ({error.strerror})") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.weights_sha256:
        raise WeightsError(f"{weights}: sha256 is {digest[:12]}…; its card expects {card.weights_sha256[:12]}…")
    return data


def _one(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
