"""Labels of a face that are points, boxes and directions, from its mesh, camera and visibility buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.annotation import SurfacePoints
from facegen.imaging.label import Label
from facegen.imaging.landmarks import Landmarks, project_points
from facegen.imaging.seen import Pictured, own_eyeball
from facegen.morphable.topology import Topology

Float = NDArray[np.float32]


def dense_points(points: SurfacePoints, topology: Topology, picture: Pictured) -> Landmarks:
    """Where D surface points are seen, as :func:`~facegen.imaging.landmarks.project_landmarks` tells it of vertices.

    A point of an eyeball is visible only where the eyeball itself is seen.
    """
    return project_points(
        points.on(picture.mesh.vertices, topology.triangles), picture.mesh, picture.seen_triangles, picture.barycentric,
        picture.intrinsics, picture.projection,
        only=own_eyeball(topology, points.triangle), regions=topology.triangle_region,
    )  # fmt: skip


def five_points(landmarks_2d: Float) -> Float:
    """(5, 2) pixels: centres of the right and left eye (the subject's), tip of the nose, right and left mouth corner.

    The order is that of face recognition's alignment (Deng et al. 2019, "ArcFace"): from the image's left to its right.
    An eye's centre is the mean of its six landmarks.

    Args:
        landmarks_2d: (68, 2).
    """
    eyes = [landmarks_2d[first : first + 6].mean(axis=0, dtype=np.float64) for first in (36, 42)]
    return np.stack([*eyes, landmarks_2d[30], landmarks_2d[48], landmarks_2d[54]]).astype(np.float32)


def box_of(points_2d: Float) -> Float:
    """(4,) pixels: left, top, right, bottom of points (n, 2); they may lie outside the image."""
    return np.concatenate([points_2d.min(axis=0), points_2d.max(axis=0)])


def gaze_directions(gaze: Float, extrinsics: NDArray[np.float64]) -> Float:
    """(2, 3) unit vectors along which the (left, right) eye looks, camera frame.

    Args:
        gaze: (2, 2) yaw towards the subject's left and pitch upwards from straight ahead, radians.
        extrinsics: (4, 4) model to camera.
    """
    yaw, pitch = gaze[:, 0].astype(np.float64), gaze[:, 1].astype(np.float64)
    model = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
    directions: Float = (model @ extrinsics[:3, :3].T).astype(np.float32)
    return directions


POINT_LABELS: dict[str, Label] = {
    "dense_2d": Label(("D", 2), "float32", "pixel", "image", "projected dense landmarks, seen or not"),
    "dense_3d": Label(("D", 3), "float32", "mm", "camera", "the dense landmarks"),
    "dense_visible": Label(
        ("D",), "bool", "-", "image", "whether the dense landmark is inside the image and not hidden"
    ),
    "points_5": Label(
        (5, 2), "float32", "pixel", "image",
        "centres of the right and the left eye (the subject's), tip of the nose, right and left corner of the mouth",
    ),
    "face_box": Label(
        (4,), "float32", "pixel", "image",
        "left, top, right, bottom of the face from forehead to chin, whether it is seen, hidden or outside the image",
    ),
    "gaze_direction": Label(
        (2, 3), "float32", "-", "camera", "unit vector along which the (left, right) eye looks"
    ),
}  # fmt: skip
"""Labels that the reader makes."""


def point_labels(
    names: list[str], topology: Topology, dense: SurfacePoints, picture: Pictured, source: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """The named labels of one face, as :data:`POINT_LABELS` describes them.

    Args:
        names: of :data:`POINT_LABELS`.
        topology: of the face's model.
        dense: its dense landmarks.
        picture: the face.
        source: its ``extrinsics``, ``landmarks_2d`` and ``gaze``.

    Raises:
        KeyError: a label that this model has not: dense landmarks, points and box need 68 landmarks.
    """
    result: dict[str, NDArray[Any]] = {}
    if "gaze_direction" in names:
        result["gaze_direction"] = gaze_directions(source["gaze"], source["extrinsics"])
    if "points_5" in names and len(dense):
        result["points_5"] = five_points(source["landmarks_2d"])
    if len(dense) and {"dense_2d", "dense_3d", "dense_visible", "face_box"} & {*names}:
        found = dense_points(dense, topology, picture)
        result |= {"dense_2d": found.points_2d, "dense_3d": found.points_3d, "dense_visible": found.visible}
        result["face_box"] = box_of(found.points_2d)
    return {name: result[name] for name in names}
