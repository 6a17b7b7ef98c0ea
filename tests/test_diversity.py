"""Likeness and total variance, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.evaluation.diversity import K, Likeness, likeness, total_variance
from facegen.manifold import neighbours
from facegen.manifold.neighbours import neighbour_distance

Float = NDArray[np.float64]


def points(count: int, dimensions: int, seed: int, shift: float = 0.0) -> Float:
    return np.random.default_rng(seed).normal(shift, 1, (count, dimensions))


def distances(one: Float, other: Float) -> Float:
    distance: Float = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))
    return distance


def oracle(fake: Float, real: Float, k: int) -> Likeness:
    """Loops over Naeem et al. 2020, eqs. 1 to 4."""
    reach_fake, reach_real = (np.sort(distances(one, one), axis=1)[:, k] for one in (fake, real))
    apart = distances(real, fake)
    precise = [any(apart[i, j] <= reach_real[i] for i in range(len(real))) for j in range(len(fake))]
    recalled = [any(apart[i, j] <= reach_fake[j] for j in range(len(fake))) for i in range(len(real))]
    balls = [sum(apart[i, j] <= reach_real[i] for i in range(len(real))) for j in range(len(fake))]
    covered = [any(apart[i, j] <= reach_real[i] for j in range(len(fake))) for i in range(len(real))]
    return Likeness(
        float(np.mean(precise)), float(np.mean(recalled)), float(np.mean(balls)) / k, float(np.mean(covered))
    )


@settings(max_examples=60, deadline=None)
@given(
    counts=st.tuples(st.integers(8, 30), st.integers(8, 30)),
    dimensions=st.integers(1, 6),
    k=st.integers(1, 7),
    seed=st.integers(0, 999),
    shift=st.floats(0, 3),
    wide=st.floats(0.1, 4),
)
def test_it_is_what_the_papers_define(
    counts: tuple[int, int], dimensions: int, k: int, seed: int, shift: float, wide: float
) -> None:
    fake, real = points(counts[0], dimensions, seed, shift) * wide, points(counts[1], dimensions, seed + 1000)
    found, expected = likeness(fake, real, k), oracle(fake, real, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12), name


@pytest.mark.parametrize("count", [6, 100, neighbours.BLOCK + 37])
def test_a_set_is_like_itself(count: int) -> None:
    own = points(count, 4, 0)
    found = likeness(own, own)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # A ball holds its middle and k others.
    assert found.density == pytest.approx((K + 1) / K)
    shuffled = likeness(own[::-1].copy(), own)
    assert (shuffled.precision, shuffled.recall, shuffled.coverage) == (1, 1, 1)


def test_points_that_coincide_are_like_themselves() -> None:
    own = np.repeat(points(3, 5, 0, shift=7), 40, axis=0)
    found = likeness(own, own)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_sets_far_apart_are_not_alike() -> None:
    assert likeness(points(50, 3, 0), points(60, 3, 1, shift=100)) == Likeness(0, 0, 0, 0)


def test_a_wide_set_recalls_and_a_narrow_one_is_precise() -> None:
    real = points(300, 3, 0)
    narrow, wide = likeness(0.2 * points(300, 3, 1), real), likeness(4 * points(300, 3, 1), real)
    assert narrow.precision == 1
    assert narrow.recall < 0.2
    assert wide.recall > 0.95
    assert wide.precision < 0.4


def test_it_does_not_depend_on_blocks_order_or_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, real = points(90, 4, 0), points(70, 4, 1)
    expected = likeness(fake, real)
    assert likeness(fake[::-1].copy(), real[::-1].copy()) == expected
    assert likeness(fake * 8, real * 8) == expected
    monkeypatch.setattr("facegen.manifold.neighbours.BLOCK", 16)
    monkeypatch.setattr("facegen.evaluation.diversity.BLOCK", 16)
    assert likeness(fake, real) == expected


def test_a_set_needs_neighbours() -> None:
    few, many = points(5, 3, 0), points(20, 3, 1)
    for one, other in ((few, many), (many, few)):
        with pytest.raises(ValueError, match="5 points have no 5-th neighbour"):
            likeness(one, other)


@given(count=st.integers(2, 40), k=st.integers(1, 5), seed=st.integers(0, 99))
def test_distance_to_a_neighbour(count: int, k: int, seed: int) -> None:
    own = points(count, 3, seed)
    if count <= k:
        with pytest.raises(ValueError, match=f"{count} points have no {k}-th neighbour"):
            neighbour_distance(torch.from_numpy(own), k)
        return
    found = neighbour_distance(torch.from_numpy(own), k).numpy()
    np.testing.assert_allclose(found, np.sort(distances(own, own), axis=1)[:, k], rtol=1e-6, atol=1e-6)


@given(count=st.integers(2, 30), length=st.integers(2, 9), seed=st.integers(0, 99), scale=st.floats(0.01, 1e6))
def test_total_variance_is_the_trace_of_the_covariance(count: int, length: int, seed: int, scale: float) -> None:
    values = points(count, length, seed, shift=3).astype(np.float32)
    deviation = np.random.default_rng(seed).uniform(0.5, 2, length)
    raw = values.astype(np.float64) * deviation
    found = total_variance(values, deviation)
    assert found == pytest.approx(np.trace(np.cov(raw, rowvar=False)), rel=1e-9)
    assert total_variance(values, deviation * scale) == pytest.approx(found * scale**2, rel=1e-9)
    assert total_variance(values + np.float32(1), deviation) == pytest.approx(found, rel=1e-4)
    assert total_variance(np.repeat(values[:1], 3, axis=0), deviation) < 1e-24
