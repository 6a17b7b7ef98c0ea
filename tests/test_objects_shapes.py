"""Building blocks of things, against what geometry says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from facegen.stages.render.objects.face_mask import FaceMask
from facegen.stages.render.objects.fit import Chart
from facegen.stages.render.objects.frequencies import choose
from facegen.stages.render.objects.hand_shape import Pose, bent, forearm, resting_hand, wrist_bent
from facegen.stages.render.objects.implicit import surface_net
from facegen.stages.render.objects.shapes import (
    disc_grid,
    ellipsoid,
    merged,
    mirrored,
    resampled,
    sheet,
    smooth_curve,
    superellipse,
    taut,
    tube,
)
from facegen.tests.closed_meshes import is_closed, volume


def polygon_area(sides: int) -> float:
    """Of a regular polygon with corners at distance 1."""
    return 0.5 * sides * np.sin(2.0 * np.pi / sides)


def test_straight_tube_is_a_prism() -> None:
    path = np.linspace([0.0, 0.0, 0.0], [0.0, 0.0, 10.0], 5)
    vertices, triangles = tube(path, (2.0, 3.0), (1.0, 0.2, 0.5), sides=9)
    assert is_closed(triangles)
    assert volume(vertices, triangles) == pytest.approx(polygon_area(9) * 2.0 * 3.0 * 10.0)


def test_ring_is_closed_and_has_the_volume_of_a_torus() -> None:
    angle = np.arange(60) * (2.0 * np.pi / 60)
    path = 20.0 * np.stack([np.cos(angle), np.sin(angle), 0.0 * angle], axis=1)
    vertices, triangles = tube(path, (2.0, 1.0), (0.0, 0.0, 1.0), closed=True)
    assert is_closed(triangles)
    # Pappus, with the polygons in place of the circles.
    assert volume(vertices, triangles) == pytest.approx(
        2.0 * polygon_area(8) * 60 * 2 * 20.0 * np.tan(np.pi / 60), rel=3e-3
    )


def test_sheet_is_a_box() -> None:
    x, y = np.meshgrid(np.linspace(0.0, 4.0, 5), np.linspace(3.0, 0.0, 4))
    front = np.stack([x, y, np.full_like(x, 2.0)], axis=-1)
    vertices, triangles = sheet(front, front - [0.0, 0.0, 2.0])
    assert is_closed(triangles)
    assert volume(vertices, triangles) == pytest.approx(24.0)


def test_ellipsoid_lies_on_its_surface() -> None:
    axes = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    vertices, triangles = ellipsoid((1.0, 2.0, 3.0), axes, (3.0, 4.0, 5.0))
    assert is_closed(triangles)
    assert volume(vertices, triangles) > 0.75 * 4.0 / 3.0 * np.pi * 60.0
    np.testing.assert_allclose(((((vertices - [1.0, 2.0, 3.0]) @ axes.T) / [3.0, 4.0, 5.0]) ** 2).sum(axis=1), 1.0)


def test_merged_and_mirrored_meshes_keep_their_volume() -> None:
    one = ellipsoid((1.0, 2.0, 3.0), np.eye(3), (3.0, 4.0, 5.0))
    vertices, triangles = merged([one, mirrored(one)])
    assert is_closed(triangles)
    assert volume(vertices, triangles) == pytest.approx(2.0 * volume(*one))


def test_surface_net_of_a_ball() -> None:
    axes = [np.linspace(-1.3, 1.4, n) for n in (11, 13, 12)]
    vertices, triangles = surface_net(lambda p: np.linalg.norm(p, axis=1) - 1.0, axes)
    assert is_closed(triangles)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1.0, atol=1e-4)
    assert 0.9 < volume(vertices, triangles) / (4.0 / 3.0 * np.pi) < 1.0


def test_curve_goes_through_its_points() -> None:
    points = np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [3.0, 4.0, 5.0], [3.0, -6.0, 5.0]])
    # Chords of 5, 5 and 10: every point is on one of the steps.
    np.testing.assert_allclose(smooth_curve(points, 5)[[0, 1, 2, 4]], points, atol=1e-12)
    np.testing.assert_allclose(smooth_curve(points[:2], 3)[1], [1.5, 2.0, 0.0])


def test_resampled_square_has_even_steps() -> None:
    square = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]])
    found = resampled(square, 12)
    np.testing.assert_allclose(found[::3], square, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(np.roll(found, -1, axis=0) - found, axis=1), 1.0)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=15))
def test_taut_thread_has_no_dip_and_is_the_lowest(floor: list[float]) -> None:
    thread = taut(np.array(floor))
    assert (thread >= np.array(floor) - 1e-9).all()
    assert thread[0] == floor[0]
    assert thread[-1] == floor[-1]
    bend = np.diff(thread, 2)
    assert (bend <= 1e-6).all()
    # It bends only where it touches.
    assert (np.abs(bend)[(thread - floor)[1:-1] > 1e-6] < 1e-6).all()


def test_superellipse_is_on_its_curve() -> None:
    points = superellipse(np.linspace(0.0, 6.0, 50), 3.3)
    np.testing.assert_allclose((np.abs(points) ** 3.3).sum(axis=1), 1.0)


def test_disc_grid_covers_the_disc_once() -> None:
    radius, angle = disc_grid(9)
    assert radius[4, 4] == 0.0
    border = np.concatenate([radius[[0, -1]].ravel(), radius[:, [0, -1]].ravel()])
    np.testing.assert_allclose(border, 1.0)
    # Each cell has the same area (the map is equal-area), and the same orientation.
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    flat = np.concatenate([points, np.zeros((9, 9, 1))], axis=-1)
    vertices, triangles = sheet(flat + np.array([0.0, 0.0, 1.0]), flat)
    assert is_closed(triangles)
    # The ring of the grid is a regular polygon.
    assert volume(vertices, triangles) == pytest.approx(polygon_area(32))


def test_chart_of_a_plane_is_exact_and_of_two_layers_the_outer() -> None:
    x, y = np.meshgrid(np.arange(0.0, 60.0, 2.0), np.arange(0.0, 60.0, 2.0))
    place = np.stack([x.ravel(), y.ravel()], axis=1)
    height = 0.5 * place[:, 0] - 0.2 * place[:, 1]
    both = Chart(np.concatenate([place, place]), np.concatenate([height, height - 30.0]))
    asked = np.random.default_rng(1).uniform(10.0, 50.0, (200, 2))
    # The fit's small ridge makes it a little less steep than it is.
    np.testing.assert_allclose(both.height(asked), 0.5 * asked[:, 0] - 0.2 * asked[:, 1], atol=0.06)
    assert both.height(np.array([[90.0, 90.0]]))[0] == -np.inf


def test_choice_follows_the_frequencies() -> None:
    rng = np.random.default_rng(0)
    drawn = [choose({"a": 1.0, "never": 0.0, "b": 3.0}, rng) for _ in range(2000)]
    assert set(drawn) == {"a", "b"}
    assert drawn.count("b") == pytest.approx(1500, abs=80)
    with pytest.raises(ValidationError, match="at least one frequency above 0"):
        FaceMask(kinds={"cloth": 0.0})


def test_hand_is_closed_and_bends_without_tearing() -> None:
    hand = resting_hand()
    rest, triangles = hand.mesh
    assert is_closed(triangles)
    assert len(triangles) <= 6000
    nobend = Pose(np.zeros((5, 3)), np.zeros(5))
    np.testing.assert_allclose(bent(hand, nobend), rest, atol=1e-12)
    np.testing.assert_allclose(wrist_bent(hand, rest, 0.0, 0.0), rest, atol=1e-12)
    fist = bent(hand, Pose(np.radians([[20.0] * 3] + [[80.0, 95.0, 55.0]] * 4), np.zeros(5)))
    # Fingertips come to the palm's side, and the volume stays about the same.
    tips = (hand.finger[:, 1:].max(axis=1) > 0.9) & (hand.along.max(axis=1) > 2.5)
    assert fist[tips, 2].max() < -5.0
    assert fist[tips, 1].max() < 115.0
    assert volume(fist, triangles) == pytest.approx(volume(rest, triangles), rel=0.1)
    # Lengths of edges change at the joints only.
    still = hand.finger.max(axis=1) == 0.0
    np.testing.assert_array_equal(fist[still], rest[still])


def test_forearm_points_where_the_wrist_is_bent_to() -> None:
    hand = resting_hand()
    elbow = hand.mesh[0][:, 1].argmin()
    for bend, deviation in ((0.0, 0.0), (-0.7, 0.2), (0.5, -0.3)):
        arm = wrist_bent(hand, hand.mesh[0], bend, deviation)[elbow]
        assert arm @ forearm(bend, deviation) / np.linalg.norm(arm) > 0.99
