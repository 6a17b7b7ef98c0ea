"""How well codes hold a face: distances of vertices from where they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.composition.linear import PrincipalComponents
from facegen.evaluation.compose.subject import Evaluation

Float = NDArray[np.float32]

COMPONENTS = (4, 16, 64)
"""Numbers of principal components that networks are compared with; a code has 64 numbers."""
MEAN_FACE = "mean face"


@dataclass(frozen=True)
class Errors:
    """Of all vertices of all faces, mm."""

    mean: float
    median: float
    p99: float
    max: float

    @classmethod
    def of(cls, distances: NDArray[np.floating]) -> Errors:
        """Of distances (N, n)."""
        middle, high = np.percentile(distances, (50, 99))
        return cls(float(distances.mean(dtype=np.float64)), float(middle), float(high), float(distances.max()))


def reconstruction(evaluation: Evaluation) -> dict[str, Errors]:
    """Errors on the test faces of every network, of principal components of the training faces, of their mean."""
    return {name: Errors.of(evaluation.distances(name, answer)) for name, answer in _answers(evaluation)}


def _answers(evaluation: Evaluation) -> Iterator[tuple[str, Float]]:
    faces = evaluation.test.displacements
    for name, codec in evaluation.codecs.items():
        yield name, codec.decoded(codec.parts(faces))
    components = PrincipalComponents.of(evaluation.train.displacements, max(COMPONENTS))
    for count in COMPONENTS:
        # Fewer faces than that have no more components.
        if count <= len(components.basis):
            yield f"PCA-{count}", components.reconstructed(faces, count)
    yield MEAN_FACE, np.broadcast_to(components.mean, faces.shape)
