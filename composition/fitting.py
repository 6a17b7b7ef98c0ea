"""Parts of several people on one head: size, place and pose of each so that neighbours meet where they border.

A nose of a larger person is larger all around, and sits elsewhere. Taken as it is, it tears at its border; so each part
may be shifted, turned and scaled as a whole, all of them at once, to agree with its neighbours in least squares. The
shape within a part stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from facegen.composition.parts import REST, Parts, vertex_areas
from facegen.composition.skin import Skin

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST = 1e-4
"""Product of two parts' weights from which on a vertex is of their border."""
_STIFF = 1e-6
"""Share of the mean of the diagonal that is added to it: a part without a border stays where it is."""
_NUMBERS = 7
"""Of a similarity to first order: a shift, a turn, a change of size."""


@dataclass(frozen=True)
class _Border:
    """Where two parts meet."""

    parts: tuple[int, int]
    vertices: Ints
    root: Float
    """(m,) square root of how much each vertex counts."""


class Fitter:
    """Fits the K parts of the faces of one model to each other."""

    def __init__(self, skin: Skin, parts: Parts, weights: Float) -> None:
        """Find the borders.

        Args:
            skin: n vertices.
            parts: the names; of them what was cropped, or the largest, stays where it is.
            weights: (n, K) of the parts.
        """
        area = vertex_areas(skin.mean, skin.triangles)
        count = weights.shape[1]
        self._mean, self._weights = skin.mean, weights
        self._inside = weights * area[:, None] / (weights * area[:, None]).sum(axis=0)
        mass = (weights * area[:, None]).sum(axis=0)
        self._anchor = count - 1 if parts.names[-1] == REST else int(mass.argmax())
        self._size = float(np.sqrt(np.square(skin.mean - skin.mean.mean(axis=0)).sum(axis=1).mean()))
        self._borders = []
        for i, j in combinations(range(count), 2):
            shared = weights[:, i] * weights[:, j]
            vertices = np.flatnonzero(shared > _LEAST)
            if len(vertices):
                root = np.sqrt(shared[vertices] * area[vertices])
                self._borders.append(_Border((i, j), vertices, root))

    def fit(self, shapes: Float) -> Float:
        """Shapes (K, n, 3) with each similar to what it was, and neighbours as near to each other as can be.

        Args:
            shapes: (K, n, 3) mm, displacements from the mean face: the whole face that gives each part. Where all are
                one face, or no parts meet, nothing has to be done, and nothing is.
        """
        count = len(shapes)
        if not self._borders or all(np.array_equal(shapes[0], other) for other in shapes[1:]):
            return shapes
        places = shapes + self._mean
        centres = np.einsum("nk,kni->ki", self._inside, places)
        normal, right = np.zeros((count * _NUMBERS, count * _NUMBERS)), np.zeros(count * _NUMBERS)
        for border in self._borders:
            i, j = border.parts
            a, b = (self._moves(places[k, border.vertices] - centres[k], border.root) for k in (i, j))
            apart = ((places[j] - places[i])[border.vertices] * border.root[:, None]).reshape(-1)
            own, other = (slice(k * _NUMBERS, (k + 1) * _NUMBERS) for k in (i, j))
            normal[own, own] += a.T @ a
            normal[other, other] += b.T @ b
            normal[own, other] -= a.T @ b
            normal[other, own] -= b.T @ a
            right[own] += a.T @ apart
            right[other] -= b.T @ apart
        free = np.arange(count * _NUMBERS) // _NUMBERS != self._anchor
        inner = normal[np.ix_(free, free)]
        stiff = _STIFF * np.trace(inner) / len(inner) * np.eye(len(inner))
        found = np.zeros(count * _NUMBERS)
        found[free] = np.linalg.solve(inner + stiff, right[free])
        return np.stack(
            [
                shape + self._moved(place - centre, numbers)
                for shape, place, centre, numbers in zip(
                    shapes, places, centres, found.reshape(count, _NUMBERS), strict=True
                )
            ]
        )

    def moved(self, shapes: Float) -> Float:
        """(n, 3) mm: by how much fitting moves a face of parts (K, n, 3) that are mixed by their weights."""
        fitted = self.fit(shapes)
        if fitted is shapes:
            return np.zeros(shapes.shape[1:])
        return np.asarray(np.einsum("nk,kni->ni", self._weights, fitted - shapes))

    def _moved(self, away: Float, numbers: Float) -> Float:
        """(m, 3) mm: the moves of :meth:`_moves` of places ``away`` (m, 3), each times its number (7,)."""
        (x, y, z), grow = numbers[3:6], numbers[6]
        turn = np.array([[grow, -z, y], [z, grow, -x], [-y, x, grow]]) / self._size
        return np.asarray(away @ turn.T + numbers[:3])

    def _moves(self, away: Float, root: Float) -> Float:
        """(3m, 7) how places that are ``away`` (m, 3) from a centre move, each times its ``root`` (m,)."""
        x, y, z = (away / self._size).T
        zero, moves = np.zeros(len(away)), np.zeros((len(away), 3, _NUMBERS))
        moves[:, [0, 1, 2], [0, 1, 2]] = 1
        moves[:, :, 3:6] = np.stack(
            [np.stack([zero, -z, y], axis=1), np.stack([z, zero, -x], axis=1), np.stack([-y, x, zero], axis=1)], axis=2
        )
        moves[:, :, 6] = away / self._size
        return (moves * root[:, None, None]).reshape(-1, _NUMBERS)
