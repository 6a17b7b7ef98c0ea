"""Distances, angles and ratios between the 68 landmarks, and how far a face is from its mirror image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.anthropometry import Anthropometry

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

DISTANCES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "width of the face": ((0,), (16,)),
    "width of the jaw": ((4,), (12,)),
    "height of the face": ((27,), (8,)),
    "height of the lower face": ((33,), (8,)),
    "distance of the outer canthi": ((36,), (45,)),
    "distance of the inner canthi": ((39,), (42,)),
    "length of the right eye": ((36,), (39,)),
    "length of the left eye": ((42,), (45,)),
    "opening of the right eye": ((37, 38), (40, 41)),
    "opening of the left eye": ((43, 44), (46, 47)),
    "height of the right brow": ((19,), (36, 39)),
    "height of the left brow": ((24,), (42, 45)),
    "distance of the brows": ((21,), (22,)),
    "length of the nose": ((27,), (33,)),
    "protrusion of the nose": ((30,), (33,)),
    "width of the nose": ((31,), (35,)),
    "height of the philtrum": ((33,), (51,)),
    "width of the mouth": ((48,), (54,)),
    "opening of the mouth": ((61, 62, 63), (65, 66, 67)),
    "height of the upper lip": ((51,), (62,)),
    "height of the lower lip": ((66,), (57,)),
    "height of the chin": ((57,), (8,)),
}
"""Between the middles of some landmarks, Multi-PIE from 0; mm."""

ANGLES = {
    "angle of the nose's tip": (27, 30, 33),
    "angle of the profile": (27, 33, 8),
    "angle of the chin": (4, 8, 12),
    "angle of the upper lip": (48, 51, 54),
    "angle of the lower lip": (48, 57, 54),
}
"""At the second of three landmarks; radians."""

RATIOS = {
    "width of the face by its height": ("width of the face", "height of the face"),
    "width of the mouth by the nose's": ("width of the mouth", "width of the nose"),
    "width of the jaw by the face's": ("width of the jaw", "width of the face"),
}
"""Of two of the distances."""

PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((i, 43 - i) for i in range(17, 22)),
    (31, 35), (32, 34),
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (58, 56), (59, 55), (60, 64), (61, 63), (67, 65),
)  # fmt: skip
"""Landmarks of the right and of the left that mirror each other."""
MIDLINE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)
"""Landmarks that mirror themselves."""

SIDES = (*(f"landmarks {i} and {j}" for i, j in PAIRS), *(f"landmark {i}" for i in MIDLINE))
"""(S,) names of the asymmetries."""


@dataclass(frozen=True)
class Measures:
    """The measurements of one model's faces: those of the landmarks, and the model's own where it has any."""

    vertices: Ints
    """(n,) of the mesh that are needed; the first 68 are the landmarks."""
    own: Anthropometry | None
    """The model's own, between numbers into :attr:`vertices`."""
    names: tuple[str, ...]
    """(M,) what is measured."""
    unit: tuple[str, ...]
    """(M,) ``mm``, ``rad`` or nothing."""

    @classmethod
    def of(cls, landmarks: Ints, anthropometry: Anthropometry | None) -> Measures:
        """The measurements of a model with these landmarks (68,)."""
        names, unit = [*DISTANCES, *ANGLES, *RATIOS], ["mm"] * len(DISTANCES) + ["rad"] * len(ANGLES)
        unit += [""] * len(RATIOS)
        if anthropometry is None:
            return cls(landmarks, None, tuple(names), tuple(unit))
        used, local = np.unique(anthropometry.vertices, return_inverse=True)
        own = replace(
            anthropometry, vertices=(len(landmarks) + local).reshape(anthropometry.vertices.shape).astype(np.int32)
        )
        names += [f"{name} (anthropometry)" for name in own.names]
        unit += ["mm"] * len(own.names)
        return cls(np.concatenate([landmarks, used.astype(np.int64)]), own, tuple(names), tuple(unit))

    def measure(self, points: Float) -> Float:
        """(B, M) of points (B, n, 3) of aligned faces, mm."""
        marks = points[:, :68]
        lengths = {name: _distance(marks, *ends) for name, ends in DISTANCES.items()}
        angles = [_angle(marks, *corners) for corners in ANGLES.values()]
        ratios = [lengths[over] / np.maximum(lengths[under], 1e-6) for over, under in RATIOS.values()]
        columns = np.stack([*lengths.values(), *angles, *ratios], axis=1)
        if self.own is None:
            return columns
        return np.concatenate([columns, self.own.measure(points)], axis=1)


def asymmetries(points: Float) -> Float:
    """(B, S) distances, mm, between landmarks and the mirror images of those of the other side, of aligned faces.

    Args:
        points: (B, ≥ 68, 3) mm; the first are the landmarks, and the plane x = 0 mirrors the mean face.
    """
    right, left = np.array(PAIRS).T
    across = np.linalg.norm(points[:, right] - points[:, left] * (-1, 1, 1), axis=2)
    return np.concatenate([across, 2 * np.abs(points[:, list(MIDLINE), 0])], axis=1)


def _distance(marks: Float, first: tuple[int, ...], second: tuple[int, ...]) -> Float:
    offset = marks[:, list(first)].mean(axis=1) - marks[:, list(second)].mean(axis=1)
    return np.asarray(np.linalg.norm(offset, axis=1))


def _angle(marks: Float, first: int, corner: int, second: int) -> Float:
    a, b = marks[:, first] - marks[:, corner], marks[:, second] - marks[:, corner]
    sine = np.linalg.norm(np.cross(a, b), axis=1)
    return np.asarray(np.arctan2(sine, (a * b).sum(axis=1)))
