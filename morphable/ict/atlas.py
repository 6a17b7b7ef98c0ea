"""One texture for all parts: the source's UV tiles packed into the unit square.

ICT-FaceKit gives the parts one tile each (the integer part of u) and the eyeballs a texture of their own. They are
laid on a grid of quarters, the same whatever was cut, so a texture fits every part::

    +------+------+------+------+
    | gums | teeth| eye L| eye R|
    +------+------+------+------+
    |                    | back |
    |        face        +------+
    |      3/4 × 3/4     |      |
    |                    +------+
    |                    |      |
    +--------------------+------+

``back`` is the tile of head and neck, which mouth and eye sockets share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.ict.parts import REGION_NAMES, Cut

_SQUARES: dict[str, tuple[float, float, float]] = {
    "face": (0.0, 0.0, 0.75),
    "lips": (0.0, 0.0, 0.75),
    "head_and_neck": (0.75, 0.5, 0.25),
    "mouth_socket": (0.75, 0.5, 0.25),
    "eye_sockets": (0.75, 0.5, 0.25),
    "gums_and_tongue": (0.0, 0.75, 0.25),
    "teeth": (0.25, 0.75, 0.25),
    "eyeball_left": (0.5, 0.75, 0.25),
    "eyeball_right": (0.75, 0.75, 0.25),
}
"""Lower left corner (u, v) and side of each region's tile."""


def pack_atlas(uvs: NDArray[np.float32], part: Cut) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """UV coordinates (U, 2) in [0, 1] and the triangles' indices (T, 3) into them.

    Args:
        uvs: the source's, tiles in the integer part of u.
        part: what was cut.
    """
    square = np.array([_SQUARES.get(name, (0.0, 0.0, 0.0)) for name in REGION_NAMES])[part.triangle_region]
    # A source coordinate can serve several squares, so a coordinate of the atlas is a pair (coordinate, square).
    _, number = np.unique(square, axis=0, return_inverse=True)
    pairs = np.stack([part.triangle_uvs, np.broadcast_to(number.reshape(-1, 1), part.triangle_uvs.shape)], axis=2)
    code = pairs[:, :, 0].astype(np.int64) * 16 + pairs[:, :, 1]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    corner_square = np.repeat(square, 3, axis=0)[first]
    coordinate = uvs[part.triangle_uvs.reshape(-1)[first]].astype(np.float64)
    inside = np.stack([coordinate[:, 0] % 1.0, coordinate[:, 1]], axis=1)
    packed = corner_square[:, :2] + corner_square[:, 2:] * inside
    return packed.astype(np.float32), inverse.reshape(-1, 3).astype(np.int32)
