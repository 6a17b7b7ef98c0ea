"""The compose stage: faces whose parts are those of other people."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.batch import Samples
from facegen.composition.checkpoint import Composition, check_fits, read_checkpoint, shipped_weights
from facegen.composition.composer import Composer, SwapRules
from facegen.composition.skin import Skin
from facegen.errors import ConfigurationError, WeightsError
from facegen.morphable.model import MorphableModel
from facegen.paths import expand
from facegen.randomness import generator
from facegen.stages.compose.config import ComposeConfig

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

People = Callable[[Ints], Float]
"""From identity numbers (B,) to identity coefficients (B, Ki), as the faces of a run have them."""

BLOCK = 64
"""Persons among whom parts are swapped: those of equal identity number // 64."""

_REMEMBERED = 4096
"""Persons who are remembered."""


@dataclass(frozen=True)
class _Swaps:
    """What is swapped of P persons."""

    source: Ints
    """(P, K) identity numbers; the person's own where a part is not swapped."""
    weight: Float
    """(P, K) 0 where it is not."""


class ComposeStage:
    """Composes batches of faces of one model. Holds the network: build once per process."""

    def __init__(self, config: ComposeConfig, model: MorphableModel, seed: int, people: People) -> None:
        """Read the weights, if any.

        Args:
            config: the swaps.
            model: whose faces are composed.
            seed: of the run.
            people: gives the persons whose parts are taken, who need not be of the run.

        Raises:
            ConfigurationError: torch has no such device here, a part is unknown to the weights, or the model has no
                identity coefficients.
            WeightsError: the weights are missing, damaged, untrained, without parts, or of another model.
            ModelError: the model has not the landmarks that all of this needs.
        """
        self._config, self._seed, self._people = config, seed, people
        self._remembered: dict[int, Float] = {}
        self._composer: Composer | None = None
        self.provenance: dict[str, Any] = {}
        """All that decides what it makes of a face, besides the seed; empty where nothing is composed."""
        if not config.active:
            return
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("compose.device is 'cuda', and torch finds no GPU on this machine; take 'cpu'")
        if not model.identity_names:
            raise ConfigurationError(f"compose: the model '{model.name}' has no identity coefficients")
        composition, digest = _read(config, model)
        chances = _chances(config, composition.parts.names)
        self._composer = Composer(model, composition, config.device)
        self._rules = SwapRules(config.transfer, config.fit, config.smooth, config.limit)
        self._chance = np.array(list(chances.values()))
        self.provenance = {
            "weights_sha256": digest,
            "parts": chances,
            "partners": config.partners,
            "alpha": [config.alpha.low, config.alpha.high],
            "transfer": config.transfer,
            "fit": config.fit,
            "smooth": config.smooth,
            "limit": config.limit,
        }

    def compose(self, samples: Samples) -> Samples:
        """The faces with swapped parts, their coefficients those that come nearest; the same object where nothing is
        composed.

        A person's shape depends on its own coefficients, its identity number and the seed: images of one person share
        it. Persons whose coefficients are not finite stay as they are, for the render stage fails their faces; one who
        is given a part of such a person fails as well.
        """
        if self._composer is None:
            return samples
        own = samples.identity if samples.identity_own is None else samples.identity_own
        first, person = _distinct(own, samples.identity_number)
        composed = self._composed(self._composer, own[first], samples.identity_number[first])
        return replace(samples, identity_own=own, **{name: value[person] for name, value in composed.items()})

    def _composed(self, composer: Composer, own: Float, numbers: Ints) -> dict[str, NDArray[Any]]:
        """Those fields of :class:`Samples` that change, of P persons with coefficients (P, Ki)."""
        swaps = self._draw(numbers, np.asarray(np.isfinite(own).all(axis=1)))
        rows = np.flatnonzero(swaps.weight.any(axis=1))
        offset = np.zeros((len(own), composer.vertex_count, 3), np.float32)
        if len(rows):
            identity, place = own[rows], numbers[rows]
            # What overflows fails later, with its reason.
            with np.errstate(over="ignore", invalid="ignore"):
                sources = self._sources(identity, swaps.source[rows], swaps.weight[rows])
                swap = composer.swap(identity, sources, swaps.weight[rows], place, self._rules)
                offset[rows] = composer.offsets(identity, swap.skin, place)
                swaps.weight[rows] *= swap.kept[:, None]
        projected = composer.projection.project(own, offset, numbers)
        return {
            "identity": projected.identity,
            "offset": projected.offset,
            "identity_residual": projected.residual,
            "part_source": swaps.source,
            "part_weight": swaps.weight,
        }

    def _draw(self, numbers: Ints, finite: NDArray[np.bool_]) -> _Swaps:
        """What is swapped of persons (P,); nothing of those that are not ``finite``."""
        count, config = len(self._chance), self._config
        source = np.repeat(numbers[:, None], count, axis=1)
        weight = np.zeros(source.shape, np.float32)
        for row, number in enumerate(numbers.tolist()):
            wanted = generator(self._seed, "compose", "parts", number).random(count) < self._chance
            steps = generator(self._seed, "compose", "partner", number).integers(1, BLOCK, count)
            if config.partners == "one":
                steps[:] = steps[0]
            shares = generator(self._seed, "compose", "weight", number).random(count)
            alpha = (config.alpha.low + (config.alpha.high - config.alpha.low) * shares).astype(np.float32)
            swapped = wanted & (alpha > 0) & finite[row]
            weight[row, swapped] = alpha[swapped]
            partner = number - number % BLOCK + (number + steps) % BLOCK
            source[row, swapped] = partner[swapped]
        return _Swaps(source, weight)

    def _sources(self, own: Float, source: Ints, weight: Float) -> Float:
        """Coefficients (P, K, Ki) of who gives each part: the own ones, or those of ``source`` (P, K)."""
        sources = np.repeat(own[:, None], source.shape[1], axis=1)
        row, part = np.nonzero(weight)
        others, place = np.unique(source[row, part], return_inverse=True)
        sources[row, part] = self._known(others)[place]
        return sources

    def _known(self, numbers: Ints) -> Float:
        """Coefficients (P, Ki) of persons by identity number, remembered, for many faces have parts of the same."""
        if len(self._remembered) > _REMEMBERED:
            self._remembered.clear()
        missing = np.array([n for n in numbers.tolist() if n not in self._remembered], np.int64)
        if len(missing):
            self._remembered.update(zip(missing.tolist(), self._people(missing), strict=True))
        return np.stack([self._remembered[number] for number in numbers.tolist()])


def _distinct(identity: Float, numbers: Ints) -> tuple[Ints, Ints]:
    """The persons among faces (B,): a row of each (P,), and which of them each face shows (B,)."""
    rows: dict[tuple[int, bytes], int] = {}
    person = [
        rows.setdefault((n, values.tobytes()), len(rows)) for n, values in zip(numbers.tolist(), identity, strict=True)
    ]
    return np.unique(person, return_index=True)[1], np.array(person, np.int64)


def _read(config: ComposeConfig, model: MorphableModel) -> tuple[Composition, str]:
    """The autoencoder, and the digest of its weights."""
    if isinstance(config.weights, Path):
        path = expand(config.weights, "compose.weights")
        if not path.name:
            raise WeightsError(f"compose.weights is '{config.weights}', which is no file")
    else:
        path = shipped_weights(model)
    composition, card = read_checkpoint(path)
    if card.method != "weighted":
        raise WeightsError(f"{path}: weights of the method '{card.method}', whose codes have no parts to swap")
    check_fits(path, card, model, Skin.of(model))
    return composition, card.weights_sha256


def _chances(config: ComposeConfig, names: tuple[str, ...]) -> dict[str, float]:
    """Part → its chance, in the order of the weights."""
    for name in config.parts:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(names)}"
            raise ConfigurationError(f"compose.parts: unknown '{name}' to these weights; {hint}")
    return {name: float(config.parts.get(name, config.probability)) for name in names}
