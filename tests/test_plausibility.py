"""The test of possible faces: what it has to accept and to reject, on the embedded model and on ICT-FaceKit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from facegen.errors import CaptureError, ModelError
from facegen.evaluation.plausibility.clean import Kind, clean_coefficients, clean_faces, half
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.plausibility.learn import learn, main
from facegen.evaluation.plausibility.shipped import has_shipped, plausibility_for, with_bust
from facegen.evaluation.plausibility.thresholds import Margins
from facegen.evaluation.plausibility.verdicts import Verdicts
from facegen.morphable.bust import with_bust as add_bust
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.constraints import respect_limits
from facegen.morphable.livelink import Recording, read_livelink
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.tests.data_paths import shared_path
from facegen.tests.default_model import default_model, face

Float = NDArray[np.float32]

TAKES = ("range-of-motion-a", "range-of-motion-b", "take-facial", "take-with-lost-frames")
KINDS: tuple[Kind, ...] = ("people", "expressions", "both")
SEED = 20
"""Another than that of the clean faces which were learnt from."""


def takes(which: int) -> list[Recording]:
    """A half of the recordings: thresholds are learnt from 0."""
    return [half(read_livelink(path), which) for path in take_paths()]


def take_paths() -> list[Path]:
    return [shared_path(f"captures/arkit/{name}.csv") for name in TAKES]


def uniform_faces(model: MorphableModel, identity: float, expression: float, count: int, seed: int = SEED) -> Float:
    """Faces of coefficients that are uniform on ± ``identity`` σ and on [0, ``expression``]."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    people = rng.uniform(-identity, identity, (count, len(model.identity_names))).astype(np.float32)
    weights = rng.uniform(0, expression, (count, len(model.expression_names))).astype(np.float32)
    return model.decode(people, respect_limits(model, weights))


def judged(plausibility: Plausibility, model: MorphableModel, kind: Kind, count: int) -> list[Verdicts]:
    """Held-out clean faces."""
    return [plausibility.judge(batch) for batch in clean_faces(model, takes(1), count, SEED, kind)]


def share(verdicts: list[Verdicts]) -> float:
    return float(np.concatenate([some.accepted for some in verdicts]).mean())


def why(verdicts: list[Verdicts]) -> list[tuple[str, ...]]:
    return [reasons for some in verdicts for reasons in some.reasons if reasons]


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return default_model()


@pytest.fixture(scope="module")
def plausibility(model: MorphableModel) -> Plausibility:
    return plausibility_for(model)


@pytest.fixture(scope="module")
def people(model: MorphableModel) -> Float:
    """Eight faces, of which some are possible and some are not."""
    return np.concatenate([uniform_faces(model, 2, 0.2, 4), uniform_faces(model, 4, 0, 4)])


@pytest.fixture(scope="module")
def ict_model() -> MorphableModel:
    return load_model(IctModelConfig(path=shared_path("models/ict-facekit/ict_facekit.npz")))


@pytest.fixture(scope="module")
def ict_plausibility(ict_model: MorphableModel) -> Plausibility:
    return learn(ict_model, take_paths(), faces=1600)


# --- gates --------------------------------------------------------------------------------------------------------

RAW = [(10.0, 0.0), (0.0, 1.0), (10.0, 1.0)]
"""Identity ± σ, and weights from 0."""


@pytest.mark.parametrize("kind", KINDS)
def test_clean_faces_are_accepted(model: MorphableModel, plausibility: Plausibility, kind: Kind) -> None:
    verdicts = judged(plausibility, model, kind, 300)
    assert share(verdicts) >= 0.995, why(verdicts)


@pytest.mark.parametrize(("identity", "expression"), RAW)
def test_raw_uniform_faces_are_rejected(
    model: MorphableModel, plausibility: Plausibility, identity: float, expression: float
) -> None:
    assert plausibility.judge(uniform_faces(model, identity, expression, 100)).accepted.mean() <= 0.05


def test_clean_faces_of_ict_are_accepted(ict_model: MorphableModel, ict_plausibility: Plausibility) -> None:
    verdicts = [some for kind in KINDS for some in judged(ict_plausibility, ict_model, kind, 144)]
    assert share(verdicts) >= 0.995, why(verdicts)


@pytest.mark.parametrize(("identity", "expression"), RAW)
def test_raw_uniform_faces_of_ict_are_rejected(
    ict_model: MorphableModel, ict_plausibility: Plausibility, identity: float, expression: float
) -> None:
    assert ict_plausibility.judge(uniform_faces(ict_model, identity, expression, 60)).accepted.mean() <= 0.05


def test_wider_laws_are_accepted_less(model: MorphableModel, plausibility: Plausibility) -> None:
    """The population is not the limit: all of ±2 σ are possible, of ±3 σ some, of ±4 σ few."""
    accepted = [plausibility.judge(uniform_faces(model, width, 0, 100)).accepted.mean() for width in (2, 3, 4)]
    assert accepted[0] >= 0.97
    assert 0.25 <= accepted[1] <= 0.75
    assert accepted[2] <= 0.15


# --- single faces -------------------------------------------------------------------------------------------------


def test_the_mean_is_possible(model: MorphableModel, plausibility: Plausibility) -> None:
    assert plausibility.judge(model.mean[None]).reasons == ((),)


def test_a_blink_and_a_smile_are_possible(model: MorphableModel, plausibility: Plausibility) -> None:
    """A hard blink lays one lid 2 mm over the other."""
    faces = [face(model, eyeBlink=1.0), face(model, mouthSmile=0.8, cheekSquint=0.5), face(model, jawOpen=0.8)]
    assert plausibility.judge(np.stack(faces)).reasons == ((), (), ())


def test_a_pulled_vertex_is_seen(model: MorphableModel, plausibility: Plausibility) -> None:
    cheek = np.linalg.norm(model.mean - (45, -40, 70), axis=1).argmin()
    tip = model.topology.landmarks[30]
    pulled = np.stack([model.mean, model.mean])
    pulled[0, cheek, 2] += 20
    pulled[1, tip, 0] += 20
    verdicts = plausibility.judge(pulled)
    assert not (verdicts.fold & verdicts.stretch).any()


def test_a_fold_is_told(model: MorphableModel, plausibility: Plausibility) -> None:
    """A patch of the cheek is turned over within its border."""
    cheek = np.linalg.norm(model.mean - (45, -40, 70), axis=1).argmin()
    near = np.linalg.norm(model.mean - model.mean[cheek], axis=1) < 9
    folded = model.mean[None].copy()
    folded[0, near, :2] = 2 * model.mean[cheek, :2] - folded[0, near, :2]
    verdicts = plausibility.judge(folded)
    assert not verdicts.fold[0]
    assert "folded" in verdicts.reasons[0][0]


def test_lips_that_pass_through_each_other_are_seen(model: MorphableModel, plausibility: Plausibility) -> None:
    """The lower lip goes up as it is, smoothly, by 6 mm."""
    height, depth = model.mean[:, 1], model.mean[:, 2]
    seam = float(model.mean[model.topology.landmarks[[62, 66]], 1].mean())
    lower = (height < seam) & (height > seam - 14) & (np.abs(model.mean[:, 0]) < 12) & (depth > 85)
    skin = model.vertex_masks["lips"] | model.vertex_masks["face"]
    pushed = model.mean[None].copy()
    pushed[0, lower & skin, 1] += 6
    verdicts = plausibility.judge(pushed)
    assert verdicts.intersection is not None
    assert not verdicts.intersection[0]
    assert "lips" in " ".join(verdicts.reasons[0])


def test_the_tongue_does_not_come_through_the_chin(model: MorphableModel, plausibility: Plausibility) -> None:
    """It comes out of an open mouth."""
    out = face(model, tongueOut=1.0)
    verdicts = plausibility.judge(np.stack([out, face(model, tongueOut=1.0, jawOpen=0.7)]))
    assert verdicts.intersection is not None
    assert "tongue" in " ".join(verdicts.reasons[0])
    assert verdicts.intersection[1]


def test_a_crooked_face_is_told(model: MorphableModel, plausibility: Plausibility) -> None:
    """Everything below the nose goes aside, more than a jaw does."""
    crooked = model.mean[None].copy()
    crooked[0, :, 0] += 0.6 * np.maximum(model.mean[model.topology.landmarks[33], 1] - model.mean[:, 1], 0)
    verdicts = plausibility.judge(crooked)
    assert not verdicts.asymmetry[0]


def test_a_face_inside_out_is_no_face(model: MorphableModel, plausibility: Plausibility) -> None:
    verdicts = plausibility.judge(model.mean[None] * np.float32([-1, 1, 1]))
    assert not verdicts.fold[0]
    assert "inside out" in verdicts.reasons[0][0]


def test_a_mirror_image_is_as_possible_as_the_face(model: MorphableModel, plausibility: Plausibility) -> None:
    """The mean is symmetric vertex by vertex, so a face can be mirrored with its mesh."""
    mirror = cKDTree(model.mean).query(model.mean * (-1, 1, 1))[1]
    faces = np.concatenate(list(clean_faces(model, takes(1), 40, SEED, "both")))
    assert plausibility.judge(faces[:, mirror] * np.float32([-1, 1, 1])).accepted.mean() >= 0.97


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_are_no_numbers_is_no_face(model: MorphableModel, plausibility: Plausibility) -> None:
    faces = np.stack([model.mean] * 5)
    faces[0, 3, 1] = np.nan
    faces[1, 3, 1] = np.inf
    faces[2] = 7
    faces[3, 5] = 1e30
    verdicts = plausibility.judge(faces)
    assert verdicts.finite.tolist() == [False] * 4 + [True]
    assert verdicts.accepted.tolist() == [False] * 4 + [True]
    assert all(not passed[:4].any() for passed in verdicts.criteria.values())
    assert verdicts.reasons[0] == ("finite: has vertices that are no numbers, or no size",)


# --- what does not change a verdict -------------------------------------------------------------------------------


def assert_equal(one: Verdicts, other: Verdicts) -> None:
    for name, passed in one.criteria.items():
        assert np.array_equal(passed, other.criteria[name]), name


@pytest.mark.parametrize("scale", [1.0, 0.1, 40.0])
def test_a_similarity_changes_no_verdict(plausibility: Plausibility, people: Float, scale: float) -> None:
    rotations = Rotation.random(len(people), rng=np.random.default_rng(3)).as_matrix()
    shift = np.random.default_rng(4).normal(0, 100, (len(people), 1, 3))
    moved = scale * (np.einsum("bij,bvj->bvi", rotations, people.astype(np.float64)) + shift)
    assert_equal(plausibility.judge(people), plausibility.judge(moved.astype(np.float32)))


def test_a_face_does_not_depend_on_its_batch(plausibility: Plausibility, people: Float) -> None:
    whole = plausibility.judge(people)
    single = [plausibility.judge(people[i : i + 1]) for i in range(len(people))]
    assert whole.reasons == tuple(verdict.reasons[0] for verdict in single)
    assert whole.reasons == plausibility.judge(people).reasons
    backwards = plausibility.judge(np.ascontiguousarray(people[::-1]))
    assert whole.reasons == backwards.reasons[::-1]


def test_accepted_faces_have_no_reasons(plausibility: Plausibility, people: Float) -> None:
    for intersections in (True, False):
        verdicts = plausibility.judge(people, intersections=intersections)
        assert (verdicts.intersection is None) is not intersections
        assert [not reasons for reasons in verdicts.reasons] == verdicts.accepted.tolist()
        for name, passed in verdicts.criteria.items():
            told = [any(words.startswith(f"{name}: ") for words in reasons) for reasons in verdicts.reasons]
            assert told == (~passed).tolist(), name


def test_no_face_has_no_verdict(plausibility: Plausibility, model: MorphableModel) -> None:
    assert plausibility.judge(model.mean[None][:0]).accepted.shape == (0,)


# --- variants of the embedded model -------------------------------------------------------------------------------


def test_shoulders_do_not_count(model: MorphableModel, plausibility: Plausibility, people: Float) -> None:
    busty = load_model(DefaultModelConfig())
    assert busty.sha256 == with_bust(model.sha256)
    extra = busty.topology.vertex_count - model.topology.vertex_count
    shoulders = np.random.default_rng(0).normal(0, 100, (len(people), extra, 3)).astype(np.float32)
    whole = plausibility_for(busty).judge(np.concatenate([people, shoulders], axis=1))
    assert whole.reasons == plausibility.judge(people).reasons


@pytest.mark.parametrize("resolution", ["coarse", "default", "dense"])
@pytest.mark.parametrize("expressions", ["arkit", "pca"])
def test_every_variant_is_judged(resolution: str, expressions: str) -> None:
    """People of the population, with the mean expression of the variant."""
    config = DefaultModelConfig.model_validate({"resolution": resolution, "expressions": expressions, "bust": False})
    variant = load_model(config)
    judge = plausibility_for(variant)
    faces = np.concatenate(list(clean_faces(variant, (), 24, SEED, "people")))
    assert judge.judge(faces).accepted.mean() >= 0.95
    assert plausibility_for(add_bust(variant)).vertex_count == add_bust(variant).topology.vertex_count
    assert not judge.judge(uniform_faces(variant, 10, 0, 16)).accepted.any()


def test_another_model_has_no_shipped_thresholds(model: MorphableModel) -> None:
    assert has_shipped(model)
    assert not has_shipped(replace(model, name="other", sha256="0123"))
    with pytest.raises(ModelError, match=r"no thresholds .* model 'other' 0123.*learn them"):
        plausibility_for(replace(model, name="other", sha256="0123"))


# --- files --------------------------------------------------------------------------------------------------------


def test_saved_thresholds_judge_alike(
    tmp_path: Path, model: MorphableModel, plausibility: Plausibility, people: Float
) -> None:
    plausibility.save(tmp_path / "a.npz")
    loaded = Plausibility.load(tmp_path / "a.npz", model)
    assert loaded.judge(people).reasons == plausibility.judge(people).reasons
    assert loaded.thresholds.provenance == plausibility.thresholds.provenance
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_shipped_file_says_where_it_comes_from(model: MorphableModel, plausibility: Plausibility) -> None:
    provenance = plausibility.thresholds.provenance
    assert (provenance.model, provenance.sha256) == ("default", model.sha256)
    assert len(provenance.recordings) == 4
    assert "plausibility.learn" in provenance.command
    assert plausibility.thresholds.margins == Margins()


def test_thresholds_of_another_model_are_refused(
    tmp_path: Path, model: MorphableModel, plausibility: Plausibility
) -> None:
    path = tmp_path / "default.npz"
    plausibility.save(path)
    for other in (replace(model, sha256="f" * 64), replace(model, name="other")):
        with pytest.raises(ModelError, match=rf"thresholds of the model 'default' {model.sha256[:12]}; expected"):
            Plausibility.load(path, other)
    coarse = load_model(DefaultModelConfig(resolution="coarse", bust=False))
    with pytest.raises(ModelError, match="the model 'default' has"):
        Plausibility.load(path, replace(coarse, sha256=model.sha256))


def test_damaged_files_are_refused(tmp_path: Path, model: MorphableModel, plausibility: Plausibility) -> None:
    path = tmp_path / "default.npz"
    plausibility.save(path)
    data = path.read_bytes()
    for damaged in (b"", data[: len(data) // 2], data[:2000] + b"\xff" * 50 + data[2050:], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"default\.npz: .*damaged"):
            Plausibility.load(path, model)
    with pytest.raises(ModelError, match="cannot be read"):
        Plausibility.load(tmp_path / "absent.npz", model)


def test_other_shapes_are_refused(plausibility: Plausibility, model: MorphableModel) -> None:
    for wrong in (model.mean, model.mean[None, :-1]):
        with pytest.raises(ValueError, match="expected"):
            plausibility.judge(wrong)


# --- learning -----------------------------------------------------------------------------------------------------


def test_clean_faces_depend_on_seed_and_number_alone(model: MorphableModel) -> None:
    recordings = takes(1)
    identity, expression = clean_coefficients(model, recordings, 10, SEED)
    fewer = clean_coefficients(model, recordings, 4, SEED)
    assert np.array_equal(fewer[0], identity[:4])
    assert np.array_equal(fewer[1], expression[:4])
    assert not expression[::2].any()
    assert expression[1::2].any(axis=1).all()
    assert not np.array_equal(clean_coefficients(model, recordings, 10, SEED + 1)[0], identity)


def test_halves_share_no_frame() -> None:
    recording = read_livelink(take_paths()[0])
    codes = [set(half(recording, which).timecodes) for which in (0, 1)]
    assert not codes[0] & codes[1]
    assert len(codes[0] | codes[1]) == len(set(recording.timecodes))


def test_expressions_need_recordings(model: MorphableModel) -> None:
    with pytest.raises(CaptureError, match="at least one recording"):
        next(clean_faces(model, (), 4, SEED))


def test_learning_again_gives_the_same_bytes(tmp_path: Path, head: MorphableModel) -> None:
    for name in ("a", "b"):
        learn(head, take_paths(), faces=32).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_learnt_from_nothing(head: MorphableModel, plausibility: Plausibility) -> None:
    provenance = plausibility.thresholds.provenance
    with pytest.raises(ValueError, match="no clean faces"):
        Plausibility.learn(head, [], provenance)
    with pytest.raises(ValueError, match="no numbers"):
        Plausibility.learn(head, [np.full((2, *head.mean.shape), np.nan, np.float32)], provenance)


def test_the_command_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "coarse.npz"
    options = ["coarse", "--faces", "16", "--out", str(out), "--recordings"]
    assert main([*options, str(take_paths()[0])]) == 0
    assert out.is_file()
    assert "16 clean faces" in capsys.readouterr().err
    assert main([*options, "absent.csv"]) == 2
    assert capsys.readouterr().err.startswith("error: absent.csv: cannot be read")
