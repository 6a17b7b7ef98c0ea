"""The embedded model: the contract of a face model at every resolution, and what is its own."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from facegen.errors import ModelError
from facegen.evaluation.plausibility.folds import FoldCounter
from facegen.evaluation.plausibility.surface import triangles_of
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.default import embedded
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.tests.default_model import SKIN, default_model, face, people, weights
from facegen.tests.morphable_contract import MorphableModelContract, drawn, zeros


def of(**fields: Any) -> MorphableModel:
    return load_model(DefaultModelConfig.model_validate({"bust": False, **fields}))


class TestDefault(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return default_model()


class TestWithBust(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return of(bust=True)


class TestCoarse(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return of(resolution="coarse")


class TestDense(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return of(resolution="dense")


class TestComponents(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return of(resolution="coarse", expressions="pca")


# --- what it has --------------------------------------------------------------------------------------------------


def test_it_has_the_promised_dimensions() -> None:
    model = default_model()
    assert len(model.identity_names) >= 60
    assert model.expression_names == ARKIT_NAMES
    assert np.array_equal(arkit_index(model.expression_names), np.arange(52))
    assert len(model.albedo_names) >= 20
    assert model.expression_bounds == (0.0, 1.0)
    assert model.expression_limits == (("mouthClose", "jawOpen"),)
    assert [switch.name for switch in model.expression_switches] == ["tongueOut"]
    assert len(model.eyes) == 2
    assert model.population is not None
    assert model.relief is not None
    assert isinstance(model.albedo, TextureAlbedo)


def test_levels_have_the_promised_sizes() -> None:
    counts = [of(resolution=name).topology.vertex_count for name in ("coarse", "default", "dense")]
    assert 2_500 < counts[0] < 3_500
    assert 10_000 < counts[1] < 12_500
    assert 40_000 < counts[2] < 50_000


def test_it_is_small() -> None:
    """Both files of the package, in bytes."""
    folder = files("facegen.morphable.default")
    assert sum(len(folder.joinpath(name).read_bytes()) for name in ("model.npz", "mesh.npz")) <= 15e6


def test_components_are_few_and_about_a_mean_expression() -> None:
    model = of(expressions="pca")
    assert len(model.expression_names) == 29
    assert model.expression_bounds == (-np.inf, np.inf)
    assert model.expression_limits == ()
    assert model.expression_switches == ()
    assert not np.array_equal(model.mean, default_model().mean)
    assert np.array_equal(model.identity_basis, default_model().identity_basis)


def test_every_variant_has_its_own_digest() -> None:
    variants = [of(resolution=r, expressions=e, bust=b) for r in ("coarse", "default", "dense")
                for e in ("arkit", "pca") for b in (False, True)]  # fmt: skip
    assert len({model.sha256 for model in variants}) == len(variants)


# --- resolutions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coarser", "finer"), [("coarse", "default"), ("default", "dense")])
def test_a_level_splits_every_triangle_of_the_one_before_in_four(coarser: str, finer: str) -> None:
    few, many = of(resolution=coarser), of(resolution=finer)
    count = few.topology.vertex_count
    fours = many.topology.triangles.reshape(-1, 4, 3)
    assert len(fours) == len(few.topology.triangles)
    # The first three have a corner of the old triangle each, the last none: it joins the middles of the sides.
    for corner in range(3):
        assert np.array_equal(fours[:, corner, corner], few.topology.triangles[:, corner])
    assert (fours[:, 3] >= count).all()
    middles = {}
    ends = np.sort(np.stack([few.topology.triangles, np.roll(few.topology.triangles, -1, axis=1)], axis=2), axis=2)
    for (a, b), middle in zip(ends.reshape(-1, 2).tolist(), fours[:, [0, 1, 2], [1, 2, 0]].reshape(-1), strict=True):
        assert middles.setdefault((a, b), middle) == middle
    assert sorted(middles.values()) == list(range(count, many.topology.vertex_count))
    assert np.array_equal(many.topology.landmarks, few.topology.landmarks)


@pytest.mark.parametrize("resolution", ["coarse", "dense"])
def test_levels_share_their_vertices(resolution: str) -> None:
    """To the last bits, in which matrix products of different shapes may differ."""
    model, other = default_model(), of(resolution=resolution)
    count = min(model.topology.vertex_count, other.topology.vertex_count)
    assert np.array_equal(model.mean[:count], other.mean[:count])
    assert np.array_equal(model.identity_basis[:, :count], other.identity_basis[:, :count])
    assert np.array_equal(model.expression_basis[:, :count], other.expression_basis[:, :count])
    coefficients = drawn(model, 4)
    gaze = np.random.default_rng(1).normal(0, 0.2, (4, 2, 2)).astype(np.float32)
    ours, theirs = model.decode(*coefficients, gaze)[:, :count], other.decode(*coefficients, gaze)[:, :count]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


def test_the_dense_skin_is_as_smooth_as_the_default_one() -> None:
    """No fold on its mean, and hardly any on people who have none in the default one."""
    model, dense = default_model(), of(resolution="dense")
    coarser, finer = (FoldCounter(triangles_of(m, *SKIN), m.mean) for m in (model, dense))
    assert not finer.sharp_at_rest.any()
    folds = [(coarser(face(model, person)), finer(face(dense, person))) for person in people(model, 50, seed=7)]
    assert sum(fine > 8 for some, fine in folds if not some) <= 1, folds


# --- eyes ---------------------------------------------------------------------------------------------------------

LOOKS = [
    ("eyeLookOutLeft", 0, (1, 0)), ("eyeLookInLeft", 0, (-1, 0)), ("eyeLookUpLeft", 0, (0, 1)),
    ("eyeLookDownLeft", 0, (0, -1)), ("eyeLookOutRight", 1, (-1, 0)), ("eyeLookInRight", 1, (1, 0)),
    ("eyeLookUpRight", 1, (0, 1)), ("eyeLookDownRight", 1, (0, -1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "side", "towards"), LOOKS)
def test_looks_turn_their_eyeball(name: str, side: int, towards: tuple[int, int]) -> None:
    """The pupil goes to the named side and the surface stays on its sphere; the other eye rests."""
    model = default_model()
    eye, other = model.eyes[side], model.eyes[1 - side]
    moved = face(model, **{name: 1.0})
    pupil = eye.vertices[eye.direction[:, 2].argmax()]
    step = moved[pupil] - model.mean[pupil]
    across = max(towards, key=abs) * step[0 if towards[0] else 1]
    assert across > 4.0
    assert abs(step[1 if towards[0] else 0]) < 0.5
    before, after = (np.linalg.norm(v[eye.vertices] - eye.centre, axis=1) for v in (model.mean, moved))
    np.testing.assert_allclose(after, before, rtol=0, atol=0.01)
    assert np.array_equal(moved[other.vertices], model.mean[other.vertices])


def test_nothing_else_turns_or_moves_the_eyeballs() -> None:
    model = default_model()
    eyes = np.concatenate([eye.vertices for eye in model.eyes])
    others = [i for i, name in enumerate(model.expression_names) if not name.startswith("eyeLook")]
    assert not model.expression_basis[np.ix_(others, eyes)].any()
    for eye in model.eyes:
        assert {model.expression_names[i] for i in eye.turned_by} >= {
            name
            for name in ARKIT_NAMES
            if name.startswith("eyeLook") and name.endswith("Left" if eye.centre[0] > 0 else "Right")
        }


def test_an_identity_only_shifts_the_eyeballs() -> None:
    model = default_model()
    for eye in model.eyes:
        part = model.identity_basis[:, eye.vertices]
        np.testing.assert_allclose(part, np.broadcast_to(part[:, :1], part.shape), rtol=0, atol=1e-3)


def test_lids_follow_the_eye_under_a_given_gaze() -> None:
    """A gaze takes the place of what the expression turns, and of nothing else."""
    model = default_model()
    identity, _ = zeros(model)
    down = weights(model, eyeLookDown=1.0)
    gaze = np.zeros((1, 2, 2), np.float32)
    ahead = model.decode(identity, down, gaze)[0]
    eyes = np.concatenate([eye.vertices for eye in model.eyes])
    np.testing.assert_allclose(ahead[eyes], model.mean[eyes], rtol=0, atol=1e-4)
    lids = np.setdiff1d(np.arange(model.topology.vertex_count), eyes)
    assert np.array_equal(ahead[lids], model.decode(identity, down)[0, lids])
    assert np.linalg.norm(ahead[lids] - model.mean[lids], axis=1).max() > 1.0


# --- damage -------------------------------------------------------------------------------------------------------


def _shipped() -> bytes:
    return files("facegen.morphable.default").joinpath("model.npz").read_bytes()


def _cut_off() -> bytes:
    return _shipped()[:-1000]


def _half() -> bytes:
    return _shipped()[: len(_shipped()) // 2]


def _without_an_array() -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_shipped())) as old, zipfile.ZipFile(result, "w") as new:
        for entry in old.infolist()[1:]:
            new.writestr(entry, old.read(entry))
    return result.getvalue()


def _with_a_bit_turned() -> bytes:
    data = bytearray(_shipped())
    data[len(data) // 2] ^= 0x10
    return bytes(data)


@pytest.mark.parametrize("damage", [bytes, _cut_off, _half, _with_a_bit_turned, _without_an_array])
def test_a_damaged_file_is_told_of(damage: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    data = damage()
    monkeypatch.setattr(embedded, "_stored", lambda: (data, embedded.read_arrays(data, "the embedded model")))
    with pytest.raises(ModelError, match="the embedded model"):
        embedded.load_default()
