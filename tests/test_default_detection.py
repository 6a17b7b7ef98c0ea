"""A stock face detector takes the embedded face for one. First it is judged itself: on another model and on no face."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from facegen.batch import Renders
from facegen.morphable.config import IctModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.tests.data_paths import shared_path
from facegen.tests.default_model import default_model
from facegen.tests.egg import painted_egg
from facegen.tests.face_detector import face_boxes, finds_face
from facegen.tests.portraits import AHEAD, LIVELY, PEOPLE, SIZE, STRANGERS, backgrounds, portraits, turned

YAWS = (-30.0, 0.0, 30.0)


def share_found(renders: Renders) -> float:
    return float(np.mean([finds_face(*pair) for pair in zip(renders.image, renders.landmarks_2d, strict=True)]))


@lru_cache(maxsize=1)
def ict() -> MorphableModel:
    return load_model(IctModelConfig(path=shared_path("models/ict-facekit/ict_facekit.npz"), bust=True))


@lru_cache(maxsize=2)
def lively_people(name: str) -> Renders:
    """Textured pictures over ±40° of yaw."""
    return (
        portraits(default_model(), {**PEOPLE, **LIVELY}, 200)
        if name == "default"
        else portraits(ict(), {**STRANGERS, **LIVELY}, 100)
    )


def test_the_detector_finds_a_known_model() -> None:
    assert share_found(lively_people("ict")) >= 0.97


def test_the_detector_finds_no_face_in_a_background() -> None:
    assert not any(len(face_boxes(image)) for image in backgrounds(100))


@pytest.mark.parametrize("name", ["default", "ict"])
def test_the_detector_finds_few_heads_that_stand_on_their_heads(name: str) -> None:
    renders = lively_people(name)
    found = [
        finds_face(np.ascontiguousarray(image[::-1]), marks * (1, -1) + (0, SIZE))
        for image, marks in zip(renders.image[:100], renders.landmarks_2d, strict=False)
    ]
    assert np.mean(found) <= 0.08


def test_textured_people_are_found() -> None:
    """The aim is 0.99, what ICT-FaceKit reaches; this guards what is reached, which docs/models.md tells."""
    assert share_found(lively_people("default")) >= 0.93


@pytest.mark.parametrize("yaw", YAWS)
def test_grey_people_are_found_where_grey_people_of_a_known_model_are(yaw: float) -> None:
    known = share_found(portraits(ict(), {**STRANGERS, **turned(yaw)}, 60, seed=5, grey=True))
    ours = share_found(portraits(default_model(), {**PEOPLE, **turned(yaw)}, 60, seed=5, grey=True))
    # The aim is 0.95, which is reached from the front; turned heads guard what is reached.
    assert ours >= (0.95 if yaw == 0 else 0.88) or known < 0.95, (ours, known)


def test_paint_alone_makes_no_face(record_property: Callable[[str, object], None]) -> None:
    """The negative control: a coloured egg is found too, so that being found says little; a grey one hardly ever is."""
    egg = painted_egg(default_model())
    record_property("share of coloured eggs found", share_found(portraits(egg, {**PEOPLE, **AHEAD}, 60)))
    assert share_found(portraits(egg, {**PEOPLE, **AHEAD, **turned(0.0)}, 60, grey=True)) <= 0.1
