"""The compose section of a configuration."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facegen.composition.composer import LIMIT, SwapRules
from facegen.errors import ConfigurationError
from facegen.settings import validate
from facegen.stages.compose.config import ComposeConfig
from facegen.stages.config import RunConfig


def parsed(text: str) -> ComposeConfig:
    return validate(RunConfig, {"compose": yaml.safe_load(text)}, source="my.yaml").compose


def test_nothing_is_composed_unless_said() -> None:
    assert not RunConfig().compose.active
    for text in ("{}", "{weights: null}", "{weights: off}", "{weights: 'off', probability: 1}", "{device: cuda}"):
        assert not parsed(text).active
    assert parsed("{weights: shipped}").active
    assert parsed("{weights: a.safetensors}").active


def test_everything_that_can_be_said() -> None:
    found = parsed(
        "{weights: $W/a.safetensors, probability: 0.2, parts: {nose: 1, eyes: 0}, partners: one, "
        "alpha: {low: 0.25, high: 0.75}, transfer: decode, fit: false, smooth: false, limit: 0.75, device: cuda}"
    )
    assert str(found.weights) == "$W/a.safetensors"
    assert (found.probability, found.parts, found.partners) == (0.2, {"nose": 1, "eyes": 0}, "one")
    assert (found.alpha.low, found.alpha.high, found.transfer, found.device) == (0.25, 0.75, "decode", "cuda")
    assert (found.fit, found.smooth, found.limit) == (False, False, 0.75)
    assert parsed("{alpha: {low: 0.5}}").alpha.high == 1
    assert parsed("{limit: null}").limit is None
    plain, rules = parsed("{}"), SwapRules()
    assert (plain.fit, plain.smooth, plain.limit) == (rules.fit, rules.smooth, rules.limit) == (True, True, LIMIT)
    assert (parsed("{fit: off}").fit, parsed("{fit: yes}").fit) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{weights: 3}", "'compose.weights': "),
        ("{probability: 1.5}", "'compose.probability': input should be less than or equal to 1, found 1.5"),
        ("{probability: .nan}", "'compose.probability': "),
        ("{parts: {nose: -1}}", "'compose.parts.nose': input should be greater than or equal to 0, found -1"),
        ("{parts: [nose]}", "'compose.parts': "),
        ("{partners: two}", "'compose.partners': input should be 'each' or 'one', found 'two'"),
        ("{alpha: {low: 0.9, high: 0.1}}", "'compose.alpha': 'low' is 0.9, above 'high', 0.1"),
        ("{alpha: 0.5}", "'compose.alpha': expected a mapping of settings, found 0.5"),
        ("{transfer: copy}", "'compose.transfer': input should be 'difference' or 'decode', found 'copy'"),
        ("{fit: 3}", "'compose.fit': "),
        ("{smooth: much}", "'compose.smooth': "),
        ("{limit: 0}", "'compose.limit': input should be greater than 0, found 0"),
        ("{limit: -2.2}", "'compose.limit': input should be greater than 0, found -2.2"),
        ("{limit: .nan}", "'compose.limit': "),
        ("{limit: .inf}", "'compose.limit': "),
        ("{limit: none}", "'compose.limit': "),
        ("{device: gpu}", "'compose.device': input should be 'cpu' or 'cuda', found 'gpu'"),
        ("{weigths: shipped}", "unknown key 'compose.weigths'; did you mean 'weights'?"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parsed(text)
    assert str(refused.value).startswith(f"my.yaml: {message}")


KEYS = st.sampled_from([*ComposeConfig.model_fields, "low", "high", "nose"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["shipped", "off", "one", "cuda", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@given(section=st.dictionaries(KEYS, values, max_size=5))
def test_no_values_raise_anything_else(section: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):
        config = validate(RunConfig, {"compose": section}, source="my.yaml")
        assert validate(RunConfig, config.model_dump(mode="json"), source="again") == config
