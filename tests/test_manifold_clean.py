"""Clean faces: what recordings and populations hold; and what training may be told."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from facegen.errors import CaptureError, ConfigurationError, FacegenError, ModelError
from facegen.manifold.clean import clean_sets, recorded
from facegen.manifold.config import FittedFaces, PopulationFaces, PosteriorConfig, RecordedFaces, TrainConfig
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.livelink import read_livelink
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.morphable.people import draw_people
from facegen.morphable.sides import mirrored_expressions
from facegen.settings import validate
from facegen.tests.clean_faces import refusal
from facegen.tests.data_paths import shared_path

TAKE_A, TAKE_B, LOST = "range-of-motion-a", "range-of-motion-b", "take-with-lost-frames"


def take(name: str) -> Path:
    return shared_path(f"captures/arkit/{name}.csv")


# --- recordings ---


def test_recorded_faces_are_the_recordings(head: MorphableModel) -> None:
    paths = [take(TAKE_A), take(LOST)]
    faces, takes = recorded(paths, head), [read_livelink(path) for path in paths]
    weights = np.concatenate([one.weights for one in takes])[:, arkit_index(head.expression_names)]
    assert (faces.group, faces.model, faces.model_sha256) == ("expression", head.name, head.source_sha256)
    assert faces.names == head.expression_names
    assert list(faces.bounds) == [0, 1]
    assert faces.values.dtype == np.float32
    assert (faces.deviation == 1).all()
    close, open_ = (head.expression_names.index(name) for name in ("mouthClose", "jawOpen"))
    others = np.arange(len(faces.names)) != close
    np.testing.assert_array_equal(faces.values[:, others], weights[:, others])
    assert (faces.values[:, close] <= faces.values[:, open_]).all()
    np.testing.assert_array_equal(faces.values[:, close], np.minimum(weights[:, close], weights[:, open_]))
    assert faces.units == tuple(path.name for path in paths)
    np.testing.assert_array_equal(faces.unit, np.repeat([0, 1], [len(one.weights) for one in takes]))
    assert faces.provenance["source"] == "recordings"
    assert faces.provenance["mirrored"] is False
    for file, path, one in zip(faces.provenance["files"], paths, takes, strict=True):
        assert file == {
            "name": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "frames": len(one.weights),
            "lost_frames": one.lost_frames,
            "clipped_values": one.clipped_values,
        }
    assert faces.provenance["files"][1]["lost_frames"] == 35


def test_mirrored_faces_are_both_halves_of_a_mirror(head: MorphableModel) -> None:
    plain, faces = recorded([take(LOST)], head), recorded([take(LOST)], head, mirrored=True)
    count, order = len(plain), mirrored_expressions(head.expression_names)
    assert len(faces) == 2 * count
    np.testing.assert_array_equal(faces.values[:count], plain.values)
    np.testing.assert_array_equal(faces.values[count:][:, order], plain.values)
    np.testing.assert_array_equal(faces.values[:, order][:, order], faces.values)
    left, right = (head.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    np.testing.assert_array_equal(faces.values[count:, left], plain.values[:, right])
    assert (faces.values[count:] != plain.values).any()
    # A take and its mirror image are one unit: neither may test the other.
    assert set(faces.unit) == {0}
    close, open_ = (head.expression_names.index(name) for name in ("mouthClose", "jawOpen"))
    assert (faces.values[:, close] <= faces.values[:, open_]).all()


def test_expressiveness_is_the_rank_of_the_distance_from_rest(head: MorphableModel) -> None:
    faces = recorded([take(TAKE_A)], head)
    assert faces.condition_names == ("expressiveness",)
    assert faces.conditions.shape == (len(faces), 1)
    assert faces.conditions.dtype == np.float32
    rank = faces.conditions[:, 0]
    assert -1 <= rank.min() < -0.99
    assert 0.99 < rank.max() <= 1
    np.testing.assert_allclose(np.diff(np.sort(rank)), 2 / len(faces), rtol=0.01)
    distance = np.linalg.norm(faces.values.astype(np.float64), axis=1)
    assert (np.diff(distance[rank.argsort()]) >= 0).all()


def test_recordings_drive_other_models(head: MorphableModel) -> None:
    # A model that tells the sides apart where ARKit does not.
    names = ("browInnerUp_L", "browInnerUp_R", "jawOpen", "mouthSmile_L")
    other = replace(head, expression_names=names, expression_limits=())
    faces = recorded([take(LOST)], other)
    weights = read_livelink(take(LOST)).weights
    for column, name in enumerate(("browInnerUp", "browInnerUp", "jawOpen", "mouthSmileLeft")):
        np.testing.assert_array_equal(faces.values[:, column], weights[:, ARKIT_NAMES.index(name)])
    components = load_model(DefaultModelConfig(resolution="coarse", bust=False, expressions="pca"))
    with pytest.raises(ModelError, match="has no ARKit weight"):
        recorded([take(LOST)], components)


# --- populations ---


def test_a_population_is_the_models_people(head: MorphableModel) -> None:
    faces = draw_people(head, 120, 7)
    assert (faces.group, faces.model, faces.model_sha256) == ("identity", head.name, head.source_sha256)
    assert faces.names == head.identity_names
    assert faces.bounds == (-np.inf, np.inf)
    assert faces.unit.tolist() == list(range(120))
    assert len(set(faces.units)) == 120
    assert len(np.unique(faces.values, axis=0)) == 120
    assert np.abs(faces.values.mean(axis=0)).mean() < 0.2
    assert 0.8 < faces.values.std(axis=0).mean() < 1.2
    assert faces.condition_names == ("sex", "age")
    assert faces.conditions.dtype == np.float32
    assert np.abs(faces.conditions).max() <= 1
    # People of both sexes and all ages.
    for condition in faces.conditions.T:
        assert condition.min() < -0.5
        assert condition.max() > 0.5


def test_a_population_is_decided_by_its_seed_and_begins_the_same(head: MorphableModel) -> None:
    faces = draw_people(head, 30, 7)
    assert draw_people(head, 30, 7).sha256 == faces.sha256
    longer = draw_people(head, 50, 7)
    np.testing.assert_array_equal(longer.values[:30], faces.values)
    np.testing.assert_array_equal(longer.conditions[:30], faces.conditions)
    assert not (draw_people(head, 30, 8).values == faces.values).all(axis=1).any()


def test_a_model_without_a_population_has_its_gaussian_law(head: MorphableModel) -> None:
    faces = draw_people(replace(head, population=None), 400, 7)
    assert faces.conditions.shape == (0, 0)
    assert faces.condition_names == ()
    assert "gauss" in faces.provenance["source"].lower()
    error = 5 / np.sqrt(faces.values.size)
    assert abs(faces.values.mean()) < error
    assert abs(faces.values.std() - 1) < error
    bare = replace(head, identity_names=(), identity_basis=head.identity_basis[:0])
    assert refusal(ModelError, draw_people, bare, 10, 0) == "the model 'default' has no identity coefficients"


# --- sets to learn from and to test on ---


def names_of(faces: CoefficientSet) -> set[str]:
    return {faces.units[unit] for unit in faces.unit}


def test_sets_of_a_population_share_no_person(head: MorphableModel) -> None:
    faces, test = clean_sets(PopulationFaces(train=150, test=100), "identity", head, 3)
    assert (len(faces), len(test)) == (150, 100)
    assert not names_of(faces) & names_of(test)
    assert len(np.unique(np.concatenate([faces.values, test.values]), axis=0)) == 250
    # More people to test on are no others to learn from.
    assert clean_sets(PopulationFaces(train=150, test=120), "identity", head, 3)[0].sha256 == faces.sha256


def test_sets_of_recordings_share_no_take(head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_TEST_TAKES", str(take(TAKE_A).parent))
    config = RecordedFaces(
        train=(Path(f"$FACEGEN_TEST_TAKES/{LOST}.csv"),),
        test=(Path(f"${{FACEGEN_TEST_TAKES}}/{TAKE_B}.csv"),),
        mirrored=True,
    )
    faces, test = clean_sets(config, "expression", head, 0)
    assert faces.sha256 == recorded([take(LOST)], head, mirrored=True).sha256
    assert test.sha256 == recorded([take(TAKE_B)], head).sha256
    assert not names_of(faces) & names_of(test)


def test_sets_of_fitted_faces_share_no_file(tmp_path: Path) -> None:
    savemat(tmp_path / "BFM.mat", {"shapeEV": np.full((20, 1), 1e5)})
    (tmp_path / "faces").mkdir()
    for number in range(12):
        savemat(tmp_path / "faces" / f"{number}.mat", {"Shape_Para": np.full((20, 1), 1e4 * number)})
    config = FittedFaces(folder=tmp_path / "faces", deviations=tmp_path / "BFM.mat", held_out=0.25)
    faces, test = clean_sets(config, "identity", None, 0)
    assert (len(faces), len(test)) == (9, 3)
    assert not names_of(faces) & names_of(test)
    for number in range(1, 12):
        (tmp_path / "faces" / f"{number}.mat").unlink()
    line = refusal(ConfigurationError, clean_sets, config, "identity", None, 0)
    assert line == "clean.held_out: all 1 rows come from 0.mat: there is nothing to hold out"


def test_takes_that_are_the_same_by_another_name(
    head: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGEN_TEST_TAKES", str(take(LOST).parent))
    shutil.copy(take(LOST), tmp_path / "copy.csv")
    for other in (Path(f"$FACEGEN_TEST_TAKES/{LOST}.csv"), tmp_path / "copy.csv"):
        config = RecordedFaces(train=(take(LOST),), test=(other,))
        line = refusal(ConfigurationError, clean_sets, config, "expression", head, 0)
        assert line == f"clean.test: '{other.name}' is the take '{LOST}.csv' of 'train'"


def test_files_that_are_not_there(head: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEGEN_TEST_TAKES", raising=False)
    variable = RecordedFaces(train=(Path("$FACEGEN_TEST_TAKES/a.csv"),), test=(Path("b.csv"),))
    line = refusal(ConfigurationError, clean_sets, variable, "expression", head, 0)
    assert (
        "clean.train is '$FACEGEN_TEST_TAKES/a.csv' and the environment variable FACEGEN_TEST_TAKES is not set" in line
    )
    absent = RecordedFaces(train=(tmp_path / "a.csv",), test=(tmp_path / "b.csv",))
    assert refusal(CaptureError, clean_sets, absent, "expression", head, 0).startswith(f"{tmp_path}/a.csv: ")
    fitted = FittedFaces(folder=Path("$FACEGEN_TEST_TAKES"), deviations=tmp_path)
    line = refusal(ConfigurationError, clean_sets, fitted, "identity", None, 0)
    assert line.startswith("clean.folder is '$FACEGEN_TEST_TAKES'")


# --- what training may be told ---

IDENTITY = "{group: identity, clean: {source: population}, denoisers: {a: {method: gated}}}"


def parsed(text: str) -> TrainConfig:
    return validate(TrainConfig, yaml.safe_load(text), source="my.yaml")


def test_what_is_not_said() -> None:
    config = parsed(IDENTITY)
    assert config.model == DefaultModelConfig()
    assert config.seed == 0
    assert config.half is False
    assert config.clean == PopulationFaces()
    # A model is the embedded one unless it has a name.
    assert parsed(IDENTITY[:-1] + ", model: {resolution: coarse}}").model == DefaultModelConfig(resolution="coarse")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "'group' is missing (and 2 more)"),
        (IDENTITY.replace("identity", "both"), "'group': input should be 'identity' or 'expression', found 'both'"),
        (IDENTITY.replace("population", "magic"), "'clean.source': 'magic' is none of"),
        (IDENTITY.replace("gated", "magic"), "'denoisers.a.method': 'magic' is none of"),
        (IDENTITY.replace("method: gated", "steps: 3"), "'denoisers.a.method' is missing: it says which kind this is"),
        (IDENTITY.replace("gated", "gated, step: 3"), "unknown key 'denoisers.a.step'; did you mean 'steps'?"),
        (IDENTITY.replace("gated", "convolutional, steps: 3"), "unknown key 'denoisers.a.steps'"),
        (IDENTITY.replace("gated", "gated, steps: 0"), "'denoisers.a.steps': input should be greater than or equal to"),
        (IDENTITY.replace("gated", "posterior, start: 0.2"), "'denoisers.a': 'end' is 0.4, not below 'start', 0.2"),
        (IDENTITY.replace("{a: ", "{A: "), "'denoisers': 'A' names a file; expected small letters, digits and dashes"),
        (IDENTITY.replace("{a: ", "{../a: "), "'denoisers': '../a' names a file; expected small letters"),
        (IDENTITY.replace("{a: {method: gated}}", "{}"), "'denoisers': dictionary should have at least 1 item"),
        (IDENTITY.replace("group: identity", "group: expression"), "'clean: {source: population}' has identities, no"),
        (
            IDENTITY.replace("source: population", "source: recordings, train: [a.csv], test: [b.csv]"),
            "'clean: {source: recordings}' has expressions, no identities",
        ),
        (
            IDENTITY.replace("source: population", "source: recordings, train: [a.csv, b.csv], test: [c.csv, ./b.csv]"),
            "'clean': 'b.csv' is both in 'train' and in 'test'",
        ),
        (
            IDENTITY.replace("source: population", "source: recordings, train: [], test: [b.csv]"),
            "'clean.train': ",
        ),
        (IDENTITY[:-1] + ", model: null}", "'model: null' goes with 'clean: {source: fitted}' alone"),
        (IDENTITY[:-1] + ", seed: -1}", "'seed': input should be greater than or equal to 0, found -1"),
        ("3", "expected a mapping of settings, found int"),
    ],
)  # fmt: skip
def test_configurations_that_are_refused(text: str, message: str) -> None:
    line = refusal(ConfigurationError, parsed, text)
    assert line.startswith(f"my.yaml: {message}"), line


words = st.text(alphabet="ab-./$A ", max_size=4)
plain = st.none() | st.booleans() | st.floats() | st.integers(-3, 3000) | words
path = st.sampled_from(["a.csv", "b.csv", "$X/a.csv", ""]) | plain
clean = st.fixed_dictionaries(
    {"source": st.sampled_from(["recordings", "population", "fitted", "", None])},
    optional={
        "train": plain | st.lists(path, max_size=3),
        "test": plain | st.lists(path, max_size=2),
        "mirrored": plain,
        "folder": path,
        "deviations": path,
        "held_out": plain,
    },
)
SETTINGS = (
    "batch", "learning_rate", "noise", "patience", "epochs", "corruptions", "steps", "hidden", "blocks", "average",
    "flatten", "conditioned", "start", "end", "heun_steps", "churn", "guidance", "raw_power",
)  # fmt: skip
denoiser = st.fixed_dictionaries(
    {"method": st.sampled_from(["convolutional", "gated", "posterior", 3])},
    optional=dict.fromkeys(SETTINGS, plain),
)  # fmt: skip
anything = st.fixed_dictionaries(
    {},
    optional={
        "name": plain,
        "seed": plain,
        "model": plain
        | st.dictionaries(
            st.sampled_from(["name", "path", "resolution", "bust"]), st.sampled_from(["ict", "default"]) | plain
        ),
        "group": st.sampled_from(["identity", "expression", "albedo", None]),
        "clean": clean | plain,
        "half": plain,
        "denoisers": plain | st.dictionaries(st.sampled_from(["a", "b-2"]) | words, denoiser | plain, max_size=2),
        "steps": plain,
    },
)
sensible = st.fixed_dictionaries(
    {"group": st.sampled_from(["identity", "expression"]), "clean": clean, "denoisers": st.dictionaries(
        st.sampled_from(["a", "b"]), denoiser, min_size=1)}
)  # fmt: skip


@settings(max_examples=150)
@given(values=anything | sensible | plain)
def test_anything_is_a_configuration_or_is_refused(values: Any) -> None:
    found, line = None, ""
    try:
        found = validate(TrainConfig, values, source="my.yaml")
    except ConfigurationError as error:
        line = str(error)
    if found is None:
        assert line.startswith("my.yaml: ")
        return
    config = found
    assert validate(TrainConfig, config.model_dump(mode="json"), source="again") == config
    for one in config.denoisers.values():
        assert one.batch >= 1
        if isinstance(one, PosteriorConfig):
            assert 0 < one.end < one.start
    if isinstance(config.clean, RecordedFaces):
        assert not set(config.clean.train) & set(config.clean.test)
        assert config.group == "expression"
    with contextlib.suppress(FacegenError):
        # Files that are not there are refused as well.
        if not isinstance(config.clean, PopulationFaces) and config.model is not None:
            clean_sets(config.clean, config.group, load_model(DefaultModelConfig(resolution="coarse")), 0)
