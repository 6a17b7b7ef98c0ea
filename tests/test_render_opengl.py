"""The OpenGL back-end keeps the contract, and OpenGL, drawn in two independent ways, judges the labels of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.errors import RenderError
from facegen.imaging.camera import extrinsic_matrices, head_rotation, to_camera
from facegen.imaging.channels import rebuild
from facegen.morphable.config import IctModelConfig
from facegen.morphable.ict.source import NEUTRAL
from facegen.morphable.load import load_model
from facegen.morphable.model import Eyeball, MorphableModel
from facegen.stages.render import capabilities, opengl
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.pyrender_backend import PyrenderRenderer, projection_matrix
from facegen.stages.render.renderer import Frame, View
from facegen.tests.renderer_contract import RendererContract
from facegen.tests.scenes import in_light_of, mesh_model, sphere_model, view_of

SIZE = 224

# Yaw, pitch, roll in degrees, distance in mm (None: scaled orthographic), offset of the principal point in pixels.
POSES: dict[str, tuple[tuple[float, float, float], float | None, tuple[float, float]]] = {
    "frontal": ((0, 0, 0), 700.0, (0.0, 0.0)),
    "yaw": ((55, 0, 0), 1000.0, (4.3, -7.1)),
    "pitch": ((-10, 30, 5), 450.0, (0.0, 0.0)),
    "profile and roll": ((-88, -15, 25), 1500.0, (-11.7, 2.9)),
    "close": ((20, -20, -40), 350.0, (0.0, 3.5)),
    "orthographic": ((35, 15, -12), None, (2.2, 5.7)),
}

LIGHT = ("light_position", "light_colour")

DIRECTIONS = {"right": (1, 0, 0, 0), "left": (-1, 0, 0, 0), "up": (0, -1, 0, 0), "down": (0, 1, 0, 0)}


def usable_platform() -> str:
    """The platform of this process, or a skip."""
    try:
        return opengl.choose_platform("auto")
    except RenderError as error:
        pytest.skip(str(error))


class TestPyrenderRenderer(RendererContract):
    """The OpenGL back-end, on whatever platform this process can have."""

    @pytest.fixture(autouse=True)
    def _platform(self) -> None:
        usable_platform()

    def create(self, model: MorphableModel, height: int, width: int) -> PyrenderRenderer:
        return PyrenderRenderer(model, height, width)

    def test_directional_light_comes_from_its_direction(self) -> None:
        model = sphere_model()
        view = view_of(model, 60, 60)
        dark = np.zeros((9, 3), np.float32)
        renderer = self.create(model, 60, 60)
        brightest = {}
        for name, direction in DIRECTIONS.items():
            lit = replace(view, light_sh=dark, light_position=np.array([direction], np.float32))
            frame = renderer.render(lit)
            inner = np.where((frame.triangle_id >= 0)[..., None], frame.image, 0).astype(np.float64)
            rows, columns = np.mgrid[0:60, 0:60] - 29.5
            weight = inner.sum(axis=2) / inner.sum()
            brightest[name] = ((weight * columns).sum(), (weight * rows).sum())
        renderer.close()
        assert brightest["right"][0] > 5
        assert brightest["left"][0] < -5
        assert brightest["up"][1] < -5
        assert brightest["down"][1] > 5

    @pytest.mark.parametrize(("last", "kind"), [(0.0, "lights at infinity"), (1.0, "point lights")])
    def test_more_lights_than_pyrender_has_are_refused(self, last: float, kind: str) -> None:
        model = sphere_model(6, 8)
        renderer = self.create(model, 8, 8)
        view = in_light_of(
            view_of(model, 8, 8), *4 * [((0.0, 0.0, -1.0, last), 0.1)], ((0.0, 0.0, -1.0, 1 - last), 0.1)
        )
        dark = {
            "light_position": np.concatenate([view.light_position, view.light_position]),
            "light_colour": np.concatenate([view.light_colour, np.zeros_like(view.light_colour)]),
        }
        np.testing.assert_array_equal(renderer.render(replace(view, **dark)).image, renderer.render(view).image)
        fifth = {name: np.concatenate([getattr(view, name), getattr(view, name)[:1]]) for name in LIGHT}
        with pytest.raises(RenderError, match=f"at most 4 {kind}, the view has 5"):
            renderer.render(replace(view, **fifth))
        renderer.close()

    def test_ambient_light_shows_the_albedo(self) -> None:
        model = sphere_model()
        light = np.zeros((9, 3), np.float32)
        light[0] = 2.0 * np.sqrt(np.pi)
        view = replace(view_of(model, 40, 40), light_sh=light, light_colour=np.zeros((1, 3), np.float32))
        renderer = self.create(model, 40, 40)
        image = renderer.render(view).image
        renderer.close()
        # pyrender encodes with the power 1 / 2.2.
        inner = np.hypot(*np.mgrid[-19.5:20, -19.5:20]) < 14
        assert np.abs(image[inner] - 255 * 0.5 ** (1 / 2.2)).max() <= 1

    def test_iris_and_pupil_are_painted(self) -> None:
        sphere = sphere_model(60, 90)
        eye = Eyeball(
            vertices=np.arange(len(sphere.mean), dtype=np.int32),
            centre=np.zeros(3, np.float32),
            direction=sphere.mean / np.linalg.norm(sphere.mean, axis=1, keepdims=True),
            iris_angle=0.6,
        )
        model = replace(sphere, eyes=(eye,))
        light = np.zeros((9, 3), np.float32)
        light[0] = 2.0 * np.sqrt(np.pi)
        view = replace(view_of(model, 60, 60), light_sh=light, light_colour=np.zeros((1, 3), np.float32))
        renderer = self.create(model, 60, 60)
        image = renderer.render(view).image.astype(int)
        renderer.close()
        assert image[30, 30].max() < 60
        np.testing.assert_allclose(image[30, 30 + 11], 255 * view.iris_colour ** (1 / 2.2), atol=3)
        np.testing.assert_allclose(image[30, 30 + 22], 255 * 0.5 ** (1 / 2.2), atol=3)

    def test_renderers_do_not_disturb_one_another(self) -> None:
        model = sphere_model()
        small, large = self.create(model, 20, 20), self.create(model, 70, 50)
        view = view_of(model, 70, 50, angles=(0.2, 0.1, 0.0))
        before = large.render(view)
        small.render(view_of(model, 20, 20))
        small.close()
        small.close()
        after = large.render(view)
        large.close()
        np.testing.assert_array_equal(before.image, after.image)
        np.testing.assert_array_equal(before.triangle_id, after.triangle_id)

    def test_another_platform_is_refused(self) -> None:
        renderer = self.create(sphere_model(), 8, 8)
        other: opengl.Platform = "egl" if renderer.platform == "osmesa" else "osmesa"
        renderer.close()
        with pytest.raises(RenderError, match="already uses"):
            opengl.choose_platform(other)

    def test_too_many_triangles_are_refused(self) -> None:
        model = mesh_model(np.zeros((3, 3), np.float32), np.broadcast_to(np.arange(3, dtype=np.int32), (1 << 24, 3)))
        with pytest.raises(RenderError, match="24 bits"):
            self.create(model, 8, 8)


@pytest.mark.parametrize("projection", [PERSPECTIVE, SCALED_ORTHOGRAPHIC])
def test_projection_matrix_agrees_with_the_camera(projection: int) -> None:
    from facegen.imaging.camera import project

    intrinsics = np.array([[310.0, 0.0, 100.3], [0.0, 290.0, 70.9], [0.0, 0.0, 1.0]])
    if projection == SCALED_ORTHOGRAPHIC:
        intrinsics[:2, :2] /= 500.0
    points = np.random.default_rng(1).uniform([-100, -100, 400], [100, 100, 700], (50, 3))
    matrix = projection_matrix(intrinsics, projection, 180, 220, 400.0, 700.0)
    clip = np.column_stack([points * [1, -1, -1], np.ones(50)]) @ matrix.T
    device = clip[:, :3] / clip[:, 3:]
    pixels = np.stack([(device[:, 0] + 1) / 2 * 220, (1 - device[:, 1]) / 2 * 180], axis=1)
    np.testing.assert_allclose(pixels, project(points, intrinsics, projection), atol=1e-9)
    assert np.abs(device[:, 2]).max() <= 1


class TestMissingLibraries:
    """What is not installed is named with the command that installs it."""

    def test_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
        monkeypatch.setattr(opengl, "platform_in_use", lambda: None)
        monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
        with pytest.raises(RenderError, match="apt-get install libosmesa6"):
            opengl.choose_platform("auto")
        with pytest.raises(RenderError, match="apt-get install libegl1"):
            opengl.choose_platform("egl")

    def test_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so")
        monkeypatch.setattr(opengl, "_version", {"pyrender": "0.1.45", "PyOpenGL": "3.1.0"}.get)
        found = opengl.missing("osmesa")
        assert found is not None
        assert found.command == "pip install --no-deps PyOpenGL==3.1.10"
        assert opengl.missing("egl") is None
        monkeypatch.setattr(opengl, "_version", {"PyOpenGL": "3.1.10"}.get)
        assert opengl.missing("egl") == ("pyrender is not installed", "pip install pyrender")

    def test_window_platform(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(opengl, "platform_in_use", lambda: "glx")
        with pytest.raises(RenderError, match="windows"):
            opengl.choose_platform("auto")


class TestCapabilities:
    """The rows of the doctor."""

    def test_report(self) -> None:
        rows = capabilities.report()
        names = [row.name for row in rows]
        assert len(set(names)) == len(names) == 8
        for row in rows:
            assert row.detail
            assert "\n" not in row.detail
            assert (row.remedy is None) == row.available
        assert rows[0].available

    def test_crash_and_silence_are_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        crashed = capabilities._probe("x", "import os; os.abort()", "fix")
        assert (crashed.available, crashed.remedy) == (False, "fix")
        assert "signal" in crashed.detail
        raised = capabilities._probe("x", "raise OSError('no\\ndriver')", "fix")
        assert (raised.available, raised.detail) == (False, "driver")
        monkeypatch.setattr(capabilities, "TIMEOUT", 0.2)
        silent = capabilities._probe("x", "import time; time.sleep(60)", "fix")
        assert "no answer" in silent.detail

    def test_model_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for absent in (tmp_path, tmp_path / "absent.npz"):
            monkeypatch.setenv("FACEGEN_ICT", str(absent))
            assert not capabilities._ict_model().available
        monkeypatch.delenv("FACEGEN_ICT")
        assert not capabilities._ict_model().available
        for name in (NEUTRAL, "model.npz"):
            (tmp_path / name).touch()
        for present in (tmp_path, tmp_path / "model.npz"):
            monkeypatch.setenv("FACEGEN_ICT", str(present))
            assert capabilities._ict_model().available


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    """The ICT head."""
    data = Path(os.environ.get("FACEGEN_TEST_DATA", Path(__file__).parents[1].parent / "shared"))
    source = data / "models" / "ict-facekit" / "ict_facekit.npz"
    if not source.exists():
        pytest.skip(f"no face model at {source}: set FACEGEN_TEST_DATA")
    return load_model(IctModelConfig(path=source, part="head"))


@pytest.fixture(scope="module")
def views(head: MorphableModel) -> dict[str, View]:
    """The judged views, each of another person."""
    return {name: _view(head, number, *pose) for number, (name, pose) in enumerate(POSES.items())}


@pytest.fixture(scope="module")
def ours(head: MorphableModel, views: dict[str, View]) -> dict[str, tuple[Frame, NDArray[Any]]]:
    """Our frames and depths."""
    renderer = NumbaRenderer(head, SIZE, SIZE)
    frames = {name: renderer.render(view) for name, view in views.items()}
    return {
        name: (
            frame,
            rebuild(["depth"], head.topology, frame.mesh, frame.triangle_id, frame.barycentric)["depth"],
        )
        for name, frame in frames.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def gl_renderer(head: MorphableModel) -> Iterator[PyrenderRenderer]:
    """pyrender in this process."""
    usable_platform()
    renderer = PyrenderRenderer(head, SIZE, SIZE)
    yield renderer
    renderer.close()


@pytest.mark.parametrize("pose", POSES)
def test_labels_against_pyrender(
    gl_renderer: PyrenderRenderer,
    views: dict[str, View],
    ours: dict[str, tuple[Frame, NDArray[Any]]],
    pose: str,
) -> None:
    frame, depth = ours[pose]
    theirs = gl_renderer.render(views[pose])
    _judge(frame.triangle_id, depth, theirs.triangle_id, gl_renderer.depth(views[pose]))
    same = (frame.triangle_id == theirs.triangle_id) & (frame.triangle_id >= 0)
    np.testing.assert_array_equal(frame.barycentric[same], theirs.barycentric[same])


@pytest.mark.parametrize("pose", POSES)
def test_labels_against_moderngl(
    moderngl_labels: dict[str, NDArray[Any]],
    views: dict[str, View],
    ours: dict[str, tuple[Frame, NDArray[Any]]],
    pose: str,
) -> None:
    frame, depth = ours[pose]
    _judge(frame.triangle_id, depth, moderngl_labels[f"{pose} id"], moderngl_labels[f"{pose} depth"])


@pytest.mark.parametrize("platform", ["osmesa", "egl"])
def test_platforms_agree(
    head: MorphableModel, views: dict[str, View], gl_renderer: PyrenderRenderer, tmp_path: Path, platform: str
) -> None:
    lacking = opengl.missing(platform)
    if lacking is not None:
        pytest.skip(f"{lacking.reason}; run: {lacking.command}")
    view = views["yaw"]
    given = {name: value for name, value in vars(view).items() if value is not None}
    arrays: dict[str, Any] = {"triangles": head.topology.triangles, **given}
    np.savez(tmp_path / "in.npz", **arrays)
    _in_process(_OTHER_PLATFORM, tmp_path, platform)
    here = gl_renderer.render(view)
    with np.load(tmp_path / "out.npz") as there:
        assert (here.triangle_id != there["triangle_id"]).mean() < 1e-4
        assert np.abs(here.image.astype(int) - there["image"]).mean() < 0.5


@pytest.fixture(scope="module")
def moderngl_labels(
    head: MorphableModel, views: dict[str, View], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NDArray[Any]]:
    """Triangle numbers and depths that moderngl draws, in a process of its own."""
    pytest.importorskip("moderngl", reason="moderngl is not installed; run: pip install moderngl")
    lacking = opengl.missing("egl")
    if lacking is not None:
        pytest.skip(f"{lacking.reason}; run: {lacking.command}")
    folder = tmp_path_factory.mktemp("moderngl")
    arrays: dict[str, Any] = {"triangles": head.topology.triangles}
    for name, view in views.items():
        arrays[name] = _to_clip(to_camera(view.vertices, view.extrinsics), view)
    np.savez(folder / "in.npz", **arrays)
    _in_process(_MODERNGL, folder, str(SIZE))
    with np.load(folder / "out.npz") as found:
        return dict(found)


def _judge(
    our_id: NDArray[np.int32],
    our_depth: NDArray[np.float32],
    their_id: NDArray[np.int32],
    their_depth: NDArray[np.float32],
) -> None:
    ours, theirs = our_id >= 0, their_id >= 0
    assert ours.sum() > 8000
    assert (ours != theirs).sum() <= 1e-3 * ours.sum()
    common = ours & theirs
    assert (our_id == their_id)[common].mean() >= 0.999
    same = common & (our_id == their_id)
    relative = np.abs(our_depth - their_depth)[same] / our_depth[same]
    assert np.median(relative) <= 1e-5
    assert np.quantile(relative, 0.999) <= 1e-3


def _view(
    model: MorphableModel,
    number: int,
    degrees: tuple[float, float, float],
    distance: float | None,
    offset: tuple[float, float],
) -> View:
    random = np.random.default_rng(number)
    identity = random.standard_normal((1, len(model.identity_names))).astype(np.float32)
    expression = np.zeros((1, len(model.expression_names)), np.float32)
    gaze = random.uniform(-0.3, 0.3, (1, 2, 2)).astype(np.float32)
    angles = np.radians(np.array(degrees, np.float64))[:, None]
    pivot = (model.mean.max(axis=0) + model.mean.min(axis=0)).astype(np.float64) / 2
    scale = 0.75 * SIZE / float(np.ptp(model.mean[:, 1]))
    focal = scale if distance is None else scale * distance
    return View(
        vertices=model.decode(identity, expression, gaze)[0],
        albedo=model.decode_albedo(np.zeros((1, len(model.albedo_names)), np.float32))[0],
        iris_colour=np.array([0.2, 0.3, 0.1], np.float32),
        projection=SCALED_ORTHOGRAPHIC if distance is None else PERSPECTIVE,
        intrinsics=np.array([[focal, 0.0, SIZE / 2 + offset[0]], [0.0, focal, SIZE / 2 + offset[1]], [0.0, 0.0, 1.0]]),
        extrinsics=extrinsic_matrices(head_rotation(*angles), np.zeros((1, 3)), pivot, np.array([distance or 1000.0]))[
            0
        ],
        light_sh=np.concatenate([np.full((1, 3), 2.0), np.zeros((8, 3))]).astype(np.float32),
        light_position=np.array([[0.6, -0.48, -0.64, 0.0]], np.float32),
        light_colour=np.full((1, 3), 0.4, np.float32),
        background=np.zeros((SIZE, SIZE, 3), np.uint8),
    )


def _to_clip(camera: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Clip coordinates and depth (V, 5), derived anew from the camera's definition."""
    x, y, z = camera.astype(np.float64).T
    k = view.intrinsics
    w = z if view.projection == PERSPECTIVE else np.ones_like(z)
    column = k[0, 0] * x + k[0, 2] * w
    row = k[1, 1] * y + k[1, 2] * w
    near, far = z.min() - 1.0, z.max() + 1.0
    if view.projection == PERSPECTIVE:
        # Runs from -w at the near plane to w at the far plane.
        device_z = (z * (far + near) - 2.0 * far * near) / (far - near)
    else:
        device_z = (2.0 * z - far - near) / (far - near)
    # OpenGL's rows run upwards; drawing upside down would turn the winding around.
    clip = np.stack([2.0 * column / SIZE - w, w - 2.0 * row / SIZE, device_z, w, z], axis=1)
    return clip.astype(np.float32)


def _in_process(code: str, folder: Path, argument: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), argument],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr


_MODERNGL = """
import sys
from pathlib import Path

import moderngl
import numpy as np

folder, size = Path(sys.argv[1]), int(sys.argv[2])
context = moderngl.create_standalone_context(backend="egl")
program = context.program(
    vertex_shader='''
        #version 330
        in vec4 clip; in float z; out float depth;
        void main() { gl_Position = clip; depth = z; }
    ''',
    fragment_shader='''
        #version 330
        in float depth; layout(location = 0) out int number; layout(location = 1) out float seen;
        void main() { number = gl_PrimitiveID + 1; seen = depth; }
    ''',
)
numbers = context.renderbuffer((size, size), 1, dtype="i4")
depths = context.renderbuffer((size, size), 1, dtype="f4")
target = context.framebuffer([numbers, depths], context.depth_renderbuffer((size, size)))
context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
result = {}
with np.load(folder / "in.npz") as given:
    triangles = context.buffer(given["triangles"].astype("i4").tobytes())
    for name in given.files:
        if name == "triangles":
            continue
        vertices = context.buffer(given[name].astype("f4").tobytes())
        mesh = context.vertex_array(program, [(vertices, "4f 1f", "clip", "z")], triangles)
        target.use()
        target.clear()
        mesh.render()
        image = np.frombuffer(target.read(components=1, attachment=0, dtype="i4"), "i4").reshape(size, size)
        depth = np.frombuffer(target.read(components=1, attachment=1, dtype="f4"), "f4").reshape(size, size)
        result[name + " id"], result[name + " depth"] = image[::-1] - 1, depth[::-1]
np.savez(folder / "out.npz", **result)
"""

_OTHER_PLATFORM = """
import sys
from pathlib import Path

import numpy as np
from facegen.stages.render.pyrender_backend import PyrenderRenderer
from facegen.stages.render.renderer import View
from facegen.tests.scenes import mesh_model

folder = Path(sys.argv[1])
with np.load(folder / "in.npz") as given:
    arrays = dict(given)
triangles = arrays.pop("triangles")
view = View(**{**arrays, "projection": int(arrays["projection"])})
height, width = view.background.shape[:2]
renderer = PyrenderRenderer(mesh_model(view.vertices, triangles), height, width, sys.argv[2])
frame = renderer.render(view)
renderer.close()
np.savez(folder / "out.npz", image=frame.image, triangle_id=frame.triangle_id)
"""
