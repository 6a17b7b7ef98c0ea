"""The upper side of a head as a radial surface: what hats and hair are laid on, and where the hairline runs on it.

Directions are seen from a centre behind the brows and inside the cranium: azimuth 0 to the front (+z) and ±180° to the
back, positive to the subject's left (+x); elevation 0 at the height of the brows. Tables over directions have
:data:`ROWS` elevations from -90° to 90° and :data:`COLUMNS` azimuths from -180°, :data:`STEP` apart, and are read
bilinearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.errors import ConfigurationError
from facegen.stages.render.objects.head import Head

Float = NDArray[np.float32]
Real = NDArray[np.floating]

COLUMNS = 72
ROWS = COLUMNS // 2 + 1
STEP = 2 * math.pi / COLUMNS

_HAIRLINE = np.array(
    [
        (0, 27), (15, 28), (29, 26), (35, 20), (42, 11), (50, 1), (57, -13), (64, -21), (71, -30), (78, -33), (82, -25),
        (88, -15), (97, -11), (108, -11), (115, -16), (118, -30), (121, -48), (127, -54), (150, -56), (180, -57),
    ],
    np.float64,
)  # fmt: skip
"""(azimuth, elevation) in degrees of a hairline: over the forehead, along the temple to the sideburn, over the ear and
down behind it to the nape; of a head whose :attr:`Crown.ear` is :data:`_EAR`."""

_EAR = np.array([107.0, -14.0])

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@dataclass(frozen=True)
class Crown:
    """One head's surface over directions; lengths in mm, angles in radians."""

    centre: Float
    """(3,) model frame."""
    skull: Float
    """(ROWS, COLUMNS) distance of the surface without the ears; skin is nowhere outside of it, but for the ears."""
    full: Float
    """(ROWS, COLUMNS) the same, around the ears as well."""
    margin: Float
    """(ROWS, COLUMNS) distance along the surface from the hairline, positive where hair grows."""
    ear: Float
    """(2,) azimuth of the point of the ears that is farthest from the middle, and elevation of their upper end; of the
    left one."""
    brow: float
    """Height of the brows, y."""
    top: float
    """Height of the highest point of the skin, y."""

    def points(self, azimuth: Real, elevation: Real, radius: Real) -> Float:
        """(..., 3) points in the model's frame; radians and mm."""
        flat = np.cos(elevation)
        unit = np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], axis=-1)
        result: Float = (self.centre + radius[..., None] * unit).astype(np.float32)
        return result

    def directions(self, points: Real) -> tuple[Real, Real, Real]:
        """Azimuth, elevation and distance of points (..., 3)."""
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        flat = np.hypot(x, z)
        return np.arctan2(x, z), np.arctan2(y, flat), np.hypot(flat, y)

    def hairline(self, azimuth: Real) -> Float:
        """Elevation of the hairline at azimuths, radians."""
        table = _hairline(self.ear)
        result: Float = np.interp(np.abs(azimuth), table[:, 0], table[:, 1]).astype(np.float32)
        return result


def grid() -> tuple[Float, Float]:
    """(ROWS, COLUMNS) azimuth and elevation of a table's entries."""
    azimuth = np.arange(COLUMNS, dtype=np.float32) * np.float32(STEP) - np.float32(math.pi)
    elevation = np.arange(ROWS, dtype=np.float32) * np.float32(STEP) - np.float32(math.pi / 2)
    return np.broadcast_to(azimuth, (ROWS, COLUMNS)), np.broadcast_to(elevation[:, None], (ROWS, COLUMNS))


def interpolated(table: Float, azimuth: Real, elevation: Real) -> Float:
    """Values of a ``table`` (ROWS, COLUMNS) in directions of any shape, radians."""
    shape = np.shape(azimuth)
    flat = (
        np.ascontiguousarray(azimuth, np.float32).reshape(-1),
        np.ascontiguousarray(elevation, np.float32).reshape(-1),
    )
    result: Float = _interpolated_all(np.ascontiguousarray(table), *flat).reshape(shape)
    return result


def crown_of(head: Head) -> Crown:
    """The crown of a head."""
    skin, marks = head.skin, head.landmarks
    brow, top = float(marks[17:27, 1].mean()), float(skin[:, 1].max())
    above = skin[skin[:, 1] > brow]
    behind, before = float(above[:, 2].min()) if len(above) else 0.0, float(marks[17:27, 2].max())
    centre = np.array([marks[27, 0], brow + 2.0, 0.5 * (behind + before) - 2.0], np.float32)
    ear = _ear_tip(head, centre)
    of_ear = _near_ear(skin, ear, top - float(marks[8, 1]))
    full = _surface(skin, np.ones(len(skin), np.bool_), centre)
    skull = np.minimum(_surface(skin, ~of_ear, centre), full)
    no_margin, no_ear = np.zeros((ROWS, COLUMNS), np.float32), np.zeros(2, np.float32)
    bare = Crown(centre, skull, full, no_margin, no_ear, brow, top)
    eared = replace(bare, ear=_ear_direction(bare, skin[of_ear], ear))
    return replace(eared, margin=_margin(eared))


def require_cranium(head: Head, model: str) -> None:
    """Refuse a model that is a face without the back of a head.

    Args:
        head: of the model's mean.
        model: its name, for the message.

    Raises:
        ConfigurationError: there is no skin over the crown or at the back of the head.
    """
    marks, skin = head.landmarks, head.skin
    brow, ears = marks[17:27, 1].mean(), marks[[0, 16]].mean(axis=0)
    width = float(np.linalg.norm(marks[16] - marks[0]))
    above = skin[skin[:, 1] > brow]
    behind = above[:, 2] < ears[2] - 0.35 * width
    over = (np.abs(above[:, 0] - ears[0]) < 0.25 * width) & (above[:, 2] < ears[2])
    if not behind.any() or not (above[over, 1] > brow + 0.3 * width).any():
        raise ConfigurationError(
            f"render.objects: hats and hair need a head with a cranium, the model '{model}' is a face alone; "
            "take a part with the whole head, or leave them out"
        )


def _ear_tip(head: Head, centre: Float) -> NDArray[np.float64]:
    """(3,) the point of the left ear that is farthest from the middle, the mean of both sides mirrored."""
    marks, skin = head.landmarks, head.skin
    low, high = float(marks[48:68, 1].mean()), float(marks[17:27, 1].mean())
    beside = (skin[:, 1] > low) & (skin[:, 1] < high) & (skin[:, 2] < marks[[0, 16], 2].mean())
    sides = skin[beside] - np.array([centre[0], 0, 0], np.float32)
    left, right = sides[np.argmax(sides[:, 0])], sides[np.argmin(sides[:, 0])]
    tip: NDArray[np.float64] = (0.5 * (left + right * np.array([-1, 1, 1]))).astype(np.float64)
    tip[0] += centre[0]
    return tip


def _near_ear(skin: Float, tip: NDArray[np.float64], height: float) -> NDArray[np.bool_]:
    """(S,) which vertices are those of ears: in an ellipse in the side view that a head's ``height`` scales."""
    scale = height / 230.0
    y = (skin[:, 1] - (tip[1] - 6.0 * scale)) / (39.0 * scale)
    z = (skin[:, 2] - (tip[2] + 13.0 * scale)) / (31.0 * scale)
    near: NDArray[np.bool_] = (y * y + z * z < 1.0) & (np.abs(skin[:, 0]) > 0.6 * tip[0])
    return near


def _ear_direction(crown: Crown, near: Float, tip: NDArray[np.float64]) -> Float:
    """What :attr:`Crown.ear` says, from the vertices ``near`` (n, 3) the ears and the left one's ``tip``."""
    azimuth, elevation, radius = crown.directions(np.concatenate([near, tip[None]]))
    stands_out = radius > interpolated(crown.skull, azimuth, elevation) + 4.0
    stands_out[-1] = True
    return np.array([azimuth[-1], np.quantile(elevation[stands_out], 0.98)], np.float32)


def _hairline(ear: Float) -> NDArray[np.float64]:
    """(n, 2) azimuth and elevation, radians, of the hairline of a head with its ear in the direction ``ear``."""
    azimuth, elevation = _HAIRLINE.T
    shift = np.degrees(ear.astype(np.float64)) - _EAR
    beside = np.interp(azimuth, [40, 75, 125, 180], [0, 1, 1, 0])
    near = np.interp(azimuth, [45, 75, 118, 140], [0, 1, 1, 0])
    moved: NDArray[np.float64] = np.stack([azimuth + shift[0] * beside, elevation + shift[1] * near], axis=1)
    return moved * (math.pi / 180)


def _margin(crown: Crown) -> Float:
    azimuth, elevation = grid()
    along = np.linspace(-math.pi, math.pi, 2 * COLUMNS, endpoint=False, dtype=np.float32)
    height = crown.hairline(along)
    edge = crown.points(along, height, interpolated(crown.skull, along, height))
    nodes = crown.points(azimuth, elevation, crown.skull)
    inside = elevation > crown.hairline(azimuth)
    return np.where(inside, 1, -1).astype(np.float32) * _nearest(nodes.reshape(-1, 3), edge).reshape(ROWS, COLUMNS)


def _surface(skin: Float, chosen: NDArray[np.bool_], centre: Float) -> Float:
    """(ROWS, COLUMNS) a smooth radial surface around the ``chosen`` ones of ``skin``."""
    points = np.ascontiguousarray(skin[chosen] - centre)
    total, weight = _gathered(points)
    known = weight > 0.05
    # Holes are filled by what is around them; then all is smoothed, and raised again over what that cut.
    near = blurred(weight, 16)
    around = np.where(near > 1e-6, blurred(total, 16) / np.maximum(near, np.float32(1e-6)), total.sum() / weight.sum())
    table = _filled(np.where(known, total / np.maximum(weight, np.float32(1e-6)), around).astype(np.float32), known, 24)
    table = blurred(table, 1)
    _raise(points, table)
    return table


@_compile
def blurred(table: Float, times: int) -> Float:
    """A table (ROWS, COLUMNS) smoothed by a binomial kernel; over the poles it goes on at the opposite azimuth."""
    across = np.empty_like(table)
    result = table.copy()
    half = COLUMNS // 2
    for _ in range(times):
        for r in range(ROWS):
            for c in range(COLUMNS):
                left, right = result[r, (c - 1) % COLUMNS], result[r, (c + 1) % COLUMNS]
                across[r, c] = np.float32(0.25) * (left + right) + np.float32(0.5) * result[r, c]
        for r in range(ROWS):
            for c in range(COLUMNS):
                low = across[r - 1, c] if r > 0 else across[1, (c + half) % COLUMNS]
                high = across[r + 1, c] if r < ROWS - 1 else across[ROWS - 2, (c + half) % COLUMNS]
                result[r, c] = np.float32(0.25) * (low + high) + np.float32(0.5) * across[r, c]
        for r in (0, ROWS - 1):
            result[r, :] = result[r].mean()
    return result


@_compile
def _filled(table: Float, known: NDArray[np.bool_], times: int) -> Float:
    """``table`` with what is not ``known`` made smooth between what is."""
    for _ in range(times):
        smooth = blurred(table, 1)
        for r in range(ROWS):
            for c in range(COLUMNS):
                if not known[r, c]:
                    table[r, c] = smooth[r, c]
    return table


@_compile
def _place(azimuth: float, elevation: float) -> tuple[int, int, float, float]:
    """Row and column of the entry below a direction, and how far towards the next ones it is."""
    x = (azimuth + math.pi) / STEP
    y = (elevation + math.pi / 2) / STEP
    # What is no number has a place as well, so that it makes numbers that are none instead of reading elsewhere.
    row, column = min(max(math.floor(y), 0), ROWS - 2), math.floor(x)
    return row, column % COLUMNS, y - row, x - column


@_compile
def interpolated_at(table: Float, azimuth: float, elevation: float) -> float:
    """Value of a ``table`` (ROWS, COLUMNS) in one direction, radians; for compiled functions."""
    row, column, v, u = _place(azimuth, elevation)
    right = (column + 1) % COLUMNS
    low = (1 - u) * table[row, column] + u * table[row, right]
    high = (1 - u) * table[row + 1, column] + u * table[row + 1, right]
    return float((1 - v) * low + v * high)


@_compile
def _interpolated_all(table: Float, azimuth: Float, elevation: Float) -> Float:
    result = np.empty(len(azimuth), np.float32)
    for i in range(len(azimuth)):
        result[i] = interpolated_at(table, azimuth[i], elevation[i])
    return result


@_compile
def _gathered(points: Float) -> tuple[Float, Float]:
    """(ROWS, COLUMNS) sum of the distances of points around each direction, and of their weights."""
    total, weight = np.zeros((ROWS, COLUMNS), np.float32), np.zeros((ROWS, COLUMNS), np.float32)
    for i in range(len(points)):
        x, y, z = points[i]
        flat = math.hypot(x, z)
        row, column, v, u = _place(math.atan2(x, z), math.atan2(y, flat))
        right, radius = (column + 1) % COLUMNS, math.hypot(flat, y)
        for r, c, w in (
            (row, column, (1 - v) * (1 - u)), (row, right, (1 - v) * u),
            (row + 1, column, v * (1 - u)), (row + 1, right, v * u),
        ):  # fmt: skip
            total[r, c] += w * radius
            weight[r, c] += w
    return total, weight


@_compile
def _raise(points: Float, table: Float) -> None:
    """Raise the four entries around each point by what it stands out of the surface."""
    lack = np.zeros_like(table)
    for i in range(len(points)):
        x, y, z = points[i]
        flat = math.hypot(x, z)
        row, column, v, u = _place(math.atan2(x, z), math.atan2(y, flat))
        right = (column + 1) % COLUMNS
        low = (1 - u) * table[row, column] + u * table[row, right]
        high = (1 - u) * table[row + 1, column] + u * table[row + 1, right]
        out = math.hypot(flat, y) - ((1 - v) * low + v * high)
        for r in (row, row + 1):
            for c in (column, right):
                lack[r, c] = max(lack[r, c], out)
    for r in range(ROWS):
        for c in range(COLUMNS):
            table[r, c] += lack[r, c]


@_compile
def _nearest(points: Float, others: Float) -> Float:
    """(n,) distance of each point to the nearest of others."""
    result = np.empty(len(points), np.float32)
    for i in range(len(points)):
        least = np.inf
        for j in range(len(others)):
            x, y, z = points[i, 0] - others[j, 0], points[i, 1] - others[j, 1], points[i, 2] - others[j, 2]
            least = min(least, x * x + y * y + z * z)
        result[i] = math.sqrt(least)
    return result
