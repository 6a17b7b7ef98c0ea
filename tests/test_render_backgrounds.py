"""What is behind a face: drawn by rules or taken from a folder, the same for the same seed."""

from __future__ import annotations

import colorsys
import hashlib
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facegen.errors import BackgroundError, ConfigurationError
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.config import fingerprint as config_fingerprint
from facegen.stages.plan import plan
from facegen.stages.render.background import Backdrop, draw_background, folder_digests
from facegen.stages.render.backgrounds.colours import colour, colours
from facegen.stages.render.backgrounds.config import SoftBackground
from facegen.stages.render.backgrounds.finish import to_bytes, working_size
from facegen.stages.render.backgrounds.photographs import PhotographFolder
from facegen.stages.render.backgrounds.scenes import SCENES
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.linear import decode_srgb, encode_srgb
from facegen.tests.command import facegen, quickstart

Bytes = NDArray[np.uint8]


def constant(value: float) -> dict[str, Any]:
    return {"law": "constant", "value": value}


def config_of(values: dict[str, Any]) -> Any:
    return validate(RenderConfig, {"background": values}, source="test").background


def backdrop(values: dict[str, Any], height: int = 64, width: int = 64) -> Backdrop:
    return Backdrop(config_of(values), height, width)


def scene(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "texture", "scenes": {name: 1}, **more}


def roughness(image: Bytes) -> float:
    """Root mean square of the second differences of linear light: detail, whatever slopes there are."""
    light = decode_srgb(image)
    return float(np.sqrt((np.diff(light, 2, axis=0) ** 2).mean() + (np.diff(light, 2, axis=1) ** 2).mean()))


DRAWN = [{"kind": "soft"}, {"kind": "gradient"}, *(scene(name) for name in SCENES)]


# -- all kinds


@pytest.mark.parametrize("values", DRAWN, ids=lambda values: "-".join([values["kind"], *values.get("scenes", ())]))
def test_a_seed_decides_the_bytes(values: dict[str, Any]) -> None:
    one, other = backdrop(values, 48, 72), backdrop(values, 48, 72)
    images = [one.draw(seed) for seed in range(6)]
    for seed in (4, 0, 5):
        image = other.draw(seed)
        np.testing.assert_array_equal(image, images[seed])
        assert (image.shape, image.dtype) == ((48, 72, 3), np.uint8)
        image[:] = 0  # it is the caller's
    assert len({image.tobytes() for image in images}) == 6
    assert all(np.ptp(image) > 5 for image in images)


def test_soft_is_what_it_was() -> None:
    digest = hashlib.sha256(draw_background(SoftBackground(), 5, 40, 56).tobytes()).hexdigest()
    assert digest == "4ee167c6807ad07084a4bd54896f22636f58583a0b0514ecd3d77e30274ee9fe"


@settings(max_examples=60, deadline=None)
@given(values=st.sampled_from(DRAWN), height=st.integers(16, 90), width=st.integers(16, 90),
       seed=st.integers(0, 2**63 - 1))  # fmt: skip
def test_any_size_and_seed_is_drawn(values: dict[str, Any], height: int, width: int, seed: int) -> None:
    assert draw_background(config_of(values), seed, height, width).shape == (height, width, 3)


def test_a_mixture_is_of_its_parts_by_their_weights() -> None:
    parts = [scene("bricks"), {"kind": "gradient"}, {"kind": "plain", "colour": [1, 0, 0]}]
    weights = [1, 2, 5]
    mixture = {
        "kind": "mixture",
        "components": [{"weight": w, "background": part} for w, part in zip(weights, parts, strict=True)],
    }
    mixed, alone = backdrop(mixture, 16, 16), [backdrop(part, 16, 16) for part in parts]
    counts = np.zeros(3)
    for seed in range(800):
        image = mixed.draw(seed)
        same = [np.array_equal(image, part.draw(seed)) for part in alone]
        assert sum(same) == 1
        counts[same.index(True)] += 1
    np.testing.assert_allclose(counts / 800, np.array(weights) / 8, atol=0.06)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "texture", "scenes": {"wall": 0}}, "'scenes' needs at least one scene of positive frequency"),
        ({"kind": "texture", "scenes": {"moon": 1}}, "'render.background.scenes.moon': input should be 'wall', 'room'"),
        ({"kind": "images"}, "'render.background.folder' is missing"),
        ({"kind": "mixture", "components": []}, "at least 1 item"),
        ({"kind": "mixture", "components": [{"weight": 1, "background": {"kind": "mixture", "components": []}}]},
         "'mixture' is none of 'soft', 'plain', 'gradient', 'texture', 'images'"),
        ({"kind": "gradient", "colour": [0, 0, 0]}, "unknown key 'render.background.colour'"),
    ],
)  # fmt: skip
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        validate(RunConfig, {"render": {"background": values}}, source="my.yaml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


# -- drawn by rules


@settings(max_examples=200, deadline=None)
@given(hue=st.floats(-3, 3), saturation=st.floats(-0.5, 1.5), value=st.floats(-0.5, 1.5))
def test_colours(hue: float, saturation: float, value: float) -> None:
    clipped = min(max(saturation, 0), 1), min(max(value, 0), 1)
    expected = np.array(colorsys.hsv_to_rgb(hue % 1, *clipped))
    expected = np.where(expected <= 0.04045, expected / 12.92, ((expected + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(colour(hue, saturation, value), expected, atol=1e-6)
    many = colours(*(np.full(2, number) for number in (hue, saturation, value)))
    np.testing.assert_allclose(many, np.stack([expected, expected]), atol=1e-6)


@pytest.mark.parametrize("shape", ["linear", "radial"])
def test_a_gradient_mixes_two_colours_in_linear_light(shape: str) -> None:
    images = backdrop({"kind": "gradient", "shape": shape, "grain": 0}, 60, 90)
    for seed in range(8):
        image = images.draw(seed)
        light = decode_srgb(image).reshape(-1, 3).astype(np.float64)
        # On a line between two points: what is left beside it is rounding to bytes.
        apart = light - light.mean(axis=0)
        along = np.linalg.svd(apart, full_matrices=False)[2][0]
        assert np.abs(apart - np.outer(apart @ along, along)).max() < 0.006
        assert np.ptp(apart @ along) > 0.005
        step = np.abs(np.diff(image.astype(int), axis=0)).max(), np.abs(np.diff(image.astype(int), axis=1)).max()
        assert max(step) < 25


def test_enlarging_keeps_flat_light_and_straight_slopes() -> None:
    rng = np.random.default_rng(0)
    flat = np.broadcast_to(np.array([0.02, 0.3, 0.9], np.float32), (17, 19, 3))
    np.testing.assert_array_equal(np.unique(to_bytes(flat, 50, 70, 0.0, rng).reshape(-1, 3), axis=0),
                                  [encode_srgb(flat[0, 0])])  # fmt: skip
    slope = np.broadcast_to(np.linspace(0.1, 0.9, 20, dtype=np.float32)[None, :, None], (16, 20, 3))
    image = to_bytes(slope, 64, 80, 0.0, rng)
    expected = 0.1 + 0.8 / 19 * ((np.arange(80) + 0.5) / 4 - 0.5)
    inside = np.s_[:, 10:-10]
    assert np.abs(decode_srgb(image) - expected[None, :, None].astype(np.float32))[inside].max() < 0.006


def test_grain_has_its_deviation() -> None:
    flat = np.full((64, 64, 3), 0.2, np.float32)
    image = to_bytes(flat, 256, 256, 0.03, np.random.default_rng(1)).astype(float) / 255
    assert image.std() == pytest.approx(0.03, rel=0.03)
    assert image.mean() == pytest.approx(encode_srgb(flat)[0, 0, 0] / 255, abs=0.002)
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize("name", [name for name in SCENES if name != "lights"])
def test_more_blur_leaves_less_detail(name: str) -> None:
    little, much = (backdrop(scene(name, blur=constant(blur), grain=0), 96, 96) for blur in (1.5, 8))
    before, after = (np.mean([roughness(drawn.draw(seed)) for seed in range(12)]) for drawn in (little, much))
    assert after < 0.7 * before


def test_scenes_are_drawn_by_their_frequencies() -> None:
    both = backdrop({"kind": "texture", "scenes": {"lights": 1, "wall": 3, "room": 0}, "grain": 0}, 32, 32)
    dark = np.mean([np.median(both.draw(seed)) < 60 for seed in range(200)])
    assert 0.15 < dark < 0.5


@given(size=st.integers(16, 2000), radius=st.floats(0, 500))
def test_scenes_are_never_larger_than_the_image(size: int, radius: float) -> None:
    height, width = working_size(size, size // 2 + 16, radius)
    assert 16 <= height <= size
    assert 16 <= width <= size // 2 + 16
    # The disc of confusion is one that can be computed.
    assert radius * height / size < 2.4 or height == 16


# -- from a folder


def place_image(height: int, width: int) -> Bytes:
    """A picture whose red tells the column and whose green tells the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 90)], axis=-1).astype(np.uint8)


def put(path: Path, image: Bytes, **options: Any) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "rooms"
    place.mkdir()
    put(place / "b.png", place_image(80, 120))
    put(place / "a.JPG", place_image(200, 150), quality=95)
    put(place / "c.jpeg", place_image(90, 90)[..., 0])
    (place / "notes.txt").write_text("not a picture")
    (place / "more.png").mkdir()
    return place


def images(folder: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "images", "folder": str(folder), **more}


def test_pictures_are_listed_by_name(folder: Path) -> None:
    assert [path.name for path in PhotographFolder(folder).files] == ["a.JPG", "b.png", "c.jpeg"]
    PhotographFolder(folder).check(64, 64)


def test_a_whole_picture_is_itself(tmp_path: Path) -> None:
    picture = place_image(48, 64)
    put(tmp_path / "one.png", picture)
    values = images(tmp_path, crop=constant(1), blur=constant(0))
    np.testing.assert_array_equal(backdrop(values, 48, 64).draw(3), picture)


def test_crops_are_parts_of_the_picture_in_its_proportions(tmp_path: Path) -> None:
    put(tmp_path / "one.png", place_image(255, 255))
    some = backdrop(images(tmp_path, crop={"law": "uniform", "low": 0.3, "high": 0.8}, blur=constant(0)), 40, 60)
    seen = []
    for seed in range(30):
        image = some.draw(seed).astype(float)
        across, down = image[20, 50, 0] - image[20, 10, 0], image[35, 30, 1] - image[5, 30, 1]
        # 40 of 60 columns, 30 of 40 rows; the largest crop has all columns and 2/3 of the rows.
        assert across / 40 == pytest.approx(down / 30, rel=0.06)
        assert 0.28 < across / 40 * 60 / 255 < 0.82
        seen.append(image[20, 30, :2])
    assert (np.ptp(seen, axis=0) > 60).all()


def test_crops_never_invent_pixels(tmp_path: Path) -> None:
    put(tmp_path / "one.png", place_image(128, 128))
    image = backdrop(images(tmp_path, crop=constant(1e-9), blur=constant(0)), 64, 64).draw(1).astype(float)
    assert image[32, 56, 0] - image[32, 8, 0] == pytest.approx(48 * 255 / 128, abs=2)


def test_a_jpeg_decoded_small_is_the_png(tmp_path: Path) -> None:
    picture = place_image(900, 1200)
    (tmp_path / "png").mkdir()
    (tmp_path / "jpeg").mkdir()
    put(tmp_path / "png" / "one.png", picture)
    put(tmp_path / "jpeg" / "one.jpg", picture, quality=98, subsampling=0)
    for blur in (0, 4):
        one, other = (
            backdrop(images(tmp_path / kind, blur=constant(blur)), 64, 64).draw(7).astype(float)
            for kind in ("png", "jpeg")
        )
        assert np.abs(one - other).max() < 8


def test_pictures_stand_as_they_were_taken(tmp_path: Path) -> None:
    picture = place_image(96, 64)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    put(tmp_path / "one.png", np.ascontiguousarray(np.rot90(picture)), exif=exif)
    values = images(tmp_path, crop=constant(1), blur=constant(0))
    np.testing.assert_array_equal(backdrop(values, 96, 64).draw(3), picture)
    with pytest.raises(BackgroundError, match="64 × 96 pixels, too small for images of 96 × 64"):
        backdrop(values, 64, 96).check()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_any_mode_of_eight_bits(tmp_path: Path, mode: str) -> None:
    ending = "jpg" if mode == "CMYK" else "png"
    Image.fromarray(place_image(64, 64)).convert(mode).save(tmp_path / f"one.{ending}")
    values = images(tmp_path)
    backdrop(values, 32, 32).check()
    assert backdrop(values, 32, 32).draw(0).shape == (32, 32, 3)


def test_blur_takes_detail_from_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    put(tmp_path / "one.png", noise)
    rough = [roughness(backdrop(images(tmp_path, blur=constant(blur)), 64, 64).draw(0)) for blur in (0, 2, 6, 20)]
    assert all(more > 1.5 * less for more, less in itertools.pairwise(rough))


# -- bad folders


def bad(place: Path, what: str) -> Path:
    """Make a folder bad; the path that the message names."""
    file = place / "z.png"
    if what == "missing":
        return place / "nowhere"
    if what == "file":
        return place / "b.png"
    if what == "empty":
        (place / "none").mkdir()
        return place / "none"
    if what == "text":
        file.write_text("hello")
    elif what == "gif":
        Image.fromarray(place_image(80, 80)).save(file, "GIF")
    elif what == "short":
        file.write_bytes((place / "a.JPG").read_bytes()[:-2000])
    elif what == "small":
        put(file, place_image(64, 63))
    elif what == "deep":
        Image.fromarray(np.zeros((80, 80), np.uint16)).save(file)
    return file


BAD = {
    "missing": "background images cannot be read (No such file or directory)",
    "file": "background images cannot be read (Not a directory)",
    "empty": "no background images there; expected files .jpeg, .jpg, .png",
    "text": "not a readable PNG or JPEG picture",
    "gif": "not a readable PNG or JPEG picture",
    "short": "damaged picture (image file is truncated",
    "small": "63 × 64 pixels, too small for images of 64 × 64",
    "deep": "a picture of mode I;16; expected 8 bits a channel",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_pictures_are_refused_before_a_run(folder: Path, tmp_path: Path, what: str) -> None:
    named = bad(folder, what)
    place = named if what in ("missing", "file", "empty") else folder
    outcome = quickstart("run", tmp_path / "run", "--set", f"render.background={{kind: images, folder: {place}}}")
    assert outcome.code == 2
    (line,) = outcome.err.strip().splitlines()
    assert f"{named}: {BAD[what]}" in line
    assert not (tmp_path / "run").exists()


def test_a_picture_of_too_many_pixels_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with pytest.raises(BackgroundError, match=r"a\.JPG: not a readable .*30000 pixels"):
        PhotographFolder(folder).check(16, 16)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG"]))
def test_damage_raises_nothing_else(data: st.DataObject, kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(place_image(40, 40)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    (tmp_path / "one.png").write_bytes(content)
    message = "sound"
    try:
        PhotographFolder(tmp_path).check(32, 32)
    except BackgroundError as error:
        message = str(error)
    if message == "sound":
        assert backdrop(images(tmp_path), 32, 32).draw(0).shape == (32, 32, 3)
    else:
        assert message.startswith(f"{tmp_path / 'one.png'}: ")
        assert "\n" not in message


# -- the fingerprint


def test_a_folder_counts_by_names_and_contents(folder: Path, tmp_path: Path, head: MorphableModel) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("c.jpeg", "b.png", "a.JPG"):
        (elsewhere / name).write_bytes((folder / name).read_bytes())

    def digest(place: Path) -> str:
        mixture = {"kind": "mixture", "components": [{"weight": 1, "background": images(place)}]}
        found = set()
        for background in (images(place), mixture):
            config = validate(RunConfig, {"render": {"background": background}}, source="")
            found.add(config_fingerprint(config, head, [], None, None, folder_digests(config.render.background)))
        assert len(found) == 2
        return min(found)

    digests = [digest(folder), digest(elsewhere)]
    assert digests[0] == digests[1]
    (elsewhere / "b.png").rename(elsewhere / "bb.png")
    digests.append(digest(elsewhere))
    (elsewhere / "bb.png").rename(elsewhere / "b.png")
    put(elsewhere / "b.png", place_image(80, 121))
    digests.append(digest(elsewhere))
    assert len(set(digests)) == 3


def test_a_run_with_pictures_is_the_same_from_any_folder(folder: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    contents = set()
    for name, size in (("one", 4), ("two", 7)):
        folder = folder.rename(tmp_path / name)
        monkeypatch.setenv("ROOMS", str(folder))
        run = tmp_path / f"run-{name}"
        made = quickstart(
            "run", run, "--set", "render.background={kind: images, folder: $ROOMS}", "--set", f"shard_size={size}",
            faces=8,
        )  # fmt: skip
        assert made.code == 0, made.err
        checked = facegen("verify", run, "--json")
        assert checked.code == 0, checked.out
        contents.add(checked.json["content_sha256"])
    assert len(contents) == 1
    monkeypatch.delenv("ROOMS")
    with pytest.raises(ConfigurationError, match="ROOMS is not set"):
        plan({"render": {"background": images(Path("$ROOMS"))}}, source="test")
