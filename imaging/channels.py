"""Per-pixel channels that follow exactly from a mesh, a camera and a visibility buffer: rebuilt, not stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.camera import to_camera
from facegen.imaging.normals import vertex_normals
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Topology

Image = NDArray[np.generic]


@dataclass(frozen=True)
class Channel:
    """What a per-pixel channel holds."""

    shape: tuple[int, ...]
    """After (H, W)."""
    dtype: str
    unit: str
    frame: str
    description: str


CHANNELS: dict[str, Channel] = {
    "mask": Channel((), "bool", "-", "image", "whether the face covers the pixel's centre"),
    "depth": Channel((), "float32", "mm", "camera", "z along the optical axis; 0 on the background"),
    "normal": Channel(
        (3,), "float32", "-", "camera", "unit normal, interpolated between vertices; 0 on the background"
    ),
    "segmentation": Channel((), "uint8", "-", "image", "region number, names in the model group; 0 is background"),
    "uv": Channel((2,), "float32", "-", "texture", "texture coordinate in [0, 1], v upwards; 0 on the background"),
    "pncc": Channel((3,), "float32", "-", "model", "position in the mean face scaled to [0, 1]; 0 on the background"),
}


def rebuild(
    names: Iterable[str],
    topology: Topology,
    vertices: NDArray[np.float32],
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    intrinsics: NDArray[np.float64],
    extrinsics: NDArray[np.float64],
    projection: int,
) -> dict[str, Image]:
    """The named channels of one face, as :data:`CHANNELS` describes them.

    Args:
        names: of :data:`CHANNELS`.
        topology: of the face's model.
        vertices: (V, 3) model frame, mm.
        triangle_id: (H, W).
        barycentric: (H, W, 2) weights of corners 1 and 2 times 65535.
        intrinsics: (3, 3); unused by the channels of today, all of which follow from the weights.
        extrinsics: (4, 4) model frame to camera frame.
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.

    Raises:
        KeyError: for a name that is no channel.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in CHANNELS]
    if unknown:
        raise KeyError(unknown[0])
    result: dict[str, Image] = {}
    triangles = topology.triangles
    camera = to_camera(vertices, extrinsics) if {"depth", "normal"} & set(wanted) else vertices
    for name in wanted:
        if name == "mask":
            result[name] = triangle_id >= 0
        elif name == "segmentation":
            result[name] = _per_triangle(triangle_id, topology.triangle_region)
        elif name == "depth":
            depth = interpolate(triangle_id, barycentric, triangles, np.ascontiguousarray(camera[:, 2:3]))
            result[name] = depth[:, :, 0]
        elif name == "normal":
            normals = vertex_normals(camera, triangles)
            result[name] = interpolate(triangle_id, barycentric, triangles, normals)
            _normalise(result[name])
        elif name == "uv":
            result[name] = interpolate(triangle_id, barycentric, topology.uv_triangles, topology.uv)
        else:
            result[name] = interpolate(triangle_id, barycentric, triangles, topology.reference_colours)
    return result


@numba.njit(cache=True, nogil=True, boundscheck=False)
def interpolate(
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    corners: NDArray[np.int32],
    attribute: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(H, W, C) values of a per-vertex attribute (V, C) at the pixel centres; 0 on the background.

    Args:
        triangle_id: (H, W), -1 for the background.
        barycentric: (H, W, 2) weights of corners 1 and 2 times 65535.
        corners: (T, 3) rows of ``attribute``.
    """
    height, width = triangle_id.shape
    channels = attribute.shape[1]
    result = np.zeros((height, width, channels), np.float32)
    scale = np.float32(1.0 / UNIT)
    for r in range(height):
        for c in range(width):
            t = triangle_id[r, c]
            if t >= 0:
                w1 = np.float32(barycentric[r, c, 0]) * scale
                w2 = np.float32(barycentric[r, c, 1]) * scale
                i, j, k = corners[t, 0], corners[t, 1], corners[t, 2]
                for n in range(channels):
                    v = attribute[i, n]
                    result[r, c, n] = v + w1 * (attribute[j, n] - v) + w2 * (attribute[k, n] - v)
    return result


@numba.njit(cache=True, nogil=True, boundscheck=False)
def _per_triangle(triangle_id: NDArray[np.int32], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = triangle_id.shape
    result = np.zeros((height, width), np.uint8)
    for r in range(height):
        for c in range(width):
            t = triangle_id[r, c]
            if t >= 0:
                result[r, c] = values[t]
    return result


@numba.njit(cache=True, nogil=True, boundscheck=False)
def _normalise(vectors: NDArray[np.float32]) -> None:
    for r in range(vectors.shape[0]):
        for c in range(vectors.shape[1]):
            x, y, z = vectors[r, c, 0], vectors[r, c, 1], vectors[r, c, 2]
            squared = x * x + y * y + z * z
            if squared > np.float32(0.0):
                scale = np.float32(1.0) / np.float32(np.sqrt(squared))
                vectors[r, c, 0] = x * scale
                vectors[r, c, 1] = y * scale
                vectors[r, c, 2] = z * scale
