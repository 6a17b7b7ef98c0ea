"""Texture and relief at a point of the atlas, for the compiled loops of :mod:`facegen.stages.render.lanes`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.imaging.mesh import CameraMesh
from facegen.morphable.relief import STEPS, Relief
from facegen.morphable.topology import Topology
from facegen.stages.render.shading import F32, RGB, inline

_VANISHES, _FULL = 0.35, 0.7
"""Pixels that a texel of the grain spans where it begins to be drawn, and where it is drawn in full: what is smaller
than a pixel or so only makes noise."""

Cell = tuple[np.uint64, np.uint64, np.float32]
Slopes = tuple[np.float32, np.float32]


class Detail(NamedTuple):
    """What the pixels of one face are drawn with besides the mesh."""

    corner_uv: F32
    """(T, 6) texture coordinates u, v of the three corners."""
    texture: NDArray[np.uint8]
    """(S, S, 3) sRGB."""
    relief: NDArray[np.int8]
    """(S', S', 2) slopes times 64."""
    micro: NDArray[np.int8]
    """(h, w, 2) see :class:`facegen.morphable.relief.Relief`, and so are ``micro_strength`` and ``micro_repeats``."""
    micro_strength: NDArray[np.uint8]
    micro_repeats: np.float32
    fade: np.float32
    """Factor of the grain, 0 … 1, by its size in the image."""


class DetailParts:
    """The parts of :class:`Detail` that all faces of a model share."""

    def __init__(self, topology: Topology, relief: Relief | None) -> None:
        self._corner_uv = topology.uv[topology.uv_triangles].reshape(-1, 6)
        self._flat = np.zeros((1, 1, 2), np.int8)
        # Copies, because compiled code has one version for arrays that can be written and one for others.
        self._micro = self._flat if relief is None else np.array(relief.micro, order="C")
        strength = np.zeros((1, 1), np.uint8) if relief is None else relief.micro_strength
        self._strength = np.array(strength, order="C")
        self._repeats = np.float32(1.0 if relief is None else relief.micro_repeats)
        self._texel = 0.0 if relief is None else relief.micro_millimetres / max(relief.micro.shape[:2])

    def of(
        self,
        texture: NDArray[np.uint8],
        relief: NDArray[np.int8] | None,
        mesh: CameraMesh,
        intrinsics: NDArray[np.float64],
        projection: int,
    ) -> Detail:
        """The detail of a face: its texture and relief, and the grain if there is a relief."""
        if relief is None:
            return Detail(self._corner_uv, texture, self._flat, self._micro, self._strength, self._repeats, _fade(0.0))
        depth = max(float(mesh.vertices[:, 2].mean()), NEAR) if projection == PERSPECTIVE else 1.0
        pixels = self._texel * abs(float(intrinsics[0, 0])) / depth
        return Detail(self._corner_uv, texture, relief, self._micro, self._strength, self._repeats, _fade(pixels))


def _fade(pixels: float) -> np.float32:
    """Factor of a grain whose texels span so many pixels."""
    return np.float32(min(max((pixels - _VANISHES) / (_FULL - _VANISHES), 0.0), 1.0))


@inline
def _cell(place: np.float32, size: int) -> Cell:
    """The texels around a place, given in texels, of a row of ``size``, and the weight of the second."""
    x = min(max(place - np.float32(0.5), np.float32(0.0)), np.float32(size - 1))
    # Clamped as integers too, so that no arithmetic on floats can lead out of the texture.
    low: int = min(max(int(x), 0), size - 1)
    return np.uint64(low), np.uint64(min(low + 1, size - 1)), x - np.float32(low)


@inline
def _wrapped_cell(place: np.float32, size: int) -> Cell:
    """As :func:`_cell` for a row that continues itself; ``place`` in rows."""
    x = (place - np.float32(math.floor(place))) * np.float32(size) - np.float32(0.5)
    x = x + np.float32(size) if x < np.float32(0.0) else x
    low: int = min(max(int(x), 0), size - 1)
    return np.uint64(low), np.uint64(low + 1 if low + 1 < size else 0), x - np.float32(low)


@inline
def texture_at(texture: NDArray[np.uint8], decode: F32, u: np.float32, v: np.float32) -> RGB:
    """Linear RGB, bilinear, of an sRGB texture; ``decode`` (256,) is sRGB to linear."""
    one = np.float32(1.0)
    left, right, fx = _cell(u * np.float32(texture.shape[1]), texture.shape[1])
    top, bottom, fy = _cell((one - v) * np.float32(texture.shape[0]), texture.shape[0])
    a, b = (one - fy) * (one - fx), (one - fy) * fx
    c, d = fy * (one - fx), fy * fx
    return (
        (a * decode[texture[top, left, 0]] + b * decode[texture[top, right, 0]])
        + (c * decode[texture[bottom, left, 0]] + d * decode[texture[bottom, right, 0]]),
        (a * decode[texture[top, left, 1]] + b * decode[texture[top, right, 1]])
        + (c * decode[texture[bottom, left, 1]] + d * decode[texture[bottom, right, 1]]),
        (a * decode[texture[top, left, 2]] + b * decode[texture[top, right, 2]])
        + (c * decode[texture[bottom, left, 2]] + d * decode[texture[bottom, right, 2]]),
    )


@inline
def _bilinear_slopes(slopes: NDArray[np.int8], x: Cell, y: Cell, scale: np.float32) -> Slopes:
    left, right, fx = x
    top, bottom, fy = y
    upper, lower = scale * (np.float32(1.0) - fy), scale * fy
    a, b = upper * (np.float32(1.0) - fx), upper * fx
    c, d = lower * (np.float32(1.0) - fx), lower * fx
    return (
        (a * np.float32(slopes[top, left, 0]) + b * np.float32(slopes[top, right, 0]))
        + (c * np.float32(slopes[bottom, left, 0]) + d * np.float32(slopes[bottom, right, 0])),
        (a * np.float32(slopes[top, left, 1]) + b * np.float32(slopes[top, right, 1]))
        + (c * np.float32(slopes[bottom, left, 1]) + d * np.float32(slopes[bottom, right, 1])),
    )


@inline
def relief_at(relief: NDArray[np.int8], u: np.float32, v: np.float32) -> Slopes:
    """Slopes along growing u and v, bilinear."""
    return _bilinear_slopes(
        relief,
        _cell(u * np.float32(relief.shape[1]), relief.shape[1]),
        _cell((np.float32(1.0) - v) * np.float32(relief.shape[0]), relief.shape[0]),
        np.float32(1.0 / STEPS),
    )


@inline
def grain_at(
    micro: NDArray[np.int8],
    micro_strength: NDArray[np.uint8],
    micro_repeats: np.float32,
    fade: np.float32,
    u: np.float32,
    v: np.float32,
) -> Slopes:
    """Slopes of the grain, where it is as strong as the nearest texel of its strength says."""
    half = np.float32(0.5)
    rows, columns = micro_strength.shape
    row, _, _ = _cell((np.float32(1.0) - v) * np.float32(rows) + half, rows)
    column, _, _ = _cell(u * np.float32(columns) + half, columns)
    return _bilinear_slopes(
        micro,
        _wrapped_cell(u * micro_repeats, micro.shape[1]),
        _wrapped_cell(-v * micro_repeats, micro.shape[0]),
        fade * np.float32(micro_strength[row, column]) * np.float32(1.0 / (255.0 * STEPS)),
    )


@inline
def tilted(normal: RGB, first: RGB, second: RGB, du1: np.float32, dv1: np.float32, du2: np.float32, dv2: np.float32,
           slopes: Slopes) -> RGB:  # fmt: skip
    """The normal of a surface with slopes: ``n / |n| − s_u T − s_v B``, times \\|n\\|.

    T and B are the unit tangents of growing u and v in the triangle's plane; where its texture coordinates span no
    area, slopes have no direction and change nothing.

    Args:
        normal: n, of any length.
        first: from corner 0 to corner 1; ``second`` from corner 0 to corner 2.
        du1, dv1, du2, dv2: the same in texture coordinates.
        slopes: s_u and s_v.
    """
    zero, least = np.float32(0.0), np.float32(1e-30)
    area = du1 * dv2 - du2 * dv1
    length = np.float32(math.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]))
    length = length if area > zero else -length
    length = length if abs(area) > np.float32(1e-14) else zero
    tx, ty, tz = first[0] * dv2 - second[0] * dv1, first[1] * dv2 - second[1] * dv1, first[2] * dv2 - second[2] * dv1
    bx, by, bz = second[0] * du1 - first[0] * du2, second[1] * du1 - first[1] * du2, second[2] * du1 - first[2] * du2
    along_u = slopes[0] * length / np.float32(math.sqrt(max(tx * tx + ty * ty + tz * tz, least)))
    along_v = slopes[1] * length / np.float32(math.sqrt(max(bx * bx + by * by + bz * bz, least)))
    return (
        normal[0] - (along_u * tx + along_v * bx),
        normal[1] - (along_u * ty + along_v * by),
        normal[2] - (along_u * tz + along_v * bz),
    )
