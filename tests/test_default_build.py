"""The shipped arrays of the default model are what its sources build."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.default.build import build
from facegen.morphable.default.expression_pca import fit_folder, read_components
from facegen.morphable.default.network import read_network
from facegen.morphable.default.packing import read_arrays, unpack_basis, write_arrays
from facegen.tests.data_paths import shared_path

Arrays = dict[str, NDArray[Any]]

# Linear algebra libraries differ in the last bits, which moves a value that lies on the border between two steps.
BORDERLINE = 1e-3


@pytest.fixture(scope="module")
def shipped() -> Arrays:
    data = files("facegen.morphable.default").joinpath("model.npz").read_bytes()
    return read_arrays(data, "model.npz")


@pytest.fixture(scope="module")
def built() -> Arrays:
    return build()


def test_the_sources_build_what_is_shipped(shipped: Arrays, built: Arrays) -> None:
    assert shipped.keys() == built.keys()
    for name, array in built.items():
        assert array.shape == shipped[name].shape, name
        assert array.dtype == shipped[name].dtype, name
        if name.endswith("_planes") or name.startswith(("identity", "expression", "population.")):
            continue
        if name in ("anthropometry.vertices", "anthropometry.weights"):
            # A point on an edge lies in two triangles; which is named hangs on the last bits, and so on the processor.
            continue
        if array.dtype.kind in "biuU" and name not in ("occlusion", "albedo_masks", "relief_values"):
            np.testing.assert_array_equal(array, shipped[name], err_msg=name)
        else:
            step = 1 if array.dtype.kind in "iu" else 2.0 / 8192
            difference = np.abs(array.astype(np.float64) - shipped[name])
            assert difference.max() <= step, name
            assert (difference > 0).mean() < BORDERLINE or array.dtype.kind == "f", name


def test_anatomical_points_are_where_they_were(shipped: Arrays, built: Arrays) -> None:
    old, new = (
        np.einsum("mpkc,mpk->mpc", shipped["mean"][arrays["anthropometry.vertices"]], arrays["anthropometry.weights"])
        for arrays in (shipped, built)
    )
    np.testing.assert_allclose(new, old, atol=2e-3)


@pytest.mark.parametrize("kind", ["identity", "expression"])
def test_the_bases_are_built_to_a_step(shipped: Arrays, built: Arrays, kind: str) -> None:
    scale = shipped[f"{kind}_scale"]
    old, new = (unpack_basis(arrays[f"{kind}_planes"], arrays[f"{kind}_scale"]) for arrays in (shipped, built))
    # Largest difference of each component, in steps of about a 32,000th of its largest displacement.
    steps = np.abs(old - new).reshape(len(scale), -1).max(axis=1) / scale
    assert steps.max() < 2.5
    assert tuple(shipped[f"{kind}_names"]) == tuple(built[f"{kind}_names"])


def test_equal_arrays_give_equal_bytes(shipped: Arrays, tmp_path: Any) -> None:
    write_arrays(tmp_path / "again.npz", shipped)
    data = files("facegen.morphable.default").joinpath("model.npz").read_bytes()
    assert (tmp_path / "again.npz").read_bytes() == data


def test_the_model_is_small() -> None:
    folder = files("facegen.morphable.default")
    bytes_ = sum(len(folder.joinpath(name).read_bytes()) for name in ("model.npz", "mesh.npz", "expression_pca.npz"))
    assert bytes_ <= 15_000_000


def test_the_expression_components_are_those_of_the_recordings() -> None:
    folder = shared_path("captures/arkit/take-facial.csv").parent
    found, shipped = fit_folder(folder, read_network()), read_components()
    assert found.provenance == shipped.provenance
    np.testing.assert_allclose(found.mean, shipped.mean, atol=1e-6)
    np.testing.assert_allclose(found.explained, shipped.explained, atol=1e-5)
    # Leading ones exactly; the last share little variance and may mix.
    np.testing.assert_allclose(found.components[:15], shipped.components[:15], atol=2e-4)
    np.testing.assert_allclose(
        found.components.T @ found.components, shipped.components.T @ shipped.components, atol=1e-4
    )
