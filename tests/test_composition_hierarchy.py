"""The mesh hierarchy: sizes, what decimation keeps, where up-sampling puts vertices, and its cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.composition import hierarchy as module
from facegen.composition.hierarchy import Hierarchy, build, cached
from facegen.composition.skin import Skin
from facegen.errors import MissingDependencyError, ModelError
from facegen.morphable.model import MorphableModel
from facegen.tests.surfaces import ball, borders, component, components, euler, sheet, together

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Arrays = dict[str, NDArray[np.generic]]

SURFACES = {"ball": ball(), "sheet": sheet(), "three": together(ball(), sheet(), ball(8, 9))}
FACTORS = [(4, 4), (2, 3), (4, 4, 2), (7,)]

COUNT = 9111
"""Vertices of the default model's skin."""


@pytest.fixture(params=SURFACES)
def surface(request: pytest.FixtureRequest) -> tuple[Float, Ints]:
    return SURFACES[request.param]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "facegen"


def distances(points: Float, vertices: Float, triangles: Ints) -> Float:
    """(n,) mm from the surface: the smallest of the distances from all triangles."""
    corners, count = vertices[triangles], len(points)
    nearest = trimesh.triangles.closest_point(
        np.tile(corners, (count, 1, 1)), np.repeat(points, len(corners), axis=0)
    ).reshape(count, len(corners), 3)
    return np.asarray(np.linalg.norm(nearest - points[:, None], axis=2).min(axis=1))


def assert_same(one: Hierarchy, other: Hierarchy) -> None:
    first, second = one.to_arrays(), other.to_arrays()
    assert list(first) == list(second)
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert np.array_equal(array, second[name]), name
    assert all(mesh.dtype == np.int64 for mesh in (*one.meshes, *other.meshes))


# --- what is built ---


def promises(vertices: Float, triangles: Ints, factors: tuple[int, ...]) -> Hierarchy:
    """A hierarchy that was tried against all that needs no oracle."""
    built = build(vertices, triangles, factors)
    wanted = [len(vertices)]
    for factor in factors:
        wanted.append(-(-wanted[-1] // factor))
    assert built.sizes == tuple(wanted)
    assert len(built.meshes) == len(built.sizes)
    assert np.array_equal(built.triangles, triangles)
    for step, (fine, coarse) in zip(built.steps, pairwise(built.sizes), strict=True):
        assert step.kept.shape == (coarse,)
        assert (np.diff(step.kept) > 0).all()
        assert np.array_equal(np.unique(step.triangles), np.arange(coarse))
        assert step.corners.shape == step.weights.shape == (fine, 3)
        assert step.weights.dtype == np.float32
        assert step.weights.min() >= 0
        np.testing.assert_allclose(step.weights.sum(axis=1), 1, rtol=0, atol=2e-7)
        # What is kept is exactly itself.
        assert np.array_equal(step.corners[step.kept], np.repeat(np.arange(coarse)[:, None], 3, axis=1))
        assert np.array_equal(step.weights[step.kept], np.tile([[1.0, 0.0, 0.0]], (coarse, 1)))
    # Neither is a hole closed nor one torn, nor a component lost: the surface stays what it is.
    kinds = {(components(m, n), borders(m, n), euler(m)) for m, n in zip(built.meshes, built.sizes, strict=True)}
    assert len(kinds) == 1, kinds
    return built


@pytest.mark.parametrize("factors", FACTORS)
def test_every_vertex_lies_at_its_nearest_point_of_the_coarser_mesh(
    surface: tuple[Float, Ints], factors: tuple[int, ...]
) -> None:
    vertices, triangles = surface
    built = promises(vertices, triangles, factors)
    fine = vertices
    for step, mesh in zip(built.steps, built.meshes, strict=False):
        coarse = fine[step.kept]
        placed = np.einsum("nc,ncd->nd", step.weights.astype(np.float64), coarse[step.corners])
        off = np.linalg.norm(placed - fine, axis=1)
        # mm; the weights are float32.
        np.testing.assert_allclose(off, distances(fine, coarse, step.triangles), rtol=0, atol=5e-5)
        # Components are far from each other: no vertex takes from another one's.
        label = component(mesh, len(fine))
        assert np.array_equal(np.repeat(label[:, None], 3, axis=1), label[step.kept][step.corners])
        fine = coarse
    assert np.array_equal(fine, vertices[built.coarsest])


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(4, 9), columns=st.integers(4, 9), factor=st.integers(2, 4), turn=st.integers(0, 99))
def test_any_sheet_has_the_size_that_was_asked_for(rows: int, columns: int, factor: int, turn: int) -> None:
    vertices, triangles = sheet(rows, columns)
    random = np.random.default_rng(turn)
    promises(vertices + random.uniform(-2, 2, vertices.shape), triangles, (factor,))


def test_the_same_mesh_gives_the_same_hierarchy(surface: tuple[Float, Ints]) -> None:
    assert_same(build(*surface, (4, 2)), build(*surface, (4, 2)))


def test_a_flat_surface_is_no_hindrance() -> None:
    # All collapses cost nothing, and slivers have no area.
    vertices, triangles = sheet(9, 9)
    promises(vertices * (1, 1, 0), triangles, (4, 2))


def test_the_skin_of_the_default_model(model: MorphableModel) -> None:
    skin = Skin.of(model)
    built = promises(skin.mean, skin.triangles, (4, 4, 4))
    assert built.sizes == (COUNT, 2278, 570, 143)
    # The mean face, brought down and up again, is the mean face to some mm.
    off = np.linalg.norm(built.upsampled(skin.mean[built.coarsest]) - skin.mean, axis=1)
    assert off.mean() < 3
    assert np.array_equal(off[built.coarsest], np.zeros(143))


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    from facegen.tests.default_model import default_model

    return default_model()


def test_values_are_interpolated_level_by_level() -> None:
    vertices, triangles = SURFACES["three"]
    built = build(vertices, triangles, (4, 2))
    values = np.random.default_rng(0).normal(size=(built.sizes[-1], 2, 5))
    fine = values
    for step in built.steps[::-1]:
        matrix = np.zeros((len(step.corners), len(fine)))
        for vertex in range(len(matrix)):
            for corner, weight in zip(step.corners[vertex], step.weights[vertex], strict=True):
                matrix[vertex, corner] += weight
        fine = np.tensordot(matrix, fine, axes=1)
    found = built.upsampled(values)
    np.testing.assert_allclose(found, fine, rtol=0, atol=1e-12)
    assert np.array_equal(found[built.coarsest], values)
    np.testing.assert_allclose(built.upsampled(np.ones(built.sizes[-1])), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [5, 9])
def test_a_surface_that_cannot_be_so_coarse(factor: int) -> None:
    vertices, triangles = sheet(3, 3)
    with pytest.raises(ModelError, match=f"^the surface of 9 vertices cannot be decimated to {-(-9 // factor)}; "):
        build(vertices, triangles, (factor,))


def test_without_libigl_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igl", None)
    with pytest.raises(
        MissingDependencyError, match=r"need libigl; install it with: pip install 'facegen\[compose\]'$"
    ):
        build(*SURFACES["ball"], (4,))


# --- stored ---


@pytest.fixture(scope="module")
def stored() -> Arrays:
    return build(*SURFACES["three"], (4, 3)).to_arrays()


def test_stored_and_read_it_is_the_same(surface: tuple[Float, Ints]) -> None:
    built = build(*surface, (4, 2))
    arrays = built.to_arrays()
    read = Hierarchy.from_arrays(arrays)
    assert_same(built, read)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int32), np.dtype(np.float32)}
    assert read.sizes == built.sizes
    assert np.array_equal(read.coarsest, built.coarsest)


def _changed(name: str, change: Callable[[NDArray[np.generic]], object]) -> Callable[[Arrays], None]:
    def damage(arrays: Arrays) -> None:
        array = arrays[name].copy()
        result = change(array)
        arrays[name] = result if isinstance(result, np.ndarray) else array

    return damage


def _first(value: float) -> Callable[[NDArray[np.generic]], object]:
    def change(array: NDArray[np.generic]) -> None:
        array.flat[0] = value

    return change


DAMAGES = {
    "no step": lambda arrays: [arrays.pop(name) for name in list(arrays) if "." in name],
    **{
        f"{name} {what}": _changed(name, change)
        for name in ("triangles", "0.kept", "0.triangles", "0.corners", "1.kept", "1.triangles", "1.corners")
        for what, change in {
            "negative": _first(-1),
            "too large": _first(10**6),
            "of floats": lambda array: array.astype(np.float32),
            "of other columns": lambda array: np.stack([array, array], axis=1),
            "flat": lambda array: array[:0].reshape(0, 4),
            "one number": lambda array: np.zeros((), np.int32),
        }.items()
    },
    "corner of the last vertex and one": _changed("1.corners", _first(45)),
    "kept twice": _changed("0.kept", lambda array: np.repeat(array[:1], len(array))),
    "kept in another order": _changed("0.kept", lambda array: array[::-1]),
    "one kept too few": _changed("0.kept", lambda array: array[:-1]),
    "one corner too few": _changed("1.corners", lambda array: array[:-1]),
    "one weight too few": _changed("0.weights", lambda array: array[:-1]),
    "a weight that is no number": _changed("0.weights", _first(np.nan)),
    "an endless weight": _changed("0.weights", _first(np.inf)),
    "a negative weight": _changed("0.weights", lambda array: array * -1),
    "weights of another sum": _changed("1.weights", lambda array: array * 2),
    "weights of integers": _changed("1.weights", lambda array: array.astype(np.int32)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_refused(stored: Arrays, damage: str) -> None:
    arrays = dict(stored)
    DAMAGES[damage](arrays)
    with pytest.raises(ValueError, match="hierarchy"):
        Hierarchy.from_arrays(arrays)


@pytest.mark.parametrize("name", ["triangles", "0.kept", "0.triangles", "0.corners", "0.weights", "1.corners"])
def test_missing_arrays_are_refused(stored: Arrays, name: str) -> None:
    arrays = {own: array for own, array in stored.items() if own != name}
    with pytest.raises((KeyError, ValueError)):
        Hierarchy.from_arrays(arrays)


# --- cached ---


def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one with each hierarchy that is built from now on."""
    calls: list[int] = []

    def counted(vertices: Float, triangles: Ints, factors: tuple[int, ...]) -> Hierarchy:
        calls.append(len(vertices))
        return build(vertices, triangles, factors)

    monkeypatch.setattr(module, "build", counted)
    return calls


def test_the_cache_gives_what_was_built(
    cache: Path, monkeypatch: pytest.MonkeyPatch, surface: tuple[Float, Ints]
) -> None:
    calls = builds(monkeypatch)
    wanted = build(*surface, (4, 2))
    for _ in range(3):
        assert_same(cached(*surface, (4, 2)), wanted)
    assert len(calls) == 1
    assert [file.suffix for file in cache.iterdir()] == [".safetensors"]


def test_the_cache_goes_by_content(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = builds(monkeypatch)
    vertices, triangles = sheet()
    moved = vertices.copy()
    moved[0, 0] = np.nextafter(moved[0, 0], np.inf)
    turned = triangles.copy()
    turned[0] = np.roll(turned[0], 1)
    variants = [
        (vertices, triangles, (4, 2)),
        (vertices, triangles, (4, 3)),
        (vertices, triangles, (4,)),
        (moved, triangles, (4, 2)),
        (vertices, turned, (4, 2)),
    ]
    for variant in variants * 2:
        assert_same(cached(*variant), build(*variant))
    assert len(calls) == len(list(cache.iterdir())) == len(variants)
    # Another way to hold the same numbers is the same content.
    cached(np.asfortranarray(vertices), triangles.astype(np.int32).astype(np.int64), [4, 2])
    monkeypatch.setattr(module, "REVISION", module.REVISION + 1)
    assert len(calls) == len(variants)
    cached(*variants[0])
    assert len(calls) == len(variants) + 1


@pytest.mark.parametrize("data", [b"", b"nothing", b"\xff" * 200], ids=["empty", "short", "garbage"])
def test_a_damaged_cache_is_built_again(cache: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    vertices, triangles = sheet()
    wanted = cached(vertices, triangles, (4, 2))
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    calls = builds(monkeypatch)
    for broken in (data, whole[:-1], whole[: len(whole) // 2]):
        file.write_bytes(broken)
        assert_same(cached(vertices, triangles, (4, 2)), wanted)
        assert file.read_bytes() == whole
    assert len(calls) == 3


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surface: tuple[Float, Ints]
) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert_same(cached(*surface, (4, 2)), build(*surface, (4, 2)))
    assert blocked.read_bytes() == b""


def test_without_a_setting_the_cache_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cached(*sheet(), (4,))
    assert [os.path.relpath(file.parent, tmp_path) for file in tmp_path.rglob("*.safetensors")] == [".cache/facegen"]
