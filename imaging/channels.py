"""Per-pixel channels that follow exactly from a mesh, a camera and a visibility buffer: rebuilt, not stored."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.annotation import layer_at
from facegen.imaging.label import Label
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Topology, Triangles

Image = NDArray[np.generic]


CHANNELS: dict[str, Label] = {
    "mask": Label((), "bool", "-", "image", "whether the face covers the pixel's centre"),
    "depth": Label((), "float32", "mm", "camera", "z along the optical axis; 0 on the background"),
    "normal": Label((3,), "float32", "-", "camera", "unit normal, interpolated between vertices; 0 on the background"),
    "segmentation": Label((), "uint8", "-", "image", "region number, names in the model group; 0 is background"),
    "layers": Label((), "uint8", "-", "image", "part of the face by number, names in the model group; 0 is background"),
    "uv": Label((2,), "float32", "-", "texture", "texture coordinate in [0, 1], v upwards; 0 on the background"),
    "pncc": Label((3,), "float32", "-", "model", "position in the mean face scaled to [0, 1]; 0 on the background"),
}


def rebuild(
    names: Iterable[str],
    topology: Topology,
    mesh: CameraMesh,
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    layers: NDArray[np.uint8] | None = None,
) -> dict[str, Image]:
    """The named channels of one face, as :data:`CHANNELS` describes them.

    Args:
        names: of :data:`CHANNELS`.
        topology: of the face's model.
        mesh: the face in the camera frame.
        triangle_id: (H, W).
        barycentric: (H, W, 2) weights of corners 1 and 2 times 65535.
        layers: (A, A) of the model's annotation; needed for the channel of that name.

    Raises:
        KeyError: for a name that is no channel.
        ValueError: a triangle number is not one of the mesh, as in damaged data; compiled code would not notice. Or
            there are no layers for the channel of that name.
    """
    low, high = int(triangle_id.min(initial=-1)), int(triangle_id.max(initial=-1))
    if low < -1 or high >= len(mesh.triangles):
        raise ValueError(f"triangle_id spans {low} to {high}, expected -1 to {len(mesh.triangles) - 1}")
    wanted = list(names)
    unknown = [name for name in wanted if name not in CHANNELS]
    if unknown:
        raise KeyError(unknown[0])
    height, width = triangle_id.shape
    result: dict[str, Any] = {}
    for name in {*wanted, "uv"} if "layers" in wanted else wanted:
        result[name] = np.empty((height, width, *CHANNELS[name].shape), CHANNELS[name].dtype)
    normals = mesh.normals if "normal" in result else _UNUSED_NORMALS
    # Channels that are not wanted get no pixels to be written to.
    _gather(
        triangle_id, barycentric, mesh.triangles, topology.triangle_region,
        topology.uv_triangles.view(np.uint32), topology.uv,
        topology.reference_colours, mesh.vertices, normals,
        result.get("mask", _NO_MASK), result.get("segmentation", _NO_REGION), result.get("depth", _NO_SCALAR),
        result.get("normal", _NO_VECTOR), result.get("uv", _NO_VECTOR), result.get("pncc", _NO_VECTOR),
    )  # fmt: skip
    if "layers" in wanted:
        if layers is None:
            raise ValueError("the channel 'layers' follows from the model's annotation, which is missing")
        result["layers"] = layer_at(triangle_id, result["uv"], layers)
    return {name: result[name] for name in wanted}


_UNUSED_NORMALS = np.zeros((0, 3), np.float32)
_NO_MASK = np.zeros((0, 0), np.bool_)
_NO_REGION = np.zeros((0, 0), np.uint8)
_NO_SCALAR = np.zeros((0, 0), np.float32)
_NO_VECTOR = np.zeros((0, 0, 0), np.float32)

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


@_inline
def _at(array: NDArray[np.float32], n: int, i: int, j: int, k: int, w1: np.float32, w2: np.float32) -> np.float32:
    """Column n of rows i, j, k of a per-vertex attribute, interpolated."""
    first = array[i, n]
    value: np.float32 = first + w1 * (array[j, n] - first) + w2 * (array[k, n] - first)
    return value


@_compile
def _gather(
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    triangles: Triangles,
    triangle_region: NDArray[np.uint8],
    uv_triangles: Triangles,
    uv: NDArray[np.float32],
    reference: NDArray[np.float32],
    camera: NDArray[np.float32],
    normals: NDArray[np.float32],
    out_mask: NDArray[np.bool_],
    out_region: NDArray[np.uint8],
    out_depth: NDArray[np.float32],
    out_normal: NDArray[np.float32],
    out_uv: NDArray[np.float32],
    out_pncc: NDArray[np.float32],
) -> None:
    """All wanted channels in one pass over the pixels; an output without rows is not wanted."""
    scale, zero, one = np.float32(1.0 / UNIT), np.float32(0.0), np.float32(1.0)
    want_mask, want_region, want_depth = len(out_mask) > 0, len(out_region) > 0, len(out_depth) > 0
    want_normal, want_uv, want_pncc = len(out_normal) > 0, len(out_uv) > 0, len(out_pncc) > 0
    # Whole arrays at once, which the processor does many times faster than pixel by pixel.
    out_region[:] = 0
    out_depth[:] = zero
    out_normal[:] = zero
    out_uv[:] = zero
    out_pncc[:] = zero
    for r in range(triangle_id.shape[0]):
        for c in range(triangle_id.shape[1]):
            t = triangle_id[r, c]
            if want_mask:
                out_mask[r, c] = t >= 0
            if t < 0:
                continue
            w1, w2 = np.float32(barycentric[r, c, 0]) * scale, np.float32(barycentric[r, c, 1]) * scale
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            if want_region:
                out_region[r, c] = triangle_region[t]
            if want_depth:
                out_depth[r, c] = _at(camera, 2, i, j, k, w1, w2)
            if want_normal:
                x, y = _at(normals, 0, i, j, k, w1, w2), _at(normals, 1, i, j, k, w1, w2)
                z = _at(normals, 2, i, j, k, w1, w2)
                squared = x * x + y * y + z * z
                length = one / np.float32(math.sqrt(squared)) if squared > zero else zero
                out_normal[r, c, 0], out_normal[r, c, 1], out_normal[r, c, 2] = x * length, y * length, z * length
            if want_uv:
                a, b, d = uv_triangles[t, 0], uv_triangles[t, 1], uv_triangles[t, 2]
                out_uv[r, c, 0], out_uv[r, c, 1] = _at(uv, 0, a, b, d, w1, w2), _at(uv, 1, a, b, d, w1, w2)
            if want_pncc:
                out_pncc[r, c, 0] = _at(reference, 0, i, j, k, w1, w2)
                out_pncc[r, c, 1] = _at(reference, 1, i, j, k, w1, w2)
                out_pncc[r, c, 2] = _at(reference, 2, i, j, k, w1, w2)
