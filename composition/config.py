"""What training is told: the model, its people, the parts, and the networks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from facegen.composition.initial import PASSED
from facegen.composition.network import Architecture
from facegen.composition.parts import PartsConfig
from facegen.morphable.config import DefaultModelConfig, ModelConfig
from facegen.settings import Section


class PeopleConfig(Section):
    """The faces: neutral people of the model's population, or of its Gaussian law where it has none."""

    train: Annotated[int, Field(ge=8, le=10**6)] = 1780
    """People to learn from."""
    test: Annotated[int, Field(ge=2, le=10**6)] = 220
    """People to test on."""


class AdamSchedule(Section):
    """A few epochs of Adam, its rate rising at first and then falling by half a cosine."""

    optimiser: Literal["adam"] = "adam"
    epochs: Annotated[int, Field(ge=1, le=10**6)] = 8
    batch: Annotated[int, Field(ge=1, le=65536)] = 16
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3


class MomentumSchedule(Section):
    """The paper's: stochastic gradient descent with momentum, its rate falling by a factor an epoch."""

    optimiser: Literal["sgd"] = "sgd"
    epochs: Annotated[int, Field(ge=1, le=10**6)] = 300
    batch: Annotated[int, Field(ge=1, le=65536)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.0125
    decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Factor of the learning rate, each epoch."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    """As in CoMA; the paper does not say."""


Schedule = Annotated[AdamSchedule | MomentumSchedule, Field(discriminator="optimiser")]


class LossConfig(Section):
    """Weights of what is added to the L1 error of reconstruction."""

    cycle: Annotated[float, Field(ge=0, le=100)] = 0.1
    """Parts swapped, encoded again and swapped back have to give the faces they were of (Dubrovina et al. 2019)."""
    blend: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Parts swapped have to make the vertices of the faces they are of, mixed by the local weights (ours)."""
    partition: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Projections have to be those of a partition of the identity (Dubrovina et al. 2019; not in the paper)."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of each batch whose parts are swapped."""


class NetworkConfig(Section):
    """What all autoencoders are told."""

    channels: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(default=(16, 16, 32), min_length=1)
    """Of the encoder's convolutions, one a level; the paper has 16, 16, 16, 32."""
    order: Annotated[int, Field(ge=1, le=64)] = 6
    """K of the Chebyshev polynomials."""
    latent: Annotated[int, Field(ge=1, le=4096)] = 64
    """Numbers of a code."""
    start: Literal["linear", "random"] = "linear"
    """Weights to begin with: those of principal components as far as the layers can, or random ones as in the paper."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What dense products in training may be rounded to, where the device has faster units for it; sums are in float32,
    and sums over neighbours always all of it."""
    schedule: Schedule = AdamSchedule()

    @field_validator("schedule", mode="before")
    @classmethod
    def _adam_unless_said(cls, value: object) -> object:
        return {"optimiser": "adam", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _wide_enough(self) -> NetworkConfig:
        if self.start == "linear" and min(self.channels) < PASSED:
            raise ValueError(f"'start: linear' needs at least {PASSED} channels at every level")
        return self


class WeightedConfig(NetworkConfig):
    """The locally weighted autoencoder, and its ablations."""

    method: Literal["weighted"] = "weighted"
    local_weights: bool = True
    """Without them every part counts alike at every vertex."""
    projections: bool = True
    """Without them every part has the whole code."""
    shared_map: bool = False
    """One map from code to channels for all coarse vertices, rather than one for each."""
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _can_start(self) -> WeightedConfig:
        if self.shared_map and self.start == "linear":
            raise ValueError("'shared_map: true' goes with 'start: random' alone")
        if not self.local_weights and self.loss.blend:
            raise ValueError("'loss.blend' needs 'local_weights'")
        if not self.projections and self.loss.partition:
            raise ValueError("'loss.partition' needs 'projections'")
        return self


class ComaConfig(NetworkConfig):
    """A plain CoMA of the same size (Ranjan et al. 2018), trained on reconstruction alone."""

    method: Literal["coma"] = "coma"


AnyNetworkConfig = Annotated[WeightedConfig | ComaConfig, Field(discriminator="method")]


def architecture_of(config: WeightedConfig | ComaConfig) -> Architecture:
    """The sizes of a network."""
    return Architecture(
        channels=config.channels,
        order=config.order,
        latent=config.latent,
        projections=config.projections if isinstance(config, WeightedConfig) else False,
        shared_map=config.shared_map if isinstance(config, WeightedConfig) else False,
    )


class TrainConfig(Section):
    """A training run: autoencoders of one face model."""

    name: str = "unnamed"
    """For people."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of all randomness."""
    model: ModelConfig = DefaultModelConfig()
    """The face model."""
    people: PeopleConfig = PeopleConfig()
    factors: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(default=(4, 4, 2), min_length=1, max_length=8)
    """How many times fewer vertices each level of the hierarchy has; the paper has 4, 4, 4, 4 for 53,215 vertices."""
    parts: PartsConfig = PartsConfig()
    half: bool = False
    """Store the weights in 16 bits: half the size, for weights that are to be handed on."""
    networks: dict[str, AnyNetworkConfig] = Field(min_length=1)
    """Name → network."""

    @field_validator("model", mode="before")
    @classmethod
    def _default_unless_said(cls, value: object) -> object:
        return {"name": "default", **value} if isinstance(value, dict) else value

    @field_validator("networks")
    @classmethod
    def _file_names(cls, value: dict[str, AnyNetworkConfig]) -> dict[str, AnyNetworkConfig]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
                raise ValueError(f"'{name}' names a file; expected small letters, digits and dashes")
        return value

    @model_validator(mode="after")
    def _levels_agree(self) -> TrainConfig:
        for name, network in self.networks.items():
            if len(network.channels) != len(self.factors):
                raise ValueError(
                    f"'networks.{name}.channels' has {len(network.channels)} levels, 'factors' {len(self.factors)}"
                )
        return self
