"""Labels of faces that something covers: those of what is seen stop there, those of the face's shape go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.annotation.annotate import annotate
from facegen.imaging.annotation import LAYERS, Annotation
from facegen.imaging.atlas import Atlas
from facegen.imaging.channels import CHANNELS, rebuild
from facegen.imaging.flow import flow
from facegen.imaging.maps import attribute_maps
from facegen.imaging.occluders import NONE, OCCLUDERS
from facegen.imaging.points import dense_points
from facegen.imaging.seen import Pictured
from facegen.morphable.model import MorphableModel
from facegen.tests.pictured import PEOPLE, Album

SIZE = 96
OF_WHAT_IS_SEEN = ("mask", "segmentation", "layers")


@pytest.fixture(scope="module")
def album(head: MorphableModel) -> Album:
    return Album(head, 2, PEOPLE, (SIZE, SIZE))


@pytest.fixture(scope="module")
def annotation(head: MorphableModel) -> Annotation:
    return annotate(head)


@pytest.fixture
def occluder() -> NDArray[np.uint8]:
    """Stripes of all kinds, none among them."""
    stripes: NDArray[np.uint8] = np.broadcast_to(np.arange(SIZE, dtype=np.uint8) // 7 % len(OCCLUDERS), (SIZE, SIZE))
    return stripes


def channels_of(
    picture: Pictured, head: MorphableModel, annotation: Annotation, occluder: NDArray[np.uint8] | None
) -> dict[str, NDArray[np.generic]]:
    return rebuild(
        CHANNELS, head.topology, picture.mesh, picture.triangle_id, picture.barycentric, annotation.layers, occluder
    )


def test_channels(album: Album, head: MorphableModel, annotation: Annotation, occluder: NDArray[np.uint8]) -> None:
    picture = album.pictured(0)
    whole, covered = (channels_of(picture, head, annotation, given) for given in (None, occluder))
    free = occluder == NONE
    for name in CHANNELS:
        if name in OF_WHAT_IS_SEEN:
            np.testing.assert_array_equal(covered[name][free], whole[name][free])
        else:
            np.testing.assert_array_equal(covered[name], whole[name])
    assert not covered["mask"][~free].any()
    assert not covered["segmentation"][~free].any()
    named = np.array(LAYERS)[covered["layers"][~free].astype(int)]
    np.testing.assert_array_equal(named, np.array(OCCLUDERS)[occluder[~free]])
    np.testing.assert_array_equal(whole["mask"], whole["amodal_mask"])


def test_what_is_covered_is_not_visible(
    album: Album, head: MorphableModel, annotation: Annotation, occluder: NDArray[np.uint8]
) -> None:
    plain, other = album.pictured(0), album.pictured(1)
    covered = replace(plain, occluder=occluder)
    free = occluder == NONE
    points, hidden = (dense_points(annotation.dense, head.topology, picture) for picture in (plain, covered))
    np.testing.assert_array_equal(points.points_2d, hidden.points_2d)
    assert (hidden.visible <= points.visible).all()
    # A stripe is seven pixels wide: in its inner ones nothing of another stripe is near.
    inside = np.flatnonzero(points.visible)
    column, row = points.points_2d[inside].astype(int).T
    near = np.stack([free[row, (column + shift).clip(0, SIZE - 1)] for shift in (-1, 0, 1)])
    assert hidden.visible[inside[near.all(axis=0)]].all()
    assert not hidden.visible[inside[~near.any(axis=0)]].any()
    # Texels and flow look at the very pixel.
    atlas, stored = Atlas(head.topology, 64), album.arrays(0)
    before, after = (
        attribute_maps(["uv_visible"], head.topology, atlas, picture, stored)["uv_visible"]
        for picture in (plain, covered)
    )
    assert (after <= before).all()
    assert 0 < after.sum() < before.sum()
    to_covered, to_plain = flow(head.topology, other, covered), flow(head.topology, other, plain)
    rows, columns = np.nonzero(to_plain.visible)
    place = to_plain.displacement[rows, columns] + np.stack([columns + 0.5, rows + 0.5], axis=1)
    np.testing.assert_array_equal(
        to_covered.visible[rows, columns], free[place[:, 1].astype(int), place[:, 0].astype(int)]
    )
    source = flow(head.topology, covered, other)
    assert not source.visible[~free].any()
    assert not source.displacement[~free].any()


def test_an_occluder_that_is_none_is_refused(album: Album, head: MorphableModel, annotation: Annotation) -> None:
    wrong = np.full((SIZE, SIZE), len(OCCLUDERS), np.uint8)
    with pytest.raises(ValueError, match=f"occluder is up to {len(OCCLUDERS)}, expected at most {len(OCCLUDERS) - 1}"):
        channels_of(album.pictured(0), head, annotation, wrong)
