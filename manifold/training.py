"""Training of one denoiser, in rounds that a killed training continues from to the same bytes."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegen.errors import WeightsError
from facegen.manifold.checkpoint import METHODS, Card
from facegen.manifold.config import ConvolutionalConfig, MethodConfig, PosteriorConfig
from facegen.manifold.denoiser import Denoiser, Units
from facegen.manifold.neighbours import neighbour_distance
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import CoefficientSet
from facegen.training import read_state, seeded, write_state

CORRUPTIONS = {"identity": 100, "expression": 50}
"""Corrupted versions of each face in an epoch of the paper."""

ROUND = 500
"""Steps between two points of the learning curve and two saves."""

WARM_UP = 100
"""Steps over which the learning rate of our own schedule rises."""

TESTED = 8192
"""Faces of the test loss."""

NEIGHBOUR = 10
"""Whose distance tells how rarely a face is visited."""


@dataclass(frozen=True)
class Point:
    """One point of a learning curve."""

    step: int
    train: float
    """Mean loss over the steps of the round."""
    test: float
    """Loss on the test faces, corrupted by the same numbers every time."""


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    denoiser: Denoiser
    steps: int
    curve: tuple[Point, ...]


Report = Callable[[int, int, Point], None]


def steps_of(config: MethodConfig, faces: CoefficientSet) -> int:
    """How many steps a training takes: those of the configuration, or of its epochs."""
    if not isinstance(config, ConvolutionalConfig):
        return config.steps
    versions = config.corruptions or CORRUPTIONS[faces.group]
    return math.ceil(len(faces) * versions / config.batch) * config.epochs


def new_denoiser(config: MethodConfig, train: CoefficientSet, seed: int) -> Denoiser:
    """An untrained denoiser for faces like ``train``, with random weights that ``seed`` decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conditions = len(train.condition_names) if isinstance(config, PosteriorConfig) and config.conditioned else 0
        denoiser = METHODS[config.method](len(train.names), conditions, **architecture(config))
    if isinstance(config, PosteriorConfig) and isinstance(denoiser, PosteriorSampler):
        denoiser.raw_power, denoiser.level_spread = config.raw_power, config.level_spread
        denoiser.path = SamplingPath(
            start=config.start,
            end=config.end,
            steps=config.heun_steps,
            churn=config.churn,
            churn_below=config.churn_below,
            guidance=config.guidance,
        )
    units = Units.of(train)
    denoiser.fit_units(replace(units, noise=units.noise * config.noise))
    return denoiser


def architecture(config: MethodConfig) -> dict[str, int]:
    """What a network is built with besides the number of coefficients and conditions."""
    return {} if isinstance(config, ConvolutionalConfig) else {"hidden": config.hidden, "blocks": config.blocks}


def train(
    config: MethodConfig,
    faces: CoefficientSet,
    test: CoefficientSet,
    seed: int,
    *,
    device: str = "cpu",
    state: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Train a denoiser.

    Every step draws its faces and their corruption from (seed, step), so a training that was killed and continues from
    its last round ends at the same weights as one that was not.

    Args:
        config: method and schedule.
        faces: to learn from.
        test: to test on after each round; with ``patience`` they also decide when to stop.
        seed: of all randomness.
        device: torch device.
        state: file that keeps the last finished round; of another training it is refused. ``None`` keeps nothing.
        report: called after each round with the step, the number of steps, and the point of the curve.

    Raises:
        WeightsError: ``state`` is damaged, or of another configuration or other faces.
        StorageError: when the disk refuses.
    """
    total = steps_of(config, faces)
    run = _Run(config, faces, seed, total, device)
    key = _key(config, faces, seed)
    curve = run.load(state, key) if state and state.is_file() else []
    tester = _Tester(test, seed, device)
    while run.step < total and not _stalled(curve, config.patience):
        loss = run.round(min(run.step + ROUND, total))
        point = Point(run.step, loss, tester(run.answer))
        curve.append(point)
        if state:
            run.save(state, key, curve)
        if report:
            report(run.step, total, point)
    return Trained(run.answer.cpu().eval().requires_grad_(False), run.step, tuple(curve))


def card_of(config: MethodConfig, faces: CoefficientSet, trained: Trained, **training: Any) -> Card:
    """The card of a finished training; digest and metrics are still to come."""
    denoiser = trained.denoiser
    return Card(
        method=config.method,
        group=faces.group,
        model=faces.model,
        model_sha256=faces.model_sha256,
        names=faces.names,
        condition_names=faces.condition_names if denoiser.conditions else (),
        architecture=architecture(config),
        path=asdict(denoiser.path) if isinstance(denoiser, PosteriorSampler) else {},
        steps=trained.steps,
        training={
            "configuration": config.model_dump(mode="json"),
            **training,
            "curve": [
                [p.step, float(f"{p.train:.6g}"), float(f"{p.test:.6g}")] for p in trained.curve
            ],
        },
    )  # fmt: skip


class _Run:
    """The moving parts of a training: network, running mean, optimiser, step."""

    def __init__(self, config: MethodConfig, faces: CoefficientSet, seed: int, total: int, device: str) -> None:
        self._config, self._seed, self._total, self._device = config, seed, total, device
        self._ours = not isinstance(config, ConvolutionalConfig)
        self._average = 0.0 if isinstance(config, ConvolutionalConfig) else config.average
        self._network = new_denoiser(config, faces, seed).to(device)
        self.answer = copy.deepcopy(self._network).eval().requires_grad_(False)
        """What is kept: the running mean, or the network itself."""
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate, fused=True)
        self._faces = torch.from_numpy(faces.values).to(device)
        self._conditions = torch.from_numpy(faces.conditions).to(device) if faces.condition_names else None
        power = config.flatten if isinstance(config, PosteriorConfig) else 0.0
        self._weights = _rarity(faces, power).to(device) if power else None
        self.step = 0

    def round(self, until: int) -> float:
        """Train up to a step; the mean loss."""
        losses = []
        while self.step < until:
            losses.append(self._advance())
        return float(torch.stack(losses).mean())

    def _advance(self) -> torch.Tensor:
        random = seeded(self._seed, self.step, self._device)
        chosen = self._choose(random)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate()
        conditions = None if self._conditions is None else self._conditions[chosen]
        loss = self._network.loss(self._faces[chosen], conditions, random)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self.step += 1
        # Early steps count for little in the running mean: its decay rises to what was asked for.
        decay = min(self._average, self.step / (self.step + 10)) if self._average else 0.0
        with torch.no_grad():
            for kept, new in zip(self.answer.parameters(), self._network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        return loss.detach()

    def _choose(self, random: torch.Generator) -> torch.Tensor:
        count, batch = len(self._faces), self._config.batch
        if self._weights is not None:
            return torch.multinomial(self._weights, batch, replacement=True, generator=random)
        return torch.randint(count, (batch,), generator=random, device=self._device)

    def _rate(self) -> float:
        rate = self._config.learning_rate
        if not self._ours:
            return rate
        return rate * min(1.0, (self.step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * self.step / self._total))

    def save(self, path: Path, key: str, curve: list[Point]) -> None:
        about = {"key": key, "step": str(self.step), "curve": json.dumps([asdict(point) for point in curve])}
        parts = {"network": self._network.state_dict(), "answer": self.answer.state_dict()}
        write_state(path, parts, self._optimiser, about)

    def load(self, path: Path, key: str) -> list[Point]:
        parts = {"network": self._network, "answer": self.answer}
        about = read_state(path, key, parts, self._optimiser, self._device)
        try:
            self.step = int(about["step"])
            return [Point(**point) for point in json.loads(about["curve"])]
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"{path}: not the state of a training ({type(error).__name__}); delete it to begin again"
            ) from None


class _Tester:
    """The loss on the test faces, with the same corruptions every time."""

    def __init__(self, test: CoefficientSet, seed: int, device: str) -> None:
        rows = np.arange(TESTED) % len(test) if len(test) < TESTED else np.arange(TESTED) * len(test) // TESTED
        self._faces = torch.from_numpy(test.values[rows]).to(device)
        self._conditions = torch.from_numpy(test.conditions[rows]).to(device) if test.condition_names else None
        self._seed, self._device = seed, device

    def __call__(self, denoiser: Denoiser) -> float:
        random = seeded(self._seed, -1, self._device)
        with torch.no_grad():
            return float(denoiser.loss(self._faces, self._conditions, random))


def _rarity(faces: CoefficientSet, power: float) -> torch.Tensor:
    """(N,) in proportion to the distance to the tenth neighbour, to a power; extremes are held within reason."""
    distance = neighbour_distance(torch.from_numpy(faces.values), NEIGHBOUR)
    low, high = (float(distance.quantile(share)) for share in (0.05, 0.98))
    return distance.clamp(max(low, 1e-6), max(high, 1e-6)) ** power


def _key(config: MethodConfig, faces: CoefficientSet, seed: int) -> str:
    text = f"{config.model_dump_json()}/{faces.sha256}/{seed}"
    return hashlib.sha256(text.encode()).hexdigest()


def _stalled(curve: list[Point], patience: int | None) -> bool:
    if patience is None or len(curve) <= patience:
        return False
    best = min(range(len(curve)), key=lambda i: curve[i].test)
    return len(curve) - 1 - best >= patience
