"""Pictures of people drawn from a face model: by the renderer of the package, under the light of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Renders
from facegen.morphable.albedo import LinearAlbedo
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.render.background import draw_background
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler

SIZE = 256
"""Pixels on a side."""

GREY = 0.55
"""Reflectance of plain grey."""

Laws = Mapping[str, Any]

PEOPLE: Laws = {"identity": {"law": "population"}, "albedo": {"law": "population"}, "iris": "population"}
"""For a model with a population."""

STRANGERS: Laws = {"identity": {"law": "uniform", "width": 1.6}}
"""For a model without one."""

LIVELY: Laws = {
    "expression": {
        "law": "mixture",
        "components": [
            {"weight": 0.84, "law": {"law": "constant", "value": 0}},
            {"weight": 0.16, "law": {"law": "uniform", "low": 0, "high": 0.5}},
        ],
    },
    "expression_symmetry": 0.8,
}
"""A few expressions at a time, as in the quickstart."""


AHEAD: Laws = {"gaze": {axis: {"law": "constant", "value": 0} for axis in ("yaw", "pitch")}}
"""Eyes that look straight ahead."""


def turned(yaw: float) -> Laws:
    """A head that is turned by ``yaw`` degrees and no other way."""
    still = {name: {"law": "constant", "value": 0} for name in ("pitch", "roll")}
    return {"pose": {"yaw": {"law": "constant", "value": yaw}, **still}}


def portraits(model: MorphableModel, laws: Laws, count: int, seed: int = 0, *, grey: bool = False) -> Renders:
    """Pictures (count, SIZE, SIZE, 3) with their landmarks.

    Args:
        model: who is drawn.
        laws: entries of the ``sample`` section.
        count: how many, a person each.
        seed: of the draws.
        grey: without any colour: skin, hair and irises of one reflectance.
    """
    sampler = Sampler(validate(SampleConfig, dict(laws), source="laws"), model, SIZE, SIZE, seed)
    samples = sampler.draw(np.arange(count))
    if grey:
        model = _without_colours(model)
        samples = replace(samples, iris_colour=np.full_like(samples.iris_colour, GREY))
    stage = RenderStage(RenderConfig(size=SIZE), model)
    renders = stage.render(samples)
    stage.close()
    assert renders.valid.all()
    return renders


def _without_colours(model: MorphableModel) -> MorphableModel:
    grey = np.full((model.topology.vertex_count, 3), GREY, np.float32)
    basis = np.zeros((len(model.albedo_names), *grey.shape), np.float32)
    return replace(model, albedo=LinearAlbedo(model.albedo_names, grey, basis), relief=None)


def backgrounds(count: int) -> NDArray[np.uint8]:
    """(count, SIZE, SIZE, 3) what is behind a face, without the face."""
    return np.stack([draw_background(RenderConfig().background, seed, SIZE, SIZE) for seed in range(count)])
