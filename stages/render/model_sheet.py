"""A picture of a face model: its mean, people, expressions, and what its first components do."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.arkit import arkit_index
from facegen.morphable.constraints import respect_limits
from facegen.morphable.livelink import Recording
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import level_for
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import View
from facegen.storage import write_atomically

Float = NDArray[np.float32]

COLUMNS = 6
EXPRESSIONS: tuple[tuple[str, dict[str, float]], ...] = (
    ("smile", {"mouthSmile": 0.9, "cheekSquint": 0.5, "eyeSquint": 0.3}),
    ("laughter", {"mouthSmile": 0.9, "jawOpen": 0.45, "cheekSquint": 0.7, "eyeSquint": 0.5, "mouthUpperUp": 0.3}),
    ("surprise", {"jawOpen": 0.5, "browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.8}),
    ("anger", {"browDown": 1.0, "eyeSquint": 0.4, "mouthPress": 0.6, "noseSneer": 0.4, "mouthFrown": 0.3}),
    ("sadness", {"browInnerUp": 0.9, "mouthFrown": 0.8, "eyeBlink": 0.2, "mouthShrugLower": 0.4}),
    ("disgust", {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.4}),
    ("kiss", {"mouthPucker": 0.9, "eyeBlink": 0.4}),
    ("jaw open", {"jawOpen": 1.0}),
    ("eyes closed", {"eyeBlink": 1.0}),
    ("wink", {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.6, "cheekSquintLeft": 0.6}),
    ("puffed cheeks", {"cheekPuff": 1.0}),
    ("look aside", {"eyeLookOutLeft": 0.7, "eyeLookInRight": 0.7, "mouthLeft": 0.5, "browOuterUpLeft": 0.5}),
)
"""Weights of ARKit's expressions; a name without a side stands for both."""

_DISTANCE, _FRAME = 1100.0, 300.0
"""mm from the camera to the head, and the height of the scene that a cell shows."""
_GREY = 0.55
_BROWN = np.array([0.075, 0.036, 0.016], np.float32)
"""Iris of the mean, linear RGB."""
_PAPER, _INK, _BACKGROUND = (250, 250, 248), (90, 90, 92), (112, 120, 130)
_GAP, _CAPTION = 4, 18


@dataclass
class Portrait:
    """One cell of a sheet."""

    caption: str
    identity: Float
    expression: Float
    albedo: Float
    iris: Float
    yaw: float = 0.0
    """Degrees, towards the subject's left."""
    pitch: float = 0.0
    grey: bool = False
    """Without its colours."""
    gaze: Float | None = None
    """(2, 2) of the eyeballs, radians; ``None`` looks where the expression looks."""
    offset: Float | None = None
    """(V, 3) mm that the neutral face is beyond its coefficients."""
    colours: Float | None = None
    """(V, 3) linear RGB to paint the mesh with, instead of its colours."""


@dataclass(frozen=True)
class ModelSheet:
    """Draws portraits of one model."""

    model: MorphableModel
    cell: int
    """Side of a portrait in pixels."""
    _renderer: list[NumbaRenderer] = field(default_factory=list)

    def portraits(self) -> list[Portrait]:
        """The mean in three views, textured and grey; 12 people; 12 expressions; the ends of the first 5 components."""
        views = ((0.0, "front"), (40.0, "three-quarter"), (90.0, "profile"))
        mean = [self.mean(caption, yaw=yaw) for yaw, caption in views]
        mean += [self.mean(f"{caption}, grey", yaw=yaw, grey=True) for yaw, caption in views]
        return [*mean, *self._people(12), *self._expressions(), *self._components(5)]

    def draw(self, portraits: Sequence[Portrait | None], columns: int = COLUMNS) -> Image.Image:
        """An RGB picture, so many portraits a row; ``None`` leaves a cell empty."""
        rows = -(-len(portraits) // columns)
        step = self.cell + _GAP
        sheet = Image.new("RGB", (columns * step + _GAP, rows * (step + _CAPTION) + _GAP), _PAPER)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
        for place, portrait in enumerate(portraits):
            if portrait is None:
                continue
            row, column = divmod(place, columns)
            x, y = _GAP + column * step, _GAP + row * (step + _CAPTION)
            sheet.paste(Image.fromarray(self.render(portrait)), (x, y))
            draw.text((x + 1, y + self.cell + 2), portrait.caption, fill=_INK, font=font)
        return sheet

    def render(self, portrait: Portrait) -> NDArray[np.uint8]:
        """(cell, cell, 3) sRGB."""
        if not self._renderer:
            self._renderer.append(NumbaRenderer(self.model, self.cell, self.cell))
        model = self.model
        identity, expression, albedo = portrait.identity[None], portrait.expression[None], portrait.albedo[None]
        texture = relief = colours = None
        if portrait.colours is not None:
            colours = portrait.colours
        elif isinstance(model.albedo, TextureAlbedo):
            texels = 1.5 * self.cell
            texture = np.full((4, 4, 3), _encoded(_GREY), np.uint8)
            if not portrait.grey:
                texture = model.albedo.decode_texture(albedo, level_for(model.albedo.sizes, texels))[0]
            if model.relief is not None and not portrait.grey:
                relief = model.relief.decode(albedo, expression, level_for(model.relief.sizes, texels))[0]
        else:
            colours = model.decode_albedo(albedo)[0]
            if portrait.grey:
                colours[:] = _GREY
        focal = self.cell * _DISTANCE / _FRAME
        rotation = head_rotation(
            np.radians([portrait.yaw], dtype=np.float64), np.radians([portrait.pitch]), np.zeros(1)
        )
        view = View(
            vertices=model.decode(
                identity,
                expression,
                None if portrait.gaze is None else portrait.gaze[None],
                offset=None if portrait.offset is None else portrait.offset[None],
            )[0],
            albedo=colours,
            iris_colour=portrait.iris,
            projection=PERSPECTIVE,
            intrinsics=np.array([[focal, 0, self.cell / 2], [0, focal, self.cell / 2], [0, 0, 1.0]]),
            extrinsics=extrinsic_matrices(
                rotation, np.array([[0.0, 8.0, 0.0]]), model.pivot.astype(np.float64), np.array([_DISTANCE])
            )[0],
            light_sh=_LIGHT,
            light_position=np.array([[0.45, -0.62, -0.64, 0.0]], np.float32),
            light_colour=np.array([[0.72, 0.68, 0.62]], np.float32),
            background=np.full((self.cell, self.cell, 3), _BACKGROUND, np.uint8),
            texture=texture,
            relief=relief,
        )
        return self._renderer[0].render(view).image

    def mean(self, caption: str, yaw: float = 0.0, grey: bool = False) -> Portrait:
        """The mean person."""
        sizes = (
            len(names) for names in (self.model.identity_names, self.model.expression_names, self.model.albedo_names)
        )
        identity, expression, albedo = (np.zeros(size, np.float32) for size in sizes)
        return Portrait(
            caption, identity, expression, albedo, np.array([0.075, 0.036, 0.016], np.float32), yaw, 0.0, grey
        )

    def _people(self, count: int) -> list[Portrait]:
        """Draws of the population; without one, of coefficients spread evenly over ±1.6 σ."""
        people = []
        for number in range(count):
            random = np.random.Generator(np.random.Philox(key=[0, number]))
            person = self.mean(f"person {number + 1}", yaw=(0.0, 30.0, -30.0, 15.0)[number % 4])
            if self.model.population is None:
                person.identity[:] = random.uniform(-1.6, 1.6, len(person.identity))
                person.albedo[:] = random.uniform(-1.6, 1.6, len(person.albedo))
            else:
                draw = self.model.population.draw(random)
                person.identity, person.albedo, person.iris = (
                    values.astype(np.float32) for values in (draw.identity, draw.albedo, draw.iris)
                )
                person.caption = draw.attributes.caption()
            people.append(person)
        return people

    def _expressions(self) -> list[Portrait]:
        return [self.expressive(caption, weights) for caption, weights in EXPRESSIONS]

    def expressive(self, caption: str, weights: dict[str, float]) -> Portrait:
        """The mean face with some of ARKit's expressions; those that the model does not have are left out."""
        portrait = self.mean(caption, yaw=12.0)
        for place, name in enumerate(self.model.expression_names):
            stem = name.removesuffix("_L").removesuffix("_R").removesuffix("Left").removesuffix("Right")
            full = name.replace("_L", "Left").replace("_R", "Right")
            portrait.expression[place] = weights.get(full, weights.get(stem, 0.0))
        portrait.expression = respect_limits(self.model, portrait.expression[None])[0]
        return portrait

    def played(self, caption: str, recording: Recording, frame: int) -> Portrait:
        """The mean face with the expression of a recorded frame."""
        portrait = self.mean(caption, yaw=12.0)
        weights = recording.weights[frame][arkit_index(self.model.expression_names)]
        portrait.expression = respect_limits(self.model, weights[None])[0]
        portrait.gaze = recording.gaze[frame].astype(np.float32)
        return portrait

    def _components(self, count: int) -> list[Portrait]:
        portraits = []
        for component in range(min(count, len(self.model.identity_names))):
            for value in (-2.5, 2.5):
                portrait = self.mean(f"{self.model.identity_names[component]} {value:+.1f} SD", yaw=20.0)
                portrait.identity[component] = value
                portraits.append(portrait)
        return portraits


def write_model_sheet(model: MorphableModel, out: Path, cell: int) -> None:
    """Draw the sheet of a model to a PNG file.

    Raises:
        StorageError: when the disk refuses.
    """
    sheet = ModelSheet(model, cell)
    _write(sheet.draw(sheet.portraits()), out)


def write_performance(models: Sequence[MorphableModel], recording: Recording, out: Path, cell: int, count: int) -> None:
    """Draw the frames of a recording that differ most, as each of some models plays them, to a PNG file.

    Raises:
        ModelError: a model has an expression that ARKit does not know.
        StorageError: when the disk refuses.
    """
    frames = distinct_frames(recording.weights, count)
    rows = []
    for start in range(0, len(frames), COLUMNS):
        for model in models:
            sheet = ModelSheet(model, cell)
            some = frames[start : start + COLUMNS]
            rows.append(sheet.draw([sheet.played(f"{model.name}, frame {f}", recording, f) for f in some.tolist()]))
    picture = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    _write(picture, out)


def distinct_frames(weights: Float, count: int) -> NDArray[np.intp]:
    """Numbers (count,) of the frames of weights (F, 52) that are farthest from each other, in order of time.

    Begins with the frame of least expression and adds the one farthest from all that were chosen (Gonzalez 1985).
    """
    chosen = [int(weights.sum(axis=1).argmin())]
    distance = np.full(len(weights), np.inf)
    for _ in range(min(count, len(weights)) - 1):
        distance = np.minimum(distance, np.linalg.norm(weights - weights[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.sort(np.array(chosen))


def _write(picture: Image.Image, out: Path) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


def _encoded(linear: float) -> int:
    return int(255 * (1.055 * linear ** (1 / 2.4) - 0.055) + 0.5)


def _studio() -> Float:
    """A soft light from above and in front."""
    sh = np.zeros((9, 3))
    sh[0] = np.array([0.50, 0.52, 0.56]) / 0.28209479
    sh[1] = np.array([-0.16, -0.17, -0.19]) / 0.48860251
    sh[2] = np.array([-0.08, -0.08, -0.08]) / 0.48860251
    return sh.astype(np.float32)


_LIGHT = _studio()
