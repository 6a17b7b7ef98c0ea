"""The compose stage: what becomes of faces, who their parts are of, and which weights are refused."""

from __future__ import annotations

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
from facegen.composition.checkpoint import read_checkpoint, write_checkpoint
from facegen.composition.composer import LIMIT, SwapRules
from facegen.composition.config import ComaConfig
from facegen.composition.fitting import Fitter
from facegen.composition.skin import Skin
from facegen.errors import ConfigurationError, ModelError, WeightsError
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator
from facegen.settings import validate
from facegen.stages.compose.config import ComposeConfig
from facegen.stages.compose.stage import BLOCK, ComposeStage
from facegen.stages.config import RunConfig
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.decoding import decode_block
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler
from facegen.stages.task import compose_stage, denoise_stage
from facegen.tests.autoencoders import SMALL, Studio, card_of, composition_of, write_autoencoder
from facegen.tests.command import only_line, quickstart
from facegen.tests.denoisers import Denoisers
from facegen.tests.stage_contract import FACES, Stage, StageContract, assert_same, flip, truncate

GAUSSIAN: dict[str, Any] = {"identity": {"law": "gaussian"}}


def sampler(model: MorphableModel, seed: int = 0, **config: Any) -> Sampler:
    return Sampler(validate(SampleConfig, GAUSSIAN | config, source="test"), model, 64, 64, seed)


def drawn(model: MorphableModel, faces: NDArray[np.int64] = FACES, seed: int = 0, **config: Any) -> Samples:
    """What the stages before hand over."""
    return sampler(model, seed, **config).draw(faces)


PLAIN: dict[str, Any] = {"fit": False, "smooth": False, "limit": None}
"""Settings by which parts are put on a face as they are."""


@pytest.fixture
def stage_of(head: MorphableModel, autoencoder: Path) -> Callable[..., ComposeStage]:
    """Builds the stage with some settings."""

    def made(*, seed: int = 0, **config: Any) -> ComposeStage:
        values = {"weights": str(autoencoder)} | config
        parsed = validate(ComposeConfig, values, source="test")
        return ComposeStage(parsed, head, seed, sampler(head, seed).identities)

    return made


def fields_of(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    assert samples.offset is not None
    assert samples.part_source is not None
    assert samples.part_weight is not None
    return samples.offset, samples.part_source, samples.part_weight


def neutral(model: MorphableModel, samples: Samples) -> NDArray[np.float32]:
    still = np.zeros((len(samples), len(model.expression_names)), np.float32)
    return model.decode(samples.identity, still, offset=samples.offset)


class TestStage(StageContract):
    """The contract, with several images of each person, denoised before."""

    name = "compose"
    before = ("sample", "denoise")

    @pytest.fixture
    def settings(self, autoencoder: Path, denoisers: Denoisers) -> dict[str, Any]:
        return {
            "denoise": {"identity": {"method": "gated", "weights": str(denoisers["identity", "gated"])}},
            "compose": {"weights": str(autoencoder), "alpha": {"low": 0.5, "high": 1}},
        }

    @pytest.fixture
    def make(self, head: MorphableModel, settings: dict[str, Any]) -> Callable[[int], Stage]:
        def made(seed: int) -> Stage:
            values = settings | {"sample": GAUSSIAN | {"images_per_identity": 3}, "seed": seed}
            config = validate(RunConfig, values, source="test")
            draws = Sampler(config.sample, head, 64, 64, seed)
            denoise = denoise_stage(config, head)
            stage = compose_stage(config, head, draws, denoise)
            return lambda faces: stage.compose(denoise.denoise(draws.draw(faces)))

        return made

    @pytest.fixture
    def arguments(self, settings: dict[str, Any]) -> tuple[str, ...]:
        return tuple(word for name, value in settings.items() for word in ("--set", f"{name}={json.dumps(value)}"))


def test_shapes_change_and_nothing_else(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    samples = drawn(head)
    before = {name: value.copy() for name, value in samples.as_dict().items()}
    composed = stage_of().compose(samples)
    offset, source, weight = fields_of(composed)
    for name, value in before.items():
        assert samples.as_dict()[name].tobytes() == value.tobytes(), name
        if name != "identity":
            assert composed.as_dict()[name].tobytes() == value.tobytes(), name
    new = {"identity_own", "offset", "part_source", "part_weight", "identity_residual"}
    assert composed.as_dict().keys() - before.keys() == new
    assert composed.identity_own is not None
    assert composed.identity_own.tobytes() == before["identity"].tobytes()
    assert [array.dtype for array in (composed.identity, offset, weight)] == [np.float32] * 3
    assert source.dtype == np.int64
    swapped = weight.any(axis=1)
    assert 0 < swapped.sum() < len(FACES)
    assert composed.identity_residual is not None
    assert composed.identity[~swapped].tobytes() == samples.identity[~swapped].tobytes()
    assert offset[~swapped].tobytes() == np.zeros_like(offset[~swapped]).tobytes()
    assert composed.identity_residual[~swapped].tobytes() == np.zeros((~swapped).sum(), np.float32).tobytes()
    assert (composed.identity[swapped] != samples.identity[swapped]).any(axis=1).all()
    assert (composed.identity_residual[swapped] > 0).all()


def test_the_labels_are_the_projection(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    composed = stage_of(probability=1).compose(drawn(head, FACES[:10]))
    skin = Skin.of(head).vertices
    shape = (neutral(head, composed) - head.mean)[:, skin].reshape(10, -1).astype(np.float64)
    basis = head.identity_basis[:, skin].reshape(len(head.identity_names), -1).astype(np.float64)
    oracle, residual, _, _ = np.linalg.lstsq(basis.T, shape.T, rcond=None)
    np.testing.assert_allclose(composed.identity, oracle.T, atol=2e-4)
    np.testing.assert_allclose(composed.identity_residual, np.sqrt(residual / len(skin)), rtol=1e-3)


@pytest.mark.parametrize("fit", [False, True])
def test_a_mesh_is_built_of_codes(
    head: MorphableModel, stage_of: Callable[..., ComposeStage], autoencoder: Path, *, fit: bool
) -> None:
    """Against the definition, step by step with the composer's own methods."""
    stage = stage_of(alpha={"low": 0.2, "high": 0.9}, **{**PLAIN, "fit": fit})
    samples = drawn(head, FACES[:40])
    composed = stage.compose(samples)
    _, source, weight = fields_of(composed)
    composer = stage._composer
    assert composer is not None
    numbers = samples.identity_number
    people = np.repeat(samples.identity[:, None], len(composer.parts), axis=1)
    for row, part in zip(*np.nonzero(weight), strict=True):
        other, share = sampler(head).identities(source[row : row + 1, part])[0], weight[row, part]
        people[row, part] = (1 - share) * samples.identity[row] + share * other
    codes = [composer.codes(people[:, part], numbers)[:, part] for part in range(people.shape[1])]
    own = composer.codes(samples.identity, numbers)
    skin = composer.skin_offsets(samples.identity, own, np.stack(codes, axis=1), numbers)
    if fit:
        composition = read_checkpoint(autoencoder)[0]
        weights = composition.hierarchy.upsampled(composition.parts.weights)
        fitter = Fitter(composer.skin, composition.parts, weights)
        shapes = [composer.displacements(people[:, part], numbers) for part in range(people.shape[1])]
        skin += np.stack([fitter.moved(faces) for faces in np.stack(shapes, axis=1).astype(np.float64)])
    offset = composer.offsets(samples.identity, skin, numbers)
    still = np.zeros((40, len(head.expression_names)), np.float32)
    np.testing.assert_allclose(neutral(head, composed), head.decode(samples.identity, still) + offset, atol=2e-4)


@pytest.mark.parametrize("limit", [0.5 * LIMIT, LIMIT])
def test_what_the_limit_takes_back_is_told(
    head: MorphableModel, stage_of: Callable[..., ComposeStage], limit: float
) -> None:
    samples, numbers = drawn(head, FACES[:40]), FACES[:40]
    settings: dict[str, Any] = {"probability": 0.8, "alpha": {"low": 0.4}}
    stage = stage_of(limit=limit, **settings)
    composed, free = stage.compose(samples), stage_of(limit=None, **settings).compose(samples)
    offset, source, weight = fields_of(composed)
    drawn_weight = stage._draw(numbers, np.ones(40, np.bool_)).weight
    np.testing.assert_array_equal(fields_of(free)[2], drawn_weight)
    np.testing.assert_array_equal(fields_of(free)[1], source)
    composer = stage._composer
    assert composer is not None
    sources = sampler(head).identities(source.reshape(-1)).reshape(*source.shape, -1)
    swap = composer.swap(samples.identity, sources, drawn_weight, numbers, SwapRules(limit=limit))
    assert (swap.kept < 0.99).any()
    assert weight.tobytes() == (drawn_weight * swap.kept[:, None]).tobytes()
    # A swap of which a share is done is still told to be one.
    np.testing.assert_array_equal(weight > 0, drawn_weight > 0)
    whole = swap.kept == 1
    assert offset[whole].tobytes() == fields_of(free)[0][whole].tobytes()
    assert composed.identity_residual is not None
    assert free.identity_residual is not None
    assert composed.identity_residual.max() <= limit * (1 + 1e-4)
    expected = free.identity_residual * swap.kept
    np.testing.assert_allclose(composed.identity_residual, expected, rtol=1e-3, atol=1e-4)


def test_nothing_to_compose_is_the_same_object(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    samples = drawn(head, FACES[:3])
    stage = stage_of(weights=None, device="cuda", parts={"tail": 1})
    assert stage.compose(samples) is samples
    assert stage.provenance == {}


@pytest.mark.parametrize("nothing", [{"probability": 0}, {"probability": 1, "alpha": {"low": 0, "high": 0}}])
@pytest.mark.parametrize("transfer", ["difference", "decode"])
def test_swapping_nothing_changes_nothing(
    head: MorphableModel, stage_of: Callable[..., ComposeStage], nothing: dict[str, Any], transfer: str
) -> None:
    samples = drawn(head)
    composed = stage_of(transfer=transfer, **nothing).compose(samples)
    offset, source, weight = fields_of(composed)
    assert composed.identity.tobytes() == samples.identity.tobytes()
    for zero in (offset, weight, composed.identity_residual):
        assert zero is not None
        assert zero.tobytes() == np.zeros_like(zero).tobytes()
    np.testing.assert_array_equal(source, np.repeat(samples.identity_number[:, None], source.shape[1], axis=1))


def test_composing_again_is_composing_once(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    stage = stage_of()
    once = stage.compose(drawn(head))
    assert_same(stage.compose(once), once)


def test_partners_are_others_of_the_same_block(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    faces = np.arange(300)
    _, source, weight = fields_of(stage_of(probability=1, **PLAIN).compose(drawn(head, faces)))
    assert (source // BLOCK == faces[:, None] // BLOCK).all()
    assert (source != faces[:, None]).all()
    assert (weight == 1).all()
    # Each part is of a person of its own, and every other of the block may be chosen.
    assert any(len(set(row)) > 2 for row in source.tolist())
    assert len(np.unique(source[faces < BLOCK])) > 55
    _, source, weight = fields_of(stage_of(probability=1, partners="one").compose(drawn(head, faces)))
    assert (source == source[:, :1]).all()
    assert source.max() > 300
    # All of one person is never too much.
    assert (weight == 1).all()


def test_chances_are_by_part(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    names = tuple(stage_of().provenance["parts"])
    faces = np.arange(1000)
    stage = stage_of(probability=0.3, parts={names[0]: 1, names[1]: 0})
    weight = stage._draw(faces, np.ones(1000, np.bool_)).weight
    assert weight[:, 0].all()
    assert not weight[:, 1].any()
    assert np.abs(np.count_nonzero(weight[:, 2:], axis=0) / 1000 - 0.3).max() < 0.06
    # More chance swaps the same parts and others.
    more = stage_of(probability=0.6)._draw(faces, np.ones(1000, np.bool_)).weight
    assert (more[:, 2:] >= weight[:, 2:]).all()


def test_weights_are_uniform(stage_of: Callable[..., ComposeStage]) -> None:
    stage = stage_of(probability=1, alpha={"low": 0.2, "high": 0.6})
    weight = stage._draw(np.arange(2000), np.ones(2000, np.bool_)).weight
    assert weight.min() >= np.float32(0.2)
    assert weight.max() <= np.float32(0.6)
    assert abs(weight.mean() - 0.4) < 0.01
    assert abs(weight.std() - 0.4 / 12**0.5) < 0.01


def test_draws_are_those_of_the_person(stage_of: Callable[..., ComposeStage]) -> None:
    stage, number = stage_of(seed=5, alpha={"low": 0.5, "high": 1}), 200
    count = len(stage.provenance["parts"])
    swaps = stage._draw(np.array([number]), np.ones(1, np.bool_))
    wanted = generator(5, "compose", "parts", number).random(count) < 0.5
    steps = generator(5, "compose", "partner", number).integers(1, BLOCK, count)
    shares = 0.5 + 0.5 * generator(5, "compose", "weight", number).random(count)
    np.testing.assert_array_equal(swaps.source[0], np.where(wanted, 192 + (200 + steps) % 64, 200))
    np.testing.assert_array_equal(swaps.weight[0], np.where(wanted, shares, 0).astype(np.float32))


def test_images_of_one_person_stay_one_person(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    composed = stage_of().compose(drawn(head, images_per_identity=5))
    first = stage_of().compose(drawn(head, FACES[:30]))
    for name in ("identity", "identity_own", "offset", "part_source", "part_weight", "identity_residual"):
        values = composed.as_dict()[name]
        assert values.tobytes() == values[::5].repeat(5, axis=0).tobytes(), name
        assert values[::5].tobytes() == first.as_dict()[name].tobytes(), name


def test_partners_are_drawn_and_denoised_as_faces_are(head: MorphableModel, denoisers: Denoisers) -> None:
    for law in ({"law": "gaussian"}, {"law": "population"}, {"law": "uniform", "width": 1e39}):
        draws = sampler(head, 3, identity=law)
        faces = draws.draw(FACES)
        assert draws.identities(FACES).tobytes() == faces.identity.tobytes()
        assert draws.identities(FACES[[7, 140]]).tobytes() == faces.identity[[7, 140]].tobytes()
    gated = {"identity": {"method": "posterior", "weights": str(denoisers["identity", "posterior"])}}
    config = validate(RunConfig, {"denoise": gated, "seed": 3}, source="test")
    denoise, draws = denoise_stage(config, head), sampler(head, 3)
    denoised = denoise.denoise(draws.draw(FACES)).identity
    assert denoise.identities(draws.identities(FACES[5:9]), FACES[5:9]).tobytes() == denoised[5:9].tobytes()
    plain = denoise_stage(RunConfig(), head)
    assert plain.identities(denoised, FACES) is denoised


def test_a_grid_that_sweeps_identity(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    grid = [{"parameter": "identity.0", "values": [-1, 1]}, {"parameter": "pose.yaw", "values": [-30, 30]}]
    stage = stage_of(probability=1)
    whole = stage.compose(drawn(head, FACES[:40], grid=grid))
    offset, source, _ = fields_of(whole)
    # Two shapes a round, each of two images, with parts of the same people.
    np.testing.assert_array_equal(offset, offset[::2].repeat(2, axis=0))
    assert len(np.unique(whole.identity, axis=0)) == 20
    np.testing.assert_array_equal(source, source[::4].repeat(4, axis=0))
    assert whole.identity_own is not None
    np.testing.assert_array_equal(whole.identity_own[:, 0], np.tile([-1, -1, 1, 1], 10))
    for part in (FACES[:1], FACES[39:2:-3]):
        assert_same(stage.compose(drawn(head, part, grid=grid)), whole, part)


def test_what_is_not_finite_fails_and_harms_nobody(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    samples = drawn(head, FACES[:12])
    identity = samples.identity.copy()
    identity[1, 3], identity[4], identity[7, 0] = np.nan, np.inf, 3e38
    stage = stage_of(probability=1)
    well, composed = stage.compose(samples), stage.compose(replace(samples, identity=identity))
    sound = np.setdiff1d(FACES[:12], [1, 4, 7])
    for name, value in well.as_dict().items():
        assert composed.as_dict()[name][sound].tobytes() == value[sound].tobytes(), name
    assert composed.identity[[1, 4]].tobytes() == identity[[1, 4]].tobytes()
    assert not fields_of(composed)[2][[1, 4]].any()
    renders = RenderStage(validate(RenderConfig, {"size": 32}, source="test"), head).render(composed)
    assert all(renders.reason[[1, 4, 7]])
    assert renders.valid[sound].all()


def test_a_part_of_somebody_impossible_fails(head: MorphableModel, autoencoder: Path) -> None:
    def people(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        found = sampler(head).identities(numbers)
        found[numbers % 3 == 0] = np.nan
        return found

    config = validate(ComposeConfig, {"weights": str(autoencoder)}, source="test")
    composed = ComposeStage(config, head, 0, people).compose(drawn(head, FACES[:24]))
    _, source, weight = fields_of(composed)
    harmed = ((source % 3 == 0) & (weight > 0)).any(axis=1)
    assert 0 < harmed.sum() < 24
    renders = RenderStage(validate(RenderConfig, {"size": 32}, source="test"), head).render(composed)
    np.testing.assert_array_equal(~renders.valid, harmed)
    assert all("vertices are not finite" in reason for reason in renders.reason[harmed])


def test_what_is_rendered_is_the_composed_face(head: MorphableModel, stage_of: Callable[..., ComposeStage]) -> None:
    samples = drawn(head, FACES[:8], expression={"law": "uniform", "low": 0, "high": 0.4})
    composed = stage_of(probability=1).compose(samples)
    offset = fields_of(composed)[0]
    rows = list(range(8))
    plain = decode_block(head, replace(composed, offset=None), rows).vertices
    found = decode_block(head, composed, rows).vertices
    eyes = np.concatenate([eye.vertices for eye in head.eyes])
    others = np.setdiff1d(np.arange(len(head.mean)), eyes)
    np.testing.assert_allclose(found[:, others], plain[:, others] + offset[:, others], atol=1e-4)
    # The eyes turn about where they are carried to: each stays a ball of its own size.
    own = decode_block(head, samples, rows).vertices
    for eye in head.eyes:
        for row in rows:
            ball, before = found[row, eye.vertices], own[row, eye.vertices]
            centred = [points - points.mean(axis=0) for points in (ball, before)]
            np.testing.assert_allclose(*(np.linalg.norm(points, axis=1) for points in centred), atol=1e-4)
            np.testing.assert_allclose(*centred, atol=2e-4)


def test_provenance(stage_of: Callable[..., ComposeStage], autoencoder: Path) -> None:
    card = json.loads(autoencoder.with_suffix(".json").read_text())
    first = card["parts"][0]
    plain = stage_of().provenance
    assert (plain["transfer"], plain["fit"], plain["smooth"], plain["limit"]) == ("difference", True, True, LIMIT)
    found = stage_of(probability=0.25, parts={first: 1}, partners="one", alpha={"low": 0.5}, transfer="decode", **PLAIN)
    assert found.provenance == {
        "weights_sha256": card["weights_sha256"],
        "parts": {name: 1.0 if name == first else 0.25 for name in card["parts"]},
        "partners": "one",
        "alpha": [0.5, 1.0],
        "transfer": "decode",
        "fit": False,
        "smooth": False,
        "limit": None,
    }
    assert list(found.provenance["parts"]) == card["parts"]


class TestRefusals:
    """Wrong weights: one line, exit 2, and nothing is written."""

    def refusal(self, tmp_path: Path, *more: str, **settings: Any) -> str:
        override = f"compose={json.dumps(settings)}"
        outcomes = [quickstart(command, tmp_path / "run", "--set", override, *more) for command in ("run", "compose")]
        lines = {only_line(outcome.err) for outcome in outcomes}
        assert {outcome.code for outcome in outcomes} == {2}
        assert len(lines) == 1
        assert not (tmp_path / "run").exists()
        line = lines.pop()
        assert line.startswith("facegen: ")
        return line.removeprefix("facegen: ")

    def test_other_model(self, head: MorphableModel, studio: Studio, tmp_path: Path) -> None:
        path = write_autoencoder(tmp_path, studio, model="ict", model_sha256="ab" * 32)
        line = self.refusal(tmp_path, weights=str(path))
        own = head.source_sha256[:12]
        assert line == f"{path}: trained for the model 'ict' (abababababab…), expected 'default' ({own}…)"

    def test_other_resolution(self, autoencoder: Path, tmp_path: Path) -> None:
        line = self.refusal(tmp_path, "--set", "model.resolution=default", weights=str(autoencoder))
        assert line.startswith(f"{autoencoder}: trained for another skin of the model 'default'")

    def test_a_method_without_parts(self, studio: Studio, tmp_path: Path) -> None:
        config, path = ComaConfig(**SMALL), tmp_path / "coma.safetensors"
        write_checkpoint(path, composition_of(studio, config), card_of(studio, config))
        line = self.refusal(tmp_path, weights=str(path))
        assert line == f"{path}: weights of the method 'coma', whose codes have no parts to swap"

    def test_untrained(self, studio: Studio, tmp_path: Path) -> None:
        path = write_autoencoder(tmp_path, studio, epochs=0)
        assert self.refusal(tmp_path, weights=str(path)).startswith(f"{path}: untrained (")

    @pytest.mark.parametrize(("harm", "words"), [
        (truncate, "its card expects"), (flip, "its card expects"), (Path.unlink, "No such file"),
    ])  # fmt: skip
    def test_damage(self, studio: Studio, tmp_path: Path, harm: Callable[[Path], None], words: str) -> None:
        path = write_autoencoder(tmp_path, studio)
        harm(path)
        line = self.refusal(tmp_path, weights=str(path))
        assert line.startswith(f"{path}: ")
        assert words in line

    @pytest.mark.parametrize("weights", ["/absent/w.safetensors", "/", ".", ""])
    def test_no_such_file(self, tmp_path: Path, weights: str) -> None:
        line = self.refusal(tmp_path, weights=weights)
        assert "compose.weights" in line or line.startswith("/absent/w.json: there is no such file")

    def test_variables(
        self, stage_of: Callable[..., ComposeStage], autoencoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FACEGEN_TEST_WEIGHTS", raising=False)
        line = self.refusal(tmp_path, weights="$FACEGEN_TEST_WEIGHTS/w.safetensors")
        assert "compose.weights is " in line
        assert "the environment variable FACEGEN_TEST_WEIGHTS is not set" in line
        monkeypatch.setenv("FACEGEN_TEST_WEIGHTS", str(autoencoder.parent))
        assert stage_of(weights=f"$FACEGEN_TEST_WEIGHTS/{autoencoder.name}").provenance == stage_of().provenance

    def test_parts(self, autoencoder: Path, studio: Studio, tmp_path: Path) -> None:
        line = self.refusal(tmp_path, weights=str(autoencoder), parts={"noes": 0.5})
        assert line == "compose.parts: unknown 'noes' to these weights; did you mean 'nose'?"
        line = self.refusal(tmp_path, weights=str(autoencoder), parts={"zzz": 0.5})
        assert line == f"compose.parts: unknown 'zzz' to these weights; known: {', '.join(studio.parts.names)}"

    def test_no_gpu(self, stage_of: Callable[..., ComposeStage], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ConfigurationError, match=r"compose\.device is 'cuda', and torch finds no GPU") as refused:
            stage_of(device="cuda")
        assert refused.value.exit_code == 2

    def test_models_of_ones_own(self, head: MorphableModel) -> None:
        shipped = validate(ComposeConfig, {"weights": "shipped"}, source="test")
        people = sampler(head).identities
        with pytest.raises(WeightsError, match="no shipped weights to compose faces of the model 'nobody'"):
            ComposeStage(shipped, replace(head, name="nobody"), 0, people)
        bare = replace(head, identity_names=(), identity_basis=head.identity_basis[:0])
        with pytest.raises(ConfigurationError, match="compose: the model 'default' has no identity coefficients"):
            ComposeStage(shipped, bare, 0, people)

    def test_a_model_without_landmarks(self, head: MorphableModel, autoencoder: Path) -> None:
        few = replace(head, topology=replace(head.topology, landmarks=head.topology.landmarks[:5]))
        config = validate(ComposeConfig, {"weights": str(autoencoder)}, source="test")
        with pytest.raises(ModelError, match="expected 68 in the Multi-PIE order"):
            ComposeStage(config, few, 0, sampler(head).identities)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_gives_nearly_the_same_and_the_same_again(
    head: MorphableModel, stage_of: Callable[..., ComposeStage]
) -> None:
    samples = drawn(head)
    cpu, gpu, again = (stage_of(device=device).compose(samples) for device in ("cpu", "cuda", "cuda"))
    np.testing.assert_allclose(neutral(head, gpu), neutral(head, cpu), atol=0.05)
    assert_same(again, gpu)
    for part in (FACES[:1], FACES[::7]):
        assert_same(stage_of(device="cuda").compose(drawn(head, part)), gpu, part)
