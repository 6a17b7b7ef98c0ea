"""The networks that denoise coefficients: the paper's against torch's own layers, and what ours promise."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from facegen.manifold.convolutional import ConvolutionalDenoiser
from facegen.manifold.denoiser import Denoiser, Units
from facegen.manifold.gated import FARTHEST, GatedDenoiser
from facegen.manifold.posterior import Path, PosteriorSampler
from facegen.tests.clean_faces import clean_faces

D = TypeVar("D", bound=Denoiser)


def randomised(denoiser: D, seed: int = 0, spread: float = 0.3) -> D:
    """With weights that all have something to say."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=random))
    return denoiser


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the paper's network ---


def twin(denoiser: ConvolutionalDenoiser, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Answer, code (B, 64, L) and lengths, of layers that torch has: Fig. 2 read aloud."""
    code, pooled, lengths = raw[:, None, :], [], [raw.shape[1]]
    for layer in denoiser.encoder:
        assert isinstance(layer, nn.Conv1d)
        code = functional.relu(functional.conv1d(code, layer.weight, layer.bias, padding=1))
        length = code.shape[2]
        code, places = functional.max_pool1d_with_indices(code, [2], [2])
        pooled.append((places, length))
        lengths.append(code.shape[2])
    middle = code
    for number, layer in enumerate(denoiser.decoder):
        assert isinstance(layer, nn.ConvTranspose1d)
        places, length = pooled[-1 - number]
        code = functional.max_unpool1d(code, places, [2], [2], output_size=[length])
        code = functional.conv_transpose1d(code, layer.weight, layer.bias, padding=1)
        if number < 3:
            code = functional.relu(code)
    return code[:, 0], middle, lengths


@pytest.mark.parametrize(
    ("length", "lengths"), [(199, [199, 99, 49, 24, 12]), (29, [29, 14, 7, 3, 1]), (16, [16, 8, 4, 2, 1])]
)
def test_the_layers_of_the_paper(length: int, lengths: list[int]) -> None:
    denoiser = randomised(ConvolutionalDenoiser(length))
    raw = normal(5, length)
    code, pooled = denoiser.encode(raw)
    assert code.shape == (5, lengths[-1], 64)
    assert [before for _, before in pooled] == lengths[:-1]
    assert [tuple(wins.shape) for wins, _ in pooled] == [
        (5, after, channels) for after, channels in zip(lengths[1:], (8, 16, 32, 64), strict=True)
    ]
    assert twin(denoiser, raw)[2] == lengths
    shapes = {name: tuple(parameter.shape) for name, parameter in denoiser.named_parameters()}
    assert shapes == {
        "encoder.0.weight": (8, 1, 3), "encoder.0.bias": (8,), "encoder.1.weight": (16, 8, 3), "encoder.1.bias": (16,),
        "encoder.2.weight": (32, 16, 3), "encoder.2.bias": (32,), "encoder.3.weight": (64, 32, 3),
        "encoder.3.bias": (64,), "decoder.0.weight": (64, 32, 3), "decoder.0.bias": (32,),
        "decoder.1.weight": (32, 16, 3), "decoder.1.bias": (16,), "decoder.2.weight": (16, 8, 3),
        "decoder.2.bias": (8,), "decoder.3.weight": (8, 1, 3), "decoder.3.bias": (1,),
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(length=st.integers(16, 230), count=st.integers(1, 5), seed=st.integers(0, 999))
def test_it_is_what_torchs_layers_compute(length: int, count: int, seed: int) -> None:
    denoiser = randomised(ConvolutionalDenoiser(length).double(), seed)
    ours, theirs = (normal(count, length, seed=seed + 1).double().requires_grad_() for _ in range(2))
    weights = normal(count, length, seed=seed + 2).double()
    answer, (expected, code, _) = denoiser(ours), twin(denoiser, theirs)
    torch.testing.assert_close(answer, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(denoiser.encode(ours)[0].transpose(1, 2), code, rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad((result * weights).sum(), [inputs, *denoiser.parameters()])
        for result, inputs in ((answer, ours), (expected, theirs))
    ]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


def test_ties_are_pooled_as_torch_pools_them() -> None:
    # A constant face ties everywhere but at its ends, and rectified zeros tie too.
    for seed in range(5):
        denoiser = randomised(ConvolutionalDenoiser(37).double(), seed)
        for raw in (torch.zeros(2, 37), torch.full((2, 37), -3.0)):
            ours, theirs = (raw.double().requires_grad_() for _ in range(2))
            answer, expected = denoiser(ours), twin(denoiser, theirs)[0]
            torch.testing.assert_close(answer, expected, rtol=1e-12, atol=1e-12)
            found, wanted = (
                torch.autograd.grad(result.square().sum(), inputs)
                for result, inputs in ((answer, ours), (expected, theirs))
            )
            torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("length", [1, 15])
def test_too_few_coefficients_for_four_poolings(length: int) -> None:
    with pytest.raises(ValueError, match=f"^{length} coefficients; four poolings by 2 need at least 16$"):
        ConvolutionalDenoiser(length)


def test_it_works_in_raw_units() -> None:
    denoiser = randomised(ConvolutionalDenoiser(20))
    units = Units.of(clean_faces(100, 20))
    denoiser.fit_units(units)
    raw, values = torch.from_numpy(units.raw), normal(4, 20)
    assert raw.max() > 5 * raw.min()
    torch.testing.assert_close(denoiser.denoise(values), denoiser(values * raw) / raw)
    # The loss is that of the paper: of faces in raw units, corrupted by 5.2 of them.
    clean = torch.from_numpy(clean_faces(64, 20).values)
    loss = denoiser.loss(clean, None, torch.Generator().manual_seed(1))
    corrupted = units.corruption(clean * raw, torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss, ((denoiser(corrupted) - clean * raw) ** 2).mean())


# --- the network that sees what is out of range ---


def gated(group: str = "identity", length: int = 12, seed: int = 0) -> GatedDenoiser:
    denoiser = randomised(GatedDenoiser(length, hidden=24, blocks=2), seed)
    denoiser.fit_units(Units.of(clean_faces(300, length, "identity" if group == "identity" else "expression")))
    return denoiser


@pytest.mark.parametrize("group", ["identity", "expression"])
def test_ranges_are_four_spreads_within_the_bounds(group: str) -> None:
    denoiser = gated(group)
    low, high = denoiser.mean - FARTHEST * denoiser.spread, denoiser.mean + FARTHEST * denoiser.spread
    if group == "expression":
        low, high = low.clamp(min=0), high.clamp(max=1)
    torch.testing.assert_close(denoiser.low, low)
    torch.testing.assert_close(denoiser.high, high)


@pytest.mark.parametrize("group", ["identity", "expression"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_how_far_out_of_range_a_coefficient_is_does_not_matter(group: str, sign: int) -> None:
    denoiser = gated(group)
    values = denoiser.mean + 0.3 * denoiser.spread * normal(6, 12)
    far = []
    for distance in (40, 50, 1e4, 1e30):
        changed = values.clone()
        changed[:, 3] = sign * distance
        far.append(denoiser.denoise(changed))
    for answer in far[1:]:
        assert torch.equal(answer, far[0])
    # It does matter that it is out of range, and what the others are.
    assert (far[0] != denoiser.denoise(values)).any(dim=1).all()
    assert len({answer.detach().numpy().tobytes() for answer in far[0]}) == 6


def test_an_out_of_range_coefficient_speaks_by_saturating_inputs_alone() -> None:
    denoiser = gated()
    with torch.no_grad():
        # Without the input tanh(z / 3) the answer does not know how far out of range it is.
        denoiser.enter.weight[:, 12:24] = 0
    values, changed = normal(5, 12), []
    for distance in (4.5, 5.0, 50.0, 3e38):
        values[:, 7] = denoiser.mean[7] + (distance * denoiser.spread[7] if distance < 1e30 else distance)
        changed.append(denoiser.denoise(values))
    for answer in changed[1:]:
        assert torch.equal(answer, changed[0])


@given(seed=st.integers(0, 99), scale=st.sampled_from([1.0, 1e3, 1e10, 1e30, 3e38]))
def test_answers_are_finite(seed: int, scale: float) -> None:
    for denoiser in (gated(), gated("expression")):
        values = (normal(4, 12, seed=seed).clamp(-1, 1) * scale).clamp(-3e38, 3e38)
        assert denoiser.denoise(values).isfinite().all()


def test_a_coefficient_in_range_may_be_kept_and_one_out_of_range_is_not() -> None:
    denoiser = gated()
    with torch.no_grad():
        denoiser.leave.weight.zero_()
        denoiser.leave.bias[:12] = 0.5
        denoiser.leave.bias[12:] = 100
    values = (denoiser.mean + 0.5 * denoiser.spread).repeat(2, 1)
    values[1, 4], values[1, 8] = 99, -99
    answer = denoiser.denoise(values)
    assert torch.equal(answer[0], values[0])
    expected = values[1].clone()
    expected[[4, 8]] = (denoiser.mean + 0.5 * denoiser.spread)[[4, 8]]
    torch.testing.assert_close(answer[1], expected)


def test_a_coefficient_that_never_moves_has_a_spread() -> None:
    faces = clean_faces(50, 6)
    still = faces.values.copy()
    still[:, 2] = 0.25
    denoiser = GatedDenoiser(6, hidden=8, blocks=1)
    denoiser.fit_units(Units.of(replace(faces, values=still)))
    assert (denoiser.spread > 0).all()
    assert denoiser.denoise(torch.from_numpy(still)).isfinite().all()


def test_the_loss_of_the_gated_network_is_the_papers() -> None:
    denoiser = gated()
    faces = clean_faces(64, 12, seed=4)
    clean, raw = torch.from_numpy(faces.values), denoiser.raw
    corrupted = Units.of(faces).corruption(clean * raw, torch.Generator().manual_seed(1)) / raw
    expected = (((denoiser.denoise(corrupted) - clean) * raw) ** 2).mean()
    torch.testing.assert_close(denoiser.loss(clean, None, torch.Generator().manual_seed(1)), expected)


# --- the sampler ---


def sampler(conditions: int = 0, length: int = 10, **path: float) -> PosteriorSampler:
    denoiser = randomised(PosteriorSampler(length, conditions, hidden=16, blocks=1))
    denoiser.fit_units(Units.of(clean_faces(200, length)))
    denoiser.path = replace(Path(steps=5), **path)  # type: ignore[arg-type]
    return denoiser


@given(start=st.floats(0.02, 100), ratio=st.floats(0.001, 0.99), steps=st.integers(2, 40))
def test_levels_fall_from_start_to_end_and_then_to_nothing(start: float, ratio: float, steps: int) -> None:
    denoiser = sampler(start=start, end=start * ratio, steps=steps)
    levels = denoiser._levels().double().numpy()
    assert levels.shape == (steps + 1,)
    assert levels[-1] == 0
    np.testing.assert_allclose(levels[[0, -2]], [start, start * ratio], rtol=1e-5)
    assert (np.diff(levels) <= 1e-6 * start).all()
    # Karras et al. 2022, eq. 5.
    place = np.arange(steps) / (steps - 1)
    expected = (start ** (1 / 7) + place * ((start * ratio) ** (1 / 7) - start ** (1 / 7))) ** 7
    np.testing.assert_allclose(levels[:-1], expected, rtol=1e-5)


@pytest.mark.parametrize("churn", [0.0, 8.0])
def test_the_same_numbers_draw_the_same_face(churn: float) -> None:
    denoiser = sampler(churn=churn)
    assert denoiser.numbers == (10 if churn == 0 else 60)
    values, numbers = normal(3, 10), normal(3, denoiser.numbers, seed=1)
    first = denoiser.denoise(values, numbers)
    assert torch.equal(denoiser.denoise(values, numbers), first)
    other = denoiser.denoise(values, normal(3, denoiser.numbers, seed=2))
    assert (first != other).any(dim=1).all()
    assert (first != denoiser.denoise(values + 0.1, numbers)).any(dim=1).all()


def test_churn_uses_its_numbers_below_its_level_alone() -> None:
    denoiser = sampler(churn=8.0, churn_below=1.0, steps=6)
    values, numbers = normal(2, 10), normal(2, denoiser.numbers, seed=1)
    first, levels = denoiser.denoise(values, numbers), denoiser._levels()
    for step in range(6):
        other = numbers.clone()
        other[:, 10 * (1 + step) : 10 * (2 + step)] += 1
        same = torch.equal(denoiser.denoise(values, other), first)
        assert same == bool(levels[step] > 1.0)


@pytest.mark.parametrize("shape", [None, (3, 9), (2, 10), (3, 11), (30,), (3, 60), (1, 10)])
def test_other_numbers_are_refused(shape: tuple[int, ...] | None) -> None:
    denoiser = sampler()
    numbers = None if shape is None else torch.zeros(shape)
    with pytest.raises(ValueError, match=r"numbers are .*; expected \(3, 10\)"):
        denoiser.denoise(torch.zeros(3, 10), numbers)


def test_conditions() -> None:
    denoiser = sampler(2)
    values, numbers = normal(4, 10), normal(4, 10, seed=1)

    def asked(conditions: list[float] | None, guidance: float = 1.0) -> torch.Tensor:
        denoiser.path = replace(denoiser.path, guidance=guidance)
        return denoiser.denoise(
            values, numbers, None if conditions is None else torch.tensor(conditions).expand(4, 2)
        )  # fmt: skip

    nan = float("nan")
    free = asked(None)
    assert torch.equal(asked([nan, nan]), free)
    # No weight mutes the conditions; 1 leaves them as the network learnt them, and more stresses them.
    assert torch.equal(asked([0.5, nan], 0.0), free)
    plain, stressed, muted = (asked([0.5, nan], weight) for weight in (1.0, 3.0, 0.2))
    assert (plain != free).any(dim=1).all()
    assert (stressed - free).norm() > (plain - free).norm() > (muted - free).norm() > 0
    different = [free, plain, asked([nan, 0.5]), asked([0.5, 0.5]), asked([0.5, 0.0]), asked([-0.5, nan])]
    assert len({answer.detach().numpy().tobytes() for answer in different}) == len(different)
    # Without a condition there is nothing to guide.
    assert torch.equal(asked(None, 5.0), free)


def test_rows_that_ask_for_nothing_are_as_if_nobody_asked() -> None:
    denoiser = sampler(2, guidance=2.0)
    values, numbers = normal(3, 10), normal(3, 10, seed=1)
    conditions = torch.full((3, 2), torch.nan)
    free = denoiser.denoise(values, numbers, conditions)
    conditions[1] = 0.5
    mixed = denoiser.denoise(values, numbers, conditions)
    torch.testing.assert_close(mixed[[0, 2]], free[[0, 2]], rtol=1e-4, atol=1e-5)
    assert (mixed[1] - free[1]).abs().max() > 1e-3


def test_a_sampler_without_conditions_ignores_them() -> None:
    denoiser = sampler(0)
    values, numbers = normal(3, 10), normal(3, 10, seed=1)
    assert torch.equal(denoiser.denoise(values, numbers, torch.ones(3, 2)), denoiser.denoise(values, numbers))


def test_an_untrained_network_shrinks_what_is_noisy() -> None:
    # Its last layer answers 0, which leaves the skip connection: the best for clean faces N(0, 1).
    denoiser = PosteriorSampler(4, hidden=8, blocks=1)
    noisy, level = normal(5, 4).double(), torch.full((1, 1), 2.0).double()
    torch.testing.assert_close(denoiser.double()(noisy, level, None), noisy / 5)


class Exact(PosteriorSampler):
    """For clean faces N(middle, spread²) inside, what the best network would expect."""

    def __init__(self, middle: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__(len(middle), hidden=8, blocks=1)
        self.middle, self.variance = middle, deviation**2

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
        return self.middle + self.variance / (self.variance + level**2) * (noisy - self.middle)


MIDDLE = torch.tensor([0.3, -1.0, 0.0, 2.0], dtype=torch.float64)
DEVIATION = torch.tensor([0.3, 0.8, 1.0, 1.5], dtype=torch.float64)


def gains(denoiser: Exact) -> tuple[torch.Tensor, torch.Tensor]:
    """For an exact denoiser, what becomes of a face's distance to the middle (K,), and of each number (·, K).

    All is linear then: one probe for each.
    """
    length = denoiser.length
    steps = denoiser.numbers // length
    faces = denoiser.middle.repeat(2 + steps, 1)
    faces[1] += 1
    numbers = torch.zeros(2 + steps, steps, length, dtype=torch.float64)
    numbers[torch.arange(steps) + 2, torch.arange(steps)] = 1
    answer = denoiser.denoise(faces, numbers.flatten(1))
    torch.testing.assert_close(answer[0], denoiser.middle, rtol=0, atol=1e-12)
    moved = answer - answer[0]
    return moved[1], moved[2:]


@pytest.mark.parametrize(("start", "end"), [(4.0, 0.4), (10.0, 0.01), (0.5, 0.1)])
def test_a_gaussian_is_sampled_exactly(start: float, end: float) -> None:
    variance = DEVIATION**2
    exact = variance / ((variance + end**2) * (variance + start**2)).sqrt()
    errors = []
    for steps in (20, 40, 80, 160):
        denoiser = Exact(MIDDLE, DEVIATION).double()
        denoiser.path = Path(start=start, end=end, steps=steps)
        of_face, of_numbers = gains(denoiser)
        # The noise is treated as the face is, and is of the level it starts from.
        torch.testing.assert_close(of_numbers[0], start * of_face, rtol=1e-6, atol=0)
        errors.append(float((of_face / exact - 1).abs().max()))
    # Heun's method is of second order.
    assert errors[-1] < 2e-3
    orders = [np.log2(before / after) for before, after in itertools.pairwise(errors)]
    assert 1.8 < orders[-1] < 2.5, (errors, orders)


@pytest.mark.parametrize("churn", [0.0, 20.0])
def test_clean_faces_keep_their_law(churn: float) -> None:
    denoiser = Exact(MIDDLE, DEVIATION).double()
    denoiser.path = Path(start=3.0, end=1e-3, steps=300, churn=churn, churn_below=2.0)
    of_face, of_numbers = gains(denoiser)
    deviation = (of_face**2 * DEVIATION**2 + (of_numbers**2).sum(dim=0)).sqrt()
    torch.testing.assert_close(deviation, DEVIATION, rtol=0.02, atol=0)
    if churn:
        # It forgets what it was started from, and replaces it.
        assert (of_face[0] < 0.1 * DEVIATION[0] / 3) or (of_numbers[1:] ** 2).sum() > (of_numbers[0] ** 2).sum()


def test_samples_of_the_posterior_by_chance() -> None:
    denoiser = Exact(MIDDLE, DEVIATION).double()
    denoiser.path = Path(start=2.0, end=0.05, steps=60)
    face = MIDDLE + torch.tensor([3.0, -2.0, 5.0, 1.0])
    count = 4000
    drawn = denoiser.denoise(face.expand(count, 4), normal(count, 4).double())
    variance = DEVIATION**2
    gain = variance / ((variance + 0.05**2) * (variance + 2.0**2)).sqrt()
    error = 2 * gain / count**0.5
    assert ((drawn.mean(dim=0) - MIDDLE - gain * (face - MIDDLE)).abs() < 5 * error + 0.01 * gain * 5).all()
    torch.testing.assert_close(drawn.std(dim=0), 2 * gain, rtol=0.06, atol=0)


def test_a_clean_face_stays_where_little_noise_is_added() -> None:
    denoiser = Exact(MIDDLE, DEVIATION).double()
    faces = MIDDLE + DEVIATION * normal(50, 4).double()
    for start in (0.1, 0.01, 0.001):
        denoiser.path = Path(start=start, end=start / 2, steps=4)
        moved = denoiser.denoise(faces, normal(50, 4, seed=1).double()) - faces
        assert moved.abs().max() < 5 * start


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_inside_coefficients_are_centred_and_of_unit_spread(power: float) -> None:
    faces = clean_faces(200, 10)
    units = Units.of(faces)
    denoiser = PosteriorSampler(10, hidden=8, blocks=1)
    denoiser.raw_power = power
    denoiser.fit_units(units)
    inside = ((torch.from_numpy(faces.values) - denoiser.mean) * denoiser.scale).double()
    assert inside.mean(dim=0).abs().max() < 1e-5
    assert float(inside.var(dim=0, correction=0).mean()) == pytest.approx(1, rel=1e-5)
    # One number for all, or raw units, or in between.
    ratio = denoiser.scale.double().numpy() / units.raw.astype(np.float64) ** power
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_the_loss_of_a_sampler_is_that_of_karras() -> None:
    # With σ_data = 1 the weight makes an untrained network's loss 1 for clean faces N(0, 1), whatever the level.
    denoiser = PosteriorSampler(6, hidden=8, blocks=1)
    loss = denoiser.loss(normal(20_000, 6), None, torch.Generator().manual_seed(1)).item()
    assert loss == pytest.approx(1, abs=0.02)


def test_training_without_conditions_now_and_then() -> None:
    denoiser, seen = sampler(2), []

    def noted(noisy: torch.Tensor, level: torch.Tensor, asked: torch.Tensor | None) -> torch.Tensor:
        assert asked is not None
        seen.append(asked)
        return noisy

    denoiser.forward = noted  # type: ignore[method-assign]
    known = torch.rand(20_000, 2)
    denoiser.loss(normal(20_000, 10), known, torch.Generator().manual_seed(1))
    dropped = seen[0].isnan()
    assert ((seen[0] == known) | dropped).all()
    share = dropped.double().mean(dim=0)
    assert (share - 0.3).abs().max() < 0.02
    # Each condition by itself.
    assert abs(float(dropped.all(dim=1).double().mean()) - 0.09) < 0.02
