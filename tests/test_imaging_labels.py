"""Layers, dense landmarks, boxes and gaze of the embedded head, against what they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegen.annotation.annotate import annotate
from facegen.imaging.annotation import LAYERS, Annotation, layer_at
from facegen.imaging.atlas import Atlas
from facegen.imaging.camera import project
from facegen.imaging.channels import rebuild
from facegen.imaging.occluders import OCCLUDERS
from facegen.imaging.points import POINT_LABELS, box_of, five_points, gaze_directions, point_labels
from facegen.imaging.visibility import UNIT
from facegen.morphable.model import MorphableModel
from facegen.tests import synthetic
from facegen.tests.pictured import PEOPLE, Album, constant

NUMBER = {name: number for number, name in enumerate(LAYERS)}


@pytest.fixture(scope="module")
def annotation(head: MorphableModel) -> Annotation:
    return annotate(head)


@pytest.fixture(scope="module")
def album(head: MorphableModel) -> Album:
    return Album(head, 6, PEOPLE, (160, 144))


def layers_of(album: Album, annotation: Annotation, row: int) -> np.ndarray:  # type: ignore[type-arg]
    face = album.arrays(row)
    topology = album.model.topology
    channels = rebuild(
        ["layers"], topology, album.mesh(row), face["triangle_id"], face["barycentric"], annotation.layers
    )
    return channels["layers"]


def test_every_layer_has_its_places(head: MorphableModel, annotation: Annotation) -> None:
    inside = Atlas(head.topology, len(annotation.layers)).mask
    count = np.bincount(annotation.layers[inside], minlength=len(LAYERS))
    expected = set(LAYERS) - {"background", "shoulders", *OCCLUDERS} | {"hair"}
    assert {name for name in LAYERS if count[NUMBER[name]]} == expected
    # The head is symmetric but for the hair that is painted on it.
    for part in ("brow", "sclera", "iris", "ear"):
        left, right = count[NUMBER[f"left_{part}"]], count[NUMBER[f"right_{part}"]]
        assert left == pytest.approx(right, rel=0.03), part


def test_layers_refine_the_regions(album: Album, annotation: Annotation) -> None:
    regions_of = {
        "skin": {"face", "scalp", "neck", "eye_sockets"}, "nose": {"face", "nostrils"}, "left_brow": {"face"},
        "right_brow": {"face"}, "upper_lip": {"lips"}, "lower_lip": {"lips"}, "left_ear": {"ears"},
        "right_ear": {"ears"}, "hair": {"face", "scalp", "neck"}, "neck": {"neck"}, "teeth": {"teeth"},
        "left_sclera": {"eyeball_left"}, "left_iris": {"eyeball_left"}, "right_sclera": {"eyeball_right"},
        "right_iris": {"eyeball_right"}, "mouth": {"mouth_socket", "gums", "tongue"}, "lashes": {"lashes"},
    }  # fmt: skip
    names = album.model.topology.region_names
    agree, pixels = 0, 0
    for row in range(len(album.samples)):
        face = album.arrays(row)
        layers = layers_of(album, annotation, row)
        covered = face["triangle_id"] >= 0
        np.testing.assert_array_equal(layers > 0, covered)
        regions = album.model.topology.triangle_region[face["triangle_id"][covered]]
        pairs = zip(layers[covered].tolist(), regions.tolist(), strict=True)
        agree += sum(names[region] in regions_of[LAYERS[layer]] for layer, region in pairs)
        pixels += int(covered.sum())
    # A texel at a border may be of the region beside it.
    assert agree / pixels > 0.99


def test_the_iris_ends_at_its_angle(album: Album, annotation: Annotation) -> None:
    model = album.model
    seen = 0
    for row in range(len(album.samples)):
        face = album.arrays(row)
        layers = layers_of(album, annotation, row)
        for side, eye in zip(("left", "right"), model.eyes, strict=True):
            ball = model.topology.region_names.index(f"eyeball_{side}")
            here = (face["triangle_id"] >= 0) & (model.topology.triangle_region[face["triangle_id"]] == ball)
            direction = np.zeros(model.mean.shape)
            direction[eye.vertices] = eye.direction
            second = face["barycentric"][here] / UNIT
            weights = np.concatenate([1 - second.sum(axis=1, keepdims=True), second], axis=1)
            corner = direction[model.topology.triangles[face["triangle_id"][here]]]
            towards = (weights[:, :, None] * corner).sum(axis=1)
            angle = np.arccos(np.clip(towards[:, 2] / np.linalg.norm(towards, axis=1), -1, 1))
            clear = np.abs(angle - eye.iris_angle) > 0.06
            iris = layers[here] == NUMBER[f"{side}_iris"]
            np.testing.assert_array_equal(iris[clear], (angle < eye.iris_angle)[clear])
            seen += int(clear.sum())
    assert seen > 100


def test_layers_of_pixels_are_those_of_the_nearest_texel() -> None:
    layers = np.arange(16, dtype=np.uint8).reshape(4, 4)
    # Texture coordinates of texel centres, and of the corners of the texture.
    centre = (np.arange(4) + 0.5) / 4
    uv = np.stack(np.meshgrid(centre, 1 - centre), axis=-1).astype(np.float32)
    np.testing.assert_array_equal(layer_at(np.zeros((4, 4), np.int32), uv, layers), layers)
    corners = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 0]]], np.float32)
    np.testing.assert_array_equal(layer_at(np.zeros((2, 2), np.int32), corners, layers), [[0, 3], [12, 15]])
    assert not layer_at(np.full((2, 2), -1, np.int32), corners, layers).any()


def test_dense_landmarks_are_what_their_numbers_say(head: MorphableModel, annotation: Annotation) -> None:
    dense, topology = annotation.dense, head.topology
    assert len(dense) == 478
    np.testing.assert_allclose(dense.weights.sum(axis=1), 1, atol=1e-6)
    assert dense.weights.min() >= 0
    points = dense.on(head.mean, topology.triangles)
    assert len(np.unique(points, axis=0)) == 478
    np.testing.assert_array_equal(points[:68], head.mean[topology.landmarks])
    # The irises: the right one first; centre, then towards the right, up, left, down.
    for first, eye in ((68, head.eyes[1]), (73, head.eyes[0])):
        rays = points[first : first + 5].astype(np.float64) - eye.centre
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        s, c = np.sin(eye.iris_angle), np.cos(eye.iris_angle)
        np.testing.assert_allclose(rays, [[0, 0, 1], [-s, 0, c], [0, s, c], [s, 0, c], [0, -s, c]], atol=0.02)


def test_dense_landmarks_come_in_mirrored_pairs_and_cover_the_face_evenly(
    head: MorphableModel, annotation: Annotation
) -> None:
    points = annotation.dense.on(head.mean, head.topology.triangles)[78:].astype(np.float64)
    spacing = np.median(np.linalg.norm(np.diff(head.mean[head.topology.triangles], axis=1), axis=2))
    place = 0
    while place < 400:
        if abs(points[place, 0]) < 0.5:
            place += 1
            continue
        assert np.linalg.norm(points[place] * (-1, 1, 1) - points[place + 1]) < spacing
        place += 2
    # Any first n cover the face: what is farthest from them comes nearer and nearer.
    radius = [
        np.linalg.norm(points[:, None] - points[None, :n], axis=2).min(axis=1).max() for n in (50, 100, 200, 300, 399)
    ]
    assert radius == sorted(radius, reverse=True)
    assert radius[-1] < radius[0] / 3


def test_a_model_without_68_landmarks_has_no_dense_ones() -> None:
    model = synthetic.textured_model()
    annotation = annotate(model)
    assert len(annotation.dense) == 0
    assert annotation.layer_names == LAYERS
    assert set(np.unique(annotation.layers)) == {NUMBER["skin"]}


def test_without_eyeballs_the_irises_are_absent(head: MorphableModel, annotation: Annotation) -> None:
    blind = annotate(replace(head, eyes=()))
    assert len(blind.dense) == 468
    np.testing.assert_array_equal(blind.dense.triangle[68:], annotation.dense.triangle[78:])


def labels(album: Album, annotation: Annotation, row: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return point_labels(
        list(POINT_LABELS), album.model.topology, annotation.dense, album.pictured(row), album.arrays(row)
    )


def test_dense_labels_agree_with_the_68_and_with_the_camera(album: Album, annotation: Annotation) -> None:
    for row in range(len(album.samples)):
        face, found = album.arrays(row), labels(album, annotation, row)
        np.testing.assert_array_equal(found["dense_3d"][:68], face["landmarks_3d"])
        np.testing.assert_array_equal(found["dense_2d"][:68], face["landmarks_2d"])
        np.testing.assert_array_equal(found["dense_visible"][:68], face["landmark_visible"])
        on_mesh = annotation.dense.on(face["vertices"], album.model.topology.triangles).astype(np.float64)
        camera = on_mesh @ face["extrinsics"][:3, :3].T + face["extrinsics"][:3, 3]
        np.testing.assert_allclose(found["dense_3d"], camera, atol=1e-3)
        pixels = project(camera.astype(np.float32), face["intrinsics"], int(face["projection"]))
        np.testing.assert_allclose(found["dense_2d"], pixels, atol=1e-3)


def test_a_visible_dense_landmark_lies_at_the_depth_of_the_image(album: Album, annotation: Annotation) -> None:
    seen = 0
    for row in range(len(album.samples)):
        face, found = album.arrays(row), labels(album, annotation, row)
        channels = rebuild(["depth"], album.model.topology, album.mesh(row), face["triangle_id"], face["barycentric"])
        depth = channels["depth"]
        for (x, y), z, visible in zip(found["dense_2d"], found["dense_3d"][:, 2], found["dense_visible"], strict=True):
            if visible:
                r, c = int(y), int(x)
                near = depth[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
                assert np.abs(near[near > 0] - z).min() <= 1 + 2 * z / face["intrinsics"][0, 0]
                seen += 1
    assert seen > 1500


def test_closed_lids_hide_the_irises(head: MorphableModel, annotation: Annotation) -> None:
    straight = {"pose": {name: constant(0) for name in ("yaw", "pitch", "roll")}, "identity": constant(0)}
    names = head.expression_names
    for value, expected in ((0.0, True), (1.0, False)):
        album = Album(head, 1, {**straight, "expression": constant(0)}, (256, 256))
        samples = album.samples
        samples.expression[:, [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]] = value
        samples.gaze[:] = 0
        album = Album(head, samples, {}, (256, 256))
        visible = labels(album, annotation, 0)["dense_visible"]
        assert visible[[68, 73]].tolist() == [expected, expected]
        # The skin of the lids is seen either way.
        assert visible[17:27].all()


def test_five_points_and_box(album: Album, annotation: Annotation) -> None:
    for row in range(len(album.samples)):
        face, found = album.arrays(row), labels(album, annotation, row)
        marks = face["landmarks_2d"].astype(np.float64)
        expected = [marks[36:42].mean(axis=0), marks[42:48].mean(axis=0), marks[30], marks[48], marks[54]]
        np.testing.assert_allclose(found["points_5"], expected, atol=1e-4)
        left, top, right, bottom = found["face_box"]
        dense = found["dense_2d"]
        assert (left, top) == (dense[:, 0].min(), dense[:, 1].min())
        assert (right, bottom) == (dense[:, 0].max(), dense[:, 1].max())


def test_five_points_run_from_the_images_left_to_its_right() -> None:
    marks = np.zeros((68, 2), np.float32)
    marks[36:42, 0], marks[42:48, 0] = 10, 20
    marks[[30, 48, 54]] = [(15, 5), (12, 9), (18, 9)]
    np.testing.assert_array_equal(five_points(marks), [(10, 0), (20, 0), (15, 5), (12, 9), (18, 9)])
    np.testing.assert_array_equal(box_of(marks[36:48]), [10, 0, 20, 0])


def test_the_gaze_runs_from_the_eyeballs_centre_through_its_iris(head: MorphableModel, annotation: Annotation) -> None:
    sample = {**PEOPLE, "gaze": {"source": "drawn"}}
    album = Album(head, 5, sample, (96, 96))
    for row in range(5):
        found, face = labels(album, annotation, row), album.arrays(row)
        assert np.abs(face["gaze"]).max() > 0.02
        np.testing.assert_allclose(np.linalg.norm(found["gaze_direction"], axis=1), 1, atol=1e-6)
        for side, (eye, first) in enumerate(zip(head.eyes, (73, 68), strict=True)):
            # The ring of the iris is a circle about the optical axis: normal to its two diameters.
            ring = found["dense_3d"][first + 1 : first + 5].astype(np.float64)
            axis = np.cross(ring[2] - ring[0], ring[1] - ring[3])
            axis /= np.linalg.norm(axis)
            # Identity may stretch an eyeball a little.
            assert axis @ found["gaze_direction"][side] > np.cos(np.radians(2.0)), eye.iris_angle


def test_gaze_in_the_camera_frame() -> None:
    straight = np.zeros((2, 2), np.float32)
    identity = np.diag([1.0, -1.0, -1.0, 1.0])
    np.testing.assert_allclose(gaze_directions(straight, identity), [[0, 0, -1]] * 2)
    turned = np.array([[np.pi / 2, 0], [0, np.pi / 2]], np.float32)
    # To the subject's left is the image's right; upwards is against y.
    np.testing.assert_allclose(gaze_directions(turned, identity), [[1, 0, 0], [0, -1, 0]], atol=1e-6)
