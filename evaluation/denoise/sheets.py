"""Contact sheets: faces before and after denoising, as in the paper's Figs. 6, 7 and 11, and a hundred after it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.evaluation.denoise.laws import allowed, spread, uniform, widths_for
from facegen.evaluation.denoise.report import Evaluation
from facegen.manifold.apply import denoised
from facegen.manifold.corruption import Corruption
from facegen.manifold.denoiser import Units
from facegen.morphable.model import MorphableModel
from facegen.stages.render.model_sheet import ModelSheet, Portrait
from facegen.storage import write_atomically

Float = NDArray[np.float32]

SHOWN = 8
"""Faces of a before-and-after sheet."""
MANY = 100
"""Faces of the sheet that shows what a denoiser makes, drawn at random."""
COLUMNS = 10


def write_sheets(folder: Path, evaluation: Evaluation, cell: int) -> list[Path]:
    """Draw all sheets as PNG files into ``folder``; none without a model.

    Raises:
        StorageError: when the disk refuses.
    """
    model = evaluation.model
    if model is None:
        return []
    drawer = ModelSheet(model, cell)
    train, seed, group = evaluation.train, evaluation.config.seed, evaluation.config.group
    raw = allowed(uniform(train, widths_for(train)[-1], MANY, seed + 1), group, model)
    answers = {
        name: allowed(denoised(denoiser, raw, seed, train.bounds), group, model)
        for name, denoiser in evaluation.denoisers.items()
    }
    portraits = {
        "test-faces": _rows(model, group, _corrupted(evaluation)),
        "uniform-faces": _rows(
            model, group, {"uniform": raw[:SHOWN], **{n: v[:SHOWN] for n, v in answers.items()}}
        ),
        **{f"hundred-{name}": [_portrait(model, group, value) for value in values] for name, values in answers.items()},
    }  # fmt: skip
    written = []
    for name, cells in portraits.items():
        path = folder / f"{name}.png"
        columns = COLUMNS if name.startswith("hundred") else SHOWN
        buffer = io.BytesIO()
        drawer.draw(cells, columns).save(buffer, "PNG")
        write_atomically(path, buffer.getvalue())
        written.append(path)
    return written


def _corrupted(evaluation: Evaluation) -> dict[str, Float]:
    """Test faces, their corrupted versions, and what each denoiser makes of those."""
    train, test, seed = evaluation.train, evaluation.test, evaluation.config.seed
    units = Units.of(train)
    clean = spread(test.values, SHOWN)[:SHOWN]
    raw = Corruption(units.noise)(torch.from_numpy(clean * units.raw), torch.Generator().manual_seed(seed))
    noisy: Float = (raw.numpy() / units.raw).astype(np.float32)
    rows = {"clean": clean, "corrupted": noisy}
    rows |= {n: denoised(denoiser, noisy, seed, test.bounds) for n, denoiser in evaluation.denoisers.items()}
    return {name: allowed(values, train.group, evaluation.model) for name, values in rows.items()}


def _rows(model: MorphableModel, group: str, rows: dict[str, Float]) -> list[Portrait]:
    return [_portrait(model, group, value, name) for name, values in rows.items() for value in values]


def _portrait(model: MorphableModel, group: str, values: Float, caption: str = "") -> Portrait:
    """The mean person, in grey, with another identity or expression."""
    sizes = (len(model.identity_names), len(model.expression_names), len(model.albedo_names))
    identity, expression, albedo = (np.zeros(size, np.float32) for size in sizes)
    if group == "identity":
        identity = values
    else:
        expression = values
    iris = np.array([0.075, 0.036, 0.016], np.float32)
    return Portrait(caption, identity, expression, albedo, iris, yaw=18.0)
