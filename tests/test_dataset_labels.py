"""Labels that the reader makes of a real run: the same as from what the run rendered, wherever they are asked for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

from facegen.annotation.annotate import annotate
from facegen.dataset import FaceDataset
from facegen.dataset.preview import contact_sheet
from facegen.errors import DatasetError
from facegen.imaging.atlas import Atlas
from facegen.imaging.maps import MAPS, attribute_maps, weight_map
from facegen.imaging.points import POINT_LABELS, point_labels
from facegen.imaging.seen import Pictured
from facegen.morphable.model import MorphableModel
from facegen.stages.pack.schema import MAP_ARRAYS
from facegen.tests.command import facegen, only_line, quickstart, tree

DOCUMENT = Path(__file__).parents[1] / "docs" / "labels.md"

FACES = ("--faces", "6", "--set", "shard_size=3", "--set", "sample.images_per_identity=2")
MAPPED = (*FACES, "--set", "render.maps={size: 64}", "--set", "pack.channels=[layers]")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with attribute maps and stored layers. Not to be changed."""
    run = tmp_path_factory.mktemp("mapped") / "run"
    outcome = quickstart("run", run, *MAPPED)
    assert outcome.code == 0, outcome.err
    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same faces without maps. Not to be changed."""
    run = tmp_path_factory.mktemp("plain") / "run"
    outcome = quickstart("run", run, *FACES)
    assert outcome.code == 0, outcome.err
    return run


def test_all_labels_are_those_of_the_stored_arrays(mapped: Path, head: MorphableModel) -> None:
    dataset = FaceDataset(mapped, ["face"])
    assert {*POINT_LABELS, *MAPS, "layers"} <= {*dataset.available}
    annotation, atlas = annotate(head), Atlas(head.topology, 64)
    np.testing.assert_array_equal(dataset.annotation.layers, annotation.layers)
    np.testing.assert_array_equal(dataset.annotation.dense.weights, annotation.dense.weights)
    for index in range(len(dataset)):
        stored: dict[str, Any] = dataset.read(index, [name for name in dataset.available if name not in MAPS])
        picture = Pictured.of(head.topology, stored)
        expected = point_labels(list(POINT_LABELS), head.topology, annotation.dense, picture, stored)
        expected |= attribute_maps(MAPS, head.topology, atlas, picture, stored)
        found = dataset.read(index, list(expected))
        assert list(found) == [*POINT_LABELS, *MAPS]
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


def test_maps_change_nothing_of_the_faces(mapped: Path, plain: Path) -> None:
    one, other = FaceDataset(mapped), FaceDataset(plain)
    shared = [name for name in other.available if name in one.available and name not in MAPS]
    for index in range(len(one)):
        found, expected = one.read(index, shared), other.read(index, shared)
        for name in shared:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_maps_are_the_same_with_other_shards_and_workers(mapped: Path, tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", *MAPPED, "--set", "shard_size=4", "--workers", "2")
    assert outcome.code == 0, outcome.err
    one, other = FaceDataset(mapped), FaceDataset(tmp_path / "run")
    for index in range(len(one)):
        for array in MAP_ARRAYS:
            found, expected = one.read(index, [array.name]), other.read(index, [array.name])
            np.testing.assert_array_equal(found[array.name], expected[array.name], err_msg=array.name)
    again = quickstart("run", tmp_path / "again", *MAPPED, "--set", "shard_size=4", "--workers", "0")
    assert again.code == 0
    assert tree(tmp_path / "again" / "dataset.zarr") == tree(tmp_path / "run" / "dataset.zarr")


def test_maps_of_any_size(plain: Path, mapped: Path, head: MorphableModel) -> None:
    assert FaceDataset(plain, ["uv_position"])[0]["uv_position"].shape == (256, 256, 3)
    assert FaceDataset(mapped, ["uv_position"])[0]["uv_position"].shape == (64, 64, 3)
    dataset = FaceDataset(mapped, ["uv_identity", "uv_albedo"], map_size=96)
    assert dataset[0]["uv_identity"].shape == (96, 96, 3)
    # What is stored has the run's size.
    assert dataset[0]["uv_albedo"].shape == (64, 64, 3)
    atlas = Atlas(head.topology, 96)
    np.testing.assert_array_equal(dataset.uv_mask, atlas.mask)
    np.testing.assert_array_equal(dataset.uv_weight, weight_map(head.topology, dataset.annotation, atlas))
    for size in (0, -1, 10**6):
        with pytest.raises(DatasetError, match=f"map_size is {size}, expected 1 to 8192"):
            FaceDataset(plain, map_size=size)


def test_without_maps_identity_and_expression_are_not_to_be_had(plain: Path) -> None:
    assert not {"uv_identity", "uv_expression", "uv_albedo"} & {*FaceDataset(plain).available}
    with pytest.raises(DatasetError, match="unknown channel 'uv_identity'"):
        FaceDataset(plain, ["uv_identity"])


def test_stored_layers_are_those_that_are_made(mapped: Path, plain: Path) -> None:
    stored = zarr.open_group(mapped / "dataset.zarr", mode="r")["channels/layers"]
    assert isinstance(stored, zarr.Array)
    made = FaceDataset(plain, ["layers"])
    for index, face in enumerate(made.faces):
        np.testing.assert_array_equal(stored[int(face)], made[index]["layers"])
    names = made.annotation.layer_names
    assert {"skin", "nose", "left_iris", "upper_lip", "hair"} <= {names[n] for n in np.unique(stored[:])}


def test_images_of_one_person_share_its_identity_map(mapped: Path) -> None:
    dataset = FaceDataset(mapped, ["identity_number", "uv_identity"])
    items = list(dataset)
    for one in items:
        for other in items:
            same = np.array_equal(one["uv_identity"], other["uv_identity"])
            assert same == bool(one["identity_number"] == other["identity_number"])


def test_flow_between_two_images_of_one_person(plain: Path) -> None:
    dataset = FaceDataset(plain)
    found = dataset.flow(0, 1)
    height, width = dataset[0]["image"].shape[:2]
    assert found.displacement.shape == (height, width, 2)
    assert found.visible.sum() > 100
    # There and back again: a place that both show comes back to its pixel.
    back = dataset.flow(1, 0)
    rows, columns = np.nonzero(found.visible)
    there = np.stack([columns + 0.5, rows + 0.5], axis=1) + found.displacement[rows, columns]
    at = there[:, 1].astype(int), there[:, 0].astype(int)
    home = there + back.displacement[at]
    off = np.linalg.norm(home - np.stack([columns + 0.5, rows + 0.5], axis=1), axis=1)[back.visible[at]]
    # The way back starts at the centre of the pixel that the way there ends in.
    assert np.median(off) < 1.0


def test_a_dataset_that_was_used_still_travels(mapped: Path) -> None:
    dataset = FaceDataset(mapped, ["uv_identity", "dense_2d"])
    item = dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    np.testing.assert_array_equal(pickle.loads(data)[0]["uv_identity"], item["uv_identity"])


def test_every_label_is_described() -> None:
    lines = DOCUMENT.read_text().splitlines()
    for name, label in POINT_LABELS.items():
        shape = "(" + ", ".join(map(str, label.shape)) + ("," if len(label.shape) == 1 else "") + ")"
        assert f"| `{name}` | {shape} | {label.dtype} | {label.unit} | {label.frame} | {label.description} |" in lines
    for name, label in MAPS.items():
        shape = "(" + ", ".join(["S", "S", *map(str, label.shape)]) + ")"
        assert f"| `{name}` | {shape} | {label.dtype} | {label.unit} | {label.frame} | {label.description} |" in lines


def test_a_sheet_of_all_labels(mapped: Path) -> None:
    names = ("image", "layers", "dense", *(name for name in MAPS if name != "uv_visible"), "uv_albedo")
    sheet = contact_sheet(FaceDataset(mapped), [0, 1], names, cell=48)
    assert isinstance(sheet, Image.Image)
    assert sheet.size[0] > len(names) * 48
    # No cell is empty.
    pixels = np.asarray(sheet)[20:68]
    for place in range(len(names)):
        cell = pixels[:, 20 + place * 52 : 68 + place * 52].reshape(-1, 3)
        assert len(np.unique(cell, axis=0)) > 5, names[place]


def test_a_wrong_size_of_maps_is_refused(tmp_path: Path) -> None:
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", "--set", "render.maps={size: 3}")
    assert outcome.code == 2
    assert "render.maps.size" in only_line(outcome.err)
