"""Layers of ICT-FaceKit, whose mesh has no regions for ears and neck. Needs its file."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facegen.annotation.layers import draw_layers
from facegen.imaging.annotation import LAYERS
from facegen.imaging.atlas import Atlas
from facegen.morphable.bust import with_bust
from facegen.morphable.ict.build import build_ict
from facegen.morphable.ict.source import read_npz
from facegen.morphable.model import MorphableModel
from facegen.tests.data_paths import shared_path

NUMBER = {name: number for number, name in enumerate(LAYERS)}
ON_THE_FACE = {"skin", "nose", "left_brow", "right_brow", "left_sclera", "right_sclera", "left_iris", "right_iris"} | {
    "upper_lip", "lower_lip", "mouth", "teeth"
}  # fmt: skip


@lru_cache(maxsize=1)
def drawn() -> tuple[MorphableModel, Atlas, NDArray[np.uint8]]:
    model = with_bust(build_ict(read_npz(shared_path("models/ict-facekit/ict_facekit.npz"))))
    atlas = Atlas(model.topology, 512)
    return model, atlas, draw_layers(model, atlas)


def test_every_layer_but_hair_and_lashes_has_its_places() -> None:
    _, atlas, layers = drawn()
    count = np.bincount(layers[atlas.mask], minlength=len(LAYERS))
    assert {name for name in LAYERS if count[NUMBER[name]]} == {
        *ON_THE_FACE, "left_ear", "right_ear", "neck", "shoulders"
    }  # fmt: skip
    for part in ("ear", "brow", "sclera", "iris"):
        left, right = count[NUMBER[f"left_{part}"]], count[NUMBER[f"right_{part}"]]
        assert abs(left - right) <= 0.03 * right, part


def test_each_ear_is_one_piece_without_holes_and_the_other_ones_mirror_image() -> None:
    model, _, _ = drawn()
    inside = model.vertex_masks["ears"]
    triangles = model.topology.triangles[inside[model.topology.triangles].all(axis=1)]
    edges = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])), axis=0
    )
    for sign in (1, -1):
        here = sign * model.mean[:, 0] > 0
        vertices = np.unique(triangles[here[triangles].all(axis=1)])
        # Euler: a disk has one vertex more than it has edges less triangles.
        assert len(vertices) - here[edges].all(axis=1).sum() + here[triangles].all(axis=1).sum() == 1
    left = model.mean[inside & (model.mean[:, 0] > 0)].astype(np.float64)
    right = model.mean[inside & (model.mean[:, 0] < 0)] * (-1.0, 1.0, 1.0)
    assert len(left) == len(right) > 500
    assert np.linalg.norm(left[:, None] - right[None], axis=2).min(axis=1).max() < 0.5


def test_ears_stand_off_the_head() -> None:
    model, _, _ = drawn()
    ears = np.flatnonzero(model.vertex_masks["ears"])
    across = np.abs(model.mean[:, 0])
    # All that reaches farther out than the skull is ear, from the height of the mouth's corners up.
    above = (model.mean[:, 1] > model.mean[model.topology.landmarks[48], 1]) & (across > 82)
    assert set(np.flatnonzero(above)) <= set(ears)
    # … and no ear goes deeper than the jaw's upper ends but in its canal.
    ends = across[model.topology.landmarks[[0, 16]]].mean()
    assert np.quantile(across[ears], 0.02) > ends - 8
    assert not set(model.topology.landmarks) & set(ears)


def test_the_neck_begins_below_the_jaw() -> None:
    model, atlas, layers = drawn()
    place = atlas.interpolate(model.mean)
    marks = model.mean[model.topology.landmarks]
    neck = atlas.mask & (layers == NUMBER["neck"])
    ear = atlas.mask & (layers == NUMBER["left_ear"])
    assert place[neck][:, 1].max() < place[ear][:, 1].min()
    region = model.topology.triangle_region[atlas.triangle[neck]]
    assert {model.topology.region_names[number] for number in np.unique(region)} == {"face", "head_and_neck"}
    # All landmarks are on the face, those of the jaw and the chin as well.
    uv = np.zeros((len(model.mean), 2), np.float32)
    uv[model.topology.triangles] = model.topology.uv[model.topology.uv_triangles]
    at = (uv[model.topology.landmarks] * (1, -1) + (0, 1)) * atlas.size
    column, row = at.astype(np.int64).clip(0, atlas.size - 1).T
    assert {LAYERS[number] for number in layers[row, column]} <= ON_THE_FACE
    assert (layers[row, column][:17] == NUMBER["skin"]).all()
    # Nothing below the chin is skin.
    low = atlas.mask & (place[..., 1] < marks[8, 1] - 14) & (place[..., 1] > marks[8, 1] - 80)
    assert set(np.unique(layers[low])) <= {NUMBER["neck"], NUMBER["shoulders"]}
