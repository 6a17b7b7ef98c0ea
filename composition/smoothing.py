"""Smoothing of a displacement of the skin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from facegen.composition.skin import Skin

Float = NDArray[np.float64]


class Smoother:
    """Implicit smoothing: ``(I + λ L) y = x``, L the graph's Laplacian divided by the degree (Desbrun et al. 1999)."""

    def __init__(self, skin: Skin, strength: float) -> None:
        """Factor the matrix.

        Args:
            skin: n vertices.
            strength: λ; waves shorter than about √λ edges go, longer ones stay.
        """
        count = len(skin.vertices)
        ends = skin.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        half = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
        adjacency = ((half + half.T) > 0).astype(np.float64)
        degree = np.maximum(np.asarray(adjacency.sum(axis=1)).reshape(-1), 1)
        one = sparse.eye_array(count)
        self._solver = splu((one + strength * (one - sparse.diags_array(1 / degree) @ adjacency)).tocsc())

    def smoothed(self, displacement: Float) -> Float:
        """(n, 3) of a displacement (n, 3)."""
        return np.asarray(self._solver.solve(displacement))
