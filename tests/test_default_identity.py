"""Identities of the default face: measurements, eyes, and the components, on the control points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.default.components import SEED, Components, components_for, identity_components, skin_weights
from facegen.morphable.default.draw import Heads, draw_heads, pooled_law
from facegen.morphable.default.identity import (
    LIDS,
    antisymmetric_fields,
    calibrated_points,
    effects_of,
    eyeball_motion,
    read_table,
    symmetric_fields,
)
from facegen.morphable.default.measurements import Measurements
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.people import fit_population

Float = NDArray[np.float64]

NETWORK = read_network()
TABLE = read_table()
MEASURE = Measurements(TABLE["measurements"], NETWORK)
MIDDLE, WITHIN, POOLED = pooled_law(TABLE["measurements"])


@pytest.fixture(scope="module")
def heads() -> Heads:
    return draw_heads(NETWORK, 500, seed=3)


@pytest.fixture(scope="module")
def components() -> Components:
    """Of a head whose skin is its control points, each as heavy as any other."""
    return identity_components(NETWORK, np.eye(2 * NETWORK.count), np.ones(2 * NETWORK.count))


def moved(network: ControlNetwork, displacement: Float) -> Float:
    """Translation of the left eyeball."""
    result: Float = np.einsum("anb,...nb->...a", eyeball_motion(network), displacement)
    return result


def points_of(heads: Heads) -> Float:
    return calibrated_points(NETWORK) + np.einsum("hf,fnc->hnc", heads.symmetric_amounts, heads.symmetric)


def test_the_mean_head_has_the_measurements_of_the_table() -> None:
    np.testing.assert_allclose(MEASURE(calibrated_points(NETWORK)), MIDDLE, atol=1e-6)


def test_measurements_are_what_a_calliper_finds() -> None:
    values = dict(zip(MEASURE.names, MEASURE(NETWORK.points), strict=True))
    at = {name: NETWORK.points[row] for name, row in NETWORK.names.items()}
    assert values["zy"] == pytest.approx(2 * at["zygion"][0])
    assert values["tg"] == pytest.approx(np.linalg.norm(at["tragion"] - at["glabella"]))
    assert values["lssto"] == pytest.approx(at["labiale_superius"][1] - at["stomion_upper"][1])


def test_drawn_heads_spread_as_the_table_says(heads: Heads) -> None:
    measured = MEASURE(points_of(heads))
    assert (np.abs(measured.mean(axis=0) - MIDDLE) < 0.15 * POOLED).all()
    ratio = measured.std(axis=0) / POOLED
    assert ratio.min() > 0.85, ratio
    assert ratio.max() < 1.15, ratio


def test_men_are_larger_than_women(heads: Heads) -> None:
    measured, man = MEASURE(points_of(heads)), heads.attributes.sex > 0
    for name in ("zy", "go", "nsn", "tgn", "stogn"):
        column = measured[:, MEASURE.names.index(name)]
        assert column[man].mean() > column[~man].mean()


def test_heads_repeat_and_differ_by_seed(heads: Heads) -> None:
    again = draw_heads(NETWORK, 500, seed=3)
    np.testing.assert_array_equal(heads.symmetric_amounts, again.symmetric_amounts)
    assert (heads.symmetric_amounts != draw_heads(NETWORK, 500, seed=4).symmetric_amounts).all(axis=0).any()


@pytest.mark.parametrize("kind", ["symmetric", "antisymmetric"])
def test_every_field_keeps_the_lids_on_the_eyeball(kind: str, heads: Heads) -> None:
    fields = heads.symmetric if kind == "symmetric" else heads.antisymmetric
    lids = NETWORK.rows(*LIDS)
    away = NETWORK.points[lids] - NETWORK.eyeball.centre
    # Only those near the eyeball: its corners stand off it.
    near = np.linalg.norm(away, axis=1) < NETWORK.eyeball.radius + 1.75
    outward = away / np.linalg.norm(away, axis=1, keepdims=True)
    relative = fields[:, lids] - moved(NETWORK, fields)[:, None]
    sinking = -(relative * outward).sum(axis=2)[:, near]
    # Standard deviations are at most a millimetre or two, and a lid floats 0.7 mm above the eyeball.
    assert np.abs(sinking).max() < 0.3


def test_drawn_lids_float_above_the_eyeball(heads: Heads) -> None:
    points = points_of(heads)
    lids = NETWORK.rows(*LIDS)
    centre = NETWORK.eyeball.centre + moved(NETWORK, points - NETWORK.points)
    before = np.linalg.norm(NETWORK.points[lids] - NETWORK.eyeball.centre, axis=1)
    change = np.linalg.norm(points[:, lids] - centre[:, None], axis=2) - before
    assert np.percentile(change, 1) > -0.4


def test_the_eyeball_follows_translations_and_not_the_lids() -> None:
    shift = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(moved(NETWORK, np.tile(shift, (NETWORK.count, 1))), shift, atol=1e-9)
    fields = symmetric_fields(NETWORK)
    for name in ("ps", "ex", "canthal_tilt", "lid_arch", "lower_lid", "lid_fold", "eye_bags"):
        np.testing.assert_allclose(moved(NETWORK, fields[name]), 0, atol=1e-9)
    np.testing.assert_allclose(moved(NETWORK, fields["en"]), (0.5, 0, 0), atol=1e-9)


def test_fields_keep_halves_together() -> None:
    middle = NETWORK.points[:, 0] == 0
    for name, field in symmetric_fields(NETWORK).items():
        assert np.isfinite(field).all()
        assert np.abs(field).max() > 0.1, name
        assert (field[middle, 0] == 0).all(), name
    for name, field in antisymmetric_fields(NETWORK).items():
        assert (field[middle, 1:] == 0).all(), name


def test_fields_move_coincident_points_alike() -> None:
    _, group = np.unique(NETWORK.points.round(6), axis=0, return_inverse=True)
    for fields in (symmetric_fields(NETWORK), antisymmetric_fields(NETWORK)):
        for name, field in fields.items():
            for g in np.flatnonzero(np.bincount(group.ravel()) > 1):
                same = field[group.ravel() == g]
                np.testing.assert_allclose(same, same[:1].repeat(len(same), axis=0), atol=1e-12, err_msg=name)


def test_the_tables_name_fields_that_exist() -> None:
    fields, uneven = set(symmetric_fields(NETWORK)), set(antisymmetric_fields(NETWORK))
    assert set(TABLE["free"]) | set(TABLE["measurements"]) == fields
    assert set(TABLE["asymmetry"]) == uneven
    assert set(TABLE["mean"]) <= fields
    with pytest.raises(KeyError, match="nonsense"):
        effects_of({"nonsense": 1.0}, ("zy",))


def test_components_are_standardised_and_ordered(components: Components) -> None:
    assert components.names[0] == "identity_1"
    assert components.names[59:61] == ("identity_60", "asymmetry_1")
    assert components.displacement.shape == (68, 2, NETWORK.count, 3)
    np.testing.assert_allclose(components.coefficients.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(components.coefficients.std(axis=0), 1, atol=1e-9)
    correlation = np.corrcoef(components.coefficients[:, :60], rowvar=False)
    np.testing.assert_allclose(correlation, np.eye(60), atol=1e-6)
    left, right = components.displacement[:, 0], components.displacement[:, 1]
    np.testing.assert_array_equal(left[:60], right[:60])
    np.testing.assert_array_equal(left[60:], -right[60:])


def test_components_hold_the_measurements_spread(components: Components) -> None:
    shape = np.tensordot(components.coefficients[:, :60], components.displacement[:60, 0], 1)
    ratio = MEASURE(calibrated_points(NETWORK) + components.mean + shape).std(axis=0) / POOLED
    assert ratio.min() > 0.8, ratio
    assert ratio.max() < 1.2, ratio
    assert np.abs(components.mean).max() < 1.5
    assert components.variance.sum() > 0.95
    assert components_for(components.variance, 0.9) < 20


def test_components_hold_the_small_features(components: Components) -> None:
    """Folds and lids are little skin: plain principal components would lose them."""
    heads = draw_heads(NETWORK, len(components.coefficients), SEED)
    amounts = heads.symmetric_amounts[:, heads.free]
    standard = (amounts - amounts.mean(axis=0)) / amounts.std(axis=0)
    explained = ((components.coefficients[:, :60].T @ standard / len(standard)) ** 2).sum(axis=0)
    assert explained.min() > 0.6


def test_components_have_a_fixed_sign(components: Components) -> None:
    flat = components.displacement[:, 0].reshape(68, -1)
    assert (flat[np.arange(68), np.abs(flat).argmax(axis=1)] > 0).all()


def test_the_population_is_that_of_the_draws(components: Components) -> None:
    population = fit_population(components)
    draws = [population.draw(np.random.Generator(np.random.Philox(key=[1, n]))) for n in range(3000)]
    identity = np.stack([draw.identity for draw in draws])
    assert np.abs(identity.mean(axis=0)).max() < 0.12
    assert np.abs(identity.std(axis=0) - 1).max() < 0.12
    albedo = np.stack([draw.albedo for draw in draws])
    by_name = dict(zip(population.albedo_names, albedo.T, strict=True))
    sex = np.array([draw.attributes.sex for draw in draws])
    age = np.array([draw.attributes.age for draw in draws])
    for name, column in by_name.items():
        assert abs(column.mean()) < 0.45, name
        assert 0.7 < column.std() < 1.4, name
    # Women have no beard: as little of it as there is.
    assert np.percentile(by_name["stubble"][sex < -0.5], 95) == by_name["stubble"].min()
    assert by_name["stubble"][sex > 0.8].max() > 1.5
    assert by_name["lash_line"][sex < -0.9].mean() == pytest.approx(1, abs=0.15)
    assert np.corrcoef(by_name["wrinkles"], age)[0, 1] > 0.8
    assert by_name["grey_hair"][age < 25].mean() < -1 < 1 < by_name["grey_hair"][age > 65].mean()


def test_skin_weighs_most_at_the_eyes() -> None:
    points = NETWORK.mirrored(NETWORK.points)
    eye, back = NETWORK.names["endocanthion"], NETWORK.names["opisthocranion"]
    triangles = np.array([[eye, eye + 1, eye + 2], [back, back + 1, back + 2]])
    vertices = points.copy()
    # Triangles of one size, so that only the place matters.
    for corner in (eye, back):
        vertices[corner + 1], vertices[corner + 2] = vertices[corner] + (1, 0, 0), vertices[corner] + (0, 1, 0)
    weights = skin_weights(NETWORK, vertices, triangles)
    assert weights[eye] > 5 * weights[back] > 0
