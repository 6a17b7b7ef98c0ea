"""Runs of faces with things on and before them: what is stored, what is the same, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegen.dataset import FaceDataset
from facegen.imaging.landmarks import project_landmarks
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.occluders import NONE, OCCLUDERS
from facegen.morphable.model import MorphableModel
from facegen.stages.pack.schema import OBJECT_ARRAYS
from facegen.tests.command import facegen, only_line, quickstart
from facegen.tests.data_paths import shared_path
from facegen.tests.pictured import PEOPLE, Album

KINDS = ("hair", "hat", "glasses", "face_mask", "hand")
HALF = {kind: {"probability": 0.5} for kind in KINDS}

FACES = ("--faces", "6", "--set", "shard_size=3")
DRESSED = (*FACES, *(f"--set=render.objects.{kind}={{probability: 0.6}}" for kind in KINDS))


@pytest.fixture(scope="module")
def dressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all kinds of things. Not to be changed."""
    run = tmp_path_factory.mktemp("dressed") / "run"
    outcome = quickstart("run", run, *DRESSED)
    assert outcome.code == 0, outcome.err
    return run


def read(run: Path) -> list[dict[str, Any]]:
    dataset = FaceDataset(run)
    return [dataset.read(index, list(dataset.available)) for index in range(len(dataset))]


def test_labels_are_of_what_is_seen(dressed: Path, head: MorphableModel) -> None:
    covered = 0
    for face in read(dressed):
        free = face["occluder"] == NONE
        np.testing.assert_array_equal(face["amodal_mask"], face["triangle_id"] >= 0)
        np.testing.assert_array_equal(face["mask"], face["amodal_mask"] & free)
        present = {*np.flatnonzero(face["object_present"]) + 1}
        assert {*np.unique(face["occluder"])} - {NONE} <= present
        mesh = CameraMesh.from_model(face["vertices"], head.topology.triangles, face["extrinsics"])
        marks = project_landmarks(
            head.topology.landmarks, mesh, np.where(free, face["triangle_id"], -1).astype(np.int32),
            face["barycentric"], face["intrinsics"], int(face["projection"]),
        )  # fmt: skip
        np.testing.assert_array_equal(face["landmark_visible"], marks.visible)
        covered += int((face["amodal_mask"] & ~free).sum())
    assert covered > 300
    assert len({*np.unique([face["occluder"] for face in read(dressed)])}) >= 4


def test_names_are_stored(dressed: Path) -> None:
    group = FaceDataset(dressed).attributes["arrays"]
    assert {array.name for array in OBJECT_ARRAYS} <= {*group}
    outcome = facegen("verify", dressed)
    assert outcome.code == 0, outcome.err


def test_the_same_with_other_shards_and_workers(dressed: Path, tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", *DRESSED, "--set", "shard_size=4", "--workers", "2")
    assert outcome.code == 0, outcome.err
    for found, expected in zip(read(tmp_path / "run"), read(dressed), strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


def test_things_change_nothing_of_the_face(dressed: Path, tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", *FACES)
    assert outcome.code == 0, outcome.err
    for found, expected in zip(read(tmp_path / "run"), read(dressed), strict=True):
        for name in ("vertices", "triangle_id", "barycentric", "landmarks_2d", "light_sh", "depth", "normal", "uv"):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        assert (expected["landmark_visible"] <= found["landmark_visible"]).all()


def test_one_kind_more_changes_no_other(head: MorphableModel) -> None:
    everything = Album(head, 6, PEOPLE, (64, 64), objects=HALF).renders
    assert everything.object_present is not None
    for kind in ("hat", "face_mask", "hand"):
        alone = Album(head, 6, PEOPLE, (64, 64), objects={kind: HALF[kind]}).renders
        assert alone.object_present is not None
        column = OCCLUDERS.index(kind) - 1
        np.testing.assert_array_equal(alone.object_present[:, column], everything.object_present[:, column])
        assert 0 < alone.object_present[:, column].sum() < 6
        assert alone.object_present.sum() == alone.object_present[:, column].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_always_and_never(head: MorphableModel, kind: str) -> None:
    always = Album(head, 3, PEOPLE, (64, 64), objects={kind: {"probability": 1.0}}).renders
    never = Album(head, 3, PEOPLE, (64, 64), objects={kind: {"probability": 0.0}}).renders
    plain = Album(head, 3, PEOPLE, (64, 64)).renders
    assert always.object_present is not None
    assert never.object_present is not None
    assert never.occluder is not None
    assert always.object_present.any(axis=1).all() or kind == "glasses"
    assert not never.object_present.any()
    assert not never.occluder.any()
    np.testing.assert_array_equal(never.image, plain.image)
    assert (always.image != plain.image).any(axis=(1, 2, 3)).all()
    assert plain.occluder is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hat={styles: {cap: 0}}", "render.objects.hat.styles"),
        ("hair={styles: {bob: 0}}", "render.objects.hair.styles"),
        ("glasses={shapes: {round: 0}}", "render.objects.glasses.shapes"),
        ("hand={places: {chin: -1}}", "render.objects.hand.places"),
        ("face_mask={kinds: {}}", "render.objects.face_mask.kinds"),
        ("hat={probability: 1.5}", "render.objects.hat.probability"),
        ("scarf={}", "render.objects.scarf"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, value: str, words: str) -> None:
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", "--set", f"render.objects.{value}")
    assert outcome.code == 2
    assert words in only_line(outcome.err)
    assert not (tmp_path / "run").exists()


def test_a_face_without_a_cranium_wears_no_hat(tmp_path: Path) -> None:
    model = shared_path("models/ict-facekit/ict_facekit.npz")
    where = (
        *("--set", f"model={{name: ict, path: {model}, part: face}}", "--set", "sample.albedo={law: gaussian}"),
        *("--set", "sample.identity={law: gaussian}", "--set", "sample.iris={brown: 1}"),
    )
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", *where, "--set", "render.objects.hat={}")
    assert outcome.code == 2
    assert "hats and hair need a head with a cranium" in only_line(outcome.err)
