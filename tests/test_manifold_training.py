"""Training: the same bytes whatever interrupts it, and the paper's schedule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegen.errors import WeightsError
from facegen.manifold import training
from facegen.manifold.config import (
    ConvolutionalConfig,
    GatedConfig,
    MethodConfig,
    PosteriorConfig,
)
from facegen.manifold.corruption import Corruption
from facegen.manifold.denoiser import Denoiser, Units
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.manifold.training import Point, Trained, card_of, new_denoiser, steps_of, train
from facegen.morphable.coefficients import CoefficientSet
from facegen.tests.clean_faces import clean_faces, refusal

SMALL: dict[str, Any] = {"hidden": 16, "blocks": 1, "batch": 16, "steps": 30}
METHODS: dict[str, MethodConfig] = {
    "convolutional": ConvolutionalConfig(epochs=1, corruptions=2, batch=16),
    "gated": GatedConfig(**SMALL),
    "posterior": PosteriorConfig(**SMALL, flatten=1.0, heun_steps=4),
}


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ROUND", 10)
    monkeypatch.setattr(training, "TESTED", 64)


def faces() -> CoefficientSet:
    return clean_faces(240, 20, conditions=1)


def others() -> CoefficientSet:
    return clean_faces(60, 20, seed=1, conditions=1)


class Killed(Exception):
    """What ends a training from outside."""


def bits(trained: Trained) -> dict[str, bytes]:
    return bits_of(trained.denoiser)


def bits_of(denoiser: Denoiser) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in denoiser.state_dict().items()}


def killed_after(rounds: int, config: MethodConfig, state: Path, **more: Any) -> None:
    """A training that is killed when it reports its round."""
    left = [rounds]

    def report(step: int, total: int, point: Point) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    with pytest.raises(Killed):
        train(config, faces(), others(), more.pop("seed", 3), state=state, report=report, **more)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_killed_training_ends_at_the_same_weights(tmp_path: Path, method: str, rounds: int) -> None:
    config = METHODS[method]
    whole = train(config, faces(), others(), 3)
    assert whole.steps == 30
    killed_after(rounds, config, tmp_path / "state")
    told: list[int] = []
    continued = train(
        config, faces(), others(), 3, state=tmp_path / "state", report=lambda step, total, point: told.append(step)
    )
    assert told == [10, 20, 30][rounds:]
    assert bits(continued) == bits(whole)
    assert continued.curve == whole.curve
    assert [point.step for point in whole.curve] == [10, 20, 30]
    # Killed once more, after its last round: nothing is left to do, and it ends the same.
    again = train(config, faces(), others(), 3, state=tmp_path / "state", report=lambda *_: pytest.fail("trained"))
    assert bits(again) == bits(whole)
    assert again.curve == whole.curve


def test_killed_in_the_middle_of_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = METHODS["posterior"]
    whole = train(config, faces(), others(), 3)
    loss, calls = PosteriorSampler.loss, [0]

    def dying(self: PosteriorSampler, *arguments: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 17:
            raise Killed
        return loss(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PosteriorSampler, "loss", dying)
        with pytest.raises(Killed):
            train(config, faces(), others(), 3, state=tmp_path / "state")
    assert bits(train(config, faces(), others(), 3, state=tmp_path / "state")) == bits(whole)


@pytest.mark.parametrize("method", METHODS)
def test_training_is_decided_by_seed_faces_and_configuration(method: str) -> None:
    config = METHODS[method]
    first = bits(train(config, faces(), others(), 3))
    assert bits(train(config, faces(), others(), 3)) == first
    moved = faces().values.copy()
    moved[:, 0] += 0.1
    assert bits(train(config, faces(), others(), 4)) != first
    assert bits(train(config, replace(faces(), values=moved), others(), 3)) != first
    assert bits(train(config.model_copy(update={"learning_rate": 2e-3}), faces(), others(), 3)) != first
    # Test faces decide nothing unless there is patience.
    assert bits(train(config, faces(), clean_faces(70, 20, seed=2, conditions=1), 3)) == first


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained = train(METHODS["gated"], faces(), others(), 3)
    assert torch.equal(torch.rand(3), expected)
    assert not trained.denoiser.training
    assert not any(parameter.requires_grad for parameter in trained.denoiser.parameters())
    assert bits(train(METHODS["gated"], faces(), others(), 3)) == bits(trained)


def test_what_weights_are_begun_from() -> None:
    config = GatedConfig(**SMALL, noise=0.5)
    denoiser = new_denoiser(config, faces(), 3)
    assert bits_of(new_denoiser(config, faces(), 3)) == bits_of(denoiser)
    assert bits_of(new_denoiser(config, faces(), 4)) != bits_of(denoiser)
    assert float(denoiser.state_dict()["noise"]) == pytest.approx(2.6)
    sampler = new_denoiser(
        PosteriorConfig(
            **SMALL, start=3, end=0.1, heun_steps=7, churn=2, churn_below=1.5, guidance=3, raw_power=0.5, level_spread=2
        ),
        faces(),
        0,
    )
    assert isinstance(sampler, PosteriorSampler)
    assert sampler.path == SamplingPath(start=3, end=0.1, steps=7, churn=2, churn_below=1.5, guidance=3)
    assert sampler.conditions == 1
    assert sampler.level_spread == 2
    assert sampler.scale.std() > 0
    assert new_denoiser(PosteriorConfig(**SMALL, conditioned=False), faces(), 0).conditions == 0


class TestStates:
    """States that a training does not continue from."""

    @pytest.fixture
    def state(self, tmp_path: Path) -> Path:
        path = tmp_path / "state" / "gated.safetensors"
        killed_after(1, METHODS["gated"], path)
        return path

    def refused(self, state: Path, config: MethodConfig | None = None, seed: int = 3, **more: Any) -> str:
        before = state.read_bytes()
        line = refusal(
            WeightsError,
            lambda: train(config or METHODS["gated"], more.get("faces", faces()), others(), seed, state=state),
        )
        assert line.startswith(f"{state}: ")
        assert state.read_bytes() == before
        return line

    def test_of_another_training(self, state: Path) -> None:
        moved = faces().values.copy()
        moved[5, 5] += 1e-3
        lines = {
            self.refused(state, seed=4),
            self.refused(state, GatedConfig(**{**SMALL, "steps": 40})),
            self.refused(state, GatedConfig(**SMALL, learning_rate=2e-3)),
            self.refused(state, METHODS["posterior"]),
            self.refused(state, faces=replace(faces(), values=moved)),
        }
        assert len(lines) == 1
        assert lines.pop() == (
            f"{state}: belongs to a training with other faces or another configuration; use another folder, "
            "or delete the file to begin again"
        )

    @pytest.mark.parametrize("content", [b"", b"\0", b"{}", bytes(100), b"\x02" + bytes(7) + b"{}", b"\xff" * 50])
    def test_that_is_none(self, state: Path, content: bytes) -> None:
        state.write_bytes(content)
        line = self.refused(state)
        assert "not the state of a training (" in line
        assert line.endswith("; delete it to begin again")

    def test_cut_anywhere(self, state: Path) -> None:
        whole = state.read_bytes()
        for cut in np.linspace(0, len(whole) - 1, 25).astype(int):
            state.write_bytes(whole[:cut])
            assert "not the state of a training (" in self.refused(state)

    def test_a_folder(self, tmp_path: Path) -> None:
        # It is no file: training begins, and cannot save.
        (tmp_path / "state.safetensors").mkdir()
        with pytest.raises(OSError, match="cannot write"):
            train(METHODS["gated"], faces(), others(), 3, state=tmp_path / "state.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls(method: str) -> None:
    config = METHODS[method].model_copy(
        update={"epochs": 10} if method == "convolutional" else {"steps": 300, "average": 0.9}
    )
    curve = train(config, faces(), others(), 3).curve
    assert curve[-1].test < 0.95 * curve[0].test
    assert curve[-1].train < 0.95 * curve[0].train


def test_a_trained_network_beats_the_mean_face() -> None:
    config = GatedConfig(hidden=64, blocks=2, batch=64, steps=500, average=0.95)
    denoiser = train(config, faces(), others(), 3).denoiser
    units = Units.of(faces())
    raw = torch.from_numpy(units.raw)
    clean = torch.from_numpy(others().values).repeat(20, 1)
    corrupted = Corruption(units.noise)(clean * raw, torch.Generator().manual_seed(0)) / raw
    error = (((denoiser.denoise(corrupted) - clean) * raw) ** 2).mean()
    mean = (((torch.from_numpy(units.mean) - clean) * raw) ** 2).mean()
    assert error < 0.7 * mean


def test_what_is_kept_is_the_running_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[torch.Tensor] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, *arguments: Any, **more: Any) -> Any:
        result = step(self, *arguments, **more)
        weights.append(self.param_groups[0]["params"][0].detach().clone())
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    config = GatedConfig(**SMALL, average=0.8)
    begun = next(new_denoiser(config, faces(), 3).parameters()).detach()
    kept = next(train(config, faces(), others(), 3).denoiser.parameters())
    expected = begun
    for number, new in enumerate(weights, start=1):
        decay = min(0.8, number / (number + 10))
        expected = decay * expected + (1 - decay) * new
    assert len(weights) == 30
    torch.testing.assert_close(kept, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(kept, weights[-1], rtol=1e-4, atol=1e-5)
    weights.clear()
    # The paper keeps its network as it is.
    paper = next(train(METHODS["convolutional"], faces(), others(), 3).denoiser.parameters())
    assert torch.equal(paper, weights[-1])


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    # Noise of such a learning rate ends all progress.
    config = GatedConfig(**{**SMALL, "steps": 1000}, learning_rate=1.0, average=0.0, patience=3)
    trained = train(config, faces(), others(), 3)
    losses = [point.test for point in trained.curve]
    best = int(np.argmin(losses))
    assert trained.steps < 1000
    assert len(losses) == best + 4
    assert trained.steps == 10 * len(losses)
    patient = train(config.model_copy(update={"patience": None, "steps": 200}), faces(), others(), 3)
    assert patient.steps == 200


def test_the_schedule_of_the_paper() -> None:
    # 5,837 fitted faces of which 60,000 and 30,000 pairs are held out: 600 faces, 100 or 50 pairs of each.
    learnt = clean_faces(5237, 16)
    assert len(learnt) * training.CORRUPTIONS["identity"] == 523_700
    assert steps_of(ConvolutionalConfig(), learnt) == 10 * 4092
    learnt = clean_faces(5237, 16, "expression")
    assert len(learnt) * training.CORRUPTIONS["expression"] == 261_850
    assert steps_of(ConvolutionalConfig(), learnt) == 10 * 2046
    assert steps_of(ConvolutionalConfig(epochs=3, corruptions=2, batch=1000), learnt) == 3 * 11
    assert steps_of(GatedConfig(steps=77), learnt) == 77
    config = ConvolutionalConfig()
    assert (config.batch, config.epochs, config.learning_rate, config.noise) == (128, 10, 1e-3, 1.0)


def test_learning_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, *arguments: Any, **more: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **more)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    train(METHODS["convolutional"], faces(), others(), 3)
    assert set(rates) == {1e-3}
    rates.clear()
    train(GatedConfig(**{**SMALL, "steps": 300}), faces(), others(), 3)
    assert len(rates) == 300
    assert (np.diff(rates[:60]) > 0).all()
    assert (np.diff(rates[120:]) < 0).all()
    assert max(rates) < 1e-3
    assert rates[-1] < 1e-7


def test_flattening_shows_rare_faces_more_often() -> None:
    # A performance that rests: most frames at one place, some spread far about it.
    still = np.random.default_rng(0).normal(0, 0.01, (300, 20)).astype(np.float32)
    far = np.random.default_rng(1).normal(0, 1, (60, 20)).astype(np.float32)
    resting = replace(
        clean_faces(360, 20), values=np.concatenate([still, far]), unit=np.zeros(360, np.int32), units=("take",)
    )
    weights = [training._rarity(resting, power) for power in (0.5, 1.0, 2.0)]
    shares = [float(weight[300:].sum() / weight.sum()) for weight in weights]
    assert 1 / 6 < shares[0] < shares[1] < shares[2]
    assert shares[1] > 0.9
    torch.testing.assert_close(weights[0] ** 2, weights[1])
    for weight in weights:
        assert (weight > 0).all()
        assert weight.isfinite().all()
    # Faces that are all the same are shown alike.
    same = training._rarity(replace(resting, values=np.zeros((360, 20), np.float32)), 1.0)
    assert (same == same[0]).all()
    assert same.min() > 0


def test_the_card_of_a_training() -> None:
    trained = train(METHODS["posterior"], faces(), others(), 3)
    card = card_of(METHODS["posterior"], faces(), trained, seed=3, faces_sha256=faces().sha256)
    assert (card.method, card.group, card.model, card.model_sha256) == ("posterior", "identity", "surface", "ab" * 32)
    assert card.names == faces().names
    assert card.condition_names == ("condition 0",)
    assert card.architecture == {"hidden": 16, "blocks": 1}
    assert card.path["steps"] == 4
    assert card.steps == 30
    assert card.training["seed"] == 3
    assert card.training["configuration"]["flatten"] == 1
    assert [point[0] for point in card.training["curve"]] == [10, 20, 30]
    np.testing.assert_allclose(
        [point[2] for point in card.training["curve"]], [p.test for p in trained.curve], rtol=1e-5
    )
    paper = card_of(METHODS["convolutional"], faces(), train(METHODS["convolutional"], faces(), others(), 3))
    assert (paper.architecture, paper.path, paper.condition_names) == ({}, {}, ())
