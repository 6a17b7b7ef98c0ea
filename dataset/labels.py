"""Checking one face of a dataset: whether its labels agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from facegen.batch import PERSPECTIVE
from facegen.morphable.topology import Topology

_PIXELS = 0.01
_MILLIMETRES = 0.01


def label_problems(face: int, arrays: Mapping[str, Any], *, failed: bool, topology: Topology | None) -> Iterator[str]:
    """What is wrong with a face, a line each.

    A valid face has no NaN, finite vertices, an image of more than one colour, triangle numbers that exist, and
    landmarks that are the projections of their vertices. A failed one holds nothing to check.

    Args:
        face: its number.
        arrays: of this face, by short name.
        failed: whether its record says that it failed.
        topology: of the mesh; without it triangle numbers and landmarks go unchecked.
    """
    if int(arrays["face"]) != face:
        yield f"its number is stored as {int(arrays['face'])}"
    if bool(arrays["valid"]) == failed:
        yield "valid or failed? array and record disagree"
    if not arrays["valid"]:
        return
    for name, value in arrays.items():
        # A landmark at the camera's centre has no pixel, see below; vertices must be more than numbers.
        if name not in ("landmarks_2d", "vertices") and value.dtype.kind == "f" and np.isnan(value).any():
            yield f"{name} holds NaN"
    image = arrays["image"].reshape(-1, 3)
    if (image == image[0]).all():
        yield "the image is of one colour"
    if topology is not None:
        lowest, highest = int(arrays["triangle_id"].min()), int(arrays["triangle_id"].max())
        if lowest < -1 or highest >= len(topology.triangles):
            yield f"triangle_id spans {lowest} to {highest}, expected -1 to {len(topology.triangles) - 1}"
    if not np.isfinite(arrays["vertices"]).all():
        yield "vertices are not finite"
    elif topology is not None:
        yield from _landmark_problems(arrays, topology)


def _landmark_problems(arrays: Mapping[str, Any], topology: Topology) -> Iterator[str]:
    """Landmarks against K (E v), in plain NumPy: on purpose not by the code that made them."""
    vertices = arrays["vertices"][topology.landmarks].astype(np.float64)
    intrinsics, extrinsics = arrays["intrinsics"], arrays["extrinsics"]
    if np.isnan(intrinsics).any() or np.isnan(extrinsics).any():
        return
    camera = vertices @ extrinsics[:3, :3].T + extrinsics[:3, 3]
    off = np.abs(camera - arrays["landmarks_3d"]).max(initial=0.0)
    # NaN has been told.
    if off > _MILLIMETRES:
        yield f"landmarks_3d are up to {off:.3g} mm from their vertices"
    if arrays["projection"] == PERSPECTIVE:
        # A point at or behind the camera has no pixel.
        seen = camera[:, 2] > 0
        camera = camera / np.where(seen, camera[:, 2], 1.0)[:, None]
    else:
        seen = np.ones(len(camera), np.bool_)
    pixels = camera[:, :2] * (intrinsics[0, 0], intrinsics[1, 1]) + intrinsics[:2, 2]
    off = np.abs(pixels - arrays["landmarks_2d"])[seen].max(initial=0.0)
    if np.isnan(off):
        yield "landmarks_2d holds NaN"
    elif off > _PIXELS:
        yield f"landmarks_2d are up to {off:.3g} pixels from the projections of their vertices"
