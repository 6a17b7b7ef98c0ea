"""Correspondence: a pixel's place on the face is where the flow says, and is seen where it says so."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.imaging.channels import rebuild
from facegen.imaging.flow import flow
from facegen.imaging.visibility import UNIT
from facegen.morphable.model import MorphableModel
from facegen.tests.pictured import PEOPLE, Album, constant


@pytest.fixture(scope="module")
def album(head: MorphableModel) -> Album:
    """Two images of each of two people, in several poses and expressions."""
    return Album(head, 4, {**PEOPLE, "images_per_identity": 2}, (192, 176))


def test_an_image_corresponds_to_itself(album: Album) -> None:
    picture = album.pictured(0)
    found = flow(album.model.topology, picture, picture)
    covered = picture.triangle_id >= 0
    # All of it is seen but for what is seen edge-on.
    assert not found.visible[~covered].any()
    normal = rebuild(
        ["normal"], album.model.topology, picture.mesh, picture.triangle_id, picture.barycentric
    )["normal"]  # fmt: skip
    rows, columns = np.indices(covered.shape)
    focal, (x, y) = picture.intrinsics[0, 0], picture.intrinsics[:2, 2]
    ray = np.stack([(columns + 0.5 - x) / focal, (rows + 0.5 - y) / focal, np.ones(covered.shape)], axis=-1)
    facing = -(normal * ray).sum(axis=2) / np.linalg.norm(ray, axis=2)
    assert found.visible[facing > 0.09].all()
    assert not found.visible[facing < 0.07].any()
    assert found.visible.sum() > 0.97 * covered.sum()
    # Vertices snap to 1/256 pixel, so that a pixel at an outline may show a place just beside it.
    assert np.abs(found.displacement[covered]).max() < 0.02
    assert not found.displacement[~covered].any()


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0), (2, 3), (0, 3)])
def test_visible_pixels_show_the_same_place_in_both(album: Album, source: int, target: int) -> None:
    one, other = album.pictured(source), album.pictured(target)
    found = flow(album.model.topology, one, other)
    assert found.visible.sum() > 2000
    rows, columns = np.nonzero(found.visible)
    x, y = (np.stack([columns + 0.5, rows + 0.5], axis=1) + found.displacement[rows, columns]).T
    topology = album.model.topology
    codes = [
        rebuild(["pncc"], topology, picture.mesh, picture.triangle_id, picture.barycentric)["pncc"]
        for picture in (one, other)
    ]
    there = y.astype(int), x.astype(int)
    size = topology.reference.max(axis=0) - topology.reference.min(axis=0)
    apart = np.linalg.norm((codes[0][rows, columns] - codes[1][there]) * size, axis=1)
    # A pixel of the target spans about 1.5 mm, and at the least cosine at which a place counts as seen 1.5 / 0.08.
    assert np.median(apart) < 1.0
    assert apart.max() < 1.5 / 0.08


def test_the_flow_is_the_projection_of_the_place(album: Album) -> None:
    one, other = album.pictured(2), album.pictured(3)
    found = flow(album.model.topology, one, other)
    rows, columns = np.nonzero(one.triangle_id >= 0)
    second = one.barycentric[rows, columns] / UNIT
    weights = np.concatenate([1 - second.sum(axis=1, keepdims=True), second], axis=1)
    corner = other.mesh.vertices[album.model.topology.triangles[one.triangle_id[rows, columns]]].astype(np.float64)
    points = (weights[:, :, None] * corner).sum(axis=1)
    pixels = points[:, :2] / points[:, 2:] * other.intrinsics[0, 0] + other.intrinsics[:2, 2]
    expected = pixels - np.stack([columns + 0.5, rows + 0.5], axis=1)
    np.testing.assert_allclose(found.displacement[rows, columns], expected, atol=2e-3)


def test_what_the_target_hides_is_not_visible(head: MorphableModel) -> None:
    turned = {"pose": {"yaw": {"law": "uniform", "low": 55, "high": 56}, "pitch": constant(0), "roll": constant(0)}}
    pair = Album(head, 2, turned, (160, 160))
    pair.samples.extrinsics[1] = pair.samples.extrinsics[0] @ np.diag([-1.0, 1.0, -1.0, 1.0])
    pair = Album(head, pair.samples, {}, (160, 160))
    # From the front and from behind: no place is seen in both but along the outline.
    found = flow(head.topology, pair.pictured(0), pair.pictured(1))
    covered = pair.pictured(0).triangle_id >= 0
    assert covered.sum() > 4000
    assert found.visible.sum() < 0.1 * covered.sum()
