"""Diversity against possibility: what the denoisers make of uniform faces of several widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.denoise.laws import allowed, gaussian, spread, uniform, widths_for
from facegen.evaluation.diversity import Likeness, likeness, total_variance
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.manifold.apply import denoised
from facegen.manifold.denoiser import Denoiser
from facegen.manifold.posterior import PosteriorSampler
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]

SAMPLES = 2000
"""Faces that variance and likeness are measured on, as in the papers."""

PATHS: dict[str, tuple[tuple[float, float], ...]] = {
    "identity": (
        *((4.0, 0.5), (8.0, 0.5), (11.0, 0.5), (14.0, 0.5)),
        *((4.0, 1.5), (6.0, 1.5), (8.0, 1.5), (11.0, 1.5), (10.0, 2.0)),
    ),
    "expression": ((1.0, 0.4), (2.0, 0.4), (4.0, 0.4), (8.0, 0.4)),
}
"""Start and end levels of a posterior sampler that the frontier is traced at, besides its own."""

_DECODED = 64
"""Faces that are decoded and judged at a time."""


@dataclass(frozen=True)
class Reliability:
    """How many faces are possible, by the measured test."""

    faces: int
    share: float
    """Accepted by every criterion."""
    criteria: dict[str, float]
    """Share that each criterion accepts."""


@dataclass(frozen=True)
class Outcome:
    """One set of faces, measured."""

    name: str
    """Of the denoiser, or of the law for faces that none has seen."""
    width: float | None
    """Of the uniform law; ``None`` for other faces."""
    path: tuple[float, float] | None
    """Start and end level of a posterior sampler."""
    variance: float
    """Total, in raw units squared (the paper's Table I)."""
    over_gaussian: float
    """Total variance over that of Gaussian faces."""
    over_gaussian_in_sigma: float
    """The same with every coefficient in σ, so that all count alike: small ones are details of a face, and a set whose
    details are all those of the mean face shows it here."""
    over_clean: float
    """Total variance over that of the clean faces to learn from."""
    likeness: Likeness
    """To the test faces."""
    reliability: Reliability | None = field(default=None)
    """``None`` without a model to make meshes of."""


@dataclass(frozen=True)
class Bench:
    """What sets of faces are measured with."""

    train: CoefficientSet
    test: CoefficientSet
    seed: int
    model: MorphableModel | None
    judge: Plausibility | None
    faces: int
    """Faces whose meshes are judged."""

    def measure(
        self, name: str, values: Float, width: float | None = None, path: tuple[float, float] | None = None
    ) -> Outcome:
        """Measure faces (N, K); those to be judged are the first."""
        values = allowed(values, self.train.group, self.model)
        variance = total_variance(values, self.train.deviation)
        normal, ones = gaussian(self.train, SAMPLES, self.seed), np.ones_like(self.train.deviation)
        return Outcome(
            name=name,
            width=width,
            path=path,
            variance=variance,
            over_gaussian=variance / total_variance(normal, self.train.deviation),
            over_gaussian_in_sigma=total_variance(values, ones) / total_variance(normal, ones),
            over_clean=variance / total_variance(self.train.values, self.train.deviation),
            likeness=likeness(values, spread(self.test.values, SAMPLES)),
            reliability=self.reliability(values[: self.faces]),
        )

    def reliability(self, values: Float) -> Reliability | None:
        """Judge the meshes of faces: identities without an expression, expressions of the mean person."""
        if self.model is None or self.judge is None:
            return None
        met: dict[str, list[NDArray[np.bool_]]] = {}
        accepted = []
        for some in np.array_split(values, max(1, -(-len(values) // _DECODED))):
            verdicts = self.judge.judge(decoded(self.model, some, self.train.group))
            accepted.append(verdicts.accepted)
            for criterion, meets in verdicts.criteria.items():
                met.setdefault(criterion, []).append(meets)
        shares = {criterion: float(np.concatenate(parts).mean()) for criterion, parts in met.items()}
        return Reliability(len(values), float(np.concatenate(accepted).mean()), shares)


def decoded(model: MorphableModel, values: Float, group: str) -> Float:
    """Vertices (B, V, 3) of coefficients of one group, those of the other being 0."""
    identity = np.zeros((len(values), len(model.identity_names)), np.float32)
    expression = np.zeros((len(values), len(model.expression_names)), np.float32)
    if group == "identity":
        identity = values
    else:
        expression = values
    return model.decode(np.ascontiguousarray(identity), np.ascontiguousarray(expression))


def references(bench: Bench) -> list[Outcome]:
    """Clean faces, to learn from and to test on; and Gaussian ones, with and without their covariance."""
    shuffled = np.random.Generator(np.random.Philox(key=[bench.seed, 9])).permutation(len(bench.test))
    return [
        bench.measure("clean, to learn from", spread(bench.train.values, SAMPLES)),
        # In a random order, so that those which are judged are not the first of a performance.
        bench.measure("clean, to test on", bench.test.values[shuffled[:SAMPLES]]),
        bench.measure("Gaussian", gaussian(bench.train, SAMPLES, bench.seed)),
        bench.measure("Gaussian, joint", gaussian(bench.train, SAMPLES, bench.seed, joint=True)),
    ]


def frontier(
    bench: Bench,
    denoisers: Mapping[str, Denoiser],
    told: Callable[[str], None],
    paths: Sequence[tuple[float, float]] | None = None,
) -> Iterator[Outcome]:
    """Uniform faces of every width: raw, and through every denoiser; samplers also along other paths.

    Args:
        bench: to measure with.
        denoisers: by name.
        told: called with what is about to be measured.
        paths: further start and end levels that the samplers are tried at, ``None`` for :data:`PATHS`.
    """
    for width in widths_for(bench.train):
        raw = allowed(uniform(bench.train, width, SAMPLES, bench.seed), bench.train.group, bench.model)
        told(f"uniform, width {width:g}")
        yield bench.measure("uniform, raw", raw, width)
        for name, denoiser in denoisers.items():
            for path, variant in _variants(denoiser, PATHS[bench.train.group] if paths is None else paths):
                told(f"{name}, width {width:g}" + ("" if path is None else f", from {path[0]:g} to {path[1]:g}"))
                answer = denoised(variant, raw, bench.seed, bench.train.bounds)
                yield bench.measure(name, answer, width, path)


def _variants(
    denoiser: Denoiser, paths: Sequence[tuple[float, float]]
) -> Iterator[tuple[tuple[float, float] | None, Denoiser]]:
    if not isinstance(denoiser, PosteriorSampler):
        yield None, denoiser
        return
    own = denoiser.path
    for start, end in dict.fromkeys([(own.start, own.end), *paths]):
        denoiser.path = replace(own, start=start, end=end)
        yield (start, end), denoiser
    denoiser.path = own
