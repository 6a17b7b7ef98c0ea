"""Hair: where it grows, where it does not, and that it shows strands of the colour that is asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from facegen.errors import ConfigurationError
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model
from facegen.stages.laws import Constant
from facegen.stages.render.objects.crown import crown_of, grid, interpolated, require_cranium
from facegen.stages.render.objects.hair import Hair, Style, hair_colour, make_hair
from facegen.stages.render.objects.hat import Hat, make_hat
from facegen.stages.render.objects.head import Head, HeadFinder
from facegen.stages.render.objects.thing import HAIR, Thing
from facegen.tests.data_paths import shared_path
from facegen.tests.default_model import people

Float = NDArray[np.float32]

STYLES: tuple[Style, ...] = (
    "crop", "receding", "side_part", "swept_back", "fringe", "bob", "long", "tied", "curly", "afro",
)  # fmt: skip
BROWN = np.array([0.05, 0.028, 0.015], np.float32)


@lru_cache(maxsize=1)
def heads(count: int = 4) -> tuple[Head, ...]:
    """Heads of people of the default population, with shoulders."""
    model = load_model(DefaultModelConfig())
    finder = HeadFinder(model)
    identity = people(model, count, 5)
    still = np.zeros((count, len(model.expression_names)), np.float32)
    return tuple(finder.of(vertices) for vertices in model.decode(identity, still))


def hair(head: Head, style: Style, seed: int = 0, hat: list[Thing] | None = None) -> Thing:
    made = make_hair(head, Hair(styles={style: 1.0}), np.random.default_rng(seed), BROWN, hat or [])
    assert len(made) == 1
    return made[0]


@pytest.mark.parametrize("style", STYLES)
def test_hair_is_on_every_head_and_outside_of_it(style: Style) -> None:
    for seed, head in enumerate(heads()):
        thing, crown = hair(head, style, seed), crown_of(head)
        assert thing.label == HAIR
        assert len(thing.triangles) <= 40_000
        assert np.isfinite(thing.vertices).all()
        assert np.isfinite(thing.albedo).all()
        azimuth, elevation, radius = crown.directions(thing.vertices)
        upper = elevation > -0.5
        # Roots begin, and the undercoat ends, inside the skin.
        gap = (radius - interpolated(crown.skull, azimuth, elevation))[upper]
        assert gap.min() > -4.0
        assert (gap > -1.0).mean() > 0.97


@pytest.mark.parametrize("style", STYLES)
def test_hair_covers_the_scalp_and_leaves_the_face_free(style: Style) -> None:
    for seed, head in enumerate(heads()[:2]):
        thing, crown = hair(head, style, seed), crown_of(head)
        azimuth, elevation, radius = crown.directions(thing.vertices)
        covering = radius > interpolated(crown.skull, azimuth, elevation)
        if style != "receding":
            nodes_azimuth, nodes_elevation = grid()
            grows = (crown.margin > 15) & (nodes_elevation > -0.6) & (nodes_elevation < 1.3)
            places = crown.points(nodes_azimuth[grows], nodes_elevation[grows], crown.skull[grows])
            directions = (places - crown.centre) / np.linalg.norm(places - crown.centre, axis=1, keepdims=True)
            offsets = thing.vertices[covering] - crown.centre
            offsets /= np.linalg.norm(offsets, axis=1, keepdims=True)
            nearest = (directions[::3] @ offsets[::2].T).max(axis=1)
            assert nearest.min() > np.cos(np.radians(6))
        eyes, brows = head.landmarks[36:48], head.landmarks[17:27]
        before = (
            (np.abs(thing.vertices[:, 0] - crown.centre[0]) < 0.9 * np.abs(eyes[:, 0]).max())
            & (thing.vertices[:, 1] > head.landmarks[33, 1])
            & (thing.vertices[:, 1] < brows[:, 1].mean())
            & (thing.vertices[:, 2] > eyes[:, 2].min())
        )
        assert before.mean() < (0.02 if style in ("fringe", "bob", "long") else 0.002)


def test_long_hair_falls_below_the_chin_and_short_hair_does_not() -> None:
    head = heads()[0]
    chin = head.landmarks[8, 1]
    assert hair(head, "long").vertices[:, 1].min() < chin - 20
    assert hair(head, "bob").vertices[:, 1].min() < head.landmarks[33, 1]
    for style in ("crop", "side_part", "swept_back", "afro"):
        assert hair(head, style).vertices[:, 1].min() > chin - 45  # type: ignore[arg-type]


def test_same_generator_gives_same_bytes() -> None:
    head = heads()[1]
    one, two, other = hair(head, "long", 3), hair(head, "long", 3), hair(head, "long", 4)
    for name in ("vertices", "triangles", "albedo", "material"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.vertices.shape != other.vertices.shape or not np.array_equal(one.vertices, other.vertices)


def test_strands_are_of_the_colour_and_differ() -> None:
    thing = hair(heads()[0], "side_part")
    assert thing.albedo.min() > 0
    chroma = thing.albedo / thing.albedo.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.median(chroma, axis=0), BROWN / BROWN.sum(), atol=0.02)
    spread = np.std(np.log(thing.albedo[:, 1]))
    assert 0.2 < spread < 0.7


@pytest.mark.parametrize("style", ["long", "afro", "tied"])
@pytest.mark.parametrize("worn", ["beanie", "cap", "sun_hat"])
def test_nothing_pokes_through_a_hat(style: Style, worn: str) -> None:
    for seed, head in enumerate(heads()[:1]):
        hat = make_hat(head, Hat.model_validate({"styles": {worn: 1}}), np.random.default_rng(seed))
        thing, crown = hair(head, style, seed, hat), crown_of(head)
        shell = np.concatenate([part.vertices for part in hat]) - crown.centre
        strands = thing.vertices[::11] - crown.centre
        shell_radius, radius = np.linalg.norm(shell, axis=1), np.linalg.norm(strands, axis=1)
        cosine = (strands / radius[:, None]) @ (shell / shell_radius[:, None]).T
        nearest = cosine.argmax(axis=1)
        under = cosine.max(axis=1) > np.cos(np.radians(1.5))
        assert under.sum() > 300
        out = (radius - shell_radius[nearest])[under]
        # Next to the hat's edge a strand may be out already.
        assert (out > 0.5).mean() < 0.02
        assert out.max() < 12


def test_natural_colours_are_reflectances_of_hair() -> None:
    rng = np.random.default_rng(0)
    colours = np.stack([hair_colour(rng) for _ in range(300)])
    assert colours.min() > 0
    assert colours.max() < 0.8
    # Red is never the least, blue hardly ever the most.
    assert (colours[:, 0] >= colours[:, 2]).all()
    assert (colours.mean(axis=1) < 0.05).mean() > 0.4


def test_a_face_without_a_cranium_is_refused() -> None:
    whole = heads()[0]
    require_cranium(whole, "default")
    front = replace(whole, skin=whole.skin[whole.skin[:, 2] > whole.landmarks[0, 2]])
    with pytest.raises(ConfigurationError, match="need a head with a cranium, the model 'mask' is a face alone"):
        require_cranium(front, "mask")


@pytest.mark.parametrize("part", ["head", "face"])
def test_parts_of_ict(part: str) -> None:
    path = shared_path("models/ict-facekit/ict_facekit.npz")
    config = IctModelConfig.model_validate({"path": str(path), "part": part, "eyes": False, "teeth": False})
    model = load_model(config)
    head = HeadFinder(model).of(model.mean)
    if part != "head":
        with pytest.raises(ConfigurationError, match="cranium"):
            require_cranium(head, model.name)
        return
    require_cranium(head, model.name)
    for style in STYLES:
        thing, crown = hair(head, style), crown_of(head)
        azimuth, elevation, radius = crown.directions(thing.vertices)
        gap = (radius - interpolated(crown.skull, azimuth, elevation))[elevation > -0.5]
        assert gap.min() > -4.0


@pytest.mark.parametrize("size", [1e-3, 1e6, 1e15])
def test_heads_of_no_human_size_do_no_harm(size: float) -> None:
    head = heads()[0]
    parts = {name: np.float32(size) * getattr(head, name) for name in ("skin", "landmarks", "shoulders")}
    scaled = replace(head, **parts)
    with np.errstate(all="ignore"):
        for style in ("crop", "long", "tied"):
            assert hair(scaled, style).vertices.shape[1] == 3


def test_configuration_is_checked() -> None:
    for styles in ({"crop": -1.0}, {"crop": 0.0}, {"mohawk": 1.0}, {}):
        with pytest.raises(ValidationError):
            Hair.model_validate({"styles": styles})
    config = Hair(styles={"crop": 1, "long": 0}, length=Constant(value=1))
    assert len(make_hair(heads()[0], config, np.random.default_rng(0))) == 1
