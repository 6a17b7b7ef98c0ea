"""A hand with its forearm at rest, and how its joints bend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facegen.stages.render.objects.implicit import surface_net
from facegen.stages.render.objects.shapes import Mesh, ellipsoid, merged, normalised, smoothstep

Float64 = NDArray[np.float64]

THUMB, INDEX, MIDDLE, RING, LITTLE = range(5)

_CHAINS = np.array(
    [
        # Joints of a right hand, fingers up, its back towards +z and its thumb towards -x, the wrist at the origin.
        [[-19.0, 20.0, -7.0], [-41.0, 56.0, -12.0], [-55.0, 84.0, -13.0], [-65.5, 107.0, -13.0]],
        [[-25.0, 88.0, 1.0], [-32.0, 128.0, 0.5], [-35.5, 151.0, 0.0], [-38.0, 168.5, -0.5]],
        [[-5.0, 92.0, 2.5], [-6.0, 136.0, 2.0], [-6.5, 163.0, 1.5], [-7.0, 182.0, 1.0]],
        [[13.5, 87.5, 1.5], [19.5, 128.0, 1.0], [23.0, 153.0, 0.5], [25.5, 171.0, 0.0]],
        [[29.5, 79.0, -1.0], [41.0, 109.0, -1.5], [47.5, 127.5, -2.0], [52.5, 143.0, -2.5]],
    ]
)
"""(5, 4, 3) mm: three joints of each finger and the centre of its tip."""

_RADII = np.array(
    [
        [14.0, 11.4, 10.8, 8.8],
        [10.6, 9.5, 8.6, 7.4],
        [10.8, 9.8, 8.8, 7.5],
        [10.2, 9.3, 8.4, 7.2],
        [9.2, 8.1, 7.4, 6.4],
    ]
)
"""(5, 4) mm, there."""

_PALM = (
    # Bones and muscles of the palm: from, to, radii.
    ((-9.0, 4.0, -1.0), (-22.0, 84.0, -3.0), 14.0, 12.0),
    ((-3.0, 4.0, 0.0), (-4.0, 88.0, -2.0), 14.0, 12.0),
    ((4.0, 4.0, 0.0), (13.0, 83.0, -2.5), 14.0, 11.5),
    ((10.0, 4.0, -1.0), (28.0, 74.0, -4.0), 13.0, 10.5),
    ((-17.0, 20.0, -9.0), (-34.0, 50.0, -12.0), 15.0, 13.5),
    ((20.0, 16.0, -8.0), (27.0, 52.0, -8.0), 12.0, 10.5),
)

FOREARM = 400.0
"""Its length, mm."""


@dataclass(frozen=True)
class RestingHand:
    """A right hand at rest: its mesh, and what each vertex belongs to."""

    mesh: Mesh
    finger: Float64
    """(N, 5) share of each finger in a vertex, 0 … 1."""
    along: Float64
    """(N, 5) how far along each finger it is: 0 at the first joint, 1 at the second, 2 at the third, 3 at the tip."""
    nail: NDArray[np.bool_]
    """(N,) whether it is a nail."""
    crease: Float64
    """(N,) 0 … 1: skin that is folded over a joint."""


@dataclass(frozen=True)
class Pose:
    """Bends of the joints, radians."""

    flexion: Float64
    """(5, 3) of the fingers' joints from the palm to the tip, towards the palm."""
    spread: Float64
    """(5,) of the fingers away from the middle one, at the first joint; of the thumb away from the palm's side."""


@lru_cache(maxsize=1)
def resting_hand() -> RestingHand:
    """The hand that all others are made from."""
    # Cells are longer along the fingers and the forearm than across them.
    across = np.arange(-83.0, 76.0, 4.8)
    along = np.concatenate([-np.geomspace(FOREARM + 30.0, 9.0, 14), np.arange(2.0, 204.0, 7.0)])
    deep = np.concatenate([np.arange(-54.0, -27.0, 8.0), np.arange(-26.0, 19.0, 4.4), np.arange(22.0, 52.0, 8.0)])
    vertices, triangles = surface_net(_distance, (across, along, deep))
    count = len(vertices)
    nails = [_nail(finger) for finger in range(5)]
    mesh = merged([(vertices, triangles), *nails])
    every = mesh[0]
    share, place, crease = _belonging(every)
    start = count
    for finger, (points, _) in enumerate(nails):
        # A nail is stiff: it moves with the end of its finger.
        part = slice(start, start + len(points))
        share[part], place[part], crease[part] = np.eye(5)[finger], 2.6, 0.0
        start += len(points)
    return RestingHand(mesh, share, place, np.arange(len(every)) >= count, crease)


def bent(hand: RestingHand, pose: Pose) -> Float64:
    """Vertices (N, 3) of the hand in a pose; each joint turns what is beyond it, and less at the joint."""
    vertices = hand.mesh[0].copy()
    for finger in range(5):
        chain = _CHAINS[finger]
        moved = np.flatnonzero((hand.finger[:, finger] > 0.0) & (hand.along[:, finger] > -0.5))
        share, along = hand.finger[moved, finger], hand.along[moved, finger]
        points = vertices[moved]
        axis = flexion_axis(finger)
        # From the tip to the palm: each joint is where it is at rest when it turns what lies beyond it.
        for joint in (2, 1, 0):
            width = (0.30, 0.26, 0.30)[joint]
            beyond = np.flatnonzero(along > joint - width)
            part = share[beyond] * smoothstep((along[beyond] - joint + width) / (2.0 * width))
            points[beyond] = _turned(points[beyond], chain[joint], axis, part * pose.flexion[finger, joint])
        part = share * smoothstep((along + 0.3) / 0.6)
        sideways = np.array([0.0, 0.0, 1.0]) if finger != THUMB else normalised(np.array([0.6, 0.8, 0.0]))
        vertices[moved] = _turned(points, chain[0], sideways, part * pose.spread[finger])
    return vertices


def wrist_bent(hand: RestingHand, vertices: Float64, bend: float, deviation: float) -> Float64:
    """Vertices (N, 3) with the forearm turned about the wrist: towards the palm's side, then the thumb's; radians."""
    below = np.flatnonzero(hand.mesh[0][:, 1] < 14.0)
    share = smoothstep((14.0 - vertices[below, 1]) / 34.0)
    points = _turned(vertices[below], np.zeros(3), np.array([1.0, 0.0, 0.0]), share * bend)
    result = vertices.copy()
    result[below] = _turned(points, np.zeros(3), np.array([0.0, 0.0, 1.0]), -share * deviation)
    return result


def forearm(bend: float, deviation: float) -> Float64:
    """(3,) unit vector from the wrist to the elbow of a hand whose wrist is bent by :func:`wrist_bent`."""
    down = np.array([0.0, -np.cos(bend), -np.sin(bend)])
    c, s = np.cos(deviation), np.sin(deviation)
    return np.array([down[0] * c + down[1] * s, down[1] * c - down[0] * s, down[2]])


def flexion_axis(finger: int) -> Float64:
    """(3,) about which a finger of the resting hand bends towards the palm: counter-clockwise as seen from its end."""
    chain = _CHAINS[finger]
    # The thumb bends across the palm, the others towards it.
    into = np.array([0.75, 0.15, -0.65]) if finger == THUMB else np.array([0.0, 0.0, -1.0])
    return normalised(np.cross(chain[3] - chain[0], into))


def _turned(points: Float64, centre: Float64, axis: Float64, angle: Float64) -> Float64:
    """Points (n, 3) turned about an axis through ``centre``, each by its own angle (n,) (Rodrigues' formula)."""
    away = points - centre
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = axis
    across = away @ np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
    turned: Float64 = centre + away * c + across * s + (away @ axis)[:, None] * axis * (1.0 - c)
    return turned


def _distance(points: Float64) -> Float64:
    """(n,) about the distance from the skin, negative inside."""
    palm = [_bone(points, np.array(a), np.array(b), p, q) for a, b, p, q in _PALM]
    wrist = _stretched_bone(points)
    body = _smooth_union([_smooth_union(palm, 9.0), wrist], 20.0)
    fingers = []
    for finger in range(5):
        chain, radii = _CHAINS[finger], _RADII[finger]
        parts = [_bone(points, chain[i], chain[i + 1], radii[i], radii[i + 1]) for i in range(3)]
        fingers.append(_smooth_union(parts, 2.5))
        if finger == THUMB:
            body = _smooth_union([body, fingers.pop()], 11.0)
    nearest = np.min(fingers, axis=0)
    return _smooth_union([body, nearest], 6.0)


def _stretched_bone(points: Float64) -> Float64:
    """The forearm, an oval widening towards the elbow."""
    down = np.clip(-points[:, 1] / FOREARM, 0.0, 1.0)
    swell = smoothstep(down / 0.6)
    wide, deep = 26.0 + 15.0 * swell, 17.5 + 18.0 * swell
    beyond = np.maximum(points[:, 1] - 4.0, 0.0) + np.maximum(-FOREARM - points[:, 1], 0.0)
    scaled = np.sqrt((points[:, 0] / wide) ** 2 + (points[:, 2] / deep) ** 2 + (beyond / 16.0) ** 2)
    return (scaled - 1.0) * np.minimum(wide, deep)


def _bone(points: Float64, start: Float64, end: Float64, first: float, last: float) -> Float64:
    """Distance (n,) from a capsule whose radius changes from ``first`` to ``last``."""
    bone = end - start
    share = np.clip((points - start) @ bone / (bone @ bone), 0.0, 1.0)
    away = points - start - share[:, None] * bone
    distance: Float64 = np.sqrt((away * away).sum(axis=1)) - (first + share * (last - first))
    return distance


def _smooth_union(distances: Sequence[Float64], width: float) -> Float64:
    """The union of bodies, blended over about ``width`` mm (polynomial smooth minimum, Quílez 2013)."""
    result = distances[0]
    for other in distances[1:]:
        mix = np.clip(0.5 + 0.5 * (other - result) / width, 0.0, 1.0)
        result = other + (result - other) * mix - width * mix * (1.0 - mix)
    return result


def _belonging(points: Float64) -> tuple[Float64, Float64, Float64]:
    """Shares of the fingers (n, 5), places along them (n, 5) and creases (n,) at points (n, 3) of the skin."""
    gaps = np.stack(
        [
            np.min([_bone(points, c[i], c[i + 1], r[i], r[i + 1]) for i in range(3)], axis=0)
            for c, r in zip(_CHAINS, _RADII, strict=True)
        ],
        axis=1,
    )
    along = np.stack([_along(points, chain) for chain in _CHAINS], axis=1)
    # A vertex follows the nearest finger; between two, both.
    other = np.array([np.delete(gaps, finger, axis=1).min(axis=1) for finger in range(5)]).T
    share = smoothstep((other - gaps + 2.0) / 4.0)
    share = share * smoothstep((9.0 - gaps) / 5.0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    joint = np.abs(along - np.round(along))
    at_joint = np.where((np.round(along) >= 0) & (np.round(along) <= 2), np.exp(-((joint / 0.09) ** 2)), 0.0)
    return share, along, (at_joint * share).max(axis=1)


def _along(points: Float64, chain: Float64) -> Float64:
    """(n,) the place along a finger, by the bisecting planes of its joints: -1 … 3 and beyond."""
    bones = np.diff(chain, axis=0)
    lengths = np.linalg.norm(bones, axis=1)
    units = bones / lengths[:, None]
    place: Float64 = (points - chain[0]) @ units[0] / lengths[0]
    for i in (1, 2):
        beyond = (points - chain[i]) @ units[i] / lengths[i]
        blend = smoothstep((place - i + 0.25) / 0.5)
        place = place + blend * (i + beyond - place)
    return place


def _nail(finger: int) -> Mesh:
    """A thin shell on the back of a finger's end."""
    chain, radius = _CHAINS[finger], _RADII[finger, 3]
    long = normalised(chain[3] - chain[2])
    # The back of a finger is away from where it bends to.
    out = normalised(np.cross(long, flexion_axis(finger)))
    wide = np.cross(long, out)
    size = radius * np.array([0.74, 0.95, 0.42])
    centre = chain[3] - long * 0.05 * radius + out * radius * 0.70
    return ellipsoid(centre, np.stack([wide, long, out]), size, rows=4, sides=10)
