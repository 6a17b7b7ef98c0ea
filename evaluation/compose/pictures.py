"""Rendered sheets of an evaluation: parts between two people (Fig. 6), and all faces that were composed (Fig. 1)."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegen.composition.composer import SwapRules
from facegen.evaluation.compose.heat import heated, painted, palette, with_bar
from facegen.evaluation.compose.report import Measured
from facegen.evaluation.compose.subject import Evaluation
from facegen.stages.render.model_sheet import ModelSheet, Portrait
from facegen.storage import write_atomically

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

STEPS = 8
"""Faces between source and target: α = 1/9 … 8/9."""
COLUMNS = 20
"""Faces a row of the sheet of all composed faces."""
YAW = 20.0
_QUALITY = 90


@dataclass(frozen=True)
class Studio:
    """Draws neutral people of one model."""

    evaluation: Evaluation
    cell: int
    """Side of a portrait in pixels."""
    _sheet: list[ModelSheet] = field(default_factory=list)

    @property
    def sheet(self) -> ModelSheet:
        """What draws them."""
        if not self._sheet:
            self._sheet.append(ModelSheet(self.evaluation.model, self.cell))
        return self._sheet[0]

    def portrait(
        self, caption: str, identity: Float | None = None, offset: Float | None = None, *, grey: bool = True
    ) -> Portrait:
        """A person of coefficients (Ki,) and an offset (V, 3) mm, grey or in the mean person's colours."""
        portrait = self.sheet.mean(caption, YAW, grey)
        if identity is not None:
            portrait.identity = identity
        portrait.offset = offset
        return portrait

    def parts(self, caption: str, yaw: float) -> Portrait:
        """The mean face in the colours of its parts, mixed by their weights."""
        evaluation, portrait = self.evaluation, self.sheet.mean(caption, yaw)
        mixed = evaluation.weights @ palette(len(evaluation.parts))
        portrait.colours = painted(evaluation.test.skin, len(evaluation.model.mean), mixed.clip(0, 1))
        return portrait

    def heat(self, portrait: Portrait, values: NDArray[np.floating], largest: float) -> Portrait:
        """The same portrait with values (n,) of the skin painted on it."""
        evaluation = self.evaluation
        portrait.colours = heated(evaluation.test.skin, len(evaluation.model.mean), values, largest)
        return portrait


@dataclass(frozen=True)
class Rows:
    """The steps from source to target, part by part, of one network."""

    identity: Float
    """(Ki,) of the source."""
    offsets: Float
    """(K, 8, V, 3) mm."""
    moved: Float
    """(K, n) mm: distance between the first and the last step of each vertex of the skin."""


def interpolation(evaluation: Evaluation, name: str) -> Rows:
    """From the source to the target of :func:`most_different`, one part at a time, α = 1/9 … 8/9."""
    source, target = most_different(evaluation)
    composer, people = evaluation.composers[name], evaluation.test.people.values
    identity, numbers = np.repeat(people[source][None], STEPS, axis=0), np.arange(STEPS)
    offsets, moved = [], []
    for part in range(len(composer.parts)):
        alpha = np.zeros((STEPS, len(composer.parts)), np.float32)
        alpha[:, part] = np.arange(1, STEPS + 1) / (STEPS + 1)
        sources = np.broadcast_to(people[target], (*alpha.shape, people.shape[1]))
        skin = composer.swap(identity, sources, alpha, numbers, SwapRules(limit=None)).skin
        offsets.append(composer.offsets(identity, skin, numbers))
        moved.append(np.linalg.norm(skin[-1] - skin[0], axis=1))
    return Rows(people[source], np.stack(offsets), np.stack(moved))


def most_different(evaluation: Evaluation) -> tuple[int, int]:
    """The test face that is farthest from its partner, and that partner: between them most is to be seen."""
    faces, partners = evaluation.test.displacements, evaluation.partners
    away = [float(np.square(face - faces[other]).sum()) for face, other in zip(faces, partners, strict=True)]
    source = int(np.argmax(away))
    return source, int(partners[source])


def interpolation_sheet(studio: Studio, name: str, rows: Rows, largest: float) -> Image.Image:
    """Source and target; below them a row for each part: its weight, eight steps, and what has moved.

    Args:
        studio: draws it.
        name: of the network.
        rows: what it makes.
        largest: mm, of the bar of colours: the same for all networks, so that they can be compared.
    """
    evaluation = studio.evaluation
    source, target = most_different(evaluation)
    people, width = evaluation.test.people.values, STEPS + 2
    cells: list[Portrait | None] = [
        studio.portrait(f"{name}: source", people[source]), studio.portrait("target", people[target])
    ]  # fmt: skip
    cells += [None] * (width - len(cells))
    for part, word in enumerate(evaluation.parts):
        cells.append(studio.heat(studio.portrait(word), evaluation.weights[:, part], 1.0))
        cells += [
            studio.portrait(f"{step + 1}/{STEPS + 1}", rows.identity, offset)
            for step, offset in enumerate(rows.offsets[part])
        ]
        last = studio.portrait(f"moved: {rows.moved[part].max():.2g} mm", rows.identity, rows.offsets[part, -1])
        cells.append(studio.heat(last, rows.moved[part], largest))
    return with_bar(studio.sheet.draw(cells, width), largest, "mm between the first and the last face of a row")


def write_pictures(folder: Path, evaluation: Evaluation, measured: Measured, cell: int) -> list[Path]:
    """Draw the sheets as JPEG files into ``folder``: ``interpolation-NAME`` of each network that has parts, and
    ``synthesis``, all faces with one part swapped.

    Raises:
        StorageError: when the disk refuses.
    """
    studio, small = Studio(evaluation, cell), Studio(evaluation, cell * 5 // 8)
    steps = {name: interpolation(evaluation, name) for name in evaluation.weighted}
    largest = float(np.percentile(steps[evaluation.main].moved.max(axis=0), 99))
    pictures = {
        f"interpolation-{name}": interpolation_sheet(studio, name, rows, largest) for name, rows in steps.items()
    }
    swapped = measured.swapped
    pictures["synthesis"] = small.sheet.draw(
        [
            small.portrait(evaluation.parts[part], identity, offset, grey=False)
            for part, identity, offset in zip(_swaps(measured), swapped.identity, swapped.offsets, strict=True)
        ],
        COLUMNS,
    )
    written = []
    for name, picture in pictures.items():
        path = folder / f"{name}.jpg"
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY)
        write_atomically(path, buffer.getvalue())
        written.append(path)
    return written


def _swaps(measured: Measured) -> Ints:
    """(N,) which part was swapped of each face."""
    recipe = measured.swapped.recipe
    return np.asarray((recipe.source != recipe.base[:, None]).argmax(axis=1), np.int64)
