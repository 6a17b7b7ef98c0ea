"""Faces brought to the place, the direction and the size of the mean face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.plausibility.surface import Surface

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@dataclass(frozen=True)
class Alignment:
    """The similarity that takes each of B faces to the mean: ``x → scale · rotation @ (x - centre) + target``."""

    scale: Float
    """(B,)."""
    rotation: Float
    """(B, 3, 3) proper rotations."""
    centre: Float
    """(B, 3) mm, of the face."""
    target: Float
    """(3,) mm, of the mean."""
    mirrored: NDArray[np.bool_]
    """(B,) faces that a reflection would bring nearer to the mean: they are inside out."""
    usable: NDArray[np.bool_]
    """(B,) faces whose vertices are numbers and have a size; the others are not moved."""

    def place(self, vertices: NDArray[np.float32], which: Ints) -> Float:
        """Some vertices (B, n, 3) of faces (B, V, 3), where the mean face is, mm."""
        points = vertices[:, which].astype(np.float64) - self.centre[:, None]
        # A sum of fixed length 3 in one order, so a face does not depend on its batch.
        turned = np.einsum("bij,bnj->bni", self.rotation * self.scale[:, None, None], points)
        return np.asarray(turned + self.target)

    def but_unusable(self, usable: NDArray[np.bool_]) -> Alignment:
        """The same, of faces of which some are not usable."""
        return replace(self, usable=usable)


def align(surface: Surface, vertices: NDArray[np.float32]) -> Alignment:
    """The similarities of least squares over the surface's rigid vertices (Umeyama 1991, eq. 40 to 42).

    Args:
        surface: of the model.
        vertices: (B, V', 3), V' at least the surface's; mm or any other unit.
    """
    reference = surface.mean[surface.rigid]
    target = reference.mean(axis=0)
    centre, product, spread, finite = _moments(vertices, surface.vertex_count, surface.rigid, reference - target)
    usable = finite & (spread > 0)
    centre[~usable], product[~usable], spread[~usable] = 0, np.eye(3), 1
    left, singular, right = np.linalg.svd(product)
    mirrored = np.linalg.det(left) * np.linalg.det(right) < 0
    sign = np.ones((len(vertices), 3))
    sign[mirrored, 2] = -1
    rotation = np.einsum("bij,bj,bjk->bik", left, sign, right)
    scale = np.einsum("bi,bi->b", singular, sign) / spread
    usable &= scale > 0
    return Alignment(np.where(usable, scale, 1.0), rotation, centre, target, mirrored & usable, usable)


@_compile
def _moments(
    vertices: NDArray[np.float32], count: int, rigid: Ints, reference: Float
) -> tuple[Float, Float, Float, NDArray[np.bool_]]:
    """Centres (B, 3), products (B, 3, 3) with the centred reference (R, 3), square spreads (B,), whether all finite."""
    faces = vertices.shape[0]
    centre, product, spread = np.zeros((faces, 3)), np.zeros((faces, 3, 3)), np.zeros(faces)
    finite = np.ones(faces, np.bool_)
    for b in range(faces):
        for v in range(count):
            for i in range(3):
                # Lengths beyond float32's range would be infinite as well.
                if not np.abs(vertices[b, v, i]) < np.float32(1e15):
                    finite[b] = False
        for v in rigid:
            for i in range(3):
                centre[b, i] += np.float64(vertices[b, v, i])
        for i in range(3):
            centre[b, i] /= rigid.shape[0]
        for r in range(rigid.shape[0]):
            for j in range(3):
                offset = np.float64(vertices[b, rigid[r], j]) - centre[b, j]
                spread[b] += offset * offset
                for i in range(3):
                    product[b, i, j] += reference[r, i] * offset
    return centre, product, spread, finite
