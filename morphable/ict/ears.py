"""The ears, cut along the mesh's own edges through places around their roots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.ict.layout import POLYGON_RANGES
from facegen.morphable.ict.lips import edge_loop, enclosed_polygons
from facegen.morphable.ict.source import IctSource

_ROOT = (
    (79.8, 33.5, 0.3), (78.7, 32.1, 9.2), (78.4, 26.2, 11.5), (76.0, 19.8, 11.4), (73.7, 12.5, 16.2), (74.1, 7.0, 16.7),
    (72.2, -1.0, 17.8), (70.6, -6.7, 18.7), (70.2, -11.6, 18.3), (69.4, -17.3, 18.3), (67.2, -19.8, 18.1),
    (65.3, -20.3, 14.2), (65.5, -14.9, 8.6), (67.7, -10.6, 3.9), (72.2, -3.5, -5.0), (76.6, 9.7, -9.6),
    (78.6, 19.5, -8.8), (79.5, 28.3, -5.4),
)  # fmt: skip
"""mm, on the left of the neutral head: from above the ear down before helix, tragus and lobe, and up along the crease
behind it, where the surface is most concave. The nearest vertices are meant."""

_TOP = (90.0, 16.0, -14.0)
"""mm: on the helix, inside the root."""

_CENTIMETRES = 0.1


def ear_vertices(source: IctSource) -> NDArray[np.int32]:
    """Vertices of both ears' polygons, their roots included."""
    skin = source.polygons[POLYGON_RANGES["face"][0] : POLYGON_RANGES["head_and_neck"][1]]
    used = np.unique(skin[skin >= 0])
    polygons = np.zeros(len(skin), np.bool_)
    for side in ((1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)):
        places = np.array([*_ROOT, _TOP]) * side * _CENTIMETRES
        offset = np.linalg.norm(source.neutral[used] - places[:, None], axis=2)
        nearest = used[offset.argmin(axis=1)]
        polygons |= enclosed_polygons(skin, edge_loop(source.neutral, skin, nearest[:-1]), int(nearest[-1]))
    corners = skin[polygons]
    return np.unique(corners[corners >= 0])
