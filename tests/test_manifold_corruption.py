"""The corruption of the manifold paper, by the paper's own figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facegen.manifold.apply import corrupted_pairs, squared_error
from facegen.manifold.corruption import NOISE_RATIO, Corruption, raw_unit
from facegen.manifold.denoiser import Units
from facegen.morphable.coefficients import Group
from facegen.morphable.model import MorphableModel
from facegen.morphable.people import draw_people
from facegen.tests.clean_faces import clean_faces

# Of each: K, total variance of the Gaussian model (Table I), noise, what the networks divide by, and MSE.
PAPER: dict[Group, tuple[int, float, float, float, float]] = {
    "identity": (199, 1.87e12, 500_000, 1e5, 12.57),
    "expression": (29, 2.48, 2, 1, 2.07),
}
GROUPS: tuple[Group, ...] = ("identity", "expression")
COUNT = 60_000


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("group", GROUPS)
def test_the_error_of_the_papers_corrupted_faces(group: Group) -> None:
    length, _, noise, scale, expected = PAPER[group]
    corruption = Corruption(noise / scale)
    assert corruption.expected_mse(length) == pytest.approx((noise / scale) ** 2 * (length + 1) / (2 * length))
    assert corruption.expected_mse(length) == pytest.approx(expected, rel=0.01)
    clean = torch.randn(COUNT // 4, length, generator=seeded(1), dtype=torch.float64)
    measured = float(((corruption(clean, seeded()) - clean) ** 2).mean())
    assert measured == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("group", GROUPS)
def test_the_noise_relative_to_the_model(group: Group) -> None:
    length, variance, noise, _, _ = PAPER[group]
    assert NOISE_RATIO[group] == round(noise / np.sqrt(variance / length), 1)


@pytest.mark.parametrize("length", [1, 2, 29, 199])
def test_how_many_change_is_uniform_and_which_is_chance(length: int) -> None:
    clean = torch.zeros(COUNT // 3, length)
    changed = (Corruption(1.0)(clean, seeded()) != 0).numpy()
    count = changed.sum(axis=1)
    assert set(count) == set(range(1, length + 1))
    frequency = np.bincount(count, minlength=length + 1)[1:]
    expected = len(clean) / length
    # Pearson's statistic within six of its standard deviations.
    assert ((frequency - expected) ** 2 / expected).sum() < length - 1 + 6 * np.sqrt(2 * length)
    share, chance = changed.mean(axis=0), (length + 1) / (2 * length)
    assert np.abs(share - chance).max() < 5.5 * np.sqrt(0.25 / len(clean))
    if length > 2:
        # Given how many, every pair is as likely as any other: neighbours are not preferred.
        half = changed[count == length // 2]
        together = (half[:, :-1] & half[:, 1:]).mean()
        assert together == pytest.approx((length // 2) * (length // 2 - 1) / (length * (length - 1)), abs=0.01)


@given(length=st.integers(1, 60), noise=st.floats(0.01, 1e6), seed=st.integers(0, 2**63 - 1))
def test_coefficients_that_are_not_chosen_keep_every_bit(length: int, noise: float, seed: int) -> None:
    clean = torch.randn(8, length, generator=seeded(1)) * 1e-3
    corrupted = Corruption(noise)(clean, seeded(seed))
    assert corrupted.dtype == torch.float32
    assert corrupted.shape == clean.shape
    # The same draws for other faces show which are chosen.
    chosen = Corruption(noise)(torch.zeros_like(clean), seeded(seed)) != 0
    assert ((chosen.sum(dim=1) >= 1) & (chosen.sum(dim=1) <= length)).all()
    assert (corrupted.view(torch.int32) == clean.view(torch.int32))[~chosen].all()
    assert torch.equal(Corruption(noise)(clean, seeded(seed)), corrupted)


def test_the_noise_is_normal_and_the_same_for_every_coefficient() -> None:
    clean = torch.zeros(COUNT, 16)
    noise = Corruption(5.2)(clean, seeded()).double().numpy()
    drawn = noise[noise != 0] / 5.2
    error = 5 / np.sqrt(len(drawn))
    assert abs(drawn.mean()) < error
    assert abs((drawn**2).mean() - 1) < np.sqrt(2) * error
    assert abs((drawn**4).mean() - 3) < np.sqrt(96) * error
    deviation = np.array([column[column != 0].std() for column in noise.T])
    assert np.abs(deviation / 5.2 - 1).max() < 5 / np.sqrt(2 * COUNT / 2)


def test_raw_units_of_identities_are_what_moves_the_vertices(head: MorphableModel) -> None:
    faces = draw_people(head, 100, 0)
    norm = np.sqrt((head.identity_basis.astype(np.float64) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(faces.deviation, norm, rtol=1e-6)
    assert raw_unit(faces) == pytest.approx(np.sqrt((norm**2).mean()), rel=1e-6)
    units = Units.of(faces)
    np.testing.assert_allclose(units.raw, norm / np.sqrt((norm**2).mean()), rtol=1e-6)
    assert (units.raw.astype(np.float64) ** 2).mean() == pytest.approx(1, rel=1e-6)
    assert units.noise == 5.2
    # So the noise is 5.2 times the root mean square deviation of raw coefficients.
    assert units.corruption == Corruption(5.2)


def test_raw_units_of_weights_are_the_spread_of_clean_faces() -> None:
    faces = clean_faces(500, 24, "expression")
    spread = faces.values.astype(np.float64).std(axis=0)
    root = np.sqrt((spread**2).mean())
    assert raw_unit(faces) == pytest.approx(root, rel=1e-5)
    units = Units.of(faces)
    np.testing.assert_allclose(units.raw, 1 / root, rtol=1e-5)
    np.testing.assert_allclose(units.spread, spread, rtol=1e-5)
    np.testing.assert_allclose(units.mean, faces.values.mean(axis=0), rtol=1e-5)
    assert units.noise == 6.8
    assert units.bounds == (0, 1)


@pytest.mark.parametrize("group", GROUPS)
def test_pairs_to_test_on(group: Group) -> None:
    faces = clean_faces(300, 24, group)
    units = Units.of(faces)
    clean, corrupted = corrupted_pairs(faces, units, units.noise, 0)
    assert clean.shape == corrupted.shape == (4096, 24)
    # Every face is there about as often.
    row = {face.tobytes(): number for number, face in enumerate(faces.values)}
    times = np.bincount([row[face.tobytes()] for face in clean], minlength=300)
    assert set(times) <= {13, 14}
    expected = units.corruption.expected_mse(24)
    assert squared_error(corrupted, clean, units) == pytest.approx(expected, rel=0.03)
    assert squared_error(clean, clean, units) == 0
    difference = ((corrupted.astype(np.float64) - clean) * units.raw) ** 2
    assert squared_error(corrupted, clean, units) == pytest.approx(difference.mean(), rel=1e-12)
    again = corrupted_pairs(faces, units, units.noise, 0)[1]
    assert again.tobytes() == corrupted.tobytes()
    assert corrupted_pairs(faces, units, units.noise, 1)[1].tobytes() != corrupted.tobytes()
