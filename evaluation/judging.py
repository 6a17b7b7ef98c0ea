"""Who judges the faces of a training folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.plausibility.learn import learn
from facegen.evaluation.plausibility.shipped import has_shipped, plausibility_for
from facegen.morphable.model import MorphableModel


def judge_for(
    folder: Path, model: MorphableModel, recordings: Sequence[Path], told: Callable[[str], None]
) -> Plausibility:
    """The shipped thresholds of the model, or those in the folder; where there are none, they are learnt now and kept.

    Args:
        folder: of a training.
        model: whose faces are judged.
        recordings: Live Link Face takes to learn expressions from.
        told: called before they are learnt.

    Raises:
        CaptureError: they have to be learnt, and there is no recording.
        ModelError: those in the folder are damaged or of another model.
    """
    if has_shipped(model):
        return plausibility_for(model)
    stored = folder / "plausibility.npz"
    if not stored.is_file():
        told(f"learning what a possible face is from clean faces of the model '{model.name}'")
        learn(model, recordings).save(stored)
    return Plausibility.load(stored, model)
