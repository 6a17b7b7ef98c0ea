"""Smooth displacement fields of the rest position that expressions are made of.

Fields are functions on the whole face, both halves, so that what they do to the midline needs no special care; they are
evaluated at the control points. Only across the slit of the mouth may a field be discontinuous.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.network import ControlNetwork

Float = NDArray[np.float64]

MIRROR = np.array([-1.0, 1.0, 1.0])


def smoothstep(low: float, high: float, values: Float) -> Float:
    """0 below ``low``, 1 above ``high``, cubic between."""
    t = ((np.asarray(values, np.float64) - low) / (high - low)).clip(0, 1)
    result: Float = t * t * (3 - 2 * t)
    return result


class FaceFields:
    """The 2n control points of both halves (left ones first) and the fields on them."""

    def __init__(self, network: ControlNetwork) -> None:
        self.network = network
        self.points = network.mirrored(network.points)
        """(2n, 3) mm, as the network has them: the amounts stay valid when the mean face is calibrated anew."""

    def on(self, *names: str) -> NDArray[np.bool_]:
        """(2n,) whether a point belongs to one of some curves, on either side."""
        return np.tile(self.network.on(*names), 2)

    @cached_property
    def face(self) -> Float:
        """(2n,) 1 on the face, fading to 0 before the ears; 0 on the lids, which move by themselves."""
        share = smoothstep(10.0, 45.0, self.points[:, 2])
        share[self.on(*LIDS)] = 0
        return share

    def bump(self, entry: dict[str, Any]) -> Float:
        """(2n, 3) a Gaussian field of ``expression.yaml``."""
        offset = self.points[:, :2] - entry["at"]
        reach = entry["reach"]
        inward, outward, up, down = reach if len(reach) == 4 else (reach[0], reach[0], reach[1], reach[1])
        across = np.where(offset[:, 0] * (1 if entry["at"][0] >= 0 else -1) > 0, outward, inward)
        height = np.where(offset[:, 1] > 0, up, down)
        share = np.exp(-0.5 * ((offset[:, 0] / across) ** 2 + (offset[:, 1] / height) ** 2)) * self.face
        by = np.tile(np.asarray(entry["by"], np.float64), (len(share), 1))
        by[:, 0] += entry.get("gather", 0.0) * self.points[:, 0]
        result: Float = share[:, None] * by
        return result

    @cached_property
    def _corner(self) -> Float:
        corner: Float = self.network.points[self.network.names["cheilion"]]
        return corner

    @cached_property
    def parting(self) -> Float:
        """(2n,) 1 on the middle of the upper lip and above, -1 on the lower lip and below, 0 at the corners.

        The mouth is a slit of half width a in the plane ζ = (x + iy) / a. Im √(ζ² - 1) is ±√(1 - x²) on its two
        sides, grows with the height far away, and is smooth everywhere else: the displacement of an opening crack
        (Westergaard 1939). Here it saturates at ±1.
        """
        x, y = self.points[:, 0] / self._corner[0], self.points[:, 1].copy()
        rows = [self.network.rows(f"{side}_mouth_seam") for side in ("upper", "lower")]
        upper, lower = (self.network.points[r] for r in rows)
        seam = [np.interp(np.abs(self.points[:, 0]), line[:, 0], line[:, 1]) for line in (upper, lower)]
        y = (y - (seam[0] + seam[1]) / 2) / self._corner[0]
        sign = np.where(y >= 0, 1.0, -1.0)
        for side, value in (("upper", 1.0), ("lower", -1.0)):
            of_lip = self.on(f"{side}_mouth_seam")
            y[of_lip], sign[of_lip] = 0.0, value
        root = np.sqrt((x + 1j * np.abs(y)) ** 2 - 1 + 0j)
        height = np.abs(root.imag)
        result: Float = sign * height / (1 + height**6) ** (1 / 6)
        return result

    def lip(self, entry: dict[str, Any]) -> Float:
        """(2n, 3) a field along one lip of ``expression.yaml``."""
        side = entry["of"]
        rows = {
            "seam": self.network.rows(f"{side}_mouth_seam"),
            "bulge": self.network.rows(f"{side}_lip_bulge"),
            "border": self.network.rows(f"{side}_vermilion_border"),
        }
        value = np.tile(np.asarray(entry["border"], np.float64), (self.network.count, 1))
        points = self.network.points
        border = points[rows["border"]]
        edge = np.interp(points[:, 0], border[:, 0], border[:, 1])
        beyond = np.abs(points[:, 1] - edge)
        beyond[np.concatenate(list(rows.values()))] = 0
        value *= np.exp(-0.5 * (beyond / entry["reach"]) ** 2)[:, None]
        for name, chosen in rows.items():
            value[chosen] = entry[name]
        both = np.concatenate([value, value])
        both[:, 0] *= self.points[:, 0]
        parting = (self.parting if side == "upper" else -self.parting).clip(0, 1)
        result: Float = both * (parting ** (2 * entry.get("fullness", 1.0)) * self.face)[:, None]
        return result

    def mirrored(self, field: Float) -> Float:
        """A field (2n, 3) of the other side."""
        n = self.network.count
        result: Float = np.concatenate([field[n:], field[:n]]) * MIRROR
        return result


LIDS = ("upper_lid_margin", "lower_lid_margin", "upper_tarsal_plate", "lower_tarsal_plate")
