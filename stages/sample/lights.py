"""Draws the light of each face: of a studio, outdoors, in a room, or by an environment map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ConfigurationError
from facegen.lighting.environments import EnvironmentFolder
from facegen.lighting.light import Light
from facegen.lighting.outdoor import Outdoors, outdoor_light, surroundings
from facegen.lighting.room import room_light
from facegen.paths import expand
from facegen.randomness import generator
from facegen.stages.sample.light import studio_light
from facegen.stages.sample.light_config import (
    EnvironmentLight,
    IndoorLight,
    LightConfig,
    MixtureLight,
    OneLight,
    OutdoorLight,
    StudioLight,
    environment_folders,
    light_count,
    parts_of,
    scalar_names,
)
from facegen.stages.sample.rooms import draw_room

Float64 = NDArray[np.float64]
Streams = Callable[[str], np.random.Generator]
"""Group of numbers → the stream of one face for it."""

FOLDER_KEY = "sample.light.folder"
"""The setting that names a folder of environment maps, for messages."""

_KINDS = (StudioLight, OutdoorLight, IndoorLight, EnvironmentLight)


class LightSource:
    """The lights of one configuration; every face has the same number of them, those of no use with colour 0."""

    def __init__(self, config: LightConfig, seed: int) -> None:
        """List the folders of environment maps, if there are any.

        Raises:
            LightError: one cannot be read or has no maps.
            ConfigurationError: its path has a variable that is not set.
        """
        self._config = config
        self._seed = seed
        self._folders = {path: EnvironmentFolder(expand(path, FOLDER_KEY)) for path in environment_folders(config)}
        self._count = light_count(config)

    def check(self) -> None:
        """Read all environment maps, once before a run.

        Raises:
            LightError: naming one that is damaged or no map.
            MissingDependencyError: one needs a package that is not installed.
        """
        for part in parts_of(self._config):
            if isinstance(part, EnvironmentLight):
                self._folders[part.folder].check(part.lights)

    @property
    def swept(self) -> tuple[str, ...]:
        """The parameters that a grid may sweep, as it calls them."""
        if isinstance(self._config, MixtureLight):
            return ()
        return tuple(f"light.{name}" for name in scalar_names(type(self._config)))

    def refuse_sweep(self, place: str, parameter: str) -> None:
        """Refuse the sweep of a parameter that other kinds of light have and this one has not.

        Raises:
            ConfigurationError: naming what there is.
        """
        elsewhere = {f"light.{name}" for kind in _KINDS for name in scalar_names(kind)}
        if parameter in elsewhere and parameter not in self.swept:
            known = ", ".join(self.swept) or "nothing, since each face may have another kind"
            raise ConfigurationError(
                f"{place}: light of kind '{self._config.kind}' has no '{parameter}'; a grid may sweep {known}"
            )

    def draw(self, number: NDArray[np.int64], swept: Mapping[str, Float64], head: Float64) -> list[Light]:
        """The light of B faces, camera frame.

        Args:
            number: (B,) what decides the light; faces that share it are lit alike.
            swept: parameter → values (B,) where a grid sweeps it.
            head: (B, 3) mm, camera frame: the middle of the head.
        """
        return [
            self._one(int(n), {name: float(values[row]) for name, values in swept.items()}, head[row])
            for row, n in enumerate(number)
        ]

    def _one(self, number: int, swept: Mapping[str, float], head: Float64) -> Light:
        def streams(group: str) -> np.random.Generator:
            return generator(self._seed, "sample", group, number)

        config = _chosen(self._config, streams)
        # Studio light had these streams first, and keeps them.
        rng = streams("light" if isinstance(config, StudioLight) else f"light-{config.kind}")
        drawn = {name: float(getattr(config, name).draw(rng, 1)[0]) for name in scalar_names(type(config))}
        drawn |= {name.removeprefix("light."): value for name, value in swept.items()}
        if isinstance(config, StudioLight):
            return studio_light(drawn, streams("light-shape").standard_normal(9)).strongest(self._count)
        scene = streams(f"light-{config.kind}-scene")
        if isinstance(config, OutdoorLight):
            light = _outdoors(drawn, scene)
        elif isinstance(config, IndoorLight):
            room, emitters, azimuth = draw_room(drawn, config.lamps, scene)
            light = room_light(room, emitters, config.lights).turned(np.radians(drawn["azimuth"]) - azimuth)
        else:
            folder = self._folders[config.folder]
            light = folder.light(int(scene.integers(len(folder.files))), config.lights)
            light = light.turned(np.radians(drawn["rotation"]))
        exposed = light.exposed(max(drawn["exposure"], 0.0), float(np.clip(drawn["adaptation"], 0, 1)))
        return exposed.strongest(self._count).in_camera(head)


def _chosen(config: LightConfig, streams: Streams) -> OneLight:
    if not isinstance(config, MixtureLight):
        return config
    # From a stream of its own, so that each part draws what it would draw alone.
    bounds = np.cumsum([part.weight for part in config.components])
    chosen = np.searchsorted(bounds, streams("light-kind").random() * bounds[-1], side="right")
    return config.components[min(int(chosen), len(bounds) - 1)].light


def _outdoors(drawn: Mapping[str, float], scene: np.random.Generator) -> Light:
    ground, things = surroundings(float(np.clip(drawn["ground"], 0, 0.9)), scene)
    return outdoor_light(
        Outdoors(
            azimuth=np.radians(drawn["azimuth"]),
            elevation=np.radians(np.clip(drawn["elevation"], 1, 90)),
            turbidity=float(np.clip(drawn["turbidity"], 2, 8)),
            overcast=float(np.clip(drawn["overcast"], 0, 1)),
            cloud_temperature=scene.uniform(5800, 7500),
            shade=float(np.clip(drawn["shade"], 0, 1)),
            skyline=np.radians(np.clip(drawn["skyline"], 0, 60)),
            things=things,
            ground=ground,
        )
    )


def folder_digests(config: LightConfig) -> list[str]:
    """sha256 of names and contents of each folder of environment maps, in order.

    Raises:
        LightError: one cannot be read.
    """
    return [_folder(path).digest() for path in environment_folders(config)]


def _folder(path: Path) -> EnvironmentFolder:
    return EnvironmentFolder(expand(path, FOLDER_KEY))
