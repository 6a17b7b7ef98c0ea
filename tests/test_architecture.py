"""Who may import whom. Read from the sources, so that an import inside a function counts too."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

import pytest

import facegen

ROOT = Path(facegen.__path__[0])
PARTS = (
    "annotation",
    "benchmarks",
    "commands",
    "composition",
    "dataset",
    "evaluation",
    "imaging",
    "lighting",
    "manifold",
    "morphable",
    "pipeline",
    "stages",
)
STAGES = ("sample", "denoise", "compose", "render", "pack")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("facegen", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@lru_cache(maxsize=1)
def imports() -> dict[str, frozenset[str]]:
    """Module → names of the facegen modules it imports; ``from a import b`` counts as ``a`` and ``a.b``."""
    found = {}
    files = [*ROOT.glob("*.py"), *(file for part in PARTS for file in (ROOT / part).rglob("*.py"))]
    for file in files:
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                assert node.module
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        found[module_name(file)] = frozenset(name for name in names if within(name, "facegen"))
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def offences(importer: str, forbidden: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """Imports of ``forbidden`` in ``importer`` but for those in ``allowed``."""
    return [
        f"{module} imports {name}"
        for module, names in imports().items()
        if within(module, importer)
        for name in sorted(names)
        if within(name, forbidden) and not any(within(name, place) or within(place, name) for place in allowed)
    ]


def test_the_sources_are_found() -> None:
    assert {"facegen.cli", "facegen.pipeline.run", "facegen.stages.pack.writer"} <= imports().keys()
    assert "facegen.stages.sample.stage" in imports()["facegen.stages.task"]


@pytest.mark.parametrize("forbidden", ["stages", "morphable", "imaging", "dataset", "batch", "randomness"])
def test_the_pipeline_knows_nothing_of_faces(forbidden: str) -> None:
    assert offences("facegen.pipeline", f"facegen.{forbidden}") == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("other", STAGES)
def test_stages_do_not_know_each_other(stage: str, other: str) -> None:
    if stage != other:
        assert offences(f"facegen.stages.{stage}", f"facegen.stages.{other}") == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("above", ["pipeline", "dataset", "stages.task", "stages.plan", "stages.config", "report"])
def test_stages_know_nothing_above(stage: str, above: str) -> None:
    assert offences(f"facegen.stages.{stage}", f"facegen.{above}") == []


@pytest.mark.parametrize("above", ["stages", "pipeline", "dataset", "imaging", "manifold", "composition", "batch"])
def test_a_face_model_stands_alone(above: str) -> None:
    builder = "facegen.morphable.default.build imports facegen.imaging"
    found = offences("facegen.morphable", f"facegen.{above}")
    assert [line for line in found if not line.startswith(builder)] == []


def test_what_builds_the_embedded_model_is_not_needed_to_load_it() -> None:
    needed: set[str] = set()
    new = {"facegen.morphable.load", "facegen.morphable.default.embedded"}
    while new:
        needed |= new
        new = {name for module in new for name in imports()[module] if name in imports()} - needed
    parts = {name for name in needed if within(name, "facegen.morphable.default")}
    assert parts == {f"facegen.morphable.default{name}" for name in (".embedded", ".packing", ".resolution", ".slots")}


def test_the_manifold_stands_on_face_models_alone() -> None:
    below = ("morphable", "errors", "settings", "paths", "randomness", "storage", "training", "weights", "manifold")
    assert offences("facegen.manifold", "facegen", tuple(f"facegen.{name}" for name in below)) == []


def test_composition_stands_on_face_models_alone() -> None:
    below = (
        "morphable",
        "errors",
        "settings",
        "paths",
        "places",
        "randomness",
        "storage",
        "training",
        "weights",
        "composition",
    )
    assert offences("facegen.composition", "facegen", tuple(f"facegen.{name}" for name in below)) == []


def test_what_is_possible_is_judged_on_face_models_alone() -> None:
    below = ("morphable", "errors", "storage", "randomness", "evaluation.plausibility")
    assert offences("facegen.evaluation.plausibility", "facegen", tuple(f"facegen.{name}" for name in below)) == []


@pytest.mark.parametrize("above", ["stages", "pipeline", "dataset", "report"])
def test_imaging_stands_below(above: str) -> None:
    assert offences("facegen.imaging", f"facegen.{above}") == []


def test_imaging_takes_only_the_topology_of_a_model() -> None:
    assert offences("facegen.imaging", "facegen.morphable", ("facegen.morphable.topology",)) == []


def test_surfaces_are_annotated_from_model_and_atlas_alone() -> None:
    allowed = ("facegen.imaging", "facegen.morphable", "facegen.annotation")
    assert offences("facegen.annotation", "facegen", allowed) == []
    # What reads datasets finds the annotation in them.
    for importer in ("dataset", "imaging", "morphable"):
        assert offences(f"facegen.{importer}", "facegen.annotation") == []


def test_light_stands_on_nothing() -> None:
    assert offences("facegen.lighting", "facegen", ("facegen.errors", "facegen.folders", "facegen.lighting")) == []


def test_only_the_sample_stage_draws_light() -> None:
    for importer in ("denoise", "compose", "render", "pack", "plan", "config"):
        assert offences(f"facegen.stages.{importer}", "facegen.lighting") == []


def test_only_the_denoise_stage_denoises() -> None:
    for importer in ("sample", "render", "pack", "task", "plan", "config"):
        assert offences(f"facegen.stages.{importer}", "facegen.manifold") == []


def test_only_the_compose_stage_composes() -> None:
    for importer in ("sample", "denoise", "render", "pack", "task", "plan", "config"):
        assert offences(f"facegen.stages.{importer}", "facegen.composition") == []


def test_the_reader_knows_the_format_but_not_how_faces_are_made() -> None:
    allowed = ("facegen.stages.pack.schema", "facegen.stages.pack.sharding")
    assert offences("facegen.dataset", "facegen.stages", allowed) == []
    assert offences("facegen.dataset", "facegen.pipeline") == []


def test_nothing_imports_the_command_line() -> None:
    assert [line for line in offences("facegen", "facegen.cli") if not line.startswith("facegen.__main__ ")] == []
    inside = ("facegen.cli ", "facegen.commands.")
    assert [line for line in offences("facegen", "facegen.commands") if not line.startswith(inside)] == []


def test_nothing_imports_the_tests() -> None:
    assert offences("facegen", "facegen.tests") == []


def test_foundations_stand_on_nothing() -> None:
    for module in ("errors", "storage", "settings", "paths", "folders", "places", "randomness", "batch"):
        used = {name for name in imports()[f"facegen.{module}"] if not within(name, "facegen.errors")}
        assert used <= {"facegen"}, (module, used)
