"""The linear model of faces: principal components, as a baseline and as where a network starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class PrincipalComponents:
    """The first C principal components of faces of n vertices."""

    mean: Float
    """(n, 3)."""
    basis: Float
    """(C, n, 3) orthonormal."""
    deviation: Float
    """(C,) standard deviation of the faces along each."""

    @classmethod
    def of(cls, faces: Float, count: int) -> PrincipalComponents:
        """Of faces (N, n, 3); C is ``count``, or the rank of fewer faces.

        The eigenvectors are those of the (N, N) matrix of products, for N is far below 3n.
        """
        mean = faces.mean(axis=0, dtype=np.float64).astype(np.float32)
        flat = (faces - mean).reshape(len(faces), -1)
        values, vectors = np.linalg.eigh(np.asarray(flat @ flat.T, np.float64))
        order = np.argsort(-values)[:count]
        order = order[values[order] > values.max() * 1e-9]
        values, vectors = values[order], vectors[:, order]
        basis = (vectors / np.sqrt(values)).T.astype(np.float32) @ flat
        deviation = np.sqrt(values / len(faces)).astype(np.float32)
        return cls(mean, basis.reshape(-1, *faces.shape[1:]), deviation)

    def codes(self, faces: Float) -> Float:
        """(N, C) of faces (N, n, 3)."""
        flat = (faces - self.mean).reshape(len(faces), -1)
        codes: Float = np.asarray(flat @ self.basis.reshape(len(self.basis), -1).T, np.float32)
        return codes

    def reconstructed(self, faces: Float, count: int) -> Float:
        """Faces (N, n, 3) of their first ``count`` components."""
        basis = self.basis[:count].reshape(min(count, len(self.basis)), -1)
        made: Float = (self.codes(faces)[:, :count] @ basis).reshape(faces.shape) + self.mean
        return made
