"""Masks over mouth and nose: pleated surgical ones, cloth, folded respirators, with loops about the ears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull

from facegen.settings import Section
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.fit import LEFT, RIGHT, Chart, ear_of
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import Mesh, merged, normalised, sheet, smooth_curve, smoothstep, taut, tube
from facegen.stages.render.objects.thing import FACE_MASK, MATTE, Thing

Float64 = NDArray[np.float64]

Kind = Literal["surgical", "cloth", "respirator"]


class FaceMask(Section):
    """A mask over mouth and nose."""

    probability: Probability = 0.1
    """Of a face to wear one."""
    kinds: Frequencies[Kind] = Field(default={"surgical": 0.6, "cloth": 0.25, "respirator": 0.15})
    """Relative frequency of the kinds."""
    under_nose: Probability = 0.1
    """Probability that it leaves the nose free."""


_ROWS, _COLUMNS = 31, 37
"""Of the grid of the cloth, from the nose to below the chin, and from the subject's right to left."""

_THICKNESS = 1.0
"""mm."""

_SURGICAL = np.array(
    [[0.42, 0.66, 0.80], [0.42, 0.66, 0.80], [0.50, 0.74, 0.82], [0.78, 0.79, 0.79], [0.022, 0.022, 0.024],
     [0.74, 0.52, 0.57], [0.46, 0.68, 0.58]]
)  # fmt: skip
_CLOTH = np.array(
    [[0.02, 0.02, 0.022], [0.05, 0.07, 0.14], [0.30, 0.30, 0.31], [0.70, 0.68, 0.64], [0.30, 0.05, 0.06],
     [0.10, 0.16, 0.10], [0.52, 0.42, 0.32], [0.10, 0.20, 0.36]]
)  # fmt: skip
_RESPIRATOR = np.array([[0.80, 0.80, 0.79], [0.80, 0.80, 0.79], [0.025, 0.025, 0.027]])
"""Linear RGB, here and above."""


class _Globe:
    """The lower face about a point within it: directions by longitude and latitude, and how far out the skin is."""

    def __init__(self, head: Head) -> None:
        marks = head.landmarks.astype(np.float64)
        self.centre = np.array([marks[[33, 8], 0].mean(), marks[[33, 57], 1].mean(), marks[[2, 14], 2].mean()])
        covered = np.concatenate([head.skin, head.tongue]).astype(np.float64)
        away = covered - self.centre
        radius = np.linalg.norm(away, axis=1)
        longitude, latitude = self.angles(covered)
        # Behind the cheeks and below the chin nothing is covered; the neck is nearer to the axis than the chin.
        near = (np.abs(longitude) < 1.75) & (np.abs(latitude) < 1.25) & (radius < 140.0)
        chart = Chart(self._flat(longitude[near], latitude[near]), radius[near])
        outer = np.flatnonzero(near)[chart.outer]
        self._chart = chart
        self._points = covered[outer]
        self.longitude, self.latitude, self.radius = longitude[outer], latitude[outer], radius[outer]
        """(n,) of the outermost vertices of the skin."""

    def angles(self, points: NDArray[np.floating]) -> tuple[Float64, Float64]:
        """Longitude (towards the subject's left) and latitude of points (..., 3), radians."""
        away = np.asarray(points, np.float64) - self.centre
        return np.arctan2(away[..., 0], away[..., 2]), np.arctan2(away[..., 1], np.hypot(away[..., 0], away[..., 2]))

    @staticmethod
    def directions(longitude: Float64, latitude: Float64) -> Float64:
        """Unit vectors (..., 3)."""
        across = np.cos(latitude)
        return np.stack([np.sin(longitude) * across, np.sin(latitude), np.cos(longitude) * across], axis=-1)

    def skin(self, longitude: Float64, latitude: Float64) -> Float64:
        """How far out the skin is, mm, in directions given by arrays of any shape."""
        flat = self._flat(longitude.ravel(), latitude.ravel())
        return self._chart.height(flat, reach=np.inf).reshape(longitude.shape)

    def envelope(self, longitude: Float64, latitude: Float64) -> Float64:
        """How far out a cloth is that is stretched over the skin in the range of those directions, mm."""
        margin = 0.1
        chosen = (
            (np.abs(self.longitude) < np.abs(longitude).max() + margin)
            & (self.latitude < latitude.max())
            & (self.latitude > latitude.min() - margin)
        )
        behind = self.centre - np.array([0.0, 0.0, 15.0])
        # Every other vertex is enough: the cloth is kept clear of all of them afterwards.
        planes = ConvexHull(np.concatenate([self._points[chosen][::2], behind[None]])).equations
        # Normals and offsets of the facets: n·x + b ≤ 0 inside. The nearest plane ahead is the one with the largest
        # ratio of n·direction to its distance.
        steep = planes[:, :3] / -(planes[:, :3] @ self.centre + planes[:, 3])[:, None]
        reach: Float64 = 1.0 / (self.directions(longitude, latitude).reshape(-1, 3) @ steep.T).max(axis=1)
        return reach.reshape(longitude.shape)

    @staticmethod
    def _flat(longitude: Float64, latitude: Float64) -> Float64:
        return np.stack([longitude * np.cos(latitude), latitude], axis=-1) * 80.0


def make_face_mask(head: Head, config: FaceMask, rng: np.random.Generator) -> list[Thing]:
    """A mask with its loops, fitted to a head and its expression."""
    kind = choose(config.kinds, rng)
    under_nose = bool(rng.random() < config.under_nose)
    globe = _Globe(head)
    down = _rows(kind)
    across = np.linspace(-1.0, 1.0, _COLUMNS)
    extent = _extent(head, globe, kind, under_nose, rng)
    longitude, latitude = extent.directions(across[None, :], down[:, None])
    radius = _drape(globe, extent, across, down, under_nose)
    radius = radius + _relief(kind, across, down, rng)
    direction = globe.directions(longitude, latitude)
    front = globe.centre + radius[..., None] * direction
    cloth = sheet(front, front - _THICKNESS * direction)
    loops = [_loop(head, front, side) for side in (RIGHT, LEFT)]
    vertices, triangles = merged([cloth, *loops])
    colour, loop_colour = _colours(kind, across, down, rng)
    albedo = np.concatenate(
        [colour.reshape(-1, 3), colour.reshape(-1, 3), np.tile(loop_colour, (len(vertices) - 2 * radius.size, 1))]
    )
    return [
        Thing(
            vertices.astype(np.float32),
            triangles,
            np.clip(albedo, 0.0, 1.0).astype(np.float32),
            np.full(len(triangles), MATTE, np.uint8),
            FACE_MASK,
        )
    ]


_PLEATS = np.array([0.36, 0.50, 0.64])
"""Where the folds of a surgical mask are, from its upper to its lower edge."""


def _rows(kind: Kind) -> Float64:
    """(R,) places of the rows, 0 at the upper edge and 1 at the lower one; closer at the folds."""
    if kind != "surgical":
        return np.linspace(0.0, 1.0, _ROWS)
    folds = np.sort(np.concatenate([_PLEATS - 0.012, _PLEATS + 0.012]))
    even = np.linspace(0.0, 1.0, _ROWS - len(folds))
    return np.sort(np.concatenate([even, folds]))


@dataclass(frozen=True)
class _Extent:
    """What the cloth covers: places s across (-1 … 1) and t down (0 … 1) as longitudes and latitudes, radians."""

    nose: float
    """Latitude of the upper edge's middle; of the lower edge's, ``chin``."""
    chin: float
    upper: tuple[float, float]
    """Longitude and latitude of the upper corner on the left; of the lower one, ``lower``."""
    lower: tuple[float, float]
    dip: float
    """How far the upper edge sinks below the eyes."""

    def top(self, s: Float64) -> Float64:
        """Latitude of the upper edge."""
        s = np.abs(s)
        return self.nose + (self.upper[1] - self.nose) * s**1.5 - self.dip * np.sin(np.pi * s)

    def bottom(self, s: Float64) -> Float64:
        """Latitude of the lower edge."""
        return self.chin + (self.lower[1] - self.chin) * np.abs(s) ** 2.2

    def side(self, t: Float64) -> Float64:
        """Longitude of the left edge; gathered, so a little nearer in the middle."""
        return (self.upper[0] + (self.lower[0] - self.upper[0]) * t) * (1.0 - 0.05 * np.sin(np.pi * t))

    def directions(self, s: Float64, t: Float64) -> tuple[Float64, Float64]:
        """Longitudes and latitudes of places of any shape."""
        top = self.top(s)
        return s * self.side(t), top + (self.bottom(s) - top) * t

    def places(self, longitude: Float64, latitude: Float64) -> tuple[Float64, Float64]:
        """The inverse of :meth:`directions`, by iteration; beyond the edges, beyond -1 … 1 and 0 … 1."""
        t = np.full(longitude.shape, 0.5)
        s = longitude / self.side(t)
        for _ in range(4):
            inside = np.clip(s, -1.1, 1.1)
            top = self.top(inside)
            t = (latitude - top) / (self.bottom(inside) - top)
            s = longitude / self.side(np.clip(t, -0.1, 1.1))
        return s, t


def _extent(head: Head, globe: _Globe, kind: Kind, under_nose: bool, rng: np.random.Generator) -> _Extent:
    """From the bridge of the nose, or from below it, to below the chin."""
    marks = head.landmarks.astype(np.float64)
    high = float(rng.uniform(0.25, 0.8))
    nose = marks[33] + np.array([0.0, -1.0, 0.0]) if under_nose else marks[28] + high * (marks[29] - marks[28])
    chin = marks[8] + np.array([0.0, -4.0, -18.0])
    # Means of both sides, as points of the left one about the plane x = 0.
    flip = np.array([-1.0, 1.0, 1.0])
    ear, wing, jaw, corner = (0.5 * (marks[a] * flip + marks[b]) for a, b in ((1, 15), (31, 35), (4, 12), (48, 54)))
    if under_nose:
        ear = 0.5 * (ear + 0.5 * (marks[2] * flip + marks[14]))
    reach = float(rng.uniform(0.70, 0.80))
    upper = reach * ear + (1.0 - reach) * wing
    lower = 0.78 * jaw + 0.22 * corner + np.array([0.0, -5.0, 0.0])
    if kind == "cloth":
        upper = upper + np.array([0.0, -4.0, -3.0])
    shift = np.array([globe.centre[0], 0.0, 0.0])
    longitude, latitude = globe.angles(np.stack([nose, chin, upper + shift, lower + shift]))
    # Lips that are drawn up under the nose are covered all the same.
    lips = float(globe.angles(marks[48:68])[1].max())
    return _Extent(
        max(float(latitude[0]), lips + 0.05),
        float(latitude[1]),
        (float(longitude[2]), float(latitude[2])),
        (float(longitude[3]), float(latitude[3])),
        0.0 if under_nose else 0.05,
    )


def _drape(globe: _Globe, extent: _Extent, across: Float64, down: Float64, under_nose: bool) -> Float64:
    """(R, C) how far out the cloth is, mm: stretched over nose and chin, pinched to the skin along its upper edge."""
    longitude, latitude = extent.directions(across[None, :], down[:, None])
    skin = globe.skin(longitude, latitude)
    # The envelope of so many facets is found at every other place only.
    coarse_s, coarse_t = across[::2], np.linspace(0.0, 1.0, 16)
    coarse = globe.envelope(*extent.directions(coarse_s[None, :], coarse_t[:, None]))
    stretched = RegularGridInterpolator((coarse_t, coarse_s), coarse)(
        np.stack(np.broadcast_arrays(down[:, None], across[None, :]), axis=-1)
    )
    s, t = np.abs(across)[None, :], down[:, None]
    pinch = 0.85 * (1.0 - smoothstep(t / 0.32)) * (0.0 if under_nose else 1.0)
    at_edges = np.maximum(pinch, 0.5 * smoothstep((s - 0.75) / 0.25))
    clear = skin + 1.8
    radius = np.maximum(stretched + (skin - stretched) * at_edges + 1.2, clear)
    for _ in range(2):
        radius = np.maximum(gaussian_filter(radius, (1.0, 1.2), mode="nearest"), clear)
    return _above_skin(globe, extent, across, down, gaussian_filter(radius, 0.7, mode="nearest"))


def _above_skin(globe: _Globe, extent: _Extent, across: Float64, down: Float64, radius: Float64) -> Float64:
    """The cloth (R, C) raised, smoothly, to where every vertex of the skin below it is deeper than its back."""
    s, t = extent.places(globe.longitude, globe.latitude)
    below = (np.abs(s) <= 1.0) & (t >= 0.0) & (t <= 1.0)
    s, t, skin = s[below], t[below], globe.radius[below] + _THICKNESS + 0.6
    row = np.clip(np.searchsorted(down, t, side="right") - 1, 0, len(down) - 2)
    column = np.clip(np.searchsorted(across, s, side="right") - 1, 0, len(across) - 2)
    v = (t - down[row]) / (down[row + 1] - down[row])
    u = (s - across[column]) / (across[column + 1] - across[column])
    corners = [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]
    weights = [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u]
    for spread in (3.0, 1.5, 0.0):
        lacking = skin - sum(weight * radius[corner] for weight, corner in zip(weights, corners, strict=True))
        raised = np.zeros_like(radius)
        for corner in corners:
            np.maximum.at(raised, corner, lacking)
        if spread:
            wide = gaussian_filter(raised, spread, mode="nearest")
            raised = wide * (raised.max() / max(float(wide.max()), 1e-9))
        radius = radius + raised
    return radius


def _relief(kind: Kind, across: Float64, down: Float64, rng: np.random.Generator) -> Float64:
    """(R, C) mm, not negative: folds, seams and creases."""
    s, t = across[None, :], down[:, None]
    height = np.zeros((len(down), len(across)))
    if kind == "surgical":
        for fold in _PLEATS:
            # Each rises to its fold, where it falls back; deepest at the sides, where it is sewn, and half open before
            # the mouth.
            rise = np.where(t <= fold, np.clip((t - fold + 0.13) / 0.118, 0.0, 1.0), 0.0) ** 1.5
            height = height + rise * (1.1 + 1.0 * np.abs(s))
        height = height * (1.0 - smoothstep((np.abs(s) - 0.9) / 0.1) * 0.7)
    elif kind == "respirator":
        ridge = np.exp(-np.abs(s) / 0.16) - np.exp(-1.0 / 0.16)
        height = height + (5.0 + 5.0 * rng.random()) * ridge * np.sin(np.pi * np.clip(t * 1.1, 0.0, 1.0))
    else:
        height = height + 1.0 * np.exp(-((s / 0.035) ** 2))
    # Creases that run from the corners, where the loops pull, towards the middle.
    for side in (-1.0, 1.0):
        for corner in (0.0, 1.0):
            angle = np.arctan2(t - corner, np.abs(s - side) + 0.15)
            near = np.exp(-(((s - side) / 0.6) ** 2 + ((t - corner) / 0.6) ** 2))
            height = height + rng.uniform(0.3, 0.9) * near * (1.0 + np.sin(rng.uniform(9.0, 15.0) * angle))
    waves = rng.uniform(-1.0, 1.0, (4, 2)) * np.array([5.0, 7.0])
    phase = rng.uniform(0.0, 2.0 * np.pi, 4)
    for (a, b), c in zip(waves, phase, strict=True):
        height = height + 0.18 * (1.0 + np.sin(a * s + b * t + c))
    return height


def _loop(head: Head, front: Float64, side: float) -> Mesh:
    """An elastic from the upper corner of the cloth about the ear to the lower one, on the skin of the cheek."""
    ear = ear_of(head, side)
    column = 0 if side == RIGHT else -1
    upper, lower = front[1, column], front[-2, column]
    over = ear.top + np.array([0.0, 1.5, 2.0])
    under = ear.bottom + np.array([0.0, -1.0, -2.0])
    behind = np.array([0.0, 0.5 * (over[1] + under[1]), ear.back + 5.0])
    radius = 1.0
    way = []
    for corner, end in ((upper, over), (lower, under)):
        line = corner + np.linspace(0.0, 1.0, 9)[:, None] * (end - corner)
        floor = ear.skull.height(line[:, [2, 1]], reach=12.0) + radius + 0.5
        floor = np.maximum(floor, 20.0)
        floor[0] = max(floor[0], side * corner[0])
        line[:, 0] = side * taut(floor)
        line[0] = corner
        way.append(line)
    behind[0] = side * (max(float(ear.skull.height(behind[None, [2, 1]], reach=20.0)[0]), 20.0) + radius)
    path = smooth_curve(np.concatenate([way[0], behind[None], way[1][::-1]]), 36)
    inward = normalised(front[len(front) // 2, column] - front[len(front) // 2, -1 - column])
    return tube(path, (radius * 0.7, radius), inward, sides=6)


def _colours(kind: Kind, across: Float64, down: Float64, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """Linear RGB (R, C, 3) of the cloth and (3,) of the loops."""
    table = {"surgical": _SURGICAL, "cloth": _CLOTH, "respirator": _RESPIRATOR}[kind]
    base = table[int(rng.integers(len(table)))] * rng.uniform(0.88, 1.1)
    loops = base if base.mean() < 0.1 or kind == "cloth" else np.full(3, 0.72)
    s, t = np.broadcast_arrays(across[None, :], down[:, None])
    shade = np.ones(s.shape)
    if kind == "surgical":
        for fold in _PLEATS:
            # The shadow below a fold.
            shade = shade * (1.0 - 0.30 * np.exp(-(((t - fold - 0.014) / 0.012) ** 2)))
        for seam in (np.abs(s) - 0.93, t - 0.055, t - 0.955):
            shade = shade * (1.0 - 0.08 * np.exp(-((seam / 0.02) ** 2)))
    elif kind == "respirator":
        for seam in (np.abs(s) - 0.9, s, t - 0.09 - 0.1 * s**2):
            shade = shade * (1.0 - 0.10 * np.exp(-((seam / 0.025) ** 2)))
    colour = base * shade[..., None]
    if kind == "cloth" and rng.random() < 0.35:
        other = _CLOTH[int(rng.integers(len(_CLOTH)))]
        waves, phase = rng.normal(size=(6, 2)) * np.array([9.0, 7.0]), rng.uniform(0.0, 2.0 * np.pi, 6)
        pattern = sum(np.sin(a * s + b * t + c) for (a, b), c in zip(waves, phase, strict=True))
        share = smoothstep((pattern + 0.5) / 1.0)[..., None]
        colour = colour + share * (other * shade[..., None] - colour)
    return colour, loops
