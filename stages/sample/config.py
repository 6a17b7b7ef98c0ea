"""What the sample stage can be told. Angles are degrees here, where people write them, and radians everywhere else."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from facegen.settings import Section
from facegen.stages.laws import Constant, Gaussian, ScalarLaw, Uniform
from facegen.stages.sample.iris import IrisColour
from facegen.stages.sample.laws import Empirical, FromPopulation, PersonLaw, VectorLaw
from facegen.stages.sample.light_config import LightConfig, StudioLight


class PoseConfig(Section):
    """Head pose."""

    yaw: ScalarLaw = Uniform(low=-40, high=40)
    """Degrees, towards the subject's left."""
    pitch: ScalarLaw = Uniform(low=-15, high=15)
    """Degrees, chin up."""
    roll: ScalarLaw = Gaussian(sigma=5)
    """Degrees, crown towards the subject's right."""
    x: ScalarLaw = Gaussian(sigma=4)
    """Shift of the head towards the viewer's right, mm."""
    y: ScalarLaw = Gaussian(mean=6, sigma=4)
    """Shift upwards, mm."""
    z: ScalarLaw = Constant(value=0)
    """Shift towards the camera, mm."""


class CameraConfig(Section):
    """The camera."""

    projection: Literal["perspective", "scaled-orthographic"] = "perspective"
    """Scaled orthographic ignores the distance."""
    distance: ScalarLaw = Uniform(low=700, high=1500)
    """From the centre of projection to the head's pivot, mm."""
    frame: ScalarLaw = Uniform(low=265, high=310)
    """Height of the scene that the image spans at the pivot's distance, mm; it fixes the focal length."""


class DrawnGaze(Section):
    """Eyes that look in a drawn direction, both the same; the lids follow where the model has eyeLook expressions."""

    source: Literal["drawn"] = "drawn"
    yaw: ScalarLaw = Gaussian(sigma=9)
    """Degrees, towards the subject's left."""
    pitch: ScalarLaw = Gaussian(sigma=6)
    """Degrees, upwards."""


class RecordedGaze(Section):
    """Eye angles of the recorded frame that gave the expression (needs the empirical law)."""

    source: Literal["recorded"] = "recorded"


class GridAxis(Section):
    """One axis of a controlled sweep."""

    parameter: str
    """``pose.yaw``, ``gaze.pitch``, ``light.azimuth``, ``camera.distance``, ``expression.jawOpen``, ``identity.0`` …
    Of the light what its kind has."""
    values: tuple[float, ...] = Field(min_length=1)
    """The values it takes, in the units of the configuration."""


class SampleConfig(Section):
    """The laws of all that is drawn."""

    images_per_identity: int = Field(default=1, ge=1, le=10**12)
    """Consecutive faces that share identity, albedo and iris."""
    identity: PersonLaw = Uniform(width=1.7)
    """Identity coefficients, σ. Here, in ``albedo`` and in ``iris``, ``population`` draws one person for all three."""
    expression: VectorLaw = Constant(value=0)
    """Expression coefficients: weights 0 … 1 of blendshape models, σ of others."""
    expression_symmetry: float = Field(default=0.0, ge=0, le=1)
    """Probability that a face takes the left side's expression weights on the right side too."""
    albedo: PersonLaw = Gaussian()
    """Albedo coefficients, σ."""
    iris: dict[IrisColour, Annotated[float, Field(ge=0)]] | Literal["population"] = Field(
        default={"brown": 0.5, "hazel": 0.15, "green": 0.1, "blue": 0.2, "grey": 0.05}
    )
    """Relative frequency of iris colours, or ``population``."""
    gaze: Annotated[DrawnGaze | RecordedGaze, Field(discriminator="source")] = DrawnGaze()
    """Direction of the eyes."""
    pose: PoseConfig = PoseConfig()
    camera: CameraConfig = CameraConfig()
    light: LightConfig = StudioLight()
    """What lights the face; of kind ``studio`` unless said."""
    grid: tuple[GridAxis, ...] = ()
    """Controlled sweep: faces run through the Cartesian product of the axes, the last fastest; whatever no axis sweeps
    is drawn once per round and shared by its faces."""

    @field_validator("gaze", mode="before")
    @classmethod
    def _drawn_unless_said(cls, value: object) -> object:
        return {"source": "drawn", **value} if isinstance(value, dict) else value

    @field_validator("light", mode="before")
    @classmethod
    def _studio_unless_said(cls, value: object) -> object:
        return {"kind": "studio", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> SampleConfig:
        if self.gaze.source == "recorded" and not isinstance(self.expression, Empirical):
            raise ValueError("'gaze: {source: recorded}' needs 'expression: {law: empirical, …}'")
        if isinstance(self.iris, dict) and sum(self.iris.values()) <= 0:
            raise ValueError("'iris' needs at least one colour of positive frequency")
        return self

    @property
    def cells(self) -> int:
        """How many consecutive faces one round of the grid has, which share whatever it does not sweep."""
        return math.prod(len(axis.values) for axis in self.grid)

    @property
    def needs_population(self) -> bool:
        """Whether anything is drawn from the model's population."""
        return (
            isinstance(self.identity, FromPopulation)
            or isinstance(self.albedo, FromPopulation)
            or self.iris == "population"
        )
