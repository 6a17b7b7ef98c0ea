"""The parts of a face: a partition, symmetric, named, local; and the measures of it against hand computation."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.composition.hierarchy import Hierarchy, Step, build
from facegen.composition.parts import (
    OUTSIDE,
    POCKETS,
    REST,
    Parts,
    PartsConfig,
    blend_locality,
    find_parts,
    hoyer_sparsity,
    overlap,
    whole,
)
from facegen.errors import MissingDependencyError, ModelError
from facegen.tests.autoencoders import Studio

Float = NDArray[np.float64]

CONFIGS = {
    "as it comes": PartsConfig(),
    "not joined": PartsConfig(locality=0),
    "sides apart": PartsConfig(sides="apart"),
    "whole head": PartsConfig(crop=False),
    "not aligned": PartsConfig(aligned=False),
    "displacement": PartsConfig(input="displacement", components=6),
    "position": PartsConfig(input="position", components=3, locality=0),
    "position, more components than columns": PartsConfig(input="position", components=4, locality=0),
    "with a floor": PartsConfig(floor=0.05),
    "soft": PartsConfig(sharpness=1),
}


def moves(studio: Studio) -> Float:
    return studio.faces.displacements.astype(np.float64)


def found(studio: Studio, config: PartsConfig) -> Parts:
    return find_parts(config, studio.faces.skin, studio.hierarchy, moves(studio))


def outside(studio: Studio) -> NDArray[np.bool_]:
    """(P,) coarse vertices that a crop takes by their region."""
    skin = studio.faces.skin
    mask = skin.within(*OUTSIDE) & ~skin.within(*POCKETS)
    return mask[studio.hierarchy.coarsest]


@pytest.mark.parametrize("name", CONFIGS)
def test_parts_are_a_partition_of_all_vertices(studio: Studio, name: str) -> None:
    config = CONFIGS[name]
    parts = found(studio, config)
    weights = parts.weights
    assert weights.shape == (studio.hierarchy.sizes[-1], len(parts.names))
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=3e-7)
    # A floor is in every weight, and no more than its share.
    assert weights.min() >= config.floor / (1 + config.floor * weights.shape[1]) * (1 - 1e-6)
    # No part is empty, and all are told apart by name.
    assert (weights.max(axis=0) > 1 / weights.shape[1]).all()
    assert len(set(parts.names)) == len(parts.names)
    assert all(parts.names)
    assert (parts.names[-1] == REST) == config.crop
    assert REST not in parts.names[:-1]
    # As often asked, as often the same.
    again = found(studio, config)
    assert again.names == parts.names
    assert np.array_equal(again.weights, weights)


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if config.crop and not config.floor])
def test_what_is_cropped_is_the_head_and_nothing_else(studio: Studio, name: str) -> None:
    weights, cropped = found(studio, CONFIGS[name]).weights, outside(studio)
    assert 0 < cropped.sum() < len(cropped)
    np.testing.assert_allclose(weights[cropped, -1], 1, rtol=0, atol=1e-7)
    assert not weights[cropped, :-1].any()
    # The tip of the nose and the lips are no such thing.
    skin = studio.faces.skin
    tree = cKDTree(skin.mean[studio.hierarchy.coarsest])
    nearest = tree.query(skin.mean[skin.landmarks[[30, 51, 57]]])[1]
    assert (weights[nearest, -1] < 0.5).all()


@pytest.mark.parametrize("least", [0.3, 0.7, 0.85, 0.92, 0.95])
def test_parts_are_as_local_as_asked_for(studio: Studio, least: float) -> None:
    parts = found(studio, PartsConfig(locality=least))
    # Two parts are never joined; there are more here.
    assert len(parts.names) > 2
    assert (blend_locality(studio.hierarchy.upsampled(parts.weights), moves(studio)) >= least - 1e-6).all()


def test_joining_makes_few_parts_of_many(studio: Studio) -> None:
    counts = [len(found(studio, PartsConfig(locality=least)).names) for least in (0.0, 0.9, 0.95, 0.999)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 2


def test_a_sum_of_joined_parts_is_the_joined_part(studio: Studio) -> None:
    apart, joined = (found(studio, PartsConfig(locality=least)).weights for least in (0.0, 0.92))
    for column in joined.T:
        subsets = [part for part in range(apart.shape[1]) if np.all(apart[:, part] <= column + 1e-6)]
        np.testing.assert_allclose(apart[:, subsets].sum(axis=1), column, rtol=0, atol=1e-6)


def symmetric(studio: Studio) -> Hierarchy:
    """A hierarchy that keeps all vertices of the skin, which is the mirror image of itself."""
    skin = studio.faces.skin
    vertex = np.arange(len(skin.mean))
    weights = np.tile(np.array([1, 0, 0], np.float32), (len(vertex), 1))
    return Hierarchy(skin.triangles, (Step(vertex, skin.triangles, np.repeat(vertex[:, None], 3, axis=1), weights),))


@pytest.mark.parametrize("kind", ["displacement", "correlation"])
def test_merged_parts_are_symmetric(studio: Studio, kind: str) -> None:
    skin = studio.faces.skin
    distance, mirror = cKDTree(skin.mean).query(skin.mean * (-1, 1, 1))
    assert distance.max() < 1e-3
    config = PartsConfig.model_validate({"input": kind, "components": 3})
    weights = find_parts(config, skin, symmetric(studio), moves(studio)).weights
    np.testing.assert_allclose(weights, weights[mirror], rtol=0, atol=1e-5)


def test_size_and_pose_do_not_count_where_faces_are_aligned(studio: Studio) -> None:
    skin, random = studio.faces.skin, np.random.default_rng(0)
    plain = moves(studio)
    # Displacements of a shift, a turn and a change of size, to first order.
    turn, shift, size = random.normal(size=(3, len(plain), 1, 3))
    moved = plain + 20 * shift + np.cross(0.1 * turn, skin.mean) + 0.1 * size[:, :, :1] * skin.mean
    aligned = PartsConfig(locality=0)
    same = find_parts(aligned, skin, studio.hierarchy, moved)
    np.testing.assert_allclose(same.weights, found(studio, aligned).weights, rtol=0, atol=2e-3)
    loose = PartsConfig(locality=0, aligned=False)
    other = find_parts(loose, skin, studio.hierarchy, moved)
    assert other.names != found(studio, loose).names


def test_owners_are_the_largest_weights(studio: Studio) -> None:
    parts = studio.parts
    owner = parts.owner(studio.hierarchy)
    fine = studio.hierarchy.upsampled(parts.weights)
    assert owner.shape == (len(studio.faces.skin.mean),)
    assert np.array_equal(fine[np.arange(len(fine)), owner], fine.max(axis=1))


def test_the_whole_face_is_one_part() -> None:
    parts = whole(7)
    assert parts.names == ("face",)
    assert np.array_equal(parts.weights, np.ones((7, 1)))
    assert parts.weights.dtype == np.float32


def test_too_few_vertices_to_find_parts_in(studio: Studio) -> None:
    skin = studio.faces.skin
    coarse = build(skin.mean, skin.triangles, (8, 8))
    with pytest.raises(
        ModelError, match=r"^\d+ coarse vertices are left to find 36 components in; take smaller factor"
    ):
        find_parts(PartsConfig(components=36), skin, coarse, moves(studio))


def test_without_scikit_learn_the_command_that_installs_it(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(MissingDependencyError, match=r"need scikit-learn; install it with: pip install 'facegen\[comp"):
        found(studio, PartsConfig())


def test_landmarks_give_the_names(studio: Studio) -> None:
    """Names follow the face, wherever in space it is and however large."""
    skin = studio.faces.skin
    config = PartsConfig(locality=0)
    names = found(studio, config).names
    assert {"eyes", "nose", "mouth"} <= set(names)
    moved = replace(skin, mean=2 * skin.mean + np.array([0, 300, -100]))
    twice = config.model_copy(update={"reach": 2 * config.reach})
    assert find_parts(twice, moved, studio.hierarchy, moves(studio)).names == names


# --- measures ---


def test_blend_locality_by_hand() -> None:
    weights = np.array([[1, 0], [0.5, 0.5], [0.25, 0.75]])
    # Squared lengths 1, 4 and 9, over two faces.
    displacements = np.array([[[1, 0, 0], [0, 0, 0], [2, 2, 1]], [[0, 0, 0], [0, 2, 0], [0, 0, 0]]])
    # The middle vertex is shared evenly, and the first part's.
    expected = [(1 + 1) / (1 + 1 + 9 / 16), (81 / 16) / (1 + 81 / 16)]
    np.testing.assert_allclose(blend_locality(weights, displacements), expected, rtol=1e-12)


def test_a_part_that_nobody_has_is_local_nowhere() -> None:
    found = blend_locality(np.array([[1.0, 0], [1, 0]]), np.ones((1, 2, 3)))
    assert np.array_equal(found, [1, 0])


def test_overlap_and_sparsity_by_hand() -> None:
    assert overlap(np.eye(3)) == 0
    assert overlap(np.ones((4, 1))) == 0
    assert overlap(np.array([[1, 1], [0, 1]])) == pytest.approx(0.5**0.5)
    assert overlap(np.array([[3.0, 6], [4, 8]])) == pytest.approx(1)
    assert hoyer_sparsity(np.eye(4)) == pytest.approx(1)
    assert hoyer_sparsity(np.ones((9, 2))) == pytest.approx(0)
    assert hoyer_sparsity(np.array([[3.0], [4], [0], [0]])) == pytest.approx((2 - 7 / 5) / (2 - 1))
    assert hoyer_sparsity(np.array([[3.0, 0], [4, 1], [0, 0], [0, 0]])) == pytest.approx((0.6 + 1) / 2)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(2, 12), columns=st.integers(2, 5), seed=st.integers(0, 999), size=st.floats(0.01, 100))
def test_measures_stay_within_their_range_and_know_no_size(rows: int, columns: int, seed: int, size: float) -> None:
    random = np.random.default_rng(seed)
    weights = random.random((rows, columns)) + 1e-3
    displacements = random.normal(size=(2, rows, 3))
    for measure in (overlap, hoyer_sparsity):
        assert -1e-9 <= measure(weights) <= 1 + 1e-9
        assert measure(weights * size) == pytest.approx(measure(weights), abs=1e-9)
    local = blend_locality(weights, displacements)
    assert ((local >= 0) & (local <= 1 + 1e-12)).all()
    np.testing.assert_allclose(blend_locality(weights * size, displacements), local, rtol=1e-9)
