"""What follows the skin: eyes and teeth keep their shape, everything goes where the skin around it goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from facegen.composition.followers import Followers, rigid_motion
from facegen.composition.skin import Skin
from facegen.morphable.bust import with_bust
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST

Float = NDArray[np.float32]


@pytest.fixture(scope="module", params=["embedded", "with a bust", "without jawOpen", "ict"])
def model(request: pytest.FixtureRequest, head: MorphableModel) -> MorphableModel:
    if request.param == "ict":
        request.getfixturevalue("ict")
        return load_model(IctModelConfig())
    if request.param == "with a bust":
        return load_model(DefaultModelConfig(resolution="coarse", bust=True))
    if request.param == "without jawOpen":
        names = tuple("jawOpened" if name == "jawOpen" else name for name in head.expression_names)
        return replace(head, expression_names=names)
    return head


@pytest.fixture(scope="module")
def skin(model: MorphableModel) -> Skin:
    return Skin.of(model)


@pytest.fixture(scope="module")
def followers(model: MorphableModel, skin: Skin) -> Followers:
    return Followers(model, skin)


def waves(skin: Skin, seed: int) -> Float:
    """Smooth offsets (n, 3) of a few mm, other ones everywhere."""
    random = np.random.default_rng(seed)
    phase = skin.mean @ random.normal(0, 1 / 25, (3, 3)) + random.uniform(0, 6, 3)
    return (4 * np.sin(phase)).astype(np.float32)


def vertices_of(model: MorphableModel, *regions: str) -> NDArray[np.int64]:
    numbers = [number for number, name in enumerate(model.topology.region_names) if name in regions]
    return np.unique(model.topology.triangles[np.isin(model.topology.triangle_region, numbers)]).astype(np.int64)


def solids(model: MorphableModel) -> list[NDArray[np.int64]]:
    """Vertices of each eyeball, each tooth or row of teeth, and each lash."""
    t = model.topology.triangles
    count = model.topology.vertex_count
    edges = sparse.coo_array((np.ones(t.size), (t.ravel(), np.roll(t, 1, axis=1).ravel())), shape=(count, count))
    component = sparse.csgraph.connected_components(edges, directed=False)[1]
    stiff = vertices_of(model, "eyeball_left", "eyeball_right", "lashes", "teeth")
    return [stiff[component[stiff] == number] for number in np.unique(component[stiff])]


def test_a_shift_of_the_skin_shifts_everything(model: MorphableModel, skin: Skin, followers: Followers) -> None:
    shift = np.array([1.5, -2.25, 3.125], np.float32)
    offset = followers.offset(model.mean, np.tile(shift, (len(skin.vertices), 1)))
    np.testing.assert_allclose(offset, np.tile(shift, (len(model.mean), 1)), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_skin_moves_as_told_and_solids_stay_congruent(
    model: MorphableModel, skin: Skin, followers: Followers, seed: int
) -> None:
    random = np.random.default_rng(seed)
    identity = random.standard_normal((1, len(model.identity_names))).astype(np.float32)
    own = model.decode(identity, np.zeros((1, len(model.expression_names)), np.float32))[0]
    moved = waves(skin, seed)
    offset = followers.offset(own, moved)
    assert offset.dtype == np.float32
    np.testing.assert_array_equal(offset[skin.vertices], moved)
    composed = own + offset
    parts = solids(model)
    assert len(parts) > 4
    for part in parts:
        chosen = part[random.permutation(len(part))[:120]]
        np.testing.assert_allclose(pdist(composed[chosen]), pdist(own[chosen]), atol=2e-4)
        # It goes about as far as the skin does, and not to somewhere else.
        assert np.linalg.norm(offset[part], axis=1).max() <= 2 * np.linalg.norm(moved, axis=1).max()


def test_what_follows_is_near_what_it_follows(model: MorphableModel, skin: Skin, followers: Followers) -> None:
    """Where the skin about the eyes moves and no other, eyeballs and lashes move, and the mouth does not."""
    eyes = model.mean[vertices_of(model, "eyeball_left", "eyeball_right")]
    moved = np.zeros((len(skin.vertices), 3), np.float32)
    moved[cKDTree(eyes).query(skin.mean)[0] < 10] = 1, 2, 3
    offset = followers.offset(model.mean, moved)
    balls = vertices_of(model, "eyeball_left", "eyeball_right", "lashes")
    np.testing.assert_allclose(offset[balls], np.tile([1.0, 2, 3], (len(balls), 1)), atol=1e-5)
    mouth = vertices_of(model, "gums", "tongue", "gums_and_tongue", "teeth")
    mouth = mouth[~np.isin(mouth, skin.vertices)]
    np.testing.assert_allclose(offset[mouth], 0, atol=1e-5)


def test_the_lower_teeth_go_with_the_chin(model: MorphableModel, skin: Skin, followers: Followers) -> None:
    """Where all skin below the line of the mouth goes down, so do the lower teeth, and the upper ones stay."""
    line = skin.mean[skin.landmarks[60:68], 1].mean()
    moved = np.zeros((len(skin.vertices), 3), np.float32)
    moved[skin.mean[:, 1] < line, 1] = -5
    offset = followers.offset(model.mean, moved)
    teeth = vertices_of(model, "teeth")
    middle = model.mean[teeth, 1].mean()
    upper, lower = teeth[model.mean[teeth, 1] > middle + 6], teeth[model.mean[teeth, 1] < middle - 6]
    assert len(upper) > 3
    assert len(lower) > 3
    assert np.abs(offset[upper]).max() < 1.5
    assert np.abs(offset[lower, 1] + 5).max() < 1.5


def test_a_bust_goes_with_the_rim_above_it(head: MorphableModel) -> None:
    """Exactly: each of its rings has the offset of the rim, vertex by vertex."""
    bare, model = head, with_bust(head)
    skin = Skin.of(model)
    count = len(bare.mean)
    bust = np.flatnonzero(model.vertex_masks[BUST])
    rim = vertices_of(model, BUST)
    rim = rim[rim < count]
    moved = waves(skin, 0)
    offset = Followers(model, skin).offset(model.mean, moved)
    np.testing.assert_array_equal(offset[:count], Followers(bare, skin).offset(bare.mean, moved))
    # Rings follow the rim in its order, which the strip of triangles below it tells.
    first = bust[: len(rim)]
    for triangle in model.topology.triangles[model.topology.triangle_region == len(model.topology.region_names) - 1]:
        above, below = triangle[np.isin(triangle, rim)], triangle[np.isin(triangle, first)]
        if len(above) == 2 and len(below) == 1:
            # Of (next, own, below) the vertex hangs on the second.
            ring = bust.reshape(-1, len(rim))[:, np.flatnonzero(first == below[0])[0]]
            np.testing.assert_array_equal(offset[ring], np.tile(offset[triangle[1]], (len(ring), 1)))
    assert offset[bust].any()


def test_a_face_does_not_depend_on_the_order(model: MorphableModel, skin: Skin, followers: Followers) -> None:
    one, other = waves(skin, 1), waves(skin, 2)
    first = followers.offset(model.mean, one)
    followers.offset(model.mean, other)
    assert followers.offset(model.mean.copy(), one.copy()).tobytes() == first.tobytes()
    assert Followers(model, skin).offset(model.mean, one).tobytes() == first.tobytes()


@pytest.mark.parametrize("seed", range(4))
def test_rigid_motions_are_found(seed: int) -> None:
    random = np.random.default_rng(seed)
    points, weight = random.normal(0, 30, (50, 3)), random.uniform(0.1, 1, 50)
    rotation, translation = Rotation.random(rng=random).as_matrix(), random.normal(0, 50, 3)
    found = rigid_motion(points, points @ rotation.T + translation, weight)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, translation, atol=1e-10)
    np.testing.assert_allclose(found(points), points @ rotation.T + translation, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_best_rotation(seed: int) -> None:
    random = np.random.default_rng(seed)
    source, weight = random.normal(0, 30, (20, 3)), random.uniform(0.1, 1, 20)
    target = source + random.normal(0, 10, source.shape)
    found = rigid_motion(source, target, weight)
    centred = [points - np.average(points, axis=0, weights=weight) for points in (source, target)]
    oracle, _ = Rotation.align_vectors(centred[1], centred[0], weights=weight)
    np.testing.assert_allclose(found.rotation, oracle.as_matrix(), atol=1e-8)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_a_mirrored_target_is_no_reason_to_mirror() -> None:
    source = np.random.default_rng(0).normal(0, 30, (20, 3))
    found = rigid_motion(source, source * (-1, 1, 1), np.ones(20))
    assert np.linalg.det(found.rotation) == pytest.approx(1)
