"""The render benchmark: what it reports and the mesh it refines; never its times."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.benchmarks import render as benchmark
from facegen.benchmarks.rasterisers import AffineBarycentrics, AffineColour, PlainVisibility, Visibility
from facegen.errors import RenderError
from facegen.morphable.model import Eyeball, MorphableModel
from facegen.stages.render import opengl
from facegen.tests.scenes import sphere_model
from facegen.tests.synthetic import textured_model

CONTESTANTS = (
    *("ours", "visibility", "plain_visibility", "affine_colour", "affine_barycentrics"),
    *("pyrender_one_pass", "pyrender_same_channels", "pyrender_upload", "pyrender_new_mesh"),
)


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
        for name in CONTESTANTS:
            times = mesh[f"{name}_ms"]
            assert 0 <= times["min"] <= times["median"] <= times["max"]
        for name in ("one_pass", "same_channels", "affine_colour", "affine_barycentrics"):
            assert mesh[f"speedup_over_{name}"] > 0
        for name in ("affine_colour", "affine_barycentrics"):
            assert mesh[f"visibility_speedup_over_{name}"] > 0
        assert mesh["visibility_over_plain"] > 0
        assert 0 < mesh["two_threads_speedup"]["min"] <= mesh["two_threads_speedup"]["median"]
    told = benchmark.text(report)
    assert all(f"{mesh['vertices']:,} vertices" in told for mesh in report["meshes"])


def test_what_is_compared_draws_the_same() -> None:
    model = sphere_model(20, 32)
    mesh = model.topology.triangles, model.topology.vertex_count, 40
    ours, plain = Visibility(*mesh), PlainVisibility(*mesh)
    colour, weights = AffineColour(*mesh), AffineBarycentrics(*mesh)
    for view in benchmark.views_of(model, 40, 3):
        for contestant in (ours, plain, colour, weights):
            contestant.draw(view)
        seen = ours.triangle >= 0
        assert seen.sum() > 300
        # Transform and snapping in float32 move a vertex by 1/256 pixel at times, which an edge may show.
        outline = seen ^ _shrunk(seen) | _shrunk(~seen) ^ ~seen
        for other in (plain.triangle >= 0, np.isfinite(colour.depth), weights.triangle >= 0):
            assert not (seen ^ other)[~outline].any()
        assert (plain.triangle == ours.triangle).mean() > 0.99
        assert (weights.triangle == ours.triangle).mean() > 0.97
        both = seen & (plain.triangle >= 0) & np.isfinite(colour.depth) & ~outline
        depth = 1 / ours.key[both]
        np.testing.assert_allclose(1 / plain.key[both], depth, rtol=2e-5)
        np.testing.assert_allclose(weights.depth[both], depth, rtol=2e-4)
        np.testing.assert_array_equal(colour.depth[both], weights.depth[both])
        np.testing.assert_allclose(weights.weights[both].sum(axis=1), 1, atol=1e-5)
        assert view.albedo is not None
        corners = view.albedo[model.topology.triangles[weights.triangle[both]]]
        expected = np.einsum("nk,nkc->nc", weights.weights[both], corners) * 255
        np.testing.assert_allclose(colour.image[both], np.floor(expected), atol=1)


def _shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels beside a pixel that is not in it."""
    padded = np.pad(mask, 1, mode="edge")
    return np.all([padded[r : r + mask.shape[0], c : c + mask.shape[1]] for r in range(3) for c in range(3)], axis=0)


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
