"""Runs that denoise: the same bytes however the work is cut up, and a dataset that tells what was done to it."""

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
from facegen.dataset import FaceDataset
from facegen.morphable.model import MorphableModel
from facegen.pipeline.configuration import read_configuration
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.plan import Plan, plan
from facegen.tests.command import SMALL, Outcome, facegen, finish, only_line, quickstart, start, states, tree
from facegen.tests.denoisers import Denoisers, write_denoiser

FACES = 80


def settings(denoisers: Denoisers) -> dict[str, Any]:
    """Both groups by posterior samplers, one of them conditioned and churned."""
    return {
        "identity": {"method": "posterior", "weights": str(denoisers["identity", "posterior"])},
        "expression": {
            "method": "posterior",
            "weights": str(denoisers["expression", "posterior"]),
            "strength": 0.9,
            "churn": 4,
            "condition": {"expressiveness": 0.5},
        },
    }


@pytest.fixture(scope="module")
def arguments(denoisers: Denoisers) -> tuple[str, ...]:
    sample = ("--set", "sample.identity={law: uniform, width: 8}", "--set", "sample.images_per_identity=3")
    return *sample, "--set", f"denoise={json.dumps(settings(denoisers))}"


@pytest.fixture(scope="module")
def run(arguments: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 80 faces in five shards. Not to be changed."""
    folder = tmp_path_factory.mktemp("denoised") / "run"
    outcome = quickstart("run", folder, *arguments, "--json", faces=FACES)
    assert outcome.code == 0, outcome.err
    assert list(outcome.json["cpu_seconds"]) == ["sample", "denoise", "render", "pack"]
    return folder


def made(outcome: Outcome) -> int:
    assert outcome.code == 0, outcome.err
    return int(outcome.json["made"])


def content(folder: Path) -> str:
    outcome = facegen("verify", folder, "--json")
    assert outcome.code == 0, outcome.out
    assert outcome.json["strays"] == []
    return str(outcome.json["content_sha256"])


def planned(denoise: dict[str, Any], **more: Any) -> Plan:
    small = {"model": {"resolution": "coarse", "bust": False}, "render": {"size": 64}}
    return plan(small | {"denoise": denoise} | more, source="test")


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
    for command in ("sample", "denoise", "render", "pack"):
        assert made(quickstart(command, tmp_path / "run", *arguments, "--json", faces=FACES)) == FACES
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(run / "dataset.zarr")
    assert facegen("status", tmp_path / "run", "--json").json["stages"].keys() == {
        "sample",
        "denoise",
        "render",
        "pack",
    }


@pytest.mark.parametrize("command", ["render", "pack"])
def test_what_is_not_denoised_is_not_rendered(arguments: tuple[str, ...], tmp_path: Path, command: str) -> None:
    assert made(quickstart("sample", tmp_path / "run", *arguments, "--json", faces=16)) == 16
    outcome = quickstart(command, tmp_path / "run", *arguments, faces=16)
    assert outcome.code == 1
    assert "stage 'denoise' has not made it; run 'facegen denoise' first" in outcome.err


def test_a_finished_run_is_left_alone_and_continues(run: Path, arguments: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    before = {name: state for name, state in states(tmp_path / "run").items() if name != "README.md"}
    assert made(quickstart("run", tmp_path / "run", *arguments, "--json", faces=FACES)) == 0
    assert {name: state for name, state in states(tmp_path / "run").items() if name != "README.md"} == before
    (tmp_path / "run" / "dataset.zarr" / "raw" / "identity" / "c" / "2" / "0").unlink()
    assert facegen("verify", tmp_path / "run").code == 1
    assert made(quickstart("run", tmp_path / "run", *arguments, "--json", faces=FACES)) == 16
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(run / "dataset.zarr")


def test_the_dataset_holds_what_was_drawn_and_what_became_of_it(run: Path, tmp_path: Path) -> None:
    wild = ("--set", "sample.identity={law: uniform, width: 8}", "--set", "sample.images_per_identity=3")
    assert quickstart("run", tmp_path / "raw", *wild, faces=FACES).code == 0
    names = ["identity", "expression", "albedo", "gaze", "pose", "light_sh"]
    raw = FaceDataset(tmp_path / "raw", names)
    denoised = FaceDataset(run, [*names, "identity_raw", "expression_raw", "identity_number"])
    assert {"identity_raw", "expression_raw"} <= set(denoised.available)
    assert not {"identity_raw", "expression_raw"} & set(raw.available)
    persons: dict[int, bytes] = {}
    for face in denoised.faces:
        one = denoised[denoised.position(int(face))]
        if face in raw.faces:
            other = raw[raw.position(int(face))]
            np.testing.assert_array_equal(one["identity_raw"], other["identity"])
            np.testing.assert_array_equal(one["expression_raw"], other["expression"])
            for name in names[2:]:
                np.testing.assert_array_equal(one[name], other[name])
        assert (one["identity"] != one["identity_raw"]).any()
        assert (one["expression"] != one["expression_raw"]).any()
        identity = one["identity"].numpy().tobytes()
        assert persons.setdefault(int(one["identity_number"]), identity) == identity
    assert len(set(persons.values())) == -(-FACES // 3)


def test_any_reader_of_zarr_finds_them(run: Path) -> None:
    group = zarr.open_group(run / "dataset.zarr", mode="r")
    dataset = FaceDataset(run, ["identity_raw", "expression_raw"])
    for place, face in enumerate(dataset.faces[:20]):
        for name in ("identity", "expression"):
            stored = group[f"raw/{name}"]
            assert isinstance(stored, zarr.Array)
            np.testing.assert_array_equal(stored[int(face)], dataset[place][f"{name}_raw"])
            assert stored.attrs["description"]


def test_the_run_tells_what_denoised_it(run: Path, denoisers: Denoisers) -> None:
    weights = {
        group: json.loads(denoisers[group, "posterior"].with_suffix(".json").read_text())["weights_sha256"]
        for group in ("identity", "expression")
    }
    attributes = FaceDataset(run).attributes["denoisers"]
    assert {group: about["weights_sha256"] for group, about in attributes.items()} == weights
    assert attributes["expression"]["strength"] == 0.9
    assert attributes["expression"]["condition"] == {"expressiveness": 0.5}
    assert attributes["expression"]["path"]["churn"] == 4
    assert yaml.safe_load((run / "run.yaml").read_text())["denoisers"] == attributes
    inspected = facegen("inspect", run, "--json").json
    assert inspected["denoisers"] == attributes
    assert {"identity_raw", "expression_raw"} <= inspected["arrays"].keys()
    card, text = (run / "README.md").read_text(), facegen("inspect", run).out
    for group, digest in weights.items():
        for told in (card, text):
            assert f"{group}, posterior, weights {digest}, strength " in told


def test_one_group_alone_has_one_array_of_its_own(denoisers: Denoisers, tmp_path: Path) -> None:
    denoise = {"identity": {"method": "gated", "weights": str(denoisers["identity", "gated"])}}
    assert quickstart("run", tmp_path / "run", "--set", f"denoise={json.dumps(denoise)}", faces=16).code == 0
    assert [path.name for path in (tmp_path / "run" / "dataset.zarr" / "raw").iterdir() if path.is_dir()] == [
        "identity"
    ]
    assert FaceDataset(tmp_path / "run").attributes["denoisers"].keys() == {"identity"}


def test_denoising_nothing_changes_nothing(clean_run: Path, tmp_path: Path) -> None:
    off = ("--set", "denoise.identity=off", "--set", "denoise.device=cuda")
    outcome = quickstart("run", tmp_path / "run", *off, "--json")
    assert made(outcome) == 48
    assert "denoise" not in outcome.json["cpu_seconds"]
    assert tree(tmp_path / "run" / "dataset.zarr") == tree(clean_run / "dataset.zarr")
    assert "denoisers" not in FaceDataset(clean_run).attributes
    for name in ("README.md", "dataset.zarr/zarr.json"):
        assert "denois" not in (clean_run / name).read_text()
    # What was made without a word about denoising is the same run.
    shutil.copytree(clean_run, tmp_path / "again")
    assert made(quickstart("run", tmp_path / "again", *off, "--json")) == 0


def test_a_configuration_that_denoises_nothing_has_no_denoise_stage(tmp_path: Path) -> None:
    for arguments in ((), ("--dry-run",)):
        outcome = quickstart("denoise", tmp_path / "run", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        line = only_line(outcome.err)
        assert line.startswith("facegen: the configuration 'quickstart' denoises nothing; go on with 'facegen render'")
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_counts_weights_by_content(head: MorphableModel, denoisers: Denoisers, tmp_path: Path) -> None:
    path = denoisers["identity", "posterior"]
    for file in (path, path.with_suffix(".json")):
        shutil.copy(file, tmp_path / f"elsewhere{file.suffix}")

    def of(weights: Path = path, **more: Any) -> str:
        return planned({"identity": {"method": "posterior", "weights": str(weights), **more}}).fingerprint

    assert of() == of(tmp_path / "elsewhere.safetensors") == of(start=4.0, guidance=1)
    gated = {"identity": {"method": "gated", "weights": str(denoisers["identity", "gated"])}}
    different = [
        of(), of(write_denoiser(tmp_path, head, "identity", "posterior", seed=1)), of(strength=0.5), of(start=2),
        of(churn=1), of(condition={"age": 1}), of(condition={"sex": 1}), planned(gated).fingerprint,
        planned({}).fingerprint, planned(settings(denoisers)).fingerprint,
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert planned({}).fingerprint == planned({"identity": None, "device": "cuda"}).fingerprint


def test_a_card_that_leads_elsewhere_is_another_run(head: MorphableModel, tmp_path: Path) -> None:
    path = write_denoiser(tmp_path, head, "identity", "posterior")
    denoise = {"identity": {"method": "posterior", "weights": str(path)}}
    before = planned(denoise).fingerprint
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"path": {"start": 3.0, "steps": 4}}))
    assert planned(denoise).fingerprint != before


def test_other_weights_of_the_same_name_are_another_run(head: MorphableModel, tmp_path: Path) -> None:
    path = write_denoiser(tmp_path, head, "identity", "gated")
    override = ("--set", f"denoise={json.dumps({'identity': {'method': 'gated', 'weights': str(path)}})}")
    assert quickstart("run", tmp_path / "run", *override, faces=16).code == 0
    other = write_denoiser(tmp_path, head, "identity", "gated", seed=1)
    for suffix in (".safetensors", ".json"):
        shutil.copy(other.with_suffix(suffix), path.with_suffix(suffix))
    outcome = quickstart("run", tmp_path / "run", *override, faces=16)
    assert outcome.code == 2
    assert "differs in the content of the denoisers' weights" in only_line(outcome.err)


def test_the_benchmark_times_it(denoisers: Denoisers) -> None:
    overrides = [argument for argument in SMALL if "=" in argument]
    plain = benchmark.run("quickstart", faces=64, overrides=overrides)
    assert list(plain["cpu_ms_per_face"]) == ["sample", "render", "pack"]
    denoising = benchmark.run(
        "quickstart", faces=64, overrides=[*overrides, f"denoise={json.dumps(settings(denoisers))}"]
    )
    assert list(denoising["cpu_ms_per_face"]) == ["sample", "denoise", "render", "pack"]


@pytest.mark.parametrize("name", ["diverse", "manifold-paper"])
def test_the_shipped_configurations_denoise_both_groups(name: str) -> None:
    config = validate(RunConfig, read_configuration(name), source=name)
    method = "posterior" if name == "diverse" else "convolutional"
    for group in (config.denoise.identity, config.denoise.expression):
        assert group is not None
        assert (group.method, group.weights, group.strength) == (method, "shipped", 1.0)
