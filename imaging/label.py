"""What an array of labels holds, in words that documentation and metadata share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Label:
    """Shape, type and meaning of a label of one face."""

    shape: tuple[str | int, ...]
    """Per-pixel channels: after (H, W). Maps in texture space: after (S, S). Points: whole, D the dense landmarks."""
    dtype: str
    unit: str
    frame: str
    description: str

    def zeros(self, *first: int) -> NDArray[Any]:
        """Zeros of the label's type, of axes ``first`` and then its own, whose lengths must be numbers."""
        return np.zeros((*first, *map(int, self.shape)), self.dtype)
