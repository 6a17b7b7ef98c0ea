"""Light as spherical harmonics and lights: what they show, turned, gathered, exposed; colours, skies and rooms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.lighting.colour import (
    black_body,
    chromaticity_to_rgb,
    daylight_colour,
    lamp_colour,
    luminance,
    spectrum_to_xyz,
)
from facegen.lighting.harmonics import (
    basis,
    even_directions,
    flipped,
    fluence,
    project,
    project_even,
    rotated,
    shown,
)
from facegen.lighting.light import METRE, Light, about_vertical
from facegen.lighting.outdoor import SUN_RADIUS, Outdoors, outdoor_light, surroundings
from facegen.lighting.room import Emitters, Room, paint, room_light
from facegen.lighting.sky import clear_sky, overcast_sky, sun_light

Float64 = NDArray[np.float64]

SEEDS = st.integers(0, 2**32)


def unit(rng: np.random.Generator, count: int) -> Float64:
    vectors = rng.standard_normal((count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def any_rotation(rng: np.random.Generator) -> Float64:
    matrix, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return np.asarray(matrix * np.linalg.det(matrix))


def any_light(rng: np.random.Generator, count: int = 4) -> Light:
    """Lights at infinity and points, before the head and behind it."""
    position = np.concatenate([unit(rng, count), np.zeros((count, 1))], axis=1)
    points = rng.random(count) < 0.5
    position[points] = np.concatenate(
        [rng.uniform(500, 3000) * position[points, :3], np.ones((points.sum(), 1))], axis=1
    )
    sh = project(unit(rng, 20), rng.random((20, 3)))
    return Light(sh, position, rng.random((count, 3)), rng.random(count))


# -- harmonics


def test_the_basis_is_orthonormal() -> None:
    values = basis(even_directions(20000))
    np.testing.assert_allclose(values.T @ values * 4 * np.pi / 20000, np.eye(9), atol=1e-3)


def test_light_of_one_value_shows_that_value() -> None:
    sh = project_even(np.tile([0.2, 0.5, 0.9], (4096, 1)))
    np.testing.assert_allclose(
        shown(sh, unit(np.random.default_rng(0), 100)), np.tile([0.2, 0.5, 0.9], (100, 1)), atol=1e-4
    )
    np.testing.assert_allclose(fluence(sh), 4 * np.pi * np.array([0.2, 0.5, 0.9]))


def test_what_a_light_from_one_side_shows_is_its_cosine_but_for_higher_orders() -> None:
    # Ramamoorthi & Hanrahan 2001: order 2 leaves at most 9 % of the peak, 1 % of the energy.
    rng = np.random.default_rng(1)
    towards, normal = unit(rng, 1), unit(rng, 2000)
    found = shown(project(towards, np.full((1, 3), np.pi)), normal)[:, 0]
    expected = np.maximum(normal @ towards[0], 0)
    assert np.abs(found - expected).max() < 0.095
    assert ((found - expected) ** 2).mean() < 0.015 * (expected**2).mean()


@settings(deadline=None)
@given(seed=SEEDS)
def test_a_turned_light_shows_to_turned_normals_what_it_showed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sh, turn, normal = rng.standard_normal((9, 3)), any_rotation(rng), unit(rng, 20)
    np.testing.assert_allclose(shown(rotated(sh, turn), normal @ turn.T), shown(sh, normal), atol=1e-12)
    half_turn = np.diag([1.0, -1.0, -1.0])
    np.testing.assert_allclose(flipped(sh), rotated(sh, half_turn), atol=1e-12)


# -- light


@settings(deadline=None)
@given(seed=SEEDS, angle=st.floats(-7, 7))
def test_turning_about_the_vertical(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    light, normal, turn = any_light(rng), unit(rng, 20), about_vertical(angle)
    np.testing.assert_allclose(turn @ [0, 0, 1], [np.sin(angle), 0, np.cos(angle)])
    np.testing.assert_allclose(light.turned(angle).shown(normal @ turn.T), light.shown(normal), atol=1e-12)


@settings(deadline=None)
@given(seed=SEEDS, kept=st.integers(0, 6))
def test_the_strongest_lights_stay_and_no_light_is_lost(seed: int, kept: int) -> None:
    rng = np.random.default_rng(seed)
    light = any_light(rng)
    fewer = light.strongest(kept)
    assert fewer.count == kept
    np.testing.assert_allclose(fewer.fluence, light.fluence, rtol=1e-12)
    strengths = np.sort(luminance(light.at_face))[::-1]
    np.testing.assert_allclose(
        np.sort(luminance(fewer.at_face))[::-1], np.resize(np.append(strengths, [0, 0]), 6)[:kept]
    )
    assert np.isfinite(fewer.direction).all()


def test_lights_in_the_camera_frame() -> None:
    rng = np.random.default_rng(2)
    head, flip = np.array([10.0, -20.0, 900.0]), np.diag([1.0, -1.0, -1.0])
    light, normal = any_light(rng), unit(rng, 30)
    seen = light.in_camera(head)
    np.testing.assert_allclose(shown(seen.sh, normal @ flip), shown(light.sh, normal), atol=1e-12)
    points = light.position[:, 3] > 0
    assert set(points) == {False, True}
    np.testing.assert_allclose((seen.position[points, :3] - head) @ flip, light.position[points, :3])
    np.testing.assert_allclose(seen.position[~points, :3] @ flip, light.position[~points, :3])
    np.testing.assert_array_equal(seen.position[:, 3], light.position[:, 3])


def test_a_point_light_falls_off_with_the_square_of_its_distance() -> None:
    position = np.array([[0, 0, METRE, 1], [0, 0, 2 * METRE, 1], [0, 0, 1, 0]])
    light = Light(np.zeros((9, 3)), position, np.ones((3, 3)), np.ones(3))
    np.testing.assert_allclose(light.at_face, np.array([[1], [0.25], [1]]) * np.ones(3))
    np.testing.assert_allclose(light.shown(np.array([[0, 0, 1.0], [0, 0.8, 0.6], [0, 0, -1.0]]))[:, 0], [2.25, 1.35, 0])


@settings(deadline=None)
@given(seed=SEEDS, level=st.floats(0.01, 3), adaptation=st.floats(0, 1))
def test_exposure_gives_the_level_whatever_the_light(seed: int, level: float, adaptation: float) -> None:
    rng = np.random.default_rng(seed)
    light = any_light(rng).times(10 ** rng.uniform(-3, 6, 3))
    exposed = light.exposed(level, adaptation)
    np.testing.assert_allclose(exposed.level, level)
    np.testing.assert_allclose(light.times(rng.uniform(0.01, 100)).exposed(level, adaptation).colour, exposed.colour)
    # Found on a lattice of directions: no brighter than 3.5 times the level, nearly.
    assert luminance(exposed.shown(unit(rng, 200))).max() <= 3.65 * level


def test_full_adaptation_makes_the_ball_neutral_and_none_keeps_the_colours() -> None:
    orange = any_light(np.random.default_rng(3)).times(np.array([3.0, 1.0, 0.2]))
    normal = unit(np.random.default_rng(4), 20000)
    # A ball's picture has its normals towards the viewer, each by its cosine.
    weight = np.maximum(normal[:, 2:], 0)

    def cast(light: Light) -> Float64:
        mean = (light.shown(normal) * weight).sum(axis=0)
        return np.asarray(mean / mean[1])

    np.testing.assert_allclose(cast(orange.exposed(1, 1)), 1, atol=0.02)
    np.testing.assert_allclose(cast(orange.exposed(1, 0)), cast(orange), rtol=1e-9)
    np.testing.assert_allclose(cast(orange.exposed(1, 0.5)), np.sqrt(cast(orange)), atol=0.05)


# -- colours


@pytest.mark.parametrize(
    ("temperature", "x", "y"),
    # CIE 15: illuminant A; Planckian locus.
    [(2856, 0.4476, 0.4074), (4000, 0.3805, 0.3768), (6500, 0.3135, 0.3237), (10000, 0.2807, 0.2884)],
)
def test_black_bodies_have_their_chromaticities(temperature: float, x: float, y: float) -> None:
    xyz = spectrum_to_xyz(black_body(temperature))
    np.testing.assert_allclose(xyz[:2] / xyz.sum(), [x, y], atol=0.0015)


def test_daylight_of_6504_k_is_white() -> None:
    np.testing.assert_allclose(daylight_colour(6504), 1, atol=0.002)
    np.testing.assert_allclose(chromaticity_to_rgb(np.array(0.3127), np.array(0.3290), np.array(1.0)), 1, atol=0.001)


@given(temperature=st.floats(0, 1e6))
def test_colours_of_light_have_luminance_1_and_go_from_red_to_blue(temperature: float) -> None:
    for colour in (lamp_colour, daylight_colour):
        rgb = colour(temperature)
        assert (rgb >= 0).all()
        np.testing.assert_allclose(luminance(rgb), 1)
        warmer = colour(temperature * 0.9)
        assert warmer[0] >= rgb[0] - 1e-9
        assert warmer[2] <= rgb[2] + 1e-9


# -- outdoors


def place(**more: float) -> Outdoors:
    values = {
        "azimuth": 0.4, "elevation": 0.7, "turbidity": 3.0, "overcast": 0.0, "cloud_temperature": 6500.0, "shade": 0.0,
        "skyline": 0.0,
    }  # fmt: skip
    black = np.zeros(3)
    return Outdoors(**(values | more), things=black, ground=black)


UP = np.array([[0.0, 1.0, 0.0]])


@pytest.mark.parametrize("elevation", [5, 20, 45, 80])
def test_the_sky_lights_the_ground_as_daylight_does(elevation: float) -> None:
    # IES daylight availability (Gillette et al. 1984), klx: clear sky, overcast sky, and the sun beside them.
    sine = np.sin(np.radians(elevation))
    for overcast, expected in ((0.0, 0.8 + 15.5 * sine**0.5), (1.0, 0.3 + 21 * sine)):
        light = outdoor_light(place(elevation=np.radians(elevation), overcast=overcast))
        on_ground = np.pi * luminance(shown(light.sh, UP))[0]
        # Order 2 leaves out a little.
        np.testing.assert_allclose(on_ground, expected, rtol=0.06)
    sun = luminance(sun_light(np.radians(elevation), 2.5))
    np.testing.assert_allclose(sun, 127.5 * np.exp(-0.21 / sine), rtol=0.25, atol=5)


def test_low_suns_are_dim_and_red() -> None:
    suns = np.array([sun_light(np.radians(angle), 3) for angle in (2, 5, 10, 20, 40, 80)])
    assert (np.diff(luminance(suns)) > 0).all()
    assert (np.diff(suns[:, 2] / suns[:, 0]) > 0).all()
    # High suns have the colour of a black body of about 5100 K: warmer than sun and sky together, CIE's D55.
    noon = suns[-1] / luminance(suns[-1])
    np.testing.assert_allclose(noon, lamp_colour(5100), atol=0.05)


def test_a_clear_sky_is_blue_and_brightest_around_the_sun() -> None:
    directions = even_directions(2000)[:1000]
    towards_sun = np.array([0, np.sin(0.7), np.cos(0.7)])
    cosine = directions @ towards_sun
    sky = clear_sky(directions[:, 1], cosine, 0.7, 2.5)
    assert (sky >= 0).all()
    level = luminance(sky)
    assert cosine[np.argmax(level)] > 0.95
    mean = sky.sum(axis=0)
    assert mean[2] > 1.3 * mean[0]
    cloud = overcast_sky(np.array([1.0, 0.0]), 0.7, 6504)
    np.testing.assert_allclose(cloud[0], 3 * cloud[1])


def test_the_sun_is_where_it_is_said_to_be() -> None:
    light = outdoor_light(place(azimuth=np.radians(30), elevation=np.radians(50)))
    cosine = np.cos(np.radians(50))
    expected = [cosine * 0.5, np.sin(np.radians(50)), cosine * np.sqrt(0.75), 0]
    np.testing.assert_allclose(light.position[0], expected)
    clear = outdoor_light(place(turbidity=2.0))
    np.testing.assert_allclose(clear.radius, SUN_RADIUS)
    assert clear.radius < outdoor_light(place(turbidity=5.0)).radius
    assert (outdoor_light(place(overcast=1.0)).colour == 0).all()
    assert (outdoor_light(place(shade=1.0)).colour == 0).all()
    np.testing.assert_allclose(outdoor_light(place(shade=0.25)).colour, 0.75 * outdoor_light(place()).colour)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, reflectance=st.floats(0.01, 0.9))
def test_grounds_have_the_reflectance_that_is_asked_for(seed: int, reflectance: float) -> None:
    ground, things = surroundings(reflectance, np.random.default_rng(seed))
    np.testing.assert_allclose(luminance(ground), reflectance)
    assert (things > 0).all()
    assert (things < 1).all()


def test_ground_lights_from_below() -> None:
    bright = place()
    bright = Outdoors(**{**vars(bright), "ground": np.full(3, 0.5)})
    below = shown(outdoor_light(bright).sh, -UP) - shown(outdoor_light(place()).sh, -UP)
    on_ground = np.pi * outdoor_light(place()).shown(UP)
    np.testing.assert_allclose(below, 0.5 * on_ground / np.pi, rtol=0.1)


# -- rooms


def any_room(rng: np.random.Generator, count: int = 3) -> tuple[Room, Emitters]:
    room = Room(-rng.uniform(0.8, 3, 3), rng.uniform(0.8, 3, 3), paint(0.5, rng))
    normal = np.zeros((count, 3))
    normal[0, 2] = -1
    position = rng.uniform(room.low, room.high, (count, 3))
    position[0, 2] = room.high[2]
    return room, Emitters(position, rng.random((count, 3)), normal, rng.uniform(0.1, 0.5, count))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_room_of_twice_the_size_has_a_quarter_of_the_light(seed: int) -> None:
    room, emitters = any_room(np.random.default_rng(seed))
    twice = Room(2 * room.low, 2 * room.high, room.reflectance)
    apart = Emitters(2 * emitters.position, emitters.intensity, emitters.normal, 2 * emitters.radius)
    one, other = room_light(room, emitters, 2), room_light(twice, apart, 2)
    np.testing.assert_allclose(other.sh, one.sh / 4)
    np.testing.assert_allclose(other.at_face, one.at_face / 4)
    np.testing.assert_allclose(other.direction, one.direction)


def test_black_walls_throw_nothing_back() -> None:
    room, emitters = any_room(np.random.default_rng(5))
    dark = Room(room.low, room.high, np.zeros((3, 2, 3)))
    np.testing.assert_array_equal(room_light(dark, emitters, 3).sh, 0)
    lamp = emitters.intensity[1:] / (emitters.position[1:] ** 2).sum(axis=1, keepdims=True) / np.pi
    found = room_light(dark, emitters, 3).at_face
    for expected in lamp:
        assert np.isclose(found, expected).all(axis=1).any()


def test_light_between_walls_is_that_of_an_integrating_sphere() -> None:
    # A cube with the lamp and the head in its middle is nearly a sphere.
    lamp = Emitters(np.array([[0, 1e-3, 0]]), np.ones((1, 3)), np.zeros((1, 3)), np.zeros(1))
    for reflectance in (0.1, 0.5, 0.9):
        cube = Room(-np.ones(3), np.ones(3), np.full((3, 2, 3), reflectance))
        mean = fluence(room_light(cube, lamp, 1).sh) / (4 * np.pi)
        expected = 4 * np.pi * reflectance / (24 * (1 - reflectance)) / np.pi
        np.testing.assert_allclose(mean, expected, rtol=0.15)


def test_near_windows_do_not_burn() -> None:
    # The irradiance of a disc of radiance 1 on its axis is π r² / (d² + r²), never more than π.
    for distance in (0.05, 0.5, 5.0):
        window = Emitters(
            np.array([[0, 0, distance]]), np.full((1, 3), np.pi * 0.25), np.array([[0, 0, -1.0]]), np.array([0.5])
        )
        room = Room(np.full(3, -6.0), np.full(3, 6.0), np.zeros((3, 2, 3)))
        np.testing.assert_allclose(room_light(room, window, 1).at_face * np.pi, np.pi * 0.25 / (distance**2 + 0.25))


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, reflectance=st.floats(0.05, 0.85))
def test_paint_is_a_reflectance(seed: int, reflectance: float) -> None:
    painted = paint(reflectance, np.random.default_rng(seed))
    assert painted.shape == (3, 2, 3)
    assert ((painted > 0) & (painted < 1)).all()
