"""Trained autoencoders on disk: what is read is what was written, and all else is refused in one line."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from facegen.composition.checkpoint import (
    check_fits,
    read_card,
    read_checkpoint,
    rounded,
    shipped_weights,
    write_checkpoint,
)
from facegen.composition.config import ComaConfig
from facegen.composition.skin import Skin
from facegen.errors import WeightsError
from facegen.morphable.model import MorphableModel
from facegen.tests.autoencoders import SMALL, Studio, card_of, composition_of, write_autoencoder
from facegen.tests.clean_faces import refusal
from facegen.weights import card_path


def answer(composition: Any, studio: Studio) -> bytes:
    batch = torch.from_numpy(studio.test.displacements.transpose(1, 0, 2).copy())
    with torch.no_grad():
        return bytes(composition.network(batch / composition.network.scale).numpy().tobytes())


@pytest.mark.parametrize("method", ["weighted", "coma"])
@pytest.mark.parametrize("half", [False, True])
def test_what_is_read_is_what_was_written(studio: Studio, tmp_path: Path, method: str, half: bool) -> None:
    config = ComaConfig(**SMALL) if method == "coma" else None
    composition, path = composition_of(studio, config), tmp_path / "w.safetensors"
    if half:
        rounded(composition.network)
    card = write_checkpoint(path, composition, card_of(studio, config, metrics={"mean_error_mm": 0.5}), half=half)
    read, found = read_checkpoint(path)
    assert found == card
    assert found.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert answer(read, studio) == answer(composition, studio)
    assert read.parts.names == studio.parts.names
    assert np.array_equal(read.parts.weights, studio.parts.weights)
    for a, b in zip(read.hierarchy.steps, studio.hierarchy.steps, strict=True):
        assert np.array_equal(a.kept, b.kept)
        assert np.array_equal(a.corners, b.corners)
        assert np.array_equal(a.weights, b.weights)
    assert not any(parameter.requires_grad for parameter in read.network.parameters())


def test_half_of_the_bytes(studio: Studio, tmp_path: Path) -> None:
    composition = composition_of(studio)
    rounded(composition.network)
    sizes = []
    for half in (False, True):
        write_checkpoint(tmp_path / "w.safetensors", composition, card_of(studio), half=half)
        sizes.append((tmp_path / "w.safetensors").stat().st_size)
    learnt = sum(parameter.numel() for parameter in composition.network.parameters())
    assert sizes[0] - sizes[1] == pytest.approx(2 * learnt, abs=200)


def test_weights_of_another_model_are_refused(
    studio: Studio, autoencoder: Path, head: MorphableModel, tmp_path: Path
) -> None:
    card, skin = read_card(autoencoder), Skin.of(head)
    check_fits(autoencoder, card, head, skin)
    other = replace(head, name="other", source_sha256="ab" * 32)
    line = refusal(WeightsError, check_fits, autoencoder, card, other, skin)
    assert line == (
        f"{autoencoder}: trained for the model 'default' ({head.source_sha256[:12]}…), expected 'other' (abababababab…)"
    )
    flipped = replace(skin, triangles=skin.triangles[::-1])
    line = refusal(WeightsError, check_fits, autoencoder, card, head, flipped)
    assert "trained for another skin of the model 'default'" in line
    assert "no shipped weights to compose faces of the model 'other'" in refusal(WeightsError, shipped_weights, other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "of format 2; this facegen reads format 1"),
        ({"epochs": 0}, "untrained ("),
        ({"epochs": "3"}, "not the card of an autoencoder ('epochs')"),
        ({"parts": []}, "not the card of an autoencoder ('parts')"),
        ({"parts": [1, 2]}, "not the card of an autoencoder ('parts')"),
        ({"parts": ["a"]}, "not the weights that its card describes (ValueError)"),
        ({"surprise": 1}, "not the card of an autoencoder (TypeError)"),
        ({"weights_sha256": "0" * 64}, "its card expects 000000000000…"),
        ({"architecture": {}}, "not the weights that its card describes (KeyError)"),
        ({"architecture": {"channels": [10**9, 8]}}, "not the weights that its card describes (ValueError)"),
        ({"architecture": {"channels": [8, 8], "latent": 11, "order": 3}}, "not the weights that its card describes"),
    ],
)
def test_a_card_that_lies_is_refused(autoencoder: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(autoencoder.read_bytes())
    values = json.loads(card_path(autoencoder).read_bytes())
    card_path(path).write_text(json.dumps({**values, **change}))
    assert said in refusal(WeightsError, read_checkpoint, path)


def test_missing_files_are_named(tmp_path: Path, autoencoder: Path) -> None:
    path = tmp_path / "w.safetensors"
    assert refusal(WeightsError, read_checkpoint, path) == (
        f"{tmp_path / 'w.json'}: there is no such file; expected the card of a trained autoencoder"
    )
    card_path(path).write_bytes(card_path(autoencoder).read_bytes())
    assert refusal(WeightsError, read_checkpoint, path) == f"{path}: cannot be read (No such file or directory)"


def rewritten(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Put other tensors at ``path``, and their digest into its card."""
    data = save_tensors(tensors)
    path.write_bytes(data)
    values = json.loads(card_path(path).read_bytes())
    card_path(path).write_text(json.dumps({**values, "weights_sha256": hashlib.sha256(data).hexdigest()}))


@pytest.mark.parametrize("name", ["network.to_code.weight", "network.scale", "hierarchy.0.corners", "hierarchy.parts"])
def test_tensors_that_do_not_fit_are_refused(studio: Studio, tmp_path: Path, name: str) -> None:
    path = write_autoencoder(tmp_path, studio)
    tensors = load_tensors(path.read_bytes())
    rewritten(path, {n: t for n, t in tensors.items() if n != name})
    assert "not the weights that its card describes" in refusal(WeightsError, read_checkpoint, path)
    beyond = {**tensors, "hierarchy.0.corners": tensors["hierarchy.0.corners"] + 10**6}
    rewritten(path, beyond)
    assert "not the weights that its card describes (ValueError)" in refusal(WeightsError, read_checkpoint, path)
    rewritten(path, {**tensors, "network.scale": torch.tensor(float("nan"))})
    assert "holds numbers that are not finite" in refusal(WeightsError, read_checkpoint, path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_damaged_files_are_refused_in_one_line(autoencoder: Path, tmp_path: Path, data: bytes, cut: int) -> None:
    path = tmp_path / "w.safetensors"
    good, card = autoencoder.read_bytes(), json.loads(card_path(autoencoder).read_bytes())
    damaged = good[:cut] + data
    path.write_bytes(damaged)
    card_path(path).write_text(json.dumps({**card, "weights_sha256": hashlib.sha256(damaged).hexdigest()}))
    assert str(path) in refusal(WeightsError, read_checkpoint, path)
    card_path(path).write_bytes(data)
    refusal(WeightsError, read_card, path)
