"""The default face's paint: its layout, its limits, and that it looks like skin wherever people are."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.default.chart import FRONT, to_chart
from facegen.morphable.default.levels import REGIONS, read_coarse, split_level
from facegen.morphable.default.network import read_network
from facegen.morphable.default.paint import Paint, paint
from facegen.morphable.default.paint.canvas import Canvas
from facegen.morphable.default.paint.layers import read_appearance
from facegen.morphable.default.people import population_about, read_people
from facegen.morphable.default.slots import SLOTS
from facegen.morphable.default.uv import front_places, texture_coordinates
from facegen.morphable.population import Attributes, PopulationDraw
from facegen.morphable.texture import sample_bilinear

Float = NDArray[np.float64]

NAMES = (
    "melanin", "haemoglobin", "undertone", "cheek_redness", "nose_redness", "eye_circles", "eyelid_tone", "lip_redness",
    "lip_darkness", "brow_density", "brow_thickness", "hair_darkness", "hair_redness", "grey_hair",
    "hairline_recession", "stubble", "moustache_and_goatee", "freckles", "age_spots", "moles", "mottling",
    "crease_darkness", "lash_line", "sclera_tone", "teeth_tone", "wrinkles",
)  # fmt: skip

SIZE = 768


@pytest.fixture(scope="module")
def painted() -> Paint:
    return paint(SIZE)


def reflectance(painted: Paint, places: Float, **coefficients: float) -> Float:
    """Linear RGB (n, 3) at texture coordinates (n, 2) of a face."""
    density = sample_bilinear(painted.mean, places).astype(np.float64)
    for name, coefficient in coefficients.items():
        k = painted.names.index(name)
        mask = sample_bilinear(painted.masks[k][..., None], places) / 255
        density += coefficient * mask * painted.colours[k]
    found: Float = np.exp(-density)
    return found


def in_regions(*names: str) -> Float:
    """Texture coordinates of the corners of a region's triangles."""
    level = split_level(read_coarse(), read_network())
    chosen = np.isin(np.array(REGIONS)[level.region], names)
    found: Float = texture_coordinates(level)[np.unique(level.uv_triangles[chosen])]
    return found


def cheek() -> Float:
    """Texture coordinates of bare skin: a patch of the left cheek."""
    canvas = Canvas(read_network(), SIZE)
    near = np.linalg.norm(canvas.place - canvas.anchor(["cheek", 0.45]), axis=1) < 7
    found: Float = canvas.uv[canvas.skin][near]
    return found


def test_names_shapes_and_types(painted: Paint) -> None:
    assert painted.names == NAMES
    assert painted.mean.shape == (SIZE, SIZE, 3)
    assert painted.mean.dtype == np.float32
    assert painted.masks.shape == (len(NAMES), SIZE, SIZE)
    assert painted.masks.dtype == np.uint8
    assert painted.colours.shape == (len(NAMES), 3)
    assert painted.colours.dtype == np.float32
    assert np.isfinite(painted.mean).all()
    assert painted.mean.min() > 0.1
    assert painted.mean.max() < 5
    assert (painted.masks.max(axis=(1, 2)) > 60).all()


def test_same_paint_twice_and_in_a_minute(painted: Paint) -> None:
    start = time.process_time()
    again = paint(SIZE)
    assert time.process_time() - start < 60
    np.testing.assert_array_equal(again.mean, painted.mean)
    np.testing.assert_array_equal(again.masks, painted.masks)


def test_packs_small(painted: Paint) -> None:
    file = io.BytesIO()
    steps = np.rint(painted.mean * 256).astype(np.uint16)
    np.savez_compressed(file, mean=np.stack([steps >> 8, steps & 255]).astype(np.uint8), masks=painted.masks)
    assert len(file.getvalue()) < 3.5e6


def test_canvas_agrees_with_the_charts() -> None:
    canvas = Canvas(read_network(), 192)
    front = ~canvas.behind
    # Beyond half a turn, which no island reaches, the chart begins anew.
    expected = front_places(canvas.uv[canvas.skin])
    within = front & (np.linalg.norm(expected, axis=1) < 330)
    np.testing.assert_allclose(canvas.place[within], expected[within], atol=1e-6)
    # The rim is one curve: the back chart's texels next to it must know the same places as the front chart's.
    network = read_network()
    rim = to_chart(network.points[network.rows("rim")], FRONT)
    behind = canvas.half[canvas.behind]
    away = np.linalg.norm(behind[:, None] - rim, axis=2).min(axis=0)
    # A texel of this canvas covers some 7 mm there; the neck's side is seen at a grazing angle.
    assert np.median(away) < 8
    assert away.max() < 20


def test_skin_tones_stay_skin(painted: Paint) -> None:
    places = cheek()
    mean = reflectance(painted, places).mean(axis=0)
    assert 0.25 < mean[0] < 0.45
    low, high = (read_people()["albedo"]["melanin"][key] for key in ("low", "high"))
    fair, dark = (reflectance(painted, places, melanin=c).mean(axis=0) for c in (low, high))
    # Light skin is no chalk, and very dark skin no grey.
    assert 0.6 < fair[0] < 0.75
    assert 0.40 < fair[1] < 0.55
    assert 0.06 < dark[0] < 0.10
    assert dark[0] / dark[1] > 1.6
    assert dark[1] / dark[2] > 1.3
    random = np.random.default_rng(0)
    for _ in range(60):
        tone = random.uniform(-2, 2, 5)
        names = ("melanin", "haemoglobin", "undertone", "mottling", "cheek_redness")
        red, green, blue = reflectance(painted, places, **dict(zip(names, tone, strict=True))).mean(axis=0)
        # Never green or grey (skin's red leads its green), never purple, never orange.
        assert 1.15 < red / green < 2.9
        assert 1.02 < green / blue < 2.3


def test_hair_reaches_blond_black_red_and_grey(painted: Paint) -> None:
    canvas = Canvas(read_network(), SIZE)
    crown = (canvas.direction[:, 1] > 0.85) & ~canvas.behind
    places = canvas.uv[canvas.skin][crown]

    def colour(**coefficients: float) -> Float:
        found: Float = reflectance(painted, places, **coefficients).mean(axis=0)
        return found

    blond, black = colour(hair_darkness=-2.2), colour(hair_darkness=2.2)
    assert blond[0] > 0.35
    # Blond, not orange.
    assert 1.8 < blond[0] / blond[2] < 3.5
    assert blond[0] / blond[1] < 1.6
    assert black.max() < 0.025
    red = colour(hair_darkness=-1, hair_redness=2)
    assert red[0] / red[1] > 1.9
    assert red[1] / red[2] > 1.8
    grey = colour(grey_hair=2)
    assert grey.min() > 0.18
    # A warm grey: fully neutral at +2, the palest strands of a person at +2.4 would be blue.
    brown = colour()
    assert grey[0] / grey[2] < 1.5 < 2 < brown[0] / brown[2]


def test_lips_are_redder_than_the_skin(painted: Paint) -> None:
    lips, skin = reflectance(painted, in_regions("lips")).mean(axis=0), reflectance(painted, cheek()).mean(axis=0)
    assert lips[0] / lips[1] > 1.25 * skin[0] / skin[1]


@pytest.fixture(scope="module")
def people() -> list[PopulationDraw]:
    terms = 1 + 3 + 4
    population = population_about(np.zeros((1, terms)), np.eye(1))
    return [population.draw(np.random.Generator(np.random.Philox(key=[3, n]))) for n in range(1500)]


def coefficients(people: list[PopulationDraw], name: str) -> Float:
    """(P,) of people."""
    found: Float = np.array([person.albedo[NAMES.index(name)] for person in people])
    return found


def test_lips_of_everyone_are_redder_and_darker_than_the_skin_around(
    painted: Paint, people: list[PopulationDraw]
) -> None:
    canvas = Canvas(read_network(), SIZE)
    upper, lower = canvas.line("upper_vermilion_border"), canvas.line("lower_vermilion_border")
    depth = canvas.depth(np.concatenate([upper, canvas.anchor(["cheilion"])[None], lower[::-1]]))
    seams = (canvas.line(name) for name in ("upper_mouth_seam", "lower_mouth_seam"))
    from_seam = np.minimum(*(canvas.near(line)[0] for line in seams))
    uv = canvas.uv[canvas.skin]
    red, around = uv[(depth > 1.5) & (from_seam > 2)], uv[(depth < -3) & (depth > -9)]
    for person in people[:200]:
        values = dict(zip(NAMES, person.albedo.tolist(), strict=True))
        # Of the skin, not of a beard on it.
        values |= {name: read_people()["albedo"][name]["low"] for name in ("stubble", "moustache_and_goatee")}
        lips, skin = (reflectance(painted, places, **values).mean(axis=0) for places in (red, around))
        assert lips[0] < 0.98 * skin[0]
        assert lips @ (0.21, 0.72, 0.07) < 0.85 * (skin @ (0.21, 0.72, 0.07))
        assert lips[0] / lips[1] > 1.12 * skin[0] / skin[1]


def test_women_have_no_beard(people: list[PopulationDraw]) -> None:
    women = np.array([person.attributes.sex < -0.5 for person in people])
    for name in ("stubble", "moustache_and_goatee"):
        values = coefficients(people, name)
        # The least of it takes away what the mean face has.
        assert read_people()["albedo"][name]["low"] == -read_appearance()["in_mean"][name]
        assert (values[women] == values.min()).mean() > 0.97
        assert (values[~women] > 1.5).mean() > 0.1


def test_a_beard_can_be_full_and_dark(painted: Paint) -> None:
    canvas = Canvas(read_network(), SIZE)
    chin = np.linalg.norm(canvas.place - canvas.anchor(["pogonion"]), axis=1) < 8
    places = canvas.uv[canvas.skin][chin]
    bare = reflectance(painted, places, stubble=-0.4, moustache_and_goatee=-0.4).mean()
    mean = reflectance(painted, places).mean()
    bearded = reflectance(painted, places, stubble=2.4, moustache_and_goatee=2.4).mean()
    assert 0.7 * bare < mean < bare
    assert bearded < 0.3 * bare


def test_light_hair_and_eyes_go_with_light_skin(people: list[PopulationDraw]) -> None:
    melanin, dark, red = (coefficients(people, name) for name in ("melanin", "hair_darkness", "hair_redness"))
    european = np.array([person.attributes.ancestry[2] for person in people])
    assert melanin[dark < -0.8].max() < 0
    assert melanin[red > 1.3].max() < 0
    assert (melanin[dark < -0.8] < -0.5).mean() > 0.8
    # Fair and red hair exist, though.
    assert (dark[european > 0.9] < -0.8).mean() > 0.25
    assert 0.01 < (red > 1.3).mean() < 0.06
    light = np.array([person.iris[2] > person.iris[0] for person in people])
    assert light.sum() > 20
    assert melanin[light].max() < 0.8
    assert np.median(melanin[light]) < -1
    assert melanin.max() > 2.6


def test_grey_hair_is_neither_white_light_nor_red(painted: Paint) -> None:
    canvas = Canvas(read_network(), SIZE)
    crown = (canvas.direction[:, 1] > 0.85) & ~canvas.behind
    places = canvas.uv[canvas.skin][crown]
    population = population_about(np.zeros((1, 8)), np.eye(1))
    for ancestry in np.eye(4):
        for number in range(10):
            aged = Attributes(np.array(1.0), np.array(78.0), ancestry)
            person = population.draw(np.random.default_rng(number), aged)
            values = dict(zip(NAMES, person.albedo.tolist(), strict=True))
            hair = reflectance(painted, places, **values).mean(axis=0)
            assert hair.min() > 0.04
            assert hair.max() < 0.75
            assert 0.85 < hair[0] / hair[1] < 1.5


def test_face_is_symmetric_but_for_grain_and_marks(painted: Paint) -> None:
    for name in ("melanin", "haemoglobin", "eyelid_tone", "lip_redness", "lash_line", "crease_darkness"):
        mask = painted.masks[NAMES.index(name)].astype(np.float64)[: int(0.75 * SIZE)]
        assert np.abs(mask - mask[:, ::-1]).mean() < 0.03 * 255


@pytest.mark.parametrize("part", ["eyeball", "upper_teeth", "tongue", "upper_lashes", "mouth_pocket"])
def test_skin_tone_does_not_change_what_is_no_skin(painted: Paint, part: str) -> None:
    left, bottom, width, height = SLOTS[part]
    columns = slice(int(left * SIZE) + 1, int((left + width) * SIZE))
    # The mouth's pocket begins as lip.
    rows = slice(int((1 - bottom - height) * SIZE) + 1, int((1 - bottom - 0.4 * height) * SIZE))
    for name in ("melanin", "haemoglobin", "undertone"):
        assert not painted.masks[NAMES.index(name), rows, columns].any()
