"""Pockets that turn inward at the skin's openings: behind the lids, in the nostrils, behind the lips."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.default.expression_fields import smoothstep
from facegen.morphable.default.eyes import surface_radius
from facegen.morphable.default.half import HalfHead, HalfPose, follow, rotate, unit
from facegen.morphable.default.mouth import MouthFrame
from facegen.morphable.default.network import EyeballShape
from facegen.morphable.default.parts import amounts

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

_SLACK = 0.02
"""mm that a moving lid stays clear of the eyeball between the places at which that is ensured."""


class LidPocket:
    """The lids' rims and insides: over the rim towards the eyeball, then back between eyeball and lid.

    In the corners the rim lies high above the eyeball; there the floor reaches out to it (the caruncle).
    """

    def __init__(self, half: HalfHead, shape: EyeballShape) -> None:
        grid = half.level.grids["lid_pocket"][:, :-1]
        self._loop = grid[0]
        self._centre = half.eyeball_centre
        self._shape = shape
        values = amounts("lid_pocket")
        self._arm = half.skin[self._loop] - self._centre
        self._rows, corner = self._row_arms(values)
        self.vertices = grid[1:].ravel()
        self.rest = (self._rows + self._centre).reshape(-1, 3)
        own = np.tile(np.array(values["identity_share"], np.float64)[:, None], grid.shape[1])
        own[1] += corner * (values["corner_share"] - own[1])
        own = own.reshape(-1, 1)
        self.skin_share: scipy.sparse.csr_array = follow(half.level.count, np.tile(self._loop, 4)[:, None], own)
        self.eye_share = 1 - own[:, 0]

    def _row_arms(self, values: dict[str, Any]) -> tuple[Float, Float]:
        """(rows, columns, 3) of the rows behind the loop, from the eyeball's centre; (columns,) how much is corner."""
        radius = np.linalg.norm(self._arm, axis=1)
        direction = self._arm / radius[:, None]
        middle = unit(direction.mean(axis=0))
        angle = np.arccos(direction @ middle)
        away = unit(direction - np.outer(direction @ middle, middle))
        # To the side, where no cornea turns, the lid is thin.
        low, high = np.radians(values["side"])
        lateral = smoothstep(low, high, np.arccos(direction[:, 2])) * (direction[:, 0] > 0)
        clear = self._shape.radius + (1 - lateral) * values["clearance"] + lateral * values["side_clearance"]
        clear = np.clip(radius - values["rim_depth"], self._shape.radius + values["least_clearance"], clear)
        deep = np.minimum(clear, self._shape.radius + values["deep_clearance"])
        height = radius - clear
        low, high = values["corner"]
        corner = smoothstep(low, high, height)
        # A gap between the corner's floor and the eyeball would be a black line.
        floor = np.where(direction[:, 0] > 0, values["corner_clearance"][1], values["corner_clearance"][0])
        clear += corner * (self._shape.radius + floor - clear)
        rim_angle = angle - values["rim_width"] / radius
        rim_radius = np.maximum(radius - values["rim_depth"], clear)
        inner_angle = rim_angle + ((1 - corner) * values["undercut"] - corner * values["caruncle"] * height) / radius
        last = np.full_like(angle, np.radians(values["last_angle"]))
        share = values["middle_share"]
        rows = (
            (rim_angle, rim_radius),
            (inner_angle, clear),
            ((1 - share) * np.maximum(inner_angle, angle) + share * last, deep),
            (last, deep),
        )
        arms = [r[:, None] * (np.cos(a)[:, None] * middle + np.sin(a)[:, None] * away) for a, r in rows]
        return np.stack(arms), corner

    def respond(self, pose: HalfPose) -> Float:
        """Rows turn about the eyeball with their place on the lid, and keep clear of it on the straight way there."""
        moved = self._arm + pose.skin[self._loop]
        start, end = unit(self._arm), unit(moved)
        rise = np.linalg.norm(moved, axis=1) - np.linalg.norm(self._arm, axis=1)
        result = np.empty_like(self._rows)
        for k, (row, share) in enumerate(zip(self._rows, amounts("lid_pocket")["follow"], strict=True)):
            turned = rotate(row, start, end, share)
            radius = np.linalg.norm(row, axis=1) + share * rise
            result[k] = self._clear(row, unit(turned) * radius[:, None]) if share else row
        return (result - self._rows).reshape(-1, 3)

    def _clear(self, start: Float, end: Float) -> Float:
        """Ends (n, 3) moved outwards until the way from the starts (n, 3) does not cut the eyeball."""
        for _ in range(3):
            for weight in np.linspace(0.1, 1.0, 10):
                place = start + weight * (end - start)
                angle = np.arccos(np.clip(unit(place)[:, 2], -1, 1))
                lack = surface_radius(self._shape, angle) + _SLACK - np.linalg.norm(place, axis=1)
                end = end + np.maximum(lack, 0)[:, None] / weight * unit(place)
        return end


class NostrilPocket:
    """A passage up and back from the nostril, closed where it is dark."""

    def __init__(self, half: HalfHead) -> None:
        level = half.level
        grid, cap = level.grids["nostril_pocket"][:, :-1], level.caps["nostril_pocket"][:-1]
        loop = half.skin[grid[0]]
        middle = loop.mean(axis=0)
        values = amounts("nostril_pocket")

        def ring(at: dict[str, float], opening: Float) -> Float:
            shift = np.array([-at["medial"], at["up"], -at["back"]])
            placed: Float = middle + (opening - middle) * at.get("size", 0.0) + shift
            return placed

        step = grid.shape[1] // len(cap)
        rings = [ring(row, loop) for row in values["rows"]]
        rings += [ring(values["cap"], loop[::step]), ring(values["pole"], loop[:1])]
        self.rest = np.concatenate(rings)
        self.vertices = np.concatenate([grid[1:].ravel(), cap, [level.poles["nostril_pocket"]]])
        # Each vertex follows its place on the opening less and the opening as a whole more, the deeper it lies.
        sizes = [row["size"] for row in values["rows"]] + [values["cap"]["size"], 0.0]
        own = np.concatenate([np.full(len(r), size) for r, size in zip(rings, sizes, strict=True)])
        column = np.concatenate(
            [np.tile(np.arange(len(loop)), len(values["rows"])), np.arange(0, len(loop), step), [0]]
        )
        weights = np.repeat((1 - own)[:, None] / len(loop), len(loop), axis=1)
        weights[np.arange(len(own)), column] += own
        self.skin_share: scipy.sparse.csr_array = follow(level.count, np.tile(grid[0], (len(own), 1)), weights)
        self.eye_share = np.zeros(len(own))

    def respond(self, pose: HalfPose) -> Float:
        """It follows the nostril as it does from face to face."""
        moved: Float = self.skin_share @ pose.skin
        return moved


class MouthPocket:
    """The lips' insides and the cavity around teeth and tongue: its roof is the skull's, its floor the jaw's."""

    def __init__(self, half: HalfHead, frame: MouthFrame) -> None:
        level = half.level
        grid, cap = level.grids["mouth_pocket"], level.caps["mouth_pocket"]
        self._loop = grid[0]
        loop = half.skin[self._loop]
        columns = len(loop)
        corner = columns // 2
        values = amounts("mouth_pocket")
        self._columns = columns
        upper = np.where(np.arange(columns) < corner, 1.0, -1.0)
        upper[corner] = 0.0
        middle = 1 - (loop[:, 0] / loop[:, 0].max()) ** 4
        step = (columns - 1) // (len(cap) - 1)

        # Right behind the seam the lips touch, or teeth would show through the slit.
        touching = loop.copy()
        touching[:, 1] = (loop[:, 1] + loop[::-1, 1]) / 2

        def ring(at: dict[str, float]) -> Float:
            depth = at["back"] * (at["corner"] + (1 - at["corner"]) * middle)
            placed: Float = (touching if at["spread"] <= 0 else loop) * [at["size"], 1, 1] + np.stack(
                [0 * depth, upper * at["spread"] * middle, -depth], axis=1
            )
            return placed

        rings = [ring(row) for row in values["rows"]]
        centre = np.array([0.0, rings[-1][:, 1].mean(), 0.0])
        last = rings[-1][::step]
        deep = loop[:, 2].max()
        closing = centre + (last - centre) * [values["cap"]["size"], values["cap"]["size"], 0.0]
        closing[:, 2] = 0.5 * last[:, 2] + 0.5 * (deep - values["cap"]["back"])
        end = np.array([0.0, centre[1], deep - values["pole"]["back"]])
        self.rest = np.concatenate([*rings, closing, end[None]])
        self.vertices = np.concatenate([grid[1:].ravel(), cap, [level.poles["mouth_pocket"]]])
        column = np.concatenate([np.tile(np.arange(columns), len(rings)), np.arange(0, columns, step), [corner]])
        self._lips = np.concatenate(
            [np.repeat([row["follow"] for row in values["rows"]], columns), np.zeros(len(cap) + 1)]
        )
        turn = values["turn"]
        self._jaw = smoothstep(corner - turn, corner + turn, column.astype(np.float64))
        self._column = column
        anchors, weights = frame.shares(self.rest[:, 0])
        everywhere = np.concatenate([self._loop[column][:, None], anchors], axis=1)
        shares = np.concatenate([self._lips[:, None], (1 - self._lips)[:, None] * weights], axis=1)
        self.skin_share: scipy.sparse.csr_array = follow(level.count, everywhere, shares)
        self.eye_share = np.zeros(len(column))

    def respond(self, pose: HalfPose) -> Float:
        """Near the lips it moves with them, deep inside with skull and jaw."""
        lips = pose.skin[self._loop][self._column]
        bones = self._jaw[:, None] * pose.jaw(self.rest)
        moved: Float = self._lips[:, None] * lips + (1 - self._lips)[:, None] * bones
        return moved
