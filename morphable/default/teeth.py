"""Teeth and gums: two arches of single teeth, the upper one fixed to the skull, the lower one to the jaw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.default.half import HalfHead, HalfPose, follow
from facegen.morphable.default.mouth import MouthFrame
from facegen.morphable.default.parts import amounts

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

GUM_ROWS = 2
"""The quads before this row of a grid of teeth are gum: rows 0 … 2 are its root, its swelling and the gum line."""


class Teeth:
    """An arch of six teeth to the midline: incisors, canine, premolars and a molar.

    Rows run from the gum's root over the crown's outside and its edge to its inside.
    """

    def __init__(self, half: HalfHead, frame: MouthFrame, name: str) -> None:
        level = half.level
        self.vertices = level.grids[name].ravel()
        self._lower = name == "lower_teeth"
        values = amounts("teeth")
        self.rest = _shape(values, values["lower" if self._lower else "upper"], frame, -1.0 if self._lower else 1.0)
        anchors, weights = frame.shares(self.rest[:, 0])
        self.skin_share: scipy.sparse.csr_array = follow(level.count, anchors, weights)
        self.eye_share = np.zeros(len(self.vertices))

    def respond(self, pose: HalfPose) -> Float:
        """The lower teeth move with the jaw."""
        return pose.jaw(self.rest) if self._lower else np.zeros_like(self.rest)


@dataclass(frozen=True)
class _Arch:
    """A fine polyline of an arch seen from above."""

    places: Float
    """(m, 2) x and z from the front of the incisors."""
    length: Float
    """(m,) along it."""

    def __call__(self, length: Float) -> tuple[Float, Float]:
        """Places (k, 2) and outward normals (k, 2) at lengths (k,)."""
        places = np.stack([np.interp(length, self.length, column) for column in self.places.T], axis=1)
        ahead, behind = length + 0.5, length - 0.5
        tangent = np.stack(
            [np.interp(ahead, self.length, c) - np.interp(behind, self.length, c) for c in self.places.T], axis=1
        )
        tangent[length <= 0, 1] = 0.0
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        return places, np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _arch(jaw: dict[str, Any], half_width: float) -> _Arch:
    x = half_width * np.linspace(0, 1.15, 800)
    z = -jaw["depth"] * (x / half_width) ** jaw["exponent"]
    step = np.hypot(np.diff(x), np.diff(z))
    return _Arch(np.stack([x, z], axis=1), np.concatenate([[0.0], np.cumsum(step)]))


def _shape(values: dict[str, Any], jaw: dict[str, Any], frame: MouthFrame, up: float) -> Float:
    """(rows · columns, 3) of an arch; ``up`` is the direction of its roots."""
    widths = np.array(jaw["widths"])
    start = np.concatenate([[0.0], np.cumsum(widths)])
    part = np.array(values["columns"])
    length = np.append((start[:-1, None] + widths[:, None] * part).ravel(), start[-1])
    tooth = np.append(np.repeat(np.arange(len(widths)), len(part)), len(widths) - 1)
    place_in_tooth = np.append(np.tile(np.arange(len(part)), len(widths)), 0)

    def between(name: str) -> Float:
        """An amount per tooth; where two teeth meet, the mean of both."""
        own: Float = np.array(jaw[name] if name in jaw else values[name], np.float64)[tooth]
        shared = slice(len(part), -1, len(part))
        own[shared] = (own[shared] + own[len(part) - 1 : -2 : len(part)]) / 2
        return own

    def by_column(name: str) -> Float:
        found: Float = np.array(values["embrasure"][name], np.float64)[place_in_tooth]
        return found

    places, normal = _arch(jaw, jaw["half_width"])(length)
    recess, rounding, scallop = by_column("recess"), by_column("rounding"), by_column("scallop")
    cusps = between("cusps")
    # A cusp lifts the middle of the edge; its slopes start at the neighbours.
    edge = between("heights") + rounding + cusps * np.where(place_in_tooth == 2, -0.5, 0.5) * (place_in_tooth != 0)
    neck = jaw["crown"] - scallop
    root = np.full_like(neck, jaw["crown"] + jaw["gum"])
    swelling, bulge = values["recession"], values["bulge"]
    # Per row: height from the incisors' edge towards the roots, and distance before the arch.
    rows = (
        (root, np.full_like(root, values["root_depth"])),
        ((neck + root) / 2 - values["swelling_below"], swelling + 0.2 - 0.5 * recess),
        (neck, 0.2 * swelling - 0.65 * recess),
        (edge + 0.42 * (neck - edge), bulge - recess),
        (edge, -0.15 - 1.25 * recess),
        (edge + between("fossa"), -between("edge_thickness")),
        (edge + between("back_height"), -between("crown_thickness")),
    )
    front = frame.middle + np.array([0.0, jaw["edge"], -jaw["behind"]])
    stretch = frame.half_width / values["mouth_half_width"]
    result = np.empty((len(rows), len(length), 3))
    for k, (height, before) in enumerate(rows):
        flat = places + normal * before[:, None]
        result[k, :, 0] = flat[:, 0] * stretch
        result[k, :, 1] = front[1] + up * height
        result[k, :, 2] = front[2] + flat[:, 1] - jaw["tilt"] * height
    result[:, 0, 0] = 0.0
    return result.reshape(-1, 3)
