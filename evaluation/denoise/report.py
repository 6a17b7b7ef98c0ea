"""All that is measured of a training folder's denoisers, as plain values and as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from facegen.errors import ConfigurationError
from facegen.evaluation.denoise.frontier import Bench, Outcome, frontier, references
from facegen.evaluation.denoise.laws import widths_for
from facegen.evaluation.denoise.recovery import LEVELS, recovery, robustness
from facegen.evaluation.diversity import K
from facegen.evaluation.judging import judge_for
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.values import rounded
from facegen.manifold.checkpoint import Card
from facegen.manifold.clean import clean_sets
from facegen.manifold.config import RecordedFaces, TrainConfig
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.folder import TrainingFolder
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.paths import expand

Told = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """A training folder with its faces and denoisers."""

    path: Path
    config: TrainConfig
    model: MorphableModel | None
    train: CoefficientSet
    test: CoefficientSet
    trained: dict[str, tuple[Denoiser, Card]]

    @classmethod
    def of(cls, path: Path) -> Evaluation:
        """Read a training folder, and the clean faces that its configuration names.

        Raises:
            ConfigurationError: it is no training folder, or has too few faces to test on.
            WeightsError: a denoiser is missing or damaged, or was trained on other faces.
            CaptureError, ModelError: the faces cannot be read.
        """
        folder = TrainingFolder(path)
        config = folder.config()
        trained = folder.denoisers(config)
        model = None if config.model is None else load_model(config.model)
        train, test = clean_sets(config.clean, config.group, model, config.seed)
        folder.unfinished(config, train)
        if min(len(train), len(test)) <= K:
            raise ConfigurationError(
                f"{path}: {len(train)} clean faces to learn from, {len(test)} to test on; expected over {K} of each"
            )
        return cls(path, config, model, train, test, trained)

    @cached_property
    def denoisers(self) -> dict[str, Denoiser]:
        """By name."""
        return {name: denoiser for name, (denoiser, _) in self.trained.items()}

    def judge(self, recordings: Sequence[Path], told: Told) -> Plausibility | None:
        """The shipped thresholds of the model, or those in the folder; where there are none, they are learnt now.

        Args:
            recordings: to learn expressions from, besides those of the configuration.
            told: called before they are learnt.

        Raises:
            CaptureError: they have to be learnt, and there is no recording.
            ModelError: those in the folder are damaged or of another model.
        """
        if self.model is None:
            return None
        return judge_for(self.path, self.model, [*self.recordings, *recordings], told)

    @property
    def recordings(self) -> list[Path]:
        """Those that the faces are taken from; none for identities."""
        clean = self.config.clean
        if not isinstance(clean, RecordedFaces):
            return []
        return [expand(path, "clean") for path in (*clean.train, *clean.test)]

    def bench(self, judge: Plausibility | None, faces: int) -> Bench:
        """To measure sets of faces with."""
        return Bench(self.train, self.test, self.config.seed, self.model, judge, faces)


def evaluate(
    evaluation: Evaluation,
    judge: Plausibility | None,
    faces: int,
    told: Told,
    paths: Sequence[tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Measure everything.

    Args:
        evaluation: what is measured.
        judge: of possible faces; ``None`` leaves that out.
        faces: how many of each set are judged.
        told: called with what is about to be measured.
        paths: further start and end levels of posterior samplers, ``None`` for the usual ones.

    Returns:
        Plain values, ready for JSON.
    """
    config, train, test = evaluation.config, evaluation.train, evaluation.test
    told("recovery of corrupted faces")
    recovered = recovery(evaluation.denoisers, train, test, config.seed)
    told("robustness against other levels of noise")
    curves = robustness(evaluation.denoisers, train, test, config.seed)
    bench = evaluation.bench(judge, faces)
    told("clean and Gaussian faces")
    sets = references(bench)
    sets += frontier(bench, evaluation.denoisers, told, paths)
    return {
        "name": config.name,
        "group": config.group,
        "model": {"name": train.model, "source_sha256": train.model_sha256},
        "faces": {
            "train": len(train), "test": len(test), "coefficients": len(train.names),
            "train_from": train.provenance, "test_from": test.provenance,
        },
        "denoisers": {
            name: {
                "method": card.method, "steps": card.steps, "weights_sha256": card.weights_sha256, "path": card.path,
                "parameters": sum(parameter.numel() for parameter in denoiser.parameters()), "metrics": card.metrics,
                "curve": card.training.get("curve", []),
            }
            for name, (denoiser, card) in evaluation.trained.items()
        },
        "recovery": {name: rounded(asdict(one)) for name, one in recovered.items()},
        "robustness": {"levels": list(LEVELS), "mse": rounded(curves)},
        "widths": list(widths_for(train)),
        "sets": [rounded(asdict(one)) for one in sets],
    }  # fmt: skip


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    faces = result["faces"]
    lines = [
        f"{result['name']}: {result['group']} of the model '{result['model']['name']}', {faces['coefficients']} "
        f"coefficients; {faces['train']:,} clean faces to learn from, {faces['test']:,} to test on",
        "",
        f"{'corrupted test faces':<34}{'MSE':>10}{'of the variance recovered':>28}",
    ]
    lines += [f"{name:<34}{one['mse']:>10.4g}{one['share']:>28.2f}" for name, one in result["recovery"].items()]
    lines += [
        "",
        f"{'faces':<40}{'variance':>10}{'× Gaussian':>12}{'(in σ)':>8}{'× clean':>9}"
        f"{'precision':>11}{'recall':>8}{'density':>9}{'coverage':>10}{'possible':>10}",
    ]
    lines += [_row(one) for one in result["sets"]]
    return "\n".join(lines)


def label(one: dict[str, Any] | Outcome) -> str:
    """Name, width and path of a set of faces, in words."""
    values = asdict(one) if isinstance(one, Outcome) else one
    parts = [values["name"]]
    if values["width"] is not None:
        parts.append(f"width {values['width']:g}")
    if values["path"] is not None:
        parts.append("{:g} → {:g}".format(*values["path"]))
    return ", ".join(parts)


def _row(one: dict[str, Any]) -> str:
    likeness, reliability = one["likeness"], one["reliability"]
    possible = "-" if reliability is None else f"{reliability['share']:.1%}"
    return (
        f"{label(one):<40}{one['variance']:>10.4g}{one['over_gaussian']:>12.2f}"
        f"{one['over_gaussian_in_sigma']:>8.2f}{one['over_clean']:>9.2f}"
        f"{likeness['precision']:>11.3f}{likeness['recall']:>8.3f}{likeness['density']:>9.3f}"
        f"{likeness['coverage']:>10.3f}{possible:>10}"
    )
