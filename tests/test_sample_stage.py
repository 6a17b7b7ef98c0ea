"""The sample stage with the real model: what a face's coefficients, pose, camera, light and gaze promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC, Samples
from facegen.errors import ConfigurationError
from facegen.imaging.camera import project
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.livelink import read_livelink
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.light import directional_light, spherical_harmonics, warm_tint
from facegen.stages.sample.stage import Sampler
from facegen.tests.data_paths import shared_path
from facegen.tests.stage_contract import Stage, StageContract

ALL = tuple(field.name for field in fields(Samples) if field.default is MISSING)
"""What is drawn; later stages add the rest."""
HEIGHT, WIDTH = 96, 128


def sampler(model: MorphableModel, seed: int = 0, **config: Any) -> Sampler:
    return Sampler(validate(SampleConfig, config, source="test"), model, HEIGHT, WIDTH, seed)


def draw(model: MorphableModel, count: int = 8, seed: int = 0, **config: Any) -> Samples:
    return sampler(model, seed, **config).draw(np.arange(count))


def constant(value: float) -> dict[str, Any]:
    return {"law": "constant", "value": value}


STILL = {name: constant(0) for name in ("yaw", "pitch", "roll", "x", "y", "z")}


def assert_equal(a: Samples, b: Samples, names: tuple[str, ...] = ALL) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


class TestStage(StageContract):
    """The contract, with all laws of the small quickstart and several images of each person."""

    name = "sample"

    @pytest.fixture
    def make(self, head: MorphableModel) -> Callable[[int], Stage]:
        return lambda seed: sampler(head, seed, images_per_identity=3).draw


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_a_face_is_the_same_in_whatever_batch_it_is_drawn(
    head: MorphableModel, order: list[int], cuts: list[int]
) -> None:
    stage = sampler(
        head, images_per_identity=3, expression={"law": "uniform", "low": 0, "high": 1}, expression_symmetry=0.5
    )
    whole = stage.draw(np.arange(12))
    for part in np.split(np.array(order), sorted(cuts)):
        if len(part):
            drawn = stage.draw(part)
            for name in ALL:
                np.testing.assert_array_equal(getattr(drawn, name), getattr(whole, name)[part], err_msg=name)


def test_seeds_differ_and_repeat(head: MorphableModel) -> None:
    zero, one = draw(head, seed=0), draw(head, seed=1)
    assert_equal(zero, draw(head, seed=0))
    for name in ("identity", "albedo", "iris_colour", "gaze", "pose", "intrinsics", "extrinsics", "light_sh",
                 "light_position", "light_colour", "light_radius", "background_seed"):  # fmt: skip
        assert (getattr(zero, name) != getattr(one, name)).any(), name


GROUPS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "identity": ({"identity": {"law": "gaussian"}}, {"identity"}),
    "expression": ({"expression": {"law": "uniform", "low": 0, "high": 1}}, {"expression"}),
    "albedo": ({"albedo": {"law": "uniform", "width": 1}}, {"albedo"}),
    "iris": ({"iris": {"blue": 1}}, {"iris_colour"}),
    # Lids follow the eyes.
    "gaze": ({"gaze": {"source": "drawn", "yaw": {"law": "uniform", "width": 20}}}, {"gaze", "expression"}),
    "pose": ({"pose": {"yaw": {"law": "gaussian", "sigma": 20}}}, {"pose", "extrinsics"}),
    "camera": ({"camera": {"distance": constant(900)}}, {"intrinsics", "extrinsics"}),
    "light": (
        {"light": {"ambient": {"law": "gaussian", "mean": 0.5, "sigma": 0.1}}},
        {"light_sh", "light_position", "light_colour", "light_radius"},
    ),
}


@pytest.mark.parametrize("group", GROUPS)
def test_another_law_of_one_group_leaves_the_others(head: MorphableModel, group: str) -> None:
    config, changed = GROUPS[group]
    before, after = draw(head), draw(head, **config)
    assert_equal(before, after, tuple(name for name in ALL if name not in changed))
    differing = {name for name in ALL if (getattr(before, name) != getattr(after, name)).any()}
    assert differing
    assert differing <= changed


def test_images_of_one_person(head: MorphableModel) -> None:
    samples = draw(head, 9, images_per_identity=3, expression={"law": "uniform", "low": 0, "high": 1})
    assert samples.identity_number.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for name in ("identity", "albedo", "iris_colour"):
        values = getattr(samples, name)
        np.testing.assert_array_equal(values[::3].repeat(3, axis=0), values)
        assert len(np.unique(values, axis=0)) == 3
    for name in ("expression", "pose", "gaze", "light_sh", "background_seed", "extrinsics"):
        assert len(np.unique(getattr(samples, name), axis=0)) == 9, name
    # The first person is the first of a run of single images.
    np.testing.assert_array_equal(samples.identity[::3], draw(head, 3).identity)


def test_a_grid_sweeps_and_shares_the_rest_of_a_round(head: MorphableModel) -> None:
    grid = [
        {"parameter": "light.azimuth", "values": [-30, 60]},
        {"parameter": "pose.yaw", "values": [-40, 0, 40]},
        {"parameter": "expression.jawOpen", "values": [0.25]},
    ]
    samples = draw(head, 12, grid=grid, images_per_identity=2)
    np.testing.assert_allclose(np.degrees(samples.pose[:, 0]), [-40, 0, 40] * 4, atol=1e-4)
    azimuth = np.degrees(np.arctan2(samples.light_position[:, 0, 0], -samples.light_position[:, 0, 2]))
    np.testing.assert_allclose(azimuth, ([-30] * 3 + [60] * 3) * 2, atol=1e-4)
    assert (samples.expression[:, head.expression_names.index("jawOpen")] == np.float32(0.25)).all()
    # Two rounds of six cells are two images of one person.
    assert (samples.identity_number == 0).all()
    for name in ("identity", "albedo", "iris_colour"):
        assert len(np.unique(getattr(samples, name), axis=0)) == 1
    for name in ("intrinsics", "light_sh", "light_colour", "background_seed", "gaze"):
        values = getattr(samples, name)
        np.testing.assert_array_equal(values[[0, 6]].repeat(6, axis=0), values)
        assert len(np.unique(values, axis=0)) == 2, name
    np.testing.assert_array_equal(samples.pose[:6, 1:], samples.pose[:1, 1:].repeat(6, axis=0))


def test_every_scalar_can_be_swept(head: MorphableModel) -> None:
    names = [
        "pose.roll",
        "camera.frame",
        "gaze.pitch",
        "light.warmth",
        "identity.0",
        f"albedo.{head.albedo_names[0]}",
        "expression.mouthPucker",
    ]
    for name in names:
        swept = draw(head, 2, grid=[{"parameter": name, "values": [0.1, 0.9]}])
        assert any((getattr(swept, field)[0] != getattr(swept, field)[1]).any() for field in ALL if field != "face"), (
            name
        )
    with pytest.raises(
        ConfigurationError, match=r"unknown parameter 'expression.jawOpn'; did you mean 'expression.jawOpen'"
    ):
        sampler(head, grid=[{"parameter": "expression.jawOpn", "values": [0]}])
    with pytest.raises(ConfigurationError, match=r"unknown parameter 'camera.projection'"):
        sampler(head, grid=[{"parameter": "camera.projection", "values": [0]}])


weights = st.one_of(
    st.builds(lambda m, s: {"law": "gaussian", "mean": m, "sigma": s}, st.floats(-1, 2), st.floats(0, 3)),
    st.builds(lambda low, span: {"law": "uniform", "low": low, "high": low + span}, st.floats(-2, 2), st.floats(0, 3)),
    st.builds(constant, st.floats(-2, 3)),
)


@settings(max_examples=40, deadline=None)
@given(law=weights, seed=st.integers(0, 2**64 - 1), symmetry=st.floats(0, 1))
def test_weights_are_weights_and_a_mouth_closes_no_more_than_the_jaw_opens(
    head: MorphableModel, law: dict[str, Any], seed: int, symmetry: float
) -> None:
    expression = draw(head, 6, seed, expression=law, expression_symmetry=symmetry).expression
    assert expression.dtype == np.float32
    assert expression.min() >= 0
    assert expression.max() <= 1
    names = head.expression_names
    assert (expression[:, names.index("mouthClose")] <= expression[:, names.index("jawOpen")]).all()


def test_symmetry(head: MorphableModel) -> None:
    law = {"law": "uniform", "low": 0, "high": 1}
    names = head.expression_names
    directions = ("eyeLook", "jawLeft", "mouthLeft")
    left = [n for n, name in enumerate(names) if name.endswith("Left") and not name.startswith(directions)]
    right = [names.index(names[n].removesuffix("Left") + "Right") for n in left]
    assert len(left) == 14
    always = draw(head, 20, expression=law, expression_symmetry=1).expression
    never = draw(head, 20, expression=law, expression_symmetry=0).expression
    half = draw(head, 200, expression=law, expression_symmetry=0.5).expression
    np.testing.assert_array_equal(always[:, left], always[:, right])
    np.testing.assert_array_equal(always[:, left], never[:, left])
    assert (never[:, left] != never[:, right]).all()
    # These tell a direction, not a side.
    for pair in ("jaw", "mouth"):
        one, other = names.index(f"{pair}Left"), names.index(f"{pair}Right")
        assert (always[:, one] != always[:, other]).all()
    assert abs((half[:, left] == half[:, right]).all(axis=1).mean() - 0.5) < 5 * 0.5 / np.sqrt(200)


@pytest.fixture(scope="module")
def takes() -> list[Path]:
    return [shared_path(f"captures/arkit/{name}.csv") for name in ("take-facial", "range-of-motion-a")]


def test_recorded_frames(head: MorphableModel, takes: list[Path]) -> None:
    law = {"law": "empirical", "recordings": takes}
    samples = draw(head, 60, expression=law, gaze={"source": "recorded"})
    recordings = [read_livelink(path) for path in takes]
    recorded = np.concatenate([r.weights for r in recordings])[:, arkit_index(head.expression_names)]
    gaze = np.concatenate([r.gaze for r in recordings])
    close, open_ = (head.expression_names.index(name) for name in ("mouthClose", "jawOpen"))
    recorded[:, close] = np.minimum(recorded[:, close], recorded[:, open_])
    chosen = set()
    tongue = head.expression_names.index("tongueOut")
    others = np.arange(len(head.expression_names)) != tongue
    for expression, eyes in zip(samples.expression, samples.gaze, strict=True):
        same = (recorded[:, others] == expression[others]).all(axis=1)
        frames = np.flatnonzero(same & (gaze == eyes).all(axis=(1, 2)))
        assert len(frames)
        assert expression[tongue] in (0, recorded[frames[0], tongue] >= 0.5)
        chosen.add(int(frames[0]))
    assert len(chosen) > 50
    first = len(recordings[0].weights)
    assert min(chosen) < first <= max(chosen)


def test_the_recorded_names_meet_the_models(head: MorphableModel, takes: list[Path]) -> None:
    index = arkit_index(head.expression_names)
    for name, place in zip(head.expression_names, index, strict=True):
        apple = ARKIT_NAMES[place]
        side = {"_L": "Left", "_R": "Right"}.get(name[-2:], "")
        assert apple in (name.removesuffix("_L").removesuffix("_R") + side, name.removesuffix("_L").removesuffix("_R"))


def test_jitter(head: MorphableModel, takes: list[Path]) -> None:
    law = {"law": "empirical", "recordings": takes[:1]}
    exact = draw(head, 60, expression=law, gaze={"source": "recorded"})
    moved = draw(head, 60, expression=law | {"jitter": 0.05}, gaze={"source": "recorded"})
    np.testing.assert_array_equal(exact.gaze, moved.gaze)
    free = (exact.expression > 0.25) & (exact.expression < 0.75)
    free[:, head.expression_names.index("mouthClose")] = False
    noise = (moved.expression - exact.expression)[free]
    assert len(noise) > 100
    assert abs(noise.std() / 0.05 - 1) < 5 / np.sqrt(2 * len(noise))
    assert abs(noise.mean()) < 5 * 0.05 / np.sqrt(len(noise))
    assert moved.expression.min() >= 0


def test_extrinsics_are_rigid(head: MorphableModel) -> None:
    samples = draw(head, 50, pose={"yaw": {"law": "uniform", "width": 180}, "roll": {"law": "uniform", "width": 180}})
    rotation = samples.extrinsics[:, :3, :3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-12)
    np.testing.assert_array_equal(samples.extrinsics[:, 3], np.tile([0.0, 0, 0, 1], (50, 1)))


def seen(samples: Samples, point: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pixels (B, 2) of a point (3,) of the model frame."""
    camera = samples.extrinsics[:, :3, :3] @ point.astype(np.float64) + samples.extrinsics[:, :3, 3]
    pixels = [project(c, k, int(p)) for c, k, p in zip(camera, samples.intrinsics, samples.projection, strict=True)]
    return np.array(pixels)


PROJECTIONS = pytest.mark.parametrize("projection", ["perspective", "scaled-orthographic"])


@PROJECTIONS
def test_the_pivot_is_in_the_middle(head: MorphableModel, projection: str) -> None:
    pose = {name: constant(0) for name in "xyz"}
    samples = draw(head, 20, camera={"projection": projection}, pose=pose)
    assert (samples.projection == (PERSPECTIVE if projection == "perspective" else SCALED_ORTHOGRAPHIC)).all()
    np.testing.assert_allclose(seen(samples, head.pivot), np.tile([WIDTH / 2, HEIGHT / 2], (20, 1)), atol=1e-9)


@PROJECTIONS
def test_the_frame_is_the_height_of_the_scene(head: MorphableModel, projection: str) -> None:
    camera = {
        "projection": projection,
        "frame": constant(240),
        "distance": {"law": "uniform", "low": 500, "high": 2000},
    }
    samples = draw(head, 10, camera=camera, pose=STILL)
    step = seen(samples, head.pivot + np.array([60.0, 60, 0])) - seen(samples, head.pivot)
    np.testing.assert_allclose(step, np.tile([HEIGHT / 4, -HEIGHT / 4], (10, 1)), atol=1e-6)


@PROJECTIONS
def test_distance_counts_under_perspective_only(head: MorphableModel, projection: str) -> None:
    def at(distance: float) -> Samples:
        return draw(
            head,
            1,
            camera={"projection": projection, "frame": constant(240), "distance": constant(distance)},
            pose=STILL,
        )

    nose = head.mean[head.topology.landmarks[30]] + np.array([30.0, 30, 0])
    moved = np.abs(seen(at(400), nose) - seen(at(4000), nose)).max()
    assert moved > 2 if projection == "perspective" else moved < 1e-9


def nose_shift(model: MorphableModel, **pose: float) -> NDArray[np.float64]:
    """How far, in pixels right and down, the tip of the nose moves from a still head to a posed one."""
    nose = model.mean[model.topology.landmarks[30]]
    posed = draw(model, 1, pose=STILL | {name: constant(value) for name, value in pose.items()})
    shift: NDArray[np.float64] = (seen(posed, nose) - seen(draw(model, 1, pose=STILL), nose))[0]
    return shift


def test_pose_turns_the_nose(head: MorphableModel) -> None:
    # The subject's left is +x of the model and the viewer's right.
    assert nose_shift(head, yaw=30)[0] > 5
    assert nose_shift(head, yaw=-30)[0] < -5
    assert nose_shift(head, pitch=20)[1] < -5
    assert nose_shift(head, pitch=-20)[1] > 5
    assert nose_shift(head, x=20)[0] > 2
    assert nose_shift(head, y=20)[1] < -2


def test_roll_tilts_the_crown_to_the_subjects_right(head: MorphableModel) -> None:
    crown = head.pivot + np.array([0.0, 100, 0])
    rolled = draw(head, 1, pose=STILL | {"roll": constant(20)})
    assert seen(rolled, crown)[0, 0] < WIDTH / 2 - 5


def test_pose_is_what_the_extrinsics_hold(head: MorphableModel) -> None:
    samples = draw(head, 30)
    yaw, pitch = samples.pose[:, 0].astype(np.float64), samples.pose[:, 1].astype(np.float64)
    # Where the face looks: +z of the model, in the camera frame.
    forward = samples.extrinsics[:, :3, 2]
    expected = np.stack([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw) * np.cos(pitch)], axis=1)
    np.testing.assert_allclose(forward, expected, atol=1e-6)
    assert np.abs(np.degrees(yaw)).max() <= 40
    assert np.abs(np.degrees(pitch)).max() <= 15


def show(sh: NDArray[np.floating], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a white Lambertian surface shows, RGB (N, 3), by the definition of the harmonics; normals (N, 3)."""
    x, y, z = normal.T
    basis = [
        np.full_like(x, 0.5 / np.sqrt(np.pi)),
        *(np.sqrt(3 / (4 * np.pi)) * v for v in (y, z, x)),
        *(np.sqrt(15 / (4 * np.pi)) * v for v in (x * y, y * z)),
        np.sqrt(5 / (16 * np.pi)) * (3 * z * z - 1),
        np.sqrt(15 / (4 * np.pi)) * x * z,
        np.sqrt(15 / (16 * np.pi)) * (x * x - y * y),
    ]
    shown: NDArray[np.float64] = np.stack(basis, axis=1) @ sh
    return shown


def normals(count: int = 500) -> NDArray[np.float64]:
    drawn = np.random.default_rng(0).standard_normal((count, 3))
    unit: NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def test_constant_light_shows_its_level_on_white(head: MorphableModel) -> None:
    light = {"ambient": constant(0.6), "gradient": constant(0), "second_order": constant(0), "warmth": constant(0)}
    for sh in draw(head, 3, light=light).light_sh:
        np.testing.assert_allclose(show(sh, normals()), 0.6, atol=1e-6)


def test_gradient_light_comes_from_above_on_the_whole(head: MorphableModel) -> None:
    light = {"ambient": constant(0.5), "gradient": constant(0.4), "second_order": constant(0), "warmth": constant(0)}
    up = np.array([[0.0, -1, 0], [0.0, 1, 0]])
    shown = np.array([show(sh, up).mean(axis=1) for sh in draw(head, 100, light=light).light_sh])
    assert (shown[:, 0] > shown[:, 1]).mean() > 0.9
    # The gradient is relative to the level: 0.5 (1 ± 0.4).
    values = np.array([show(sh, normals()).mean(axis=1) for sh in draw(head, 20, light=light).light_sh])
    np.testing.assert_allclose(values.max(axis=1), 0.7, atol=0.005)
    np.testing.assert_allclose(values.min(axis=1), 0.3, atol=0.005)


@settings(deadline=None)
@given(ambient=st.floats(0, 2), warmth=st.floats(-2, 2), numbers=st.lists(st.floats(-3, 3), min_size=9, max_size=9))
def test_the_level_is_the_mean_over_all_directions(ambient: float, warmth: float, numbers: list[float]) -> None:
    sh = spherical_harmonics(ambient, 0.5, 0.2, warmth, np.array(numbers))
    both = np.concatenate([normals(), -normals()])
    # Odd orders cancel between opposite normals; the order-2 mean vanishes on a sphere, here only nearly.
    assert np.isclose(sh[0].mean() * 0.5 / np.sqrt(np.pi), ambient)
    flat = sh.copy()
    flat[4:] = 0
    np.testing.assert_allclose(show(flat, both).mean(axis=0), ambient * warm_tint(warmth), atol=1e-9)


def test_light_directions() -> None:
    right, _ = directional_light(np.radians(40), 0.0, 1.0, 0.0)
    assert right[0] > 0.5
    above, _ = directional_light(0.0, np.radians(40), 1.0, 0.0)
    assert above[1] < -0.5
    front, colour = directional_light(0.0, 0.0, 0.7, 0.0)
    np.testing.assert_allclose(front, [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(colour, 0.7)
    _, warm = directional_light(0.0, 0.0, 1.0, 1.0)
    assert warm[0] > warm[1] > warm[2]
    assert np.isclose(warm.mean(), 1)


def test_drawn_gaze_and_lids(head: MorphableModel) -> None:
    gaze = {"source": "drawn", "yaw": {"law": "uniform", "width": 60}, "pitch": {"law": "uniform", "width": 60}}
    samples = draw(head, 200, gaze=gaze)
    angles = np.degrees(samples.gaze.astype(np.float64))
    np.testing.assert_array_equal(angles[:, 0], angles[:, 1])
    np.testing.assert_allclose(np.abs(angles).max(axis=(0, 1)), [35, 30], atol=1e-4)
    yaw, pitch = angles[:, 0, 0], angles[:, 0, 1]
    expected = {
        "eyeLookUpLeft": pitch, "eyeLookUpRight": pitch, "eyeLookDownLeft": -pitch, "eyeLookDownRight": -pitch,
        "eyeLookOutLeft": yaw, "eyeLookInRight": yaw, "eyeLookInLeft": -yaw, "eyeLookOutRight": -yaw,
    }  # fmt: skip
    for name, angle in expected.items():
        weight = samples.expression[:, head.expression_names.index(name)]
        np.testing.assert_allclose(weight, (angle / 30).clip(0, 1), atol=1e-5, err_msg=name)


def test_huge_laws_do_not_warn(head: MorphableModel) -> None:
    huge = {"law": "uniform", "width": 1e308}
    samples = draw(head, 3, identity=huge, albedo=huge, pose={"yaw": huge, "x": huge}, light={"ambient": huge})
    assert len(samples) == 3
