"""An albedo for ICT-FaceKit, whose light model has none: painted on the mean head, with a small linear basis.

This is facegen's own approximation, not measured skin. It knows the layout that people share (ruddier cheeks and
nose, paler forehead, cooler jaw, lips, brows, lash lines, shaved hair) and the ways in which they differ (melanin,
haemoglobin, carotene, …), each one direction in linear RGB. Along melanin ±2σ reaches from very dark to very fair
skin. Positions and lengths are those of the neutral head in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.ict.parts import REGION_NAMES

Values = NDArray[np.float64]
Float = NDArray[np.float32]

REVISION = 1
"""Raised whenever the painting changes, because it is part of what a model's digest stands for."""

NAMES = (
    "melanin",
    "haemoglobin",
    "carotene",
    "cheek_redness",
    "lip_redness",
    "under_eye_darkness",
    "brow_darkness",
    "stubble",
    "hair_darkness",
)
"""The directions of the basis; one σ each."""

# Linear RGB reflectances. Skin and its melanin step follow in-vivo skin reflectance from type I to type VI.
_SKIN = (0.385, 0.228, 0.152)
_MELANIN = (0.130, 0.086, 0.062)
_HAIR = (0.030, 0.021, 0.016)
_HAIR_MELANIN = (0.022, 0.015, 0.010)
_LIP = (0.330, 0.115, 0.098)
_LIP_MELANIN = (0.085, 0.034, 0.029)
_INNER_LIP = (0.290, 0.075, 0.066)
_SCLERA = (0.630, 0.585, 0.540)
_TEETH = (0.600, 0.530, 0.410)
_GUMS = (0.280, 0.092, 0.085)
_MOUTH = (0.130, 0.030, 0.026)
_CONJUNCTIVA = (0.420, 0.190, 0.160)
_NOSTRIL = (0.085, 0.036, 0.028)


@dataclass(frozen=True)
class Paint:
    """Albedo of V vertices, linear RGB."""

    mean: Float
    """(V, 3)."""
    basis: Float
    """(9, V, 3) per σ, in the order of :data:`NAMES`."""


def paint(points: Float, landmarks: NDArray[np.int32], region: NDArray[np.uint8]) -> Paint:
    """Paint the neutral head.

    Args:
        points: (V, 3) neutral positions, mm, model frame.
        landmarks: (68,) Multi-PIE landmark vertices.
        region: (V,) index into :data:`facegen.morphable.ict.parts.REGION_NAMES`.
    """
    p = points.astype(np.float64)
    marks = p[landmarks]
    mean = np.zeros_like(p)
    basis = np.zeros((len(NAMES), *p.shape))
    skin = _is(region, "face", "head_and_neck", "lips")
    mean[skin], basis[:, skin] = _paint_skin(p[skin], marks)
    flat = {"mouth_socket": _MOUTH, "gums_and_tongue": _GUMS, "teeth": _TEETH, "eye_sockets": _CONJUNCTIVA}
    for name, colour in flat.items():
        mean[_is(region, name)] = colour
    # Deep in the mouth little is lit: the back teeth and the throat fade.
    mouth = _is(region, "mouth_socket", "gums_and_tongue", "teeth")
    mean[mouth] *= (0.30 + 0.70 * _step(62.0, 103.0, p[mouth, 2]))[:, None]
    for side, corners in (("left", (42, 45)), ("right", (39, 36))):
        ball = _is(region, f"eyeball_{side}")
        nearest = np.minimum(*(np.linalg.norm(p[ball] - marks[corner], axis=1) for corner in corners))
        pink = 1.0 - _step(1.0, 10.0, nearest)
        mean[ball] = np.array(_SCLERA) * (1.0 - pink[:, None] * np.array([0.06, 0.22, 0.24]))
    return Paint(mean.astype(np.float32), basis.astype(np.float32))


def _is(region: NDArray[np.uint8], *names: str) -> NDArray[np.bool_]:
    return np.isin(region, [REGION_NAMES.index(name) for name in names])


def _paint_skin(p: Values, marks: Values) -> tuple[Values, Values]:
    """Mean (n, 3) and basis (9, n, 3) of the outer skin, lips, brows and shaved hair included."""
    cheeks = _cheeks(p)
    nose = _bump(p, (0.0, 4.0, 131.0), 15.0) + 0.6 * _both(p, (15.0, -4.0, 112.0), 9.0)
    ears = _ears(p)
    chin = _bump(p, (0.0, -68.0, 112.0), 16.0)
    under_eye = _under_eyes(p, marks)
    lids = _both(p, (32.0, 41.0, 96.0), 12.0)
    lips, inner_lips = _lips(p, marks)
    brows = _brows(p, marks)
    lashes = _lashes(p, marks)
    beard = _beard(p, marks) * (1.0 - lips)
    hair = _scalp(p) * (1.0 - ears)
    nostrils = np.maximum(*(1.0 - _step(3.3, 5.4, _distance(p, _nostril(side))) for side in (1.0, -1.0)))

    mean = np.tile(np.array(_SKIN), (len(p), 1))
    melanin = np.tile(np.array(_MELANIN), (len(p), 1))
    shade = 1.0 + _mottle(p)
    # Zones of complexion: a ruddy middle, a slightly yellow forehead, a cool jaw, darker lids and neck.
    blush = np.clip(cheeks + 0.9 * nose + 0.8 * ears + 0.35 * chin, 0.0, 1.2)
    forehead = _step(62.0, 85.0, p[:, 1]) * _step(40.0, 70.0, p[:, 2])
    neck = 1.0 - _step(-100.0, -70.0, p[:, 1])
    for field, tint in (
        (blush, (0.045, -0.115, -0.115)),
        (forehead, (0.02, 0.02, -0.03)),
        (under_eye, (-0.11, -0.14, -0.10)),
        (lids, (-0.05, -0.09, -0.09)),
        (neck, (-0.06, -0.07, -0.07)),
    ):
        factor = 1.0 + field[:, None] * np.array(tint)
        mean *= factor
        melanin *= factor
    mean *= shade[:, None]
    melanin *= shade[:, None]
    bare = mean.copy()

    for field, colour, step in (
        (lips, _LIP, _LIP_MELANIN),
        (inner_lips, _INNER_LIP, (0.02, 0.008, 0.007)),
        (nostrils, _NOSTRIL, (0.02, 0.01, 0.008)),
    ):
        _cover(mean, melanin, field, colour, step)
    covered = np.maximum(np.maximum(lips, inner_lips), nostrils)
    for field in (0.74 * brows, 0.75 * lashes, 0.10 * beard, 0.55 * hair):
        _cover(mean, melanin, field, _HAIR, _HAIR_MELANIN)

    free = (1.0 - np.clip(covered + brows + hair, 0.0, 1.0))[:, None]
    hairless = bare - np.array(_HAIR)
    basis = {
        "melanin": melanin,
        "haemoglobin": mean * np.array([0.014, -0.046, -0.040]) * (0.55 + 0.45 * np.clip(blush, 0, 1))[:, None],
        "carotene": mean * np.array([0.008, 0.002, -0.052]) * free,
        "cheek_redness": bare * np.array([0.014, -0.056, -0.050]) * np.clip(cheeks + nose, 0.0, 1.2)[:, None] * free,
        "lip_redness": mean * np.array([0.02, -0.150, -0.125]) * lips[:, None],
        "under_eye_darkness": -bare * np.array([0.060, 0.075, 0.060]) * under_eye[:, None],
        "brow_darkness": -0.12 * hairless * brows[:, None],
        "stubble": -hairless * np.array([0.085, 0.076, 0.068]) * beard[:, None],
        "hair_darkness": -0.14 * hairless * hair[:, None],
    }
    return mean, np.stack([basis[name] for name in NAMES])


def _cover(mean: Values, melanin: Values, opacity: Values, colour: object, step: object) -> None:
    """Lay a colour of its own melanin step over the skin, in place; ``opacity`` is (n,) in [0, 1]."""
    weight = opacity[:, None]
    mean += weight * (np.array(colour) - mean)
    melanin += weight * (np.array(step) - melanin)


def _step(low: float, high: float, values: Values) -> Values:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _bump(p: Values, centre: tuple[float, float, float], radius: float) -> Values:
    """A Gaussian of standard deviation ``radius`` / √2 around a point."""
    bump: Values = np.exp(-((p - np.array(centre)) ** 2).sum(axis=1) / radius**2)
    return bump


def _both(p: Values, centre: tuple[float, float, float], radius: float) -> Values:
    """The bump at a point of the left side and at its mirror image."""
    x, y, z = centre
    return _bump(p, (x, y, z), radius) + _bump(p, (-x, y, z), radius)


def _distance(p: Values, line: Values) -> Values:
    """(n,) distances of points (n, 3) from an open polyline (m, 3); infinite beyond ``_FAR``."""
    result = np.full(len(p), np.inf)
    near = _near(p, line)
    q, nearest = p[near], result[near]
    for start, end in pairwise(line):
        along = end - start
        t = np.clip((q - start) @ along / (along @ along), 0.0, 1.0)
        offset = q - start - t[:, None] * along
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", offset, offset))
    result[near] = np.sqrt(nearest)
    return result


_FAR = 25.0
"""No line is painted wider than this, mm."""


def _near(p: Values, line: Values) -> NDArray[np.intp]:
    """The points in the box around a line, ``_FAR`` larger on every side."""
    inside = (p >= line.min(axis=0) - _FAR) & (p <= line.max(axis=0) + _FAR)
    return np.flatnonzero(inside.all(axis=1))


def _mottle(p: Values) -> Values:
    """Faint unevenness of a few per cent: plane waves of unrelated directions and lengths from 5 to 60 mm."""
    total = np.zeros(len(p))
    for k in range(18):
        # Directions by the golden angle, so that no two are alike.
        height, turn = 1.0 - 2.0 * (k + 0.5) / 18.0, 2.399963 * k
        radius = np.sqrt(1.0 - height * height)
        direction = np.array([radius * np.cos(turn), height, radius * np.sin(turn)])
        length = 5.0 * 12.0 ** (((7 * k) % 18) / 17.0)
        total += np.sin(p @ direction * (2.0 * np.pi / length) + 1.7 * k)
    return 0.006 * total


def _cheeks(p: Values) -> Values:
    return 0.85 * _both(p, (38.0, 4.0, 97.0), 29.0) + 0.35 * _both(p, (56.0, 8.0, 80.0), 24.0)


def _ears(p: Values) -> Values:
    """The ears stand out beyond the skull at the height of nose and eyes."""
    inside = ((p[:, 1] - 6.0) / 40.0) ** 2 + ((p[:, 2] + 12.0) / 27.0) ** 2
    # Behind the ear the skull itself is nearly as wide as the ear's front.
    skull = np.interp(p[:, 2], [-20.0, 0.0], [75.0, 68.0])
    return (1.0 - _step(0.75, 1.05, inside)) * _step(0.0, 5.0, np.abs(p[:, 0]) - skull)


def _under_eyes(p: Values, marks: Values) -> Values:
    """The hollow below each lower lid, strongest towards the nose."""
    total = np.zeros(len(p))
    for inner, outer, sign in ((39, 36, -1.0), (42, 45, 1.0)):
        start, end = marks[inner] + [sign * 1.0, -7.0, 1.0], marks[outer] + [-sign * 8.0, -9.0, 2.0]
        line = np.stack([start, 0.5 * (start + end) + [0.0, -3.0, 2.0], end])
        total += np.exp(-((_distance(p, line) / 6.0) ** 2))
    return np.clip(total, 0.0, 1.0)


def _spline(knots: Values, closed: bool, per_segment: int = 6) -> Values:
    """Points of the Catmull-Rom spline through ``knots`` (k, 3)."""
    padded = (
        np.concatenate([knots[-1:], knots, knots[:2]])
        if closed
        else np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    )
    t = (np.arange(per_segment) / per_segment)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True)
    ]
    return np.concatenate([*pieces, knots[:1] if closed else knots[-1:]])


def _lips(p: Values, marks: Values) -> tuple[Values, Values]:
    """Vermilion and inner lip, (n,) each: inside the outer and the inner landmark contour as seen from the front."""
    outer, inner = _spline(marks[48:60], closed=True), _spline(marks[60:68], closed=True)
    in_front = _step(94.0, 98.0, p[:, 2])
    vermilion = _step(-0.9, 1.0, _depth_inside(p, outer)) * in_front
    wet = _step(-0.6, 1.2, _depth_inside(p, inner))
    # What is behind the line where the lips meet is mucosa, though seen from the front a lip may cover it.
    behind = _step(0.0, 5.0, np.interp(np.abs(p[:, 0]), [0.0, 22.0], [110.0, 99.0]) - p[:, 2])
    return vermilion, np.maximum(wet, behind) * vermilion


def _depth_inside(p: Values, contour: Values) -> Values:
    """Signed distance (n,) in the frontal plane to a closed contour (m, 3), positive inside."""
    x, y = p[:, 0], p[:, 1]
    inside = np.zeros(len(p), bool)
    for (ax, ay, _), (bx, by, _) in pairwise(contour):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    frontal = np.array([1.0, 1.0, 0.0])
    distance = _distance(p * frontal, contour * frontal)
    return np.where(inside, distance, -distance)


def _brows(p: Values, marks: Values) -> Values:
    """Bands along the brow landmarks: blunt at the inner end, tapered at the outer one."""
    total = np.zeros(len(p))
    for points in (marks[[21, 20, 19, 18, 17]], marks[22:27]):
        line = _spline(points - np.array([0.0, 2.5, 0.0]), closed=False)
        near = _near(p, line)
        squared = ((p[near, None] - line[None]) ** 2).sum(axis=2)
        nearest = squared.argmin(axis=1)
        along = nearest / (len(line) - 1.0)
        half_width = np.interp(along, [0.0, 0.15, 0.6, 1.0], [3.2, 4.8, 4.4, 1.3])
        band = 1.0 - _step(0.45, 1.35, np.sqrt(squared.min(axis=1)) / half_width)
        # Hairs are sparser at both ends.
        density = np.interp(along, [0.0, 0.14, 0.7, 1.0], [0.45, 1.0, 1.0, 0.55])
        total[near] = np.maximum(total[near], band * density)
    return total


def _lashes(p: Values, marks: Values) -> Values:
    """The dark lines of the lash roots, stronger on the upper lid."""
    total = np.zeros(len(p))
    for upper, lower in (([36, 37, 38, 39], [36, 41, 40, 39]), ([42, 43, 44, 45], [42, 47, 46, 45])):
        for chain, strength in ((upper, 1.0), (lower, 0.45)):
            distance = _distance(p, _spline(marks[chain], closed=False))
            total = np.maximum(total, strength * (1.0 - _step(0.3, 2.0, distance)))
    return total


def _beard(p: Values, marks: Values) -> Values:
    """Where a beard grows: moustache, chin, jaw and the upper throat, with soft borders."""
    x, y = np.abs(p[:, 0]), p[:, 1]
    # The upper border runs from the mouth's corners up along the cheek to the sideburn.
    border = np.interp(x, [0.0, 20.0, 32.0, 45.0, 58.0, 66.0, 80.0], [-14.0, -22.0, -38.0, -36.0, -22.0, 8.0, 24.0])
    area = _step(-9.0, 15.0, border - y) * _step(-112.0, -85.0, y) * _step(-4.0, 22.0, p[:, 2])
    # Bare patches: beside the lower lip and below the nose's septum.
    gap = 0.5 * _both(p, (17.0, -50.0, 104.0), 8.0) + 0.6 * _bump(p, (0.0, -13.0, 116.0), 6.0)
    return area * np.clip(1.0 - gap, 0.0, 1.0)


def _scalp(p: Values) -> Values:
    """Where hair grows on the head: a soft hairline over forehead, temples, sideburns and nape."""
    azimuth = np.degrees(np.arctan2(np.abs(p[:, 0]), p[:, 2] - 5.0))
    line = np.interp(
        azimuth,
        [0.0, 18.0, 30.0, 42.0, 52.0, 60.0, 68.0, 78.0, 88.0, 105.0, 125.0, 150.0, 180.0],
        [101.0, 104.0, 106.0, 97.0, 80.0, 64.0, 44.0, 16.0, 14.0, 0.0, -38.0, -62.0, -66.0],
    )
    ragged = 1.6 * np.sin(0.19 * p[:, 0] + 0.3 * p[:, 1]) + 1.2 * np.sin(0.31 * p[:, 0] - 0.3 * p[:, 2] + 1.0)
    return _step(-13.0, 15.0, p[:, 1] - line + ragged)


def _nostril(side: float) -> Values:
    """Axis of a nostril, from its opening into the nose."""
    return np.array([[8.0 * side, -6.0, 111.0], [7.5 * side, -4.0, 107.0], [6.0 * side, -1.0, 100.0]])
