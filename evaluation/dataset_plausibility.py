"""How many faces of a packed dataset are possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facegen.dataset.reader import FaceDataset
from facegen.errors import RunFolderError
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.plausibility.learn import learn
from facegen.evaluation.plausibility.shipped import has_shipped, plausibility_for
from facegen.morphable.config import ModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.pipeline.folder import RunFolder

_BATCH = 64


@dataclass(frozen=True)
class JudgedFace:
    """A face that is not possible."""

    face: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DatasetPlausibility:
    """What was found of a dataset."""

    faces: int
    """That were judged."""
    possible: int
    criteria: dict[str, float]
    """Share of the faces that each criterion accepts."""
    rejected: tuple[JudgedFace, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "faces": self.faces,
            "possible": self.possible,
            "share": round(self.possible / self.faces, 5),
            "criteria": {name: round(share, 5) for name, share in self.criteria.items()},
            "rejected": [{"face": one.face, "reasons": list(one.reasons)} for one in self.rejected],
        }

    def as_text(self) -> str:
        """For people: the shares, and the first of the rejected faces."""
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.criteria.items())
        lines = [f"{self.possible:,} of {self.faces:,} faces are possible ({self.possible / self.faces:.1%})", shares]
        lines += [f"  face {one.face}: {'; '.join(one.reasons)}" for one in self.rejected[:10]]
        if len(self.rejected) > 10:
            lines.append(f"  … and {len(self.rejected) - 10} more")
        return "\n".join(lines)


def judge_dataset(
    run: Path, faces: int, recordings: list[Path], told: Callable[[str], None]
) -> DatasetPlausibility:  # fmt: skip
    """Judge faces of a run, spread over it.

    Args:
        run: run folder.
        faces: how many; all where there are fewer.
        recordings: Live Link Face takes to learn from, for a model that has no shipped thresholds.
        told: called with lines of progress.

    Raises:
        RunFolderError, DatasetError: the folder is no run, or has no faces.
        CaptureError: thresholds have to be learnt, and there is no recording.
    """
    model = _model_of(run)
    dataset = FaceDataset(run, channels=["vertices"], allow_incomplete=True)
    if not len(dataset):
        raise RunFolderError(f"{run}: has no faces to judge")
    if not has_shipped(model):
        told(f"learning what a possible face is from clean faces of the model '{model.name}'")
    judge = plausibility_for(model) if has_shipped(model) else learn(model, recordings)
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(faces, len(dataset))).round().astype(int))
    return _judged(dataset, rows.tolist(), judge, told)


def _judged(
    dataset: FaceDataset, rows: list[int], judge: Plausibility, told: Callable[[str], None]
) -> DatasetPlausibility:  # fmt: skip
    met: dict[str, int] = {}
    rejected: list[JudgedFace] = []
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        vertices = np.stack([np.asarray(dataset.read(row, ["vertices"])["vertices"], np.float32) for row in some])
        verdicts = judge.judge(vertices)
        for name, meets in verdicts.criteria.items():
            met[name] = met.get(name, 0) + int(meets.sum())
        rejected += [
            JudgedFace(int(dataset.faces[some[place]]), verdicts.reasons[place])
            for place in np.flatnonzero(~verdicts.accepted).tolist()
        ]
        if start and start % (16 * _BATCH) == 0:
            told(f"{start:,} of {len(rows):,} faces judged")
    criteria = {name: count / len(rows) for name, count in met.items()}
    return DatasetPlausibility(len(rows), len(rows) - len(rejected), criteria, tuple(rejected))


def _model_of(run: Path) -> MorphableModel:
    """The face model that a run was made with."""
    description = RunFolder(run).describe()
    try:
        config = TypeAdapter(ModelConfig).validate_python(description["configuration"]["model"])
    except (KeyError, TypeError, ValidationError):
        raise RunFolderError(f"{run / 'run.yaml'}: does not say which face model the run has") from None
    model = load_model(config)
    if description.get("model", {}).get("sha256") != model.sha256:
        raise RunFolderError(f"{run}: made with another version of the face model '{model.name}'")
    return model
