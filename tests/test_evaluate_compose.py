"""What is measured of autoencoders that swap parts, against oracles and on a tiny training; and its pictures."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facegen.composition.composer import SMOOTHING, SwapRules
from facegen.composition.faces import Faces
from facegen.composition.fitting import Fitter
from facegen.composition.parts import blend_locality
from facegen.composition.smoothing import Smoother
from facegen.evaluation.compose import locality, report
from facegen.evaluation.compose.diversity import BLENDED, MIXED, SWAPPED, TEST, TRAIN, UNFITTED
from facegen.evaluation.compose.ellipse import Ellipse
from facegen.evaluation.compose.heat import heat, heated, linear, palette
from facegen.evaluation.compose.people_sheet import write_people_sheet
from facegen.evaluation.compose.pictures import STEPS, interpolation, most_different
from facegen.evaluation.compose.possible import POPULATION
from facegen.evaluation.compose.reconstruction import MEAN_FACE
from facegen.evaluation.compose.seams import CUT, MeanCurvature, seams, visible
from facegen.evaluation.compose.subject import SOURCES, TARGETS, Evaluation
from facegen.evaluation.compose.synthesis import blended, compose, recombinations, single_swaps
from facegen.evaluation.judging import judge_for
from facegen.morphable.model import MorphableModel
from facegen.tests.autoencoders import PARTS, SMALL, Studio, write_autoencoder
from facegen.tests.command import Outcome, facegen, only_line, tree

TINY = {**SMALL, "schedule": {"epochs": 1, "batch": 8}}
CONFIG: dict[str, Any] = {
    "name": "tiny",
    "seed": 2,
    "model": {"resolution": "coarse", "bust": False},
    "people": {"train": 40, "test": 17},
    "factors": [4, 3],
    "parts": PARTS.model_dump(),
    "networks": {
        "plain": {"method": "coma", **TINY},
        "no-weights": {"method": "weighted", "local_weights": False, **TINY},
        "no-projections": {"method": "weighted", "projections": False, **TINY},
        "full": {"method": "weighted", **TINY},
    },
}
WEIGHTED = ("full", "no-weights", "no-projections")


def trained(folder: Path, **changes: Any) -> Outcome:
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return facegen("train", "compose", folder / "tiny.yaml", "--out", folder / "run", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training. Not to be changed."""
    place = tmp_path_factory.mktemp("trained")
    outcome = trained(place)
    assert (outcome.code, outcome.err) == (0, "")
    return place / "run"


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    return Evaluation.of(folder)


@pytest.fixture(scope="module")
def evaluated(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What the command measured, and its figures."""
    before = tree(folder)
    figures = tmp_path_factory.mktemp("evaluated") / "new" / "figures"
    outcome = facegen(
        "evaluate", "compose", folder, "--json", "--figures", figures, "-n", "12", "--cell", "64", "--quiet"
    )
    assert (outcome.code, outcome.err) == (0, "")
    # Nothing but the figures is written: the thresholds of the embedded model are shipped.
    assert tree(folder) == before
    return outcome.json, figures


# --- what is evaluated ---


def test_the_full_model_comes_first(evaluation: Evaluation) -> None:
    assert evaluation.main == "full"
    assert evaluation.weighted == WEIGHTED
    assert [name for name in evaluation.weighted if not evaluation.has_places(name)] == ["no-weights"]
    np.testing.assert_allclose(evaluation.weights.sum(axis=1), 1, atol=1e-6)


def test_nobody_is_his_own_partner(evaluation: Evaluation) -> None:
    partners = evaluation.partners
    assert sorted(partners) == list(range(17))
    assert (partners != np.arange(17)).all()


def test_a_codec_is_the_network_in_mm(evaluation: Evaluation) -> None:
    network, codec = evaluation.trained["full"][0].network, evaluation.codecs["full"]
    faces = evaluation.test.displacements
    with torch.inference_mode():
        batch = torch.from_numpy(faces).transpose(0, 1) / network.scale
        expected = (network(batch) * network.scale).transpose(0, 1).numpy()
    np.testing.assert_allclose(codec.decoded(codec.parts(faces)), expected, atol=1e-3)
    composer = evaluation.composers["full"]
    codes = composer.codes(evaluation.test.people.values, np.arange(17))
    np.testing.assert_allclose(codec.parts(faces), codes, atol=1e-3)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    def refused(**changes: Any) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        assert trained(place, **changes).code == 0
        outcome = facegen("evaluate", "compose", place / "run")
        assert (outcome.code, outcome.out) == (2, "")
        return only_line(outcome.err).replace(str(place), "")

    one = {"full": CONFIG["networks"]["full"]}
    assert refused(networks=one, people={"train": 20, "test": 15}) == (
        "facegen: /run: 15 people to test on; expected at least 16"
    )
    ablation = {"one": CONFIG["networks"]["no-weights"], "two": CONFIG["networks"]["plain"]}
    assert refused(networks=ablation) == (
        "facegen: /run: has no network of method 'weighted' with local weights to evaluate"
    )
    outcome = facegen("evaluate", "compose", tmp_path)
    assert only_line(outcome.err) == f"facegen: {tmp_path}: not a training folder (no train.yaml)"


@pytest.mark.parametrize(("module", "extra"), [("sklearn", "compose"), ("matplotlib", "figures")])
def test_what_is_missing_is_named_early(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    outcome = facegen("evaluate", "compose", folder, "--figures", tmp_path, "--quiet")
    assert (outcome.code, outcome.out) == (1, "")
    assert f"pip install 'facegen[{extra}]'" in only_line(outcome.err)


# --- reconstruction ---


def test_errors_of_reconstruction(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    found, faces = evaluated[0]["reconstruction"], evaluation.test.displacements
    assert list(found) == [*CONFIG["networks"], "PCA-4", "PCA-16", MEAN_FACE]
    for name in CONFIG["networks"]:
        assert found[name]["mean"] == pytest.approx(
            evaluated[0]["networks"][name]["metrics"]["mean_error_mm"], rel=1e-3
        )
    mean = evaluation.train.displacements.mean(axis=0)
    flat = (evaluation.train.displacements - mean).reshape(40, -1).astype(np.float64)
    axes = np.linalg.svd(flat, full_matrices=False)[2][:4]
    centred = (faces - mean).reshape(17, -1).astype(np.float64)
    for name, left in (("PCA-4", centred - centred @ axes.T @ axes), (MEAN_FACE, centred)):
        away = np.linalg.norm(left.reshape(faces.shape), axis=2)
        for key, value in (
            ("mean", away.mean()), ("median", np.median(away)), ("p99", np.quantile(away, 0.99)), ("max", away.max()),
        ):  # fmt: skip
            assert found[name][key] == pytest.approx(value, rel=1e-3), (name, key)


# --- locality ---


def test_locality_by_hand(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    network, part = evaluation.trained["full"][0].network, 1
    with torch.inference_mode():
        faces = torch.from_numpy(evaluation.test.displacements).transpose(0, 1) / network.scale
        own = network.project(network.encode(faces))
        other = own.clone()
        other[:, part] = own[evaluation.partners, part]
        moved = ((network.decode(other) - network.decode(own)) * network.scale).double().numpy()
    squared = np.square(moved).sum(axis=2)
    inside = evaluation.owner == part
    found = evaluated[0]["locality"]["full"]
    assert found["codes"] is None
    one = found["parts"][evaluation.parts[part]]
    assert one["locality"] == pytest.approx(squared[inside].sum() / squared.sum(), rel=1e-3)
    assert one["inside"] == pytest.approx(np.sqrt(squared[inside].mean()), rel=1e-3)
    assert one["outside"] == pytest.approx(np.sqrt(squared[~inside].mean()), rel=1e-3)
    assert one["leakage"] == pytest.approx(one["outside"] / one["inside"], rel=1e-3)


def test_what_networks_are_compared_with(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    found = evaluated[0]["locality"]
    assert list(found) == [*WEIGHTED, locality.FITTED, locality.BLEND, locality.WHOLE]
    faces = evaluation.test.displacements.astype(np.float64)
    expected = blend_locality(evaluation.weights, faces[evaluation.partners] - faces)
    blend = [one["locality"] for one in found[locality.BLEND]["parts"].values()]
    np.testing.assert_allclose(blend, expected, rtol=1e-4)
    # As the stage has it: one part of the partner, fitted, and less of it where it leads too far.
    people, part = evaluation.test.people.values, 1
    alpha = np.tile(np.eye(len(evaluation.parts), dtype=np.float32)[part], (17, 1))
    sources = np.repeat(people[evaluation.partners][:, None], len(evaluation.parts), axis=1)
    swap = evaluation.composers["full"].swap(people, sources, alpha, np.arange(17), SwapRules())
    squared = np.square(swap.skin, dtype=np.float64).sum(axis=(0, 2))
    one = found[locality.FITTED]["parts"][evaluation.parts[part]]
    assert one["locality"] == pytest.approx(squared[evaluation.owner == part].sum() / squared.sum(), rel=1e-3)
    assert found[locality.FITTED]["codes"] is None
    # Moving everything is as local to all parts together as can be: each vertex is of one of them.
    assert sum(one["locality"] for one in found[locality.WHOLE]["parts"].values()) == pytest.approx(1, rel=1e-4)
    for one in found.values():
        assert one["locality"] == pytest.approx(np.mean([part["locality"] for part in one["parts"].values()]), rel=1e-4)
    # Whatever a network has learnt, parts without a place move the whole face.
    assert found["full"]["locality"] > 0.8 > 0.5 > found["no-weights"]["locality"]
    assert sorted(found["no-weights"]["codes"]) == list(range(len(evaluation.parts)))


@given(st.permutations(range(5)), st.integers(0, 99))
def test_codes_are_matched_with_the_places_that_they_move(order: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(0, 0.1, (5, 5))
    # Code c moves place order[c].
    energy = noise + np.eye(5)[order]
    assert [order[code] for code in locality.best_match(energy)] == [0, 1, 2, 3, 4]


# --- exactness ---


def test_a_swap_with_oneself_and_of_all_parts(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    found, faces = evaluated[0]["exactness"], evaluation.test.displacements
    assert list(found) == list(WEIGHTED)
    for name, one in found.items():
        assert one["self_swap"] == 0
        assert one["self_swap_mesh"] < 1e-9
        codec = evaluation.codecs[name]
        error = codec.decoded(codec.parts(faces)) - faces
        away = np.linalg.norm(error[evaluation.partners] - error, axis=2)
        assert one["all_parts"]["mean"] == pytest.approx(away.mean(), rel=1e-3)
        assert one["all_parts"]["max"] == pytest.approx(away.max(), rel=1e-3)
        # What the partner's codes decode to is off by the error of reconstruction.
        for key, value in evaluated[0]["reconstruction"][name].items():
            assert one["replaced"][key] == pytest.approx(value, rel=1e-3)


# --- composed faces ---


@given(faces=st.integers(16, 300), parts=st.integers(1, 12), seed=st.integers(0, 2**63 - 1))
def test_one_part_of_a_target_in_a_source(faces: int, parts: int, seed: int) -> None:
    recipe = single_swaps(faces, parts, seed)
    assert len(recipe) == min(220, 55 * parts)
    assert len({(row.tobytes(), int(base)) for row, base in zip(recipe.source, recipe.base, strict=True)}) == len(
        recipe
    )
    changed = recipe.source != recipe.base[:, None]
    assert (changed.sum(axis=1) == 1).all()
    targets = set(recipe.source[changed].tolist())
    assert len(set(recipe.base.tolist())) <= SOURCES
    assert len(targets) <= TARGETS
    if parts <= 4:
        assert (len(set(recipe.base.tolist())), len(targets)) == (SOURCES, TARGETS)
    assert not targets & set(recipe.base.tolist())
    assert max(targets | set(recipe.base.tolist())) < faces
    # Thinning leaves as many of each part, to within one.
    count = Counter(changed.argmax(axis=1).tolist())
    assert len(count) == parts
    assert max(count.values()) - min(count.values()) <= 1


@given(faces=st.integers(16, 60), parts=st.integers(1, 12), seed=st.integers(0, 2**63 - 1))
def test_every_part_of_another_person(faces: int, parts: int, seed: int) -> None:
    recipe = recombinations(faces, parts, 20, seed)
    assert recipe.source.shape == (20, parts)
    assert all(len(set(row)) == parts for row in recipe.source.tolist())
    assert (recipe.base == recipe.source[:, -1]).all()
    assert recipe.source.max() < faces
    # More faces leave the first as they are.
    assert (recombinations(faces, parts, 25, seed).source[:20] == recipe.source).all()


def test_composed_faces_are_what_their_codes_say(evaluation: Evaluation) -> None:
    recipe = recombinations(17, len(evaluation.parts), 3, 0)
    made = compose(evaluation, "full", recipe, report.RAW)
    codec = evaluation.codecs["full"]
    np.testing.assert_array_equal(made.kept, 1)
    codes = codec.parts(evaluation.test.displacements)
    mixed = np.stack([[codes[face, part] for part, face in enumerate(row)] for row in recipe.source.tolist()])
    expected = evaluation.test.displacements[recipe.base] + codec.decoded(mixed) - codec.decoded(codes[recipe.base])
    np.testing.assert_allclose(made.displacements, expected, atol=1e-3)
    skin, vertices = evaluation.test.skin, made.vertices(np.arange(3))
    np.testing.assert_allclose(vertices[:, skin.vertices], skin.mean + expected, atol=1e-2)


def test_faces_are_composed_as_the_stage_does_unless_told_otherwise(evaluation: Evaluation) -> None:
    recipe = recombinations(17, len(evaluation.parts), 6, 0)
    people, numbers = evaluation.test.people.values, np.arange(6)
    alpha = (recipe.source != recipe.base[:, None]).astype(np.float32)
    for rules in (SwapRules(), SwapRules(limit=0.2), SwapRules("decode", fit=False), report.RAW):
        made = compose(evaluation, "full", recipe, rules)
        sources = np.stack([people[row] for row in recipe.source])
        swap = evaluation.composers["full"].swap(people[recipe.base], sources, alpha, numbers, rules)
        assert made.skin.tobytes() == swap.skin.tobytes()
        assert made.kept.tobytes() == swap.kept.tobytes()
        np.testing.assert_array_equal(made.displacements, evaluation.test.displacements[recipe.base] + swap.skin)
        if rules == SwapRules():
            assert compose(evaluation, "full", recipe).skin.tobytes() == made.skin.tobytes()
        if rules.limit == 0.2:
            assert (made.kept < 1).any()


def test_a_blend_of_one_person_is_that_person(evaluation: Evaluation) -> None:
    recipe = recombinations(17, len(evaluation.parts), 2, 0)
    alone = replace(recipe, source=np.repeat(recipe.base[:, None], len(evaluation.parts), axis=1))
    np.testing.assert_allclose(blended(evaluation, alone).skin, 0, atol=1e-4)
    np.testing.assert_array_equal(blended(evaluation, recipe).kept, 1)


def test_steps_between_two_people(evaluation: Evaluation) -> None:
    rows, codec = interpolation(evaluation, "full"), evaluation.codecs["full"]
    source, target = most_different(evaluation)
    own, other = evaluation.test.displacements[[source, target]]
    part, skin = 2, evaluation.test.skin.vertices
    assert rows.offsets.shape == (len(evaluation.parts), STEPS, len(evaluation.model.mean), 3)
    between = np.stack([own + alpha * (other - own) for alpha in np.arange(1, 9, dtype=np.float32) / 9])
    codes = np.repeat(codec.parts(own[None]), STEPS, axis=0)
    codes[:, part] = codec.parts(between)[:, part]
    made = codec.decoded(codes) - codec.decoded(codec.parts(own[None]))
    # As far as it goes, whatever limit the stage has, and fitted.
    fitter = Fitter(evaluation.test.skin, evaluation.trained["full"][0].parts, evaluation.weights)
    shapes = np.repeat(own[None, None], len(evaluation.parts), axis=1).repeat(STEPS, axis=0).astype(np.float64)
    shapes[:, part] = between
    made = made + np.stack([fitter.moved(faces) for faces in shapes])
    # What the model cannot hold of it is smoothed.
    basis = evaluation.model.identity_basis[:, skin].reshape(len(evaluation.model.identity_names), -1).T
    flat = made.reshape(STEPS, -1).T
    rest = (flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]).T.reshape(made.shape)
    smoother = Smoother(evaluation.test.skin, SMOOTHING)
    made = made - rest + np.stack([smoother.smoothed(one) for one in rest])
    np.testing.assert_allclose(rows.offsets[part][:, skin], made, atol=1e-3)
    np.testing.assert_allclose(rows.moved[part], np.linalg.norm(made[-1] - made[0], axis=1), atol=1e-3)


# --- ellipses ---


def test_an_ellipse_of_points() -> None:
    points = np.random.default_rng(0).normal(size=(50000, 2)) * (3, 0.5) + (10, -4)
    ellipse = Ellipse.of(points)
    assert ellipse.area == pytest.approx(np.pi * 6 * 1, rel=0.02)
    # Two standard deviations of a plane hold 1 - exp(-2) of a Gaussian law.
    assert ellipse.holds(points).mean() == pytest.approx(1 - np.exp(-2), abs=0.005)
    away = ellipse.boundary() - ellipse.centre
    squared = np.einsum("ni,ij,nj->n", away, np.linalg.inv(ellipse.covariance), away)
    np.testing.assert_allclose(squared, 4, rtol=1e-9)


@given(
    st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0, 2 * np.pi), st.floats(-2, 2), st.floats(0.2, 3),
    st.floats(-0.5, 0.5),
)  # fmt: skip
def test_what_an_ellipse_encloses(a: float, b: float, angle: float, shift: float, size: float, turned: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    outer = Ellipse(np.zeros(2), turn @ np.diag([a * a, b * b]) @ turn.T)
    assert outer.encloses(outer)
    assert outer.encloses(replace(outer, covariance=0.81 * outer.covariance))
    assert not outer.encloses(replace(outer, covariance=1.21 * outer.covariance))
    # Stretched to a circle, two ellipses are a circle and an ellipse; where that is a circle too, two numbers decide.
    root = turn @ np.diag([a, b])
    moved = root @ np.array([np.cos(turned), np.sin(turned)]) * shift
    other = Ellipse(moved, root @ root.T * size**2)
    if abs(abs(shift) + 2 * size - 2) > 0.01:
        assert outer.encloses(other) == (abs(shift) + 2 * size < 2)


# --- diversity, possibility, seams ---


@pytest.mark.parametrize("key", ["codes", "codes_as_composed"])
def test_codes_in_a_plane(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation, key: str) -> None:
    codes = evaluated[0][key]
    assert codes["faces"] == {TRAIN: 40, TEST: 17, SWAPPED: min(220, 55 * len(evaluation.parts)), MIXED: 12}
    assert list(codes["planes"]) == ["PCA", "t-SNE"]
    for plane in codes["planes"].values():
        assert list(plane["areas"]) == [TRAIN, TEST, SWAPPED, MIXED]
        assert min(plane["areas"].values()) > 0
        for name in (SWAPPED, MIXED):
            for real in (TRAIN, TEST):
                assert 0 <= plane["holds"][name][real] <= 1
                if plane["encloses"][name][real]:
                    assert plane["areas"][name] > plane["areas"][real]


def test_possible_faces(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    found, swaps = evaluated[0]["possible"], min(220, 55 * len(evaluation.parts))
    assert {name: one["faces"] for name, one in found.items()} == {
        POPULATION: swaps, SWAPPED: swaps, MIXED: 12, UNFITTED: 12, BLENDED: 12,
    }  # fmt: skip
    recipe = recombinations(17, len(evaluation.parts), 12, 2)
    assert found[MIXED]["kept"] == pytest.approx(compose(evaluation, "full", recipe).kept.mean(), rel=1e-4)
    assert [found[name]["kept"] for name in (POPULATION, UNFITTED, BLENDED)] == [1, 1, 1]
    assert found[POPULATION]["share"] >= 0.98
    for one in found.values():
        rejected = round((1 - one["share"]) * one["faces"])
        assert len(one["rejected"]) == min(rejected, 20)
        assert max(one["why"].values(), default=0) <= rejected <= sum(one["why"].values())
        for name, share in one["criteria"].items():
            assert one["why"].get(name, 0) == round((1 - share) * one["faces"])
    # One of the rejected, judged again.
    made = compose(evaluation, "full", single_swaps(17, len(evaluation.parts), 2))
    judge = judge_for(evaluation.path, evaluation.model, [], pytest.fail)
    for row, reasons in list(found[SWAPPED]["rejected"].items())[:1]:
        assert list(judge.judge(made.vertices(np.array([int(row)]))).reasons[0]) == reasons


def test_curvature_of_known_surfaces() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=40.0)
    curvature = MeanCurvature(np.asarray(ball.faces, np.int64), len(ball.vertices))
    # The twelve vertices of five triangles have the wrong area.
    off = np.abs(40 * curvature(ball.vertices) - 1)
    assert off.max() < 0.2
    assert (off > 0.05).sum() == 12
    assert np.median(off) < 1e-3
    inside_out = MeanCurvature(np.asarray(ball.faces[:, ::-1], np.int64), len(ball.vertices))
    np.testing.assert_allclose(inside_out(ball.vertices), -curvature(ball.vertices), rtol=1e-9)
    np.testing.assert_allclose(curvature(2 * ball.vertices), curvature(ball.vertices) / 2, rtol=1e-9)
    tube = trimesh.creation.cylinder(radius=10.0, height=60.0, sections=64).subdivide().subdivide()
    found = MeanCurvature(np.asarray(tube.faces, np.int64), len(tube.vertices))(tube.vertices)
    ends = np.abs(tube.vertices[:, 2]) > 29.9
    flat = ends & (np.linalg.norm(tube.vertices[:, :2], axis=1) < 6)
    np.testing.assert_allclose(found[flat], 0, atol=1e-9)


def test_seams(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    sets = evaluated[0]["seams"]["sets"]
    assert list(sets) == [TEST, SWAPPED, MIXED, BLENDED, CUT]
    for one in sets.values():
        shares = list(one["within"].values())
        assert shares == sorted(shares)
        assert one["p95"] >= one["median"] >= 0
    # Hard borders are found, and found between the parts.
    assert sets[CUT]["outside"] > 3 * sets[CUT]["elsewhere"]
    # They are found in every face: worse than a soft blend of the same parts, and far worse than what is composed.
    recipe = recombinations(17, len(evaluation.parts), 12, 2)
    mixed = compose(evaluation, "full", recipe)
    excess = seams(evaluation, mixed, mixed, blended(evaluation, recipe))
    for name in (MIXED, BLENDED, CUT):
        assert sets[name]["median"] == pytest.approx(np.median(excess.largest(name)), rel=1e-3)
    assert (excess.largest(CUT) > excess.largest(BLENDED)).all()
    assert (excess.largest(CUT) > 3 * excess.largest(MIXED)).all()
    assert (excess.largest(BLENDED) > 0).all()


def test_faces_that_the_range_is_taken_from_are_in_it(evaluation: Evaluation) -> None:
    train, some = evaluation.train, np.arange(len(evaluation.train)) < 17
    known = replace(evaluation, test=Faces(train.people.rows(some), train.displacements[some], train.skin), _kept={})
    recipe = recombinations(17, len(evaluation.parts), 2, 0)
    alone = replace(recipe, source=np.repeat(recipe.base[:, None], len(evaluation.parts), axis=1))
    person = compose(known, "full", alone)
    excess = seams(known, person, person, person)
    for name in (TEST, SWAPPED, MIXED, CUT):
        assert excess.sets[name].max() == 0, name
    assert excess.band.any()
    assert not (excess.band & ~visible(train.skin)).any()


# --- the whole ---


def test_an_evaluation_is_the_same_again(evaluated: tuple[dict[str, Any], Path], folder: Path) -> None:
    result, _ = evaluated
    evaluation, told = Evaluation.of(folder), list[str]()
    again = report.evaluate(evaluation, judge_for(folder, evaluation.model, [], pytest.fail), 12, told.append)
    assert yaml.safe_load(yaml.safe_dump(again.result)).keys() == result.keys()
    for key in result:
        if key not in ("possible", "locality"):
            assert again.result[key] == result[key], key
    assert again.result["possible"].keys() == result["possible"].keys()
    assert told[0] == "reconstruction of test faces"
    lines = report.text(result).splitlines()
    assert lines[0].startswith("tiny: people of the model 'default', 2,302 vertices of skin; 40 to learn from, 17 to")
    for name in (*CONFIG["networks"], "PCA-4", "PCA-16", MEAN_FACE):
        assert sum(line.startswith(f"{name} ") for line in lines) >= 1, name
    for name in (SWAPPED, MIXED, POPULATION, UNFITTED, BLENDED, CUT, locality.FITTED):
        assert any(line.startswith(f"{name} ") for line in lines), name
    assert any(line.startswith("no-weights: has no places of its own; its codes ") for line in lines)


def test_figures_are_pictures(evaluated: tuple[dict[str, Any], Path], evaluation: Evaluation) -> None:
    _, figures = evaluated
    names = ("learning-curves", "parts", "locality", "errors", "pca-tsne", "seams")
    sheets = ("synthesis", *(f"interpolation-{name}" for name in WEIGHTED))
    found = {path.name for path in figures.iterdir()}
    assert found == {*(f"{name}.png" for name in names), *(f"{name}.jpg" for name in sheets)}
    for path in figures.iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == ("PNG" if path.suffix == ".png" else "JPEG")
            assert min(picture.size) >= 300
            assert np.asarray(picture.convert("L"))[::3, ::3].std() > 5
    with Image.open(figures / "interpolation-full.jpg") as steps:
        # Part, eight steps, and what has moved.
        assert steps.width // 64 == 10
        assert steps.height // 86 == 1 + len(evaluation.parts)
    with Image.open(figures / "synthesis.jpg") as many:
        assert many.width // 40 >= 20


# --- colours ---


def test_colours_run_from_blue_to_red() -> None:
    colours = heat(np.array([-1, 0, 0.5, 1, 7.0])).astype(int)
    assert (colours[0] == colours[1]).all()
    assert (colours[3] == colours[4]).all()
    assert colours[1].argmax() == 2
    assert colours[3].argmax() == 0
    assert colours[2].min() > 150
    assert len({tuple(colour) for colour in palette(12).tolist()}) == 12
    np.testing.assert_allclose(linear(np.array([0, 0.04045, 1.0])), [0, 0.04045 / 12.92, 1], rtol=1e-6)


def test_only_skin_is_painted(studio: Studio, head: MorphableModel) -> None:
    skin = studio.faces.skin
    colours = heated(skin, len(head.mean), np.zeros(len(skin.mean)), 1.0)
    others = np.ones(len(head.mean), np.bool_)
    others[skin.vertices] = False
    assert (colours[others] == colours[others][0]).all()
    assert not (colours[skin.vertices] == colours[others][0]).all(axis=1).any()


# --- compose-sheet ---


@pytest.fixture
def coarse(head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model under a name of its own."""
    monkeypatch.setattr("facegen.model_report.named_model", lambda name: head)


@pytest.mark.usefixtures("coarse")
def test_a_sheet_of_people(autoencoder: Path, studio: Studio, tmp_path: Path) -> None:
    def drawn(*arguments: str) -> NDArray[np.uint8]:
        out = tmp_path / "new" / "sheet.png"
        outcome = facegen(
            "compose-sheet", "small", "--weights", autoencoder, "--rows", "2", "--size", "64", "--out", out, *arguments
        )
        assert (outcome.code, outcome.out, outcome.err) == (0, "", f"wrote {out}\n")
        return np.asarray(Image.open(out))

    sheet = drawn("--seed", "1")
    step = 64 + 4
    assert sheet.shape == (2 * (step + 18) + 4, (len(studio.parts.names) + 3) * step + 4, 3)
    np.testing.assert_array_equal(drawn("--seed", "1"), sheet)
    assert (drawn("--seed", "2") != sheet).any()
    # Each part changes something, and all of them the most.
    cells = [sheet[4:68, 4 + step * k : 68 + step * k].astype(int) for k in range(len(studio.parts.names) + 3)]
    source, swapped = cells[0], cells[2:]
    changed = [int(np.abs(cell - source).sum()) for cell in swapped]
    assert min(changed) > 0
    assert max(changed) == changed[-1]
    hot = drawn("--seed", "1", "--heat")
    assert hot.shape[0] == 4 * (step + 18) + 4 + 46
    np.testing.assert_array_equal(hot[4:68], sheet[4:68])


@pytest.mark.usefixtures("coarse")
def test_sheets_of_other_weights_are_refused(studio: Studio, tmp_path: Path) -> None:
    def refused(*arguments: str | Path) -> str:
        outcome = facegen("compose-sheet", "small", "--out", tmp_path / "sheet.png", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        return only_line(outcome.err)

    plain = write_autoencoder(tmp_path, studio, "plain", method="coma")
    assert "weights of the method 'coma', whose codes have no parts to swap" in refused("--weights", plain)
    other = write_autoencoder(tmp_path, studio, "other", model_sha256="0" * 64)
    assert "trained for the model" in refused("--weights", other)
    assert "there is no such file" in refused("--weights", tmp_path / "none.safetensors")
    assert not (tmp_path / "sheet.png").exists()


def test_an_unknown_model() -> None:
    outcome = facegen("compose-sheet", "defalt")
    assert (outcome.code, only_line(outcome.err)) == (2, "facegen: unknown model 'defalt'; did you mean 'default'?")


def test_people_of_a_model_without_a_population(head: MorphableModel, autoencoder: Path, tmp_path: Path) -> None:
    alone = replace(head, population=None)
    for seed, kind in ((0, "png"), (0, "jpg"), (1, "png")):
        write_people_sheet(alone, autoencoder, tmp_path / f"{seed}.{kind}", seed=seed, rows=1, cell=64, heat=False)
    first, lossy, other = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("0.png", "0.jpg", "1.png"))
    assert (first != other).any()
    assert np.abs(first - lossy).mean() < 5
    with Image.open(tmp_path / "0.jpg") as picture:
        assert picture.format == "JPEG"
