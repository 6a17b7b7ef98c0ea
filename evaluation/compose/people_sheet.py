"""What ``facegen compose-sheet`` draws: pairs of people, and what becomes of one who is given parts of the other."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facegen.composition.checkpoint import Composition, check_fits, read_checkpoint, shipped_weights
from facegen.composition.composer import Composer
from facegen.composition.skin import Skin
from facegen.errors import ModelError, WeightsError
from facegen.evaluation.compose.heat import heated, with_bar
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator
from facegen.stages.render.model_sheet import ModelSheet, Portrait
from facegen.storage import write_atomically

Float = NDArray[np.float32]

_STREAM = "compose sheet"
_YAW = 20.0


def write_people_sheet(
    model: MorphableModel, weights: Path | None, out: Path, *, seed: int, rows: int, cell: int, heat: bool
) -> None:
    """Draw a sheet to a PNG file, or a JPEG file by its name: each row has a source, a target, the source with each
    part of the target alone, and with all of them.

    Args:
        model: whose people.
        weights: of the autoencoder; ``None`` takes those that come with facegen.
        out: file to write.
        seed: of the people.
        rows: pairs of people.
        cell: side of a portrait in pixels.
        heat: below each row, how far the vertices were moved.

    Raises:
        WeightsError: the weights are missing, damaged, untrained, without parts, or of another model.
        ModelError: the model has no identity coefficients, or not the landmarks that this needs.
        StorageError: when the disk refuses.
    """
    if not model.identity_names:
        raise ModelError(f"the model '{model.name}' has no identity coefficients")
    composer = Composer(model, _read(model, weights))
    sheet = ModelSheet(model, cell)
    cells: list[Portrait | None] = []
    moved: list[tuple[Portrait, NDArray[np.floating]]] = []
    for row in range(rows):
        source, target = (
            _person(sheet, seed, 2 * row + place, word) for place, word in enumerate(("source", "target"))
        )
        cells += [source, target]
        swapped, distances = _swapped(composer, source, target)
        cells += swapped
        if heat:
            below = [
                replace(portrait, caption=f"at most {one.max():.2g} mm")
                for portrait, one in zip(swapped, distances, strict=True)
            ]
            moved += zip(below, distances, strict=True)
            cells += [None, None, *below]
    largest = max((float(np.percentile(one, 99.5)) for _, one in moved), default=0.0)
    for portrait, distance in moved:
        portrait.colours = heated(composer.skin, composer.vertex_count, distance, largest)
    picture = sheet.draw(cells, len(composer.parts) + 3)
    if heat:
        picture = with_bar(picture, largest, "mm moved")
    _write(picture, out)


def _read(model: MorphableModel, weights: Path | None) -> Composition:
    path = weights or shipped_weights(model)
    composition, card = read_checkpoint(path)
    if card.method != "weighted":
        raise WeightsError(f"{path}: weights of the method '{card.method}', whose codes have no parts to swap")
    check_fits(path, card, model, Skin.of(model))
    return composition


def _person(sheet: ModelSheet, seed: int, number: int, caption: str) -> Portrait:
    """One of the population; without one, of the model's Gaussian law, in the mean's colours."""
    random = generator(seed, _STREAM, "people", number)
    portrait = sheet.mean(caption, _YAW)
    if sheet.model.population is None:
        portrait.identity = random.standard_normal(len(portrait.identity)).astype(np.float32)
    else:
        drawn = sheet.model.population.draw(random)
        portrait.identity, portrait.albedo, portrait.iris = (
            values.astype(np.float32) for values in (drawn.identity, drawn.albedo, drawn.iris)
        )
    return portrait


def _swapped(composer: Composer, source: Portrait, target: Portrait) -> tuple[list[Portrait], Float]:
    """The source with each part of the target and with all of them, and how far that moves the skin (K + 1, n), mm."""
    count = len(composer.parts)
    taken = np.concatenate([np.eye(count), np.ones((1, count))]).astype(np.float32)
    numbers, identity = np.arange(count + 1), np.repeat(source.identity[None], count + 1, axis=0)
    swap = composer.swap(
        identity, np.broadcast_to(target.identity, (*taken.shape, len(target.identity))), taken, numbers
    )
    captions = [
        name if kept == 1 else f"{name}, {kept:.0%}"
        for name, kept in zip((*composer.parts, "all"), swap.kept, strict=True)
    ]
    offsets = composer.offsets(identity, swap.skin, numbers)
    portraits = [
        replace(source, caption=caption, offset=offset) for caption, offset in zip(captions, offsets, strict=True)
    ]
    return portraits, np.linalg.norm(swap.skin, axis=2)


def _write(picture: Image.Image, out: Path) -> None:
    buffer = io.BytesIO()
    if out.suffix.lower() in (".jpg", ".jpeg"):
        picture.save(buffer, "JPEG", quality=90)
    else:
        picture.save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())
