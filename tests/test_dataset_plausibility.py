"""``facegen evaluate plausibility``: possible faces of a dataset, counted and told with reasons."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facegen.tests.command import facegen, only_line, quickstart


@pytest.fixture(scope="module")
def monsters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("monsters") / "run"
    assert quickstart("run", run, "--set", "sample.identity={law: uniform, width: 10}", faces=32).code == 0
    return run


def test_people_are_possible(clean_run: Path) -> None:
    # People of the population with at most a few expressions.
    outcome = facegen("evaluate", "plausibility", clean_run, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.json
    assert found["faces"] == 48
    assert found["possible"] == 48 - len(found["rejected"])
    assert found["share"] == round(found["possible"] / 48, 5)
    assert found["possible"] >= 40
    assert found["criteria"]["anthropometry"] >= 0.95


def test_monsters_are_not_and_why(monsters: Path) -> None:
    found = facegen("evaluate", "plausibility", monsters, "--json").json
    assert found["possible"] == 0
    assert [one["face"] for one in found["rejected"]] == list(range(32))
    assert all(one["reasons"] for one in found["rejected"])
    text = facegen("evaluate", "plausibility", monsters).out.splitlines()
    assert text[0] == "0 of 32 faces are possible (0.0%)"
    assert text[2].startswith("  face 0: ")
    assert text[-1] == "  … and 22 more"


def test_some_of_the_faces_spread_over_the_run(monsters: Path) -> None:
    found = facegen("evaluate", "plausibility", monsters, "-n", "4", "--json").json
    assert [one["face"] for one in found["rejected"]] == [0, 10, 21, 31]


def test_wrong_calls(tmp_path: Path, monsters: Path) -> None:
    for folder, message in ((tmp_path, "not a run folder"), (tmp_path / "absent", "not a run folder")):
        outcome = facegen("evaluate", "plausibility", folder)
        assert outcome.code == 2
        assert message in only_line(outcome.err)
    shutil.copytree(monsters, tmp_path / "run")
    description = tmp_path / "run" / "run.yaml"
    description.write_text(description.read_text().replace("  sha256: ", "  sha256: 0"))
    outcome = facegen("evaluate", "plausibility", tmp_path / "run")
    assert outcome.code == 2
    assert "another version of the face model" in only_line(outcome.err)
