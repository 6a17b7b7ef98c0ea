"""The CUDA back-end under numba's simulator: run by test_render_cuda.py in a process of its own.

numba reads ``NUMBA_ENABLE_CUDASIM`` when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numba import cuda
from numba.core import config
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernel import FakeCUDAKernel

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC, Samples
from facegen.errors import RenderError
from facegen.imaging.camera import to_camera
from facegen.imaging.device_functions import with_products
from facegen.imaging.rasterise import rasterise
from facegen.imaging.rasterise_cuda import COMPLEMENT, rasterise_cuda
from facegen.imaging.visibility import quantise, weights_on_plane
from facegen.morphable.model import MorphableModel
from facegen.settings import validate
from facegen.stages.render import cuda_backend
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.cuda_backend import CudaBatch, CudaRenderer
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import View
from facegen.stages.render.shading import light_polynomial
from facegen.stages.render.stage import RenderStage
from facegen.tests.renderer_contract import RendererContract
from facegen.tests.scenes import NEAR_LEFT, PROJECTIONS, RIGHT, assert_near, view_of
from facegen.tests.small_balls import ball, with_eye
from facegen.tests.synthetic import batch, sphere, textured_model

assert config.ENABLE_CUDASIM  # type: ignore[attr-defined]


class TestCudaRenderer(RendererContract):
    """In the simulator."""

    def create(self, model: MorphableModel, height: int, width: int) -> CudaRenderer:
        return CudaRenderer(model, height, width)


@pytest.mark.parametrize("supersampled", [False, True])
@pytest.mark.parametrize("distance", [0.0, 30.0, 600.0])
def test_visibility_is_bit_identical_to_the_compiled_rule(distance: float, supersampled: bool) -> None:
    """Triangle soup, also through the near plane and behind the camera, in batches of both projections."""
    rng = np.random.default_rng(int(distance))
    vertices = (rng.standard_normal((2, 30, 3)) * 50 + [0, 0, distance]).astype(np.float32)
    triangles = rng.integers(0, 30, (40, 3)).astype(np.int32)
    extrinsics = np.tile(np.eye(4), (2, 1, 1))
    extrinsics[:, :3] += 0.1 * rng.standard_normal((2, 3, 4))
    intrinsics = np.array([[[80.0, 0, 7.3], [0, 75.0, 6.1], [0, 0, 1]], [[0.1, 0, 8.2], [0, 0.2, 5.0], [0, 0, 1]]])
    rows, columns = (25, 31) if supersampled else (12, 15)
    camera, farthest = cuda.device_array((2, 30, 3), np.float32), cuda.device_array(2, np.float64)
    best = cuda.device_array((2, rows, columns), np.int64)
    rasterise_cuda(
        *(cuda.to_device(array) for array in (vertices, triangles, extrinsics, intrinsics)),
        cuda.to_device(np.array([1, 0], np.uint8)), camera, farthest, best, supersampled=supersampled,
    )  # fmt: skip
    packed, points = best.copy_to_host(), camera.copy_to_host()
    found = np.where(packed > 0, COMPLEMENT - (packed & 0xFFFFFFFF), -1)
    key = (packed >> 32).astype(np.int32).view(np.float32)
    for n, projection in enumerate((PERSPECTIVE, SCALED_ORTHOGRAPHIC)):
        np.testing.assert_array_equal(points[n], to_camera(vertices[n], extrinsics[n]))
        expected = rasterise(points[n], triangles, intrinsics[n], projection, 12, 15, supersampled)
        np.testing.assert_array_equal(found[n], expected[0])
        np.testing.assert_array_equal(key[n], expected[1])


def assert_same_picture(model: MorphableModel, view: View, height: int, width: int) -> None:
    found = CudaRenderer(model, height, width).render(view)
    expected = NumbaRenderer(model, height, width).render(view)
    for name in ("triangle_id", "barycentric"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    off = np.abs(found.image.astype(np.int64) - expected.image)
    assert (off > 0).any(axis=2).mean() <= 0.01
    assert off.max() <= 1


def painted_ball(eye: bool) -> MorphableModel:
    return with_eye(ball(10, 16)) if eye else ball(10, 16)


@pytest.mark.parametrize("eye", [False, True])
@PROJECTIONS
def test_picture_is_that_of_the_compiled_renderer(projection: int, eye: bool) -> None:
    model = painted_ball(eye)
    height, width = 13, 15
    view = view_of(model, height, width, projection=projection, angles=(0.4, 0.2, -0.3))
    rng = np.random.default_rng(2)
    textured = replace(view, albedo=None, texture=rng.integers(20, 250, (9, 9, 3), np.uint8))
    shadowed = replace(
        view if eye else textured, lit=rng.random((2, len(model.mean)), np.float32),
        light_position=np.array([RIGHT, NEAR_LEFT], np.float32), light_colour=rng.random((2, 3), np.float32) / 60,
    )  # fmt: skip
    assert_same_picture(model, shadowed, height, width)
    assert_same_picture(model, replace(textured, relief=rng.integers(-30, 31, (7, 7, 2), np.int8)), height, width)


def batch_of(views: list[View]) -> CudaBatch:
    def stacked(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        return np.stack([getattr(view, name) for view in views])

    return CudaBatch(
        vertices=stacked("vertices"), extrinsics=stacked("extrinsics"), intrinsics=stacked("intrinsics"),
        perspective=np.array([view.projection == PERSPECTIVE for view in views], np.uint8),
        iris=stacked("iris_colour"), polynomial=np.stack([light_polynomial(view.light_sh) for view in views]),
        light_position=stacked("light_position"), light_colour=stacked("light_colour"),
        background=stacked("background"), albedo=stacked("albedo"), texture=np.zeros((0, 1, 1, 3), np.uint8),
        relief=np.zeros((1, 1, 1, 2), np.int8), fade=np.zeros(len(views), np.float32),
        lit=np.ones((len(views), len(views[0].light_position), len(views[0].vertices)), np.float32),
    )  # fmt: skip


def test_faces_of_a_batch_are_those_rendered_alone_and_arrays_on_the_device_are_read_there() -> None:
    model = painted_ball(True)
    views = [
        view_of(model, 10, 8, projection=projection, angles=(0.2 * n, 0.1, 0.0), pixels_per_mm=0.03 + 0.01 * n)
        for n, projection in enumerate((PERSPECTIVE, SCALED_ORTHOGRAPHIC, PERSPECTIVE))
    ]
    renderer = CudaRenderer(model, 10, 8)
    alone = [renderer.render(view) for view in views]
    batch = batch_of(views)
    on_device = replace(batch, vertices=cuda.to_device(batch.vertices), background=cuda.to_device(batch.background))
    for given in (batch, on_device):
        frames = renderer.render_batch(given)
        for name in ("image", "triangle_id", "barycentric"):
            found = getattr(frames, name).copy_to_host()
            np.testing.assert_array_equal(found, np.stack([getattr(frame, name) for frame in alone]), err_msg=name)


class LateStream:
    """A stream whose copies and kernels all happen when it is waited for, as late as they ever may on a GPU."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.waited: list[int] = []
        """How much was waited for, each time."""

    def synchronize(self) -> None:
        self.waited.append(len(self.waiting))
        while self.waiting:
            self.waiting.pop(0)()


def patch_late_streams(monkeypatch: pytest.MonkeyPatch) -> list[LateStream]:
    """Make the simulator keep copies and kernels back; the streams that are made from now on."""
    made: list[LateStream] = []

    def stream() -> LateStream:
        made.append(LateStream())
        return made[-1]

    def late(copy: Callable[..., object]) -> Callable[..., object]:
        def begin(array: object, other: object, stream: LateStream) -> None:
            stream.waiting.append(lambda: copy(array, other))

        return begin

    def launched(kernel: Any, configuration: tuple[int, int, LateStream]) -> Callable[..., None]:
        blocks, threads, stream = configuration
        return lambda *arguments: stream.waiting.append(lambda: configured(kernel, (blocks, threads))(*arguments))

    configured = FakeCUDAKernel.__getitem__
    monkeypatch.setattr(cuda, "stream", stream)
    monkeypatch.setattr(FakeCUDAArray, "copy_to_device", late(FakeCUDAArray.copy_to_device))
    monkeypatch.setattr(FakeCUDAArray, "copy_to_host", late(FakeCUDAArray.copy_to_host))
    monkeypatch.setattr(FakeCUDAKernel, "__getitem__", launched)
    return made


def test_faces_on_late_streams_are_those_rendered_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory is read too early or written again too soon, and nothing runs on the default stream."""
    model = ball(4, 6)
    views = [
        view_of(model, 4, 5, projection=n % 2, angles=(0.2 * n, 0.1, 0.0), pixels_per_mm=0.02 + 0.003 * n)
        for n in range(5)
    ]
    renderer = CudaRenderer(model, 4, 5)
    alone = [renderer.render(view) for view in views]
    streams = patch_late_streams(monkeypatch)
    monkeypatch.setattr(cuda_backend, "FACES", 2)
    late = CudaRenderer(model, 4, 5)
    for first in (0, 3):
        frames = late.render_views(views[first:])
        for name in ("image", "triangle_id", "barycentric"):
            found, expected = ([getattr(frame, name) for frame in several] for several in (frames, alone[first:]))
            np.testing.assert_array_equal(found, expected, err_msg=name)
    assert [len(stream.waiting) for stream in streams] == [0, 0]


def test_copies_of_a_batch_that_was_given_up_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ball(4, 6)
    view, other = (view_of(model, 4, 5, angles=(angle, 0.1, 0.0)) for angle in (0.0, 0.7))
    alone = CudaRenderer(model, 4, 5).render(other)
    streams = patch_late_streams(monkeypatch)
    late = CudaRenderer(model, 4, 5)
    with monkeypatch.context() as broken:
        broken.setattr(cuda_backend, "rasterise_cuda", raise_memory_error)
        with pytest.raises(MemoryError):
            late.render(view)
    left = len(streams[0].waiting)
    assert left > 0
    np.testing.assert_array_equal(late.render(other).image, alone.image)
    # Before anything else is begun.
    assert streams[0].waited[:2] == [0, left]


def raise_memory_error(*_: object, **__: object) -> None:
    raise MemoryError


def test_the_stage_makes_the_labels_of_the_compiled_renderer_in_any_batch() -> None:
    samples, _ = batch(sphere(), np.arange(2, 5))
    samples = replace(samples, light_sh=samples.light_sh.copy())
    samples.light_sh[1] = np.nan
    model = textured_model()

    def rendered(samples: Samples, backend: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
        config = validate(RenderConfig, {"size": 16, "backend": backend}, source="test")
        return RenderStage(config, model).render(samples).as_dict()

    together, compiled = rendered(samples, "cuda"), rendered(samples, "numba")
    last = rendered(Samples.from_dict({name: values[2:] for name, values in samples.as_dict().items()}), "cuda")
    assert together["valid"].tolist() == [True, False, True]
    for name, values in together.items():
        np.testing.assert_array_equal(values[2:], last[name], err_msg=name)
        if name != "image":
            np.testing.assert_array_equal(values, compiled[name], err_msg=name)
    assert_near(together["image"], compiled["image"])


def test_arrays_of_other_shapes_are_refused() -> None:
    model = painted_ball(False)
    batch = batch_of([view_of(model, 14, 12)] * 2)
    renderer = CudaRenderer(model, 14, 12)
    with pytest.raises(RenderError, match=r"polynomial of shape \(1, 3, 10\), expected \(2, 3, 10\)"):
        renderer.render_batch(replace(batch, polynomial=batch.polynomial[:1]))
    textured = replace(batch, albedo=batch.albedo[:0], texture=np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(RenderError, match="textures and reliefs of 2 faces"):
        renderer.render_batch(textured)


def test_products_stand_apart_and_change_nothing() -> None:
    """What is compiled for a GPU with every product on its own computes what the CPU's function computes."""
    rng = np.random.default_rng(0)
    plane, weights = with_products(weights_on_plane.py_func), with_products(quantise.py_func)
    assert "_product" in plane.__code__.co_names
    for _ in range(20):
        a, b, c = (tuple(rng.standard_normal(3) + np.array([0, 0, 5])) for _ in range(3))
        for perspective in (True, False):
            found = plane(a, b, c, 0.1, -0.2, perspective)
            assert found == weights_on_plane(a, b, c, 0.1, -0.2, perspective)
    assert weights(0.25, 0.75) == quantise(0.25, 0.75)
