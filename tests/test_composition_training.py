"""Training of autoencoders: the same bytes whatever interrupts it, and losses that mean what they say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegen.composition import training
from facegen.composition.config import ComaConfig, LossConfig, MomentumSchedule, TrainConfig, WeightedConfig
from facegen.composition.training import Point, Trained, mean_error, new_network, partition_loss, train
from facegen.errors import ConfigurationError, WeightsError
from facegen.settings import validate
from facegen.tests.autoencoders import SMALL, Studio, composition_of
from facegen.tests.clean_faces import refusal

FULL = WeightedConfig(**SMALL, loss=LossConfig(cycle=0.1, blend=0.2, partition=0.01))
RANDOM = {**SMALL, "start": "random"}
METHODS: dict[str, WeightedConfig | ComaConfig] = {
    "full": FULL,
    "coma": ComaConfig(**SMALL),
    "no local weights": WeightedConfig(**SMALL, local_weights=False),
    "no projections": WeightedConfig(**SMALL, projections=False),
    "shared map": WeightedConfig(**RANDOM, shared_map=True),
    "paper's schedule": WeightedConfig(**{**RANDOM, "schedule": {"optimiser": "sgd", "epochs": 2, "batch": 8}}),
}


class Killed(Exception):
    """What ends a training from outside."""


def bits(trained: Trained) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trained.network.state_dict().items()}


def trained(studio: Studio, config: WeightedConfig | ComaConfig, seed: int = 0, **options: Any) -> Trained:
    return train(config, studio.hierarchy, studio.parts, studio.faces, studio.test, seed, **options)


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_training_ends_at_the_same_bytes(studio: Studio, tmp_path: Path, name: str) -> None:
    whole = trained(studio, METHODS[name])
    state = tmp_path / "state.safetensors"

    def kill(_: int, point: Point) -> None:
        raise Killed

    with pytest.raises(Killed):
        trained(studio, METHODS[name], state=state, report=kill)
    assert state.is_file()
    seen: list[Point] = []
    resumed = trained(studio, METHODS[name], state=state, report=lambda _, point: seen.append(point))
    assert bits(resumed) == bits(whole)
    assert resumed.curve == whole.curve
    assert seen == list(whole.curve[1:])
    assert resumed.epochs == 2


def test_the_state_of_another_training_is_refused(studio: Studio, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    trained(studio, FULL, state=state)
    for other, seed in ((FULL.model_copy(update={"latent": 11}), 0), (METHODS["coma"], 0), (FULL, 1)):
        with pytest.raises(WeightsError, match="belongs to a training with other faces or another configuration"):
            trained(studio, other, seed, state=state)
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not the state of a training"):
        trained(studio, FULL, state=state)


def test_a_seed_decides_all(studio: Studio) -> None:
    assert bits(trained(studio, FULL)) == bits(trained(studio, FULL))
    assert bits(trained(studio, FULL)) != bits(trained(studio, FULL, 1))


def test_training_leaves_the_random_numbers_of_others_alone(studio: Studio) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(studio, FULL)
    assert torch.equal(torch.rand(3), expected)


def test_faces_are_learnt(studio: Studio) -> None:
    config = WeightedConfig(
        **{**RANDOM, "schedule": {"epochs": 30, "batch": 4, "learning_rate": 3e-3}}, loss=LossConfig(cycle=0)
    )
    curve = trained(studio, config).curve
    unmoved = float(np.linalg.norm(studio.test.displacements, axis=-1).mean())
    assert curve[-1].train < 0.5 * curve[0].train
    assert curve[-1].test < 0.75 * unmoved


def test_the_test_error_is_the_mean_distance(studio: Studio) -> None:
    network = composition_of(studio).network
    scaled = torch.from_numpy(studio.test.displacements.transpose(1, 0, 2).copy()) / network.scale
    with torch.no_grad():
        made = (network(scaled) * network.scale).numpy().transpose(1, 0, 2)
    expected = np.linalg.norm(made.astype(np.float64) - studio.test.displacements, axis=-1).mean()
    assert mean_error(network, studio.test) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "expected"), [("float32", "highest"), ("tf32", "high"), ("bfloat16", "medium")])
def test_only_training_rounds_its_products(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    seen, step = [], training._Losses.__call__

    def watched(*arguments: Any) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return step(*arguments)

    monkeypatch.setattr(training._Losses, "__call__", watched)
    before = torch.get_float32_matmul_precision()
    exact = trained(studio, METHODS["coma"])
    found = trained(studio, ComaConfig(**SMALL, precision=name))
    assert seen[len(seen) // 2 :] == [expected] * (len(seen) // 2)
    assert torch.get_float32_matmul_precision() == before
    assert found.curve[-1].test == pytest.approx(exact.curve[-1].test, rel=0.05)


def test_a_loss_that_is_no_number_ends_the_training(studio: Studio) -> None:
    schedule = {"optimiser": "sgd", "epochs": 3, "batch": 8, "learning_rate": 10.0, "momentum": 0.99}
    config = WeightedConfig(**{**RANDOM, "schedule": schedule})
    with pytest.raises(WeightsError, match=r"^epoch \d: the loss is no number any more; take a smaller learning rate$"):
        trained(studio, config)


def test_without_local_weights_every_part_counts_alike_everywhere(studio: Studio) -> None:
    network = new_network(WeightedConfig(**SMALL, local_weights=False), studio.hierarchy, studio.parts, 0)
    assert network.parts == studio.parts.weights.shape[1]
    assert network.local_weights.unique().tolist() == pytest.approx([1 / network.parts])
    assert new_network(ComaConfig(**SMALL), studio.hierarchy, studio.parts, 0).parts == 1


def test_the_partition_loss_is_that_of_the_formula() -> None:
    random = torch.Generator().manual_seed(0)
    projections = torch.randn(3, 5, 5, generator=random, dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(3):
        expected += (projections[i] @ projections[i] - projections[i]).square().sum()
        for j in range(3):
            if i != j:
                expected += (projections[i] @ projections[j]).square().sum()
    expected += (projections.sum(dim=0) - torch.eye(5)).square().sum()
    assert torch.allclose(partition_loss(projections), expected)
    blocks = torch.stack([torch.diag(torch.eye(6)[2 * k] + torch.eye(6)[2 * k + 1]) for k in range(3)])
    assert float(partition_loss(blocks)) == 0


def test_the_cycle_loss_of_a_network_of_one_part_is_its_error_twice_over(studio: Studio) -> None:
    """With one part a swap is another face: what comes back is the face encoded twice."""
    network = new_network(ComaConfig(**SMALL), studio.hierarchy, studio.parts, 0)
    losses = training._Losses(network, LossConfig(cycle=1), torch.ones(studio.hierarchy.sizes[0], 1))
    faces = torch.from_numpy(studio.faces.displacements[:6].transpose(1, 0, 2).copy()) / 5
    with torch.no_grad():
        codes = network.project(network.encode(faces))
        twice = network(network.decode(codes))
        found = losses._of_swaps(codes, faces, torch.Generator().manual_seed(0))
        assert torch.allclose(found, (twice - faces).abs().mean(), atol=1e-5)


@pytest.mark.parametrize(("cycle", "blend"), [(0.0, 0.5), (0.2, 0.0), (0.2, 0.5)])
def test_the_losses_of_swaps_are_those_of_the_formulas(studio: Studio, cycle: float, blend: float) -> None:
    network = composition_of(studio).network
    fine = torch.from_numpy(studio.hierarchy.upsampled(studio.parts.weights).astype(np.float32))
    losses = training._Losses(network, LossConfig(cycle=cycle, blend=blend), fine)
    faces = torch.from_numpy(studio.faces.displacements[:5].transpose(1, 0, 2).copy()) / network.scale
    codes = network.project(network.encode(faces))
    found = float(losses._of_swaps(codes, faces, torch.Generator().manual_seed(3)))
    random = torch.Generator().manual_seed(3)
    orders = [torch.randperm(5, generator=random).tolist() for _ in range(network.parts)]
    mixed = torch.stack([torch.stack([codes[order[i], k] for k, order in enumerate(orders)]) for i in range(5)])
    made = network.decode(mixed)
    wanted = torch.stack(
        [sum(fine[:, k, None] * faces[:, order[i]] for k, order in enumerate(orders)) for i in range(5)], dim=1
    )
    again = network.project(network.encode(made))
    returned = torch.stack(
        [torch.stack([again[order.index(i), k] for k, order in enumerate(orders)]) for i in range(5)]
    )
    back = network.decode(returned)
    expected = blend * float((made - wanted).abs().mean()) + cycle * float((back - faces).abs().mean())
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0


def test_the_papers_rate_falls_by_a_hundredth_an_epoch() -> None:
    schedule = MomentumSchedule()
    rates = [training._rate(schedule, step, 55) for step in range(0, 55 * 4, 55)]
    assert rates[0] == 0.0125
    assert [after / before for before, after in pairwise(rates)] == pytest.approx([0.99] * 3)
    assert training._rate(schedule, 54, 55) == rates[0]
    assert (schedule.epochs, schedule.batch, schedule.momentum, schedule.weight_decay) == (300, 32, 0.9, 5e-4)


def test_configurations_that_contradict_themselves_are_refused() -> None:
    def problem(**network: Any) -> str:
        values = {"factors": [4, 4], "networks": {"one": {"method": "weighted", "channels": [8, 8], **network}}}
        return refusal(ConfigurationError, lambda: validate(TrainConfig, values, source="my.yaml"))

    assert problem(channels=[8]) == "my.yaml: 'networks.one.channels' has 1 levels, 'factors' 2"
    assert "'shared_map: true' goes with 'start: random' alone" in problem(shared_map=True)
    assert "'loss.blend' needs 'local_weights'" in problem(local_weights=False, loss={"blend": 1})
    assert "'loss.partition' needs 'projections'" in problem(projections=False, loss={"partition": 1})
    assert problem(latnt=3).startswith("my.yaml: unknown key 'networks.one.latnt'; did you mean 'latent'?")
    assert problem(schedule={"optimiser": "lbfgs"}) == (
        "my.yaml: 'networks.one.schedule.optimiser': 'lbfgs' is none of 'adam', 'sgd'"
    )
