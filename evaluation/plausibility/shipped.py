"""The thresholds that the package ships: those of the embedded model, at its default and its coarse level."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

from facegen.errors import ModelError
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.plausibility.thresholds import Thresholds
from facegen.morphable.bust import REVISION
from facegen.morphable.default.embedded import Resolution, load_default
from facegen.morphable.default.resolution import derived
from facegen.morphable.model import MorphableModel

LEVELS: tuple[Resolution, ...] = ("default", "coarse")
"""That have thresholds of their own. The vertices of the dense level begin with those of the default level, which is
what is judged of it."""


def has_shipped(model: MorphableModel) -> bool:
    """Whether it is the embedded model in any of its variants."""
    return model.sha256 in _variants()


def plausibility_for(model: MorphableModel) -> Plausibility:
    """The shipped thresholds for the embedded model in any of its variants: with or without a bust, at any resolution,
    with expressions of ARKit or in components.

    Raises:
        ModelError: it is another model, whose thresholds have to be learnt; or the package is damaged.
    """
    level = _variants().get(model.sha256)
    if level is None:
        raise ModelError(
            f"no thresholds of plausibility are shipped for the model '{model.name}' {model.sha256[:12]}, only for the "
            "embedded one; learn them: python -m facegen.evaluation.plausibility.learn --help"
        )
    return replace(_shipped(level), vertex_count=model.topology.vertex_count)


@lru_cache(maxsize=1)
def _variants() -> dict[str, Resolution]:
    """Digest of each variant of the embedded model → the level whose thresholds it is judged by."""
    model = load_default()
    levels: dict[str, Resolution] = {}
    for expressions in (model, replace(model, sha256=derived(model, "pca"))):
        heads: dict[str, Resolution] = {
            expressions.sha256: "default",
            derived(expressions, "dense"): "default",
            derived(expressions, "coarse"): "coarse",
        }
        levels |= heads | {with_bust(head): level for head, level in heads.items()}
    return levels


def with_bust(sha256: str) -> str:
    """Digest of a model to which a bust was added."""
    return hashlib.sha256(f"{sha256} bust {REVISION}".encode()).hexdigest()


@lru_cache(maxsize=2)
def _shipped(level: Resolution) -> Plausibility:
    name = f"{level}.npz"
    model = load_default(level)
    try:
        data = files("facegen.evaluation.plausibility").joinpath(name).read_bytes()
    except OSError as error:
        raise ModelError(f"{name}: cannot be read ({error.strerror or error}); install facegen again") from None
    thresholds = Thresholds.read(data, name)
    if thresholds.provenance.sha256 != model.sha256:
        raise ModelError(
            f"{name}: thresholds of the model '{thresholds.provenance.model}' {thresholds.provenance.sha256[:12]}; "
            f"expected {model.sha256[:12]}; make them again (evaluation/plausibility/learn.py)"
        )
    return Plausibility.of(model, thresholds, name)
