"""What is known of a model's surface beyond its mesh, the same for all its faces: layers and dense landmarks.

:mod:`facegen.annotation` makes it from a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

LAYERS = (
    "background", "skin", "nose", "left_brow", "right_brow", "left_sclera", "right_sclera", "left_iris", "right_iris",
    "upper_lip", "lower_lip", "mouth", "teeth", "left_ear", "right_ear", "hair", "neck", "shoulders", "lashes",
    "glasses", "sunglasses", "face_mask", "hand", "hat",
)  # fmt: skip
"""Names of the layers by number; left and right are the subject's. The pupil is part of the iris, gums and tongue of
the mouth, the lids' wet rims of the skin. No surface has the last five: they are what covers it."""


@dataclass(frozen=True)
class SurfacePoints:
    """D points fixed to triangles of a mesh."""

    triangle: NDArray[np.int32]
    """(D,)."""
    weights: NDArray[np.float32]
    """(D, 3) of its corners, summing to 1."""

    def __len__(self) -> int:
        return len(self.triangle)

    def on(self, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
        """(D, 3) the points of a mesh of vertices (V, 3) and triangles (T, 3)."""
        corner = vertices[triangles[self.triangle]].astype(np.float64)
        points: NDArray[np.float32] = (self.weights[:, :, None] * corner).sum(axis=1).astype(np.float32)
        return points


def _no_layers() -> NDArray[np.uint8]:
    return np.zeros((1, 1), np.uint8)


def _no_points() -> SurfacePoints:
    return SurfacePoints(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class Annotation:
    """Labels of a surface; by default of one of which nothing is known."""

    layers: NDArray[np.uint8] = field(default_factory=_no_layers)
    """(A, A) layer at each texel, an index into :attr:`layer_names`; row 0 is the top (v = 1)."""
    layer_names: tuple[str, ...] = LAYERS
    """Names of the layers; the first is ``"background"``."""
    dense: SurfacePoints = field(default_factory=_no_points)
    """D dense landmarks, see :mod:`facegen.annotation.dense`."""

    @property
    def dense_triangle(self) -> NDArray[np.int32]:
        """(D,) triangles of the dense landmarks."""
        return self.dense.triangle

    @property
    def dense_weights(self) -> NDArray[np.float32]:
        """(D, 3) weights of the corners of :attr:`dense_triangle`."""
        return self.dense.weights


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def layer_at(triangle_id: NDArray[np.int32], uv: NDArray[np.float32], layers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Layers (H, W) of the pixels: of the nearest texel; 0 on the background.

    Args:
        triangle_id: (H, W), -1 for the background.
        uv: (H, W, 2) texture coordinates.
        layers: (S, S) of an :class:`Annotation`.
    """
    height, width = triangle_id.shape
    size = layers.shape[0]
    result = np.zeros((height, width), np.uint8)
    for r in range(height):
        for c in range(width):
            if triangle_id[r, c] >= 0:
                column = min(max(int(uv[r, c, 0] * size), 0), size - 1)
                row = min(max(int((np.float32(1.0) - uv[r, c, 1]) * size), 0), size - 1)
                result[r, c] = layers[row, column]
    return result
