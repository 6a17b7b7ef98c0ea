"""Shoulders below a head: they hide the neck's end and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegen.errors import ConfigurationError, ModelError
from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.bust import with_bust
from facegen.morphable.config import IctModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST
from facegen.settings import validate
from facegen.tests.data_paths import shared_path
from facegen.tests.morphable_contract import ROUNDING


def load(bust: bool, part: str = "head") -> MorphableModel:
    path = shared_path("models/ict-facekit/ict_facekit.npz")
    return load_model(
        IctModelConfig.model_validate({"path": path, "part": part, "eyes": False, "teeth": False, "bust": bust})
    )


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load(bust=False)


@pytest.fixture(scope="module")
def busted() -> MorphableModel:
    return load(bust=True)


def test_the_head_is_the_same_to_the_bit(head: MorphableModel, busted: MorphableModel) -> None:
    v, t, u = head.topology.vertex_count, len(head.topology.triangles), len(head.topology.uv)
    np.testing.assert_array_equal(busted.mean[:v], head.mean)
    np.testing.assert_array_equal(busted.identity_basis[:, :v], head.identity_basis)
    np.testing.assert_array_equal(busted.expression_basis[:, :v], head.expression_basis)
    assert isinstance(head.albedo, LinearAlbedo)
    assert isinstance(busted.albedo, LinearAlbedo)
    np.testing.assert_array_equal(busted.albedo.mean[:v], head.albedo.mean)
    np.testing.assert_array_equal(busted.albedo.basis[:, :v], head.albedo.basis)
    np.testing.assert_array_equal(busted.topology.triangles[:t], head.topology.triangles)
    np.testing.assert_array_equal(busted.topology.triangle_region[:t], head.topology.triangle_region)
    np.testing.assert_array_equal(busted.topology.uv[:u], head.topology.uv)
    np.testing.assert_array_equal(busted.topology.landmarks, head.topology.landmarks)
    np.testing.assert_array_equal(busted.topology.reference_colours[:v], head.topology.reference_colours)
    assert busted.sha256 != head.sha256


def test_new_triangles_are_all_of_the_bust(head: MorphableModel, busted: MorphableModel) -> None:
    t = len(head.topology.triangles)
    number = busted.topology.region_names.index(BUST)
    assert (busted.topology.triangle_region[t:] == number).all()
    assert busted.topology.region_names[:-1] == head.topology.region_names
    used = np.unique(busted.topology.triangles[t:])
    assert set(np.flatnonzero(busted.vertex_masks[BUST])) <= set(used)


def test_surface_goes_on_without_a_seam(head: MorphableModel, busted: MorphableModel) -> None:
    def half_edges(model: MorphableModel) -> set[tuple[int, int]]:
        t = model.topology.triangles
        return set(map(tuple, np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]).tolist()))

    before, after = half_edges(head), half_edges(busted)
    # Manifold and consistently oriented: no half-edge twice.
    assert len(after) == 3 * len(busted.topology.triangles)
    rim = {(a, b) for a, b in before if (b, a) not in before and (b, a) in after}
    last = {(a, b) for a, b in after if (b, a) not in after} - {(a, b) for a, b in before if (b, a) not in before}
    assert len(rim) == len(last) == 54
    # The border that is left is far below the one that was.
    assert busted.mean[[a for a, _ in last], 1].max() < head.mean[[a for a, _ in rim], 1].min() - 100


def test_bust_faces_outwards(busted: MorphableModel) -> None:
    number = busted.topology.region_names.index(BUST)
    corners = busted.mean[busted.topology.triangles[busted.topology.triangle_region == number]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    centre = corners.mean(axis=1)
    axis = busted.mean[busted.vertex_masks[BUST]].mean(axis=0)
    outwards = (centre - axis) * [1, 0, 1]
    # Sides face away from the axis, the top of the shoulders faces up.
    assert (((normal * outwards).sum(axis=1) > 0) | (normal[:, 1] > 0)).all()


def test_bust_moves_with_the_rim(busted: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    identity = rng.standard_normal((3, len(busted.identity_names))).astype(np.float32)
    moved = busted.decode(identity, np.zeros((3, len(busted.expression_names)), np.float32)) - busted.mean
    below = moved[:, busted.vertex_masks[BUST]].reshape(3, 4, 54, 3)
    # Equal products, but the sums' order may depend on the column.
    np.testing.assert_allclose(below, np.broadcast_to(below[:, :1], below.shape), rtol=0, atol=ROUNDING)


def test_uv_has_a_place_of_its_own(head: MorphableModel, busted: MorphableModel) -> None:
    u = len(head.topology.uv)
    low, high = busted.topology.uv[u:].min(axis=0), busted.topology.uv[u:].max(axis=0)
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert not ((head.topology.uv > low) & (head.topology.uv < high)).all(axis=1).any()


def test_texture_stays_and_new_vertices_take_their_place_in_it(head: MorphableModel) -> None:
    v, u = head.topology.vertex_count, len(head.topology.uv)
    generator = np.random.default_rng(0)
    albedo = TextureAlbedo(
        names=("one",),
        mean=generator.random((64, 64, 3)).astype(np.float32),
        masks=generator.integers(0, 256, (1, 64, 64), np.uint8),
        colours=np.full((1, 3), 0.2, np.float32),
        vertex_uv=generator.random((v, 2)).astype(np.float32),
    )
    occlusion = generator.random(v).astype(np.float32)
    busted = with_bust(replace(head, albedo=albedo, occlusion=occlusion))
    assert isinstance(busted.albedo, TextureAlbedo)
    assert busted.albedo.mean is albedo.mean
    np.testing.assert_array_equal(busted.albedo.vertex_uv[:v], albedo.vertex_uv)
    # A vertex of the bust has its own texture coordinates, but for the seam, where it has two.
    topology = busted.topology
    new = topology.triangles >= v
    expected, found = topology.uv[topology.uv_triangles[new]], busted.albedo.vertex_uv[topology.triangles[new]]
    same = (expected == found).all(axis=1)
    assert same.mean() > 0.95
    np.testing.assert_allclose(expected[~same, 0], topology.uv[u:, 0].max())
    np.testing.assert_array_equal(expected[~same, 1], found[~same, 1])
    assert busted.occlusion is not None
    np.testing.assert_array_equal(busted.occlusion[:v], occlusion)
    # Rings copy the rim, so each ring is the same.
    rings = busted.occlusion[v:].reshape(4, 54)
    np.testing.assert_array_equal(rings, np.broadcast_to(rings[0], rings.shape))
    assert set(rings[0].tolist()) <= set(occlusion.tolist())


@pytest.mark.parametrize("part", ["face", "narrow-face"])
def test_only_heads_can_have_one(part: str) -> None:
    with pytest.raises(ConfigurationError, match="no neck"):
        validate(IctModelConfig, {"part": part, "bust": True}, source="here")
    with pytest.raises(ModelError, match="border below the chin"):
        with_bust(load(bust=False, part="narrow-face"))
