"""Shadows in the pictures of a run: there where the configuration has them, of the face and of things beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.imaging.in_view import may_be_seen
from facegen.imaging.mesh import CameraMesh
from facegen.morphable.model import MorphableModel
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.objects.compositor import PlacedThing
from facegen.stages.render.objects.thing import HAND, MATTE, Thing
from facegen.stages.render.renderer import View
from facegen.stages.render.shadows import Shadows
from facegen.tests.pictured import PEOPLE, Album, constant

TWO_LIGHTS = np.array([[0.3, -0.7, -0.65, 0], [-250, -100, 450, 1]], np.float32)


def view_of(album: Album, row: int, light: NDArray[np.float32]) -> View:
    """A face of an album in lights (M, 4), in vertex colours."""
    samples, (height, width) = album.samples, album.renders.image.shape[1:3]
    return View(
        vertices=album.renders.vertices[row],
        albedo=np.full((album.model.topology.vertex_count, 3), 0.6, np.float32),
        iris_colour=samples.iris_colour[row],
        projection=int(samples.projection[row]),
        intrinsics=samples.intrinsics[row],
        extrinsics=samples.extrinsics[row],
        light_sh=np.zeros((9, 3), np.float32),
        light_position=light,
        light_colour=np.full((len(light), 3), 0.8, np.float32),
        background=np.zeros((height, width, 3), np.uint8),
    )


def plate(centre: NDArray[np.float32], half: float, *, clear: bool = False) -> Thing:
    """A level square of 9 by 9 vertices over a point, model frame, mm; seen from above."""
    line = np.linspace(-half, half, 9, dtype=np.float32)
    x, z = np.meshgrid(line, line)
    vertices = centre + np.stack([x.ravel(), np.zeros(81, np.float32), z.ravel()], axis=1)
    corner = np.arange(81).reshape(9, 9)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return Thing(
        vertices.astype(np.float32), triangles.astype(np.uint32), np.full((81, 3), 0.5, np.float32),
        np.full(len(triangles), MATTE, np.uint8), HAND, np.full(3, 0.9, np.float32) if clear else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lit_from_above(head: MorphableModel) -> dict[str, object]:
    """Frontal faces under a strong light from above, and little else."""
    return {
        **PEOPLE,
        "pose": {name: constant(0) for name in ("yaw", "pitch", "roll")},
        "expression": constant(0),
        "light": {
            "ambient": constant(0.15), "intensity": constant(1.2), "elevation": constant(65), "azimuth": constant(0),
            "radius": constant(2),
        },
    }  # fmt: skip


def test_shadows_darken_and_change_no_label(head: MorphableModel, lit_from_above: dict[str, object]) -> None:
    size = (128, 128)
    without, shadowed = (Album(head, 3, lit_from_above, size, shadows=on) for on in (False, True))
    for name, value in without.renders.as_dict().items():
        if name != "image":
            np.testing.assert_array_equal(value, getattr(shadowed.renders, name), err_msg=name)
    before, after = without.renders.image.astype(np.int64), shadowed.renders.image.astype(np.int64)
    assert (after <= before).all()
    # Below the nose and on the neck, not on the forehead.
    for row in range(3):
        marks = shadowed.renders.landmarks_2d[row]
        darker = (before[row] - after[row]).sum(axis=2) > 20
        x, y = int(marks[33, 0]), int((marks[33, 1] + marks[51, 1]) / 2)
        assert darker[y - 1 : y + 2, x - 1 : x + 2].any()
        forehead = int(marks[27, 1] - 1.2 * (marks[33, 1] - marks[27, 1]))
        assert not darker[forehead - 3 : forehead + 1, int(marks[27, 0]) - 4 : int(marks[27, 0]) + 5].any()


def test_a_wider_light_gives_softer_shadows(head: MorphableModel, lit_from_above: dict[str, object]) -> None:
    hard = Album(head, 1, lit_from_above, (160, 160))
    soft = Album(head, replace(hard.samples, light_radius=np.full((1, 1), 0.5, np.float32)), {}, (160, 160))
    # Somewhere the light that is kept away by both is kept away by halves of the wide one only.
    one, other = (album.renders.image[0].astype(np.int64).sum(axis=2) for album in (hard, soft))
    assert (other - one > 40).sum() > 20
    assert (one - other > 40).sum() > 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"light_radius": np.full((1, 1), np.nan, np.float32)}, "light_radius is not finite"),
        ({"light_position": np.array([[[0, 0, np.inf, 1]]], np.float32)}, "light_position is not finite"),
        ({"light_position": np.array([[[0, 0, -1e16, 1]]], np.float32)}, r"a light is 1e\+16 mm from the camera"),
        ({"light_colour": np.full((1, 1, 3), 1e7, np.float32)}, r"the light is 1e\+07, more than 1e\+06"),
    ],
)
def test_lights_that_cannot_be_drawn_fail_their_face(
    head: MorphableModel, lit_from_above: dict[str, object], change: dict[str, NDArray[np.float32]], told: str
) -> None:
    album = Album(head, 1, lit_from_above, (32, 32))
    with pytest.raises(AssertionError, match=told):
        Album(head, replace(album.samples, **change), {}, (32, 32))


@pytest.mark.parametrize("projection", ["perspective", "scaled-orthographic"])
def test_light_on_what_is_not_seen_changes_no_byte(head: MorphableModel, projection: str) -> None:
    turns = {name: {"law": "uniform", "low": -70, "high": 70} for name in ("yaw", "pitch")}
    near = {"projection": projection, "frame": {"law": "uniform", "low": 60, "high": 400}}
    album = Album(head, 16, {**PEOPLE, "pose": turns, "camera": near}, (48, 64))
    renderer, shadows = NumbaRenderer(head, 48, 64), Shadows(head, 48, 64)
    rng = np.random.default_rng(1)
    for row in range(16):
        view, _ = shadows.cast(view_of(album, row, TWO_LIGHTS), np.array([0.05, 40], np.float32), [])
        frame = renderer.render(view)
        seen = may_be_seen(frame.mesh.vertices, frame.mesh.triangles, view.intrinsics, view.projection, 48, 64)
        assert view.lit is not None
        assert not seen.all()
        noise = rng.random((2, len(seen))).astype(np.float32)
        other = renderer.render(replace(view, lit=np.where(seen, view.lit, noise)))
        np.testing.assert_array_equal(other.image, frame.image)


def test_things_shadow_the_face_and_the_face_things(head: MorphableModel) -> None:
    straight = {**PEOPLE, "pose": {name: constant(0) for name in ("yaw", "pitch", "roll")}}
    album = Album(head, 1, straight, (64, 64))
    above = np.array([[0, -0.94, -0.34, 0]], np.float32)
    view, radius = view_of(album, 0, above), np.full(1, 0.05, np.float32)
    marks = view.vertices[head.topology.landmarks]
    shadows = Shadows(head, 64, 64)

    def cast(*things: Thing) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        placed = [PlacedThing.of(thing, view.extrinsics, 1) for thing in things]
        shaded, reached = shadows.cast(view, radius, placed)
        assert shaded.lit is not None
        return shaded.lit[0], [thing.lit[0] for thing in reached]

    alone, _ = cast()
    brow = marks[17:27].mean(axis=0) + np.array([0, 45, 60], np.float32)
    shaded, _ = cast(plate(brow, 40))
    mesh = CameraMesh.from_model(view.vertices, head.topology.triangles, view.extrinsics)
    nose = np.linalg.norm(view.vertices - marks[30], axis=1) < 12
    nose &= may_be_seen(mesh.vertices, mesh.triangles, view.intrinsics, view.projection, 64, 64)
    assert (alone[nose] > 0.9).any()
    assert (shaded[nose] < 0.1).all()
    # Glass is no shade.
    clear, _ = cast(plate(brow, 40, clear=True))
    np.testing.assert_allclose(clear, alone, atol=0.35)
    assert np.abs(clear - alone).mean() < 0.01
    # Below the chin, and below another plate, things are in the dark.
    low = plate(marks[8] + np.array([0, -15, -15], np.float32), 6)
    _, (under_chin,) = cast(low)
    assert under_chin.max() < 0.1
    front = marks[33] + np.array([0, 0, 60], np.float32)
    _, (free, covered) = cast(plate(front, 30), plate(front - np.array([0, 10, 0], np.float32), 8))
    assert (free == 1).all()
    assert covered.max() < 0.1
