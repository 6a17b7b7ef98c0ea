"""The denoise stage: what becomes of coefficients, what stays, and which weights are refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.batch import Samples
from facegen.errors import ConfigurationError, FacegenError, WeightsError
from facegen.morphable.coefficients import Group
from facegen.morphable.gaze import lid_columns, lids_follow
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.config import RunConfig
from facegen.stages.denoise.config import DenoiseConfig
from facegen.stages.denoise.stage import DenoiseStage
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler
from facegen.stages.task import denoise_stage
from facegen.tests.command import only_line, quickstart
from facegen.tests.data_paths import shared_path
from facegen.tests.denoisers import Denoisers, write_denoiser
from facegen.tests.stage_contract import FACES, Stage, StageContract, assert_same, flip, truncate

METHODS = ("convolutional", "gated", "posterior")
WILD: dict[str, Any] = {
    "identity": {"law": "uniform", "width": 10},
    "expression": {"law": "uniform", "low": 0, "high": 1},
}


def drawn(model: MorphableModel, faces: NDArray[np.int64] = FACES, seed: int = 0, **config: Any) -> Samples:
    """What the sample stage hands over: impossible faces."""
    return Sampler(validate(SampleConfig, WILD | config, source="test"), model, 64, 64, seed).draw(faces)


def stage_of(
    model: MorphableModel, seed: int = 0, cells: int = 1, gaze_drawn: bool = True, **config: Any
) -> DenoiseStage:
    parsed = validate(DenoiseConfig, config, source="test")
    return DenoiseStage(parsed, model, seed, cells=cells, gaze_drawn=gaze_drawn)


def both(denoisers: Denoisers, method: str, **more: Any) -> dict[str, Any]:
    """Settings that denoise both groups by one method."""
    return {
        group: {"method": method, "weights": str(denoisers[group, method])} | more
        for group in ("identity", "expression")
    }


class TestStage(StageContract):
    """The contract, with several images of each person and both groups denoised."""

    name = "denoise"
    before = ("sample",)

    @pytest.fixture
    def make(self, head: MorphableModel, denoisers: Denoisers) -> Callable[[int], Stage]:
        def made(seed: int) -> Stage:
            stage = stage_of(head, seed, **both(denoisers, "posterior", churn=10))
            return lambda faces: stage.denoise(drawn(head, faces, seed, images_per_identity=3))

        return made

    @pytest.fixture
    def arguments(self, denoisers: Denoisers) -> tuple[str, ...]:
        settings = both(denoisers, "posterior") | {"expression": both(denoisers, "gated")["expression"]}
        return "--set", f"denoise={json.dumps(settings)}"


@pytest.mark.parametrize("method", METHODS)
def test_no_method_lets_a_face_depend_on_its_batch(head: MorphableModel, denoisers: Denoisers, method: str) -> None:
    stage = stage_of(head, **both(denoisers, method, strength=0.7))
    whole = stage.denoise(drawn(head))
    for part in (FACES[:1], FACES[70:71], FACES[::-1], FACES[::7], FACES[60:70]):
        assert_same(stage.denoise(drawn(head, part)), whole, part)


@pytest.mark.parametrize("method", METHODS)
def test_both_groups_change_and_nothing_else(head: MorphableModel, denoisers: Denoisers, method: str) -> None:
    samples = drawn(head)
    before = {name: value.copy() for name, value in samples.as_dict().items()}
    denoised = stage_of(head, **both(denoisers, method)).denoise(samples)
    for name, value in before.items():
        assert samples.as_dict()[name].tobytes() == value.tobytes(), name
        changed = (denoised.as_dict()[name] != value).reshape(len(value), -1).any(axis=1)
        assert changed.all() if name in ("identity", "expression") else not changed.any(), name
    assert denoised.identity_raw is not None
    assert denoised.expression_raw is not None
    assert denoised.identity_raw.tobytes() == before["identity"].tobytes()
    assert denoised.expression_raw.tobytes() == before["expression"].tobytes()
    assert denoised.identity.dtype == denoised.expression.dtype == np.float32


def test_nothing_to_denoise_is_the_same_object(head: MorphableModel) -> None:
    samples = drawn(head, FACES[:3])
    for off in ({}, {"identity": None, "expression": "off"}, {"identity": False, "device": "cuda"}):
        assert stage_of(head, **off).denoise(samples) is samples


@pytest.mark.parametrize("group", ["identity", "expression"])
def test_one_group_alone(head: MorphableModel, denoisers: Denoisers, group: Group) -> None:
    samples = drawn(head, FACES[:9])
    settings = both(denoisers, "posterior")
    alone = stage_of(head, **{group: settings[group]}).denoise(samples).as_dict()
    together = stage_of(head, **settings).denoise(samples).as_dict()
    other = "expression" if group == "identity" else "identity"
    assert alone[group].tobytes() == together[group].tobytes()
    assert alone[other].tobytes() == samples.as_dict()[other].tobytes()
    assert f"{other}_raw" not in alone
    assert together.keys() - alone.keys() == {f"{other}_raw"}


@pytest.mark.parametrize("method", METHODS)
def test_no_strength_is_what_was_drawn(head: MorphableModel, denoisers: Denoisers, method: str) -> None:
    samples = drawn(head)
    denoised = stage_of(head, **both(denoisers, method, strength=0)).denoise(samples)
    assert denoised.identity.tobytes() == samples.identity.tobytes()
    assert denoised.expression.tobytes() == samples.expression.tobytes()


def test_strength_blends(head: MorphableModel, denoisers: Denoisers) -> None:
    samples = drawn(head)
    full, part = (
        stage_of(head, **both(denoisers, "posterior", strength=strength)).denoise(samples) for strength in (1, 0.25)
    )
    expected = 0.75 * samples.identity + 0.25 * full.identity
    np.testing.assert_allclose(part.identity, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strength", [0.3, 1])
def test_expressions_are_within_the_limits(
    head: MorphableModel, denoisers: Denoisers, method: str, strength: float
) -> None:
    expression = stage_of(head, **both(denoisers, method, strength=strength)).denoise(drawn(head)).expression
    assert expression.min() >= 0
    assert expression.max() <= 1
    close, open_ = (head.expression_names.index(name) for name in ("mouthClose", "jawOpen"))
    assert (expression[:, close] <= expression[:, open_]).all()


def test_denoising_again_is_denoising_once(head: MorphableModel, denoisers: Denoisers) -> None:
    stage = stage_of(head, **both(denoisers, "posterior"))
    once = stage.denoise(drawn(head))
    assert_same(stage.denoise(once), once)


def test_images_of_one_person_stay_one_person(head: MorphableModel, denoisers: Denoisers) -> None:
    stage = stage_of(head, **both(denoisers, "posterior"))
    samples = stage.denoise(drawn(head, images_per_identity=5))
    np.testing.assert_array_equal(samples.identity, samples.identity[::5].repeat(5, axis=0))
    assert len(np.unique(samples.identity, axis=0)) == 30
    assert len(np.unique(samples.expression, axis=0)) == len(FACES)
    # The first person is the first of a run of single images.
    np.testing.assert_array_equal(samples.identity[::5], stage.denoise(drawn(head, FACES[:30])).identity)


def test_faces_of_one_round_of_a_grid_share_their_expression(head: MorphableModel, denoisers: Denoisers) -> None:
    grid = [{"parameter": "pose.yaw", "values": [-30, 0, 30]}, {"parameter": "light.azimuth", "values": [0, 40]}]
    samples = stage_of(head, cells=6, **both(denoisers, "posterior")).denoise(drawn(head, grid=grid))
    for values in (samples.identity, samples.expression):
        np.testing.assert_array_equal(values, values[::6].repeat(6, axis=0))
        assert len(np.unique(values, axis=0)) == 25


def test_a_grid_that_sweeps_expressions(head: MorphableModel, denoisers: Denoisers) -> None:
    grid = [{"parameter": f"expression.{name}", "values": [0.1, 0.8]} for name in ("browInnerUp", "eyeLookUpLeft")]
    settings = {"sample": WILD | {"grid": grid}, "denoise": both(denoisers, "posterior")}
    stage = denoise_stage(validate(RunConfig, settings, source="test"), head)
    whole = stage.denoise(drawn(head, FACES[:24], grid=grid))
    # Four faces of a round are four different ones drawn, and denoised with the same random numbers.
    assert len(np.unique(whole.expression, axis=0)) == 24
    np.testing.assert_array_equal(whole.identity, whole.identity[::4].repeat(4, axis=0))
    # The lids obey the grid where the sampler let them.
    swept = whole.expression[:, head.expression_names.index("eyeLookUpLeft")]
    np.testing.assert_array_equal(swept, np.tile(np.float32([0.1, 0.8]), 12))
    for part in (FACES[:1], FACES[3:9], FACES[20:24]):
        assert_same(stage.denoise(drawn(head, part, grid=grid)), whole, part)


def test_rounds_and_persons_have_random_numbers_of_their_own(head: MorphableModel, denoisers: Denoisers) -> None:
    samples = drawn(head, FACES[:2])
    for group in ("identity", "expression"):
        values = samples.as_dict()[group]
        same = Samples.from_dict(samples.as_dict() | {group: values[:1].repeat(2, axis=0)})
        denoised = stage_of(head, gaze_drawn=False, **both(denoisers, "posterior")).denoise(same).as_dict()
        assert (denoised[group][0] != denoised[group][1]).any()


def test_lids_follow_a_drawn_gaze_and_stay_with_a_recorded_one(head: MorphableModel, denoisers: Denoisers) -> None:
    gaze = {"source": "drawn", "yaw": {"law": "uniform", "width": 30}, "pitch": {"law": "uniform", "width": 30}}
    samples, lids = drawn(head, gaze=gaze), lid_columns(head.expression_names)
    assert len(lids) == 8
    for method in METHODS:
        denoised = stage_of(head, **both(denoisers, method)).denoise(samples).expression
        expected = denoised.astype(np.float64)
        lids_follow(expected, head.expression_names, samples.gaze.astype(np.float64))
        np.testing.assert_allclose(denoised, expected, atol=1e-6)
        recorded = stage_of(head, gaze_drawn=False, **both(denoisers, method)).denoise(samples).expression
        assert (recorded[:, lids] != denoised[:, lids]).any(axis=0).all()


def test_lid_columns_are_those_that_the_gaze_sets(head: MorphableModel) -> None:
    for names in (head.expression_names, ("jawOpen", "eyeLookIn_L", "eyeLookDown_R", "eyeLook", "eyeLookInside")):
        touched = np.full((1, len(names)), -1.0)
        lids_follow(touched, names, np.full((1, 2, 2), 0.1))
        assert np.flatnonzero(touched[0] != -1).tolist() == lid_columns(names)


def test_a_run_knows_whether_its_gaze_is_recorded(head: MorphableModel, denoisers: Denoisers) -> None:
    law = {"law": "empirical", "recordings": [str(shared_path("captures/arkit/take-facial.csv"))]}
    lids = lid_columns(head.expression_names)
    for source in ("drawn", "recorded"):
        sample = {"expression": law, "gaze": {"source": source}}
        config = validate(RunConfig, {"sample": sample, "denoise": both(denoisers, "gated")}, source="test")
        denoised = denoise_stage(config, head).denoise(drawn(head, **sample))
        assert denoised.expression_raw is not None
        kept = (denoised.expression[:, lids] == denoised.expression_raw[:, lids]).all()
        assert kept == (source == "drawn")


@pytest.mark.parametrize("method", METHODS)
def test_what_no_number_can_hold_fails_and_harms_nobody(
    head: MorphableModel, denoisers: Denoisers, method: str
) -> None:
    samples = drawn(head, FACES[:12])
    identity, expression = samples.identity.copy(), samples.expression.copy()
    identity[1, 3], identity[4], identity[7, 0], identity[8], identity[10] = np.nan, np.inf, 3e38, 1e25, -3e38
    expression[2, 5] = np.nan
    harmed = replace(samples, identity=identity, expression=expression)
    stage = stage_of(head, **both(denoisers, method))
    well, denoised = stage.denoise(samples), stage.denoise(harmed)
    sound = np.setdiff1d(FACES[:12], [1, 2, 4, 7, 8, 10])
    assert denoised.identity[sound].tobytes() == well.identity[sound].tobytes()
    assert denoised.expression[sound].tobytes() == well.expression[sound].tobytes()
    assert denoised.identity_raw is not None
    assert denoised.identity_raw.tobytes() == identity.tobytes()
    # What was not finite is not made to look possible.
    assert not np.isfinite(denoised.identity[[1, 4]]).all(axis=1).any()
    assert not np.isfinite(denoised.expression[2]).all()
    renders = RenderStage(validate(RenderConfig, {"size": 32}, source="test"), head).render(denoised)
    assert all(renders.reason[[1, 2, 4]])
    plain = RenderStage(validate(RenderConfig, {"size": 32}, source="test"), head).render(well)
    np.testing.assert_array_equal(renders.valid[sound], plain.valid[sound])
    assert renders.image[sound].tobytes() == plain.image[sound].tobytes()


def test_conditions_and_paths_change_what_is_drawn(head: MorphableModel, denoisers: Denoisers) -> None:
    samples = drawn(head, FACES[:4])

    def identity(**more: Any) -> bytes:
        settings = {"method": "posterior", "weights": str(denoisers["identity", "posterior"])} | more
        return stage_of(head, identity=settings).denoise(samples).identity.tobytes()

    own = {"start": 4.0, "end": 0.4, "heun_steps": 4, "churn": 0, "guidance": 1}
    assert identity(**own) == identity() == identity(condition={})
    different = [
        identity(), identity(start=2), identity(end=0.1), identity(heun_steps=5), identity(churn=5),
        identity(churn=5, churn_below=0.5), identity(condition={"age": 0}), identity(condition={"sex": 0}),
        identity(condition={"sex": 1, "age": 0}), identity(condition={"sex": 1, "age": 0}, guidance=2),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_provenance(head: MorphableModel, denoisers: Denoisers) -> None:
    card = json.loads(denoisers["identity", "posterior"].with_suffix(".json").read_text())
    settings = both(denoisers, "posterior", strength=0.5, start=3)
    settings["identity"]["condition"] = {"age": -1}
    found = stage_of(head, **settings).provenance
    assert list(found) == ["identity", "expression"]
    assert found["identity"] == {
        "method": "posterior",
        "weights_sha256": card["weights_sha256"],
        "strength": 0.5,
        "path": {key: float(value) for key, value in card["path"].items()} | {"start": 3.0},
        "condition": {"age": -1.0},
    }
    assert stage_of(head, expression=both(denoisers, "gated")["expression"]).provenance.keys() == {"expression"}
    assert stage_of(head).provenance == {}


class TestRefusals:
    """Wrong weights: one line, exit 2, and nothing is written."""

    def refusal(self, tmp_path: Path, group: Group, **settings: Any) -> str:
        override = f"denoise={json.dumps({group: settings})}"
        outcomes = [quickstart(command, tmp_path / "run", "--set", override) for command in ("run", "denoise")]
        lines = {only_line(outcome.err) for outcome in outcomes}
        assert {outcome.code for outcome in outcomes} == {2}
        assert len(lines) == 1
        assert not (tmp_path / "run").exists()
        line = lines.pop()
        assert line.startswith("facegen: ")
        return line.removeprefix("facegen: ")

    def test_other_group(self, denoisers: Denoisers, tmp_path: Path) -> None:
        path = denoisers["identity", "posterior"]
        line = self.refusal(tmp_path, "expression", method="posterior", weights=str(path))
        assert line == f"{path}: trained for identity, expected weights for expression"

    def test_other_method(self, denoisers: Denoisers, tmp_path: Path) -> None:
        path = denoisers["identity", "gated"]
        line = self.refusal(tmp_path, "identity", method="posterior", weights=str(path))
        assert line == f"{path}: weights of the method 'gated', expected 'posterior'"

    def test_other_model(self, head: MorphableModel, tmp_path: Path) -> None:
        path = write_denoiser(tmp_path, head, "identity", "gated", model="ict", model_sha256="ab" * 32)
        line = self.refusal(tmp_path, "identity", method="gated", weights=str(path))
        own = head.source_sha256[:12]
        assert line == f"{path}: trained for the model 'ict' (abababababab…), expected 'default' ({own}…)"

    def test_other_coefficients(self, denoisers: Denoisers, tmp_path: Path) -> None:
        path = denoisers["expression", "gated"]
        settings = json.dumps({"expression": {"method": "gated", "weights": str(path)}})
        changed = ("--set", "model.expressions=pca", "--set", f"denoise={settings}")
        outcome = quickstart("run", tmp_path / "run", *changed)
        assert outcome.code == 2
        assert only_line(outcome.err).startswith(f"facegen: {path}: trained for 52 expression coefficients")

    def test_untrained(self, head: MorphableModel, tmp_path: Path) -> None:
        path = write_denoiser(tmp_path, head, "identity", "gated", steps=0)
        line = self.refusal(tmp_path, "identity", method="gated", weights=str(path))
        assert line.startswith(f"{path}: untrained (")

    @pytest.mark.parametrize(("harm", "words"), [
        (truncate, "its card expects"), (flip, "its card expects"), (Path.unlink, "No such file"),
    ])  # fmt: skip
    def test_damage(self, head: MorphableModel, tmp_path: Path, harm: Callable[[Path], None], words: str) -> None:
        path = write_denoiser(tmp_path, head, "identity", "posterior")
        harm(path)
        line = self.refusal(tmp_path, "identity", method="posterior", weights=str(path))
        assert line.startswith(f"{path}: ")
        assert words in line

    @pytest.mark.parametrize("harm", [truncate, Path.unlink])
    def test_damage_of_the_card(self, head: MorphableModel, tmp_path: Path, harm: Callable[[Path], None]) -> None:
        path = write_denoiser(tmp_path, head, "identity", "posterior")
        harm(path.with_suffix(".json"))
        line = self.refusal(tmp_path, "identity", method="posterior", weights=str(path))
        assert line.startswith(str(path.with_suffix(".json")))

    @pytest.mark.parametrize("weights", ["/absent/w.safetensors", "/", ".", ""])
    def test_no_such_file(self, tmp_path: Path, weights: str) -> None:
        line = self.refusal(tmp_path, "identity", method="gated", weights=weights)
        assert "denoise.identity.weights" in line or line.startswith("/absent/w.json: there is no such file")

    def test_variables(
        self, head: MorphableModel, denoisers: Denoisers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FACEGEN_TEST_WEIGHTS", raising=False)
        line = self.refusal(tmp_path, "identity", method="gated", weights="$FACEGEN_TEST_WEIGHTS/w.safetensors")
        assert "denoise.identity.weights is " in line
        assert "the environment variable FACEGEN_TEST_WEIGHTS is not set" in line
        path = denoisers["identity", "gated"]
        monkeypatch.setenv("FACEGEN_TEST_WEIGHTS", str(path.parent))
        stage = stage_of(head, identity={"method": "gated", "weights": f"$FACEGEN_TEST_WEIGHTS/{path.name}"})
        assert stage.provenance == stage_of(head, identity=both(denoisers, "gated")["identity"]).provenance

    def test_conditions(self, denoisers: Denoisers, tmp_path: Path) -> None:
        settings = both(denoisers, "posterior")
        line = self.refusal(tmp_path, "identity", **settings["identity"], condition={"agee": 0.5})
        assert line == "denoise.identity.condition: unknown 'agee' to these weights; did you mean 'age'?"
        line = self.refusal(tmp_path, "expression", **settings["expression"], condition={"zzz": 0.5})
        assert line == "denoise.expression.condition: unknown 'zzz' to these weights; known: expressiveness"

    def test_a_path_that_goes_uphill(self, denoisers: Denoisers, tmp_path: Path) -> None:
        line = self.refusal(tmp_path, "identity", **both(denoisers, "posterior")["identity"], start=0.3)
        assert line == "denoise.identity: 'end' is 0.4, not below 'start', 0.3"

    def test_no_gpu(self, head: MorphableModel, denoisers: Denoisers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ConfigurationError, match=r"denoise\.device is 'cuda', and torch finds no GPU") as refused:
            stage_of(head, device="cuda", **both(denoisers, "gated"))
        assert refused.value.exit_code == 2

    def test_nothing_is_shipped_for_a_model_of_ones_own(self, head: MorphableModel) -> None:
        with pytest.raises(WeightsError, match="no shipped weights 'gated' for identity of the model 'nobody'"):
            stage_of(replace(head, name="nobody"), identity={"method": "gated"})

    def test_a_model_without_the_group(self, head: MorphableModel, denoisers: Denoisers) -> None:
        bare = replace(head, expression_names=(), expression_basis=head.expression_basis[:0])
        with pytest.raises(ConfigurationError, match="the model 'default' has no expression coefficients"):
            stage_of(bare, expression=both(denoisers, "gated")["expression"])

    # A network of nothing, which is refused.
    @pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
    @pytest.mark.parametrize("field", ["architecture", "path", "names", "condition_names", "steps", "method", "format"])
    @pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"x": "y"}, [None], -1])
    def test_cards_of_any_content(self, head: MorphableModel, tmp_path: Path, field: str, value: Any) -> None:
        path = write_denoiser(tmp_path, head, "identity", "posterior")
        card = path.with_suffix(".json")
        card.write_text(json.dumps(json.loads(card.read_text()) | {field: value}))
        with contextlib.suppress(FacegenError):
            stage_of(head, identity={"method": "posterior", "weights": str(path)})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_gives_nearly_the_same_and_the_same_again(head: MorphableModel, denoisers: Denoisers) -> None:
    settings = both(denoisers, "posterior")
    samples = drawn(head)
    cpu, gpu, again = (stage_of(head, device=device, **settings).denoise(samples) for device in ("cpu", "cuda", "cuda"))
    np.testing.assert_allclose(gpu.identity, cpu.identity, atol=1e-3)
    assert_same(again, gpu)
    for part in (FACES[:1], FACES[::7]):
        assert_same(stage_of(head, device="cuda", **settings).denoise(drawn(head, part)), gpu, part)
