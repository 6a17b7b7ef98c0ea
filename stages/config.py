"""The whole configuration of a run, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from facegen.morphable.config import DefaultModelConfig, ModelConfig
from facegen.morphable.model import MorphableModel
from facegen.pipeline.executors.config import ExecutorConfig, LocalConfig
from facegen.settings import Section
from facegen.stages.compose.config import ComposeConfig
from facegen.stages.denoise.config import DenoiseConfig
from facegen.stages.pack.config import PackConfig
from facegen.stages.render.config import RenderConfig
from facegen.stages.sample.config import SampleConfig

FORMAT = 3
"""Changes when the same configuration would give other bytes: runs of another format are not continued."""

MOST_SHARDS = 1_000_000
"""A run keeps the list of its shards in memory, and each has a record and some twenty files."""


class RunConfig(Section):
    """A run: which model, how many faces, and what each stage does."""

    name: str = "unnamed"
    """For people; no part of the fingerprint."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Of all randomness."""
    faces: Annotated[int, Field(ge=1, le=10**10)] = 256
    """Number of faces; a run can be continued with more."""
    shard_size: Annotated[int, Field(ge=1, le=65536)] = 64
    """Faces per shard: the unit of work, of storage and of recovery."""
    model: ModelConfig = DefaultModelConfig()
    """The face model; the embedded one unless ``name`` says another."""
    sample: SampleConfig = SampleConfig()
    """The laws of all that is drawn."""
    denoise: DenoiseConfig = DenoiseConfig()
    """Which coefficients are brought back to possible faces; none unless said."""
    compose: ComposeConfig = ComposeConfig()
    """Which parts of faces are swapped for those of other people; none unless said."""
    render: RenderConfig = RenderConfig()
    """Image size, back-end, background."""
    pack: PackConfig = PackConfig()
    """What is stored."""
    executor: ExecutorConfig = LocalConfig()
    """Who makes the shards; the bytes are the same whoever does."""

    @field_validator("executor", mode="before")
    @classmethod
    def _local_unless_said(cls, value: object) -> object:
        return {"kind": "local", **value} if isinstance(value, dict) else value

    @field_validator("model", mode="before")
    @classmethod
    def _default_unless_said(cls, value: object) -> object:
        return {"name": "default", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _few_shards(self) -> RunConfig:
        if self.faces > MOST_SHARDS * self.shard_size:
            raise ValueError(f"{self.faces:,} faces need a 'shard_size' of {-(-self.faces // MOST_SHARDS):,} or more")
        return self


def fingerprint(
    config: RunConfig,
    model: MorphableModel,
    recordings: Sequence[str],
    denoisers: Mapping[str, Mapping[str, Any]] | None = None,
    composer: Mapping[str, Any] | None = None,
    backgrounds: Sequence[str] = (),
    environments: Sequence[str] = (),
) -> str:
    """Digest of all that decides a face's bytes.

    The model, the recordings, background images, environment maps and all weights count by their content, not by their
    path; name, number of faces and who makes them do not count.

    Args:
        config: the resolved configuration.
        model: as loaded, cut included.
        recordings: sha256 of each recording that the sample stage reads, in order.
        denoisers: by group, as :attr:`~facegen.stages.denoise.stage.DenoiseStage.provenance` has them; ``None`` or
            empty where nothing is denoised.
        composer: as :attr:`~facegen.stages.compose.stage.ComposeStage.provenance` has it; ``None`` or empty where
            nothing is composed.
        backgrounds: digest of each folder that background images are taken from, in order.
        environments: digest of each folder that environment maps are taken from, in order.
    """
    apart = {"name", "faces", "model", "denoise", "compose", "executor"}
    values: dict[str, Any] = config.model_dump(mode="json", exclude=apart)
    values["model"] = model.sha256
    if recordings:
        values["sample"]["expression"]["recordings"] = list(recordings)
    if backgrounds:
        values["render"]["background"] = _without_folders(values["render"]["background"], "background")
        values["background_images"] = list(backgrounds)
    if environments:
        values["sample"]["light"] = _without_folders(values["sample"]["light"], "light")
        values["environment_maps"] = list(environments)
    if denoisers:
        values["denoise"] = {"device": config.denoise.device, **denoisers}
    if composer:
        values["compose"] = {"device": config.compose.device, **composer}
    values["format"] = FORMAT
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without_folders(section: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings of a background or light, and of the parts of a mixture, without the paths of folders.

    Args:
        section: as plain values.
        name: of what a part of a mixture has.
    """
    settings = {key: value for key, value in section.items() if key != "folder"}
    if "components" in settings:
        settings["components"] = [part | {name: _without_folders(part[name], name)} for part in settings["components"]]
    return settings
