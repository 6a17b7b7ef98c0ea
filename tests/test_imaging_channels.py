"""Labels of the real head as the render stage makes them, against plain NumPy in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, Renders, Samples
from facegen.imaging.channels import CHANNELS, rebuild
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.visibility import UNIT
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import Topology
from facegen.settings import validate
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.config import SampleConfig
from facegen.stages.sample.stage import Sampler

Float64 = NDArray[np.float64]

HEIGHT, WIDTH = 112, 96


def constant(value: float) -> dict[str, Any]:
    return {"law": "constant", "value": value}


def draw(model: MorphableModel, count: int, **sample: Any) -> Samples:
    config = validate(SampleConfig, sample, source="test")
    return Sampler(config, model, HEIGHT, WIDTH, 3).draw(np.arange(count))


def render(model: MorphableModel, samples: Samples, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Renders:
    stage = RenderStage(validate(RenderConfig, {"size": list(size)}, source="test"), model)
    renders = stage.render(samples)
    assert renders.valid.all()
    stage.close()
    return renders


class Face:
    """One rendered face and what follows from it in double precision."""

    def __init__(self, model: MorphableModel, samples: Samples, renders: Renders, row: int) -> None:
        self.topology = model.topology
        self.triangle = renders.triangle_id[row]
        self.covered = self.triangle >= 0
        self.barycentric = renders.barycentric[row]
        self.landmarks_2d = renders.landmarks_2d[row]
        self.landmarks_3d = renders.landmarks_3d[row]
        self.visible = renders.landmark_visible[row]
        self.intrinsics, self.projection = samples.intrinsics[row], int(samples.projection[row])
        extrinsics = samples.extrinsics[row]
        self.camera: Float64 = renders.vertices[row].astype(np.float64) @ extrinsics[:3, :3].T + extrinsics[:3, 3]
        self.mesh = CameraMesh.from_model(renders.vertices[row], self.topology.triangles, extrinsics)

    def channel(self, name: str) -> NDArray[np.generic]:
        return rebuild([name], self.topology, self.mesh, self.triangle, self.barycentric)[name]

    def pixels(self, points: Float64) -> Float64:
        """Pixels of points (..., 3) in the camera frame, by K [R|t]."""
        scale = points[..., 2:] if self.projection == PERSPECTIVE else 1.0
        flat: Float64 = points[..., :2] / scale * np.diag(self.intrinsics)[:2] + self.intrinsics[:2, 2]
        return flat

    def interpolated(self, values: NDArray[np.floating], corners: NDArray[np.int32]) -> Float64:
        """Values (n, C) at the covered pixels from a per-vertex attribute, weighted by the stored weights."""
        w1, w2 = (self.barycentric[self.covered].astype(np.float64) / UNIT).T
        weight = np.stack([1 - w1 - w2, w1, w2], axis=1)
        found: Float64 = np.einsum(
            "nk,nkc->nc", weight, values[corners[self.triangle[self.covered]]].astype(np.float64)
        )
        return found


@pytest.fixture(scope="module", params=["perspective", "scaled-orthographic"])
def faces(request: pytest.FixtureRequest, head: MorphableModel) -> list[Face]:
    samples = draw(
        head,
        6,
        camera={"projection": request.param, "frame": {"law": "uniform", "low": 230, "high": 280}},
        expression={"law": "uniform", "low": 0, "high": 0.4},
        pose={"yaw": {"law": "uniform", "width": 70}},
    )
    renders = render(head, samples)
    return [Face(head, samples, renders, row) for row in range(6)]


def test_landmarks_are_the_projections_of_their_vertices(faces: list[Face]) -> None:
    for face in faces:
        points = face.camera[face.topology.landmarks]
        assert np.abs(face.landmarks_3d - points).max() < 1e-3
        assert np.abs(face.landmarks_2d - face.pixels(points)).max() < 0.01


def test_the_labels_name_points_on_their_pixels_rays(faces: list[Face]) -> None:
    for face in faces:
        rows, columns = np.nonzero(face.covered)
        assert 0.2 < face.covered.mean() < 0.9
        pixels = face.pixels(face.interpolated(face.camera, face.topology.triangles))
        assert np.abs(pixels - np.stack([columns, rows], axis=1) - 0.5).max() < 0.02


def test_every_covered_pixel_shows_the_nearest_surface_of_a_few_rays(faces: list[Face]) -> None:
    """Möller-Trumbore against all triangles for a sample of pixels, covered and not."""
    random = np.random.default_rng(0)
    for face in faces[:3]:
        depth = face.channel("depth")
        corners = face.camera[face.topology.triangles]
        a, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        for row, column in random.integers(0, (HEIGHT, WIDTH), (60, 2)):
            ray = (np.array([column + 0.5, row + 0.5]) - face.intrinsics[:2, 2]) / np.diag(face.intrinsics)[:2]
            if face.projection == PERSPECTIVE:
                origin, direction = np.zeros(3), np.array([*ray, 1.0])
            else:
                origin, direction = np.array([*ray, 0.0]), np.array([0.0, 0, 1])
            p = np.cross(direction, e2)
            determinant = (e1 * p).sum(axis=1)
            front = determinant > 1e-9
            inverse = np.where(front, 1 / np.where(front, determinant, 1), 0)
            s = origin - a
            q = np.cross(s, e1)
            u, v, t = (s * p).sum(axis=1) * inverse, q @ direction * inverse, (e2 * q).sum(axis=1) * inverse
            hits = t[front & (u >= 0) & (v >= 0) & (u + v <= 1)]
            # Snapping moves edges by 1/512 pixel, so at a silhouette either answer is right.
            around = face.covered[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            if around.all() or not around.any():
                assert (len(hits) > 0) == face.covered[row, column]
                if len(hits):
                    assert abs(depth[row, column] - hits.min()) < 0.05 + 0.01 * np.ptp(hits)


def test_visible_landmarks_lie_on_the_depth_channel(faces: list[Face]) -> None:
    seen = 0
    for face in faces:
        depth = face.channel("depth")
        for point, (x, y), visible in zip(face.landmarks_3d, face.landmarks_2d, face.visible, strict=True):
            inside = 0 <= x < WIDTH and 0 <= y < HEIGHT
            assert inside or not visible
            if inside:
                row, column = int(y), int(x)
                part = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                scale = float(point[2]) if face.projection == PERSPECTIVE else 1.0
                reach = 1.0 + 2.0 * scale / face.intrinsics[0, 0]
                gap = np.abs(depth[part][face.covered[part]] - point[2]).min(initial=np.inf)
                # Rounding of single precision at the very limit may go either way.
                if abs(gap - reach) > 1e-2:
                    assert visible == (gap < reach)
                seen += visible
    assert seen > 6 * 40


@pytest.mark.parametrize("projection", ["perspective", "scaled-orthographic"])
def test_the_far_side_is_hidden(head: MorphableModel, projection: str) -> None:
    pose = {name: constant(0) for name in ("pitch", "roll", "x", "y", "z")}
    neutral = {"identity": constant(0), "camera": {"projection": projection}}
    turned = {yaw: draw(head, 1, pose=pose | {"yaw": constant(yaw)}, **neutral) for yaw in (60.0, 0.0, -60.0)}
    visible = {yaw: render(head, samples).landmark_visible[0] for yaw, samples in turned.items()}
    # Points 0 … 4 run down the jaw from the subject's right ear, 16 … 12 from the left one. A face that turns to its
    # left hides its left side from the viewer.
    right, left = [0, 1, 2, 3], [16, 15, 14, 13]
    assert not visible[60.0][left].any()
    assert visible[60.0][right].all()
    assert not visible[-60.0][right].any()
    assert visible[-60.0][left].all()
    # Brows, nose, eyes and outer lips of a frontal face are all in view.
    assert visible[0.0][17:60].all()


def test_mask_and_segmentation(faces: list[Face]) -> None:
    for face in faces:
        mask = face.channel("mask")
        np.testing.assert_array_equal(mask, face.covered)
        region = face.channel("segmentation")
        assert region.dtype == np.uint8
        np.testing.assert_array_equal(region[face.covered], face.topology.triangle_region[face.triangle[face.covered]])
        assert not region[~face.covered].any()
        assert region[face.covered].min() >= 1


def test_depth(faces: list[Face]) -> None:
    for face in faces:
        depth = face.channel("depth")
        expected = face.interpolated(face.camera[:, 2:], face.topology.triangles)[:, 0]
        assert np.abs(depth[face.covered] - expected).max() < 1e-3
        assert not depth[~face.covered].any()


def test_uv(faces: list[Face]) -> None:
    for face in faces:
        uv = face.channel("uv")
        assert np.abs(uv[face.covered] - face.interpolated(face.topology.uv, face.topology.uv_triangles)).max() < 1e-6
        assert uv.min() >= 0
        assert uv.max() <= 1
        assert not uv[~face.covered].any()


def test_pncc(faces: list[Face]) -> None:
    for face in faces:
        reference = face.topology.reference.astype(np.float64)
        colour = (reference - reference.min(axis=0)) / np.ptp(reference, axis=0)
        pncc = face.channel("pncc")
        assert np.abs(pncc[face.covered] - face.interpolated(colour, face.topology.triangles)).max() < 1e-6
        assert pncc.min() >= 0
        assert pncc.max() <= 1
        assert not pncc[~face.covered].any()


def test_normals(faces: list[Face]) -> None:
    for face in faces:
        corner = face.camera[face.topology.triangles]
        area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normal = np.zeros_like(face.camera)
        for k in range(3):
            np.add.at(normal, face.topology.triangles[:, k], area)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-30
        expected = face.interpolated(normal, face.topology.triangles)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        found = face.channel("normal")
        assert np.abs(np.linalg.norm(found[face.covered], axis=1) - 1).max() < 1e-5
        assert not found[~face.covered].any()
        assert np.degrees(np.arccos((found[face.covered] * expected).sum(axis=1).clip(-1, 1))).max() < 0.2
        # What is seen faces the camera, but for interpolation near silhouettes.
        assert (expected[:, 2] < 0.1).mean() > 0.99


def test_channels_asked_for_together_are_those_asked_for_alone(faces: list[Face]) -> None:
    face = faces[0]
    layers = np.random.default_rng(1).integers(1, 19, (64, 64), np.uint8)
    together = rebuild(list(CHANNELS), face.topology, face.mesh, face.triangle, face.barycentric, layers)
    assert list(together) == list(CHANNELS)
    for name, value in together.items():
        assert value.shape == (HEIGHT, WIDTH, *CHANNELS[name].shape)
        assert value.dtype == np.dtype(CHANNELS[name].dtype)
        alone = rebuild([name], face.topology, face.mesh, face.triangle, face.barycentric, layers)[name]
        np.testing.assert_array_equal(value, alone)
    with pytest.raises(ValueError, match="annotation"):
        rebuild(["layers"], face.topology, face.mesh, face.triangle, face.barycentric)
    assert rebuild([], face.topology, face.mesh, face.triangle, face.barycentric) == {}
    with pytest.raises(KeyError, match="depht"):
        rebuild(["depht"], face.topology, face.mesh, face.triangle, face.barycentric)


def linear(image: NDArray[np.uint8]) -> Float64:
    """Linear values of sRGB bytes (IEC 61966-2-1)."""
    v = image / 255.0
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def test_anti_aliasing_comes_near_an_eightfold_image(head: MorphableModel) -> None:
    """The mean of the 8 × 8 pixels of an image of eight times the size, over the pixels of the silhouette."""
    samples = draw(head, 2, pose={"yaw": constant(25)})
    small = render(head, samples, (HEIGHT, WIDTH))
    stage = RenderStage(validate(RenderConfig, {"size": [HEIGHT, WIDTH]}, source="test"), head)
    enlarged = Samples(**{**samples.as_dict(), "intrinsics": samples.intrinsics * np.diag([8.0, 8, 1])[None] + 0})
    enlarged.intrinsics[:, :2, 2] = samples.intrinsics[:, :2, 2] * 8
    large = render(head, enlarged, (8 * HEIGHT, 8 * WIDTH))
    stage.close()
    for row in range(2):
        covered = small.triangle_id[row] >= 0
        inside = (large.triangle_id[row] >= 0).reshape(HEIGHT, 8, WIDTH, 8).mean(axis=(1, 3))
        edge = (inside > 0) & (inside < 1)
        assert edge.sum() > 150
        # The share of the face in a pixel, from its colour between those of background and face next to it.
        mean = linear(large.image[row]).reshape(HEIGHT, 8, WIDTH, 8, 3).mean(axis=(1, 3))
        jagged = np.abs(covered[edge] - inside[edge]).mean()
        assert jagged > 0.2
        error = np.abs(linear(small.image[row])[edge] - mean[edge]).mean()
        interior = np.abs(linear(small.image[row])[inside == 1] - mean[inside == 1]).mean()
        assert interior < 0.02
        assert error < 0.04, (error, interior, jagged)


@pytest.mark.parametrize("number", [-2, 10**6])
def test_triangle_numbers_of_damaged_data_are_refused(number: int) -> None:
    vertices = np.array([[0, 0, 500], [10, 0, 500], [0, 10, 500]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    topology = Topology(
        triangles=triangles,
        triangle_region=np.ones(1, np.uint8),
        region_names=("background", "face"),
        uv=np.zeros((3, 2), np.float32),
        uv_triangles=triangles,
        landmarks=np.zeros(1, np.int32),
        reference=vertices,
    )
    triangle_id = np.array([[0, number]], np.int32)
    with pytest.raises(ValueError, match=f"triangle_id spans .*{number}.*, expected -1 to 0"):
        rebuild(["pncc"], topology, CameraMesh(vertices, triangles), triangle_id, np.zeros((1, 2, 2), np.uint16))
