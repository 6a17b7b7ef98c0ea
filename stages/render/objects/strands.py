"""Hair as ribbons: guides that are traced over a head, and the strands that follow them in locks.

A guide starts at a root on the scalp and follows a field of directions, held at a height over the skin where the head
carries it and falling freely below. Strands are drawn beside guides, closer together towards the tip, each a ribbon two
vertices wide with a tilt, a tone and a length of its own; so what is lit shows strands, and edges are ragged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.objects.crown import STEP, Crown, grid, interpolated, interpolated_at
from facegen.stages.render.objects.shapes import quads

Float = NDArray[np.float32]

AWAY, ASIDE, FORWARD, DOWN, TARGET, OFF_FACE, OFF_EAR = range(7)
"""Directions that a field mixes: away from the whorl, to the guide's own side, +z, -y, towards the target; and beyond
the hairline to the guide's side, off the face, and up, off the ear."""

POINTS = 16
"""Of a traced guide."""

_SLOPE = 1.3
"""Steepest slope of the ground that shoulders are taken for."""

_GROUND = 24
_GROUND_STEP = 16.0

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@dataclass(frozen=True)
class Guides:
    """Where guides start and what leads them; G of them, mm and radians."""

    azimuth: Float
    """(G,) of the root, and so is ``elevation``."""
    elevation: Float
    side: Float
    """(G,) -1 or 1: to which side the hair falls."""
    field: Float
    """(G, 7, 2) weights of the directions at the root and at the end of ``length``."""
    length: Float
    """(G,)."""
    lowest: Float
    """(G,) y below which a guide is cut."""
    height: Float
    """(G,) over the skin, that is reached at ``rise`` from the root."""
    rise: float
    whorl: Float
    """(3,) where hair turns away from."""
    target: Float
    """(3,) where tied hair goes."""
    stick: float
    """0 … 1: how firmly what lies on the head follows it."""


@dataclass(frozen=True)
class Strands:
    """What N strands have of their own."""

    guide: NDArray[np.int64]
    """(N,) the guide that each follows."""
    across: Float
    """(N,) mm beside the guide at the root."""
    along: Float
    """(N,) mm before the guide at the root."""
    lift: Float
    """(N,) mm over the guide."""
    share: Float
    """(N,) of the guide's length."""
    width: Float
    """(N,) mm where it is widest."""
    tilt: Float
    """(N,) radians about its own direction."""
    inward: NDArray[np.bool_]
    """(N,) whether it is seen from within instead of from outside."""
    wave: Float
    """(N, 3) amplitude in mm, waves from root to tip, phase."""
    clump: float
    """0 … 1: how near to the guide the tip is."""
    bunched: float
    """Exponent of the places of a strand's points: above 1 they are closer together near the root."""


def traced(crown: Crown, surface: Float, guides: Guides, shoulders: Float, steps: int) -> Float:
    """(G, POINTS, 3) the guides from root to tip.

    Args:
        crown: the head.
        surface: (ROWS, COLUMNS) the table of ``crown`` that guides lie on.
        guides: their roots and what leads them.
        shoulders: (n, 3) vertices that hanging hair lies on.
        steps: in which a guide's way is found.
    """
    radius = interpolated(crown.skull, guides.azimuth, guides.elevation)
    roots = crown.points(guides.azimuth, guides.elevation, radius)
    corner = np.array([crown.centre[0], crown.centre[2]], np.float32) - np.float32(0.5 * _GROUND * _GROUND_STEP)
    return _trace(
        roots, guides.side, guides.field, guides.length, guides.lowest, guides.height, guides.rise,
        guides.whorl, guides.target, guides.stick, crown.centre, surface, crown.margin,
        _ground(np.ascontiguousarray(shoulders, np.float32), corner), corner, steps,
    )  # fmt: skip


def ribbons(
    crown: Crown, surface: Float, ceiling: Float, paths: Float, strands: Strands, segments: int
) -> tuple[Float, NDArray[np.uint32], Float]:
    """Vertices, triangles, and for each vertex how bright it is and how far from the root.

    Args:
        crown: the head.
        surface: (ROWS, COLUMNS) the table of ``crown`` that no strand goes below.
        ceiling: (ROWS, COLUMNS) mm from the centre that no strand goes above; infinite where nothing is worn.
        paths: (G, POINTS, 3) as :func:`traced` gives them.
        strands: N of them.
        segments: of each strand.

    Returns:
        (N * (2 segments + 1), 3) mm, (N * (2 segments - 1), 3), and (N * (2 segments + 1), 2) the place along the
        strand, 0 at the root … 1 at the tip, and the height over ``surface``, mm.
    """
    vertices, place = _ribbons(
        np.ascontiguousarray(paths), strands.guide, strands.across, strands.along, strands.lift, strands.share,
        strands.width, strands.tilt, strands.inward, strands.wave, strands.clump, strands.bunched, segments,
        crown.centre, surface, ceiling,
    )  # fmt: skip
    left = 2 * np.arange(segments - 1)
    one = np.concatenate([
        np.stack([left, left + 1, left + 2], 1), np.stack([left + 1, left + 3, left + 2], 1),
        [[2 * segments - 2, 2 * segments - 1, 2 * segments]],
    ])  # fmt: skip
    count = 2 * segments + 1
    each = np.where(strands.inward[:, None, None], one[:, [0, 2, 1]], one)
    triangles = (each + count * np.arange(len(strands.guide))[:, None, None]).reshape(-1, 3).astype(np.uint32)
    return vertices.reshape(-1, 3), triangles, place.reshape(-1, 2)


def undercoat(
    crown: Crown, surface: Float, ceiling: Float, thickness: Float, inset: float
) -> tuple[Float, NDArray[np.uint32]]:
    """Vertices (N, 3) and triangles (M, 3) of what is between strands and scalp.

    Args:
        crown: the head.
        surface: (ROWS, COLUMNS) the table of ``crown`` that it is laid on.
        ceiling: as in :func:`ribbons`.
        thickness: (ROWS, COLUMNS) mm over the surface.
        inset: mm from the hairline to where it comes out of the skin.
    """
    azimuth, elevation = grid()
    # Low on the nape the skin runs away from the centre: strands alone cover it.
    out = np.clip((crown.margin - inset) / 6.0, 0, 1) * np.clip((elevation + 0.95) / 0.3, 0, 1)
    radius = np.where(out > 0, surface + 0.3 + thickness * out, surface - 3.0)
    radius = np.minimum(radius, np.maximum(ceiling - 1.5, surface + 0.3))
    points = crown.points(azimuth, elevation, radius.astype(np.float32))
    rows, columns = azimuth.shape
    corner = np.arange(rows * columns).reshape(rows, columns)
    here, there = corner[:-1], corner[1:]
    seen = (out > 0).reshape(-1)
    triangles = quads(here, np.roll(here, -1, axis=1), np.roll(there, -1, axis=1), there)
    triangles = triangles[seen[triangles].any(axis=1)]
    used, renumbered = np.unique(triangles, return_inverse=True)
    return points.reshape(-1, 3)[used], renumbered.reshape(-1, 3).astype(np.uint32)


def above_the_neck(surface: Float) -> Float:
    """A table like ``surface`` that below the head goes inside the neck, where hair on the head ends in the skin."""
    result = surface.copy()
    for row in range(int((math.pi / 2 - 0.8) / STEP), -1, -1):
        result[row] = np.minimum(result[row], result[row + 1] + np.float32(1.0))
    return result


@_compile
def _ground(shoulders: Float, corner: Float) -> Float:
    """(_GROUND, _GROUND) height, over x and z from ``corner``, of the lowest ground of limited slope over shoulders."""
    result = np.full((_GROUND, _GROUND), np.float32(-1e4))
    for i in range(_GROUND):
        for j in range(_GROUND):
            x, z = corner[0] + j * _GROUND_STEP, corner[1] + i * _GROUND_STEP
            for n in range(len(shoulders)):
                away = math.hypot(shoulders[n, 0] - x, shoulders[n, 2] - z)
                result[i, j] = max(result[i, j], shoulders[n, 1] - _SLOPE * away)
    return result


@_compile
def _smooth(low: float, high: float, x: float) -> float:
    s = min(max((x - low) / (high - low), 0.0), 1.0)
    return s * s * (3.0 - 2.0 * s)


@_compile
def _trace(
    roots: Float, side: Float, field: Float, length: Float, lowest: Float, height: Float, rise: float, whorl: Float,
    target: Float, stick: float, centre: Float, surface: Float, margin: Float, ground: Float, corner: Float,
    steps: int,
) -> Float:  # fmt: skip
    result = np.empty((len(roots), POINTS, 3), np.float32)
    path = np.empty((steps + 1, 3))
    for g in range(len(roots)):
        step = length[g] / steps
        x, y, z = roots[g, 0] - centre[0], roots[g, 1] - centre[1], roots[g, 2] - centre[2]
        path[0] = x, y, z
        end = float(steps)
        for k in range(1, steps + 1):
            t = k / steps
            r = math.sqrt(x * x + y * y + z * z)
            azimuth, elevation = math.atan2(x, z), math.atan2(y, math.hypot(x, z))
            before = interpolated_at(margin, azimuth, elevation)
            # Hair that has left the head at its lower half falls.
            free = _smooth(0.0, -0.45, elevation) * (1.0 - stick)
            w = field[g, :, 0] + (field[g, :, 1] - field[g, :, 0]) * t
            ax, ay, az = x - whorl[0] + centre[0], y - whorl[1] + centre[1], z - whorl[2] + centre[2]
            scale = w[AWAY] / (math.sqrt(ax * ax + ay * ay + az * az) + 1e-3)
            dx, dy, dz = scale * ax, scale * ay, scale * az
            bx, by, bz = target[0] - centre[0] - x, target[1] - centre[1] - y, target[2] - centre[2] - z
            scale = w[TARGET] / (math.sqrt(bx * bx + by * by + bz * bz) + 1e-3)
            off = w[OFF_FACE] * _smooth(6.0, -6.0, before) * _smooth(1.35, 0.9, abs(azimuth))
            dx += scale * bx + side[g] * (w[ASIDE] + off)
            dy += scale * by - w[DOWN]
            dy += (
                w[OFF_EAR]
                * _smooth(5.0, -4.0, before)
                * _smooth(1.2, 1.4, abs(azimuth))
                * _smooth(2.3, 2.1, abs(azimuth))
            )
            dz += scale * bz + w[FORWARD] - 0.5 * off
            # On the head the way is along it; below, down and a little inwards.
            radial = (dx * x + dy * y + dz * z) / (r * r)
            held, flat = 1.0 - free, math.hypot(x, z) + 1e-3
            dx = held * (dx - radial * x) - free * 0.10 * x / flat
            dy = held * (dy - radial * y) - free
            dz = held * (dz - radial * z) - free * 0.10 * z / flat
            norm = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
            x, y, z = x + step * dx / norm, y + step * dy / norm, z + step * dz / norm
            r = math.sqrt(x * x + y * y + z * z)
            azimuth, elevation = math.atan2(x, z), math.atan2(y, math.hypot(x, z))
            above = 0.4 + height[g] * _smooth(0.0, rise, k * step)
            least = interpolated_at(surface, azimuth, elevation) + above
            wanted = least + max(r - least, 0.0) * (free + (1.0 - free) * 0.2 * (1.0 - stick))
            scale = wanted / r
            x, y, z = x * scale, y * scale, z * scale
            # On shoulders it slides down to the front or to the back.
            j = min(max((x + centre[0] - corner[0]) / _GROUND_STEP, 0.0), _GROUND - 2.001)
            i = min(max((z + centre[2] - corner[1]) / _GROUND_STEP, 0.0), _GROUND - 2.001)
            m, n = min(max(int(i), 0), _GROUND - 2), min(max(int(j), 0), _GROUND - 2)
            v, u = i - m, j - n
            a, b, c, d = ground[m, n], ground[m, n + 1], ground[m + 1, n], ground[m + 1, n + 1]
            under = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d) + 2.0 + height[g] * 0.3 - centre[1] - y
            if under > 0.0:
                gx = ((1 - v) * (b - a) + v * (d - c)) / _GROUND_STEP
                gz = ((1 - u) * (c - a) + u * (d - b)) / _GROUND_STEP
                # Out of the ground along its normal; and to the side where the root is.
                share = under / (1.0 + gx * gx + gz * gz)
                x, y, z = x - gx * share, y + share, z - gz * share
                z += 0.7 * step if roots[g, 2] > centre[2] - 25.0 else -0.7 * step
            path[k] = x, y, z
            if y + centre[1] < lowest[g]:
                drop = path[k - 1, 1] - y
                end = k - min(max((lowest[g] - centre[1] - y) / drop, 0.0), 1.0) if drop > 1e-3 else float(k)
                break
        for p in range(POINTS):
            place = end * p / (POINTS - 1)
            k = min(int(place), steps - 1)
            u = place - k
            for axis in range(3):
                result[g, p, axis] = (
                    centre[axis] + path[k, axis] + u * (path[k + 1, axis] - path[k, axis] if u > 0 else 0.0)
                )
    return result


@_compile
def _ribbons(
    paths: Float, guide: NDArray[np.int64], across: Float, along: Float, lift: Float, share: Float, width: Float,
    tilt: Float, inward: NDArray[np.bool_], wave: Float, clump: float, bunched: float, segments: int,
    centre: Float, surface: Float, ceiling: Float,
) -> tuple[Float, Float]:  # fmt: skip
    count = 2 * segments + 1
    vertices = np.empty((len(guide), count, 3), np.float32)
    place = np.empty((len(guide), count, 2), np.float32)
    for s in range(len(guide)):
        path = paths[guide[s]]
        for k in range(segments + 1):
            t = (k / segments) ** bunched
            where = t * share[s] * (POINTS - 1)
            i = min(int(where), POINTS - 2)
            u = where - i
            before, after = path[max(i - 1, 0)], path[min(i + 2, POINTS - 1)]
            tx, ty, tz = after[0] - before[0], after[1] - before[1], after[2] - before[2]
            norm = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
            tx, ty, tz = tx / norm, ty / norm, tz / norm
            x = path[i, 0] + u * (path[i + 1, 0] - path[i, 0]) - centre[0]
            y = path[i, 1] + u * (path[i + 1, 1] - path[i, 1]) - centre[1]
            z = path[i, 2] + u * (path[i + 1, 2] - path[i, 2]) - centre[2]
            # Outwards: from the centre where the head is, from the vertical axis below it.
            flat = math.hypot(x, z)
            ny = y * _smooth(-1.2 * flat, 0.0, y)
            scale = math.sqrt(flat * flat + ny * ny) + 1e-6
            nx, ny, nz = x / scale, ny / scale, z / scale
            bx, by, bz = ty * nz - tz * ny, tz * nx - tx * nz, tx * ny - ty * nx
            norm = math.sqrt(bx * bx + by * by + bz * bz) + 1e-6
            bx, by, bz = bx / norm, by / norm, bz / norm
            nx, ny, nz = by * tz - bz * ty, bz * tx - bx * tz, bx * ty - by * tx
            turn = wave[s, 2] + 2 * math.pi * wave[s, 1] * t
            growth = wave[s, 0] * _smooth(0.0, 0.35, t)
            aside = across[s] * (1.0 - clump * t) + growth * math.sin(turn)
            up = lift[s] * _smooth(0.0, 0.25, t) + 0.4 * growth * math.cos(turn)
            ahead = along[s] * (1.0 - 0.6 * t)
            x += aside * bx + up * nx + ahead * tx
            y += aside * by + up * ny + ahead * ty
            z += aside * bz + up * nz + ahead * tz
            r = math.sqrt(x * x + y * y + z * z) + 1e-6
            azimuth, elevation = math.atan2(x, z), math.atan2(y, math.hypot(x, z))
            skin = interpolated_at(surface, azimuth, elevation)
            wanted = skin - 0.6 if k == 0 else max(r, skin + 0.5)
            wanted = min(wanted, max(interpolated_at(ceiling, azimuth, elevation) - 1.2, skin - 0.6))
            scale = wanted / r
            x, y, z = x * scale, y * scale, z * scale
            if k == segments:
                vertices[s, 2 * k] = centre[0] + x, centre[1] + y, centre[2] + z
                place[s, 2 * k] = t, wanted - skin
                continue
            wide = 0.5 * width[s] * (0.55 + 0.45 * _smooth(0.0, 0.3, t)) * (1.0 - 0.75 * _smooth(0.45, 1.0, t))
            cosine, sine = math.cos(tilt[s]), math.sin(tilt[s])
            sx, sy, sz = (
                (bx * cosine + nx * sine) * wide,
                (by * cosine + ny * sine) * wide,
                (bz * cosine + nz * sine) * wide,
            )
            vertices[s, 2 * k] = centre[0] + x - sx, centre[1] + y - sy, centre[2] + z - sz
            vertices[s, 2 * k + 1] = centre[0] + x + sx, centre[1] + y + sy, centre[2] + z + sz
            place[s, 2 * k] = t, wanted - skin
            place[s, 2 * k + 1] = t, wanted - skin
    return vertices, place
