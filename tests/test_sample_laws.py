"""Laws of distribution, random streams and grids, by their own definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from facegen.errors import ConfigurationError
from facegen.randomness import generator
from facegen.stages.laws import Component, Constant, Gaussian, Mixture, ScalarLaw, Uniform
from facegen.stages.sample.config import GridAxis, IrisColour
from facegen.stages.sample.grid import Grid
from facegen.stages.sample.iris import iris_colour

COUNT = 40_000


def draw(law: Uniform | Gaussian | Constant | Mixture, count: int = COUNT, seed: int = 5) -> NDArray[np.float64]:
    return law.draw(np.random.Generator(np.random.Philox(key=seed)), count)


def assert_moments(numbers: NDArray[np.float64], mean: float, sigma: float, kurtosis: float) -> None:
    """Mean and standard deviation within five standard errors."""
    assert abs(numbers.mean() - mean) < 5 * sigma / np.sqrt(len(numbers))
    assert abs(numbers.std() / sigma - 1) < 5 * np.sqrt((kurtosis - 1) / 4 / len(numbers))


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [(Uniform(low=-3, high=7), -3, 7), (Uniform(width=1.6), -1.6, 1.6), (Uniform(low=2, high=2.5), 2, 2.5)],
)
def test_uniform(law: Uniform, low: float, high: float) -> None:
    numbers = draw(law)
    assert numbers.min() >= low
    assert numbers.max() < high
    assert_moments(numbers, (low + high) / 2, (high - low) / np.sqrt(12), 1.8)
    # Kolmogorov-Smirnov at a level of 1e-6.
    distance = np.abs((np.sort(numbers) - low) / (high - low) - (np.arange(COUNT) + 0.5) / COUNT).max()
    assert distance < 2.7 / np.sqrt(COUNT)


def test_uniform_of_no_width() -> None:
    assert (draw(Uniform(low=4, high=4), 10) == 4).all()
    assert (draw(Uniform(width=0), 10) == 0).all()


def test_gaussian() -> None:
    numbers = draw(Gaussian(mean=2, sigma=3))
    assert_moments(numbers, 2, 3, 3)
    z = (numbers - 2) / 3
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / COUNT)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / COUNT)
    assert (draw(Gaussian(mean=2, sigma=0), 5) == 2).all()


def test_constant_draws_nothing() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    before = rng.bit_generator.state
    assert Constant(value=-2.5).draw(rng, 3).tolist() == [-2.5] * 3
    np.testing.assert_equal(rng.bit_generator.state, before)


def test_mixture_per_coefficient() -> None:
    parts = (Component(weight=3, law=Constant(value=0)), Component(weight=1, law=Uniform(low=5, high=7)))
    numbers = draw(Mixture(components=parts))
    second = numbers != 0
    assert abs(second.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / COUNT)
    assert numbers[second].min() >= 5
    assert_moments(numbers[second], 6, 2 / np.sqrt(12), 1.8)
    # Neighbours choose independently.
    assert abs(np.corrcoef(second[:-1], second[1:])[0, 1]) < 5 / np.sqrt(COUNT)


def test_mixture_per_face() -> None:
    law = Mixture(
        components=(Component(weight=1, law=Constant(value=0)), Component(weight=1, law=Gaussian(mean=50))), per="face"
    )
    faces = np.stack([draw(law, 8, seed) for seed in range(400)])
    zero = (faces == 0).all(axis=1)
    assert ((faces > 40).all(axis=1) | zero).all()
    assert abs(zero.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


laws = st.recursive(
    st.builds(lambda low, span: Uniform(low=low, high=low + span), st.floats(-9, 9), st.floats(0, 9))
    | st.builds(Gaussian, mean=st.floats(-9, 9), sigma=st.floats(0, 9))
    | st.builds(Constant, value=st.floats(-9, 9)),
    lambda simple: st.builds(
        Mixture,
        components=st.lists(st.builds(Component, weight=st.floats(0.01, 9), law=simple), min_size=1, max_size=3),
        per=st.sampled_from(["coefficient", "face"]),
    ),
    max_leaves=1,
)


@given(law=laws, count=st.integers(0, 20), seed=st.integers(0, 99))
def test_a_law_draws_the_same_again_and_reads_back(
    law: Uniform | Gaussian | Constant | Mixture, count: int, seed: int
) -> None:
    numbers = draw(law, count, seed)
    assert numbers.shape == (count,)
    assert np.isfinite(numbers).all()
    again: Uniform | Gaussian | Constant | Mixture = TypeAdapter(ScalarLaw).validate_python(law.model_dump())
    np.testing.assert_array_equal(draw(again, count, seed), numbers)


def numbers_of(seed: int, stage: str, group: str, face: int) -> list[int]:
    return generator(seed, stage, group, face).integers(0, 2**63, 4).tolist()


streams = st.tuples(
    st.integers(0, 2**64 - 1),
    st.sampled_from(["sample", "x"]),
    st.sampled_from(["pose", "light"]),
    st.integers(0, 10**10),
)


@given(a=streams, b=streams)
def test_streams_are_the_same_exactly_where_their_names_are(
    a: tuple[int, str, str, int], b: tuple[int, str, str, int]
) -> None:
    assert (numbers_of(*a) == numbers_of(*b)) == (a == b)
    assert numbers_of(*a) == numbers_of(*a)


def test_streams_of_neighbouring_faces_do_not_overlap() -> None:
    drawn = np.concatenate([generator(0, "sample", "pose", face).integers(0, 2**63, 2000) for face in range(20)])
    assert len(np.unique(drawn)) == len(drawn)
    uniform = np.stack([generator(0, "sample", "pose", face).random(2000) for face in range(20)])
    correlation = np.corrcoef(uniform) - np.eye(20)
    assert np.abs(correlation).max() < 6 / np.sqrt(2000)


axes = st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=4), max_size=4)


@given(values=axes, first=st.integers(0, 200))
def test_a_grid_is_the_cartesian_product_and_its_last_axis_runs_fastest(values: list[list[float]], first: int) -> None:
    names = [f"p{number}" for number in range(len(values))]
    grid = Grid(tuple(GridAxis(parameter=n, values=tuple(v)) for n, v in zip(names, values, strict=True)), names)
    product = list(itertools.product(*values))
    assert grid.cells == len(product)
    faces = np.arange(first, first + 2 * len(product))
    found = grid.values(faces)
    assert found.keys() == set(names)
    for row, face in enumerate(faces):
        assert tuple(found[name][row] for name in names) == product[face % len(product)]


def axis(parameter: str, count: int = 1) -> GridAxis:
    return GridAxis(parameter=parameter, values=(0.0,) * count)


def test_grids_that_are_refused() -> None:
    known = ["pose.yaw", "pose.pitch"]
    with pytest.raises(
        ConfigurationError, match=r"sample.grid.1: unknown parameter 'pose.yow'; did you mean 'pose.yaw'"
    ):
        Grid((axis("pose.pitch"), axis("pose.yow")), known)
    with pytest.raises(ConfigurationError, match=r"sample.grid.1: 'pose.yaw' is swept twice"):
        Grid((axis("pose.yaw"), axis("pose.yaw")), known)
    with pytest.raises(ConfigurationError, match=r"sample.grid: 1\.0e\+16 cells, at most 1e\+12"):
        Grid(tuple(axis(f"p{n}", 10_000) for n in range(4)), [f"p{n}" for n in range(4)])


def test_iris_colours_follow_their_frequencies() -> None:
    frequencies: dict[IrisColour, float] = {"brown": 3, "blue": 1, "green": 0}
    colours = np.array([iris_colour(frequencies, generator(0, "sample", "iris", n)) for n in range(2000)])
    assert (colours > 0).all()
    # Red outweighs blue in brown irises and nowhere else here.
    brown = (colours[:, 0] > colours[:, 2]).mean()
    assert abs(brown - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 2000)
    green = (colours[:, 1] > colours[:, 0]) & (colours[:, 1] > colours[:, 2])
    assert green.mean() < 0.02
