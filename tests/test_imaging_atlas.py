"""The atlas: every texel is where the texture coordinates say, and maps give the vertices back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from facegen.imaging.atlas import PADDING, Atlas
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import sample_bilinear
from facegen.morphable.topology import Topology
from facegen.tests import synthetic
from facegen.tests.default_model import SKIN

SIZE = 128


@pytest.fixture(scope="module")
def atlas(head: MorphableModel) -> Atlas:
    return Atlas(head.topology, SIZE)


def weights(atlas: Atlas) -> NDArray[np.float64]:
    """(S, S, 3) of the corners."""
    second = atlas.weights.astype(np.float64)
    return np.concatenate([1 - second.sum(axis=2, keepdims=True), second], axis=2)


def test_texels_lie_on_their_triangles(head: MorphableModel, atlas: Atlas) -> None:
    topology = head.topology
    corner = topology.uv[topology.uv_triangles[atlas.triangle[atlas.mask]]].astype(np.float64)
    rows, columns = np.nonzero(atlas.mask)
    centre = np.stack([(columns + 0.5) / SIZE, 1 - (rows + 0.5) / SIZE], axis=1)
    inside = weights(atlas)[atlas.mask]
    found = (inside[:, :, None] * corner).sum(axis=1)
    assert np.abs(found - centre).max() * SIZE < 1e-3
    # Corners snap to 1/256 texel, so that a texel at an outline may lie beside its triangle by that much: its distance
    # from a side is the weight of the corner opposite times that corner's height over the side.
    sides = np.roll(corner, -1, axis=1) - np.roll(corner, -2, axis=1)
    area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    heights = area[:, None] / np.linalg.norm(sides, axis=2)
    assert (inside * heights).min() * SIZE > -1 / 128


def test_the_mask_covers_the_charts(head: MorphableModel, atlas: Atlas) -> None:
    corner = head.topology.uv[head.topology.uv_triangles].astype(np.float64)
    one, other = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum() / 2
    assert atlas.mask.mean() == pytest.approx(area, abs=0.01)
    # Charts that are mirrored are drawn as well.
    for name in ("eyeball_left", "eyeball_right", "mouth_socket", "teeth"):
        region = head.topology.region_names.index(name)
        assert (head.topology.triangle_region[atlas.triangle[atlas.mask]] == region).sum() > 30, name


def test_padding_goes_on_as_the_nearest_texels_triangle(head: MorphableModel, atlas: Atlas) -> None:
    distance = distance_transform_edt(~atlas.mask)
    padded = ~atlas.mask & (distance <= PADDING)
    np.testing.assert_array_equal(atlas.triangle >= 0, atlas.mask | padded)
    rows, columns = np.nonzero(atlas.mask)
    for row, column in np.argwhere(padded)[::37]:
        squared = (rows - row) ** 2 + (columns - column) ** 2
        nearest = squared == squared.min()
        assert atlas.triangle[row, column] in atlas.triangle[rows[nearest], columns[nearest]]
    # Linearly: texture coordinates themselves go on with the texels, but for slivers.
    topology = head.topology
    corner = topology.uv[topology.uv_triangles[atlas.triangle[padded]]].astype(np.float64)
    found = (weights(atlas)[padded][:, :, None] * corner).sum(axis=1)
    rows, columns = np.nonzero(padded)
    centre = np.stack([(columns + 0.5) / SIZE, 1 - (rows + 0.5) / SIZE], axis=1)
    free = (np.abs(atlas.weights[padded]) < 3).all(axis=1)
    assert free.mean() > 0.7
    assert np.abs(found - centre)[free].max() * SIZE < 1e-3


APART = ("eye_sockets", "eyeball_left", "eyeball_right", "nostrils", "teeth", "gums", "tongue")


def test_position_maps_give_the_vertices_back_within_half_a_texel(head: MorphableModel) -> None:
    topology, vertices = head.topology, head.mean
    size = 512
    found = sample_bilinear(Atlas(topology, size).interpolate(vertices), topology.uv).astype(np.float64)
    vertex = np.zeros(len(topology.uv), np.int64)
    vertex[topology.uv_triangles] = topology.triangles
    off = np.linalg.norm(found - vertices[vertex], axis=1)
    # What a texel spans at most on the triangles around a texture coordinate, mm: the larger singular value of ∂P/∂uv.
    corner = vertices[topology.triangles].astype(np.float64)
    place = topology.uv[topology.uv_triangles].astype(np.float64) * size
    sides = np.stack([place[:, 1] - place[:, 0], place[:, 2] - place[:, 0]], axis=2)
    spans = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2)
    stretch = np.linalg.norm(spans @ np.linalg.inv(sides), ord=2, axis=(1, 2))
    texel = np.zeros(len(topology.uv))
    np.maximum.at(texel, topology.uv_triangles, np.repeat(stretch[:, None], 3, axis=1))
    outside = [topology.region_names.index(name) for name in SKIN]
    used = np.unique(topology.uv_triangles[np.isin(topology.triangle_region, outside)])
    assert (off[used] / texel[used]).max() < 0.5
    # Eyeballs, sockets, nostrils, teeth, gums and tongue lie apart as well; their corners span more than a texel.
    apart = [topology.region_names.index(name) for name in APART]
    used = np.unique(topology.uv_triangles[np.isin(topology.triangle_region, apart)])
    assert off[used].max() < 1.0
    # Lashes lie side by side without a gap: texels at their borders are of one of them.
    used = np.unique(topology.uv_triangles)
    assert (off[used] / texel[used] < 0.5).mean() > 0.92


def test_values_of_triangles_and_vertices_are_those_of_the_corners(head: MorphableModel, atlas: Atlas) -> None:
    topology = head.topology
    drawn = atlas.triangle >= 0
    regions = atlas.select(topology.triangle_region)
    np.testing.assert_array_equal(regions[drawn], topology.triangle_region[atlas.triangle[drawn]])
    assert not regions[~drawn].any()
    values = np.random.default_rng(0).normal(size=(topology.vertex_count, 2)).astype(np.float32)
    found = atlas.interpolate(values)
    corner = values[topology.triangles[atlas.triangle[drawn]]].astype(np.float64)
    expected = (weights(atlas)[drawn][:, :, None] * corner).sum(axis=1)
    np.testing.assert_allclose(found[drawn], expected, atol=2e-6)
    assert not found[~drawn].any()


def test_a_mesh_without_area_in_the_texture_gives_empty_maps() -> None:
    sphere = synthetic.sphere()
    flat = Topology(**{**vars(sphere), "uv": np.zeros_like(sphere.uv)})
    atlas = Atlas(flat, 16)
    assert not atlas.mask.any()
    assert (atlas.triangle == -1).all()
    assert not atlas.interpolate(sphere.reference).any()
