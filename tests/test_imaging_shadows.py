"""Shadows: where geometry says that the light is blocked, soft by as much as the light is wide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.imaging.normals import vertex_normals
from facegen.imaging.shadows import ShadowCaster
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]

SPACING = 4.0


def floor(half: float = 150.0) -> tuple[Float, NDArray[np.int32]]:
    """A square of vertices every 4 mm in the plane z = 0, seen from +z."""
    line = np.arange(-half, half + 1, SPACING)
    x, y = np.meshgrid(line, line)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    n = len(line)
    corner = np.arange(n * n).reshape(n, n)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return vertices, triangles.astype(np.int32)


def disc(radius: float, height: float) -> tuple[Float, NDArray[np.int32]]:
    """A disc above the floor's middle, seen from +z."""
    around = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    rim = np.stack([radius * np.cos(around), radius * np.sin(around), np.full(180, height)], axis=1)
    vertices = np.concatenate([[[0, 0, height]], rim]).astype(np.float32)
    step = np.arange(180)
    triangles = np.stack([np.zeros(180, int), 1 + step, 1 + (step + 1) % 180], axis=1)
    return vertices, triangles.astype(np.int32)


def cast(parts: list[tuple[Float, NDArray[np.int32]]], direction: Float, softness: float) -> list[Float]:
    """Visibility of the vertices of each part."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    triangles = np.concatenate([part[1] + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32)
    normals = vertex_normals(vertices, triangles.view(np.uint32))
    caster = ShadowCaster(triangles.view(np.uint32), len(vertices))
    visibility = caster.visibility(vertices, normals, direction, softness)
    return np.split(visibility, starts[1:-1])


@pytest.mark.parametrize("tilt", [0.0, 0.35])
@pytest.mark.parametrize("softness", [math.radians(1), math.radians(8)])
def test_a_disc_shadows_the_floor(tilt: float, softness: float) -> None:
    radius, height = 40.0, 50.0
    direction = np.array([math.sin(tilt), 0, math.cos(tilt)], np.float32)
    ground, lid = floor(), disc(radius, height)
    on_floor, on_disc = cast([ground, lid], direction, softness)
    # The disc's image on the floor, along the light.
    centre = -height * math.tan(tilt)
    away = np.hypot((ground[0][:, 0] - centre), ground[0][:, 1])
    # The penumbra is as wide as the light is seen from the floor; the map's samples are 1.3 mm apart.
    reach = height / math.cos(tilt) ** 2 * math.tan(softness) + 3.0
    assert (on_floor[away < radius - reach] == 0).all()
    assert (on_floor[away > radius + reach] == 1).all()
    assert (on_disc == 1).all()
    border = np.abs(away - radius) < 0.4 * reach
    assert 0.2 < on_floor[border].mean() < 0.8
    if softness > math.radians(5):
        # A wide light's penumbra holds every shade.
        assert len(np.unique(on_floor[np.abs(away - radius) < reach])) > 10


def test_a_wider_light_has_a_wider_penumbra() -> None:
    parts = [floor(), disc(40.0, 50.0)]
    up = np.array([0, 0, 1], np.float32)
    shades = [cast(parts, up, math.radians(angle))[0] for angle in (1, 4, 10)]
    grey = [int(((shade > 0) & (shade < 1)).sum()) for shade in shades]
    assert grey[0] < grey[1] < grey[2]


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, -0.8, 0.6)])
def test_a_convex_surface_does_not_shadow_itself(direction: tuple[float, float, float]) -> None:
    polar, around = np.meshgrid(np.linspace(0.01, np.pi - 0.01, 60), np.linspace(0, 2 * np.pi, 90, endpoint=False))
    ball = 90 * np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    corner = np.arange(ball.shape[0] * ball.shape[1]).reshape(ball.shape[:2])
    a, b = corner[:, :-1], corner[:, 1:]
    c, d = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    (visibility,) = cast(
        [(ball.reshape(-1, 3).astype(np.float32), triangles.astype(np.int32))], np.array(direction, np.float32), 0.1
    )
    assert visibility.min() > 0.95


def test_a_head_shadows_its_neck_and_not_its_forehead(head: MorphableModel) -> None:
    triangles = head.topology.triangles.view(np.uint32)
    normals = vertex_normals(head.mean, triangles)
    above = np.array([0.2, 0.9, 0.39], np.float32)
    above /= np.linalg.norm(above)
    caster = ShadowCaster(triangles, len(head.mean))
    visibility = caster.visibility(head.mean, normals, above, math.radians(3))
    assert visibility.min() >= 0
    assert visibility.max() == 1
    marks = head.mean[head.topology.landmarks]
    towards = normals @ above > 0.3
    forehead = towards & (head.mean[:, 1] > marks[17:27, 1].max() + 15) & (head.mean[:, 2] > 0)
    assert visibility[forehead].min() > 0.95
    # The base of the nose shades the lip below it.
    below = np.abs(head.mean[:, 0]) < 6
    below &= (head.mean[:, 1] < marks[33, 1] - 2) & (head.mean[:, 1] > marks[51, 1])
    below &= head.mean[:, 2] > marks[51, 2] - 12
    assert visibility[below & (normals @ above > 0.05)].mean() < 0.4
    again = caster.visibility(head.mean, normals, above, math.radians(3))
    np.testing.assert_array_equal(again, visibility)
