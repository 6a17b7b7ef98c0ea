"""Correspondence between two images of one topology: where each pixel's place on the face is in the other image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.seen import Pictured, seen_places
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Topology


@dataclass(frozen=True)
class Flow:
    """Optical flow from one image to another."""

    displacement: NDArray[np.float32]
    """(H, W, 2) pixels: how far right and down a pixel's place on the face is in the other image; 0 on the
    background."""
    visible: NDArray[np.bool_]
    """(H, W) whether the other image shows the place; false on the background."""


def flow(topology: Topology, source: Pictured, target: Pictured) -> Flow:
    """Where the places that ``source`` shows are in ``target``, and whether they are seen there.

    Any two faces of the topology correspond, of one person or not.
    """
    rows, columns = np.nonzero(source.seen_triangles >= 0)
    triangle = source.triangle_id[rows, columns]
    weights = np.empty((len(rows), 3), np.float32)
    weights[:, 1:] = source.barycentric[rows, columns] / np.float32(UNIT)
    weights[:, 0] = 1 - weights[:, 1] - weights[:, 2]
    corner = target.mesh.triangles[triangle]
    points, normals = (
        np.einsum("nk,nki->ni", weights, values[corner]) for values in (target.mesh.vertices, target.mesh.normals)
    )
    found = seen_places(topology, target, points, normals, triangle)
    displacement = np.zeros((*source.triangle_id.shape, 2), np.float32)
    visible = np.zeros(source.triangle_id.shape, np.bool_)
    displacement[rows, columns] = found.points_2d - np.stack([columns + 0.5, rows + 0.5], axis=1).astype(np.float32)
    visible[rows, columns] = found.visible
    return Flow(displacement, visible)
