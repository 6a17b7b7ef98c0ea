"""Small meshes as models, cameras and lights that look at them, and what pixels show of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import extrinsic_matrices, head_rotation, to_camera
from facegen.imaging.visibility import UNIT
from facegen.morphable.albedo import LinearAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import Topology
from facegen.stages.render.renderer import Frame, Renderer, View

Float = NDArray[np.float32]
Make = Callable[[MorphableModel, int, int], Renderer]

PROJECTIONS = pytest.mark.parametrize("projection", [PERSPECTIVE, SCALED_ORTHOGRAPHIC], ids=["perspective", "ortho"])

DISTANCE = 600.0


def mesh_model(vertices: Float, triangles: NDArray[np.int32]) -> MorphableModel:
    """A model of one mesh, one region, mid-grey, whose bases hold one mode of zeros."""
    none = np.zeros((1, len(vertices), 3), np.float32)
    topology = Topology(
        triangles=triangles,
        triangle_region=np.ones(len(triangles), np.uint8),
        region_names=("background", "skin"),
        uv=np.zeros((len(vertices), 2), np.float32),
        uv_triangles=triangles,
        landmarks=np.arange(len(vertices), dtype=np.int32),
        reference=vertices,
    )
    return MorphableModel(
        name="mesh",
        sha256="",
        topology=topology,
        mean=vertices,
        identity_basis=none,
        identity_names=("none",),
        expression_basis=none,
        expression_names=("none",),
        expression_bounds=(-np.inf, np.inf),
        expression_limits=(),
        albedo=LinearAlbedo(("none",), np.full_like(vertices, 0.5), none),
    )


def sphere_model(rows: int = 24, columns: int = 40, radius: float = 100.0) -> MorphableModel:
    """A sphere around the origin, wound counter-clockwise seen from outside."""
    polar = np.linspace(0.01, np.pi - 0.01, rows)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None, :]
    position = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)), axis=-1
    )
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    triangles = np.stack([np.stack([a, c, d], -1), np.stack([a, d, b], -1)], 2).reshape(-1, 3)
    return mesh_model((radius * position.reshape(-1, 3)).astype(np.float32), triangles.astype(np.int32))


def view_of(
    model: MorphableModel,
    height: int,
    width: int,
    *,
    vertices: Float | None = None,
    projection: int = PERSPECTIVE,
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    pixels_per_mm: float | None = None,
    centre: tuple[float, float] | None = None,
    distance: float = DISTANCE,
) -> View:
    """A camera in front of the model's origin, noise behind, light from the upper right.

    Args:
        model: the model.
        height: of the image in pixels.
        width: of the image in pixels.
        vertices: (V, 3); ``None`` is the mean.
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
        angles: yaw, pitch, roll in radians.
        pixels_per_mm: scale at the origin; ``None`` makes 240 mm the image's shorter side.
        centre: (x, y) of the principal point; ``None`` is the image's centre.
        distance: mm.
    """
    scale = min(height, width) / 240.0 if pixels_per_mm is None else pixels_per_mm
    focal = scale * distance if projection == PERSPECTIVE else scale
    cx, cy = (width / 2, height / 2) if centre is None else centre
    yaw, pitch, roll = (np.array([angle]) for angle in angles)
    direction = np.array([0.5, -0.5, -0.7, 0.0], np.float32)
    return View(
        vertices=model.mean if vertices is None else vertices,
        albedo=model.decode_albedo(np.zeros((1, len(model.albedo_names)), np.float32))[0],
        iris_colour=np.array([0.1, 0.3, 0.5], np.float32),
        projection=projection,
        intrinsics=np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]]),
        extrinsics=extrinsic_matrices(
            head_rotation(yaw, pitch, roll), np.zeros((1, 3)), np.zeros(3), np.array([distance])
        )[0],
        light_sh=np.concatenate([np.full((1, 3), 1.5), np.zeros((8, 3))]).astype(np.float32),
        light_position=(direction / np.linalg.norm(direction))[None],
        light_colour=np.full((1, 3), 0.4, np.float32),
        background=np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8),
    )


def in_light_of(view: View, *lights: tuple[Sequence[float], float]) -> View:
    """``view`` in little light from around and of these lights: homogeneous position and grey level of each."""
    levels = np.array([[level] for _, level in lights], np.float32)
    return replace(
        view,
        light_sh=view.light_sh / 6,
        light_position=np.array([position for position, _ in lights], np.float32),
        light_colour=levels * np.array([1.0, 0.8, 0.6], np.float32),
    )


RIGHT, ABOVE, NEAR_LEFT = (0.6, -0.48, -0.64, 0.0), (0.0, -0.8, -0.6, 0.0), (-150.0, 40.0, 420.0, 1.0)
"""Two lights at infinity and a point light, 110 mm in front of a sphere of 100 mm at :data:`DISTANCE`."""


def assert_near(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Images (H, W, 3) that differ by at most 1 of 255 anywhere, which is what rounding does."""
    assert np.abs(a.astype(np.int64) - b).max() <= 1


def point_in_camera(view: View, model: MorphableModel, frame: Frame) -> NDArray[np.float64]:
    """(n, 3) points that the labels of the covered pixels name, camera frame, mm; in the order of ``np.nonzero``."""
    covered = frame.triangle_id >= 0
    corners = to_camera(view.vertices, view.extrinsics)[model.topology.triangles[frame.triangle_id[covered]]]
    w = frame.barycentric[covered].astype(np.float64) / UNIT
    weights = np.stack([1.0 - w[:, 0] - w[:, 1], w[:, 0], w[:, 1]], axis=1)
    points: NDArray[np.float64] = np.einsum("nk,nkc->nc", weights, corners)
    return points


def away_from(covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that are not covered, and none of whose eight neighbours is."""
    padded = np.pad(covered, 1)
    height, width = covered.shape
    shifts = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    result: NDArray[np.bool_] = ~np.any(shifts, axis=0)
    return result


def pixel_centres(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 2) x, y of the centres of the pixels in ``mask``."""
    rows, columns = np.nonzero(mask)
    centres: NDArray[np.float64] = np.stack([columns, rows], axis=1).astype(np.float64) + 0.5
    return centres
