"""What vertices see in a shadow map: blockers in a disc about them, and an average over the penumbra's width.

The map holds depths along the light's z; see :mod:`facegen.imaging.shadows` for who draws it and what for.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int32]

SIZE = 192
"""Samples a side of the shadow map: 1 to 2 mm apart on a head."""

WIDEST = 3.0
"""Largest tangent of the angle between the axis of a point light's map and what it reaches. A light so near that it
would take more casts no shadows: in the meshes, or all but touching them."""

_SEARCH, _TAPS = 12, 16
"""Samples of the search for blockers, and of the average."""

_BIAS, _RAMP = 0.5, 1.0
"""mm: what is nearer in front of a vertex than the one casts no shadow, what is farther by the other a whole one."""

_REACH = 60.0
"""mm between blocker and receiver beyond which the penumbra grows no further."""

_SPREAD, _MOST_SPREAD = 0.6, 8.0
"""Least radius of the averaged disc on the surface, in mean lengths of the edges at a vertex; at most so many mm."""

_STEEPEST = 0.2
"""Least cosine to the light for the touching plane: it bounds the plane's slope."""

_AWAY = -0.35
"""Cosine to the light below which none reaches a vertex; the shading of skin wraps around the terminator, to -0.24."""

_FADE = 0.1
"""Cosines from ``_AWAY`` on over which light fades in."""

_FACING = 0.3
"""Cosine to the light from which on a vertex faces it."""

_LIFT, _LIFT_AWAY = 0.3, 2.5
"""mm along the normal by which a vertex is moved before it looks: from ``_FACING`` on, and at ``_AWAY``. There its own
body would hide it, and light that wraps around a body has passed it so far out."""

LANES = 64
"""Vertices taken together. Their values lie lane by lane in rows of this constant length, which lets the compiler see
that reads and writes do not overlap and use vector registers."""


def _disc(count: int, power: float) -> Float:
    """(count, 3) places on the unit disc and their distance from the middle, along a golden spiral (Vogel 1979)."""
    place = (np.arange(count) + 0.5) / count
    angle = np.arange(count) * math.pi * (3 - math.sqrt(5))
    radius = place**power
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), radius], axis=1).astype(np.float32)


SEARCH_TAPS = _disc(_SEARCH, 0.7)
"""Denser towards the middle, where the blockers of narrow penumbrae are."""
DISC_TAPS = _disc(_TAPS, 0.5)
"""Evenly over the disc."""

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


@_inline
def _penumbra(gap: np.float32, z: np.float32, radius: np.float32, perspective: bool) -> np.float32:
    """Half the width, mm, of the penumbra at depth z of an edge that is nearer to the light by ``gap``."""
    return radius * gap / max(z - gap, np.float32(0.25) * z) if perspective else radius * gap


@_inline
def _least(spacing: np.float32) -> np.float32:
    return min(np.float32(_SPREAD) * spacing, np.float32(_MOST_SPREAD))


@_compile
def widen(
    points: Float,
    normals: Float,
    spacing: Float,
    seen: Mask,
    turn: Float,
    perspective: bool,
    radius: np.float32,
    box: Float64,
) -> None:
    """Widen the box (4,) of the map, low x, y, high x, y, to all that vertices look at: mm, or tangents.

    Args:
        points: as for :func:`_look`, and so are the others.
    """
    left, top, right, bottom = box
    for i in range(len(points)):
        if not seen[i]:
            continue
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        a, b, c = _turned(turn, normals[i, 0], normals[i, 1], normals[i, 2])
        length = np.float32(math.sqrt(x * x + y * y + z * z)) if perspective else np.float32(1.0)
        against = a * x + b * y + c * z if perspective else c
        if against >= np.float32(-_AWAY) * length:
            continue
        if perspective and z * WIDEST <= length:
            # Beside the light or behind it.
            right = np.inf
            break
        widest, foot = _penumbra(np.float32(_REACH), z, radius, perspective), _least(spacing[i])
        reach = math.sqrt(widest * widest + foot * foot) + _LIFT_AWAY
        scale = 1.0 / z if perspective else 1.0
        left, right = min(left, (x - reach) * scale), max(right, (x + reach) * scale)
        top, bottom = min(top, (y - reach) * scale), max(bottom, (y + reach) * scale)
    box[0], box[1], box[2], box[3] = left, top, right, bottom


@_inline
def _shade(gap: np.float32) -> np.float32:
    """Part of the light that a blocker keeps away which is nearer to the light by ``gap`` mm."""
    return min(max((gap - np.float32(_BIAS)) * np.float32(1.0 / _RAMP), np.float32(0.0)), np.float32(1.0))


# Rows of lanes. Read from the vertices: place in the light's frame, normal in the camera's, spacing.
_X, _Y, _Z, _NX, _NY, _NZ, _SPACE = (row * LANES for row in range(7))
# Set up for the search: cosine to the light, place on the map in samples, samples per mm, depth, change of depth of the
# touching plane from sample to sample, radius of the search and least radius of the disc in mm.
_COSINE, _PX, _PY, _FINE, _DEPTH, _STEP_X, _STEP_Y, _REACHED, _FOOT = (row * LANES for row in range(7, 16))
# Found: how many blockers, and their gaps added; four samples of the map and the shares of the second column and row.
_BLOCKED, _GAPS, _MAP, _SHARE_X, _SHARE_Y = (row * LANES for row in (16, 17, 18, 22, 23))
# Of those that are partly in the dark, which wait until there are enough: what _PX … _STEP_Y are, the disc's axes in
# samples, what is blocked.
_W_PX, _W_PY, _W_DEPTH, _W_STEP_X, _W_STEP_Y, _XX, _XY, _YX, _YY, _SHADE = (row * LANES for row in range(24, 34))
LANE_ROWS = 34
# Of integers: vertices, those that wait, samples.
_VERTEX, _WAITING, _SAMPLE = 0, LANES, 2 * LANES
PLACE_ROWS = 3


@_compile
def look(
    points: Float,
    normals: Float,
    spacing: Float,
    seen: Mask,
    turn: Float,
    perspective: bool,
    radius: np.float32,
    scale: np.float32,
    centre: Float,
    depth: Float,
    search: Float,
    disc: Float,
    lanes: Float,
    places: Places,
    out: Float,
) -> None:
    """Write the share of the light that reaches the vertices which are seen.

    Args:
        points: (V, 3) vertices in the light's frame.
        normals: (V, 3) in the camera's frame.
        turn: (3, 3) from the camera's axes to the light's.
        scale: samples per mm, or per unit tangent; ``centre`` (2,) where the light's axis meets the map.
        depth: (SIZE, SIZE).
        search: (_SEARCH, 3) taps on the unit disc; ``disc`` (_TAPS, 3).
        lanes, places: scratch.
    """
    flat = depth.reshape(-1)
    filled, waiting = 0, 0
    last = len(seen) - 1
    for i in range(len(seen)):
        if seen[i]:
            places[_VERTEX + filled] = i
            lanes[_X + filled], lanes[_Y + filled], lanes[_Z + filled] = points[i, 0], points[i, 1], points[i, 2]
            lanes[_NX + filled], lanes[_NY + filled], lanes[_NZ + filled] = normals[i, 0], normals[i, 1], normals[i, 2]
            lanes[_SPACE + filled] = spacing[i]
            filled += 1
        if filled == LANES or (i == last and filled > 0):
            _set_up(lanes, turn, perspective, radius, scale, centre)
            _search_lanes(lanes, places, perspective, radius, flat, search)
            for n in range(filled):
                out[places[_VERTEX + n]] = _fade(lanes[_COSINE + n])
                if lanes[_BLOCKED + n] > np.float32(0.0):
                    places[_WAITING + waiting] = places[_VERTEX + n]
                    _let_wait(lanes, n, waiting, turn, perspective, radius)
                    waiting += 1
                    if waiting == LANES:
                        _average(lanes, places, waiting, flat, disc, out)
                        waiting = 0
            filled = 0
    _average(lanes, places, waiting, flat, disc, out)


@_inline
def _fade(cosine: np.float32) -> np.float32:
    return min(max((cosine - np.float32(_AWAY)) * np.float32(1.0 / _FADE), np.float32(0.0)), np.float32(1.0))


@_inline
def _turned(turn: Float, x: np.float32, y: np.float32, z: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    return (
        turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z,
        turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z,
        turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z,
    )


@_compile
def _set_up(lanes: Float, turn: Float, perspective: bool, radius: np.float32, scale: np.float32, centre: Float) -> None:
    zero, one = np.float32(0.0), np.float32(1.0)
    t00, t01, t02, t10, t11, t12 = turn[0, 0], turn[0, 1], turn[0, 2], turn[1, 0], turn[1, 1], turn[1, 2]
    t20, t21, t22, cx, cy = turn[2, 0], turn[2, 1], turn[2, 2], centre[0], centre[1]
    for n in range(LANES):
        nx, ny, nz = lanes[_NX + n], lanes[_NY + n], lanes[_NZ + n]
        a, b, c = t00 * nx + t01 * ny + t02 * nz, t10 * nx + t11 * ny + t12 * nz, t20 * nx + t21 * ny + t22 * nz
        x, y, z = lanes[_X + n], lanes[_Y + n], lanes[_Z + n]
        # For each mm along z the ray to the vertex is as long as this.
        ray = np.float32(math.sqrt(x * x + y * y + z * z)) / z if perspective else one
        cosine = -(a * x + b * y + c * z) / (z * ray) if perspective else -c
        away = min(max((np.float32(_FACING) - cosine) * np.float32(1.0 / (_FACING - _AWAY)), zero), one)
        lift = np.float32(_LIFT) + away * away * np.float32(_LIFT_AWAY - _LIFT)
        x, y, z = x + lift * a, y + lift * b, z + lift * c
        fine = scale / z if perspective else scale
        # Depth along the touching plane, per sample across.
        steep = one / (max(cosine, np.float32(_STEEPEST)) * ray * fine)
        foot = _least(lanes[_SPACE + n])
        widest = _penumbra(np.float32(_REACH), z, radius, perspective)
        reach = max(np.float32(math.sqrt(widest * widest + foot * foot)), one / fine)
        px, py, span = x * fine + cx, y * fine + cy, reach * fine + one
        last = np.float32(SIZE - 1)
        # Not so for what faces away, nor for what is not a number.
        looks = (cosine > np.float32(_AWAY)) & (min(px, py) - span >= zero) & (max(px, py) + span <= last)
        lanes[_COSINE + n] = cosine
        lanes[_PX + n], lanes[_PY + n] = (px, py) if looks else (np.float32(SIZE / 2), np.float32(SIZE / 2))
        lanes[_FINE + n], lanes[_DEPTH + n] = fine, z if looks else np.float32(-np.inf)
        lanes[_STEP_X + n], lanes[_STEP_Y + n] = a * steep, b * steep
        lanes[_REACHED + n], lanes[_FOOT + n] = reach if looks else zero, foot
        lanes[_BLOCKED + n], lanes[_GAPS + n] = zero, zero


@_compile
def _search_lanes(
    lanes: Float, places: Places, perspective: bool, radius: np.float32, flat: Float, search: Float
) -> None:
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    for tap in range(len(search)):
        u, v, away = search[tap, 0], search[tap, 1], search[tap, 2]
        for n in range(LANES):
            across = lanes[_REACHED + n] * lanes[_FINE + n]
            column, row = np.int32(lanes[_PX + n] + u * across), np.int32(lanes[_PY + n] + v * across)
            places[_SAMPLE + n] = np.int32(np.int32(row * np.int32(SIZE)) + column)
            # Where the sample lies, which is not quite where the tap does.
            lanes[_SHARE_X + n] = np.float32(column) + half - lanes[_PX + n]
            lanes[_SHARE_Y + n] = np.float32(row) + half - lanes[_PY + n]
        for n in range(LANES):
            lanes[_MAP + n] = flat[np.uint64(np.uint32(places[_SAMPLE + n]))]
        for n in range(LANES):
            z = lanes[_DEPTH + n]
            plane = z + lanes[_STEP_X + n] * lanes[_SHARE_X + n] + lanes[_STEP_Y + n] * lanes[_SHARE_Y + n]
            gap = plane - lanes[_MAP + n]
            # Only what lies within the cone of the light's rays.
            cone = _penumbra(gap, z, radius, perspective) + lanes[_FOOT + n] + one / lanes[_FINE + n]
            blocks = (gap > np.float32(_BIAS)) & (cone >= away * lanes[_REACHED + n])
            lanes[_BLOCKED + n] += one if blocks else zero
            lanes[_GAPS + n] += gap if blocks else zero


@_inline
def _let_wait(lanes: Float, n: int, w: int, turn: Float, perspective: bool, radius: np.float32) -> None:
    """Put the disc over which lane n averages into the waiting lane w."""
    z, foot, fine = lanes[_DEPTH + n], lanes[_FOOT + n], lanes[_FINE + n]
    widest = _penumbra(np.float32(_REACH), z, radius, perspective)
    wide = min(_penumbra(lanes[_GAPS + n] / lanes[_BLOCKED + n], z, radius, perspective), widest)
    a, b, _ = _turned(turn, lanes[_NX + n], lanes[_NY + n], lanes[_NZ + n])
    tilt = np.float32(math.sqrt(a * a + b * b))
    a, b = (a / tilt, b / tilt) if tilt > np.float32(0.0) else (np.float32(1.0), np.float32(0.0))
    # On the surface it is at least as wide as the mesh can show: foreshortened along the slope.
    short = foot * max(lanes[_COSINE + n], np.float32(_STEEPEST))
    along = np.float32(math.sqrt(wide * wide + short * short)) * fine
    across = np.float32(math.sqrt(wide * wide + foot * foot)) * fine
    lanes[_W_PX + w], lanes[_W_PY + w], lanes[_W_DEPTH + w] = lanes[_PX + n], lanes[_PY + n], z
    lanes[_W_STEP_X + w], lanes[_W_STEP_Y + w] = lanes[_STEP_X + n], lanes[_STEP_Y + n]
    lanes[_XX + w], lanes[_XY + w] = along * a, -across * b
    lanes[_YX + w], lanes[_YY + w] = along * b, across * a


@_compile
def _average(lanes: Float, places: Places, waiting: int, flat: Float, disc: Float, out: Float) -> None:
    """Dim ``out`` of the vertices that wait by what is blocked of their discs."""
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    for n in range(waiting, LANES):
        lanes[_W_PX + n], lanes[_W_PY + n] = np.float32(SIZE / 2), np.float32(SIZE / 2)
        lanes[_XX + n], lanes[_XY + n], lanes[_YX + n], lanes[_YY + n] = zero, zero, zero, zero
    for n in range(LANES):
        lanes[_SHADE + n] = zero
    for tap in range(len(disc)):
        u, v = disc[tap, 0], disc[tap, 1]
        for n in range(LANES):
            tx = lanes[_W_PX + n] - half + lanes[_XX + n] * u + lanes[_XY + n] * v
            ty = lanes[_W_PY + n] - half + lanes[_YX + n] * u + lanes[_YY + n] * v
            column, row = np.int32(tx), np.int32(ty)
            places[_SAMPLE + n] = np.int32(np.int32(row * np.int32(SIZE)) + column)
            lanes[_SHARE_X + n], lanes[_SHARE_Y + n] = tx - np.float32(column), ty - np.float32(row)
        for n in range(LANES):
            at = np.uint64(np.uint32(places[_SAMPLE + n]))
            lanes[_MAP + n], lanes[_MAP + LANES + n] = flat[at], flat[at + np.uint64(1)]
            at += np.uint64(SIZE)
            lanes[_MAP + 2 * LANES + n], lanes[_MAP + 3 * LANES + n] = flat[at], flat[at + np.uint64(1)]
        for n in range(LANES):
            right, down = lanes[_SHARE_X + n], lanes[_SHARE_Y + n]
            step_x, step_y = lanes[_W_STEP_X + n], lanes[_W_STEP_Y + n]
            # The touching plane at the first of the four samples.
            gap = lanes[_W_DEPTH + n] + step_x * (lanes[_XX + n] * u + lanes[_XY + n] * v - right)
            gap = gap + step_y * (lanes[_YX + n] * u + lanes[_YY + n] * v - down)
            upper = _between(_shade(gap - lanes[_MAP + n]), _shade(gap + step_x - lanes[_MAP + LANES + n]), right)
            gap = gap + step_y
            lower = _between(
                _shade(gap - lanes[_MAP + 2 * LANES + n]), _shade(gap + step_x - lanes[_MAP + 3 * LANES + n]), right
            )
            lanes[_SHADE + n] += _between(upper, lower, down)
    for n in range(waiting):
        out[places[_WAITING + n]] *= one - lanes[_SHADE + n] / np.float32(len(disc))


@_inline
def _between(first: np.float32, second: np.float32, share: np.float32) -> np.float32:
    return first + share * (second - first)
