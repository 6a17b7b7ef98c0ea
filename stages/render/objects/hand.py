"""A hand at the face or before it, with a forearm that leaves the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import ScalarLaw, Uniform
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.fit import Chart
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.hand_shape import FOREARM, Pose, RestingHand, bent, forearm, resting_hand, wrist_bent
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import normalised
from facegen.stages.render.objects.thing import FLESH, HAND, Thing

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]

Place = Literal["cheek", "chin", "mouth", "brow", "eye", "front"]
Gesture = Literal["flat", "cupped", "fist", "point", "victory"]


class Hand(Section):
    """A hand that touches the face or is held before it."""

    probability: Probability = 0.1
    """Of a face to have one."""
    places: Frequencies[Place] = Field(
        default={"cheek": 0.25, "chin": 0.2, "mouth": 0.15, "brow": 0.12, "eye": 0.1, "front": 0.18}
    )
    """Relative frequency of where it is."""
    distance: ScalarLaw = Uniform(low=20, high=80)
    """From the face, mm, of a hand before it."""
    length: ScalarLaw = Uniform(low=0.74, high=0.86)
    """From wrist to fingertip, relative to the distance between the chin and the hairline."""


@dataclass(frozen=True)
class _Stance:
    """How a hand is held at a place; for the subject's left hand. The right one's is its mirror image."""

    outwards: tuple[float, float, float]
    """From the face to the hand: it is laid onto the skin from there."""
    back: tuple[float, float, float]
    """Where the back of the hand looks."""
    fingers: tuple[float, float, float]
    """Where the fingers point."""
    gestures: tuple[Gesture, ...]
    contact: tuple[float, float]
    """Point of the hand, from the little finger to the thumb (-1 … 1) and from wrist to fingertips (0 … 1), that is
    over the place."""
    press: float = 2.5
    """How far the skins go into each other, mm: both are soft."""


_STANCES: dict[Place, tuple[_Stance, ...]] = {
    "cheek": (
        _Stance((0.80, -0.05, 0.60), (0.82, -0.05, 0.57), (0.10, 0.95, -0.25), ("cupped", "flat"), (0.0, 0.55)),
        _Stance((0.75, -0.10, 0.65), (0.75, 0.10, 0.65), (-0.1, 0.90, 0.15), ("fist",), (0.0, 0.55)),
    ),
    "chin": (
        _Stance((0.15, -0.80, 0.58), (0.30, -0.25, 0.92), (-0.25, 0.95, 0.15), ("fist",), (0.0, 0.60)),
        _Stance((0.25, -0.70, 0.67), (0.35, -0.60, 0.72), (-0.75, 0.60, 0.15), ("cupped",), (0.1, 0.62)),
        _Stance((0.10, -0.55, 0.83), (0.45, -0.30, 0.84), (-0.35, 0.90, 0.20), ("point", "cupped"), (0.3, 0.62)),
    ),
    "mouth": (
        _Stance((0.20, -0.05, 0.98), (0.25, -0.05, 0.96), (-0.80, 0.58, 0.05), ("flat", "cupped"), (0.0, 0.66)),
        _Stance((0.15, -0.20, 0.97), (0.40, -0.10, 0.91), (-0.45, 0.88, 0.05), ("fist",), (0.0, 0.55)),
    ),
    "brow": (_Stance((0.25, 0.20, 0.95), (0.30, 0.15, 0.94), (-0.55, 0.82, -0.10), ("cupped", "flat"), (0.0, 0.66)),),
    "eye": (
        _Stance((0.35, 0.00, 0.94), (0.40, 0.00, 0.92), (-0.40, 0.90, -0.10), ("cupped", "flat", "fist"), (0.0, 0.6)),
    ),
    "front": (
        # The palm towards the face, or towards the camera.
        _Stance((0.10, 0.00, 1.00), (0.15, 0.05, 1.00), (-0.30, 0.95, 0.05), ("flat", "cupped"), (0.0, 0.55)),
        _Stance(
            (0.10, 0.00, 1.00), (0.10, 0.10, -1.00), (-0.10, 0.98, 0.10), ("flat", "cupped", "victory"), (0.0, 0.55)
        ),
        _Stance((0.10, 0.00, 1.00), (0.50, 0.20, 0.85), (-0.50, 0.85, 0.10), ("point", "fist"), (0.0, 0.55)),
    ),
}

_FLEXION: dict[Gesture, tuple[tuple[float, float, float], ...]] = {
    "flat": ((4, 6, 8), (4, 6, 4), (3, 6, 4), (4, 7, 4), (6, 9, 5)),
    "cupped": ((10, 14, 18), (17, 20, 11), (18, 22, 12), (21, 24, 12), (24, 27, 14)),
    "fist": ((28, 28, 42), (76, 96, 55), (79, 99, 58), (82, 99, 58), (82, 96, 58)),
    "point": ((28, 26, 40), (6, 6, 4), (77, 97, 58), (81, 98, 58), (81, 95, 58)),
    "victory": ((36, 30, 36), (4, 4, 3), (3, 5, 3), (78, 96, 56), (79, 93, 56)),
}
"""Degrees of the joints of thumb, index, middle, ring and little finger, from the palm to the tip."""

_SPAN = 190.0
"""From the wrist to the tip of the middle finger of the resting hand, mm."""

_HALF_PALM = 40.0


def make_hand(head: Head, config: Hand, rng: np.random.Generator, skin: Float) -> list[Thing]:
    """A hand laid onto the face, or held before it.

    Args:
        head: the face.
        config: the section.
        rng: what everything is drawn from.
        skin: (3,) linear RGB reflectance of the person's skin.
    """
    place = choose(config.places, rng)
    stance = _STANCES[place][int(rng.integers(len(_STANCES[place])))]
    side = 1.0 if rng.random() < 0.5 else -1.0
    hand = resting_hand()
    posed = bent(hand, _drawn_pose(stance, rng))
    marks = head.landmarks.astype(np.float64)
    face_height = float(marks[17:27, 1].mean() - marks[8, 1]) * 1.42
    scale = np.clip(face_height * float(config.length.draw(rng, 1)[0]) / _SPAN, 0.7, 1.2)
    # Directions of the left side, jittered, then mirrored for the right hand.
    flip = np.array([side, 1.0, 1.0])
    outwards, back, fingers = (
        normalised(np.array(direction) + rng.normal(0.0, 0.09, 3)) * flip
        for direction in (stance.outwards, stance.back, stance.fingers)
    )
    fingers = normalised(fingers - (fingers @ back) * back)
    # Rows: the hand's x, y, z; the model is a right hand, so the left one's x is mirrored.
    axes = np.stack([np.cross(fingers, back) * -side, fingers, back])
    across, along = stance.contact
    contact = np.array([-across * _HALF_PALM, along * _SPAN, 0.0]) * scale
    # The hand is laid to the face before its wrist is bent, which moves the forearm only.
    wrist = _target(place, marks, side, rng) - contact @ axes
    wrist = wrist + outwards * _advance(hand, head, posed @ axes * scale + wrist, outwards, stance.press)
    if place == "front":
        wrist = wrist + outwards * max(float(config.distance.draw(rng, 1)[0]), 0.0)
    bend = _free_wrist(head, wrist, axes, scale, rng)
    placed = wrist_bent(hand, posed, *bend) @ axes * scale + wrist
    triangles = hand.mesh[1] if side < 0.0 else np.ascontiguousarray(hand.mesh[1][:, ::-1])
    return [
        Thing(
            placed.astype(np.float32),
            triangles,
            _colours(hand, np.asarray(skin, np.float64)),
            np.full(len(triangles), FLESH, np.uint8),
            HAND,
        )
    ]


def _drawn_pose(stance: _Stance, rng: np.random.Generator) -> Pose:
    gesture = stance.gestures[int(rng.integers(len(stance.gestures)))]
    common = rng.uniform(0.85, 1.12)
    flexion = np.radians(np.array(_FLEXION[gesture]) * common * rng.uniform(0.88, 1.12, (5, 3)))
    loose = gesture in ("flat", "cupped")
    fan = rng.uniform(-1.1, 0.15) if loose else -0.8
    # Closed fingers turn towards the middle one, by about the angles that they have at rest.
    spread = np.radians(np.array([rng.uniform(-12.0, 8.0) if loose else 0.0, -8.0 * fan, 0.0, 7.0 * fan, 15.0 * fan]))
    if gesture == "victory":
        spread[1:3] = np.radians([8.0, -7.0])
    return Pose(flexion, -spread)


def _target(place: Place, marks: Float64, side: float, rng: np.random.Generator) -> Float64:
    """(3,) the point of the face that the hand is laid on."""
    left = side > 0.0
    jaw, ear, mouth, eye, brow = (
        marks[(a if left else b)]
        for a, b in (([11, 12], [4, 5]), ([14, 15], [1, 2]), ([54], [48]), (range(42, 48), range(36, 42)), ([24], [19]))
    )
    cheek = 0.5 * jaw.mean(axis=0) + 0.25 * ear.mean(axis=0) + 0.25 * mouth.mean(axis=0)
    forehead = brow.mean(axis=0) + np.array([-0.3 * side * abs(brow[0, 0]), 18.0, 0.0])
    face = marks[30] * 0.5 + marks[8] * 0.5 + np.array([0.0, 25.0, 0.0])
    target = {
        "cheek": cheek,
        "chin": marks[8],
        "mouth": marks[48:60].mean(axis=0),
        "brow": forehead,
        "eye": eye.mean(axis=0),
        "front": face,
    }[place]
    reach = (30.0, 32.0, 0.0) if place == "front" else (6.0, 6.0, 0.0)
    drawn: Float64 = target + rng.normal(0.0, 1.0, 3) * np.array(reach)
    return drawn


def _advance(hand: RestingHand, head: Head, placed: Float64, outwards: Float64, press: float) -> float:
    """How far along ``outwards`` the hand is to be moved until it touches the face, mm; negative towards the face."""
    # The frame whose third axis is that direction.
    first = normalised(np.cross(np.array([0.0, 1.0, 0.3]), outwards))
    frame = np.stack([first, np.cross(outwards, first), outwards])
    # Neither neck nor shoulders: what is laid to the chin from below would not get past them.
    face = np.concatenate([head.skin[head.skin[:, 1] > head.landmarks[8, 1] - 12.0], head.tongue])
    turned = face.astype(np.float64) @ frame.T
    palm = placed[hand.mesh[0][:, 1] > -8.0][::2] @ frame.T
    low, high = palm[:, :2].min(axis=0) - 8.0, palm[:, :2].max(axis=0) + 8.0
    near = ((turned[:, :2] > low) & (turned[:, :2] < high)).all(axis=1)
    facing = near & (turned[:, 2] > turned[near, 2].max() - 150.0)
    skin = Chart(turned[facing, :2], turned[facing, 2], cell=7.0)
    gap = skin.height(palm[:, :2], reach=7.0) - palm[:, 2]
    return float(gap.max()) - press


def _free_wrist(
    head: Head, wrist: Float64, axes: Float64, scale: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Bend and deviation of the wrist, radians: the first that are drawn with which the forearm leaves the picture and
    passes before neck, chest and shoulders, or of all those the ones with which it comes farthest from them."""
    drawn = np.radians(rng.uniform([-55.0, -25.0], [40.0, 25.0], (24, 2)))
    body = np.concatenate([head.skin[head.skin[:, 1] < head.landmarks[8, 1] - 25.0], head.shoulders]).astype(np.float64)
    chest = Chart(body[:, :2], body[:, 2], cell=25.0, hidden=40.0)
    along = np.linspace(0.1, 1.0, 10)
    directions = np.stack([forearm(*angles) for angles in drawn]) @ axes
    # (24, 10, 3) on the middle line of the forearm.
    line = wrist + directions[:, None] * (along * FOREARM * scale)[:, None]
    before = line[..., 2] - chest.height(line.reshape(-1, 3)[:, :2], reach=45.0).reshape(line.shape[:2])
    room = (before - scale * (24.0 + 12.0 * along)).min(axis=1)
    # An elbow that could be seen would end in mid-air.
    elbow = line[:, -1]
    seen = (elbow[:, 1] > head.landmarks[8, 1] - 85.0) & (np.abs(elbow[:, 0]) < 190.0)
    room = room - 1000.0 * seen
    free = np.flatnonzero(room > 0.0)
    bend, deviation = drawn[free[0] if len(free) else room.argmax()]
    return float(bend), float(deviation)


def _colours(hand: RestingHand, skin: Float64) -> Float:
    """(N, 3) linear RGB: the palm lighter than the back, folds darker, nails lighter and redder."""
    rest = hand.mesh[0]
    inner = np.clip(-rest[:, 2] / 12.0 - 0.15, 0.0, 1.0)[:, None] * (rest[:, 1] > -20.0)[:, None]
    # Palms are lighter, the more so the darker the skin is.
    palm = skin + (np.array([0.58, 0.40, 0.32]) - skin) * 0.35
    colour = skin + inner * (palm - skin)
    colour = colour * (1.0 - hand.crease[:, None] * np.array([0.14, 0.20, 0.20]))
    tips = np.clip(hand.along.max(axis=1) - 2.2, 0.0, 1.0)[:, None] * hand.finger.max(axis=1, keepdims=True)
    colour = colour * (1.0 + tips * np.array([0.06, -0.05, -0.04]))
    nail = np.clip(skin * 0.75 + np.array([0.22, 0.15, 0.125]), 0.0, 0.9)
    colour[hand.nail] = nail
    clipped: Float = np.clip(colour, 0.0, 1.0).astype(np.float32)
    return clipped
