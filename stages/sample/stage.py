"""The sample stage: from face numbers to coefficients, pose, camera and light."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC, Samples
from facegen.errors import ConfigurationError
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.morphable.arkit import arkit_index
from facegen.morphable.constraints import respect_limits
from facegen.morphable.gaze import lids_follow
from facegen.morphable.livelink import Recording, read_livelink
from facegen.morphable.model import MorphableModel
from facegen.morphable.population import PopulationDraw
from facegen.morphable.sides import right_to_left
from facegen.paths import expand
from facegen.randomness import generator
from facegen.settings import Section
from facegen.stages.sample.config import DrawnGaze, SampleConfig
from facegen.stages.sample.grid import Grid
from facegen.stages.sample.iris import iris_colour
from facegen.stages.sample.laws import Empirical, FromPopulation, PersonLaw
from facegen.stages.sample.lights import LightSource

Float64 = NDArray[np.float64]


class Sampler:
    """Draws faces of one model by the laws of a configuration. A face depends on nothing but seed and number."""

    def __init__(self, config: SampleConfig, model: MorphableModel, height: int, width: int, seed: int) -> None:
        """Prepare the laws.

        Args:
            config: the laws.
            model: whose coefficients are drawn.
            height, width: of the image, pixels.
            seed: of the run.

        Raises:
            ConfigurationError: when a grid sweeps a parameter that does not exist, or a law asks for a population that
                the model does not have.
            CaptureError: when a recording cannot be read.
            LightError: when a folder of environment maps cannot be read.
        """
        if config.needs_population and model.population is None:
            raise ConfigurationError(f"sample: the model '{model.name}' has no population to draw people from")
        self._config = config
        self._model = model
        self._size = height, width
        self._seed = seed
        self._lights = LightSource(config.light, seed)
        self._scalars = {
            f"{section}.{name}": getattr(part, name)
            for section, part in self._scalar_sections().items()
            for name in type(part).model_fields
            if name not in ("projection", "source")
        }
        coefficients = [f"identity.{name}" for name in range(len(model.identity_names))]
        coefficients += [f"expression.{name}" for name in model.expression_names]
        coefficients += [f"albedo.{name}" for name in model.albedo_names]
        for place, axis in enumerate(config.grid):
            self._lights.refuse_sweep(f"sample.grid.{place}", axis.parameter)
        self._grid = Grid(config.grid, [*self._scalars, *self._lights.swept, *coefficients])
        self._recorded = _Recorded(config.expression, model) if isinstance(config.expression, Empirical) else None

    @property
    def recordings(self) -> list[Recording]:
        """The recordings that expressions are drawn from, as read; none unless the law is empirical."""
        return self._recorded.recordings if self._recorded else []

    def check(self) -> None:
        """Read all environment maps, once before a run.

        Raises:
            LightError: naming one that is damaged or no map.
            MissingDependencyError: one needs a package that is not installed.
        """
        self._lights.check()

    def _scalar_sections(self) -> dict[str, Section]:
        config = self._config
        sections: dict[str, Section] = {"pose": config.pose, "camera": config.camera}
        if isinstance(config.gaze, DrawnGaze):
            sections["gaze"] = config.gaze
        return sections

    def draw(self, face: NDArray[np.int64]) -> Samples:
        """Draw the faces with the given numbers (B,).

        Laws may reach beyond what float32 holds; the render stage fails the faces of such numbers.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self._draw(face)

    def identities(self, number: NDArray[np.int64]) -> NDArray[np.float32]:
        """Identity coefficients (B, Ki) of the persons with the given identity numbers (B,), whatever a grid sweeps."""
        law, numbers = self._config.identity, [int(n) for n in number]
        people = [self._person(n).identity for n in numbers] if isinstance(law, FromPopulation) else []
        with np.errstate(over="ignore", invalid="ignore"):
            drawn = self._coefficients(law, "identity", numbers, people, len(self._model.identity_names))
            return drawn.astype(np.float32)

    def _draw(self, face: NDArray[np.int64]) -> Samples:
        swept = self._grid.values(face)
        # Faces of one round of the grid share whatever the grid does not sweep.
        round_number = face // self._grid.cells
        identity_number = round_number // self._config.images_per_identity
        scalars = self._draw_scalars(round_number) | {k: v for k, v in swept.items() if k in self._scalars}
        identity, albedo, iris = self._draw_person(identity_number)
        expression, recorded_gaze = self._draw_expression(round_number)
        gaze = self._gaze(scalars) if recorded_gaze is None else recorded_gaze
        if recorded_gaze is None:
            lids_follow(expression, self._model.expression_names, gaze)
        for group, names, values in (
            ("identity", range(len(self._model.identity_names)), identity),
            ("expression", self._model.expression_names, expression),
            ("albedo", self._model.albedo_names, albedo),
        ):
            for column, name in enumerate(names):
                if f"{group}.{name}" in swept:
                    values[:, column] = swept[f"{group}.{name}"]
        intrinsics, extrinsics, pose = self._camera(scalars)
        head = np.einsum("bij,j->bi", extrinsics[:, :3], np.append(self._model.pivot, 1.0))
        of_light = {name: values for name, values in swept.items() if name.startswith("light.")}
        lights = self._lights.draw(round_number, of_light, head)
        backgrounds = [self._generator("background", int(n)).integers(0, 2**63) for n in round_number]
        kind = PERSPECTIVE if self._config.camera.projection == "perspective" else SCALED_ORTHOGRAPHIC
        return Samples(
            face=face.astype(np.int64),
            identity_number=identity_number.astype(np.int64),
            identity=identity.astype(np.float32),
            expression=respect_limits(self._model, expression.astype(np.float32)),
            albedo=albedo.astype(np.float32),
            iris_colour=iris.astype(np.float32),
            gaze=gaze.astype(np.float32),
            pose=pose.astype(np.float32),
            projection=np.full(len(face), kind, np.uint8),
            intrinsics=intrinsics,
            extrinsics=extrinsics,
            light_sh=np.array([light.sh for light in lights], np.float32),
            light_position=np.array([light.position for light in lights], np.float32),
            light_colour=np.array([light.colour for light in lights], np.float32),
            light_radius=np.array([light.radius for light in lights], np.float32),
            background_seed=np.array(backgrounds, np.uint64),
        )

    def _generator(self, group: str, number: int) -> np.random.Generator:
        return generator(self._seed, "sample", group, number)

    def _draw_scalars(self, number: NDArray[np.int64]) -> dict[str, Float64]:
        """Parameter → values (B,), in the units of the configuration; one stream a section."""
        drawn: dict[str, Float64] = {name: np.empty(len(number)) for name in self._scalars}
        for section in self._scalar_sections():
            names = [name for name in self._scalars if name.startswith(f"{section}.")]
            for row, n in enumerate(number):
                rng = self._generator(section, int(n))
                for name in names:
                    drawn[name][row] = self._scalars[name].draw(rng, 1)[0]
        return drawn

    def _draw_person(self, number: NDArray[np.int64]) -> tuple[Float64, Float64, Float64]:
        model, config = self._model, self._config
        numbers = [int(n) for n in number]
        people = [self._person(n) for n in numbers] if config.needs_population else []
        of_people = [p.identity for p in people], [p.albedo for p in people]
        identity = self._coefficients(config.identity, "identity", numbers, of_people[0], len(model.identity_names))
        albedo = self._coefficients(config.albedo, "albedo", numbers, of_people[1], len(model.albedo_names))
        iris: list[NDArray[np.floating]]
        if config.iris == "population":
            iris = [p.iris for p in people]
        else:
            iris = [iris_colour(config.iris, self._generator("iris", n)) for n in numbers]
        return identity, albedo, np.array(iris, np.float64).reshape(-1, 3)

    def _coefficients(
        self, law: PersonLaw, section: str, numbers: list[int], of_people: list[NDArray[np.float32]], count: int
    ) -> Float64:
        """Coefficients (B, count) of persons by their number, those of the population as drawn with it."""
        if isinstance(law, FromPopulation):
            return np.array(of_people, np.float64).reshape(len(numbers), count)
        return np.array([law.draw(self._generator(section, n), count) for n in numbers]).reshape(-1, count)

    def _person(self, number: int) -> PopulationDraw:
        """The person that identity, albedo and iris of a number share."""
        assert self._model.population is not None
        return self._model.population.draw(self._generator("population", number))

    def _draw_expression(self, number: NDArray[np.int64]) -> tuple[Float64, Float64 | None]:
        """Expression coefficients (B, Ke) and, when recorded eyes are asked for, the gaze (B, 2, 2)."""
        law, names = self._config.expression, self._model.expression_names
        expression = np.empty((len(number), len(names)))
        gaze = np.zeros((len(number), 2, 2))
        mirrored = right_to_left(names)
        for row, n in enumerate(int(n) for n in number):
            rng = self._generator("expression", n)
            if isinstance(law, Empirical):
                assert self._recorded is not None
                expression[row], gaze[row] = self._recorded.draw(rng)
            else:
                expression[row] = law.draw(rng, len(names))
            if self._generator("symmetry", n).random() < self._config.expression_symmetry:
                for right, left in mirrored.items():
                    expression[row, right] = expression[row, left]
        return expression, gaze if self._config.gaze.source == "recorded" else None

    def _gaze(self, scalars: Mapping[str, Float64]) -> Float64:
        angles = np.radians(np.stack([scalars["gaze.yaw"], scalars["gaze.pitch"]], axis=1))
        # Muscles stop the eye at about 35° (sideways) and 30° (up and down).
        angles = angles.clip(-np.radians([35, 30]), np.radians([35, 30]))
        return np.repeat(angles[:, None], 2, axis=1)

    def _camera(self, scalars: Mapping[str, Float64]) -> tuple[Float64, Float64, Float64]:
        height, width = self._size
        angles = [np.radians(scalars[f"pose.{name}"]) for name in ("yaw", "pitch", "roll")]
        shift = np.stack([scalars[f"pose.{name}"] for name in ("x", "y", "z")], axis=1)
        distance = np.maximum(scalars["camera.distance"], 1.0)
        scale = height / np.maximum(scalars["camera.frame"], 1e-3)
        if self._config.camera.projection == "perspective":
            scale = scale * distance
        extrinsics = extrinsic_matrices(head_rotation(*angles), shift, self._model.pivot.astype(np.float64), distance)
        intrinsics = np.zeros((len(shift), 3, 3))
        intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = scale
        intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
        return intrinsics, extrinsics, np.concatenate([np.stack(angles, axis=1), shift], axis=1)


class _Recorded:
    """Frames of recordings as expression weights of a model."""

    def __init__(self, law: Empirical, model: MorphableModel) -> None:
        self.recordings = [_read(expand(path, "sample.expression.recordings")) for path in law.recordings]
        self._weights = np.concatenate([r.weights for r in self.recordings])[:, arkit_index(model.expression_names)]
        self._gaze = np.concatenate([r.gaze for r in self.recordings])
        self._jitter = law.jitter

    def draw(self, rng: np.random.Generator) -> tuple[Float64, Float64]:
        """Weights (Ke,) and gaze (2, 2) of a frame."""
        frame = int(rng.integers(len(self._weights)))
        noise = self._jitter * rng.standard_normal(self._weights.shape[1])
        return self._weights[frame] + noise, self._gaze[frame].astype(np.float64)


_read = lru_cache(maxsize=64)(read_livelink)


def recording_paths(config: SampleConfig) -> tuple[Path, ...]:
    """The recordings that the configuration reads, in order."""
    return config.expression.recordings if isinstance(config.expression, Empirical) else ()
