"""Training of one autoencoder, in epochs that a killed training continues from to the same bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.composition.config import (
    AdamSchedule,
    ComaConfig,
    LossConfig,
    MomentumSchedule,
    WeightedConfig,
    architecture_of,
)
from facegen.composition.faces import Faces
from facegen.composition.hierarchy import Hierarchy
from facegen.composition.initial import start_linear
from facegen.composition.network import MeshAutoencoder
from facegen.composition.parts import Parts, whole
from facegen.errors import WeightsError
from facegen.training import read_state, seeded, write_state

WARM_UP = 100
"""Steps over which the rate of Adam rises."""

BATCH = 20
"""Test faces that are tried at once."""


@dataclass(frozen=True)
class Point:
    """One point of a learning curve."""

    epoch: int
    train: float
    """Mean loss over the epoch, mm."""
    test: float
    """Mean distance of a vertex of the test faces from where it should be, mm."""


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    network: MeshAutoencoder
    epochs: int
    curve: tuple[Point, ...]


Report = Callable[[int, Point], None]


def new_network(config: WeightedConfig | ComaConfig, hierarchy: Hierarchy, parts: Parts, seed: int) -> MeshAutoencoder:
    """A network with random weights that ``seed`` decides."""
    weights = whole(len(parts.weights)).weights
    if isinstance(config, WeightedConfig):
        count = parts.weights.shape[1]
        weights = parts.weights if config.local_weights else np.full_like(parts.weights, 1 / count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MeshAutoencoder(hierarchy, weights, architecture_of(config))


def train(
    config: WeightedConfig | ComaConfig,
    hierarchy: Hierarchy,
    parts: Parts,
    faces: Faces,
    test: Faces,
    seed: int,
    *,
    device: str = "cpu",
    state: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Train an autoencoder.

    An epoch draws the order of the faces, and a step all else, from (seed, number): a training that was killed and
    continues from its last epoch ends at the same weights as one that was not.

    Args:
        config: network, loss and schedule.
        hierarchy: of the faces' skin.
        parts: of the face.
        faces: to learn from.
        test: to test on after each epoch; they decide nothing.
        seed: of all randomness.
        device: torch device.
        state: file that keeps the last finished epoch; of another training it is refused. ``None`` keeps nothing.
        report: called after each epoch with the number of epochs and the point of the curve.

    Raises:
        WeightsError: ``state`` is damaged, or of another configuration or other faces; or the loss is no number.
        StorageError: when the disk refuses.
    """
    network = new_network(config, hierarchy, parts, seed)
    network.scale.fill_(faces.scale)
    resumed = state is not None and state.is_file()
    if config.start == "linear" and not resumed:
        start_linear(network, hierarchy, faces.displacements / np.float32(faces.scale))
    run = _Run(config, network.to(device), hierarchy, parts, faces, seed, device)
    key = _key(config, hierarchy, parts, faces, seed)
    curve = run.load(state, key) if state is not None and resumed else []
    while run.epoch < config.schedule.epochs:
        with dense_precision(config.precision):
            loss = run.train_epoch()
        if not math.isfinite(loss):
            raise WeightsError(f"epoch {run.epoch}: the loss is no number any more; take a smaller learning rate")
        point = Point(run.epoch, loss, mean_error(network, test, device))
        curve.append(point)
        if state is not None:
            run.save(state, key, curve)
        if report is not None:
            report(config.schedule.epochs, point)
    return Trained(network.cpu().eval().requires_grad_(False), run.epoch, tuple(curve))


@contextmanager
def dense_precision(name: str) -> Iterator[None]:
    """Let dense products of float32 round their factors: to ``tf32``, to ``bfloat16``, or not, ``float32``."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision({"float32": "highest", "tf32": "high", "bfloat16": "medium"}[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def mean_error(network: MeshAutoencoder, faces: Faces, device: str = "cpu") -> float:
    """Mean distance of a vertex from where it should be, mm."""
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(faces), BATCH):
            batch = _batch(faces.displacements[start : start + BATCH], device) / network.scale
            distance = (network(batch) - batch).norm(dim=-1) * network.scale
            total += float(distance.double().sum())
    return float(total / (len(faces) * faces.displacements.shape[1]))


class _Run:
    """The moving parts of a training: network, optimiser, epoch."""

    def __init__(
        self,
        config: WeightedConfig | ComaConfig,
        network: MeshAutoencoder,
        hierarchy: Hierarchy,
        parts: Parts,
        faces: Faces,
        seed: int,
        device: str,
    ) -> None:
        self._config, self._network, self._seed, self._device = config, network, seed, device
        self._faces = torch.from_numpy(faces.displacements / np.float32(faces.scale)).to(device)
        loss = config.loss if isinstance(config, WeightedConfig) else LossConfig(cycle=0)
        fine = torch.from_numpy(hierarchy.upsampled(parts.weights).astype(np.float32)).to(device)
        self._losses = _Losses(network, loss, fine)
        schedule = config.schedule
        if isinstance(schedule, AdamSchedule):
            self._optimiser: torch.optim.Optimizer = torch.optim.Adam(
                network.parameters(), lr=schedule.learning_rate, fused=True
            )
        else:
            self._optimiser = torch.optim.SGD(
                network.parameters(),
                lr=schedule.learning_rate,
                momentum=schedule.momentum,
                weight_decay=schedule.weight_decay,
            )
        self.epoch = 0

    def train_epoch(self) -> float:
        """Once through the faces; the mean loss, mm."""
        batch = min(self._config.schedule.batch, len(self._faces))
        steps = len(self._faces) // batch
        order = torch.randperm(len(self._faces), generator=seeded(self._seed, self.epoch, "cpu")).to(self._device)
        losses = []
        for step in range(steps):
            number = self.epoch * steps + step
            for group in self._optimiser.param_groups:
                group["lr"] = _rate(self._config.schedule, number, steps)
            rows = order[step * batch : (step + 1) * batch]
            faces = self._faces[rows].transpose(0, 1).contiguous()
            loss = self._losses(faces, seeded(self._seed + 1, number, "cpu"))
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            losses.append(loss.detach())
        self.epoch += 1
        return float(torch.stack(losses).mean() * self._network.scale)

    def save(self, path: Path, key: str, curve: list[Point]) -> None:
        about = {"key": key, "epoch": str(self.epoch), "curve": json.dumps([asdict(point) for point in curve])}
        write_state(path, {"network": self._network.state_dict()}, self._optimiser, about)

    def load(self, path: Path, key: str) -> list[Point]:
        about = read_state(path, key, {"network": self._network}, self._optimiser, self._device)
        try:
            self.epoch = int(about["epoch"])
            return [Point(**point) for point in json.loads(about["curve"])]
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"{path}: not the state of a training ({type(error).__name__}); delete it to begin again"
            ) from None


class _Losses:
    """The loss of a batch: L1 of reconstruction, and what is asked of swapped parts."""

    def __init__(self, network: MeshAutoencoder, config: LossConfig, fine: torch.Tensor) -> None:
        self._network, self._config = network, config
        self._fine = fine
        """(n, K) how much each vertex belongs to each part."""

    def __call__(self, faces: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Of faces (n, B, 3), in the network's units."""
        network, config = self._network, self._config
        codes = network.project(network.encode(faces))
        loss = (network.decode(codes) - faces).abs().mean()
        if faces.shape[1] >= 2 and (config.cycle or config.blend):
            count = max(2, round(config.share * faces.shape[1]))
            loss = loss + self._of_swaps(codes[:count], faces[:, :count], random)
        if config.partition and network.projections is not None:
            loss = loss + config.partition * partition_loss(network.projections)
        return loss

    def _of_swaps(self, codes: torch.Tensor, faces: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Of part codes (B, K, Z) of faces (n, B, 3), each part k given to others by a permutation σ_k of its own.

        The cycle (Dubrovina et al. 2019, section 3.3) encodes what is made and gives the parts back:
        ``|D({u_k^(σ_k⁻¹)}) - x|``. The blend asks of what is made to be ``Σ_k W_k x^(σ_k)``.
        """
        network, config = self._network, self._config
        count, parts, _ = codes.shape
        orders = [torch.randperm(count, generator=random) for _ in range(parts)]
        there = torch.stack(orders, dim=1).to(codes.device)
        column = torch.arange(parts, device=codes.device)
        mixed = network.decode(codes[there, column])
        loss = mixed.new_zeros(())
        if config.blend:
            wanted = torch.einsum("nk,nbki->nbi", self._fine, faces[:, there])
            loss = loss + config.blend * (mixed - wanted).abs().mean()
        if config.cycle:
            back = torch.stack([order.argsort() for order in orders], dim=1).to(codes.device)
            again = network.project(network.encode(mixed))
            loss = loss + config.cycle * (network.decode(again[back, column]) - faces).abs().mean()
        return loss


def partition_loss(projections: torch.Tensor) -> torch.Tensor:
    """``Σ‖P_k² - P_k‖² + Σ_(i≠j)‖P_i P_j‖² + ‖ΣP_k - I‖²`` of projections (K, Z, Z) (Dubrovina et al. 2019, eq. 2)."""
    products = torch.einsum("iab,jbc->ijac", projections, projections)
    own = torch.diagonal(products, dim1=0, dim2=1).permute(2, 0, 1)
    idempotent = (own - projections).square().sum()
    orthogonal = products.square().sum() - own.square().sum()
    unit = torch.eye(projections.shape[1], device=projections.device)
    return idempotent + orthogonal + (projections.sum(dim=0) - unit).square().sum()


def _rate(schedule: AdamSchedule | MomentumSchedule, step: int, steps: int) -> float:
    if isinstance(schedule, MomentumSchedule):
        return float(schedule.learning_rate * schedule.decay ** (step // steps))
    total = schedule.epochs * steps
    warm_up = min(WARM_UP, max(1, total // 10))
    return schedule.learning_rate * min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / total))


def _batch(displacements: NDArray[np.float32], device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(displacements.transpose(1, 0, 2))).to(device)


def _key(config: WeightedConfig | ComaConfig, hierarchy: Hierarchy, parts: Parts, faces: Faces, seed: int) -> str:
    digest = hashlib.sha256(f"{config.model_dump_json()}/{faces.sha256}/{seed}/{parts.names}".encode())
    digest.update(parts.weights.tobytes())
    digest.update(hierarchy.coarsest.tobytes())
    return digest.hexdigest()
