"""Configurations: what is shipped works, what is wrong is refused in one line that names the place and the remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import facegen
from facegen.errors import ConfigurationError, FacegenError
from facegen.morphable.model import MorphableModel
from facegen.pipeline.configuration import read_configuration, shipped_names
from facegen.pipeline.shards import split
from facegen.settings import validate
from facegen.stages.config import RunConfig, fingerprint
from facegen.stages.plan import plan
from facegen.tests.data_paths import shared_path


def refusal(values: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        validate(RunConfig, values, source="my.yaml")
    message = str(refused.value)
    assert message.startswith("my.yaml: ")
    assert "\n" not in message
    return message.removeprefix("my.yaml: ")


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_configurations_are_ready_to_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "ict":
        monkeypatch.setenv("FACEGEN_ICT", str(shared_path("models/ict-facekit/ict_facekit.npz")))
        monkeypatch.setenv("FACEGEN_CAPTURES", str(shared_path("captures/arkit")))
    if name in ("diverse", "manifold-paper") and not (Path(facegen.__path__[0]) / "manifold" / "weights").is_dir():
        pytest.skip("no weights are shipped yet")
    values = read_configuration(name)
    planned = plan(values, source=name)
    assert planned.config.name == name
    # What a run stores of its configuration is a configuration.
    assert validate(RunConfig, planned.configuration, source="run.yaml") == planned.config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{model: {name: bfm}}", "'model.name': 'bfm' is none of 'default', 'ict'"),
        ("{model: {}, fases: 3}", "unknown key 'fases'; did you mean 'faces'?"),
        ("{model: {}, render: {sise: 64}}", "unknown key 'render.sise'; did you mean 'size'?"),
        (
            "{model: {}, render: {zzz: 64}}",
            "unknown key 'render.zzz'; known here: backend, background, device, effects, maps, objects, shadows, size",
        ),
        ("{model: {}, sample: {pose: {yow: 1}}}", "unknown key 'sample.pose.yow'; did you mean 'yaw'?"),
        (
            "{model: {}, sample: {identity: {law: uniform, wdth: 2}}}",
            "unknown key 'sample.identity.wdth'; did you mean 'width'?",
        ),
        (
            "{sample: {expression: {law: mixture, components: [{weight: 1, law: {law: gaussian, sgma: 3}}]}}}",
            "unknown key 'sample.expression.components.0.law.sgma'; did you mean 'sigma'? (and 1 more)",
        ),
        (
            "{model: {}, sample: {identity: {law: gauss}}}",
            "'sample.identity.law': 'gauss' is none of 'uniform', 'gaussian', 'constant', 'mixture', 'population'",
        ),
        ("{model: {}, sample: {identity: {sigma: 2}}}", "'sample.identity.law' is missing: it says which kind this is"),
        ("{model: {}, sample: {pose: {yaw: 3}}}", "'sample.pose.yaw': expected a mapping of settings, found 3"),
        ("{model: {}, sample: {grid: [{values: [1]}]}}", "'sample.grid.0.parameter' is missing"),
        (
            "{model: {}, sample: {pose: {yaw: {law: uniform, low: 3, high: 1}}}}",
            "'sample.pose.yaw': 'low' is 3.0, above 'high', 1.0",
        ),
        (
            "{model: {}, sample: {pose: {yaw: {law: uniform, low: 3}}}}",
            "'sample.pose.yaw': a uniform law takes either 'width' or both 'low' and 'high'",
        ),
        (
            "{model: {}, sample: {pose: {yaw: {law: constant, value: .nan}}}}",
            "'sample.pose.yaw.value': input should be a finite number, found nan",
        ),
        ("{model: {}, faces: 0}", "'faces': input should be greater than or equal to 1, found 0"),
        (
            "{model: {}, faces: many}",
            "'faces': input should be a valid integer, unable to parse string as an integer, found 'many'",
        ),
        ("{model: {}, seed: -1}", "'seed': input should be greater than or equal to 0, found -1"),
        (
            "{model: {}, seed: 18446744073709551616}",
            "'seed': input should be less than 18446744073709551616, found 18446744073709551616",
        ),
        (
            "{model: {}, render: {size: 0}}",
            "'render.size': input should be greater than or equal to 16, found 0 (and 1 more)",
        ),
        (
            "{model: {}, render: {size: 100000}}",
            "'render.size': input should be less than or equal to 8192, found 100000 (and 1 more)",
        ),
        (
            "{model: {}, render: {size: [64, 0]}}",
            "'render.size.1': input should be greater than or equal to 16, found 0 (and 1 more)",
        ),
        ("{model: {}, 1: 2}", "'1': keys should be strings, found 1"),
        (
            "{model: {name: ict, part: full, eyes: false}}",
            "'model': the part 'full' has eyes and teeth; take 'head' to leave them out",
        ),
        (
            "{model: {}, sample: {gaze: {source: recorded}}}",
            "'sample': 'gaze: {source: recorded}' needs 'expression: {law: empirical, …}'",
        ),
        ("{model: {}, sample: {iris: {brown: 0}}}", "'sample': 'iris' needs at least one colour of positive frequency"),
        ("{model: {}, faces: 5000000, shard_size: 1}", "5,000,000 faces need a 'shard_size' of 5 or more"),
        ("[1]", "expected a mapping of settings, found list"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    assert refusal(yaml.safe_load(text)) == message


def test_sizes() -> None:
    assert validate(RunConfig, {"model": {}, "render": {"size": 64}}, source="").render.height_width == (64, 64)
    assert validate(RunConfig, {"model": {}, "render": {"size": [48, 64]}}, source="").render.height_width == (48, 64)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
NAMES = """name path part eyes identity expression pose camera light gaze yaw distance grid parameter values law width
low high sigma components weight size background kind channels compression_level iris brown images_per_identity
denoise method weights strength start heun_steps condition device probability parts partners alpha transfer
azimuth elevation overcast lamps lights rotation adaptation
effects crop exposure white_balance blur motion noise jpeg scenes folder quality colour grain"""
KEYS = st.sampled_from(sorted({*RunConfig.model_fields, *NAMES.split()}))
likely = st.recursive(
    plain
    | st.sampled_from(
        [
            "uniform",
            "gaussian",
            "mixture",
            "empirical",
            "plain",
            "texture",
            "images",
            "recorded",
            "outdoor",
            "indoor",
            "environment",
            "head",
            "pose.yaw",
            "gated",
            "posterior",
            "off",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(values=likely)
def test_no_values_raise_anything_else(values: Any) -> None:
    with contextlib.suppress(FacegenError):
        config = validate(RunConfig, values, source="my.yaml")
        # What is accepted is stored, and read back when the run continues.
        assert validate(RunConfig, config.model_dump(mode="json"), source="again") == config


@settings(max_examples=200, deadline=None)
@given(key=st.lists(KEYS, min_size=1, max_size=3), value=plain)
def test_no_key_beside_a_sound_configuration_raises_anything_else(key: list[str], value: Any) -> None:
    values: dict[str, Any] = {"model": {}}
    place = values
    for step in key[:-1]:
        place = place.setdefault(step, {})
    place[key[-1]] = value
    with contextlib.suppress(FacegenError):
        validate(RunConfig, values, source="my.yaml")


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="ab0123456789.:-_{}[],&*!|>'\"# \n\t\\\0~%@e+", max_size=40))
def test_no_text_raises_anything_else(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    with contextlib.suppress(ConfigurationError):
        assert isinstance(read_configuration(str(file)), dict)
    with contextlib.suppress(ConfigurationError):
        assert "name" in read_configuration("quickstart", [f"name={text}"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: [1, 2\nb: 3\n", "line 2, column 2 not valid YAML: expected ',' or ']', but got ':'"),
        (b"a: 2020-13-45\n", "month must be in 1..12"),
        (b"\xff\xfe\x00", "not a YAML text file"),
        (b"a: \0\n", "not a YAML text file"),
        (b"[" * 3000, "nested too deeply"),
        (b"- a\n", "expected a mapping of settings, found list"),
        (b"", "expected a mapping of settings, found NoneType"),
        (b"a: !!python/object:os.system {}\n", "could not determine a constructor"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(data)
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(str(file))
    assert str(refused.value).startswith(str(file))
    assert message in str(refused.value)


def test_the_nearest_shipped_name() -> None:
    with pytest.raises(ConfigurationError, match="no such configuration file or name; did you mean 'quickstart'"):
        read_configuration("quikstart")
    with pytest.raises(ConfigurationError, match=r"shipped ones: .*quickstart"):
        read_configuration("zzz")
    with pytest.raises(ConfigurationError, match="home directory"):
        read_configuration("~no-such-user/my.yaml")


@pytest.mark.parametrize("override", ["", "a", "=3", "a..b=3", ".a=3", "name=[1", "faces.deep=3"])
def test_wrong_overrides(override: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--set "):
        read_configuration("quickstart", [override])


def test_overrides() -> None:
    values = read_configuration("quickstart", ["a.b.c=[1, x]", "a.b.d=1e3", "faces=7", "seed=", "name=p=q"])
    assert values["a"] == {"b": {"c": [1, "x"], "d": "1e3"}}
    assert (values["faces"], values["seed"], values["name"]) == (7, None, "p=q")


def test_the_fingerprint_tells_what_decides_the_bytes(head: MorphableModel) -> None:
    def of(recordings: tuple[str, ...] = (), **more: Any) -> str:
        return fingerprint(validate(RunConfig, {"model": {"name": "ict"}, **more}, source=""), head, recordings)

    empirical = {"expression": {"law": "empirical", "recordings": ["a.csv", "b.csv"]}}
    assert of() == of(faces=9, name="other", model={"name": "ict", "path": "elsewhere"})
    different = [
        of(), of(seed=1), of(shard_size=32), of(render={"size": 64}), of(pack={"compression_level": 9}),
        of(sample={"pose": {"yaw": {"law": "constant"}}}),
        of(("1", "2"), sample=empirical), of(("2", "1"), sample=empirical), of(("1", "1", "2"), sample=empirical),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


@given(faces=st.integers(1, 500), size=st.integers(1, 100))
def test_shards_are_the_faces_in_order(faces: int, size: int) -> None:
    shards = split(faces, size)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert [face for shard in shards for face in range(shard.first_face, shard.first_face + shard.faces)] == list(
        range(faces)
    )
    assert all(shard.faces == size for shard in shards[:-1])
