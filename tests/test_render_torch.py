"""The torch back-end keeps the contract, and draws what the compiled one draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.errors import RenderError
from facegen.imaging import rasterise_torch as fragments
from facegen.imaging.camera import to_camera
from facegen.imaging.mesh_torch import incident_triangles, vertex_normals
from facegen.imaging.mesh_torch import to_camera as to_camera_torch
from facegen.imaging.normals import vertex_normals as compiled_normals
from facegen.imaging.rasterise import rasterise
from facegen.imaging.rasterise_torch import rasterise_torch
from facegen.imaging.visibility import weights_on_ray as compiled_weights
from facegen.imaging.visibility_torch import weights_on_ray
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import Frame
from facegen.stages.render.torch_backend import TorchRenderer
from facegen.tests.portraits_rendered import portrait
from facegen.tests.renderer_contract import RendererContract
from facegen.tests.scenes import PROJECTIONS, sphere_model, view_of

SIZE = 112


class TestTorchRenderer(RendererContract):
    """On the CPU."""

    def create(self, model: MorphableModel, height: int, width: int) -> TorchRenderer:
        return TorchRenderer(model, height, width)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_model(DefaultModelConfig())


def assert_same_picture(found: Frame, expected: Frame) -> None:
    """Labels bit for bit; of the image's bytes one in a thousand may differ by 1 of 255, because sums are rounded."""
    for name in ("triangle_id", "barycentric"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    off = np.abs(found.image.astype(np.int64) - expected.image)
    assert off.max() <= 1
    assert (off > 0).mean() <= 1e-3


@pytest.mark.parametrize("textured", [False, True], ids=["vertex colours", "texture and relief"])
@PROJECTIONS
def test_picture_is_that_of_the_compiled_renderer(model: MorphableModel, projection: int, textured: bool) -> None:
    view = portrait(model, projection, textured=textured, size=SIZE)
    assert_same_picture(TorchRenderer(model, SIZE, SIZE).render(view), NumbaRenderer(model, SIZE, SIZE).render(view))


def test_close_picture_with_grain_is_that_of_the_compiled_renderer(model: MorphableModel) -> None:
    assert model.relief is not None
    view = portrait(model, SCALED_ORTHOGRAPHIC, textured=True, size=SIZE, angle=-0.2)
    intrinsics = view.intrinsics.copy()
    intrinsics[0, 0], intrinsics[1, 1] = 4.0, 4.0
    view = replace(view, intrinsics=intrinsics)
    expected = NumbaRenderer(model, SIZE, SIZE).render(view)
    without = replace(model, relief=replace(model.relief, micro_strength=np.zeros_like(model.relief.micro_strength)))
    assert (expected.image != NumbaRenderer(without, SIZE, SIZE).render(view).image).mean() > 0.1
    assert_same_picture(TorchRenderer(model, SIZE, SIZE).render(view), expected)


def test_points_are_shaded_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sphere_model()
    view = view_of(model, 40, 40, angles=(0.1, 0.2, 0.3))
    expected = TorchRenderer(model, 40, 40).render(view)
    monkeypatch.setattr("facegen.stages.render.torch_backend.POINTS", 97)
    monkeypatch.setattr(fragments, "FRAGMENTS", 1009)
    found = TorchRenderer(model, 40, 40).render(view)
    for name in ("image", "triangle_id", "barycentric"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_weights_are_bit_identical_to_the_compiled_ones() -> None:
    """Also after fast arithmetic has been compiled around them, on rays that hit, miss, and meet the near plane."""
    model = sphere_model()
    NumbaRenderer(model, 8, 8).render(view_of(model, 8, 8))
    rng = np.random.default_rng(0)
    corners, ray = rng.standard_normal((300, 3, 3)) * 20 + [0, 0, 25], rng.standard_normal((300, 2))
    for perspective in (True, False):
        found = weights_on_ray(torch.tensor(corners), torch.tensor(ray), torch.full((300,), perspective))
        expected = [
            compiled_weights(*(tuple(point) for point in points), *at, perspective)
            for points, at in zip(corners, ray, strict=True)
        ]
        np.testing.assert_array_equal(found.numpy(), expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_visibility_is_bit_identical_to_the_compiled_rule(data: st.DataObject) -> None:
    """Triangle soup of any size, also through the near plane and behind the camera, in batches of both projections."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    faces, vertices, count = 2, data.draw(st.integers(3, 40)), data.draw(st.integers(1, 120))
    spread, distance = data.draw(st.sampled_from([1.0, 50.0, 5e3])), data.draw(st.sampled_from([0.0, 12.0, 600.0]))
    height, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    points = (rng.standard_normal((faces, vertices, 3)) * spread + [0, 0, distance]).astype(np.float32)
    triangles = rng.integers(0, vertices, (count, 3)).astype(np.int32)
    intrinsics = np.tile(np.eye(3), (faces, 1, 1))
    intrinsics[:, [0, 1], [0, 1]] = rng.uniform(0.1, 500, (faces, 2))
    intrinsics[:, :2, 2] = rng.uniform(-5, 40, (faces, 2))
    projections = rng.integers(0, 2, faces)
    supersampled = data.draw(st.booleans())
    triangle, key = rasterise_torch(
        torch.from_numpy(points), torch.from_numpy(triangles).long(), torch.from_numpy(intrinsics),
        torch.from_numpy(projections == PERSPECTIVE), height, width, supersampled=supersampled,
    )  # fmt: skip
    for n in range(faces):
        expected = rasterise(points[n], triangles, intrinsics[n], int(projections[n]), height, width, supersampled)
        np.testing.assert_array_equal(triangle[n].numpy(), expected[0])
        np.testing.assert_array_equal(key[n].numpy(), expected[1])


def test_camera_mesh_is_bit_identical(model: MorphableModel) -> None:
    view = portrait(model, PERSPECTIVE, textured=False, size=SIZE)
    triangles = model.topology.triangles
    vertices = to_camera_torch(torch.tensor(view.vertices)[None], torch.tensor(view.extrinsics)[None])
    expected: NDArray[np.float32] = to_camera(view.vertices, view.extrinsics)
    np.testing.assert_array_equal(vertices[0].numpy(), expected)
    normals = vertex_normals(
        vertices, torch.tensor(triangles).long(), incident_triangles(triangles, len(expected))
    )  # fmt: skip
    np.testing.assert_allclose(normals[0].numpy(), compiled_normals(expected, triangles), atol=2e-7, rtol=0)


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RenderError, match=r"render\.device is 'cuda'"):
        TorchRenderer(sphere_model(), 8, 8, "cuda")
