"""What training is told: the model, the clean faces, and the denoisers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from facegen.morphable.config import DefaultModelConfig, ModelConfig
from facegen.settings import Section


class RecordedFaces(Section):
    """Expressions of recorded people: Live Link Face takes."""

    source: Literal["recordings"] = "recordings"
    train: tuple[Path, ...] = Field(min_length=1)
    """Takes to learn from; ``$NAME`` in a path is an environment variable."""
    test: tuple[Path, ...] = Field(min_length=1)
    """Takes to test on: others than those learnt from."""
    mirrored: bool = False
    """Learn from each frame's mirror image too."""

    @model_validator(mode="after")
    def _apart(self) -> RecordedFaces:
        both = sorted({str(path) for path in self.train} & {str(path) for path in self.test})
        if both:
            raise ValueError(f"'{both[0]}' is both in 'train' and in 'test'")
        return self


class PopulationFaces(Section):
    """Identities of the model's own people; of a model without a population, by its Gaussian law."""

    source: Literal["population"] = "population"
    train: Annotated[int, Field(ge=100, le=10**7)] = 20000
    """People to learn from."""
    test: Annotated[int, Field(ge=100, le=10**6)] = 4000
    """People to test on."""


class FittedFaces(Section):
    """Identities or expressions fitted to photographs: 300W-3D, AFLW2000-3D."""

    source: Literal["fitted"] = "fitted"
    folder: Path
    """Holds their ``.mat`` files."""
    deviations: Path
    """The Basel model file whose ``shapeEV`` or ``expEV`` turn raw units into σ."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the files to test on."""


CleanConfig = Annotated[RecordedFaces | PopulationFaces | FittedFaces, Field(discriminator="source")]


class TrainedConfig(Section):
    """What all denoisers are told."""

    batch: int = Field(default=128, ge=1, le=65536)
    """Faces per step."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    """Of Adam."""
    noise: float = Field(default=1.0, gt=0, le=100)
    """Strength of the corruption, relative to the paper's."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many rounds without a smaller loss on the test faces, which are then no independent test."""


class ConvolutionalConfig(TrainedConfig):
    """The network and the schedule of the manifold paper."""

    method: Literal["convolutional"] = "convolutional"
    epochs: int = Field(default=10, ge=1, le=100000)
    """Rounds through the clean faces."""
    corruptions: int | None = Field(default=None, ge=1, le=100000)
    """Corrupted versions of each face in a round, drawn anew; ``None`` takes the paper's: 100 of an identity, 50 of an
    expression."""


class SteppedConfig(TrainedConfig):
    """What the denoisers that are ours are told."""

    batch: int = Field(default=256, ge=1, le=65536)
    steps: int = Field(default=12000, ge=1, le=10**8)
    """Steps of training; the learning rate falls to 0 by half a cosine."""
    hidden: int = Field(default=256, ge=8, le=8192)
    """Width of the network."""
    blocks: int = Field(default=3, ge=1, le=100)
    """Residual blocks."""
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the running mean of the weights, which is what is kept."""


class GatedConfig(SteppedConfig):
    """A network that sees which coefficients are out of range."""

    method: Literal["gated"] = "gated"


class PosteriorConfig(SteppedConfig):
    """A diffusion model that draws possible faces."""

    method: Literal["posterior"] = "posterior"
    flatten: float = Field(default=0.0, ge=0, le=4)
    """Show a face in proportion to its distance to its tenth neighbour, to this power: a performance rests at the
    neutral face most of the time, and a flattened one visits all faces alike."""
    conditioned: bool = True
    """Learn what is known of the clean faces (sex, age; how expressive), so that it can be asked for."""
    raw_power: float = Field(default=0.0, ge=0, le=1)
    """0: noise blurs all coefficients alike. 1: it is so many millimetres of each, so that what is large on a face
    survives where details are drawn anew. In between for in between."""
    level_spread: float = Field(default=1.2, gt=0, le=10)
    """Standard deviation of the logarithm of the noise levels in training: more where coefficients differ in scale."""
    start: float = Field(default=4.0, gt=0, le=1000)
    """See :class:`~facegen.manifold.posterior.Path`; as are those that follow."""
    end: float = Field(default=0.4, gt=0, le=1000)
    heun_steps: int = Field(default=18, ge=2, le=1000)
    churn: float = Field(default=0.0, ge=0, le=1000)
    churn_below: float = Field(default=2.0, ge=0, le=1000)
    guidance: float = Field(default=1.0, ge=0, le=100)

    @model_validator(mode="after")
    def _downhill(self) -> PosteriorConfig:
        if self.end >= self.start:
            raise ValueError(f"'end' is {self.end}, not below 'start', {self.start}")
        return self


MethodConfig = Annotated[ConvolutionalConfig | GatedConfig | PosteriorConfig, Field(discriminator="method")]


class TrainConfig(Section):
    """A training run: denoisers of one group of coefficients of one model."""

    name: str = "unnamed"
    """For people."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of all randomness."""
    model: ModelConfig | None = DefaultModelConfig()
    """The face model; ``null`` for fitted faces of a model that is not at hand."""
    group: Literal["identity", "expression"]
    """Which coefficients."""
    clean: CleanConfig
    """The possible faces to learn from and to test on."""
    half: bool = False
    """Store the layers in 16 bits: half the size, for weights that are to be handed on."""
    denoisers: dict[str, MethodConfig] = Field(min_length=1)
    """Name → denoiser."""

    @field_validator("model", mode="before")
    @classmethod
    def _default_unless_said(cls, value: object) -> object:
        return {"name": "default", **value} if isinstance(value, dict) else value

    @field_validator("denoisers")
    @classmethod
    def _file_names(cls, value: dict[str, MethodConfig]) -> dict[str, MethodConfig]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
                raise ValueError(f"'{name}' names a file; expected small letters, digits and dashes")
        return value

    @model_validator(mode="after")
    def _faces_fit(self) -> TrainConfig:
        if isinstance(self.clean, RecordedFaces) and self.group != "expression":
            raise ValueError("'clean: {source: recordings}' has expressions, no identities")
        if isinstance(self.clean, PopulationFaces) and self.group != "identity":
            raise ValueError("'clean: {source: population}' has identities, no expressions")
        if self.model is None and not isinstance(self.clean, FittedFaces):
            raise ValueError("'model: null' goes with 'clean: {source: fitted}' alone")
        return self
