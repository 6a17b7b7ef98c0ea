"""Which places of a surface an image shows: stricter than for landmarks, because every place has its pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.landmarks import Landmarks, project_points
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.occluders import seen_triangles
from facegen.morphable.topology import Topology

_EYEBALLS = ("eyeball_left", "eyeball_right")

_FACING = 0.08
"""Least cosine between normal and direction to the viewer: skin turned aside more shows the colours beside it."""


@dataclass(frozen=True)
class Pictured:
    """A face in an image."""

    mesh: CameraMesh
    triangle_id: NDArray[np.int32]
    """(H, W)."""
    barycentric: NDArray[np.uint16]
    """(H, W, 2)."""
    intrinsics: NDArray[np.float64]
    """(3, 3)."""
    projection: int
    """PERSPECTIVE or SCALED_ORTHOGRAPHIC."""
    occluder: NDArray[np.uint8] | None = None
    """(H, W) what covers the face, see :mod:`facegen.imaging.occluders`; ``None`` for nothing."""

    @cached_property
    def seen_triangles(self) -> NDArray[np.int32]:
        """(H, W) :attr:`triangle_id` where nothing covers the face, -1 elsewhere."""
        return seen_triangles(self.triangle_id, self.occluder)

    @classmethod
    def of(cls, topology: Topology, stored: Mapping[str, Any]) -> Pictured:
        """From a face's arrays by name: vertices, visibility buffer and camera, and what covers it, if anything may."""
        mesh = CameraMesh.from_model(stored["vertices"], topology.triangles, stored["extrinsics"])
        return cls(
            mesh, stored["triangle_id"], stored["barycentric"], stored["intrinsics"], int(stored["projection"]),
            stored.get("occluder"),
        )  # fmt: skip


def own_eyeball(topology: Topology, triangle: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) the region that must be seen where triangles (n,) are visible: an eyeball's own, -1 for all others.

    A closed lid lies nearer to the eyeball than depths can tell apart.
    """
    balls = [number for number, name in enumerate(topology.region_names) if name in _EYEBALLS]
    region = topology.triangle_region[triangle].astype(np.int64)
    return np.where(np.isin(region, balls), region, -1)


def seen_places(
    topology: Topology,
    picture: Pictured,
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    triangle: NDArray[np.int32],
) -> Landmarks:
    """Where places of a face's surface are in its image, and whether they are seen there.

    A place is seen when it faces the camera and the very pixel it projects to shows a surface at its depth, as for
    landmarks; one of an eyeball only where the eyeball itself is seen.

    Args:
        topology: of the face's model.
        picture: the image.
        points: (n, 3) camera frame, mm; ``normals`` (n, 3) likewise, of any length.
        triangle: (n,) that they lie on.
    """
    found = project_points(
        points, picture.mesh, picture.seen_triangles, picture.barycentric, picture.intrinsics, picture.projection,
        only=own_eyeball(topology, triangle), regions=topology.triangle_region, reach=0,
    )  # fmt: skip
    ray = points if picture.projection == PERSPECTIVE else np.array([0, 0, 1], np.float32)
    towards = -(normals * ray).sum(axis=1)
    facing = towards > _FACING * np.linalg.norm(normals, axis=1) * np.linalg.norm(ray, axis=-1)
    return Landmarks(found.points_2d, found.points_3d, found.visible & facing)
