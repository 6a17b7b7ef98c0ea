"""Which vertices a directional light reaches: a shadow map with a penumbra that grows with the distance to what blocks.

The mesh is drawn once from the light by the visibility rule of images. Each vertex then looks for blockers in a disc
about itself and, from their mean distance, widens the disc in which it counts them: percentage-closer soft shadows
(Fernando 2005, "Percentage-closer soft shadows"), at the vertices instead of the pixels. Samples follow the receiver's
tangent plane, so that a surface does not shadow itself.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import to_camera
from facegen.imaging.rasterise import Rasteriser
from facegen.morphable.topology import Triangles

Float = NDArray[np.float32]

SIZE = 256
"""Samples a side of the shadow map: 1 to 2 mm apart on a head with shoulders."""

_MARGIN = 2.0
"""Samples between the mesh and the border."""

_BEFORE = 100.0
"""mm from the map's plane to what is nearest to it: in front of all that would be clipped."""

_TAPS = 24

_BIAS = 1.2
"""mm: what is nearer in front of a vertex than this does not shadow it."""

_REACH = 60.0
"""mm between blocker and receiver beyond which the penumbra grows no further."""

_FLAT, _FULL = 0.06, 0.25
"""Cosines of the angle to the light between which shadows fade in: at the terminator the shading itself is dark."""


class ShadowCaster:
    """Shadows of frame after frame of one topology; owns the arrays that this takes."""

    def __init__(self, triangles: Triangles, vertex_count: int) -> None:
        self._rasteriser = Rasteriser(triangles, vertex_count, SIZE, SIZE)
        self._triangle = np.empty((SIZE, SIZE), np.int32)
        self._key = np.empty((SIZE, SIZE), np.float32)
        # Golden angle spiral (Vogel 1979): even over the disc for any radius.
        place = np.arange(_TAPS) + 0.5
        angle = place * math.pi * (3 - math.sqrt(5))
        radius = np.sqrt(place / _TAPS)
        self._taps = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)

    def visibility(self, vertices: Float, normals: Float, direction: Float, softness: float) -> Float:
        """(V,) share of the light that reaches each vertex, 0 … 1.

        Args:
            vertices: (V, 3) mm, in the frame of ``direction``.
            normals: (V, 3) unit.
            direction: (3,) unit vector towards the light.
            softness: angular radius of the light, radians.
        """
        if not np.isfinite(vertices).all():
            # No camera sees them either.
            return np.ones(len(vertices), np.float32)
        towards = direction.astype(np.float64)
        helper = np.array([0.0, 1.0, 0.0] if abs(towards[1]) < 0.9 else [1.0, 0.0, 0.0])
        right = np.cross(helper, towards)
        right /= math.sqrt(right @ right)
        frame = np.eye(4)
        frame[:3, :3] = right, np.cross(-towards, right), -towards
        seen = to_camera(vertices, frame)
        seen[:, 2] += np.float32(_BEFORE) - seen[:, 2].min()
        low, high = seen.min(axis=0).astype(np.float64), seen.max(axis=0).astype(np.float64)
        extent = max(high[0] - low[0], high[1] - low[1], 1e-3)
        scale = (SIZE - 2 * _MARGIN) / extent
        centre = SIZE / 2
        intrinsics = np.array(
            [
                [scale, 0.0, centre - scale * (low[0] + high[0]) / 2],
                [0.0, scale, centre - scale * (low[1] + high[1]) / 2],
                [0.0, 0.0, 1.0],
            ]
        )
        self._rasteriser.load(seen, intrinsics, SCALED_ORTHOGRAPHIC)
        self._rasteriser.fill(self._triangle, self._key, supersampled=False)
        result = np.empty(len(vertices), np.float32)
        _look(
            seen, normals, frame[:3, :3].astype(np.float32), self._key, np.float32(high[2] + 1.0), intrinsics,
            self._taps, np.float32(math.tan(softness)), result,
        )  # fmt: skip
        return result


_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_compile
def _look(
    seen: Float,
    normals: Float,
    frame: Float,
    key: Float,
    farthest: np.float32,
    intrinsics: NDArray[np.float64],
    taps: Float,
    tangent: np.float32,
    out: Float,
) -> None:
    """Write the visibility of all vertices; depths of the map are ``farthest - key``, its empty samples have key 0."""
    zero, one = np.float32(0.0), np.float32(1.0)
    scale = np.float32(intrinsics[0, 0])
    cx, cy = np.float32(intrinsics[0, 2]), np.float32(intrinsics[1, 2])
    texel = one / scale
    widest = max(tangent * np.float32(_REACH), np.float32(2.0) * texel)
    last = key.shape[0] - 1
    for i in range(len(seen)):
        a = frame[0, 0] * normals[i, 0] + frame[0, 1] * normals[i, 1] + frame[0, 2] * normals[i, 2]
        b = frame[1, 0] * normals[i, 0] + frame[1, 1] * normals[i, 1] + frame[1, 2] * normals[i, 2]
        facing = -(frame[2, 0] * normals[i, 0] + frame[2, 1] * normals[i, 1] + frame[2, 2] * normals[i, 2])
        # Written so that what is not a number is lit.
        if not facing > np.float32(_FLAT):
            out[i] = one
            continue
        # Depth along the tangent plane, per mm across.
        steep = one / facing
        slope_a, slope_b = a * steep, b * steep
        x, y, z = seen[i, 0], seen[i, 1], seen[i, 2]
        radius = widest
        visible = one
        for turn in range(2):
            blocked, above = zero, zero
            for n in range(len(taps)):
                dx, dy = taps[n, 0] * radius, taps[n, 1] * radius
                column = min(max(int((x + dx) * scale + cx), 0), last)
                row = min(max(int((y + dy) * scale + cy), 0), last)
                # Where the sample lies, which is not quite where the tap does.
                sx = (np.float32(column) + np.float32(0.5) - cx) * texel - x
                sy = (np.float32(row) + np.float32(0.5) - cy) * texel - y
                k = key[row, column]
                gap = z + slope_a * sx + slope_b * sy - (farthest - k)
                if k > zero and gap > np.float32(_BIAS):
                    blocked += one
                    above += gap
            if turn == 0:
                if blocked == zero:
                    break
                radius = min(max(tangent * above / blocked, texel), widest)
            visible = one - blocked / np.float32(len(taps))
        fade = min(max((facing - np.float32(_FLAT)) / np.float32(_FULL - _FLAT), zero), one)
        out[i] = one - fade * (one - visible)
