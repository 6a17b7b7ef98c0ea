"""Things that cover a face in an image: their numbers, and what labels make of them.

Labels of the face's shape go on behind what covers it; labels of what is seen stop there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.annotation import LAYERS

OCCLUDERS = ("none", "glasses", "sunglasses", "face_mask", "hand", "hat", "hair")
"""Names by number, of what covers a pixel."""

NONE, GLASSES, SUNGLASSES, FACE_MASK, HAND, HAT, HAIR = range(len(OCCLUDERS))

_LAYER = np.array([LAYERS.index(name) if name in LAYERS else 0 for name in OCCLUDERS], np.uint8)
"""Layer that each occluder counts as."""


def seen_triangles(triangle_id: NDArray[np.int32], occluder: NDArray[np.uint8] | None) -> NDArray[np.int32]:
    """``triangle_id`` (H, W) where nothing covers the face, -1 elsewhere; ``occluder`` (H, W) or ``None`` for none."""
    return triangle_id if occluder is None else np.where(occluder == NONE, triangle_id, np.int32(-1))


def cover(channels: dict[str, NDArray[Any]], occluder: NDArray[np.uint8]) -> None:
    """Take from channels (H, W) of what is seen what ``occluder`` (H, W) covers; others stay.

    Raises:
        ValueError: there is no occluder of some number, as in damaged data.
    """
    if int(occluder.max(initial=0)) >= len(OCCLUDERS):
        raise ValueError(f"occluder is up to {occluder.max()}, expected at most {len(OCCLUDERS) - 1}")
    covered = occluder != NONE
    for name in ("mask", "segmentation"):
        if name in channels:
            channels[name][covered] = 0
    if "layers" in channels:
        channels["layers"][covered] = _LAYER[occluder[covered]]
