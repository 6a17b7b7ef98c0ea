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
from facegen.imaging.occluders import cover
from facegen.imaging.rows import mixed2, mixed4
from facegen.imaging.visibility import UNIT
from facegen.morphable.topology import Topology

Image = NDArray[np.generic]
Floats = NDArray[np.float32]


CHANNELS: dict[str, Label] = {
    "mask": Label((), "bool", "-", "image", "whether the face is seen at the pixel's centre"),
    "amodal_mask": Label((), "bool", "-", "image", "whether the face is at the pixel's centre, be it behind a thing"),
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
    occluder: NDArray[np.uint8] | None = None,
) -> dict[str, Image]:
    """The named channels of one face, as :data:`CHANNELS` describes them.

    Args:
        names: of :data:`CHANNELS`.
        topology: of the face's model.
        mesh: the face in the camera frame.
        triangle_id: (H, W).
        barycentric: (H, W, 2) weights of corners 1 and 2 times 65535.
        layers: (A, A) of the model's annotation; needed for the channel of that name.
        occluder: (H, W) what covers the face, see :mod:`facegen.imaging.occluders`; ``None`` for nothing.

    Raises:
        KeyError: for a name that is no channel.
        ValueError: a triangle number is not one of the mesh, as in damaged data; compiled code would not notice. Or
            there are no layers for the channel of that name, or an occluder that is none.
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
    rows = mesh.normals_and_depths.reshape(-1) if "normal" in result else _NO_SCALARS
    codes = topology.padded_reference_colours.reshape(-1) if "pncc" in result else _NO_SCALARS
    # Channels that are not wanted get no pixels to be written to.
    outputs: list[Any] = [result[name].reshape(-1) if name in result else none for name, none in _NONE.items()]
    _gather(
        triangle_id, np.ascontiguousarray(barycentric).reshape(-1), mesh.triangles.reshape(-1).view(np.uint32),
        topology.triangle_region, topology.uv_triangles.reshape(-1).view(np.uint32), topology.uv.reshape(-1), codes,
        mesh.vertices.reshape(-1), rows,
        *outputs,
    )  # fmt: skip
    if "layers" in wanted:
        if layers is None:
            raise ValueError("the channel 'layers' follows from the model's annotation, which is missing")
        result["layers"] = layer_at(triangle_id, result["uv"], layers)
    if "amodal_mask" in wanted:
        result["amodal_mask"] = triangle_id >= 0
    if occluder is not None:
        cover(result, occluder)
    return {name: result[name] for name in wanted}


_NO_SCALARS = np.zeros(0, np.float32)
_NONE: dict[str, Image] = {
    "mask": np.zeros(0, np.bool_),
    "segmentation": np.zeros(0, np.uint8),
    "depth": _NO_SCALARS,
    "normal": _NO_SCALARS,
    "uv": _NO_SCALARS,
    "pncc": _NO_SCALARS,
}

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True)


# Arrays but the triangle numbers are flat, and indices unsigned: row lengths that the compiler does not know, and its
# tests of signed indices for a count from the end, cost time at every pixel.
@_compile
def _gather(
    triangle_id: NDArray[np.int32],
    barycentric: NDArray[np.uint16],
    triangles: NDArray[np.uint32],
    triangle_region: NDArray[np.uint8],
    uv_triangles: NDArray[np.uint32],
    uv: Floats,
    codes: Floats,
    camera: Floats,
    rows: Floats,
    out_mask: NDArray[np.bool_],
    out_region: NDArray[np.uint8],
    out_depth: Floats,
    out_normal: Floats,
    out_uv: Floats,
    out_pncc: Floats,
) -> None:
    """All wanted channels in one pass over the rows of pixels; an output of no length is not wanted.

    Args:
        codes: (4V,) reference colours and a fourth number.
        camera: (3V,).
        rows: (4V,) normals and depths, for the normals.
    """
    scale = np.float32(1.0 / UNIT)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    want_mask, want_region, want_depth = len(out_mask) > 0, len(out_region) > 0, len(out_depth) > 0
    want_normal, want_uv, want_pncc = len(out_normal) > 0, len(out_uv) > 0, len(out_pncc) > 0
    height, width = triangle_id.shape
    lengths = np.empty(width, np.float32)
    for r in range(height):
        row, first = triangle_id[r], r * width
        # A row at a time is cleared, and then written while it is in the nearest cache.
        if want_mask:
            for n in range(width):
                out_mask[np.uint64(first + n)] = row[np.uint64(n)] >= 0
        if want_region:
            for n in range(width):
                out_region[np.uint64(first + n)] = 0
        if want_depth:
            _clear(out_depth, first, width)
        if want_normal:
            _clear(out_normal, 3 * first, 3 * width)
        if want_uv:
            _clear(out_uv, 2 * first, 2 * width)
        if want_pncc:
            _clear(out_pncc, 3 * first, 3 * width)
        left, right = width, 0
        for column in range(width):
            c = np.uint64(column)
            if row[c] < 0:
                continue
            left, right = min(left, column), column + 1
            p, t = np.uint64(first) + c, np.uint64(row[c])
            w1, w2 = np.float32(barycentric[two * p]) * scale, np.float32(barycentric[two * p + one]) * scale
            i, j, k = _corners(triangles, t)
            if want_region:
                out_region[p] = triangle_region[t]
            if want_normal:
                x, y, z, depth = mixed4(rows, i, j, k, w1, w2)
                out_normal[three * p], out_normal[three * p + one], out_normal[three * p + two] = x, y, z
                if want_depth:
                    out_depth[p] = depth
            elif want_depth:
                near = camera[three * i + two]
                to_j, to_k = camera[three * j + two] - near, camera[three * k + two] - near
                out_depth[p] = near + w1 * to_j + w2 * to_k
            if want_uv:
                a, b, d = _corners(uv_triangles, t)
                out_uv[two * p], out_uv[two * p + one] = mixed2(uv, a, b, d, w1, w2)
            if want_pncc:
                x, y, z, _ = mixed4(codes, i, j, k, w1, w2)
                out_pncc[three * p], out_pncc[three * p + one], out_pncc[three * p + two] = x, y, z
        if want_normal:
            _normalise(out_normal, first, left, right, lengths)


@_inline
def _corners(triangles: NDArray[np.uint32], t: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    at = np.uint64(3) * t
    return np.uint64(triangles[at]), np.uint64(triangles[at + np.uint64(1)]), np.uint64(triangles[at + np.uint64(2)])


@_inline
def _clear(values: Floats, first: int, count: int) -> None:
    for i in range(first, first + count):
        values[np.uint64(i)] = np.float32(0.0)


@_inline
def _normalise(normals: Floats, first: int, left: int, right: int, lengths: Floats) -> None:
    """Make vectors of pixels ``first + left`` to ``first + right`` unit vectors, many at a time; zero stays zero.

    Args:
        lengths: scratch, one for each pixel of a row.
    """
    zero, one, two = np.float32(0.0), np.uint64(1), np.uint64(2)
    for c in range(left, right):
        at = np.uint64(3 * (first + c))
        x, y, z = normals[at], normals[at + one], normals[at + two]
        squared = x * x + y * y + z * z
        lengths[np.uint64(c)] = np.float32(1.0) / np.float32(math.sqrt(squared)) if squared > zero else zero
    for c in range(left, right):
        at, length = np.uint64(3 * (first + c)), lengths[np.uint64(c)]
        normals[at] *= length
        normals[at + one] *= length
        normals[at + two] *= length
