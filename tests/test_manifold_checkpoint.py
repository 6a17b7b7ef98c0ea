"""Trained denoisers on disk: what is read is what was written, and all else is refused in one line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from facegen.errors import WeightsError
from facegen.manifold.checkpoint import (
    METHODS,
    Card,
    check_fits,
    read_card,
    read_checkpoint,
    rounded,
    shipped_weights,
    write_checkpoint,
)
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.posterior import Path as SamplingPath
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import Group
from facegen.morphable.model import MorphableModel
from facegen.tests.clean_faces import refusal
from facegen.tests.denoisers import Denoisers, denoiser_of, write_denoiser
from facegen.weights import card_path

GROUPS: tuple[Group, ...] = ("identity", "expression")


def bits(denoiser: Denoiser) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in denoiser.state_dict().items()}


def answer(denoiser: Denoiser) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(3, denoiser.numbers, generator=random) if denoiser.numbers else None
    with torch.no_grad():
        return denoiser.denoise(torch.randn(3, denoiser.length, generator=random), numbers)


def written(folder: Path, head: MorphableModel, method: str, group: Group = "identity", **card: Any) -> Path:
    return write_denoiser(folder, head, group, method, **card)


def changed(weights: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """Other tensors in the file of weights, of which the card knows."""
    data = save_tensors(change(load_tensors(weights.read_bytes())))
    weights.write_bytes(data)
    return told(weights, weights_sha256=hashlib.sha256(data).hexdigest())


def told(weights: Path, **fields: Any) -> Path:
    """Other fields in the card."""
    path = card_path(weights)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return weights


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_read_is_what_was_written(head: MorphableModel, tmp_path: Path, group: Group, method: str) -> None:
    denoiser = denoiser_of(head, group, method, seed=2)
    weights = written(tmp_path, head, method, group, seed=2, training={"ö": [1.5]}, metrics={"mse": 0.25})
    read, card = read_checkpoint(weights)
    assert type(read) is type(denoiser)
    assert bits(read) == bits(denoiser)
    assert not read.training
    assert not any(parameter.requires_grad for parameter in read.parameters())
    assert card == read_card(weights)
    assert card.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card.training == {"ö": [1.5]}
    assert card.metrics == {"mse": 0.25}
    if isinstance(denoiser, PosteriorSampler) and isinstance(read, PosteriorSampler):
        assert read.path == SamplingPath(steps=4)
        denoiser.path = read.path
    assert torch.equal(answer(read), answer(denoiser))
    # Reading and writing again changes no byte.
    copied = tmp_path / "copy" / weights.name
    write_checkpoint(copied, read, card)
    assert copied.read_bytes() == weights.read_bytes()
    assert card_path(copied).read_bytes() == card_path(weights).read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_half_of_the_bytes(head: MorphableModel, tmp_path: Path, method: str) -> None:
    full = written(tmp_path, head, method)
    denoiser, card = read_checkpoint(full)
    before = bits(denoiser)
    half = rounded(denoiser)
    assert bits(denoiser) == before
    weights = tmp_path / "half.safetensors"
    write_checkpoint(weights, half, card, half=True)
    read, _ = read_checkpoint(weights)
    assert bits(read) == bits(half) != before
    layers = {name for name, _ in denoiser.named_parameters()}
    stored = load_tensors(weights.read_bytes())
    for name, tensor in read.state_dict().items():
        assert tensor.dtype == torch.float32
        assert stored[name].dtype == (torch.float16 if name in layers else torch.float32)
        original = denoiser.state_dict()[name]
        if name in layers:
            torch.testing.assert_close(tensor, original, rtol=2**-11, atol=2**-24)
        else:
            assert torch.equal(tensor, original)
    assert bits(rounded(half)) == bits(half)
    torch.testing.assert_close(answer(read), answer(half), rtol=0, atol=0)
    sizes = [path.stat().st_size for path in (weights, full)]
    assert sizes[0] < 0.75 * sizes[1]


class TestRefusals:
    """One line that names the file."""

    @pytest.fixture
    def weights(self, head: MorphableModel, tmp_path: Path) -> Path:
        return written(tmp_path, head, "posterior")

    def refused(self, weights: Path) -> str:
        return refusal(WeightsError, read_checkpoint, weights)

    def test_missing(self, weights: Path) -> None:
        card = card_path(weights)
        text = card.read_bytes()
        card.unlink()
        line = self.refused(weights)
        assert line == f"{card}: there is no such file; expected the card of a trained denoiser"
        card.mkdir()
        assert self.refused(weights) == f"{card}: cannot be read (Is a directory)"
        card.rmdir()
        card.write_bytes(text)
        weights.unlink()
        assert self.refused(weights) == f"{weights}: cannot be read (No such file or directory)"

    def test_every_flipped_byte(self, weights: Path) -> None:
        data, digest = weights.read_bytes(), read_card(weights).weights_sha256
        for place in np.linspace(0, len(data) - 1, 40).astype(int):
            harmed = bytearray(data)
            harmed[place] ^= 0x10
            weights.write_bytes(harmed)
            found = hashlib.sha256(harmed).hexdigest()
            assert self.refused(weights) == f"{weights}: sha256 is {found[:12]}…; its card expects {digest[:12]}…"

    def test_truncated(self, weights: Path) -> None:
        data, digest = weights.read_bytes(), read_card(weights).weights_sha256
        for length in (0, 1, 100, len(data) - 1):
            weights.write_bytes(data[:length])
            assert self.refused(weights).endswith(f"its card expects {digest[:12]}…")

    @pytest.mark.parametrize("steps", [0, -3])
    def test_untrained(self, weights: Path, steps: int) -> None:
        digest = read_card(told(weights, steps=steps)).weights_sha256
        expected = f"{weights}: untrained ({digest[:12]}…); train it with 'facegen train denoise'"
        assert self.refused(weights) == expected

    def test_unknown_method_or_format(self, weights: Path) -> None:
        card = card_path(weights)
        line = self.refused(told(weights, method="magic"))
        assert line == f"{card}: of the method 'magic'; known: convolutional, gated, posterior"
        assert self.refused(told(weights, format=2)) == f"{card}: of format 2; this facegen reads format 1"

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"3", b"null", b'"x"', b"{}", b"\xff\xfe", b"<html>", b'{"names": 3}', b"\x80\x04K\x01."],
    )
    def test_cards_that_are_none(self, weights: Path, content: bytes) -> None:
        card_path(weights).write_bytes(content)
        assert self.refused(weights).startswith(f"{card_path(weights)}: not the card of a denoiser (")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("method", 3), ("method", ["gated"]), ("group", None), ("model_sha256", 1), ("steps", "many"),
            ("steps", 1.5), ("steps", True), ("weights_sha256", None), ("names", 5), ("architecture", []),
            ("architecture", "x"), ("path", 3), ("training", []), ("metrics", None), ("unknown", 1),
        ],
    )  # fmt: skip
    def test_fields_that_are_none(self, weights: Path, field: str, value: Any) -> None:
        line = self.refused(told(weights, **{field: value}))
        assert line.startswith(f"{card_path(weights)}: not the card of a denoiser (")

    @pytest.mark.parametrize(
        "fields",
        [
            {"names": ["a", "b"]},
            {"condition_names": []},
            {"condition_names": ["sex", "age", "x"]},
            {"architecture": {"hidden": 16, "blocks": 1}},
            {"architecture": {"hidden": 32, "blocks": 2}},
            {"architecture": {}},
            {"architecture": {"layers": 3}},
            {"method": "gated"},
            {"method": "convolutional"},
            {"path": {}},
            {"path": {"steps": "many"}},
            {"path": {"steps": 4, "speed": 3}},
            {"path": {"steps": 0}},
            {"path": {"steps": 4, "start": "far"}},
            {"path": {"steps": 4, "start": 0.1, "end": 0.4}},
            {"path": {"steps": 4, "end": 0}},
            {"path": {"steps": 4, "churn": -1}},
            {"path": {"steps": 4, "guidance": float("nan")}},
            {"path": {"steps": 4, "start": float("inf")}},
        ],
    )
    def test_cards_of_other_weights(self, weights: Path, fields: dict[str, Any]) -> None:
        line = self.refused(told(weights, **fields))
        assert line.startswith(f"{weights}: not the weights that its card describes (")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("architecture", {"hidden": "many", "blocks": 1}),
            ("architecture", {"hidden": -1, "blocks": 1}),
            ("architecture", {"hidden": 10**9, "blocks": 1}),
            ("names", []),
            ("names", [1, 2]),
        ],
    )
    def test_cards_of_no_network(self, weights: Path, name: str, value: Any) -> None:
        line = self.refused(told(weights, **{name: value}))
        assert line == f"{card_path(weights)}: not the card of a denoiser ('{name}')"

    def test_tensors_of_other_shapes(self, weights: Path) -> None:
        cases: list[Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = [
            lambda tensors: tensors | {"mean": tensors["mean"][:-1].clone()},
            lambda tensors: tensors | {"leave.weight": tensors["leave.weight"].T.contiguous()},
            lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "leave.bias"},
            lambda tensors: tensors | {"another": torch.zeros(3)},
            lambda tensors: {},
        ]
        data, card = weights.read_bytes(), card_path(weights).read_bytes()
        for change in cases:
            line = self.refused(changed(weights, change))
            assert line.startswith(f"{weights}: not the weights that its card describes (")
            weights.write_bytes(data)
            card_path(weights).write_bytes(card)

    @pytest.mark.parametrize("name", ["leave.bias", "enter.weight", "mean", "scale"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_numbers_that_are_not_finite(self, weights: Path, name: str, value: float) -> None:
        def harm(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            tensors[name].view(-1)[1] = value
            return tensors

        assert self.refused(changed(weights, harm)) == f"{weights}: holds numbers that are not finite"

    def test_nothing_is_unpickled(self, weights: Path, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "sprung",)

        torch.save({"state": [1]}, tmp_path / "zip")
        for data in (pickle.dumps(Trap()), (tmp_path / "zip").read_bytes(), struct.pack("<Q", 2) + b"{}x"):
            weights.write_bytes(data)
            line = self.refused(told(weights, weights_sha256=hashlib.sha256(data).hexdigest()))
            assert line.startswith(f"{weights}: not the weights that its card describes (")
        assert not (tmp_path / "sprung").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    data=st.dictionaries(
        st.sampled_from(
            ["method", "group", "model", "model_sha256", "names", "condition_names", "steps", "format", "metrics", "x"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
            max_leaves=3,
        ),
    )
)
def test_any_card_is_read_or_refused(denoisers: Denoisers, tmp_path: Path, data: dict[str, Any]) -> None:
    source = denoisers["identity", "gated"]
    weights = tmp_path / "any.safetensors"
    weights.write_bytes(source.read_bytes())
    card_path(weights).write_text(json.dumps(json.loads(card_path(source).read_text()) | data))
    with contextlib.suppress(WeightsError):
        denoiser, card = read_checkpoint(weights)
        assert denoiser.length == len(card.names)
        assert card.steps >= 1


def test_weights_fit_one_group_of_one_model(head: MorphableModel, denoisers: Denoisers) -> None:
    for group in GROUPS:
        weights = denoisers[group, "gated"]
        card = read_card(weights)
        check_fits(weights, card, head, group)
        other: Group = "expression" if group == "identity" else "identity"
        line = refusal(WeightsError, check_fits, weights, card, head, other)
        assert line == f"{weights}: trained for {group}, expected weights for {other}"
        # The same model however it is cut.
        check_fits(weights, card, replace(head, sha256="cd" * 32), group)
        line = refusal(WeightsError, check_fits, weights, card, replace(head, source_sha256="cd" * 32, name="z"), group)
        assert line == (
            f"{weights}: trained for the model 'default' ({head.source_sha256[:12]}…), expected 'z' (cdcdcdcdcdcd…)"
        )


def test_weights_fit_coefficients_by_name_and_order(head: MorphableModel, denoisers: Denoisers) -> None:
    weights = denoisers["identity", "gated"]
    card = read_card(weights)
    names = card.names
    for others in (names[::-1], names[:-1], (*names, "one more"), (), ("x", *names[1:])):
        line = refusal(WeightsError, check_fits, weights, replace(card, names=others), head, "identity")
        assert line.startswith(f"{weights}: trained for {len(others)} identity coefficients")
        assert f"expected {len(names)} ({names[0]} …)" in line


def test_shipped_weights_of_a_model_that_has_none(head: MorphableModel) -> None:
    line = refusal(WeightsError, shipped_weights, replace(head, name="nobody"), "identity", "gated")
    assert line == (
        "no shipped weights 'gated' for identity of the model 'nobody'; "
        "train some with 'facegen train denoise' and name their file"
    )


def test_a_card_is_text_for_people(head: MorphableModel, tmp_path: Path) -> None:
    weights = written(tmp_path, head, "gated", training={"σ": 1})
    text = card_path(weights).read_text()
    assert text.endswith("}\n")
    assert '"σ"' in text
    assert json.loads(text).keys() == asdict(Card("gated", "identity", "m", "x", ())).keys()
