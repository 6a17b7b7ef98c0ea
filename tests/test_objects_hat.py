"""Hats and the surface of the head that they are laid on."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from facegen.stages.laws import Constant
from facegen.stages.render.objects.crown import crown_of, interpolated
from facegen.stages.render.objects.hat import Hat, HatStyle, make_hat
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.thing import HAT, Thing
from facegen.tests.test_objects_hair import heads

STYLES: tuple[HatStyle, ...] = ("beanie", "cap", "bucket", "sun_hat", "headscarf")


def hat(head: Head, style: HatStyle, seed: int = 0, **options: object) -> Thing:
    config = Hat.model_validate({"styles": {style: 1.0}, **options})
    made = make_hat(head, config, np.random.default_rng(seed))
    assert len(made) == 1
    return made[0]


def test_skin_is_inside_the_crown() -> None:
    for head in heads():
        crown = crown_of(head)
        azimuth, elevation, radius = crown.directions(head.skin)
        out = radius - interpolated(crown.full, azimuth, elevation)
        assert out.max() < 1e-2
        # The surface is no balloon: over the cranium it is on the skin.
        assert np.median(out[elevation > 0.3]) > -0.5
        assert (crown.skull <= crown.full).all()
        # Without the ears it is a smooth head: what stands out of it is ears only.
        beside = np.abs(np.abs(azimuth) - crown.ear[0]) < 0.6
        outside = radius > interpolated(crown.skull, azimuth, elevation) + 1.5
        assert outside.any()
        assert (beside | (elevation < -0.9))[outside].all()


def test_points_and_directions_are_each_other_s_inverse() -> None:
    crown = crown_of(heads()[0])
    points = heads()[0].skin
    np.testing.assert_allclose(crown.points(*crown.directions(points)), points, atol=1e-3)


def test_hair_grows_behind_the_hairline() -> None:
    for head in heads():
        crown = crown_of(head)
        azimuth, elevation, _ = crown.directions(head.landmarks)
        # The ends of the jaw are at the sideburns.
        assert (np.delete(interpolated(crown.margin, azimuth, elevation), [0, 16]) < 0).all()
        top = head.skin[np.argmax(head.skin[:, 1])]
        azimuth, elevation, _ = crown.directions(top[None])
        assert interpolated(crown.margin, azimuth, elevation)[0] > 30


@pytest.mark.parametrize("style", STYLES)
def test_hats_are_on_the_head_and_above_the_eyes(style: HatStyle) -> None:
    for number, head in enumerate(heads()):
        thing, crown = hat(head, style, number), crown_of(head)
        assert thing.label == HAT
        assert len(thing.triangles) <= 10_000
        assert np.isfinite(thing.vertices).all()
        assert ((thing.albedo > 0) & (thing.albedo < 1)).all()
        azimuth, elevation, radius = crown.directions(thing.vertices)
        upper = elevation > 0.25
        assert (radius - interpolated(crown.skull, azimuth, elevation))[upper].min() > -2.0
        assert thing.vertices[:, 1].max() > crown.top + 2
        eyes = head.landmarks[36:48]
        before = (np.abs(thing.vertices[:, 0] - crown.centre[0]) < np.abs(eyes[:, 0]).max()) & (
            thing.vertices[:, 2] > eyes[:, 2].min()
        )
        low = thing.vertices[before, 1]
        if style == "headscarf":
            # It goes on under the chin; between is the face.
            assert not ((low > head.landmarks[57, 1]) & (low < eyes[:, 1].max())).any()
        else:
            assert low.min() > eyes[:, 1].max()


@pytest.mark.parametrize("style", STYLES)
def test_outside_is_outside(style: HatStyle) -> None:
    head = heads()[0]
    thing = hat(head, style)
    a, b, c = (thing.vertices[thing.triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    outwards = ((a + b + c) / 3 - crown_of(head).centre) * np.array([1, 1, 1])
    high = (a + b + c)[:, 1] / 3 > crown_of(head).brow + 60
    area = np.linalg.norm(normal, axis=1)
    facing = (normal * outwards).sum(axis=1) > 0
    assert area[high & facing].sum() > 0.97 * area[high].sum()


@pytest.mark.parametrize("style", STYLES)
def test_same_generator_gives_same_bytes(style: HatStyle) -> None:
    head = heads()[0]
    one, two = hat(head, style, 7), hat(head, style, 7)
    np.testing.assert_array_equal(one.vertices, two.vertices)
    np.testing.assert_array_equal(one.albedo, two.albedo)
    assert not np.array_equal(hat(head, style, 8).albedo, one.albedo)


@pytest.mark.parametrize("style", ["beanie", "cap", "headscarf"])
def test_a_higher_edge_is_higher(style: HatStyle) -> None:
    head = heads()[0]

    def edge(height: float) -> float:
        thing = hat(head, style, 1, height=Constant(value=height), tilt=Constant(value=0))
        before = (np.abs(thing.vertices[:, 0]) < 10) & (thing.vertices[:, 2] > head.landmarks[0, 2])
        above = before & (thing.vertices[:, 1] > head.landmarks[36:48, 1].max())
        return float(thing.vertices[above, 1].min())

    assert edge(35) > edge(10) + 12


@pytest.mark.parametrize("value", [-1e9, 1e9])
def test_laws_that_reach_too_far_are_cut(value: float) -> None:
    head = heads()[0]
    for style in STYLES:
        thing = hat(head, style, height=Constant(value=value), tilt=Constant(value=value))
        assert np.isfinite(thing.vertices).all()
        assert thing.vertices[:, 1].max() > head.skin[:, 1].max()


def test_configuration_is_checked() -> None:
    for styles in ({"cap": -1.0}, {"cap": 0.0}, {"fez": 1.0}, {}):
        with pytest.raises(ValidationError):
            Hat.model_validate({"styles": styles})
