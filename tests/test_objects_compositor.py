"""Things drawn into pictures: by depth, with the face's shading, and what labels make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.channels import rebuild
from facegen.imaging.occluders import HAND, NONE, OCCLUDERS, SUNGLASSES
from facegen.imaging.rasterise import rasterise
from facegen.morphable.model import MorphableModel
from facegen.stages.render.linear import decode_srgb
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.objects.compositor import Composite, Compositor, PlacedThing
from facegen.stages.render.objects.thing import FLESH, MATTE, Thing
from facegen.stages.render.renderer import Frame, View
from facegen.tests.scenes import sphere_model, view_of

SIZE = 72
PROJECTIONS = pytest.mark.parametrize("projection", [PERSPECTIVE, SCALED_ORTHOGRAPHIC], ids=["perspective", "ortho"])

Float = NDArray[np.float32]


@pytest.fixture(scope="module")
def ball() -> MorphableModel:
    return sphere_model()


def quad(z: float, half: float = 40.0, *, tilt: float = 0.0, label: int = HAND, clear: float | None = None) -> Thing:
    """A square about the axis in the model frame, facing the viewer; ``tilt`` mm nearer per mm to the right."""
    x, y = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
    return Thing(
        vertices=np.stack([x, y, z + tilt * x], axis=1).astype(np.float32),
        triangles=np.array([[0, 1, 2], [0, 2, 3]], np.uint32),
        albedo=np.full((4, 3), 0.4, np.float32),
        material=np.full(2, MATTE, np.uint8),
        label=label,
        transmission=None if clear is None else np.full(3, clear, np.float32),
    )


def composed(model: MorphableModel, view: View, *things: Thing, frame: Frame | None = None) -> tuple[Frame, Composite]:
    frame = frame or NumbaRenderer(model, SIZE, SIZE).render(view)
    placed = [PlacedThing.of(thing, view.extrinsics, len(view.light_position)) for thing in things]
    return frame, Compositor(model.topology, SIZE, SIZE).draw(frame, view, placed)


def covered(thing: Thing, view: View) -> NDArray[np.bool_]:
    """(H, W) where a thing alone would be seen, by the rule of images."""
    mesh = PlacedThing.of(thing, view.extrinsics, 1).mesh
    triangle, _ = rasterise(mesh.vertices, mesh.triangles, view.intrinsics, view.projection, SIZE, SIZE)
    return triangle >= 0


def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    return np.any([padded[y : y + SIZE, x : x + SIZE] for y in range(3) for x in range(3)], axis=0)


@PROJECTIONS
def test_a_thing_in_front_covers_its_pixels_and_no_other_changes(ball: MorphableModel, projection: int) -> None:
    view = view_of(ball, SIZE, SIZE, projection=projection)
    thing = quad(120.0)
    frame, composite = composed(ball, view, thing)
    mask = covered(thing, view)
    assert mask.sum() > 100
    assert np.array_equal(composite.occluder, np.where(mask, HAND, NONE))
    assert np.array_equal(composite.image[~dilated(mask)], frame.image[~dilated(mask)])
    assert (composite.image[mask] != frame.image[mask]).any(axis=1).mean() > 0.9


@PROJECTIONS
def test_a_thing_behind_is_seen_beside_the_face_alone(ball: MorphableModel, projection: int) -> None:
    view = view_of(ball, SIZE, SIZE, projection=projection)
    thing = quad(-110.0, 130.0)
    frame, composite = composed(ball, view, thing)
    face = frame.triangle_id >= 0
    assert np.array_equal(composite.occluder, np.where(covered(thing, view) & ~face, HAND, NONE))
    assert np.array_equal(composite.image[~dilated(~face)], frame.image[~dilated(~face)])
    assert composite.occluder.any()


@PROJECTIONS
def test_a_thing_that_runs_through_the_face_is_cut_by_depth(ball: MorphableModel, projection: int) -> None:
    view = view_of(ball, SIZE, SIZE, projection=projection)
    thing = quad(95.0, 90.0, tilt=0.4)
    frame, composite = composed(ball, view, thing)
    depth = rebuild(["depth"], ball.topology, frame.mesh, frame.triangle_id, frame.barycentric)["depth"]
    # The plane's depth in closed form: z = 95 + 0.4 x in the model, along the ray of each pixel.
    plane = _plane_depth(view, 95.0, 0.4)
    mask = covered(thing, view)
    sure = np.abs(plane - depth) > 0.02
    expected = mask & ((frame.triangle_id < 0) | (plane < depth))
    assert np.array_equal(composite.occluder[sure] != NONE, expected[sure])
    assert sure.mean() > 0.98
    assert 0.05 < expected[frame.triangle_id >= 0].mean() < 0.95


def _plane_depth(view: View, height: float, slope: float) -> NDArray[np.float64]:
    """(H, W) mm: z in the camera of the plane z = height + slope x of the model."""
    matrix = view.extrinsics
    rotation, shift = matrix[:3, :3], matrix[:3, 3]
    normal = rotation @ np.array([-slope, 0.0, 1.0])
    offset = height + normal @ shift
    k = view.intrinsics
    u = (np.arange(SIZE) + 0.5 - k[0, 2]) / k[0, 0]
    v = ((np.arange(SIZE) + 0.5 - k[1, 2]) / k[1, 1])[:, None]
    if view.projection == PERSPECTIVE:
        return offset / (normal[0] * u + normal[1] * v + normal[2])
    return (offset - normal[0] * u - normal[1] * v) / normal[2]


@PROJECTIONS
def test_a_face_as_a_thing_is_the_face(ball: MorphableModel, projection: int) -> None:
    """The picture of a mesh drawn as a thing over an empty scene is that of the renderer, byte for byte."""
    view = view_of(ball, SIZE, SIZE, projection=projection)
    expected = NumbaRenderer(ball, SIZE, SIZE).render(view)
    assert view.albedo is not None
    count = len(ball.topology.triangles)
    thing = Thing(
        view.vertices, ball.topology.triangles.view(np.uint32), view.albedo, np.full(count, FLESH, np.uint8), HAND
    )
    empty = Frame(
        view.background.copy(), np.full((SIZE, SIZE), -1, np.int32), np.zeros((SIZE, SIZE, 2), np.uint16), expected.mesh
    )
    _, composite = composed(ball, view, thing, frame=empty)
    assert np.array_equal(composite.occluder != NONE, expected.triangle_id >= 0)
    assert np.array_equal(composite.image, expected.image)


def test_light_that_passes_through_is_dimmed(ball: MorphableModel) -> None:
    view = view_of(ball, SIZE, SIZE)
    # In the dark there is nothing to mirror.
    lights = np.zeros_like(view.light_colour)
    frame = NumbaRenderer(ball, SIZE, SIZE).render(view)
    dark = replace(view, light_sh=np.zeros((9, 3), np.float32), light_colour=lights)
    thing = quad(120.0, clear=0.5, label=SUNGLASSES)
    _, composite = composed(ball, dark, thing, frame=frame)
    mask = covered(thing, view)
    inner = ~dilated(~mask)
    before, after = decode_srgb(frame.image)[inner], decode_srgb(composite.image)[inner]
    # A byte is at most 1 % of white.
    assert np.abs(after - 0.5 * before).max() < 0.01
    assert np.array_equal(composite.occluder, np.where(mask, SUNGLASSES, NONE))
    assert np.array_equal(composite.image[~dilated(mask)], frame.image[~dilated(mask)])


def test_glass_that_takes_nothing_covers_nothing(ball: MorphableModel) -> None:
    view = view_of(ball, SIZE, SIZE)
    frame = NumbaRenderer(ball, SIZE, SIZE).render(view)
    dark = replace(view, light_sh=np.zeros((9, 3), np.float32), light_colour=np.zeros_like(view.light_colour))
    _, composite = composed(ball, dark, quad(120.0, clear=1.0, label=NONE), frame=frame)
    assert not composite.occluder.any()
    assert np.array_equal(composite.image, frame.image)


def test_the_order_of_things_does_not_matter(ball: MorphableModel) -> None:
    view = view_of(ball, SIZE, SIZE)
    things = [quad(120.0), quad(140.0, 20.0, label=OCCLUDERS.index("hat")), quad(160.0, 50.0, clear=0.5, label=NONE)]
    _, one = composed(ball, view, *things)
    _, other = composed(ball, view, *reversed(things))
    assert np.array_equal(one.occluder, other.occluder)
    assert np.array_equal(one.image, other.image)
    assert set(np.unique(one.occluder)) == {NONE, HAND, OCCLUDERS.index("hat")}


def test_what_is_behind_the_camera_is_not_drawn(ball: MorphableModel) -> None:
    view = view_of(ball, SIZE, SIZE)
    frame, composite = composed(ball, view, quad(5000.0))
    assert not composite.occluder.any()
    assert np.array_equal(composite.image, frame.image)
