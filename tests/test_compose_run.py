"""Runs that compose: the same bytes however the work is cut up, and a dataset that tells what was done to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

from facegen.benchmarks import run as benchmark
from facegen.composition.composer import LIMIT
from facegen.composition.skin import Skin
from facegen.dataset import FaceDataset
from facegen.morphable.model import MorphableModel
from facegen.pipeline.configuration import read_configuration
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.plan import Plan, plan
from facegen.stages.task import STAGES
from facegen.tests.autoencoders import Studio, write_autoencoder
from facegen.tests.command import SMALL, Outcome, facegen, finish, only_line, quickstart, start, states, tree
from facegen.tests.denoisers import Denoisers

FACES = 80
NEW = {"part_source", "part_weight", "identity_own", "identity_residual"}


@pytest.fixture(scope="module")
def settings(autoencoder: Path, denoisers: Denoisers) -> dict[str, Any]:
    """Composed of people who were denoised first."""
    return {
        "sample": {"identity": {"law": "uniform", "width": 6}, "images_per_identity": 3},
        "denoise": {"identity": {"method": "posterior", "weights": str(denoisers["identity", "posterior"])}},
        "compose": {"weights": str(autoencoder), "alpha": {"low": 0.5, "high": 1}},
    }


@pytest.fixture(scope="module")
def arguments(settings: dict[str, Any]) -> tuple[str, ...]:
    keys = {f"sample.{key}": value for key, value in settings["sample"].items()}
    keys |= {key: settings[key] for key in ("denoise", "compose")}
    return tuple(word for key, value in keys.items() for word in ("--set", f"{key}={json.dumps(value)}"))


@pytest.fixture(scope="module")
def run(arguments: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 80 faces in five shards. Not to be changed."""
    folder = tmp_path_factory.mktemp("composed") / "run"
    outcome = quickstart("run", folder, *arguments, "--json", faces=FACES)
    assert outcome.code == 0, outcome.err
    assert list(outcome.json["cpu_seconds"]) == list(STAGES)
    return folder


def made(outcome: Outcome) -> int:
    assert outcome.code == 0, outcome.err
    return int(outcome.json["made"])


def content(folder: Path) -> str:
    outcome = facegen("verify", folder, "--json")
    assert outcome.code == 0, outcome.out
    assert outcome.json["strays"] == []
    return str(outcome.json["content_sha256"])


def planned(compose: dict[str, Any], **more: Any) -> Plan:
    small = {"model": {"resolution": "coarse", "bust": False}, "render": {"size": 64}}
    return plan(small | {"compose": compose} | more, source="test")


def test_two_worker_processes_write_the_bytes_of_one(run: Path, arguments: tuple[str, ...], tmp_path: Path) -> None:
    command = ("run", "quickstart", "--out", tmp_path / "two", "--faces", str(FACES), *SMALL, *arguments)
    outcome = finish(start(*command, "--workers", "2"))
    assert outcome.code == 0, outcome.err
    assert tree(tmp_path / "two" / "dataset.zarr") == tree(run / "dataset.zarr")


@pytest.mark.parametrize("size", [5, 64])
def test_shard_size_does_not_change_a_face(run: Path, arguments: tuple[str, ...], tmp_path: Path, size: int) -> None:
    outcome = quickstart("run", tmp_path / "run", *arguments, "--set", f"shard_size={size}", "--json", faces=FACES)
    assert made(outcome) == FACES
    assert content(tmp_path / "run") == content(run)


def test_stage_by_stage_is_in_one_go(run: Path, arguments: tuple[str, ...], tmp_path: Path) -> None:
    for command in STAGES:
        assert made(quickstart(command, tmp_path / "run", *arguments, "--json", faces=FACES)) == FACES
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(run / "dataset.zarr")
    assert facegen("status", tmp_path / "run", "--json").json["stages"].keys() == set(STAGES)


def test_what_was_not_denoised_is_composed_as_drawn(autoencoder: Path, tmp_path: Path) -> None:
    override = ("--set", f"compose={json.dumps({'weights': str(autoencoder)})}")
    for command in ("sample", "compose", "render", "pack"):
        assert made(quickstart(command, tmp_path / "steps", *override, "--json", faces=32)) == 32
    assert made(quickstart("run", tmp_path / "run", *override, "--json", faces=32)) == 32
    assert tree(tmp_path / "steps" / "dataset.zarr") == tree(tmp_path / "run" / "dataset.zarr")
    assert "identity_raw" not in FaceDataset(tmp_path / "run").available


@pytest.mark.parametrize("command", ["render", "pack"])
def test_what_is_not_composed_is_not_rendered(arguments: tuple[str, ...], tmp_path: Path, command: str) -> None:
    for before in ("sample", "denoise"):
        assert made(quickstart(before, tmp_path / "run", *arguments, "--json", faces=16)) == 16
    outcome = quickstart(command, tmp_path / "run", *arguments, faces=16)
    assert outcome.code == 1
    assert "stage 'compose' has not made it; run 'facegen compose' first" in outcome.err


def test_a_run_continues_with_more_faces(run: Path, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Persons of the first faces have partners beyond the run's end, who come to be shown later."""
    assert made(quickstart("run", tmp_path / "run", *arguments, "--json", faces=32)) == 32
    assert made(quickstart("run", tmp_path / "run", *arguments, "--json", faces=FACES)) == FACES - 32
    assert content(tmp_path / "run") == content(run)
    before = {name: state for name, state in states(tmp_path / "run").items() if name != "README.md"}
    assert made(quickstart("run", tmp_path / "run", *arguments, "--json", faces=FACES)) == 0
    assert {name: state for name, state in states(tmp_path / "run").items() if name != "README.md"} == before


def test_images_of_one_person_share_a_shape_across_shards(run: Path) -> None:
    names = ["identity_number", "identity", *sorted(NEW)]
    dataset = FaceDataset(run, names)
    persons: dict[int, bytes] = {}
    shards: dict[int, set[int]] = {}
    for face, values in zip(dataset.faces.tolist(), dataset, strict=True):
        number = int(values["identity_number"])
        told = b"".join(values[name].numpy().tobytes() for name in names)
        assert persons.setdefault(number, told) == told
        shards.setdefault(number, set()).add(face // 16)
    assert max(map(len, shards.values())) == 2
    assert len(set(persons.values())) == len(persons)


def test_the_dataset_holds_what_was_and_what_became_of_it(
    run: Path, arguments: tuple[str, ...], head: MorphableModel, tmp_path: Path
) -> None:
    off = ("--set", "compose.weights=off")
    assert quickstart("run", tmp_path / "plain", *arguments, *off, faces=FACES).code == 0
    names = ["identity_raw", "expression", "albedo", "gaze", "pose", "light_sh"]
    plain = FaceDataset(tmp_path / "plain", [*names, "identity", "vertices"])
    composed = FaceDataset(run, [*names, *NEW, "identity", "vertices", "identity_number"])
    assert set(composed.available) - set(plain.available) == NEW
    skin, swapped = Skin.of(head).vertices, 0
    for place, face in enumerate(composed.faces.tolist()):
        one, other = composed[place], plain[plain.position(face)]
        for name in names:
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(one["identity_own"], other["identity"])
        if one["part_weight"].any():
            swapped += 1
            assert (one["part_source"] != one["identity_number"])[one["part_weight"] > 0].all()
            # The labels are those of the mesh, to within what they leave of it.
            decoded = head.decode(*(one[name][None].numpy() for name in ("identity", "expression", "gaze")))[0]
            beyond = np.square(one["vertices"].numpy()[skin] - decoded[skin]).sum(axis=1)
            assert float(one["identity_residual"]) == pytest.approx(beyond.mean() ** 0.5, abs=1e-3)
            assert (one["vertices"] != other["vertices"]).any()
        else:
            np.testing.assert_array_equal(one["vertices"], other["vertices"])
            np.testing.assert_array_equal(one["identity"], other["identity"])
            assert float(one["identity_residual"]) == 0
    assert swapped > FACES / 2


def test_any_reader_of_zarr_finds_them(run: Path, studio: Studio) -> None:
    group = zarr.open_group(run / "dataset.zarr", mode="r")
    dataset = FaceDataset(run, sorted(NEW))
    for name in NEW:
        stored = group[f"composition/{name}"]
        assert isinstance(stored, zarr.Array)
        assert stored.attrs["description"]
        assert stored.attrs.get("parts") == (list(studio.parts.names) if name.startswith("part") else None)
        for place, face in enumerate(dataset.faces[:20]):
            np.testing.assert_array_equal(stored[int(face)], dataset[place][name])


def test_the_run_tells_what_composed_it(run: Path, autoencoder: Path, studio: Studio) -> None:
    digest = json.loads(autoencoder.with_suffix(".json").read_text())["weights_sha256"]
    attributes = FaceDataset(run).attributes["composer"]
    assert attributes == {
        "weights_sha256": digest,
        "parts": dict.fromkeys(studio.parts.names, 0.5),
        "partners": "each",
        "alpha": [0.5, 1.0],
        "transfer": "difference",
        "fit": True,
        "smooth": True,
        "limit": LIMIT,
    }
    assert list(attributes["parts"]) == list(studio.parts.names)
    assert yaml.safe_load((run / "run.yaml").read_text())["composer"] == attributes
    inspected = facegen("inspect", run, "--json").json
    assert inspected["composer"] == attributes
    assert inspected["arrays"].keys() >= NEW
    for told in ((run / "README.md").read_text(), facegen("inspect", run).out):
        assert f"{studio.parts.names[0]} 0.5" in told
        assert "weight 0.5 … 1, by difference, fitted, smoothed, at most 0.7 mm from the model's faces, " in told
        assert f"weights {digest}" in told


def test_composing_nothing_changes_nothing(clean_run: Path, tmp_path: Path) -> None:
    off = ("--set", "compose={weights: off, probability: 1, device: cuda}")
    outcome = quickstart("run", tmp_path / "run", *off, "--json")
    assert made(outcome) == 48
    assert "compose" not in outcome.json["cpu_seconds"]
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(clean_run / "dataset.zarr")
    assert "composer" not in FaceDataset(clean_run).attributes
    for name in ("README.md", "dataset.zarr/zarr.json"):
        assert "compos" not in (clean_run / name).read_text()
    shutil.copytree(clean_run, tmp_path / "again")
    assert made(quickstart("run", tmp_path / "again", *off, "--json")) == 0


def test_a_configuration_that_composes_nothing_has_no_compose_stage(tmp_path: Path) -> None:
    for arguments in ((), ("--dry-run",)):
        outcome = quickstart("compose", tmp_path / "run", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        line = only_line(outcome.err)
        assert line.startswith("facegen: the configuration 'quickstart' composes nothing; go on with 'facegen render'")
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_counts_weights_by_content(autoencoder: Path, studio: Studio, tmp_path: Path) -> None:
    for file in (autoencoder, autoencoder.with_suffix(".json")):
        shutil.copy(file, tmp_path / f"elsewhere{file.suffix}")

    def of(weights: Path = autoencoder, **more: Any) -> str:
        return planned({"weights": str(weights), **more}).fingerprint

    part = studio.parts.names[0]
    assert of() == of(tmp_path / "elsewhere.safetensors") == of(probability=0.5, parts={part: 0.5})
    assert of() == of(fit=True, smooth=True, limit=LIMIT)
    other = write_autoencoder(tmp_path, studio, "other", training={"about": "the same weights"})
    assert of() == of(other)
    different = [
        of(), of(probability=0.4), of(parts={part: 0.4}), of(partners="one"), of(alpha={"low": 0.5}),
        of(alpha={"low": 0.5, "high": 0.5}), of(transfer="decode"), of(fit=False), of(smooth=False), of(limit=None),
        of(limit=1), planned({}).fingerprint,
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert planned({}).fingerprint == planned({"probability": 0.1, "partners": "one", "device": "cuda"}).fingerprint


def test_other_weights_of_the_same_name_are_another_run(studio: Studio, tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, studio)
    override = ("--set", f"compose={json.dumps({'weights': str(path)})}")
    assert quickstart("run", tmp_path / "run", *override, faces=16).code == 0
    card = json.loads(path.with_suffix(".json").read_text())
    renamed = [f"{name}-2" for name in card["parts"]]
    path.with_suffix(".json").write_text(json.dumps(card | {"parts": renamed}))
    outcome = quickstart("run", tmp_path / "run", *override, faces=16)
    assert outcome.code == 2
    assert "differs in the content of the composer's weights" in only_line(outcome.err)


def test_the_benchmark_times_it(settings: dict[str, Any]) -> None:
    overrides = [argument for argument in SMALL if "=" in argument]
    overrides += [f"compose={json.dumps(settings['compose'])}"]
    result = benchmark.run("quickstart", faces=64, overrides=overrides)
    assert list(result["cpu_ms_per_face"]) == ["sample", "compose", "render", "pack"]


def test_the_shipped_configuration_composes() -> None:
    config = validate(RunConfig, read_configuration("composed"), source="composed")
    assert config.compose.active
    assert config.compose.weights == "shipped"
