"""The parts of a face: a partition, symmetric, named, local; and the measures of it against hand computation."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.composition.hierarchy import Hierarchy, Step, build, cached
from facegen.composition.parts import (
    OUTSIDE,
    POCKETS,
    REST,
    Parts,
    PartsConfig,
    _joined,
    blend_locality,
    find_parts,
    hoyer_sparsity,
    overlap,
    vertex_areas,
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


@pytest.fixture(scope="module")
def studio(studio: Studio) -> Studio:
    """A finer mesh than others need: on it each part that is looked for can move by itself."""
    skin = studio.faces.skin
    hierarchy = cached(skin.mean, skin.triangles, (4,))
    return replace(studio, hierarchy=hierarchy, parts=find_parts(PartsConfig(), skin, hierarchy, moves(studio)))


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


def unchanged(triangles: NDArray[np.int64]) -> Hierarchy:
    """A hierarchy that keeps all vertices of a mesh."""
    vertex = np.arange(int(triangles.max()) + 1)
    weights = np.tile(np.array([1, 0, 0], np.float32), (len(vertex), 1))
    return Hierarchy(triangles, (Step(vertex, triangles, np.repeat(vertex[:, None], 3, axis=1), weights),))


def symmetric(studio: Studio) -> Hierarchy:
    """A hierarchy that keeps all vertices of the skin, which is the mirror image of itself."""
    return unchanged(studio.faces.skin.triangles)


SIDE = 20


def small_part_on_a_line(share: float) -> tuple[Float, Hierarchy]:
    """Weights (400, 3) on a square grid: a small part, what lies left of a line, and the rest, right of it.

    Nowhere does the small part have most of the weight; of its 10 columns the ``share`` lies right of the line.
    """
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (corner[i : SIDE - 1 + i, j : SIDE - 1 + j].reshape(-1) for i, j in np.ndindex(2, 2))
    triangles = np.concatenate([np.column_stack([a, c, b]), np.column_stack([b, c, d])]).astype(np.int64)
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    inside = (abs(row - 9.5) < 5) & (abs(column - 9.5) < 5)
    right = column >= 15 - round(10 * share)
    weights = np.zeros((SIDE * SIDE, 3))
    weights[inside, 0] = 0.4
    weights[~right, 1] = 1 - weights[~right, 0]
    weights[right, 2] = 1 - weights[right, 0]
    return weights, unchanged(triangles)


@pytest.mark.parametrize(("share", "rest", "joins"), [
    (0.1, True, 1), (0.3, True, 2), (0.6, True, 2), (0.1, False, 1), (0.3, False, 1), (0.6, False, 2),
])  # fmt: skip
def test_a_part_too_small_that_borders_the_rest_joins_the_rest(share: float, *, rest: bool, joins: int) -> None:
    weights, hierarchy = small_part_on_a_line(share)
    edges = {tuple(sorted((int(t[i]), int(t[i - 1])))) for t in hierarchy.meshes[-1] for i in range(3)}
    common = [sum(weights[i, 0] * weights[j, k] + weights[j, 0] * weights[i, k] for i, j in edges) for k in (1, 2)]
    # Nearly as much as with the other, but less; or hardly anything; or more.
    assert (common[1] / common[0] < 0.25) == (share == 0.1)
    assert (common[1] > common[0]) == (share == 0.6)
    displacements = np.ones((1, SIDE * SIDE, 3))
    joined = _joined(weights.copy(), 0.5, hierarchy, displacements, rest=rest)
    expected = weights[:, 1:].copy()
    expected[:, joins - 1] += weights[:, 0]
    np.testing.assert_allclose(joined, expected, rtol=0, atol=1e-15)
    # One that may move by itself stays.
    np.testing.assert_array_equal(_joined(weights.copy(), 0.0, hierarchy, displacements, rest=rest), weights)


def test_areas_of_vertices(studio: Studio) -> None:
    skin = studio.faces.skin
    mesh = trimesh.Trimesh(skin.mean, skin.triangles, process=False)
    area = np.zeros(len(skin.mean))
    for corner in range(3):
        area += np.bincount(skin.triangles[:, corner], mesh.area_faces / 3, len(area))
    found = vertex_areas(skin.mean, skin.triangles)
    assert area.min() > 1e-3 * area.mean()
    np.testing.assert_allclose(found, area, rtol=1e-9)
    assert found.sum() == pytest.approx(mesh.area, rel=1e-9)
    # A vertex of no triangle has a little.
    alone = vertex_areas(np.concatenate([skin.mean, [[0, 0, 0]]]), skin.triangles)
    assert 0 < alone[-1] < alone[:-1].min()


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
