"""Body measurements of a face model's heads, and the published means that its people reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

WIDTH, DISTANCE, HEIGHT = 0, 1, 2
"""Twice the distance of a point from the median plane; the distance of two points; their distance along y."""


@dataclass(frozen=True)
class Anthropometry:
    """M measurements between points on the surface, and their law in the population that was the pattern; mm."""

    names: tuple[str, ...]
    """(M,) what is measured, in words."""
    kind: NDArray[np.int32]
    """(M,) WIDTH, DISTANCE or HEIGHT."""
    vertices: NDArray[np.int32]
    """(M, 2, 3) corners of the triangles that hold the two points; a width has one point twice."""
    weights: NDArray[np.float32]
    """(M, 2, 3) of the corners."""
    male: Float
    """(M,) mean of men."""
    female: Float
    """(M,) mean of women."""
    spread: Float
    """(M,) standard deviation within a sex."""
    source: str
    """Where the figures come from, and how far they can be trusted."""

    @property
    def mean(self) -> Float:
        """(M,) of both sexes together."""
        return (self.male + self.female) / 2

    @property
    def pooled(self) -> Float:
        """(M,) standard deviation of both sexes together."""
        pooled: Float = np.sqrt(self.spread**2 + ((self.male - self.female) / 2) ** 2)
        return pooled

    def measure(self, vertices: NDArray[np.floating]) -> Float:
        """Measurements (B, M) of heads (B, V, 3)."""
        corners = vertices[:, self.vertices].astype(np.float64)
        first, second = np.einsum("bmpkc,mpk->pbmc", corners, self.weights.astype(np.float64))
        across, along, up = 2 * np.abs(first[..., 0]), np.linalg.norm(first - second, axis=-1), first - second
        measured: Float = np.select([self.kind == WIDTH, self.kind == DISTANCE], [across, along], np.abs(up[..., 1]))
        return measured

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named plain arrays for a file."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Anthropometry:
        """The inverse of :meth:`to_arrays`."""
        return cls(
            names=tuple(arrays["names"].tolist()),
            kind=arrays["kind"],
            vertices=arrays["vertices"],
            weights=arrays["weights"],
            male=arrays["male"],
            female=arrays["female"],
            spread=arrays["spread"],
            source=str(arrays["source"]),
        )
