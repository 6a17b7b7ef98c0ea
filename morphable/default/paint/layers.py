"""What painting fills: the mean's density and one mask per component."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.paint.canvas import Canvas
from facegen.morphable.default.tables import read_yaml

Float = NDArray[np.float64]
Rgb = list[float]


def read_appearance() -> dict[str, Any]:
    """Colours and amounts as shipped in ``appearance.yaml``. Not to be changed: it is shared."""
    return read_yaml("appearance.yaml")


class Layers:
    """The texture being painted. Amounts are (n,) over the canvas's skin, or (m,) over texels given by a mask."""

    def __init__(self, canvas: Canvas, names: tuple[str, ...]) -> None:
        self.canvas = canvas
        self.mean: Float = np.zeros((canvas.size, canvas.size, 3))
        self.masks: dict[str, Float] = {name: np.zeros((canvas.size, canvas.size)) for name in names}

    def tint(self, amount: Float, density: Rgb, where: NDArray[np.bool_] | None = None) -> None:
        """Add pigment."""
        self.mean[self._chosen(where)] += amount[:, None] * np.array(density)

    def cover(self, amount: Float, density: Rgb | Float, where: NDArray[np.bool_] | None = None) -> None:
        """Replace what is there, and the components' hold on it, by a share: hair over skin.

        Args:
            amount: share, 0 … 1.
            density: (3,), or one per texel.
            where: (H, W) texels; the skin's by default.
        """
        chosen = self._chosen(where)
        share = amount[:, None]
        self.mean[chosen] = self.mean[chosen] * (1 - share) + share * np.asarray(density)
        for mask in self.masks.values():
            mask[chosen] *= 1 - amount

    def weigh(self, name: str, amount: Float, where: NDArray[np.bool_] | None = None) -> None:
        """Add to a component's mask."""
        self.masks[name][self._chosen(where)] += amount

    def _chosen(self, where: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        return self.canvas.skin if where is None else where
