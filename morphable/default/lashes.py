"""Eyelashes: curved spikes on the edges of the lids, which turn with the lids."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.default.half import HalfHead, HalfPose, follow, rotate, unit
from facegen.morphable.default.parts import amounts

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

_SEED = 5


class Lashes:
    """The lashes of one lid: per blade two corners at the root, the tip, and the middles of the three sides."""

    def __init__(self, half: HalfHead, name: str) -> None:
        level = half.level
        blades = level.blades[name]
        self.vertices = blades.ravel()
        values = amounts("lashes")
        own = values[name]
        upper = name == "upper_lashes"
        margin, _ = level.pins["upper_lid_margin" if upper else "lower_lid_margin"]
        line = half.skin[margin]
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        random = np.random.default_rng(_SEED)
        share = np.linspace(0, 1, len(blades))
        at = length[-1] * (own["span"][0] + (own["span"][1] - own["span"][0]) * share)
        width = np.interp(share, own["stops"], own["root"])
        # From the midline outwards above, the other way below: so that the blades' fronts face the viewer.
        ends = at[:, None] + (width / 2)[:, None] * ([-1.0, 1.0] if upper else [1.0, -1.0])
        edge, weights = _interpolation(length, ends)
        roots = (weights[..., None] * line[edge]).sum(axis=2)
        anchor, anchor_weights = _interpolation(length, at)
        self._anchor = margin[anchor]
        self._weights = anchor_weights
        self._arm = (anchor_weights[..., None] * line[anchor]).sum(axis=1) - half.eyeball_centre
        middle = half.skin[level.grids["lid_pocket"][0, :-1]].mean(axis=0) - half.eyeball_centre
        self.rest = _blades(values, own, share, roots, self._arm, middle, random).reshape(-1, 3)
        count = blades.shape[1]
        self.skin_share: scipy.sparse.csr_array = follow(
            level.count, np.repeat(self._anchor, count, axis=0), np.repeat(self._weights, count, axis=0)
        )
        self.eye_share = np.zeros(len(self.vertices))
        self._centre = half.eyeball_centre
        self._flat = own.get("flat", 0.0)

    def respond(self, pose: HalfPose) -> Float:
        """Each blade moves with its root and turns by what the root travels about the eyeball."""
        moved = self._arm + (self._weights[..., None] * pose.skin[self._anchor]).sum(axis=1)
        count = len(self.rest) // len(self._arm)
        start, end, old, new = (np.repeat(a, count, axis=0) for a in (unit(self._arm), unit(moved), self._arm, moved))
        blade = rotate(self.rest - self._centre - old, start, end)
        if pose.name == "eyeBlink":
            blade -= self._flat * (blade * end).sum(axis=1, keepdims=True) * end
        turned: Float = new + blade
        return turned + self._centre - self.rest


def _interpolation(length: Float, at: Float) -> tuple[Ints, Float]:
    """Neighbours (…, 2) of places (…) along a polyline, and their weights."""
    first = np.clip(np.searchsorted(length, at, side="right") - 1, 0, len(length) - 2)
    share = (at - length[first]) / (length[first + 1] - length[first])
    return np.stack([first, first + 1], axis=-1), np.stack([1 - share, share], axis=-1)


def _blades(
    values: dict[str, Any], own: dict[str, Any], share: Float, roots: Float, arm: Float, middle: Float,
    random: np.random.Generator,
) -> Float:  # fmt: skip
    """(L, 6, 3) blades on roots (L, 2, 3); arms (L, 3) to their middles from the eyeball's centre."""

    def along(name: str) -> Float:
        table = np.array(own[name], np.float64).reshape(len(own["stops"]), -1)
        found: Float = np.stack([np.interp(share, own["stops"], column) for column in table.T], axis=1)
        return found

    scatter = own["scatter"]
    count = len(share)
    length = along("length") * (1 + scatter["length"] * np.clip(random.standard_normal((count, 1)), -2, 2))
    rise = np.radians(along("rise") + scatter["angle"] * np.clip(random.standard_normal((count, 1)), -2, 2))
    fan = np.radians(along("fan") + scatter["angle"] * np.clip(random.standard_normal((count, 1)), -2, 2))
    normal = unit(unit(arm) + values["forward"] * np.array([0.0, 0.0, 1.0]))
    # Away from the opening, along the lid's skin.
    outwards = unit(arm) - unit(middle)
    vertical = np.array([0.0, 1.0, 0.0]) * np.sign(outwards[:, 1:2].sum())
    up = unit(vertical - (vertical * normal).sum(axis=1, keepdims=True) * normal)
    side = np.array([1.0, 0.0, 0.0])
    side = unit(
        side - (side * normal).sum(axis=1, keepdims=True) * normal - (side * up).sum(axis=1, keepdims=True) * up
    )

    def piece(angle: Float) -> Float:
        forward = np.cos(fan) * normal + np.sin(fan) * side
        direction: Float = np.cos(angle)[:, None] * forward + np.sin(angle)[:, None] * up
        return direction

    lift = values["lift"] * normal
    base = roots + lift[:, None]
    root = base.mean(axis=1)
    half = root + 0.5 * length * piece(rise[:, 0])
    tip = half + 0.5 * length * piece(rise[:, 1])
    across = (base[:, 1] - base[:, 0]) * values["taper"] / 2
    return np.stack([base[:, 0], base[:, 1], tip, root, half + across, half - across], axis=1)
