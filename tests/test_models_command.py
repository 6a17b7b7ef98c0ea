"""``facegen models``: what people are told and shown of the face models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.stages.render.model_sheet import EXPRESSIONS, ModelSheet
from facegen.tests.command import facegen, only_line


def test_the_list_tells_what_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEGEN_ICT", raising=False)
    rows = {row["name"]: row for row in facegen("models", "list", "--json").json}
    assert list(rows) == ["default", "default-coarse", "default-dense", "ict"]
    sizes = [rows[name]["vertices"] for name in ("default-coarse", "default", "default-dense")]
    assert 2000 < sizes[0] < 4000 < sizes[1] < 13000 < sizes[2] < 50000
    assert not rows["ict"]["usable"]
    assert "FACEGEN_ICT is not set" in rows["ict"]["reason"]
    text = facegen("models", "list").out
    assert f"{sizes[1]:,} vertices, 68 identity, 52 expression" in text
    assert "not usable here: model.path" in text


def test_what_is_shown_of_the_default_model() -> None:
    values = facegen("models", "show", "default", "--json").json
    model = load_model(DefaultModelConfig())
    assert values["sha256"] == model.sha256
    assert values["vertices"] == model.topology.vertex_count
    assert values["expression_names"] == list(ARKIT_NAMES)
    assert values["expression_limits"] == [["mouthClose", "jawOpen"]]
    assert values["expression_switches"].keys() == {"tongueOut"}
    assert values["expression_bounds"] == [0, 1]
    assert sum(values["regions"].values()) == values["triangles"]
    text = facegen("models", "show", "default").out
    # The table that the population reproduces, and that it is no survey.
    assert "approximation" in text
    assert "not a survey" in text
    assert len(values["measurements"]) == 19
    for row in values["measurements"]:
        assert row["name"] in text
        assert abs(row["mean_head"] - (row["men"] + row["women"]) / 2) < 0.2
        assert 0.8 < row["people_sd"] / row["pooled_sd"] < 1.2


def test_an_unknown_model_is_refused() -> None:
    outcome = facegen("models", "show", "defualt")
    assert outcome.code == 2
    assert only_line(outcome.err) == "facegen: unknown model 'defualt'; did you mean 'default'?"


def test_the_sheet_has_a_cell_for_every_portrait(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert facegen("models", "sheet", "default-coarse", "--out", out, "--size", "64").code == 0
    sheet = np.asarray(Image.open(out))
    # 6 of the mean, 12 people, 12 expressions, 10 ends of components; six a row.
    assert sheet.shape == (7 * (64 + 4 + 18) + 4, 6 * (64 + 4) + 4, 3)
    cells = [sheet[4 + 86 * row : 68 + 86 * row, 4 + 68 * c : 68 + 68 * c] for row in range(7) for c in range(6)]
    full = [cell.reshape(-1, 3).std(axis=0).max() > 10 for cell in cells]
    assert full == [True] * 40 + [False] * 2
    # Every portrait is another.
    assert len({cell.tobytes() for cell in cells[:40]}) == 40


def test_a_grey_portrait_has_no_colours_but_the_eyes() -> None:
    sheet = ModelSheet(load_model(DefaultModelConfig(resolution="coarse")), 96)
    textured, grey = (
        next(p for p in sheet.portraits() if p.caption == caption) for caption in ("profile", "profile, grey")
    )
    colour = sheet.render(textured).astype(int)
    plain = sheet.render(grey).astype(int)
    background = (plain == plain[0, 0]).all(axis=2)

    def saturation(image: np.ndarray) -> float:
        return float(np.median(np.ptp(image[~background], axis=1)))

    assert saturation(plain) < 15 < 30 < saturation(colour)


def test_the_expressions_of_the_sheet_are_arkits() -> None:
    both = {name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES}
    for _, weights in EXPRESSIONS:
        assert set(weights) <= both | set(ARKIT_NAMES)
        assert all(0 < value <= 1 for value in weights.values())
