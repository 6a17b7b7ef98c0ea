"""The render benchmark: what it reports and the mesh it refines; never its times."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.benchmarks import render as benchmark
from facegen.errors import RenderError
from facegen.morphable.model import Eyeball, MorphableModel
from facegen.stages.render import opengl
from facegen.tests.renderer_contract import sphere_model
from facegen.tests.synthetic import textured_model


@pytest.mark.parametrize("model", [sphere_model(10, 16), textured_model()], ids=["plain", "textured"])
def test_report_has_all_figures(model: MorphableModel) -> None:
    try:
        opengl.choose_platform("auto")
    except RenderError as error:
        pytest.skip(str(error))
    report = benchmark.run(model, size=24, frames=2, repeats=2, dense=model)
    assert json.loads(json.dumps(report)) == report
    assert report["settings"]["platform"] in opengl.LIBRARIES
    assert {"cpu", "cores", "python", "numba", "pyrender", "pyopengl", "date"} <= set(report["machine"])
    coarse, fine = report["meshes"]
    assert fine["triangles"] == 4 * coarse["triangles"]
    for mesh in (coarse, fine):
        assert 0.05 < mesh["covered"] < 1
        for name in ("ours", "pyrender_one_pass", "pyrender_same_channels", "pyrender_upload", "pyrender_new_mesh"):
            times = mesh[f"{name}_ms"]
            assert 0 <= times["min"] <= times["median"] <= times["max"]
        assert mesh["speedup_over_one_pass"] > 0
        assert mesh["speedup_over_same_channels"] > 0


def test_subdivided_mesh_is_the_same_surface() -> None:
    model = sphere_model(10, 16)
    eye = Eyeball(
        vertices=np.arange(40, dtype=np.int32),
        centre=np.zeros(3, np.float32),
        direction=(model.mean / np.linalg.norm(model.mean, axis=1, keepdims=True))[:40],
        iris_angle=0.4,
    )
    model = replace(model, eyes=(eye,))
    fine, edges = benchmark.subdivide(model)
    count = model.topology.vertex_count
    np.testing.assert_array_equal(fine.mean[:count], model.mean)
    np.testing.assert_allclose(fine.mean[count:], model.mean[edges].mean(axis=1), atol=1e-4)
    # Each triangle's four parts keep its plane, its winding and its area.
    whole = _areas(model.mean, model.topology.triangles)
    parts = _areas(fine.mean, fine.topology.triangles).reshape(-1, 4, 3)
    np.testing.assert_allclose(parts, np.repeat(whole[:, None] / 4, 4, axis=1), atol=0.05)
    # Watertight as before: every edge has as many neighbours as its parent, so Euler's number stays.
    assert _euler(fine.topology.triangles) == _euler(model.topology.triangles)
    np.testing.assert_array_equal(fine.topology.triangle_region, np.repeat(model.topology.triangle_region, 4))
    assert fine.topology.uv_triangles.max() < len(fine.topology.uv)
    (fine_eye,) = fine.eyes
    np.testing.assert_array_equal(fine_eye.vertices[:40], eye.vertices)
    np.testing.assert_allclose(np.linalg.norm(fine_eye.direction, axis=1), 1.0, atol=1e-6)


def _areas(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """(T, 3) area vectors."""
    a, b, c = vertices[triangles].astype(np.float64).transpose(1, 0, 2)
    areas: NDArray[np.float64] = np.cross(b - a, c - a) / 2
    return areas


def _euler(triangles: NDArray[np.int32]) -> int:
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    return len(np.unique(triangles)) - len(edges) + len(triangles)
