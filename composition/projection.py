"""Labels of composed faces: the coefficients that come nearest to a mesh, and what they leave of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.composition.skin import Skin
from facegen.morphable.model import MorphableModel
from facegen.places import in_places

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

BLOCK = 16
"""Faces that are computed at once."""


@dataclass(frozen=True)
class Projected:
    """B neutral faces as coefficients, and what has to be added to their decoded shape."""

    identity: Float
    """(B, Ki) σ."""
    offset: Float
    """(B, V, 3) mm."""
    residual: Float
    """(B,) mm: root mean square of the length of the offset over the skin."""


class Projection:
    """Least squares on the identity basis, over the vertices of the skin, each as much as the other."""

    def __init__(self, model: MorphableModel, skin: Skin) -> None:
        count = len(model.identity_basis)
        self._skin = skin.vertices
        basis = model.identity_basis[:, skin.vertices].reshape(count, -1)
        # The pseudo-inverse by way of a small triangle: that of the whole takes seconds.
        orthogonal, triangle = torch.linalg.qr(torch.from_numpy(basis).double().T)
        self._inverse = orthogonal @ torch.linalg.pinv(triangle).T
        """(3n, Ki)."""
        # A clone lies where torch wants it in memory: on that, too, the last bits of a product may depend.
        self._basis = torch.from_numpy(model.identity_basis.reshape(count, -1)).clone()

    def project(self, identity: Float, offset: Float, numbers: Ints) -> Projected:
        """Take as much of the offsets into the coefficients as these can hold.

        Args:
            identity: (B, Ki) σ, finite.
            offset: (B, V, 3) mm to be added to the decoded shape. A row of zeros stays, and so do its coefficients; so
                do rows that are not finite.
            numbers: (B,) the place of a row: rows of equal number and values have equal answers, to the bit.

        Returns:
            ``decode(identity) + offset`` is the same mesh as before.
        """
        found, rest = identity.copy(), offset.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.flatnonzero(np.isfinite(offset).all(axis=(1, 2)) & offset.any(axis=(1, 2)))
            if len(rows):
                self._take(found, rest, rows, numbers[rows])
            squared = np.square(rest[:, self._skin].astype(np.float64)).sum(axis=2)
            residual = np.sqrt(squared.mean(axis=1)).astype(np.float32)
        return Projected(found, rest, residual)

    def held(self, skin: Float, numbers: Ints) -> Float:
        """(B, n, 3) mm: what the coefficients can hold of offsets (B, n, 3) of the skin, finite."""
        moved = in_places(self._coefficients, skin, numbers, block=BLOCK)
        return in_places(self._skin_shape, moved, numbers, block=BLOCK)

    def farthest(self, skin: Float, numbers: Ints) -> Float:
        """(B,) mm: the longest of what the coefficients cannot hold of offsets (B, n, 3) of the skin, finite."""
        held = self.held(skin, numbers)
        return np.asarray(np.linalg.norm(skin.astype(np.float64) - held, axis=2).max(axis=1), np.float32)

    def _take(self, identity: Float, offset: Float, rows: Ints, numbers: Ints) -> None:
        moved = in_places(self._coefficients, offset[np.ix_(rows, self._skin)], numbers, block=BLOCK)
        own = identity[rows]
        # What is decoded later is the rounded coefficients.
        projected = (own + moved).astype(np.float32)
        taken = in_places(self._shape, projected.astype(np.float64) - own, numbers, block=BLOCK)
        identity[rows] = projected
        offset[rows] = offset[rows].astype(np.float64) - taken

    def _coefficients(self, offset: Float, _: Ints) -> NDArray[np.float64]:
        """(n, Ki) σ that come nearest to offsets (n, S, 3) of the skin."""
        flat = torch.from_numpy(offset).double().flatten(1)
        found: NDArray[np.float64] = (flat @ self._inverse).numpy()
        return found

    def _skin_shape(self, coefficients: NDArray[np.float64], numbers: Ints) -> Float:
        """(n, S, 3) mm of the skin, of coefficients (n, Ki), without the mean."""
        return self._shape(coefficients, numbers)[:, self._skin]

    def _shape(self, coefficients: NDArray[np.float64], _: Ints) -> Float:
        """(n, V, 3) mm of coefficients (n, Ki), without the mean."""
        moved: Float = (torch.from_numpy(coefficients).float() @ self._basis).numpy()
        return moved.reshape(len(coefficients), -1, 3)
