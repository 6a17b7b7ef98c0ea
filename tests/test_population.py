"""The joint law of people, and the sample stage that draws from it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from facegen.errors import ConfigurationError
from facegen.morphable.model import MorphableModel
from facegen.morphable.population import AttributeLaw, Attributes, Population
from facegen.settings import validate
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler


def law() -> AttributeLaw:
    return AttributeLaw(0.35, np.array([18.0, 80.0, 1.2, 1.8]), np.array([42.0, 45.0, 25.0]), np.array([0.5, 0.5]))


def population(identity: int = 4, albedo: int = 3) -> Population:
    """Two ancestries; sex moves the first coefficients, age the second, ancestry the iris."""
    identity_map, albedo_map = np.zeros((identity, 6)), np.zeros((albedo, 6))
    identity_map[0, 1] = albedo_map[0, 1] = 0.8
    identity_map[1, 2] = albedo_map[1, 2] = 0.5
    return Population(
        ancestries=("a", "b"),
        albedo_names=tuple(f"colour_{k}" for k in range(albedo)),
        iris_names=("brown", "blue"),
        attributes=law(),
        identity_map=identity_map,
        identity_factor=0.5 * np.eye(identity),
        albedo_map=albedo_map,
        albedo_spread=np.full(albedo, 0.4),
        albedo_bounds=np.tile([-1.0, 2.0], (albedo, 1)),
        iris_colours=np.array([[0.06, 0.03, 0.01], [0.1, 0.16, 0.23]]),
        iris_frequencies=np.array([[1.0, 0.0], [0.0, 1.0]]),
    )


def test_attributes_follow_their_law() -> None:
    drawn = law().draw(np.random.default_rng(0), 20000)
    assert (np.abs(drawn.sex) <= 1).all()
    assert (np.abs(drawn.sex) > 0.5).mean() > 0.8
    assert abs((drawn.sex > 0).mean() - 0.5) < 0.02
    assert 18 <= drawn.age.min() < 20
    assert 75 < drawn.age.max() <= 80
    np.testing.assert_allclose(drawn.ancestry.sum(axis=1), 1)
    assert np.abs(law().terms(drawn).mean(axis=0)).max() < 0.05


def test_coefficients_follow_attributes() -> None:
    people = [population().draw(np.random.default_rng(n)) for n in range(2000)]
    sex = np.array([person.attributes.sex for person in people])
    identity = np.stack([person.identity for person in people])
    assert np.corrcoef(sex, identity[:, 0])[0, 1] > 0.7
    assert abs(np.corrcoef(sex, identity[:, 2])[0, 1]) < 0.1
    albedo = np.stack([person.albedo for person in people])
    assert albedo.min() >= -1
    assert albedo.max() <= 2
    blue = np.array([person.iris[2] > person.iris[0] for person in people])
    share = np.array([person.attributes.ancestry[1] for person in people])
    assert share[blue].mean() > 0.6 > 0.4 > share[~blue].mean()


def test_limits_tie_coefficients_of_one_person() -> None:
    # The second is at least 0.5 + the first, the third at most minus the second.
    tied = replace(population(), albedo_limits=np.array([[1, 0, 1, 0.5, 1.0], [2, 1, -1, 0.0, -1.0]]))
    free = population()
    for n in range(300):
        before, after = (law.draw(np.random.default_rng(n)).albedo for law in (free, tied))
        assert after[0] == before[0]
        assert after[1] == pytest.approx(max(before[1], min(0.5 + before[0], 2.0)))
        assert after[2] == pytest.approx(min(before[2], max(-after[1], -1.0)))


def test_colours_of_eyes_rare_in_an_ancestry_are_rare_in_its_mixtures() -> None:
    mixed = Attributes(np.array(0.0), np.array(30.0), np.array([0.5, 0.5]))
    blended = replace(population(), iris_frequencies=np.array([[0.99, 0.01], [0.4, 0.6]]))
    irises = np.stack([blended.draw(np.random.default_rng(n), mixed).iris for n in range(500)])
    # The mean of the frequencies would be 0.3.
    assert 0.05 < (irises[:, 2] > irises[:, 0]).mean() < 0.2


def test_attributes_can_be_given() -> None:
    woman = Attributes(np.array(-1.0), np.array(30.0), np.array([1.0, 0.0]))
    person = population().draw(np.random.default_rng(0), woman)
    assert person.attributes is woman
    assert woman.caption() == "woman, 30"
    identity, albedo = population().expected(woman)
    assert identity[0] == pytest.approx(-0.8)
    assert albedo.shape == (3,)


def test_draws_repeat() -> None:
    one, two = (population().draw(np.random.default_rng(5)) for _ in range(2))
    for name in ("identity", "albedo", "iris"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_arrays_hold_it_whole() -> None:
    before = population()
    arrays = before.to_arrays()
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays.values())
    after = Population.from_arrays(arrays)
    for field in fields(Population):
        if field.name == "attributes":
            for part in fields(AttributeLaw):
                np.testing.assert_array_equal(
                    getattr(before.attributes, part.name), getattr(after.attributes, part.name)
                )
        else:
            np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name), err_msg=field.name)


def test_it_tells_of_itself() -> None:
    values = population().describe()
    assert json.loads(json.dumps(values)) == values
    assert values["albedo"]["colour_0"]["sex"] == 0.8
    for word in ("colour_2", "18 … 80", "brown"):
        assert word in values["text"]


PEOPLE = {"identity": {"law": "population"}, "albedo": {"law": "population"}, "iris": "population"}


def sampler(model: MorphableModel, **config: object) -> Sampler:
    return Sampler(validate(SampleConfig, config, source="test"), model, 32, 32, seed=1)


@pytest.fixture(scope="module")
def peopled(head: MorphableModel) -> MorphableModel:
    return replace(head, population=population(len(head.identity_names), len(head.albedo_names)))


def test_identity_albedo_and_iris_are_of_one_person(peopled: MorphableModel) -> None:
    samples = sampler(peopled, **PEOPLE, images_per_identity=2).draw(np.arange(400))
    for values in (samples.identity, samples.albedo, samples.iris_colour):
        np.testing.assert_array_equal(values[::2], values[1::2])
        assert len(np.unique(values, axis=0)) == 200
    # Both depend on sex, so they go together only in the same person.
    assert np.corrcoef(samples.identity[:, 0], samples.albedo[:, 0])[0, 1] > 0.5


def test_one_of_them_can_come_from_the_population_alone(peopled: MorphableModel) -> None:
    everything = sampler(peopled, **PEOPLE).draw(np.arange(6))
    plain = sampler(peopled).draw(np.arange(6))
    for name, field in (("identity", "identity"), ("albedo", "albedo"), ("iris", "iris_colour")):
        alone = sampler(peopled, **{name: PEOPLE[name]}).draw(np.arange(6))
        for other in ("identity", "albedo", "iris_colour", "pose"):
            expected = everything if other == field else plain
            np.testing.assert_array_equal(getattr(alone, other), getattr(expected, other), err_msg=f"{name}: {other}")


def test_a_person_is_the_same_in_whatever_batch(peopled: MorphableModel) -> None:
    stage = sampler(peopled, **PEOPLE)
    whole = stage.draw(np.arange(8))
    for faces in (np.array([5]), np.array([7, 0, 3])):
        np.testing.assert_array_equal(stage.draw(faces).identity, whole.identity[faces])


@pytest.mark.parametrize("name", PEOPLE)
def test_a_model_without_people_is_refused(head: MorphableModel, name: str) -> None:
    with pytest.raises(ConfigurationError, match="has no population") as caught:
        sampler(replace(head, population=None), **{name: PEOPLE[name]})
    assert "\n" not in str(caught.value)


def test_only_people_are_drawn_from_a_population() -> None:
    with pytest.raises(ConfigurationError, match="'population' is none of"):
        validate(SampleConfig, {"pose": {"yaw": {"law": "population"}}}, source="test")
    with pytest.raises(ConfigurationError, match="iris"):
        validate(SampleConfig, {"iris": "village"}, source="test")
