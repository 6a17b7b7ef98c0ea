"""Faces of a model as sample and render stage make them, row by row, and the labels that follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Renders, Samples
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.seen import Pictured
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler

PEOPLE = {
    "identity": {"law": "population"},
    "albedo": {"law": "population"},
    "expression": {
        "law": "mixture",
        "components": [
            {"weight": 0.8, "law": {"law": "constant", "value": 0}},
            {"weight": 0.2, "law": {"law": "uniform", "low": 0, "high": 0.5}},
        ],
    },
    "pose": {"yaw": {"law": "uniform", "low": -50, "high": 50}},
}
"""People of the population in several poses."""


def constant(value: float) -> dict[str, Any]:
    """The law of a number that does not vary."""
    return {"law": "constant", "value": value}


class Album:
    """Some faces of a model, rendered.

    Args:
        model: the model.
        drawn: number of faces to draw, or what was drawn.
        sample: configuration of the sample stage.
        size: (height, width) of the images.
        render: more of the configuration of the render stage.
    """

    def __init__(
        self, model: MorphableModel, drawn: int | Samples, sample: dict[str, Any], size: tuple[int, int], **render: Any
    ) -> None:
        self.model = model
        config = validate(SampleConfig, sample, source="test")
        sampler = Sampler(config, model, *size, 3)
        self.samples: Samples = sampler.draw(np.arange(drawn)) if isinstance(drawn, int) else drawn
        stage = RenderStage(validate(RenderConfig, {"size": list(size), **render}, source="test"), model)
        self.renders: Renders = stage.render(self.samples)
        stage.close()
        assert self.renders.valid.all(), self.renders.reason

    def mesh(self, row: int) -> CameraMesh:
        """A face in the camera frame."""
        topology = self.model.topology
        return CameraMesh.from_model(self.renders.vertices[row], topology.triangles, self.samples.extrinsics[row])

    def arrays(self, row: int) -> dict[str, NDArray[Any]]:
        """A face's arrays by name."""
        arrays: dict[str, Any] = {**self.samples.as_dict(), **self.renders.as_dict()}
        return {name: values[row] for name, values in arrays.items()}

    def pictured(self, row: int) -> Pictured:
        """A face as correspondence takes it."""
        return Pictured.of(self.model.topology, self.arrays(row))
