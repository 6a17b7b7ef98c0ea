"""Training and evaluating denoisers from the command line, with tiny networks and few people."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.io import savemat

from facegen.errors import ConfigurationError
from facegen.evaluation.denoise import report
from facegen.evaluation.denoise.baselines import NEIGHBOURS, mean_face, nearest, wiener
from facegen.evaluation.denoise.frontier import PATHS, decoded
from facegen.evaluation.denoise.laws import allowed, gaussian, spread, uniform, widths_for
from facegen.evaluation.denoise.recovery import LEVELS
from facegen.manifold.checkpoint import read_card, read_checkpoint
from facegen.manifold.clean import clean_sets
from facegen.manifold.corruption import Corruption
from facegen.manifold.folder import TrainingFolder
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.model import MorphableModel
from facegen.tests.clean_faces import clean_faces, refusal
from facegen.tests.command import Outcome, facegen, finish, only_line, start, states, tree
from facegen.tests.data_paths import shared_path
from facegen.tests.waiting import wait_until
from facegen.training import check_device

TINY: dict[str, Any] = {"hidden": 32, "blocks": 1, "steps": 60, "average": 0.9}
CONFIG: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "model": {"resolution": "coarse", "bust": False},
    "group": "identity",
    "clean": {"source": "population", "train": 300, "test": 200},
    "denoisers": {
        "paper": {"method": "convolutional", "epochs": 1, "corruptions": 5},
        "seeing": {"method": "gated", **TINY},
        "drawing": {"method": "posterior", **TINY, "heun_steps": 3, "start": 5, "end": 0.2},
    },
}
NAMES = tuple(CONFIG["denoisers"])


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return path


def trained(config: Path, out: Path, *arguments: str) -> Outcome:
    return facegen("train", "denoise", config, "--out", out, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training. Not to be changed."""
    place = tmp_path_factory.mktemp("trained")
    outcome = trained(written(place), place / "run")
    assert outcome.code == 0, outcome.err
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert lines[0] == "300 clean faces to learn from, 200 to test on, 68 coefficients"
    assert [line.split(":")[0] for line in lines[1:4]] == list(NAMES)
    assert [line.split(": recovers")[0] for line in lines[4:]] == [f"{place}/run/{name}.safetensors" for name in NAMES]
    return place / "run"


@pytest.fixture(scope="module")
def evaluated(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What the command measured, and its figures."""
    before = tree(folder)
    figures = tmp_path_factory.mktemp("evaluated") / "new" / "figures"
    outcome = facegen(
        "evaluate", "denoise", folder, "--json", "--figures", figures, "-n", "10", "--cell", "64", "--quiet"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    # Nothing but the figures is written: the thresholds of the embedded model are shipped.
    assert tree(folder) == before
    return outcome.json, figures


# --- training ---


def test_what_a_training_leaves(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"train.yaml", *(f"{name}.{kind}" for name in NAMES for kind in ("safetensors", "json"))}
    config = TrainingFolder(folder).config()
    faces, test = clean_sets(config.clean, "identity", report.Evaluation.of(folder).model, 3)
    for name in NAMES:
        denoiser, card = read_checkpoint(folder / f"{name}.safetensors")
        assert card.method == CONFIG["denoisers"][name]["method"]
        assert card.model == "default"
        assert card.training["seed"] == 3
        assert card.training["faces_sha256"] == faces.sha256
        assert card.training["test_sha256"] == test.sha256
        assert card.training["learnt_from"] == faces.provenance
        assert card.training["command"] == "facegen train denoise tiny --out run"
        assert card.training["device"] == "cpu"
        assert {"facegen", "torch", "python"} == set(card.training["versions"])
        assert card.steps == (12 if name == "paper" else 60)
        assert card.metrics.keys() == {
            "mse_corrupted", "mse_denoised", "mse_mean_face", "share_of_variance_recovered",
        }  # fmt: skip
        if isinstance(denoiser, PosteriorSampler):
            assert (denoiser.path.start, denoiser.path.end, denoiser.path.steps) == (5, 0.2, 3)
            assert card.condition_names == ("sex", "age")


def test_training_again_trains_nothing(folder: Path) -> None:
    before = states(folder)
    outcome = trained(folder.parent / "tiny.yaml", folder, "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    assert states(folder) == before
    assert outcome.json.keys() == set(NAMES)
    for name in NAMES:
        assert outcome.json[name] == json.loads((folder / f"{name}.json").read_text())


def test_a_training_elsewhere_leaves_the_same_bytes_but_for_its_name(folder: Path, tmp_path: Path) -> None:
    # Only what is missing is trained.
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "seeing.json").unlink()
    outcome = trained(folder.parent / "tiny.yaml", tmp_path / "run")
    assert [line.split(":")[0] for line in outcome.err.splitlines() if "step" in line] == ["seeing"]
    assert tree(tmp_path / "run") == tree(folder)


def test_half(folder: Path, tmp_path: Path) -> None:
    one = {"seeing": CONFIG["denoisers"]["seeing"]}
    assert trained(written(tmp_path, half=True, denoisers=one), tmp_path / "half", "--quiet").err == ""
    half, full = tmp_path / "half" / "seeing.safetensors", folder / "seeing.safetensors"
    assert half.stat().st_size < 0.6 * full.stat().st_size
    (coarse, card), (fine, other) = read_checkpoint(half), read_checkpoint(full)
    for name, tensor in coarse.state_dict().items():
        torch.testing.assert_close(tensor, fine.state_dict()[name], rtol=2**-11, atol=1e-7)
    # The errors are those of the rounded network.
    assert card.metrics["mse_denoised"] == pytest.approx(other.metrics["mse_denoised"], rel=0.01)
    assert card.metrics["mse_denoised"] != other.metrics["mse_denoised"]


def test_a_seed_of_ones_own(folder: Path, tmp_path: Path) -> None:
    one = {"seeing": CONFIG["denoisers"]["seeing"]}
    path = written(tmp_path, denoisers=one)
    assert trained(path, tmp_path / "run", "--seed", "4", "--set", "denoisers.seeing.steps=20", "-q").code == 0
    card = read_card(tmp_path / "run" / "seeing.safetensors")
    assert (card.training["seed"], card.steps) == (4, 20)
    assert TrainingFolder(tmp_path / "run").config().seed == 4
    assert card.training["faces_sha256"] != read_card(folder / "seeing.safetensors").training["faces_sha256"]


def test_a_training_that_is_interrupted_ends_at_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bits of a matrix product may depend on the number of threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    long = {"seeing": {"method": "gated", "hidden": 8, "blocks": 1, "batch": 8, "steps": 1100}}
    path = written(tmp_path, denoisers=long, clean={"source": "population", "train": 100, "test": 100})
    whole, harmed = tmp_path / "a" / "run", tmp_path / "b" / "run"
    assert trained(path, whole, "-q").code == 0
    state = harmed / "state" / "seeing.safetensors"
    process = start("train", "denoise", path, "--out", harmed, "--quiet")
    wait_until(state.is_file)
    os.killpg(process.pid, signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 1
    assert only_line(outcome.err).startswith("facegen: interrupted; what was finished is kept")
    assert not (harmed / "seeing.json").exists(), "it was done before it could be ended"
    # What a writer that was killed leaves beside the state is not looked at.
    (state.parent / ".seeing.safetensors.1-1.partial").write_bytes(b"half")
    assert trained(path, harmed, "-q").code == 0
    for name in ("train.yaml", "seeing.safetensors", "seeing.json"):
        assert (harmed / name).read_bytes() == (whole / name).read_bytes()


# --- evaluation ---


def sets_of(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in result["sets"] if one["name"] == name]


def test_the_result_tells_what_was_measured(evaluated: tuple[dict[str, Any], Path], folder: Path) -> None:
    result, _ = evaluated
    assert list(result) == [
        "name", "group", "model", "faces", "denoisers", "recovery", "robustness", "widths", "sets",
    ]  # fmt: skip
    assert (result["name"], result["group"]) == ("tiny", "identity")
    assert (result["faces"]["train"], result["faces"]["test"], result["faces"]["coefficients"]) == (300, 200, 68)
    assert tuple(result["denoisers"]) == NAMES
    for name, one in result["denoisers"].items():
        denoiser, card = read_checkpoint(folder / f"{name}.safetensors")
        assert one["weights_sha256"] == card.weights_sha256
        assert one["metrics"] == card.metrics
        assert one["curve"] == card.training["curve"]
        assert one["parameters"] == sum(parameter.numel() for parameter in denoiser.parameters())

    def numbers(value: Any) -> Iterator[float]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                yield from numbers(inner)
        if isinstance(value, float):
            yield value

    assert all(math.isfinite(number) for number in numbers(result))


def test_recovery_beside_the_simple_predictors(evaluated: tuple[dict[str, Any], Path]) -> None:
    result, _ = evaluated
    rows = result["recovery"]
    assert tuple(rows) == (
        "corrupted", "mean face", "Wiener", f"nearest {NEIGHBOURS}", f"nearest {NEIGHBOURS}, truncated", *NAMES,
    )  # fmt: skip
    assert rows["mean face"]["share"] == 0
    assert rows["corrupted"]["share"] < -10
    assert rows["Wiener"]["share"] > 0.2
    for row in rows.values():
        assert row["share"] == pytest.approx(1 - row["mse"] / rows["mean face"]["mse"], abs=2e-4 * max(1, row["mse"]))
    assert rows["corrupted"]["mse"] == pytest.approx(Corruption(5.2).expected_mse(68), rel=0.03)
    for name, one in result["denoisers"].items():
        # The same faces and corruptions as after training.
        assert rows[name]["mse"] == pytest.approx(one["metrics"]["mse_denoised"], rel=1e-4)
        assert rows["corrupted"]["mse"] == pytest.approx(one["metrics"]["mse_corrupted"], rel=1e-4)
        assert rows["mean face"]["mse"] == pytest.approx(one["metrics"]["mse_mean_face"], rel=1e-4)


def test_robustness_at_nine_levels(evaluated: tuple[dict[str, Any], Path]) -> None:
    result, _ = evaluated
    levels, curves = result["robustness"]["levels"], result["robustness"]["mse"]
    assert levels == list(LEVELS)
    assert len(levels) == 9
    # The paper's networks alone.
    assert list(curves) == ["corrupted", "paper"]
    assert {len(curve) for curve in curves.values()} == {9}
    noise = np.array(curves["corrupted"]) / np.array(levels) ** 2
    np.testing.assert_allclose(noise, noise[4], rtol=1e-4)
    for name in curves:
        assert curves[name][4] == pytest.approx(result["recovery"][name]["mse"], rel=1e-4)


def test_sets_of_faces(evaluated: tuple[dict[str, Any], Path], folder: Path) -> None:
    result, _ = evaluated
    train = report.Evaluation.of(folder).train
    assert result["widths"] == list(widths_for(train)) == [3, 4, 5, 6, 8, 10]
    paths = [[5.0, 0.2], *(list(path) for path in PATHS["identity"])]
    expected: list[tuple[str, float | None, list[float] | None]] = [
        ("clean, to learn from", None, None), ("clean, to test on", None, None),
        ("Gaussian", None, None), ("Gaussian, joint", None, None),
    ]  # fmt: skip
    for width in result["widths"]:
        expected += [("uniform, raw", width, None), ("paper", width, None), ("seeing", width, None)]
        expected += [("drawing", width, path) for path in paths]
    assert [(one["name"], one["width"], one["path"]) for one in result["sets"]] == expected
    normal, learnt = sets_of(result, "Gaussian")[0], sets_of(result, "clean, to learn from")[0]
    assert normal["over_gaussian"] == 1
    assert learnt["over_clean"] == 1
    for one in result["sets"]:
        assert one["over_gaussian"] * normal["variance"] == pytest.approx(one["variance"], rel=2e-4)
        assert one["over_clean"] * learnt["variance"] == pytest.approx(one["variance"], rel=2e-4)
        assert one["reliability"]["faces"] == 10
        assert 0 <= one["reliability"]["share"] <= min(one["reliability"]["criteria"].values()) <= 1
        for name in ("precision", "recall", "coverage"):
            assert 0 <= one["likeness"][name] <= 1
    # Uniform in ±w has the variance w² / 3, in raw units of each coefficient.
    scale = float((train.deviation.astype(np.float64) ** 2).sum())
    assert normal["variance"] == pytest.approx(scale, rel=0.05)
    for one in sets_of(result, "uniform, raw"):
        assert one["variance"] == pytest.approx(one["width"] ** 2 / 3 * scale, rel=0.04)
    # Test faces are compared with themselves.
    own = sets_of(result, "clean, to test on")[0]["likeness"]
    assert (own["precision"], own["recall"], own["coverage"]) == (1, 1, 1)
    assert sets_of(result, "uniform, raw")[-1]["likeness"]["precision"] == 0
    for name in ("clean, to learn from", "clean, to test on"):
        assert sets_of(result, name)[0]["reliability"]["share"] >= 0.9
    assert sets_of(result, "uniform, raw")[-1]["reliability"]["share"] == 0


def test_the_text_has_a_line_for_every_row(evaluated: tuple[dict[str, Any], Path]) -> None:
    result, _ = evaluated
    lines = report.text(result).splitlines()
    assert lines[0].startswith("tiny: identity of the model 'default', 68 coefficients; 300 clean faces to learn from")
    for name in result["recovery"]:
        assert sum(line.startswith(f"{name} ") for line in lines[:12]) >= 1
    rows = [report.label(one) for one in result["sets"]]
    assert [line[:40].strip() for line in lines[-len(rows) :]] == rows
    assert rows[-1] == "drawing, width 10, 10 → 2"
    assert len(set(rows)) == len(rows)
    assert all("%" in line for line in lines[-len(rows) :])


def test_figures_are_pictures(evaluated: tuple[dict[str, Any], Path]) -> None:
    _, figures = evaluated
    found = {path.name for path in figures.iterdir()}
    assert found == {
        "learning-curves.png", "robustness.png", "frontier.png", "scatter.png", "test-faces.png", "uniform-faces.png",
        *(f"hundred-{name}.png" for name in NAMES),
    }  # fmt: skip
    for path in figures.iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) >= 300
            # Neither empty nor of one colour.
            assert np.asarray(picture.convert("L"))[::3, ::3].std() > 5
    with Image.open(figures / "hundred-paper.png") as many, Image.open(figures / "uniform-faces.png") as some:
        # Ten by ten portraits; eight of the raw faces and of each denoiser.
        assert many.width // 64 == 10
        assert some.width // 64 == 8


def test_an_evaluation_is_the_same_again(evaluated: tuple[dict[str, Any], Path], folder: Path) -> None:
    result, _ = evaluated
    evaluation = report.Evaluation.of(folder)
    told: list[str] = []
    fewer = report.evaluate(evaluation, None, 10, told.append, paths=())
    assert fewer["recovery"] == result["recovery"]
    assert fewer["robustness"] == result["robustness"]
    kept = [one for one in result["sets"] if one["path"] in (None, [5.0, 0.2])]
    assert fewer["sets"] == [one | {"reliability": None} for one in kept]
    assert told[:3] == [
        "recovery of corrupted faces", "robustness against other levels of noise", "clean and Gaussian faces",
    ]  # fmt: skip
    # Trying other start levels leaves the sampler as it was.
    drawing = evaluation.denoisers["drawing"]
    assert isinstance(drawing, PosteriorSampler)
    assert drawing.path.start == 5


def test_only_one_group_moves(head: MorphableModel) -> None:
    random = np.random.default_rng(0)
    for group, size in (("identity", len(head.identity_names)), ("expression", len(head.expression_names))):
        values = random.uniform(0, 1, (2, size)).astype(np.float32)
        basis = head.identity_basis if group == "identity" else head.expression_basis
        expected = head.mean + np.tensordot(values, basis, 1)
        np.testing.assert_allclose(decoded(head, values, group), expected, atol=1e-2)


# --- faces of other kinds ---


def test_expressions_of_recordings(head: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes = {name: shared_path(f"captures/arkit/{name}.csv") for name in ("take-with-lost-frames", "take-facial")}
    monkeypatch.setenv("FACEGEN_TEST_TAKES", str(takes["take-facial"].parent))
    clean = {
        "source": "recordings",
        "train": ["$FACEGEN_TEST_TAKES/take-with-lost-frames.csv"],
        "test": ["$FACEGEN_TEST_TAKES/take-facial.csv"],
        "mirrored": True,
    }
    one = {"drawing": {"method": "posterior", **TINY, "flatten": 1, "heun_steps": 3, "churn": 2}}
    path = written(tmp_path, group="expression", clean=clean, denoisers=one)
    assert trained(path, tmp_path / "run", "-q").code == 0
    # Whoever gets the folder finds no path of ours in it.
    assert str(takes["take-facial"].parent) not in "".join(map(str, tree(tmp_path / "run").values()))
    evaluation = report.Evaluation.of(tmp_path / "run")
    assert [path.name for path in evaluation.recordings] == ["take-with-lost-frames.csv", "take-facial.csv"]
    monkeypatch.setattr("facegen.evaluation.denoise.frontier.SAMPLES", 400)
    result = report.evaluate(evaluation, evaluation.judge([], pytest.fail), 12, lambda line: None, paths=((1.0, 0.2),))
    assert result["faces"]["train"] == 2 * 1891
    assert result["widths"] == [0.25, 0.5, 0.75, 1.0]
    assert result["recovery"]["mean face"]["share"] == 0
    assert [one["path"] for one in sets_of(result, "drawing")] == [[4.0, 0.4], [1.0, 0.2]] * 4
    for raw in sets_of(result, "uniform, raw"):
        # Weights from 0 to w, but for mouthClose, which jawOpen limits, and tongueOut, which needs an open mouth.
        assert 49.5 / 12 < raw["variance"] / raw["width"] ** 2 < 52.5 / 12
    assert sets_of(result, "clean, to test on")[0]["reliability"]["share"] > 0.8
    assert list(result["robustness"]["mse"]) == ["corrupted"]


def test_fitted_faces_of_a_model_that_is_not_at_hand(tmp_path: Path) -> None:
    faces = clean_faces(60, 20)
    savemat(tmp_path / "BFM.mat", {"model": {"shapeEV": faces.deviation[:, None]}})
    (tmp_path / "faces").mkdir()
    for number, value in enumerate(faces.values * faces.deviation):
        savemat(tmp_path / "faces" / f"{number:02}.mat", {"Shape_Para": value[:, None]})
    clean = {
        "source": "fitted", "folder": str(tmp_path / "faces"), "deviations": str(tmp_path / "BFM.mat"), "held_out": 0.2,
    }  # fmt: skip
    path = written(tmp_path, model=None, clean=clean)
    assert trained(path, tmp_path / "run", "-q").code == 0
    card = read_card(tmp_path / "run" / "paper.safetensors")
    assert (card.model, card.names[0], len(card.names)) == ("BFM.mat", "identity_0", 20)
    # The paper's 100 corruptions are 5 here: 48 faces of 60.
    assert card.steps == math.ceil(48 * 5 / 128)
    evaluation = report.Evaluation.of(tmp_path / "run")
    assert evaluation.judge([], pytest.fail) is None
    result = report.evaluate(evaluation, None, 10, lambda line: None, paths=())
    assert all(one["reliability"] is None for one in result["sets"])
    assert report.text(result).splitlines()[-1].endswith(" -")
    # Too few are told before anything is measured.
    for file in sorted((tmp_path / "faces").iterdir())[9:]:
        file.unlink()
    outcome = facegen("evaluate", "denoise", tmp_path / "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert "was trained on other faces than now" in only_line(outcome.err)
    assert trained(path, tmp_path / "few", "-q").code == 0
    outcome = facegen("evaluate", "denoise", tmp_path / "few")
    assert (outcome.code, outcome.out) == (2, "")
    expected = f"facegen: {tmp_path}/few: 7 clean faces to learn from, 2 to test on; expected over 5 of each"
    assert only_line(outcome.err) == expected


# --- baselines and laws ---


def test_the_linear_filter_is_the_best_linear_one() -> None:
    random = torch.Generator().manual_seed(0)
    shape = torch.randn(6, 6, generator=random, dtype=torch.float64)
    clean = torch.randn(40_000, 6, generator=random, dtype=torch.float64) @ shape + 2
    corruption = Corruption(3.0)
    noisy = corruption(clean, random)
    answer = wiener(clean, corruption)(noisy)
    # Regression finds nothing better.
    design = torch.cat([noisy, torch.ones(len(noisy), 1, dtype=torch.float64)], dim=1)
    best = design @ torch.linalg.lstsq(design, clean).solution
    errors = [float(((guess - clean) ** 2).mean()) for guess in (answer, best, mean_face(clean)(noisy), noisy)]
    assert errors[1] <= errors[0] < 1.01 * errors[1]
    assert errors[0] < 0.9 * min(errors[2:])
    assert torch.equal(mean_face(clean)(noisy)[5], clean.mean(dim=0))


def test_nearest_faces() -> None:
    clean = torch.from_numpy(clean_faces(100, 20).values)
    corrupted = clean[:5].clone()
    corrupted[:, 3] += 1000
    spread_, far = clean.std(dim=0), NEIGHBOURS
    for truncated in (False, True):
        answer = nearest(clean, truncated=truncated)(corrupted)
        for row, face in enumerate(corrupted):
            apart = (face - clean).abs()
            if truncated:
                apart = (apart / spread_).clamp(max=3)
            chosen = (apart**2).sum(dim=1).argsort()[:far]
            torch.testing.assert_close(answer[row], clean[chosen].mean(dim=0))
    # A single spoiled coefficient does not decide which face is near: the face itself is among them.
    near = nearest(clean, truncated=True)(corrupted)
    others = nearest(clean, truncated=False)(corrupted)
    kept = np.arange(20) != 3
    assert ((near - clean[:5])[:, kept] ** 2).sum() < ((others - clean[:5])[:, kept] ** 2).sum()


def test_laws(head: MorphableModel) -> None:
    weights = replace(clean_faces(300, len(head.expression_names), "expression"), names=head.expression_names)
    identity = clean_faces(300, 20)
    assert uniform(weights, 0.5, 1000, 0).min() >= 0
    assert uniform(weights, 0.5, 1000, 0).max() <= 0.5
    drawn = uniform(identity, 10, 1000, 0)
    assert -10 <= drawn.min() < -9.9
    assert 9.9 < drawn.max() <= 10
    assert widths_for(identity)[-1] == 10
    assert widths_for(replace(identity, group="expression"))[-1] == 15
    normal = gaussian(identity, 5000, 0)
    assert abs(normal.std() - 1) < 0.02
    of_weights = gaussian(weights, 5000, 0)
    assert of_weights.min() >= 0
    assert of_weights.max() <= 1
    joint = gaussian(identity, 20_000, 0, joint=True).astype(np.float64)
    covariance = np.cov(identity.values.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(np.cov(joint, rowvar=False), covariance, atol=0.03)
    flat, bell = ([law.tobytes() for law in laws] for laws in (
        [uniform(identity, 3, 9, seed) for seed in (1, 1, 2)], [gaussian(identity, 9, seed) for seed in (1, 1, 2)],
    ))  # fmt: skip
    for first, again, other in (flat, bell):
        assert first == again != other
    rows = spread(identity.values, 30)
    np.testing.assert_array_equal(rows, identity.values[::10])
    np.testing.assert_array_equal(spread(identity.values, 300), identity.values)
    # The nearest whole step: 300 faces in steps of 2.
    assert len(spread(identity.values, 160)) == 150
    close, open_ = (head.expression_names.index(name) for name in ("mouthClose", "jawOpen"))
    limited = allowed(uniform(weights, 1, 100, 0), "expression", head)
    assert (limited[:, close] <= limited[:, open_]).all()
    assert allowed(drawn, "identity", head) is drawn


# --- wrong use ---


def refused(outcome: Outcome, message: str) -> None:
    """Exit code 2, one line."""
    assert (outcome.code, outcome.out) == (2, "")
    assert only_line(outcome.err).startswith(f"facegen: {message}"), outcome.err


class TestWrongTraining:
    """Nothing is written where a training is refused."""

    def refused(self, tmp_path: Path, message: str, *arguments: str, **changes: Any) -> None:
        refused(trained(written(tmp_path, **changes), tmp_path / "run", *arguments), message)
        assert not (tmp_path / "run").exists()

    def test_configurations(self, tmp_path: Path) -> None:
        source = f"{tmp_path}/tiny.yaml: "
        self.refused(
            tmp_path, f"{source}'denoisers.a.method': 'magic' is none of", denoisers={"a": {"method": "magic"}}
        )
        self.refused(tmp_path, f"{source}unknown key 'sed'; did you mean 'seed'?", sed=1)
        self.refused(tmp_path, f"{source}'group'", group="albedo")
        self.refused(tmp_path, f"{source}'seed': ", "--seed", "-1")
        self.refused(tmp_path, "--set denoisers: expected a.b=value", "--set", "denoisers")
        refused(
            trained(Path("denoise-identty"), tmp_path / "run"), "denoise-identty: no such configuration file or name"
        )
        assert not (tmp_path / "run").exists()

    def test_takes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FACEGEN_CAPTURES", raising=False)
        clean: dict[str, Any] = {
            "source": "recordings",
            "train": ["$FACEGEN_CAPTURES/a.csv"],
            "test": ["$FACEGEN_CAPTURES/b.csv"],
        }
        message = "clean.train is '$FACEGEN_CAPTURES/a.csv' and the environment variable FACEGEN_CAPTURES is not set"
        self.refused(tmp_path, message, group="expression", clean=clean)
        both = clean | {"test": ["$FACEGEN_CAPTURES/a.csv"]}
        message = f"{tmp_path}/tiny.yaml: 'clean': '$FACEGEN_CAPTURES/a.csv' is both in 'train' and in 'test'"
        self.refused(tmp_path, message, group="expression", clean=both)
        absent = {"source": "recordings", "train": [f"{tmp_path}/a.csv"], "test": [f"{tmp_path}/b.csv"]}
        self.refused(tmp_path, f"{tmp_path}/a.csv: cannot be read", group="expression", clean=absent)

    @pytest.mark.parametrize("device", ["gpu", "", "meta", "cuda:99", "cpu:x"])
    def test_devices(self, tmp_path: Path, device: str) -> None:
        self.refused(tmp_path, f"device '{device}' cannot be used here (", "--device", device)

    def test_the_processor_by_its_full_name(self, tmp_path: Path) -> None:
        one = {"seeing": CONFIG["denoisers"]["seeing"]}
        clean = {"source": "population", "train": 100, "test": 100}
        assert (
            trained(written(tmp_path, denoisers=one, clean=clean), tmp_path / "run", "--device", "cpu:0", "-q").code
            == 0
        )
        assert read_card(tmp_path / "run" / "seeing.safetensors").training["device"] == "cpu:0"
        check_device("cpu")

    def test_faces_that_a_network_cannot_learn_from(self, tmp_path: Path) -> None:
        savemat(tmp_path / "BFM.mat", {"shapeEV": np.full((12, 1), 2.0)})
        (tmp_path / "faces").mkdir()
        for number in range(8):
            savemat(tmp_path / "faces" / f"{number}.mat", {"Shape_Para": np.full((12, 1), float(number))})
        fitted = {"source": "fitted", "folder": f"{tmp_path}/faces", "deviations": f"{tmp_path}/BFM.mat"}
        message = "denoisers.paper: 12 coefficients; four poolings by 2 need at least 16"
        self.refused(tmp_path, message, model=None, clean=fitted)
        flat = {"drawing": {"method": "posterior", **TINY, "flatten": 1}}
        message = "denoisers.drawing.flatten: 7 clean faces; expected over 10"
        self.refused(tmp_path, message, model=None, clean=fitted, denoisers=flat)

    def test_folders_of_others(self, folder: Path, tmp_path: Path) -> None:
        path = folder.parent / "tiny.yaml"
        before = tree(folder)
        expected = f"{folder}: holds a training of another configuration; choose a"
        refused(trained(path, folder, "--seed", "9"), expected)
        refused(trained(path, folder, "--set", "denoisers.seeing.noise=2"), expected)
        assert tree(folder) == before
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("x")
        expected = ": not empty and not a training folder; choose a new folder"
        refused(trained(path, tmp_path / "mine"), f"{tmp_path}/mine{expected}")
        refused(trained(path, tmp_path / "mine" / "thesis.txt"), f"{tmp_path}/mine/thesis.txt{expected}")
        assert tree(tmp_path) == {"mine/thesis.txt": b"x"}

    def test_damaged_folders(self, folder: Path, tmp_path: Path) -> None:
        path = folder.parent / "tiny.yaml"
        run = tmp_path / "run"
        for content, message in (
            ("{", f"{run}/train.yaml: cannot be read"),
            ("3", f"{run}/train.yaml: expected a mapping of settings, found int"),
            ("sed: 1", f"{run}/train.yaml: unknown key 'sed'"),
        ):
            shutil.copytree(folder, run)
            (run / "train.yaml").write_text(content)
            before = tree(run)
            for outcome in (trained(path, run), facegen("evaluate", "denoise", run)):
                refused(outcome, message)
            assert tree(run) == before
            shutil.rmtree(run)
        shutil.copytree(folder, run)
        (run / "seeing.json").write_text("{}")
        refused(trained(path, run, "-q"), f"{run}/seeing.json: not the card of a denoiser")


class TestWrongEvaluation:
    """Nothing is measured where an evaluation is refused."""

    def refused(self, folder: Path, message: str, figures: Path) -> None:
        refused(facegen("evaluate", "denoise", folder, "--figures", figures, "--json"), message)
        assert not figures.exists()

    def test_what_is_no_training_folder(self, folder: Path, tmp_path: Path) -> None:
        for place in (tmp_path, tmp_path / "absent"):
            self.refused(place, f"{place}: not a training folder (no train.yaml)", tmp_path / "figures")
        self.refused(folder / "train.yaml", f"{folder}/train.yaml", tmp_path / "figures")

    def test_what_is_not_finished(self, folder: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(folder, run)
        (run / "seeing.json").unlink()
        self.refused(run, f"{run}/seeing.json: there is no such file", tmp_path / "figures")
        shutil.copy(folder / "seeing.json", run)
        data = (run / "seeing.safetensors").read_bytes()
        (run / "seeing.safetensors").write_bytes(data[:-1])
        self.refused(run, f"{run}/seeing.safetensors: sha256 is ", tmp_path / "figures")

    def test_other_faces_than_those_learnt_from(self, folder: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(folder, run)
        text = (run / "train.yaml").read_text()
        assert "seed: 3\n" in text
        (run / "train.yaml").write_text(text.replace("seed: 3\n", "seed: 4\n"))
        self.refused(run, f"{run}/paper.safetensors: was trained on other faces than now", tmp_path / "figures")

    @pytest.mark.parametrize("arguments", [(), ("x", "--faces", "9"), ("x", "--cell", "1"), ("x", "--face", "20")])
    def test_usage(self, arguments: tuple[str, ...]) -> None:
        outcome = facegen("evaluate", "denoise", *arguments)
        assert outcome.code == 2
        assert outcome.out == ""
        assert "Traceback" not in outcome.err

    def test_thresholds_of_another_model(self, folder: Path, tmp_path: Path, head: MorphableModel) -> None:
        # Not the embedded one: its thresholds would lie in the folder.
        evaluation = replace(report.Evaluation.of(folder), path=tmp_path, model=replace(head, sha256="cd" * 32))
        (tmp_path / "plausibility.npz").write_bytes(b"PK")
        with pytest.raises(ValueError, match=r"plausibility\.npz"):
            evaluation.judge([], lambda line: None)


def test_a_device_that_is_refused_is_told_in_a_line() -> None:
    assert refusal(ConfigurationError, check_device, "nowhere").startswith("device 'nowhere' cannot be used here (")
