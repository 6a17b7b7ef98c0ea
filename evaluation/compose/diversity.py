"""How far the codes of composed faces spread, beside those of faces to learn from and to test on (Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.composition.linear import PrincipalComponents
from facegen.errors import MissingDependencyError
from facegen.evaluation.compose.ellipse import Ellipse
from facegen.evaluation.compose.subject import STREAM, Evaluation
from facegen.evaluation.compose.synthesis import SWAPS, Composed
from facegen.randomness import generator

Float = NDArray[np.float32]

TRAIN, TEST, SWAPPED, MIXED = "training faces", "test faces", "one part swapped", "parts of different people"
UNFITTED = "the same, parts as they are"
BLENDED = "the same, blend of vertices"
"""Parts of the same different people, mixed without a network."""
REAL, SYNTHETIC = (TRAIN, TEST), (SWAPPED, MIXED)
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Plane:
    """All sets of codes in two dimensions."""

    points: dict[str, Float]
    """Name → (N, 2)."""

    @property
    def ellipses(self) -> dict[str, Ellipse]:
        """Of each set."""
        return {name: Ellipse.of(points) for name, points in self.points.items()}

    def as_dict(self) -> dict[str, object]:
        """Areas, and of each synthetic set which real ones its ellipse encloses, and which share of their points."""
        ellipses = self.ellipses
        return {
            "areas": {name: ellipse.area for name, ellipse in ellipses.items()},
            "encloses": {
                name: {real: ellipses[name].encloses(ellipses[real]) for real in REAL} for name in SYNTHETIC
            },
            "holds": {
                name: {real: float(ellipses[name].holds(self.points[real]).mean()) for real in REAL}
                for name in SYNTHETIC
            },
        }  # fmt: skip


@dataclass(frozen=True)
class Codes:
    """Of all sets, by one network's encoder."""

    sets: dict[str, Float]
    """Name → (N, Z)."""
    planes: dict[str, Plane]
    """``PCA`` and ``t-SNE``, each fitted to all sets together."""

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "faces": {name: len(codes) for name, codes in self.sets.items()},
            "variance": {name: float(codes.var(axis=0, dtype=np.float64).sum()) for name, codes in self.sets.items()},
            "planes": {name: plane.as_dict() for name, plane in self.planes.items()},
        }


def codes(evaluation: Evaluation, swapped: Composed, mixed: Composed) -> Codes:
    """Codes of 220 training faces, drawn at random, of 220 test faces, and of composed ones, by the full model.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    need_scikit_learn()
    seed, codec = evaluation.config.seed, evaluation.codecs[evaluation.main]
    drawn = generator(seed, STREAM, "training faces", 0).permutation(len(evaluation.train))[:SWAPS]
    faces = {
        TRAIN: evaluation.train.displacements[np.sort(drawn)],
        TEST: evaluation.test.displacements[:SWAPS],
        SWAPPED: swapped.displacements[:SWAPS],
        MIXED: mixed.displacements[:SWAPS],
    }
    sets = {name: codec.code(displacements) for name, displacements in faces.items()}
    together = np.concatenate(list(sets.values()))
    ends = np.cumsum([len(one) for one in sets.values()])[:-1]
    flat = {"PCA": _principal(together), "t-SNE": _neighbours(together, seed)}
    planes = {
        name: Plane(dict(zip(sets, np.split(points, ends), strict=True))) for name, points in flat.items()
    }  # fmt: skip
    return Codes(sets, planes)


def need_scikit_learn() -> None:
    """Refuse early where scikit-learn is missing.

    Raises:
        MissingDependencyError: with the command that installs it.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "t-SNE needs scikit-learn; install it with: pip install 'facegen[compose]'"
        ) from None  # fmt: skip


def _principal(values: Float) -> Float:
    return PrincipalComponents.of(values[:, None], 2).codes(values[:, None])


def _neighbours(values: Float, seed: int) -> Float:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    points: Float = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(values)
    return points
