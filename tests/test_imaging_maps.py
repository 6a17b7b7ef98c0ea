"""Attribute maps: identity and expression make the face, the albedo is what is painted, the texture what is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.annotation.annotate import annotate
from facegen.batch import Samples
from facegen.imaging.annotation import LAYERS
from facegen.imaging.atlas import Atlas
from facegen.imaging.channels import rebuild
from facegen.imaging.maps import MAPS, attribute_maps, unwrap, weight_map
from facegen.imaging.visibility import UNIT
from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import sample_bilinear
from facegen.tests.default_model import SKIN
from facegen.tests.pictured import PEOPLE, Album, constant

SIZE = 256


@pytest.fixture(scope="module")
def album(head: MorphableModel) -> Album:
    return Album(head, 4, {**PEOPLE, "images_per_identity": 2}, (200, 180), maps={"size": SIZE})


@pytest.fixture(scope="module")
def atlas(head: MorphableModel) -> Atlas:
    return Atlas(head.topology, SIZE)


def maps_of(album: Album, atlas: Atlas, row: int) -> dict[str, NDArray[Any]]:
    return attribute_maps(MAPS, album.model.topology, atlas, album.pictured(row), album.arrays(row))


def test_identity_and_expression_add_up_to_the_face(album: Album, atlas: Atlas) -> None:
    for row in range(4):
        maps, face = maps_of(album, atlas, row), album.arrays(row)
        # Single precision at 300 mm.
        np.testing.assert_allclose(maps["uv_identity"] + maps["uv_expression"], maps["uv_position"], atol=1e-4)
        np.testing.assert_array_equal(maps["uv_identity"], atlas.interpolate(face["neutral"]))
        assert np.abs(maps["uv_expression"]).max() > 1
    first, second, other = (maps_of(album, atlas, row)["uv_identity"] for row in (0, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1


def test_the_neutral_face_has_neither_expression_nor_gaze(album: Album) -> None:
    model, samples = album.model, album.samples
    still = model.decode(
        samples.identity, np.zeros_like(samples.expression), np.zeros_like(samples.gaze), offset=samples.offset
    )
    np.testing.assert_allclose(album.renders.neutral, still, atol=1e-4)


def test_the_maps_rendered_again_are_the_same_image(album: Album) -> None:
    """Vertices read from identity plus expression map at their texture coordinates give the picture back."""
    topology = album.model.topology
    fine = Atlas(topology, 1024)
    corner = np.zeros(topology.vertex_count, np.int64)
    corner[topology.triangles.ravel()] = topology.uv_triangles.ravel()
    outside = [topology.region_names.index(name) for name in SKIN]
    skin = np.zeros(topology.vertex_count, np.bool_)
    skin[topology.triangles[np.isin(topology.triangle_region, outside)]] = True
    for row in range(2):
        maps = attribute_maps(["uv_identity", "uv_expression"], topology, fine, album.pictured(row), album.arrays(row))
        face = sample_bilinear(maps["uv_identity"] + maps["uv_expression"], topology.uv[corner])
        off = np.linalg.norm(face - album.renders.vertices[row], axis=1)
        assert np.quantile(off[skin], 0.99) < 0.35
        # Lashes lie side by side without a gap: their borders are not to be had from a map.
        face[~skin] = album.renders.vertices[row][~skin]
        one = {name: values[row : row + 1] for name, values in album.samples.as_dict().items()}
        again = Album(_as_mean(album.model, face), Samples.from_dict(_neutral(one)), {}, (200, 180)).renders
        before, after = album.renders.image[row].astype(np.int64), again.image[0].astype(np.int64)
        difference = np.abs(before - after).max(axis=2)
        assert (difference > 24).mean() < 0.02
        assert np.abs(before - after).mean() < 1.0


def _as_mean(model: MorphableModel, vertices: NDArray[np.float32]) -> MorphableModel:
    """The model with a face for its mean, whose eyeballs are where they are there."""
    return replace(model, mean=vertices, eyes=tuple(replace(eye, turned_by=eye.turned_by[:0]) for eye in model.eyes))


def _neutral(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Samples that add nothing to the mean's shape."""
    zero = {name: np.zeros_like(arrays[name]) for name in ("identity", "expression", "gaze")}
    return {**arrays, **zero}


def test_albedo_maps_are_what_is_painted(album: Album, atlas: Atlas) -> None:
    model = album.model
    assert isinstance(model.albedo, TextureAlbedo)
    drawn = atlas.triangle >= 0
    eyes = np.isin(atlas.select(model.topology.triangle_region), [7, 8])
    fine = model.albedo.decode_texture(album.samples.albedo, 768)
    for row in range(4):
        found = album.renders.uv_albedo
        assert found is not None
        assert not found[row][~drawn].any()
        # The texture averaged over each texel's square, in linear light.
        light = _linear(fine[row]).reshape(SIZE, 3, SIZE, 3, 3).mean(axis=(1, 3))
        skin = drawn & ~eyes
        assert np.abs(_linear(found[row])[skin] - light[skin]).mean() < 0.01
        # An iris is of its colour, a pupil dark.
        middle = found[row][eyes & drawn]
        assert (middle.max(axis=1) < 40).any()
        assert (middle.min(axis=1) > 120).any()


def test_linear_albedo_maps_are_the_colours_of_the_vertices(album: Album, atlas: Atlas) -> None:
    colours = album.model.decode_albedo(album.samples.albedo)
    found = album.renders.uv_albedo_linear
    assert found is not None
    drawn = atlas.triangle >= 0
    for row in range(4):
        expected = atlas.spread(colours[row])[drawn]
        # A step of sRGB is at most 0.009 of linear light, and the table that encodes has 4096 steps.
        assert np.abs(_linear(found[row])[drawn] - expected).max() < 0.006
        assert not found[row][~drawn].any()


def test_a_linear_model_has_one_albedo(head: MorphableModel) -> None:
    zero = np.zeros((1, len(head.albedo_names)), np.float32)
    colours = LinearAlbedo(("none",), head.decode_albedo(zero)[0], np.zeros((1, *head.mean.shape), np.float32))
    model = replace(head, albedo=colours, relief=None, eyes=(), population=None)
    album = Album(model, 1, {"albedo": constant(0), "identity": constant(0)}, (64, 64), maps={"size": 64})
    np.testing.assert_array_equal(album.renders.uv_albedo, album.renders.uv_albedo_linear)


def _linear(srgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    value = srgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_the_texture_is_what_the_image_shows(album: Album, atlas: Atlas) -> None:
    """An image that shows its own texture coordinates unwraps to them."""
    topology = album.model.topology
    rows, columns = np.nonzero(atlas.triangle >= 0)
    for row in range(4):
        face = album.arrays(row)
        # The position in the mean face varies smoothly over all seams of the texture.
        code = rebuild(["pncc"], topology, album.mesh(row), face["triangle_id"], face["barycentric"])["pncc"]
        image = np.rint(code * 255).astype(np.uint8)
        texture, visible = unwrap(topology, atlas, album.pictured(row), image)
        assert 0.1 < visible[atlas.mask].mean() < 0.6
        assert not texture[~visible].any()
        expected = atlas.interpolate(topology.reference_colours)[visible] * 255
        off = np.abs(texture[visible] - expected).max(axis=1)
        # Two pixels of this image are some 3 mm, 3 of 255 steps; beside outlines colours of the background mix in.
        assert np.median(off) < 1.0
        assert np.quantile(off, 0.9) < 3.0
    assert len(rows) == len(columns)


def test_places_that_are_turned_away_are_not_visible(album: Album, atlas: Atlas) -> None:
    for row in range(4):
        visible = maps_of(album, atlas, row)["uv_visible"]
        mesh = album.mesh(row)
        normals, points = atlas.interpolate(mesh.normals), atlas.interpolate(mesh.vertices)
        facing = -(normals * points).sum(axis=2)
        assert (facing[visible] > 0).all()
        texels = atlas.triangle[visible]
        assert visible.any()
        assert (texels >= 0).all()


def test_visible_texels_are_in_front(album: Album, atlas: Atlas) -> None:
    """Where a texel is visible, the image's depth there is its own."""
    for row in range(4):
        face, mesh = album.arrays(row), album.mesh(row)
        visible = maps_of(album, atlas, row)["uv_visible"]
        points = atlas.interpolate(mesh.vertices)[visible].astype(np.float64)
        pixel = points[:, :2] / points[:, 2:] * face["intrinsics"][0, 0] + face["intrinsics"][:2, 2]
        there = pixel[:, 1].astype(int), pixel[:, 0].astype(int)
        second = face["barycentric"][there] / UNIT
        weights = np.concatenate([1 - second.sum(axis=1, keepdims=True), second], axis=1)
        z = mesh.vertices[:, 2].astype(np.float64)[mesh.triangles[face["triangle_id"][there]]]
        depth = (weights * z).sum(axis=1)
        assert (face["triangle_id"][there] >= 0).all()
        tolerance = 1.001 + 2 * points[:, 2] / face["intrinsics"][0, 0]
        assert (np.abs(depth - points[:, 2]) <= tolerance).all()


def test_weights_are_16_4_3_0(head: MorphableModel, atlas: Atlas) -> None:
    annotation = annotate(head)
    weights = weight_map(head.topology, annotation, atlas)
    assert set(np.unique(weights * 16)) == {0, 3, 4, 16}
    assert 60 <= (weights == 1).sum() <= 68
    regions = atlas.select(head.topology.triangle_region)
    names = head.topology.region_names
    for name in ("ears", "mouth_socket", "teeth"):
        assert weights[regions == names.index(name)].mean() < 0.05, name
    at = (np.arange(SIZE) * 3) + 1
    layers = annotation.layers[np.ix_(at, at)]
    for layer, weight in (("skin", 3), ("nose", 4), ("left_iris", 4), ("upper_lip", 4), ("hair", 0), ("neck", 0)):
        here = weights[(layers == LAYERS.index(layer)) & atlas.mask] * 16
        assert np.isin(here, [weight, 16]).all(), layer
