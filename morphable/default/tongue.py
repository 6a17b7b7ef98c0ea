"""The tongue: at rest behind the lower teeth, moving with the jaw, and put out over the lower lip."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from facegen.morphable.default.half import HalfHead, HalfPose, follow
from facegen.morphable.default.mouth import MouthFrame
from facegen.morphable.default.parts import amounts

Float = NDArray[np.float64]
Ints = NDArray[np.int64]


class Tongue:
    """Half a tongue: cross-sections from the root to the tip, from the middle of its back around to its underside."""

    def __init__(self, half: HalfHead, frame: MouthFrame) -> None:
        level = half.level
        grid, cap = level.grids["tongue"], level.caps["tongue"]
        self.vertices = np.concatenate([grid.ravel(), cap, [level.poles["tongue"]]])
        self._values = amounts("tongue")
        self._middle = frame.middle
        self._lower_lip = level.grids["mouth_pocket"][0][-1]
        self._columns = (grid.shape[1], len(cap))
        values = self._values
        along = [*values["back"], values["cap"]["back"], values["tip"]["back"]]
        top = [*values["top"], values["cap"]["top"], values["tip"]["at"]]
        bottom = [*values["bottom"], values["cap"]["bottom"], values["tip"]["at"]]
        width = [*values["half_width"], values["cap"]["half_width"], 0.0]
        place = np.stack([-np.array(along), (np.array(top) + bottom) / 2], axis=1)
        self.rest = self._sections(place, np.array([0.0, 1.0]), np.array(width), np.array(top) - bottom)
        anchors, weights = frame.shares(self.rest[:, 0])
        self.skin_share: scipy.sparse.csr_array = follow(level.count, anchors, weights)
        self.eye_share = np.zeros(len(self.vertices))

    def _sections(self, place: Float, up: Float, half_width: Float, thickness: Float) -> Float:
        """Vertices around middles (s, 2) of z and y from the seam, with up directions (s, 2) or (2,) alike."""
        up = np.broadcast_to(up, place.shape)
        rings = [self._section(self._columns[0], w, t) for w, t in zip(half_width[:-2], thickness[:-2], strict=True)]
        rings += [self._section(self._columns[1], half_width[-2], thickness[-2]), np.zeros((1, 2))]
        bent = [
            np.stack([ring[:, 0], at[1] + ring[:, 1] * to[1], at[0] + ring[:, 1] * to[0]], axis=1)
            for ring, at, to in zip(rings, place, up, strict=True)
        ]
        placed: Float = self._middle + np.concatenate(bent)
        return placed

    def _section(self, count: int, half_width: float, thickness: float) -> Float:
        """(count, 2) across and up: half an ellipse with fuller edges and a groove along the middle of the back."""
        angle = np.pi * (0.5 - np.arange(count) / (count - 1))
        across = np.cos(angle)
        across[[0, -1]] = 0.0
        height = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8 * thickness / 2
        depth = self._values["groove"] * min(1.0, half_width / self._values["groove_from"])
        groove = np.where(angle > 0, depth * np.exp(-((across / 0.25) ** 2)), 0.0)
        return np.stack([half_width * across, height - groove], axis=1)

    def respond(self, pose: HalfPose) -> Float:
        """It moves with the jaw, and in tongueOut along a path between the lips and down over the lower one."""
        if pose.name == "tongueOut":
            return self._out(self._values["out"], pose) - self.rest
        return pose.jaw(self.rest)

    def _out(self, values: dict[str, Any], pose: HalfPose) -> Float:
        path = np.array(values["path"])
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        rows = len(self._values["back"])
        # Rows come closer where the outline rounds off towards the tip.
        end = length[-1]
        at = end * (1 - (1 - np.linspace(0, 1, rows + 2)) ** 2)
        place = PchipInterpolator(length, path)(at)
        tangent = PchipInterpolator(length, path)(at + 0.5) - PchipInterpolator(length, path)(at - 0.5)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        # z and y: up is the tangent turned by 90°.
        up = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        width = np.interp(at, length, values["half_width"])
        thickness = np.interp(at, length, values["thickness"])
        rounding = np.sqrt(1 - np.clip((at - end + values["round"]) / values["round"], 0, 1) ** 2)
        width, thickness = width * rounding, thickness * np.sqrt(rounding)
        # In front of the teeth it lies on the lower lip wherever that has gone.
        lip = pose.skin[self._lower_lip, [2, 1]]
        return self._sections(place + lip * np.clip((place[:, :1] + 30) / 24, 0, 1), up, width, thickness)
