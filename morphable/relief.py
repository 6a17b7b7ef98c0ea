"""Geometry detail beyond the mesh: wrinkles that follow the coefficients, and the grain of the skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.texture import box_reduced, levels_of

Float = NDArray[np.float32]

STEPS = 64
"""Slopes are stored as integers: this many make a slope of 1."""

_LANES = np.uint64(512)


@dataclass(frozen=True)
class Relief:
    """Surface slopes in texture space: dh/ds along the unit tangents of growing u and of growing v, h outwards.

    Slopes have no unit. Textures are square; row 0 is the top (v = 1), texel centres are at +0.5.
    """

    names: tuple[str, ...]
    """Of the G groups of wrinkles."""
    wrinkles: NDArray[np.int8]
    """(G, H, H, 2) slopes along u and v at strength 1, times 64."""
    base: Float
    """(G,) strength at coefficients of zero."""
    by_albedo: Float
    """(G, Ka) strength per σ of the albedo coefficients."""
    by_expression: Float
    """(G, Ke) strength per unit of the expression coefficients."""
    largest: Float
    """(G,) the strength that a group never exceeds."""
    micro: NDArray[np.int8]
    """(h, w, 2) a tile of fine grain that continues itself: slopes times 64."""
    micro_repeats: float
    """Tiles per unit of u and of v."""
    micro_strength: NDArray[np.uint8]
    """(H', W') factor of the grain, times 255."""
    micro_millimetres: float
    """Side of a tile on the face, mm: tells at which image scale its texels are too small to be seen."""

    def __post_init__(self) -> None:
        groups, size = len(self.names), self.wrinkles.shape[-2]
        if size % 4 or self.wrinkles.shape != (groups, size, size, 2):
            raise ModelError(
                f"wrinkles of shape {self.wrinkles.shape}: expected ({groups}, H, H, 2) with H a multiple of 4"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes that :meth:`decode` can make, finest first."""
        return levels_of(self.wrinkles.shape[-2])

    def strengths(self, albedo: Float, expression: Float) -> Float:
        """Strength (B, G) of the groups: linear in the coefficients, between 0 and the largest.

        Args:
            albedo: (B, Ka) in σ.
            expression: (B, Ke).
        """
        # Sums along the last axis, not products of matrices: a face must not depend on its batch.
        total = self.base.astype(np.float64)
        total = total + (albedo[:, None].astype(np.float64) * self.by_albedo).sum(axis=2)
        total = total + (expression[:, None].astype(np.float64) * self.by_expression).sum(axis=2)
        strengths: Float = total.clip(0, self.largest).astype(np.float32)
        return strengths

    def decode(self, albedo: Float, expression: Float, size: int) -> NDArray[np.int8]:
        """Slopes (B, size, size, 2), times 64, of the wrinkles; they saturate at ±127.

        A face's relief does not depend on the rest of the batch.

        Args:
            albedo: (B, Ka) in σ.
            expression: (B, Ke).
            size: one of :attr:`sizes`; the coarser ones average over squares of texels.
        """
        result = np.empty((len(albedo), size * size * 2), np.int8)
        _sum_groups(self._level(size), self.strengths(albedo, expression), result)
        return result.reshape(len(result), size, size, 2)

    @cached_property
    def _levels(self) -> dict[int, NDArray[np.int8]]:
        return {}

    def _level(self, size: int) -> NDArray[np.int8]:
        """(G, 2 size²) slopes."""
        if size not in self._levels:
            level = np.empty((len(self.names), size, size, 2), np.int8)
            for group, full in zip(level, self.wrinkles, strict=True):
                group[:] = np.rint(box_reduced(full.transpose(2, 0, 1), size)).transpose(1, 2, 0)
            self._levels[size] = level.reshape(len(level), -1)
        return self._levels[size]


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract"})
def _sum_groups(wrinkles: NDArray[np.int8], strengths: Float, result: NDArray[np.int8]) -> None:
    """Write ``result`` (B, N): wrinkles (G, N), strengths (B, G)."""
    groups, count = wrinkles.shape
    total = np.zeros(_LANES, np.float32)
    low, high, half = np.float32(-127.0), np.float32(127.0), np.float32(0.5)
    # Unsigned indices, see facegen.morphable.albedo.
    for start in range(np.uint64(0), np.uint64(count), _LANES):
        used = min(_LANES, np.uint64(count) - start)
        for b in range(strengths.shape[0]):
            for n in range(_LANES):
                total[n] = np.float32(0.0)
            for g in range(groups):
                strength = strengths[b, g]
                # Most groups of most faces are at rest.
                if strength > np.float32(0.0):
                    for n in range(used):
                        total[n] += strength * np.float32(wrinkles[g, start + n])
            for n in range(used):
                value = min(max(total[n], low), high)
                result[b, start + n] = np.int8(np.floor(value + half))
