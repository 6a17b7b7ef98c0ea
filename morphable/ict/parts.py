"""Cutting a part out of the head: which polygons stay, and what becomes of their vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.ict.layout import NARROW_FACE, POLYGON_RANGES, SCLERA

Part = Literal["full", "head", "face", "narrow-face"]

REGION_NAMES = (
    "background",
    "face",
    "head_and_neck",
    "mouth_socket",
    "eye_sockets",
    "gums_and_tongue",
    "teeth",
    "eyeball_left",
    "eyeball_right",
    "lips",
)
"""The regions of every part, so that a number means the same in all of them."""


@dataclass(frozen=True)
class Cut:
    """A part of a polygon mesh, split into triangles."""

    vertices: NDArray[np.int32]
    """(V,) source vertex of each vertex, ascending."""
    triangles: NDArray[np.int32]
    """(T, 3) indices into the kept vertices."""
    triangle_uvs: NDArray[np.int32]
    """(T, 3) texture coordinates of the source."""
    triangle_region: NDArray[np.uint8]
    """(T,) index into :data:`REGION_NAMES`."""
    triangle_polygon: NDArray[np.int32]
    """(T,) source polygon of each triangle, ascending."""

    def locate(self, source_vertices: NDArray[np.int32]) -> NDArray[np.int32]:
        """Kept vertices of source vertices; those that were cut away are left out."""
        found = np.minimum(np.searchsorted(self.vertices, source_vertices), len(self.vertices) - 1)
        kept: NDArray[np.int32] = found[self.vertices[found] == source_vertices].astype(np.int32)
        return kept


def polygon_regions(part: Part, eyes: bool, teeth: bool) -> NDArray[np.uint8]:
    """Region of each source polygon, 0 for those that ``part`` leaves out; ``full`` has eyes and teeth.

    The iris meshes are left out because the iris is painted on the cornea, which is opaque here, and the thin sheets
    around the eyes (tears, blends, occlusion, lashes) because they only make sense with transparent materials.
    """
    region = np.zeros(max(stop for _, stop in POLYGON_RANGES.values()), np.uint8)

    def keep(span: tuple[int, int], name: str) -> None:
        region[span[0] : span[1]] = REGION_NAMES.index(name)

    keep(NARROW_FACE if part == "narrow-face" else POLYGON_RANGES["face"], "face")
    if part in ("full", "head"):
        keep(POLYGON_RANGES["head_and_neck"], "head_and_neck")
    if eyes or part == "full":
        for side in ("left", "right"):
            keep(POLYGON_RANGES[f"eye_socket_{side}"], "eye_sockets")
            keep(SCLERA[side], f"eyeball_{side}")
    if teeth or part == "full":
        for name in ("mouth_socket", "gums_and_tongue", "teeth"):
            keep(POLYGON_RANGES[name], name)
    return region


def cut(polygons: NDArray[np.int32], polygon_uvs: NDArray[np.int32], region: NDArray[np.uint8]) -> Cut:
    """Keep the polygons of a region other than 0.

    The kept vertices are those that the kept polygons use, in the source's order. Parts are welded: their polygons
    share border vertices, so cutting by polygons keeps borders closed where cutting by vertices would tear them.

    Args:
        polygons: (P, 4) vertex indices; a triangle has -1 in the last column.
        polygon_uvs: (P, 4) alike.
        region: (P,) uint8.
    """
    kept = np.flatnonzero(region).astype(np.int32)
    triangles, owner = _triangulate(polygons[kept])
    triangle_uvs, _ = _triangulate(polygon_uvs[kept])
    vertices, flat = np.unique(triangles, return_inverse=True)
    return Cut(
        vertices=vertices,
        triangles=flat.reshape(-1, 3).astype(np.int32),
        triangle_uvs=triangle_uvs,
        triangle_region=region[kept][owner],
        triangle_polygon=kept[owner],
    )


def _triangulate(polygons: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(T, 3) triangles of (P, 4) polygons in their order, quads as (0, 1, 2), (0, 2, 3); and (T,) their polygons."""
    both = polygons[:, [[0, 1, 2], [0, 2, 3]]]
    exists = np.stack([np.ones(len(polygons), bool), polygons[:, 3] >= 0], axis=1)
    return both[exists], np.nonzero(exists)[0].astype(np.int32)
