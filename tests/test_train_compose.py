"""``facegen train compose`` as people use it: folders, cards, interruption, and what it refuses."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from facegen.composition.checkpoint import read_checkpoint
from facegen.composition.config import TrainConfig
from facegen.composition.folder import TrainingFolder
from facegen.pipeline.configuration import TRAININGS, read_configuration
from facegen.settings import validate
from facegen.tests.command import Outcome, facegen, finish, start

QUICK = """
name: quick
model: {resolution: coarse}
people: {train: 24, test: 8}
factors: [4, 3]
networks:
  weighted: {method: weighted, channels: [8, 8], order: 3, latent: 12, schedule: {epochs: 2, batch: 8}}
  coma: {method: coma, channels: [8, 8], order: 3, latent: 12, schedule: {epochs: 2, batch: 8}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK)
    return path


def train(config: Path, out: Path, *arguments: str) -> Outcome:
    return facegen("train", "compose", config, "--out", out, *arguments)


def test_networks_and_their_cards_are_left(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outcome = train(config, folder, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert list(outcome.json) == ["weighted", "coma"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "coma.json", "coma.safetensors", "state", "train.yaml", "weighted.json", "weighted.safetensors",
    ]  # fmt: skip
    assert not list((folder / "state").iterdir())
    for name, values in outcome.json.items():
        composition, card = read_checkpoint(folder / f"{name}.safetensors")
        assert card.metrics == values["metrics"]
        assert card.training["faces"] == 24
        assert card.training["command"] == "facegen train compose quick --out run"
        assert len(card.training["curve"]) == 2
        assert card.metrics["mean_error_mm"] == pytest.approx(card.training["curve"][-1][2], rel=1e-4)
        assert composition.parts.names == tuple(values["parts"])
    weighted, coma = (read_checkpoint(folder / f"{name}.safetensors")[0].network for name in ("weighted", "coma"))
    assert weighted.parts == len(outcome.json["weighted"]["parts"])
    assert coma.parts == 1
    again = train(config, folder)
    assert again.code == 0
    assert "epoch" not in again.err


def test_an_interrupted_training_continues_to_the_same_bytes(config: Path, tmp_path: Path) -> None:
    longer = ("--set", "networks.weighted.schedule.epochs=40")
    whole, harmed = tmp_path / "whole", tmp_path / "harmed"
    assert train(config, whole, "--quiet", *longer).code == 0
    process = start("train", "compose", config, "--out", harmed, "--quiet", *longer)
    state = harmed / "state" / "weighted.safetensors"
    deadline = time.monotonic() + 60
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 1
    assert outcome.err == "facegen: interrupted; what was finished is kept, the same command continues\n"
    assert train(config, harmed, "--quiet", *longer).code == 0
    for name in ("weighted", "coma"):
        file = f"{name}.safetensors"
        assert (harmed / file).read_bytes() == (whole / file).read_bytes()


def test_another_configuration_is_refused(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(config, folder, "--quiet").code == 0
    outcome = train(config, folder, "--seed", "4")
    assert (outcome.code, outcome.err) == (
        2, f"facegen: {folder}: holds a training of another configuration; choose a folder\n",
    )  # fmt: skip
    outcome = facegen("train", "compose", config, "--out", tmp_path, "--quiet")
    assert outcome.err == f"facegen: {tmp_path}: not empty and not a training folder; choose a new folder\n"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("parts.components=64", "take smaller factors"),
        ("factors=[40,40]", "take a smaller factor"),
        ("networks.weighted.channels=[4,4]", "'start: linear' needs at least 6 channels at every level"),
        ("people.train=4", "people.train"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(config: Path, tmp_path: Path, override: str, said: str) -> None:
    outcome = train(config, tmp_path / "run", "--set", override)
    assert outcome.code == 2
    assert said in outcome.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_the_device_is_checked(config: Path, tmp_path: Path) -> None:
    outcome = train(config, tmp_path / "run", "--device", "nowhere")
    assert outcome.code == 2
    assert outcome.err.startswith("facegen: device 'nowhere' cannot be used here (")


@pytest.mark.parametrize("name", ["compose", "compose-ict", "compose-paper"])
def test_shipped_configurations_are_valid(name: str) -> None:
    config = validate(TrainConfig, read_configuration(name, [], TRAININGS), source=name)
    assert config.name == name
    assert (config.people.train, config.people.test) == (1780, 220)


def test_the_folder_tells_its_configuration(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(config, folder, "--quiet").code == 0
    expected = validate(TrainConfig, yaml.safe_load(QUICK), source="quick")
    assert TrainingFolder(folder).config() == expected
