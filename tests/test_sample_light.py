"""Kinds of light: each from streams of its own, exposed for the face, the same number of lights for every face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.errors import ConfigurationError, LightError
from facegen.lighting.colour import luminance
from facegen.lighting.harmonics import flipped
from facegen.lighting.light import Light
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.config import RunConfig, fingerprint
from facegen.stages.plan import plan
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.light_config import scalar_names
from facegen.stages.sample.lights import LightSource, folder_digests
from facegen.stages.sample.stage import Sampler
from facegen.tests.command import facegen, quickstart

Float64 = NDArray[np.float64]

HEAD = np.array([20.0, -10.0, 900.0])
NORMALS = np.random.default_rng(0).standard_normal((200, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)


def constant(value: float) -> dict[str, Any]:
    return {"law": "constant", "value": value}


def write_map(path: Path, top: float = 3.0, height: int = 16) -> None:
    """A grey map, brighter above, with a bright spot."""
    pixels = np.full((height, 2 * height, 4), 129, np.uint8)
    pixels[..., :3] = (np.linspace(60 * top, 40, height)[:, None, None] * [1.0, 0.9, 0.8]).astype(np.uint8)
    pixels[height // 3, height // 2] = [255, 240, 200, 136]
    path.write_bytes(f"#?RADIANCE\n\n-Y {height} +X {2 * height}\n".encode() + pixels.tobytes())


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    for number in range(3):
        write_map(folder / f"{number}.hdr", 1.5 + number)
    return folder


def kinds(maps: Path) -> dict[str, dict[str, Any]]:
    return {
        "studio": {},
        "outdoor": {"kind": "outdoor"},
        "indoor": {"kind": "indoor", "lights": 3},
        "environment": {"kind": "environment", "folder": str(maps)},
    }


def config_of(light: dict[str, Any]) -> Any:
    return validate(SampleConfig, {"light": light}, source="test").light


def drawn(light: dict[str, Any], count: int, seed: int = 0, swept: dict[str, Float64] | None = None) -> list[Light]:
    return LightSource(config_of(light), seed).draw(np.arange(count), swept or {}, np.tile(HEAD, (count, 1)))


def at_head(light: Light) -> Light:
    """A light in the camera frame in the level frame."""
    position = light.position.copy()
    position[:, :3] -= HEAD * position[:, 3:]
    return Light(flipped(light.sh), position * [1, -1, -1, 1], light.colour, light.radius)


def same(a: Light, b: Light) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


KINDS = ("studio", "outdoor", "indoor", "environment")


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_number_decides_the_light(kind: str, maps: Path) -> None:
    config = kinds(maps)[kind]
    lights, source = drawn(config, 8), LightSource(config_of(config), 0)
    for number in (5, 0, 7):
        (alone,) = source.draw(np.array([number]), {}, HEAD[None])
        assert same(alone, lights[number])
    assert len({light.sh.tobytes() for light in lights}) == 8
    assert not same(drawn(config, 1, seed=1)[0], lights[0])


@pytest.mark.parametrize(
    ("kind", "low", "high", "most"),
    [("studio", 0.4, 1.7, 2.6), ("outdoor", 0.75, 1.1, 2.8), ("indoor", 0.7, 1.05, 2.7)],
)
def test_light_is_such_as_faces_can_be_seen_in(kind: str, low: float, high: float, most: float, maps: Path) -> None:
    lights = [at_head(light) for light in drawn(kinds(maps)[kind], 400)]
    shown = np.array([light.shown(NORMALS) for light in lights])
    assert (shown > 0).all()
    level = np.array([light.level for light in lights])
    assert (level >= low - 1e-9).all()
    assert (level <= high + 1e-9).all()
    # What the camera sees of it, but for what is turned away almost, and all.
    facing = NORMALS[:, 2] > 0.3
    assert luminance(shown[:, facing]).max() < most
    assert luminance(shown).max() < 4.2
    # Neither green nor purple: green is between red and blue, or near both.
    seen = shown[:, facing].mean(axis=1)
    green = seen[:, 1] / np.sqrt(seen[:, 0] * seen[:, 2])
    assert (green > 0.85).all()
    assert (green < 1.3).all()
    count = {"studio": 1, "outdoor": 1, "indoor": 3}[kind]
    assert {light.count for light in lights} == {count}
    at_infinity = np.array([light.position[:, 3] == 0 for light in lights])
    assert at_infinity.all() if kind != "indoor" else not at_infinity.any()
    if kind == "indoor":
        away = np.linalg.norm([light.position[:, :3] for light in lights], axis=2)
        assert away.min() > 499
    for light in lights:
        np.testing.assert_allclose(np.linalg.norm(light.position[light.position[:, 3] == 0, :3], axis=1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_can_be_swept(kind: str, maps: Path, head: MorphableModel) -> None:
    light = kinds(maps)[kind]
    names = scalar_names(type(config_of(light)))
    assert len(names) >= 3
    for name in names:
        values = {
            "brightness": [300, 900],
            "temperature": [2500, 5000],
            "daylight": [10, 900],
            "turbidity": [2, 5],
            "elevation": [20, 40],
        }
        axis = {"parameter": f"light.{name}", "values": values.get(name, [0.2, 0.7])}
        config = validate(SampleConfig, {"light": light, "grid": [axis]}, source="test")
        # In a face that has a sun and no cloud.
        found = [Sampler(config, head, 32, 32, seed).draw(np.arange(2)) for seed in range(8)]
        arrays = ("light_sh", "light_position", "light_colour", "light_radius")
        assert any((getattr(s, array)[0] != getattr(s, array)[1]).any() for s in found for array in arrays), name


def test_a_swept_sun_goes_around() -> None:
    azimuth = np.array([-90.0, 0.0, 90.0, 180.0])
    lights = drawn({"kind": "outdoor", "overcast": constant(0), "shade": constant(0)}, 4, swept={
        "light.azimuth": azimuth, "light.elevation": np.full(4, 30.0)})  # fmt: skip
    position = np.array([light.position[0] for light in lights])
    across = np.sqrt(0.75)
    expected = [[-across, -0.5, 0, 0], [0, -0.5, -across, 0], [across, -0.5, 0, 0], [0, -0.5, across, 0]]
    np.testing.assert_allclose(position, expected, atol=1e-12)


def test_the_window_is_where_it_is_said_to_be() -> None:
    config = {"kind": "indoor", "daylight": constant(20000), "brightness": constant(1), "azimuth": constant(40)}
    found = 0
    for light in (at_head(light) for light in drawn(config, 60)):
        azimuth = np.degrees(np.arctan2(light.position[:, 0], light.position[:, 2]))
        found += bool(np.isclose(azimuth, 40).any())
    # In rooms with two windows either may be the stronger one; two are lights.
    assert found == 60


def test_what_a_kind_lacks_cannot_be_swept(head: MorphableModel) -> None:
    def refused(light: dict[str, Any], parameter: str) -> str:
        config = {"light": light, "grid": [{"parameter": parameter, "values": [0]}]}
        with pytest.raises(ConfigurationError) as error:
            Sampler(validate(SampleConfig, config, source="test"), head, 32, 32, 0)
        return str(error.value)

    outdoors = refused({"kind": "outdoor"}, "light.warmth")
    assert outdoors.startswith("sample.grid.0: light of kind 'outdoor' has no 'light.warmth'; a grid may sweep ")
    assert "light.azimuth, light.elevation, light.turbidity" in outdoors
    mixture = {"kind": "mixture", "components": [{"weight": 1, "light": {"kind": "studio"}}]}
    assert refused(mixture, "light.azimuth") == (
        "sample.grid.0: light of kind 'mixture' has no 'light.azimuth'; a grid may sweep nothing, since each face may "
        "have another kind"
    )
    assert refused({}, "light.azimut") == (
        "sample.grid.0: unknown parameter 'light.azimut'; did you mean 'light.azimuth'?"
    )


def test_a_mixture_is_of_its_parts_by_their_weights(maps: Path) -> None:
    parts = [config | {"kind": kind} for kind, config in kinds(maps).items()]
    weights = [1, 2, 3, 4]
    mixture = {
        "kind": "mixture",
        "components": [{"weight": w, "light": part} for w, part in zip(weights, parts, strict=True)],
    }
    alone = [drawn(part, 150) for part in parts]
    counts = np.zeros(4)
    for number, light in enumerate(drawn(mixture, 150)):
        # Three lights as the rooms have, those of no use dark.
        assert light.count == 3
        equal = [np.array_equal(light.sh, part[number].sh) for part in alone]
        assert sum(equal) == 1
        part = alone[equal.index(True)][number]
        np.testing.assert_array_equal(light.colour[: part.count], part.colour)
        np.testing.assert_array_equal(light.position[: part.count], part.position)
        assert not light.colour[part.count :].any()
        counts[equal.index(True)] += 1
    np.testing.assert_allclose(counts / 150, np.array(weights) / 10, atol=0.12)


def test_unused_lights_are_dark() -> None:
    mixture = {
        "kind": "mixture",
        "components": [{"weight": 1, "light": {"kind": "studio"}}, {"weight": 1e-9, "light": {"kind": "indoor"}}],
    }
    for light in drawn(mixture, 5):
        assert light.count == 2
        np.testing.assert_array_equal(light.colour[1], 0)
        np.testing.assert_allclose(np.linalg.norm(light.position[:, :3], axis=1), 1)


numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1e300, 1e300])


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["outdoor", "indoor"]), data=st.data())
def test_any_numbers_make_a_light_or_none_that_is_finite(kind: str, data: st.DataObject) -> None:
    names = scalar_names(type(config_of({"kind": kind})))
    values = {name: constant(data.draw(numbers)) for name in names}
    with np.errstate(over="ignore", invalid="ignore"):
        (light,) = drawn({"kind": kind, **values}, 1)
    assert (light.colour >= 0).all()
    if abs(values["exposure"]["value"]) < 1e10:
        assert all(np.isfinite(array).all() for array in vars(light).values())


# -- configuration


@pytest.mark.parametrize(
    ("light", "message"),
    [
        ({"kind": "moon"},
         "'sample.light.kind': 'moon' is none of 'studio', 'outdoor', 'indoor', 'environment', 'mixture'"),
        ({"kind": "environment"}, "'sample.light.folder' is missing"),
        ({"turbidity": {}}, "unknown key 'sample.light.turbidity'; known here: ambient, azimuth, elevation, gradient, "
         "intensity, kind, radius, second_order, warmth"),
        ({"kind": "outdoor", "warmth": {}}, "unknown key 'sample.light.warmth'"),
        ({"kind": "outdoor", "azimut": {}}, "unknown key 'sample.light.azimut'; did you mean 'azimuth'?"),
        ({"kind": "indoor", "lamps": 0}, "'sample.light.lamps': input should be greater than or equal to 1, found 0"),
        ({"kind": "indoor", "lights": 9}, "'sample.light.lights': input should be less than or equal to 4, found 9"),
        ({"kind": "mixture", "components": []}, "at least 1 item"),
        ({"kind": "mixture", "components": [{"weight": 1, "light": {"kind": "mixture", "components": []}}]},
         "'mixture' is none of 'studio', 'outdoor', 'indoor', 'environment'"),
        ({"kind": "mixture", "components": [{"weight": 1, "light": {}}]},
         "'sample.light.components.0.light.kind' is missing: it says which kind this is"),
        (3, "'sample.light'"),
    ],
)  # fmt: skip
def test_refusals(light: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        validate(RunConfig, {"sample": {"light": light}}, source="my.yaml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_of_maps_counts_by_names_and_contents(maps: Path, tmp_path: Path, head: MorphableModel) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in maps.iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes())

    def digest(folder: Path) -> str:
        part = {"kind": "environment", "folder": str(folder)}
        found = []
        for light in (part, {"kind": "mixture", "components": [{"weight": 1, "light": part}]}):
            config = validate(RunConfig, {"sample": {"light": light}}, source="")
            digests = folder_digests(config.sample.light)
            found.append(fingerprint(config, head, [], environments=digests))
        assert len(set(found)) == 2
        return min(found)

    digests = [digest(maps), digest(elsewhere)]
    assert digests[0] == digests[1]
    (elsewhere / "0.hdr").rename(elsewhere / "9.hdr")
    digests.append(digest(elsewhere))
    write_map(elsewhere / "9.hdr", 2.5)
    digests.append(digest(elsewhere))
    assert len(set(digests)) == 3


def test_bad_maps_are_told_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    light = {"kind": "environment", "folder": "$MAPS"}
    monkeypatch.delenv("MAPS", raising=False)
    with pytest.raises(
        ConfigurationError, match=r"sample\.light\.folder is '\$MAPS' and the environment variable MAPS"
    ):
        plan({"sample": {"light": light}}, source="test")
    monkeypatch.setenv("MAPS", str(tmp_path))
    with pytest.raises(LightError, match="no environment maps there"):
        plan({"sample": {"light": light}}, source="test")
    (tmp_path / "a.hdr").write_bytes(b"\x89PNG")
    with pytest.raises(LightError, match=r"a\.hdr: not a Radiance picture"):
        plan({"sample": {"light": light}}, source="test")
    made = quickstart("run", tmp_path / "run", "--set", "sample.light={kind: environment, folder: $MAPS}", faces=2)
    assert made.code == 2
    assert made.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_with_maps_goes_on_from_any_folder(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("{kind: environment, folder: $MAPS}", "{kind: indoor}")
    components = ", ".join(f"{{weight: 1, light: {part}}}" for part in parts)
    light = f"sample.light={{kind: mixture, components: [{components}]}}"
    run = tmp_path / "run"
    for name, faces in (("one", 4), ("two", 6)):
        folder = tmp_path / name
        folder.mkdir()
        for path in maps.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        monkeypatch.setenv("MAPS", str(folder))
        made = quickstart("run", run, "--set", light, "--set", "shard_size=2", faces=faces)
        assert made.code == 0, made.err
    assert facegen("verify", run).code == 0
    write_map(tmp_path / "two" / "0.hdr", 2.5)
    made = quickstart("run", run, "--set", light, "--set", "shard_size=2", faces=6)
    assert made.code == 2
