"""Glasses, masks and hands on heads of both models: closed, where they belong, and outside of the skin."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model
from facegen.stages.laws import Constant
from facegen.stages.render.objects.face_mask import FaceMask, make_face_mask
from facegen.stages.render.objects.fit import LEFT, RIGHT, ear_of
from facegen.stages.render.objects.glasses import Glasses, make_glasses
from facegen.stages.render.objects.hand import Hand, make_hand
from facegen.stages.render.objects.head import Head, HeadFinder
from facegen.stages.render.objects.thing import FACE_MASK, GLASSES, HAND, NONE, SUNGLASSES, Thing
from facegen.tests.closed_meshes import hits, is_closed, volume
from facegen.tests.data_paths import shared_path

COUNT = 4
TONE = np.array([0.5, 0.33, 0.26], np.float32)

Triangles = NDArray[np.int32]


@lru_cache(maxsize=2)
def heads(name: str) -> tuple[list[Head], list[NDArray[np.float32]], Triangles]:
    """Heads of extreme people with strong expressions, their vertices, and the triangles of their model's face."""
    if name == "ict":
        shared_path("models/ict-facekit/ict_facekit.npz")
        model = load_model(IctModelConfig(path=shared_path("models/ict-facekit/ict_facekit.npz")))
    else:
        model = load_model(DefaultModelConfig())
    rng = np.random.default_rng(5)
    identity = rng.uniform(-1.7, 1.7, (COUNT, len(model.identity_names)))
    expression = rng.uniform(0.0, 0.7, (COUNT, len(model.expression_names)))
    expression *= rng.random(expression.shape) < 0.08
    vertices = model.decode(identity.astype(np.float32), expression.astype(np.float32))
    finder = HeadFinder(model)
    topology = model.topology
    skin = topology.triangles[topology.triangle_region == topology.region_names.index("face")]
    return [finder.of(face) for face in vertices], list(vertices), skin


MODELS = pytest.mark.parametrize("name", ["default", "ict"])

MAKERS: dict[str, Callable[[Head, int], list[Thing]]] = {
    "glasses": lambda head, seed: make_glasses(head, Glasses(), np.random.default_rng(seed)),
    "face mask": lambda head, seed: make_face_mask(head, FaceMask(), np.random.default_rng(seed)),
    "hand": lambda head, seed: make_hand(head, Hand(), np.random.default_rng(seed), TONE),
}


@MODELS
@pytest.mark.parametrize("kind", MAKERS)
def test_things_are_closed_and_wound_outwards(name: str, kind: str) -> None:
    for seed, head in enumerate(heads(name)[0]):
        for thing in MAKERS[kind](head, seed):
            assert np.isfinite(thing.vertices).all()
            assert is_closed(thing.triangles)
            assert volume(thing.vertices, thing.triangles) > 0.0
            assert len(thing.triangles) <= 6000
            assert len(thing.albedo) == len(thing.vertices)
            assert len(thing.material) == len(thing.triangles)
            assert thing.albedo.min() >= 0.0
            assert thing.albedo.max() <= 1.0


@pytest.mark.parametrize("kind", MAKERS)
def test_a_seed_makes_the_same_things(kind: str) -> None:
    head = heads("default")[0][0]
    for one, other in zip(MAKERS[kind](head, 3), MAKERS[kind](head, 3), strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
        np.testing.assert_array_equal(one.albedo, other.albedo)
    assert not np.array_equal(MAKERS[kind](head, 3)[0].vertices, MAKERS[kind](head, 4)[0].vertices)


@MODELS
def test_eyes_look_through_the_lenses(name: str) -> None:
    asked = Glasses(sunglasses=0.0, vertex_distance=Constant(value=13.0), slip=Constant(value=0.0))
    for seed, head in enumerate(heads(name)[0]):
        frame, lenses = make_glasses(head, asked, np.random.default_rng(seed))
        assert (frame.label, lenses.label) == (GLASSES, NONE)
        assert lenses.transmission is not None
        assert lenses.transmission.min() > 0.85
        eyes = np.stack([head.landmarks[36:42].mean(axis=0), head.landmarks[42:48].mean(axis=0)]).astype(np.float64)
        reach = np.sort(hits(eyes, lenses.vertices, lenses.triangles), axis=1)
        # In through the back and out through the front, 1.4 mm apart along the normal.
        assert np.isfinite(reach[:, :2]).all()
        assert (reach[:, 1] - reach[:, 0] < 1.8).all()
        lids = head.landmarks[36:48, 2].max()
        assert (eyes[:, 2] + reach[:, 0] - lids > 11.0).all()
        assert np.isinf(hits(eyes, frame.vertices, frame.triangles)).all()


@MODELS
def test_frames_are_outside_of_the_face_and_over_the_ears(name: str) -> None:
    everyone, vertices, skin = heads(name)
    asked = Glasses(shapes={"rectangle": 0.5, "cat-eye": 0.5, "square": 1.0})
    for seed, (head, face) in enumerate(zip(everyone, vertices, strict=True)):
        frame = make_glasses(head, asked, np.random.default_rng(seed))[0].vertices.astype(np.float64)
        corners = head.landmarks[[36, 45], 2].mean()
        front = frame[frame[:, 2] > corners + 3.0][::9]
        # Nothing of the front is farther below the skin than pads press into it; rays go from there out of the face.
        below = hits(front, face, skin).min(axis=1)
        assert below[np.isfinite(below)].max(initial=0.0) < 5.0
        for side in (RIGHT, LEFT):
            ear = ear_of(head, side)
            arm = frame[(frame[:, 0] * side > 30.0) & (frame[:, 2] < corners - 8.0)]
            assert arm[:, 2].min() < ear.back + 6.0
            over = arm[np.abs(arm[:, 2] - ear.top[2]) < 6.0]
            assert over[:, 1].min() > ear.top[1] - 1.0
            assert over[:, 1].max() < ear.top[1] + 16.0
            # Neither in the temple nor far from it.
            beside = arm[arm[:, 2] > ear.top[2]]
            gap = beside[:, 0] * side - ear.skull.height(beside[:, [2, 1]], reach=12.0)
            assert gap.min() > -4.5
            assert np.median(gap) < 12.0


def test_masks_cover_a_tongue_that_is_put_out() -> None:
    model = load_model(DefaultModelConfig())
    weights = np.zeros((1, len(model.expression_names)), np.float32)
    for name, weight in (("tongueOut", 1.0), ("jawOpen", 0.4)):
        weights[0, model.expression_names.index(name)] = weight
    head = HeadFinder(model).of(model.decode(np.zeros((1, len(model.identity_names)), np.float32), weights)[0])
    assert head.tongue[:, 2].max() > head.landmarks[48:, 2].max()
    for seed in range(3):
        (mask,) = make_face_mask(head, FaceMask(), np.random.default_rng(seed))
        assert np.isfinite(hits(head.tongue, mask.vertices, mask.triangles)).any(axis=1).all()


def test_dark_lenses_count_and_keep_light_out() -> None:
    head = heads("default")[0][0]
    for seed in range(8):
        frame, lenses = make_glasses(head, Glasses(sunglasses=1.0), np.random.default_rng(seed))
        assert (frame.label, lenses.label) == (SUNGLASSES, SUNGLASSES)
        assert frame.transmission is None
        assert lenses.transmission is not None
        assert 0.02 < lenses.transmission.min() <= lenses.transmission.max() <= 0.36


@MODELS
@pytest.mark.parametrize("under_nose", [0.0, 1.0])
def test_masks_cover_the_mouth_and_lie_outside_of_the_skin(name: str, under_nose: float) -> None:
    everyone, vertices, skin = heads(name)
    for seed, (head, face) in enumerate(zip(everyone, vertices, strict=True)):
        (mask,) = make_face_mask(head, FaceMask(under_nose=under_nose), np.random.default_rng(seed))
        assert mask.label == FACE_MASK
        marks = head.landmarks.astype(np.float64)
        covered = np.isfinite(hits(marks, mask.vertices, mask.triangles)).any(axis=1)
        assert covered[48:].all()
        assert covered[[7, 8, 9]].all()
        assert not covered[17:28].any()
        assert not covered[36:48].any()
        assert covered[[30, 33]].all() == (not under_nose)
        # The cloth's outer side, from its rows: no ray from it out of the face meets skin.
        outer = mask.vertices[: 31 * 37].reshape(31, 37, 3)[1:20:3, 8:29:3].reshape(-1, 3).astype(np.float64)
        assert np.isinf(hits(outer, face, skin)).all()
        # Loops reach behind the ears.
        assert mask.vertices[:, 2].min() < max(ear_of(head, side).back for side in (RIGHT, LEFT)) + 8.0


@MODELS
@pytest.mark.parametrize("place", ["cheek", "chin", "mouth", "brow", "eye"])
def test_hands_touch_the_face(name: str, place: str) -> None:
    everyone = heads(name)[0]
    target = {"cheek": [3, 13], "chin": [8], "mouth": [51, 57], "brow": [19, 24], "eye": [41, 46]}[place]
    for seed, head in enumerate(everyone):
        (hand,) = make_hand(head, Hand.model_validate({"places": {place: 1.0}}), np.random.default_rng(seed), TONE)
        assert hand.label == HAND
        points = hand.vertices.astype(np.float64)
        gap, _ = cKDTree(head.skin).query(points, distance_upper_bound=60.0)
        assert gap.min() < 6.0
        near = np.linalg.norm(points[:, None] - head.landmarks[target], axis=2).min()
        assert near < 45.0
        # The arm leaves the picture.
        assert points[:, 1].min() < head.landmarks[8, 1] - 85.0 or np.abs(points[:, 0]).max() > 190.0


def test_hands_before_the_face_keep_their_distance() -> None:
    head = heads("default")[0][0]
    for distance in (20.0, 80.0):
        asked = Hand.model_validate({"places": {"front": 1.0}, "distance": {"law": "constant", "value": distance}})
        for seed in range(6):
            (hand,) = make_hand(head, asked, np.random.default_rng(seed), TONE)
            gap, _ = cKDTree(head.skin).query(hand.vertices.astype(np.float64))
            assert gap.min() > 0.6 * distance - 3.0


def test_hands_have_the_colour_of_the_skin() -> None:
    head = heads("default")[0][0]
    for tone in (np.array([0.6, 0.42, 0.34]), np.array([0.08, 0.045, 0.03])):
        (hand,) = make_hand(head, Hand(), np.random.default_rng(0), tone.astype(np.float32))
        np.testing.assert_allclose(np.median(hand.albedo, axis=0), tone, rtol=0.35)
