"""Shadows: where geometry says that a light is blocked, soft by as much as the light is wide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.imaging.in_view import may_be_seen
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import rasterise
from facegen.imaging.shadow_lookup import SIZE
from facegen.imaging.shadows import FARTHEST, Body, ShadowCaster, edge_lengths
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]
Mesh = tuple[Float, NDArray[np.int32]]

SPACING = 4.0

UP = np.array([0, 0, 1, 0], np.float32)
"""A light at infinity over the floor."""


def floor(half: float = 150.0) -> Mesh:
    """A square of vertices every 4 mm in the plane z = 0, seen from +z."""
    line = np.arange(-half, half + 1, SPACING)
    x, y = np.meshgrid(line, line)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    n = len(line)
    corner = np.arange(n * n).reshape(n, n)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return vertices, triangles.astype(np.int32)


def disc(radius: float, height: float) -> Mesh:
    """A disc above the floor's middle, seen from +z."""
    around = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    rim = np.stack([radius * np.cos(around), radius * np.sin(around), np.full(180, height)], axis=1)
    vertices = np.concatenate([[[0, 0, height]], rim]).astype(np.float32)
    step = np.arange(180)
    triangles = np.stack([np.zeros(180, int), 1 + step, 1 + (step + 1) % 180], axis=1)
    return vertices, triangles.astype(np.int32)


def ball(radius: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0), rows: int = 60) -> Mesh:
    """A closed ball."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, 3 * rows // 2, endpoint=False))
    ring = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    corner = np.arange(ring.shape[0] * ring.shape[1]).reshape(ring.shape[:2])
    a, b = corner[:, :-1], corner[:, 1:]
    c, d = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    vertices = radius * ring.reshape(-1, 3) + np.array(centre)
    return vertices.astype(np.float32), triangles.astype(np.int32)


def body(mesh: Mesh, *, casts: bool = True) -> Body:
    """All of a mesh looked at."""
    vertices, triangles = mesh[0], mesh[1].view(np.uint32)
    seen = np.ones(len(vertices), np.bool_)
    return Body(CameraMesh(vertices, triangles), edge_lengths(vertices, triangles), seen, casts)


def merged(parts: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    triangles = [part[1] + start for part, start in zip(parts, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(triangles).astype(np.int32)


def reached(face: Mesh, light: Float, radius: float, *things: Body) -> list[Float]:
    """What one light reaches of each body's vertices."""
    caster = ShadowCaster(face[1].view(np.uint32), len(face[0]))
    white = np.ones((1, 3), np.float32)
    found = caster.reached(light[None], white, np.array([radius], np.float32), body(face), things)
    return [share[0] for share in found]


def cast(parts: list[Mesh], light: Float, radius: float) -> list[Float]:
    """What one light reaches of the vertices of each part of a mesh."""
    (share,) = reached(merged(parts), light, radius)
    return np.split(share, np.cumsum([len(vertices) for vertices, _ in parts])[:-1])


def overlap(distance: NDArray[np.float64], one: float, other: float) -> NDArray[np.float64]:
    """Area that two discs of these radii share, by the distance of their centres."""
    d = np.clip(distance, abs(one - other) + 1e-9, one + other - 1e-9)
    first = np.arccos(np.clip((d**2 + one**2 - other**2) / (2 * d * one), -1, 1))
    second = np.arccos(np.clip((d**2 + other**2 - one**2) / (2 * d * other), -1, 1))
    lens = one**2 * (first - np.sin(2 * first) / 2) + other**2 * (second - np.sin(2 * second) / 2)
    inside = np.pi * min(one, other) ** 2
    found: NDArray[np.float64] = np.where(
        distance >= one + other, 0.0, np.where(distance <= abs(one - other), inside, lens)
    )
    return found


@pytest.mark.parametrize("tilt", [0.0, 0.35])
@pytest.mark.parametrize("softness", [math.radians(2), math.radians(5), math.radians(10)])
def test_the_shadow_of_a_disc_is_that_of_geometry(tilt: float, softness: float) -> None:
    radius, height = 40.0, 50.0
    light = np.array([math.sin(tilt), 0, math.cos(tilt), 0], np.float32)
    ground = floor()
    on_floor, on_disc = cast([ground, disc(radius, height)], light, softness)
    # Seen along the light, in the plane across it, disc and floor are ellipses; upright they are discs.
    x, y = ground[0][:, 0] + height * math.tan(tilt), ground[0][:, 1]
    away = np.hypot(x, y)
    assert (on_disc == 1).all()
    # What blurs more than the light: a texel, and what the mesh can show.
    texel = 300 / SIZE
    reach = height / math.cos(tilt) ** 2 * math.tan(softness) + texel + 0.6 * 1.14 * SPACING
    assert (on_floor[away < radius - reach] == 0).all()
    assert (on_floor[away > radius + reach] == 1).all()
    if tilt == 0:
        wide = height * math.tan(softness)
        true = 1 - overlap(away, radius, wide) / (np.pi * wide**2)
        # A sharp edge is blurred by what the mesh can show; a wide penumbra is not.
        assert np.abs(on_floor - true).max() < (0.12 if wide > 8 else 0.3 if wide > 4 else 0.5)
        assert np.abs(on_floor.mean() - true.mean()) < 0.002
        ring = np.abs(away - radius) < wide
        assert np.abs(on_floor - true)[ring].mean() < 0.06 + 0.2 * (wide < 3)


def test_the_penumbra_of_a_ball_is_as_wide_as_its_height_says() -> None:
    radius, height, softness = 30.0, 70.0, math.radians(6)
    ground = floor()
    on_floor, _ = cast([ground, ball(radius, (0, 0, height))], UP, softness)
    away = np.hypot(ground[0][:, 0], ground[0][:, 1])
    texel = 300 / SIZE
    # From umbra to light, along a radius, at the height of the ball's widest.
    wide = height * math.tan(softness)
    order = np.argsort(away)
    shade = on_floor[order]
    assert shade[away[order] < radius - wide - 2 * texel].max() < 0.02
    assert shade[away[order] > radius + wide + 2 * texel].min() > 0.98
    for level, place in ((0.1, 0.69), (0.5, 0.0), (0.9, -0.69)):
        # Where a disc's penumbra has these shades: at 0.69 of its half width.
        true = radius - place * wide
        found = away[np.abs(on_floor - level) < 0.06]
        assert len(found)
        assert abs(found.mean() - true) < texel, level


def test_a_wider_light_has_a_wider_penumbra() -> None:
    parts = [floor(), disc(40.0, 50.0)]
    shades = [cast(parts, UP, math.radians(angle))[0] for angle in (1, 4, 10)]
    grey = [int(((shade > 0) & (shade < 1)).sum()) for shade in shades]
    assert grey[0] < grey[1] < grey[2]


def hit(origin: NDArray[np.float64], target: NDArray[np.float64], mesh: Mesh) -> NDArray[np.bool_]:
    """(R,) whether something is between origins (R, 3) and targets (R, 3): every ray against every triangle.

    Möller & Trumbore 1997, "Fast, minimum storage ray/triangle intersection".
    """
    a, b, c = (mesh[0][mesh[1][:, k]].astype(np.float64) for k in range(3))
    one, two, along = b - a, c - a, target - origin
    p = np.cross(along[:, None], two)
    determinant = (one * p).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = origin[:, None] - a
        u = (s * p).sum(-1) / determinant
        q = np.cross(s, one)
        v = (along[:, None] * q).sum(-1) / determinant
        t = (two * q).sum(-1) / determinant
        return np.asarray(((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-3) & (t < 1)).any(axis=1))


@pytest.mark.parametrize("radius", [1.0, 25.0])
def test_a_point_light_casts_what_rays_find(radius: float) -> None:
    ground, egg = floor(56.0), ball(18.0, (10, -6, 40), rows=9)
    light = np.array([60, 20, 260, 1], np.float32)
    on_floor, _ = cast([ground, egg], light, radius)
    place = (np.arange(16) + 0.5) / 16
    angle = np.arange(16) * math.pi * (3 - math.sqrt(5))
    towards = light[:3] / np.linalg.norm(light[:3])
    right = np.cross([0, 1, 0], towards)
    right /= np.linalg.norm(right)
    plane = np.stack([right, np.cross(towards, right)])
    lamp = light[:3] + radius * np.sqrt(place)[:, None] * (np.stack([np.cos(angle), np.sin(angle)], axis=1) @ plane)
    # About the shadow.
    about = np.flatnonzero(np.hypot(ground[0][:, 0], ground[0][:, 1] + 10) < 45)
    vertices, found = ground[0][about].astype(np.float64), on_floor[about]
    true = np.array([1 - hit(np.tile(vertex, (len(lamp), 1)), lamp, egg).mean() for vertex in vertices])
    assert abs((found - true).mean()) < 0.01
    assert np.abs(found - true).mean() < 0.035
    # Where all neighbours agree, no blur can be seen.
    near = np.linalg.norm(vertices[:, None] - vertices, axis=-1) < 1.5 * SPACING
    dark, bright = ((value | ~near).all(axis=1) for value in (true == 0, true == 1))
    assert dark.sum() > 5
    assert found[dark].max() < 0.05
    assert found[bright].min() > 0.95


def test_a_far_point_light_is_one_at_infinity() -> None:
    parts = [floor(), disc(40.0, 50.0)]
    direction = np.array([0.28, 0.0, 0.96])
    at_infinity = cast(parts, np.append(direction, 0).astype(np.float32), 0.05)[0]
    for distance, difference in ((2 * FARTHEST, 1e-4), (0.9 * FARTHEST, 0.1)):
        light = np.append(distance * direction, 1).astype(np.float32)
        found = cast(parts, light, math.tan(0.05) * distance)[0]
        assert np.abs(found - at_infinity).mean() < 1e-3
        assert np.abs(found - at_infinity).max() < difference


@pytest.mark.parametrize("light", [(0.0, 0.3, 0.954, 0.0), (100.0, 80.0, 420.0, 1.0)])
def test_a_thing_apart_shadows_as_a_part_of_the_mesh(light: tuple[float, ...]) -> None:
    place = np.array(light, np.float32)
    radius = 0.08 if place[3] == 0 else 20.0
    ground, egg = floor(), ball(25.0, (0, 0, 45))
    together = cast([ground, egg], place, radius)
    apart = reached(ground, place, radius, body(egg))
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    # What is clear receives shadows and casts none.
    clear = reached(ground, place, radius, body(egg, casts=False))
    assert (clear[0] == 1).all()
    lid = body(disc(40.0, 100.0))
    under = reached(ground, place, radius, body(egg, casts=False), lid)
    assert under[1].min() < 0.2
    # Close to what the lid alone does, on a map that need not show the ball.
    assert np.abs(under[0] - reached(ground, place, radius, lid)[0]).mean() < 2e-3


def test_the_back_of_a_thing_casts_shadows() -> None:
    ground, lid = floor(), disc(40.0, 50.0)
    turned = lid[0], np.ascontiguousarray(lid[1][:, ::-1])
    over, under = (reached(ground, UP, 0.1, body(thing))[0] for thing in (lid, turned))
    np.testing.assert_array_equal(over, under)


@pytest.mark.parametrize(
    "light",
    [
        (0.0, 0.0, 1.0, 0.0),
        (0.6, 0.0, 0.8, 0.0),
        (0.0, -0.8, 0.6, 0.0),
        (300.0, 100.0, 200.0, 1.0),
        (0.0, 0.0, 150.0, 1.0),
    ],
)
def test_a_convex_surface_does_not_shadow_itself(light: tuple[float, ...]) -> None:
    place = np.array(light, np.float32)
    egg = ball(90.0)
    for radius in (0.02, 0.15) if place[3] == 0 else (1.0, 30.0):
        (visibility,) = cast([egg], place, radius)
        towards = place[:3] - place[3] * egg[0]
        facing = (egg[0] / 90 * towards).sum(axis=1) / np.linalg.norm(towards, axis=1)
        assert visibility[facing > 0.1].min() > 0.97
        # Light wraps around the terminator and ends where the shading's does.
        assert visibility[facing > 0].min() > 0.8
        assert (visibility[facing < -0.36] == 0).all()


def test_a_light_in_the_midst_of_things_casts_no_shadows() -> None:
    parts = [floor(), disc(40.0, 50.0)]
    for place in ((0, 0, 1.0), (0, 0, 0.0), (60.0, 0.0, 3.0), (0.0, 0.0, -500.0)):
        light = np.array([*place, 1], np.float32)
        on_floor, _ = cast(parts, light, 5.0)
        # Behind the floor, no light is on it in any case.
        assert (on_floor == (0 if place[2] < -100 else 1)).all()


def test_lights_are_found_one_by_one_and_those_without_colour_reach_everything() -> None:
    ground, lid = floor(), body(disc(40.0, 50.0))
    caster = ShadowCaster(ground[1].view(np.uint32), len(ground[0]))
    position = np.array([[0, 0, 1, 0], [0.6, 0, 0.8, 0], [50, 0, 400, 1]], np.float32)
    radius = np.array([0.02, 0.1, 30], np.float32)
    colour = np.ones((3, 3), np.float32)
    colour[1] = 0
    together = caster.reached(position, colour, radius, body(ground), [lid])
    assert [share.shape for share in together] == [(3, len(ground[0])), (3, len(lid.mesh.vertices))]
    assert all((share[1] == 1).all() for share in together)
    for n in (2, 0):
        alone = caster.reached(position[n : n + 1], colour[n : n + 1], radius[n : n + 1], body(ground), [lid])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[n], other[0])


@pytest.mark.parametrize("projection", [PERSPECTIVE, SCALED_ORTHOGRAPHIC])
def test_what_an_image_shows_may_be_seen(head: MorphableModel, projection: int) -> None:
    rng = np.random.default_rng(5)
    triangles = head.topology.triangles.view(np.uint32)
    share = []
    for _ in range(40):
        size = int(rng.integers(16, 120))
        # From so near that the near plane cuts the head to so far that it is a few pixels.
        distance = 10 ** rng.uniform(1.7, 3.5, 1)
        rotation = head_rotation(*rng.uniform(-3, 3, (3, 1)))
        extrinsics = extrinsic_matrices(rotation, rng.normal(0, 60, (1, 3)), head.pivot.astype(np.float64), distance)[0]
        mesh = CameraMesh.from_model(head.mean, triangles, extrinsics)
        focal = size * rng.uniform(0.3, 6) * (1 if projection == PERSPECTIVE else 1 / 300)
        intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
        seen = may_be_seen(mesh.vertices, mesh.triangles, intrinsics, projection, size, size)
        shown, _ = rasterise(mesh.vertices, mesh.triangles, intrinsics, projection, size, size, supersampled=True)
        assert seen[mesh.triangles[shown[shown >= 0]]].all()
        share.append(seen.mean())
    # It leaves out what faces away, at least.
    assert np.mean(share) < 0.8


def test_a_head_shadows_its_neck_and_not_its_forehead(head: MorphableModel) -> None:
    triangles = head.topology.triangles
    above = np.array([0.2, 0.9, 0.39], np.float32)
    above /= np.linalg.norm(above)
    mesh = head.mean, triangles.astype(np.int32)
    light = np.append(above, np.float32(0))
    (visibility,) = reached(mesh, light, math.radians(3))
    assert visibility.min() >= 0
    assert visibility.max() == 1
    normals = CameraMesh(head.mean, triangles.view(np.uint32)).normals
    marks = head.mean[head.topology.landmarks]
    towards = normals @ above > 0.3
    forehead = towards & (head.mean[:, 1] > marks[17:27, 1].max() + 15) & (head.mean[:, 2] > 0)
    assert visibility[forehead].min() > 0.95
    # The base of the nose shades the lip below it.
    below = np.abs(head.mean[:, 0]) < 6
    below &= (head.mean[:, 1] < marks[33, 1] - 2) & (head.mean[:, 1] > marks[51, 1])
    below &= head.mean[:, 2] > marks[51, 2] - 12
    assert visibility[below & (normals @ above > 0.05)].mean() < 0.4
    # No light gets under the chin or into the nostrils, where what wraps around would show.
    chin = marks[8]
    under = (np.abs(head.mean[:, 0]) < 15) & (head.mean[:, 1] < chin[1] - 12) & (normals @ above > -0.3)
    under &= (head.mean[:, 1] > chin[1] - 35) & (head.mean[:, 2] < chin[2] - 15)
    assert under.sum() > 3
    assert visibility[under].max() < 0.1
    nostrils = np.unique(triangles[head.topology.triangle_region == head.topology.region_names.index("nostrils")])
    assert visibility[nostrils].mean() < 0.1
    (again,) = reached(mesh, light, math.radians(3))
    np.testing.assert_array_equal(again, visibility)
