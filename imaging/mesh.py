"""A mesh as a camera sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.camera import to_camera
from facegen.imaging.normals import normals_and_depths, without_depths
from facegen.morphable.topology import Triangles


@dataclass(frozen=True)
class CameraMesh:
    """Vertices in the camera frame and, once asked for, their normals."""

    vertices: NDArray[np.float32]
    """(V, 3) camera frame, mm."""
    triangles: Triangles
    """(T, 3), contiguous."""

    @classmethod
    def from_model(
        cls, vertices: NDArray[np.float32], triangles: Triangles, extrinsics: NDArray[np.float64]
    ) -> CameraMesh:
        """Carry vertices (V, 3) from the model frame to the camera frame by (4, 4) extrinsics."""
        # Unsigned, because compiled code tests every signed index for a count from the end (measured: 5 % of a frame).
        return cls(to_camera(vertices, extrinsics), np.ascontiguousarray(triangles).view(np.uint32))

    @cached_property
    def normals(self) -> NDArray[np.float32]:
        """(V, 3) unit vertex normals, camera frame."""
        return without_depths(self.normals_and_depths)

    @cached_property
    def normals_and_depths(self) -> NDArray[np.float32]:
        """(V, 4) unit vertex normals and z, camera frame: side by side, as pixels take them."""
        return normals_and_depths(self.vertices, self.triangles)
