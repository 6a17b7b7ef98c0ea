"""Effects of the camera: what they do to a picture, and that every label is still of that picture."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, Renders, Samples
from facegen.dataset import FaceDataset
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.pack.schema import EFFECT_ARRAYS
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.deferred import srgb_decoding
from facegen.stages.render.effects.camera import LUMINANCE, CameraEffects, Drawn
from facegen.stages.render.effects.config import EffectsConfig
from facegen.stages.render.linear import decode_srgb, disc_blur, encode_srgb, gain_srgb, gaussian_blur, motion_blur
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler
from facegen.tests.command import facegen, quickstart

HEIGHT, WIDTH = 72, 88
LABELS = (
    "vertices", "triangle_id", "barycentric", "landmarks_2d", "landmarks_3d", "landmark_visible", "valid", "reason",
)  # fmt: skip
AFTER = ("blur", "motion", "noise", "jpeg")
ALL = (*EFFECT_ARRAYS,)
SEEDS = np.arange(400, dtype=np.uint64) * np.uint64(977) + np.uint64(11)


def constant(value: float) -> dict[str, Any]:
    return {"law": "constant", "value": value}


def draw(model: MorphableModel, count: int, projection: str = "perspective") -> Samples:
    config = validate(SampleConfig, {"camera": {"projection": projection}}, source="test")
    return Sampler(config, model, HEIGHT, WIDTH, 3).draw(np.arange(count))


def render(model: MorphableModel, samples: Samples, effects: dict[str, Any], **more: Any) -> Renders:
    background = {"kind": "plain", "colour": [0.3, 0.4, 0.35]}
    values = {"size": [HEIGHT, WIDTH], "background": background, "effects": effects, **more}
    stage = RenderStage(validate(RenderConfig, values, source="test"), model)
    renders = stage.render(samples)
    stage.close()
    assert renders.valid.all()
    return renders


def effects_of(values: dict[str, Any], height: int = HEIGHT, width: int = WIDTH) -> CameraEffects:
    return CameraEffects(validate(EffectsConfig, values, source="test"), height, width)


def drawn(values: dict[str, Any], seeds: NDArray[np.uint64] = SEEDS) -> Drawn:
    return effects_of(values).draw(seeds, np.repeat(np.eye(3)[None], len(seeds), axis=0))


def moments(light: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (2,) and covariance (2, 2) in pixels, right and down, of a picture (H, W, 3) of equal channels."""
    share = light[..., 0].astype(np.float64)
    share /= share.sum()
    down, right = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    points = np.stack([right, down], axis=-1).reshape(-1, 2)
    mean = share.reshape(-1) @ points
    apart = points - mean
    return mean, (apart * share.reshape(-1, 1)).T @ apart


def spot(size: int = 41) -> NDArray[np.float32]:
    light = np.zeros((size, size, 3), np.float32)
    light[size // 2, size // 2] = 1
    return light


@pytest.fixture(scope="module")
def samples(head: MorphableModel) -> Samples:
    return draw(head, 4)


@pytest.fixture(scope="module")
def plain(head: MorphableModel, samples: Samples) -> Renders:
    return render(head, samples, {})


# -- labels


@pytest.mark.parametrize("projection", ["perspective", "scaled-orthographic"])
def test_a_landmark_is_where_the_image_shows_it_after_every_effect(head: MorphableModel, projection: str) -> None:
    faces = draw(head, 4, projection)
    renders = render(head, faces, {name: {"probability": 1} for name in ALL})
    assert renders.intrinsics is not None
    for row in range(4):
        camera = renders.vertices[row, head.topology.landmarks] @ faces.extrinsics[row, :3, :3].T
        camera = camera + faces.extrinsics[row, :3, 3]
        np.testing.assert_allclose(renders.landmarks_3d[row], camera, atol=1e-3)
        flat = camera[:, :2] / (camera[:, 2:] if faces.projection[row] == PERSPECTIVE else 1)
        pixels = flat * np.diag(renders.intrinsics[row])[:2] + renders.intrinsics[row, :2, 2]
        np.testing.assert_allclose(renders.landmarks_2d[row], pixels, atol=2e-3)


@pytest.mark.parametrize("projection", ["perspective", "scaled-orthographic"])
def test_a_crop_moves_labels_as_its_own_label_says(head: MorphableModel, projection: str) -> None:
    faces = draw(head, 4, projection)
    before = render(head, faces, {})
    after = render(head, faces, {"crop": {"scale": {"law": "uniform", "low": 0.7, "high": 1.3}}})
    assert before.intrinsics is None
    assert before.effect_crop is None
    assert after.effect_crop is not None
    assert len(np.unique(after.effect_crop)) == 12
    centre = np.array([WIDTH / 2, HEIGHT / 2])
    for row, (scale, right, down) in enumerate(after.effect_crop):
        moved = scale * (before.landmarks_2d[row] - centre) + centre + (right, down)
        np.testing.assert_allclose(after.landmarks_2d[row], moved, atol=2e-3)
        np.testing.assert_array_equal(after.landmarks_3d[row], before.landmarks_3d[row])
        np.testing.assert_array_equal(after.vertices[row], before.vertices[row])


def test_a_cropped_image_is_the_warped_image(head: MorphableModel, samples: Samples, plain: Renders) -> None:
    crop = {"x": constant(0.06), "y": constant(-0.04), "scale": constant(1.15)}
    after = render(head, samples, {"crop": crop})
    assert after.effect_crop is not None
    scale, right, down = after.effect_crop[0].tolist()
    assert (scale, right, down) == pytest.approx((1.15, 0.06 * WIDTH, -0.04 * HEIGHT))

    def off(row: int, more: float) -> float:
        # OpenCV's pixel centres are at whole numbers.
        shift = [(1 - scale) * (size / 2 - 0.5) + by for size, by in ((WIDTH, right + more), (HEIGHT, down))]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        warped = cv2.warpAffine(plain.image[row], matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
        inside = np.s_[8:-8, 8:-8]
        return float(np.abs(warped[inside].astype(float) - after.image[row][inside]).mean())

    for row in range(4):
        assert off(row, 0.0) < 3
        assert off(row, 0.0) < 0.7 * min(off(row, 1.0), off(row, -1.0))


@pytest.mark.parametrize("name", [*AFTER, "exposure", "white_balance"])
def test_other_effects_change_the_image_and_no_label(
    head: MorphableModel, samples: Samples, plain: Renders, name: str
) -> None:
    after = render(head, samples, {name: {"probability": 1}})
    for label in LABELS:
        np.testing.assert_array_equal(getattr(after, label), getattr(plain, label), err_msg=label)
    assert after.intrinsics is None
    assert all((a != b).mean() > 0.1 for a, b in zip(after.image, plain.image, strict=True))
    stored = {field.name for field in fields(Renders) if field.name.startswith("effect_")}
    assert {field for field in stored if getattr(after, field) is not None} == {f"effect_{name}"}


def test_faces_that_a_probability_spares_are_as_without(head: MorphableModel, samples: Samples, plain: Renders) -> None:
    spared = render(head, samples, {name: {"probability": 0} for name in ALL})
    for label in ("image", *LABELS):
        np.testing.assert_array_equal(getattr(spared, label), getattr(plain, label), err_msg=label)
    np.testing.assert_array_equal(spared.intrinsics, samples.intrinsics)
    neutral = {
        "crop": [1, 0, 0], "exposure": 0, "white_balance": [1, 1, 1], "blur": 0, "motion": [0, 0], "noise": [0, 0],
        "jpeg": 0,
    }  # fmt: skip
    for name, value in neutral.items():
        np.testing.assert_array_equal(getattr(spared, f"effect_{name}"), np.broadcast_to(value, (4, *np.shape(value))))


def test_a_face_has_its_effects_whoever_is_beside_it(head: MorphableModel, samples: Samples) -> None:
    everything = {name: {"probability": 0.7} for name in ALL}
    together = render(head, samples, everything).as_dict()
    arrays = samples.as_dict()
    for rows in ([3, 1], [2], [0]):
        apart = render(head, Samples.from_dict({name: value[rows] for name, value in arrays.items()}), everything)
        for name, value in apart.as_dict().items():
            np.testing.assert_array_equal(value, together[name][rows], err_msg=name)


# -- draws


def test_an_effect_has_a_stream_of_its_own() -> None:
    together = drawn({name: {"probability": 0.5} for name in ALL}).as_dict()
    for name in ALL:
        alone = drawn({name: {"probability": 0.5}}).as_dict()
        assert f"effect_{name}" in alone
        for field, value in alone.items():
            np.testing.assert_array_equal(value, together[field])
    assert len({value[:20].tobytes() for value in together.values()}) == len(together)


def test_laws_and_probabilities_are_kept() -> None:
    values = {
        "blur": {"probability": 0.25, "sigma": {"law": "uniform", "low": 1, "high": 3}},
        "jpeg": {"quality": {"law": "uniform", "low": 20, "high": 40}},
        "motion": {"probability": 1, "length": constant(4), "angle": constant(90)},
    }
    found = drawn(values)
    assert found.effect_blur is not None
    assert found.effect_jpeg is not None
    assert found.effect_motion is not None
    some = found.effect_blur[found.effect_blur > 0]
    assert 0.15 < len(some) / len(SEEDS) < 0.35
    assert 1 <= some.min() < 1.2
    assert 2.8 < some.max() <= 3
    assert set(found.effect_jpeg.tolist()) == set(range(20, 41))
    np.testing.assert_allclose(found.effect_motion, np.broadcast_to([0, 4], (len(SEEDS), 2)), atol=1e-6)


def test_white_keeps_its_luminance() -> None:
    gain = drawn({"white_balance": {"warmth": {"law": "gaussian", "sigma": 1}}}).effect_white_balance
    assert gain is not None
    np.testing.assert_allclose(gain @ LUMINANCE, 1, rtol=1e-6)
    assert np.ptp(gain[:, 0] / gain[:, 2]) > 1


numbers = st.floats(allow_nan=False, allow_infinity=False)
laws = st.one_of(
    numbers.map(constant),
    st.tuples(numbers, st.floats(0, 1e308)).map(lambda v: {"law": "gaussian", "mean": v[0], "sigma": v[1]}),
    st.tuples(numbers, numbers).map(lambda v: {"law": "uniform", "low": min(v), "high": max(v)}),
)
BOUNDS = {
    "crop": (-100, 100), "exposure": (-8, 8), "white_balance": (0, 1e6), "blur": (0, 22), "motion": (-22, 22),
    "noise": (0, 1), "jpeg": (0, 100),
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(ALL), probability=st.floats(0, 1))
def test_whatever_laws_draw_is_within_bounds(data: st.DataObject, name: str, probability: float) -> None:
    section = EffectsConfig.model_fields[name].annotation.__args__[0]  # type: ignore[union-attr]
    kept = {"probability", "chroma"}
    values = {field: data.draw(laws) for field in section.model_fields if field not in kept}
    found = drawn({name: {"probability": probability, **values}}, SEEDS[:3])
    value = getattr(found, f"effect_{name}")
    low, high = BOUNDS[name]
    assert (low <= value).all()
    assert (value <= high).all()
    assert found.intrinsics is None or np.isfinite(found.intrinsics).all()


# -- light


@pytest.mark.parametrize("stops", [-3.0, -2.0])
def test_exposure_multiplies_light(head: MorphableModel, samples: Samples, stops: float) -> None:
    # From a picture that is darker than white everywhere: samples inside a pixel are cut at white one by one.
    dark = render(head, samples, {"exposure": {"stops": constant(stops)}}).image
    bright = render(head, samples, {"exposure": {"stops": constant(stops + 1)}}).image
    assert dark.max() < 200
    assert dark.min() < 30
    # Half a byte of both, the same for the background at an edge, and half a step of the renderer's table of light.
    steps = np.diff(srgb_decoding(), append=1.02)
    slack = 1.1 * (2 * steps[dark] + steps[bright]) + 0.55 * 3 / 4095
    off = np.abs(decode_srgb(bright) - 2 * decode_srgb(dark))
    assert (off <= slack).all()
    assert off.mean() < 0.5 * slack.mean()


def test_a_highlight_comes_back_in_a_darker_picture(head: MorphableModel, samples: Samples) -> None:
    bright = {"stops": constant(3.0)}
    burnt = render(head, samples, {"exposure": bright}).image
    fine = render(head, samples, {"exposure": {"stops": constant(-1.0)}}).image
    white = (burnt == 255).all(axis=-1)
    assert white.mean() > 0.05
    assert len(np.unique(fine[white])) > 20


def test_gains_of_bytes() -> None:
    image = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    np.testing.assert_array_equal(encode_srgb(decode_srgb(image)), image)
    np.testing.assert_array_equal(gain_srgb(image, np.ones(3, np.float32)), image)
    gain = np.array([0.5, 1.0, 3.0], np.float32)
    np.testing.assert_array_equal(gain_srgb(image, gain), encode_srgb(decode_srgb(image) * gain))


@pytest.mark.parametrize("blur", [lambda light: gaussian_blur(light, 1.7), lambda light: motion_blur(light, 3.5, -2.0),
                                  lambda light: disc_blur(light, 2.3)])  # fmt: skip
def test_a_blur_keeps_flat_light_and_the_amount_of_it(blur: Any) -> None:
    np.testing.assert_allclose(blur(np.full((9, 13, 3), 0.3, np.float32)), 0.3, rtol=1e-5)
    spread = blur(spot())
    assert spread.sum() == pytest.approx(3, rel=1e-5)
    np.testing.assert_allclose(moments(spread)[0], [20.5, 20.5], atol=1e-4)


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_the_gaussian_has_its_deviation(sigma: float) -> None:
    # Cut at 3 σ, it lacks 2.7 % of its variance.
    np.testing.assert_allclose(moments(gaussian_blur(spot(), sigma))[1], np.eye(2) * sigma**2, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize(("across", "down"), [(6.0, 0.0), (0.0, 9.0), (5.0, -7.0)])
def test_motion_is_a_segment(across: float, down: float) -> None:
    covariance = moments(motion_blur(spot(), across, down))[1]
    segment = np.outer([across, down], [across, down]) / 12
    # Bilinear samples of a pixel's own width add up to 1/4 pixel² along either axis.
    np.testing.assert_allclose(covariance, segment, atol=0.27)
    assert np.abs(covariance).max() > 2.5


def test_the_disc_has_its_radius() -> None:
    for radius in (1.6, 4.0, 7.5):
        np.testing.assert_allclose(moments(disc_blur(spot(), radius))[1], np.eye(2) * radius**2 / 4, atol=0.25)


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_the_variance_of_noise(level: float) -> None:
    shot, read = 0.05, 0.012
    effects = effects_of({"noise": {"shot": constant(shot), "read": constant(read)}}, 256, 256)
    seeds = np.array([5, 6], np.uint64)
    labels = effects.draw(seeds, np.zeros((2, 3, 3)))
    flat = np.full((256, 256, 3), encode_srgb(np.full(1, level, np.float32))[0])
    pictures = [effects.after(labels, row, int(seed), flat) for row, seed in enumerate(seeds)]
    apart = [decode_srgb(picture) - decode_srgb(flat) for picture in pictures]
    for noise in apart:
        assert noise.var() == pytest.approx(read**2 + shot**2 * level, rel=0.03)
        assert abs(noise.mean()) < 5e-4
        # Pixels and colours do not know of each other, nor does another face.
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(apart[0].ravel(), apart[1].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(effects.after(labels, 0, 5, flat), pictures[0])


def test_jpeg_loses_more_at_lower_quality(head: MorphableModel, samples: Samples, plain: Renders) -> None:
    def loss(quality: float, chroma: str) -> float:
        after = render(head, samples, {"jpeg": {"quality": constant(quality), "chroma": chroma}})
        assert (after.effect_jpeg == round(quality)).all()
        return float(np.abs(after.image.astype(float) - plain.image).mean())

    assert loss(10, "4:2:0") > loss(50, "4:2:0") > loss(95, "4:2:0") > loss(95, "4:4:4") > 0


# -- a whole run


def test_a_run_with_effects_is_sound_and_the_same_in_any_shards(tmp_path: Path) -> None:
    everything = "{" + ", ".join(f"{name}: {{probability: 0.8}}" for name in ALL) + "}"
    background = (
        "{kind: mixture, components: [{weight: 1, background: {kind: texture}}, "
        "{weight: 1, background: {kind: gradient}}]}"
    )
    options = ("--set", f"render.effects={everything}", "--set", f"render.background={background}")
    digests = set()
    for size in (16, 5):
        run = tmp_path / str(size)
        made = quickstart("run", run, *options, "--set", f"shard_size={size}", faces=16)
        assert made.code == 0, made.err
        checked = facegen("verify", run, "--json")
        assert checked.code == 0, checked.out
        digests.add(checked.json["content_sha256"])
    assert len(digests) == 1
    data = FaceDataset(tmp_path / "5", ["intrinsics", "landmarks_2d", *(f"effect_{name}" for name in ALL)])
    crops = np.stack([face["effect_crop"].numpy() for face in data])
    focal = np.stack([face["intrinsics"].numpy() for face in data])
    assert (focal[:, 0, 2] == 32 * (1 - crops[:, 0].astype(float)) + crops[:, 0].astype(float) * 32 + crops[:, 1]).all()
    assert len(np.unique(crops[:, 0])) > 5
