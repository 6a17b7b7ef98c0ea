"""The denoisers that come with facegen: whole, small, of the embedded model, and as good as their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegen.evaluation.denoise.frontier import decoded
from facegen.evaluation.denoise.laws import allowed, uniform
from facegen.evaluation.plausibility.shipped import plausibility_for
from facegen.manifold.apply import denoised, errors_on
from facegen.manifold.checkpoint import METHODS, check_fits, read_card, read_checkpoint, shipped_weights
from facegen.manifold.clean import recorded
from facegen.morphable.coefficients import CoefficientSet, Group
from facegen.morphable.model import MorphableModel
from facegen.morphable.people import draw_people
from facegen.tests.data_paths import shared_path
from facegen.tests.default_model import default_model

GROUPS: tuple[Group, ...] = ("identity", "expression")
ALL = [(group, method) for group in GROUPS for method in METHODS]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return default_model()


@pytest.fixture(scope="module")
def people(model: MorphableModel) -> CoefficientSet:
    # Of a seed that no training has.
    return draw_people(model, 2000, 99)


@pytest.mark.parametrize(("group", "method"), ALL)
def test_they_are_whole_and_of_the_embedded_model(model: MorphableModel, group: Group, method: str) -> None:
    path = shipped_weights(model, group, method)
    denoiser, card = read_checkpoint(path)
    check_fits(path, card, model, group)
    assert (card.method, card.group, card.steps > 0) == (method, group, True)
    assert denoiser.length == len(card.names)
    # Where they come from stands beside them, and nothing of the machine that made them.
    assert card.training["command"].startswith(f"facegen train denoise denoise-{group} ")
    assert {"configuration", "seed", "learnt_from", "faces_sha256", "test_sha256", "versions", "curve"} <= set(
        card.training
    )
    assert "/" not in "".join(file["name"] for file in card.training["learnt_from"].get("files", []))


def test_they_are_small(model: MorphableModel) -> None:
    folder = shipped_weights(model, "identity", "posterior").parent
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10 * 2**20


@pytest.mark.parametrize("method", METHODS)
def test_identities_are_recovered_as_the_card_says(people: CoefficientSet, model: MorphableModel, method: str) -> None:
    path = shipped_weights(model, "identity", method)
    found = errors_on(read_checkpoint(path)[0], people, people, 5)
    assert found["share_of_variance_recovered"] == pytest.approx(
        read_card(path).metrics["share_of_variance_recovered"], abs=0.03
    )


@pytest.mark.parametrize("method", METHODS)
def test_expressions_are_recovered_as_the_card_says(model: MorphableModel, method: str) -> None:
    takes = [shared_path(f"captures/arkit/range-of-motion-{name}.csv") for name in "ab"]
    learnt, test = (recorded([take], model) for take in takes)
    path = shipped_weights(model, "expression", method)
    denoiser, card = read_checkpoint(path)
    assert learnt.sha256 == card.training["faces_sha256"]
    found = errors_on(denoiser, learnt, test, card.training["seed"])
    for name, value in card.metrics.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name


def test_the_sampler_brings_uniform_identities_back(people: CoefficientSet, model: MorphableModel) -> None:
    judge = plausibility_for(model)
    raw = uniform(people, 10, 128, 7)
    denoiser, _ = read_checkpoint(shipped_weights(model, "identity", "posterior"))
    mended = denoised(denoiser, raw, 7, people.bounds)
    assert not judge.judge(decoded(model, raw, "identity")).accepted.any()
    assert judge.judge(decoded(model, mended, "identity")).accepted.mean() >= 0.97
    # They have kept something of what was drawn: the largest component goes with it.
    assert np.corrcoef(raw[:, 0], mended[:, 0])[0, 1] > 0.5


def test_the_sampler_brings_uniform_expressions_back(model: MorphableModel) -> None:
    takes = [shared_path("captures/arkit/range-of-motion-b.csv")]
    like, judge = recorded(takes, model), plausibility_for(model)
    raw = allowed(uniform(like, 1, 128, 7), "expression", model)
    denoiser, _ = read_checkpoint(shipped_weights(model, "expression", "posterior"))
    mended = allowed(denoised(denoiser, raw, 7, like.bounds), "expression", model)
    assert judge.judge(decoded(model, raw, "expression")).accepted.mean() <= 0.05
    assert judge.judge(decoded(model, mended, "expression")).accepted.mean() >= 0.97


def test_no_others_lie_there(model: MorphableModel) -> None:
    folder: Path = shipped_weights(model, "identity", "posterior").parent
    expected = {f"default-{group}-{method}" for group, method in ALL}
    assert {path.stem for path in folder.iterdir()} == expected
