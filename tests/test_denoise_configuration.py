"""The denoise section of a configuration."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import ConfigurationError
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.denoise.config import DenoiseConfig, PosteriorDenoising


def parsed(text: str) -> DenoiseConfig:
    return validate(RunConfig, {"denoise": yaml.safe_load(text)}, source="my.yaml").denoise


def test_nothing_is_denoised_unless_said() -> None:
    assert not RunConfig().denoise.active
    for text in ("{}", "{identity: null}", "{identity: off, expression: 'off'}", "{identity: false, device: cuda}"):
        assert not parsed(text).active
    for group in ("identity", "expression"):
        assert parsed(f"{{{group}: {{method: gated}}}}").active


def test_everything_that_can_be_said() -> None:
    found = parsed(
        "{device: cuda, expression: {method: posterior, weights: $W/a.safetensors, strength: 0.5, start: 3, end: 0.2,"
        " heun_steps: 9, churn: 1, churn_below: 1.5, guidance: 2, condition: {expressiveness: -0.5}}}"
    )
    assert found.device == "cuda"
    assert isinstance(found.expression, PosteriorDenoising)
    assert str(found.expression.weights) == "$W/a.safetensors"
    assert found.expression.condition == {"expressiveness": -0.5}
    assert parsed("{identity: {method: convolutional}}").identity is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{identity: {weights: shipped}}", "'denoise.identity.method' is missing: it says which kind this is"),
        (
            "{identity: {method: magic}}",
            "'denoise.identity.method': 'magic' is none of 'convolutional', 'gated', 'posterior'",
        ),
        ("{identity: 3}", "'denoise.identity': expected a mapping of settings, found 3"),
        ("{identity: on}", "'denoise.identity': expected a mapping of settings, found True"),
        (
            "{identity: {method: gated, strenght: 1}}",
            "unknown key 'denoise.identity.strenght'; did you mean 'strength'?",
        ),
        (
            "{identity: {method: gated, start: 4}}",
            "unknown key 'denoise.identity.start'; did you mean 'strength'?",
        ),
        (
            "{identity: {method: convolutional, condition: {age: 1}}}",
            "unknown key 'denoise.identity.condition'; known here: method, strength, weights",
        ),
        (
            "{identity: {method: gated, strength: 1.5}}",
            "'denoise.identity.strength': input should be less than or equal to 1, found 1.5",
        ),
        (
            "{expression: {method: posterior, condition: {expressiveness: 2}}}",
            "'denoise.expression.condition.expressiveness': input should be less than or equal to 1, found 2",
        ),
        (
            "{expression: {method: posterior, heun_steps: 1}}",
            "'denoise.expression.heun_steps': input should be greater than or equal to 2, found 1",
        ),
        (
            "{expression: {method: posterior, start: .nan}}",
            "'denoise.expression.start': input should be a finite number, found nan",
        ),
        ("{device: gpu}", "'denoise.device': input should be 'cpu' or 'cuda', found 'gpu'"),
        ("{identty: {method: gated}}", "unknown key 'denoise.identty'; did you mean 'identity'?"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parsed(text)
    assert str(refused.value) == f"my.yaml: {message}"


words = st.text(alphabet="a1$/~. ", max_size=4)
numbers = st.none() | st.booleans() | st.floats() | st.integers(-5, 2000) | words
denoiser = st.fixed_dictionaries(
    {"method": st.sampled_from(["convolutional", "gated", "posterior", "", None])},
    optional={
        "weights": st.sampled_from(["shipped", "$A/b", "", "\0", 3]) | words,
        "strength": numbers,
        "start": numbers,
        "end": numbers,
        "heun_steps": numbers,
        "churn": numbers,
        "churn_below": numbers,
        "guidance": numbers,
        "condition": numbers | st.dictionaries(words, numbers, max_size=2),
    },
)
section = st.fixed_dictionaries(
    {},
    optional={
        "identity": denoiser | numbers | st.just("off"),
        "expression": denoiser,
        "device": st.sampled_from(["cpu", "cuda", "tpu", None]),
    },
)


@given(values=section)
def test_what_is_accepted_is_in_range_and_read_back(values: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):
        config = validate(RunConfig, {"denoise": values}, source="my.yaml")
        assert validate(RunConfig, config.model_dump(mode="json"), source="again") == config
        for group in (config.denoise.identity, config.denoise.expression):
            if group is not None:
                assert 0 <= group.strength <= 1
            if isinstance(group, PosteriorDenoising):
                assert all(-1 <= value <= 1 for value in group.condition.values())
        assert config.denoise.active == any(isinstance(values.get(group), dict) for group in ("identity", "expression"))
