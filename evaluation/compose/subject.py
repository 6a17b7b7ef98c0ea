"""What an evaluation is of: a training folder with its faces and networks, and networks put to work."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.composition.checkpoint import Card, Composition
from facegen.composition.composer import Composer
from facegen.composition.config import TrainConfig, WeightedConfig
from facegen.composition.faces import Faces, face_sets
from facegen.composition.folder import TrainingFolder
from facegen.composition.network import MeshAutoencoder
from facegen.composition.training import BATCH
from facegen.errors import ConfigurationError
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

SOURCES, TARGETS = 5, 11
"""Faces of the paper's synthesis: parts of the targets are put into the sources."""
STREAM = "evaluate compose"
"""Name of all random streams of an evaluation."""


class Codec:
    """A network from displacements in mm to codes and back, a few faces at a time."""

    def __init__(self, network: MeshAutoencoder) -> None:
        self._network, self._scale = network, float(network.scale)

    def code(self, faces: Float) -> Float:
        """Codes (N, Z) of displacements (N, n, 3)."""
        return np.concatenate([self._code(faces[start : start + BATCH]) for start in range(0, len(faces), BATCH)])

    def parts(self, faces: Float) -> Float:
        """Part codes (N, K, Z) of displacements (N, n, 3)."""
        with torch.inference_mode():
            codes: Float = self._network.project(torch.from_numpy(self.code(faces))).numpy()
        return codes

    def decoded(self, parts: Float) -> Float:
        """Displacements (N, n, 3) of part codes (N, K, Z)."""
        return np.concatenate([self._decoded(parts[start : start + BATCH]) for start in range(0, len(parts), BATCH)])

    def _code(self, faces: Float) -> Float:
        with torch.inference_mode():
            batch = torch.from_numpy(faces).transpose(0, 1).contiguous() / self._scale
            code: Float = self._network.encode(batch).numpy()
        return code

    def _decoded(self, parts: Float) -> Float:
        with torch.inference_mode():
            made = self._network.decode(torch.from_numpy(np.ascontiguousarray(parts))) * self._scale
            displaced: Float = made.transpose(0, 1).contiguous().numpy()
        return displaced


@dataclass(frozen=True)
class Evaluation:
    """A training folder with its faces and networks."""

    path: Path
    config: TrainConfig
    model: MorphableModel
    train: Faces
    test: Faces
    trained: dict[str, tuple[Composition, Card]]
    _kept: dict[str, Float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, path: Path) -> Evaluation:
        """Read a training folder, and draw the faces that its configuration names.

        Raises:
            ConfigurationError: it is no training folder, has no network whose parts have places, or too few faces to
                test on.
            WeightsError: a network is missing or damaged, or was trained on other faces.
            ModelError: the model cannot be read.
        """
        folder = TrainingFolder(path)
        config = folder.config()
        if not any(isinstance(one, WeightedConfig) and one.local_weights for one in config.networks.values()):
            raise ConfigurationError(f"{path}: has no network of method 'weighted' with local weights to evaluate")
        trained = folder.networks(config)
        model = load_model(config.model)
        train, test = face_sets(model, config.people.train, config.people.test, config.seed)
        folder.unfinished(config, train)
        parts = len(next(iter(trained.values()))[1].parts)
        least = max(SOURCES + TARGETS, parts)
        if len(test) < least:
            raise ConfigurationError(f"{path}: {len(test)} people to test on; expected at least {least}")
        return cls(path, config, model, train, test, trained)

    @cached_property
    def weighted(self) -> tuple[str, ...]:
        """Networks that have parts: the full model first, then its ablations and variants."""
        names = [name for name, one in self.config.networks.items() if isinstance(one, WeightedConfig)]
        return (self.main, *(name for name in names if name != self.main))

    @cached_property
    def main(self) -> str:
        """The full model: the first network with local weights and projections, or else with local weights."""
        placed = [n for n, one in self.config.networks.items() if isinstance(one, WeightedConfig) and one.local_weights]
        full = [n for n in placed if self.trained[n][0].network.architecture.projections]
        return (full or placed)[0]

    def has_places(self, name: str) -> bool:
        """Whether the codes of a network's parts belong to places on the face."""
        config = self.config.networks[name]
        return isinstance(config, WeightedConfig) and config.local_weights

    @property
    def parts(self) -> tuple[str, ...]:
        """(K,) names."""
        return self.trained[self.main][0].parts.names

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(n, K) of the parts, at all vertices of the skin; the same for every network of the folder."""
        composition, _ = self.trained[self.main]
        return composition.hierarchy.upsampled(composition.parts.weights)

    @cached_property
    def owner(self) -> Ints:
        """(n,) the part whose weight is largest at each vertex of the skin."""
        return np.asarray(self.weights.argmax(axis=1), np.int64)

    @cached_property
    def codecs(self) -> dict[str, Codec]:
        """By name of the network."""
        return {name: Codec(composition.network) for name, (composition, _) in self.trained.items()}

    @cached_property
    def composers(self) -> dict[str, Composer]:
        """By name of the network, for those that have parts."""
        return {name: Composer(self.model, self.trained[name][0]) for name in self.weighted}

    @cached_property
    def partners(self) -> Ints:
        """(N,) the test face whose parts each test face is given: a random cycle, so nobody is his own partner."""
        count = len(self.test)
        order = generator(self.config.seed, STREAM, "partners", 0).permutation(count)
        partners = np.empty(count, np.int64)
        partners[order] = np.roll(order, -1)
        return partners

    def distances(self, name: str, answer: Float) -> Float:
        """(N, n) mm: how far an answer (N, n, 3) to the test faces is off, kept under a name for the figures."""
        self._kept[name] = np.linalg.norm(answer - self.test.displacements, axis=2)
        return self._kept[name]

    def kept(self, name: str) -> Float:
        """The distances that were kept under a name."""
        return self._kept[name]
