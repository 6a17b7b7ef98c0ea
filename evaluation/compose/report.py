"""All that is measured of a training folder's autoencoders, as plain values and as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from facegen import __version__
from facegen.composition.composer import SwapRules
from facegen.evaluation.compose.diversity import (
    BLENDED,
    MIXED,
    REAL,
    SWAPPED,
    SYNTHETIC,
    UNFITTED,
    Codes,
    codes,
    need_scikit_learn,
)
from facegen.evaluation.compose.exactness import exactness
from facegen.evaluation.compose.locality import locality
from facegen.evaluation.compose.possible import possible
from facegen.evaluation.compose.reconstruction import reconstruction
from facegen.evaluation.compose.seams import Excess, seams
from facegen.evaluation.compose.subject import Evaluation
from facegen.evaluation.compose.synthesis import Composed, blended, compose, recombinations, single_swaps
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.values import rounded

Told = Callable[[str], None]

RAW = SwapRules(fit=False, smooth=False, limit=None)
"""Swaps as the paper makes them, by codes alone."""


@dataclass(frozen=True)
class Measured:
    """What figures are drawn from."""

    result: dict[str, Any]
    """Plain values, ready for JSON."""
    swapped: Composed
    mixed: Composed
    codes: Codes
    excess: Excess


def evaluate(evaluation: Evaluation, judge: Plausibility, faces: int, told: Told) -> Measured:
    """Measure everything.

    Args:
        evaluation: what is measured.
        judge: of possible faces.
        faces: how many faces of parts of different people are made and judged.
        told: called with what is about to be measured.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    need_scikit_learn()
    seed, people, parts = evaluation.config.seed, len(evaluation.test), len(evaluation.parts)
    told("reconstruction of test faces")
    errors = reconstruction(evaluation)
    told("locality of swapped parts")
    places = locality(evaluation)
    told("exactness of swaps")
    exact = exactness(evaluation)
    told("composed faces: codes")
    swapped = compose(evaluation, evaluation.main, single_swaps(people, parts, seed))
    mixed = compose(evaluation, evaluation.main, recombinations(people, parts, faces, seed))
    blend = blended(evaluation, mixed.recipe)
    taken = compose(evaluation, evaluation.main, mixed.recipe, RAW)
    given = compose(evaluation, evaluation.main, swapped.recipe, RAW)
    spread, as_composed = codes(evaluation, given, taken), codes(evaluation, swapped, mixed)
    told("composed faces: whether they are possible")
    judged = possible(evaluation, judge, {SWAPPED: swapped, MIXED: mixed, UNFITTED: taken, BLENDED: blend})
    told("composed faces: seams")
    excess = seams(evaluation, swapped, mixed, blend)
    result = {
        **_described(evaluation),
        "reconstruction": {name: asdict(one) for name, one in errors.items()},
        "locality": {name: asdict(one) for name, one in places.items()},
        "exactness": {name: asdict(one) for name, one in exact.items()},
        "codes": spread.as_dict(),
        "codes_as_composed": as_composed.as_dict(),
        "possible": {name: asdict(one) for name, one in judged.items()},
        "seams": {"vertices": int(excess.band.sum()), "sets": {n: asdict(one) for n, one in excess.summary().items()}},
    }
    return Measured(rounded(result), swapped, mixed, spread, excess)


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    faces, main = result["faces"], result["main"]
    lines = [
        f"{result['name']}: people of the model '{result['model']['name']}', {faces['vertices'][0]:,} vertices of "
        f"skin; {faces['train']:,} to learn from, {faces['test']:,} to test on; parts {', '.join(result['parts'])}",
        "",
        f"{'test faces are off by, mm':<34}{'mean':>9}{'median':>9}{'99 %':>9}{'max':>9}",
    ]
    lines += [f"{name:<34}{_errors(one)}" for name, one in result["reconstruction"].items()]
    lines += [
        "",
        f"{'locality · leakage of a swapped part':<34}"
        + "".join(f"{part:>16}" for part in result["parts"])
        + f"{'mean':>16}",
    ]
    for name, one in result["locality"].items():
        cells = [*one["parts"].values(), one]
        lines.append(f"{name:<34}" + "".join(f"{cell['locality']:>9.3f} · {cell['leakage']:<4.2f}" for cell in cells))
    lines += [
        f"{name}: has no places of its own; its codes {', '.join(map(str, one['codes']))} were taken for the parts"
        for name, one in result["locality"].items()
        if one["codes"] is not None
    ]
    lines += [
        "",
        f"{'swap with oneself; all parts, mm':<34}{'skin':>9}{'mesh':>9}{'mean':>9}{'median':>9}{'99 %':>9}{'max':>9}",
    ]
    lines += [
        f"{name:<34}{one['self_swap']:>9.3g}{one['self_swap_mesh']:>9.3g}{_errors(one['all_parts'])}"
        for name, one in result["exactness"].items()
    ]
    for key, how in (("codes", "swapped by codes alone, as in the paper"), ("codes_as_composed", "as composed")):
        lines += ["", f"codes of '{main}', parts {how}: areas of ellipses, of two standard deviations"]
        lines += _code_lines(result[key])
    lines += ["", f"{'possible faces':<34}{'of':>9}{'share':>9}{'swapped':>9}  rejected by"]
    lines += [
        f"{name:<34}{one['faces']:>9,}{one['share']:>9.1%}{one['kept']:>9.0%}  "
        + ", ".join(f"{n} {c}" for n, c in one["why"].items())
        for name, one in result["possible"].items()
    ]
    limits = next(iter(result["seams"]["sets"].values()))["within"]
    lines += [
        "",
        f"{'seams: largest excess of curvature':<34}"
        + "".join(f"{'0' if limit == '0' else '≤ ' + limit:>9}" for limit in limits)
        + f"{'median':>9}{'95 %':>9}{'outside':>9}{'elsewhere':>11}",
    ]
    lines += [
        f"{name:<34}"
        + "".join(f"{share:>9.1%}" for share in one["within"].values())
        + f"{one['median']:>9.3f}{one['p95']:>9.3f}{one['outside']:>9.3%}{one['elsewhere']:>11.3%}"
        for name, one in result["seams"]["sets"].items()
    ]
    return "\n".join(lines)


def _described(evaluation: Evaluation) -> dict[str, Any]:
    people = evaluation.train.people
    main = evaluation.trained[evaluation.main][0]
    return {
        "name": evaluation.config.name,
        "model": {"name": people.model, "source_sha256": people.model_sha256},
        "seed": evaluation.config.seed,
        "main": evaluation.main,
        "parts": list(evaluation.parts),
        "faces": {
            "train": len(evaluation.train), "test": len(evaluation.test), "from": people.provenance,
            "train_sha256": evaluation.train.sha256, "test_sha256": evaluation.test.sha256,
            "vertices": list(main.hierarchy.sizes),
        },
        "networks": {
            name: {
                "method": card.method, "epochs": card.epochs, "weights_sha256": card.weights_sha256,
                "parameters": sum(parameter.numel() for parameter in composition.network.parameters()),
                "configuration": card.training.get("configuration"), "versions": card.training.get("versions"),
                "device": card.training.get("device"), "metrics": card.metrics,
                "curve": card.training.get("curve", []),
            }
            for name, (composition, card) in evaluation.trained.items()
        },
        "versions": {"facegen": __version__, **{name: version(name) for name in ("numpy", "torch", "scikit-learn")}},
        "composed": {"by": "difference", "sets": [SWAPPED, MIXED]},
    }  # fmt: skip


def _errors(one: dict[str, float]) -> str:
    return "".join(f"{one[name]:>9.3f}" for name in ("mean", "median", "p99", "max"))


def _code_lines(codes: dict[str, Any]) -> list[str]:
    lines = []
    for name, plane in codes["planes"].items():
        lines.append(f"  {name:<6}" + ", ".join(f"{one} {area:.4g}" for one, area in plane["areas"].items()))
        lines += [
            f"         {one}: "
            + ", ".join(
                f"{'encloses' if plane['encloses'][one][real] else 'does not enclose'} that of {real} "
                f"({plane['holds'][one][real]:.1%} of them lie in it)"
                for real in REAL
            )
            for one in SYNTHETIC
        ]
    lines.append("  total variance: " + ", ".join(f"{name} {value:.4g}" for name, value in codes["variance"].items()))
    return lines
