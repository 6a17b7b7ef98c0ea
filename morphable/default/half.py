"""What the parts of a head share: one half of it, at rest and in an expression.

Every part is made for the left half, in its coordinates; the right half is shown to it mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.default.levels import Level

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

MIRRORED = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class HalfHead:
    """The mean head as its parts see it."""

    level: Level
    skin: Float
    """(N, 3) the skin's vertices, mm; NaN for all others."""
    eyeball_centre: Float
    """(3,) of the left eye, mm."""


@dataclass(frozen=True)
class HalfPose:
    """A half of the head in an expression at weight 1, in the coordinates of the left half."""

    name: str
    """The expression's name without its side; empty where it belongs to the other side."""
    skin: Float
    """(N, 3) what the expression displaces the skin by, mm; 0 for what is not skin."""
    jaw: Callable[[Float], Float]
    """What the mandible's motion displaces points (n, 3) by."""


class Part(Protocol):
    """Vertices of the left half, where they are, what they follow and how they answer an expression."""

    vertices: Ints
    """(k,)."""
    rest: Float
    """(k, 3) mm."""
    skin_share: scipy.sparse.csr_array
    """(k, N) weights of the skin's displacement that an identity displaces them by."""
    eye_share: Float
    """(k,) weights of the eyeball's motion in an identity."""

    def respond(self, pose: HalfPose) -> Float:
        """What an expression displaces them by, (k, 3)."""
        ...


def follow(count: int, anchors: Ints, weights: Float) -> scipy.sparse.csr_array:
    """(k, N) matrix of weights (k, a) on anchors (k, a) among N vertices."""
    rows = np.repeat(np.arange(len(anchors)), anchors.shape[1])
    return scipy.sparse.csr_array((weights.ravel(), (rows, anchors.ravel())), shape=(len(anchors), count))


def unit(vectors: Float) -> Float:
    """Vectors (…, 3) at length 1."""
    directions: Float = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return directions


def rotate(vectors: Float, start: Float, end: Float, share: Float | float = 1.0) -> Float:
    """Turn vectors (n, 3) by a share of the smallest rotation that takes unit vectors (n, 3) to others.

    Rodrigues' formula about ``start × end``.
    """
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(axis=-1, keepdims=True)) * np.asarray(share).reshape(-1, 1)
    axis = axis / np.maximum(sine, 1e-15)
    along = (axis * vectors).sum(axis=-1, keepdims=True) * axis
    turned: Float = along + (vectors - along) * np.cos(angle) + np.cross(axis, vectors) * np.sin(angle)
    # Without a direction to turn about there is nothing to turn.
    return np.where(sine > 1e-12, turned, vectors)
