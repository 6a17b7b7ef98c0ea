"""Faces fitted to photographs: ``.mat`` files as 300W-3D and AFLW2000-3D publish them."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from facegen.errors import CaptureError, ModelError
from facegen.morphable.coefficients import Group
from facegen.morphable.fitted import read_deviations, read_fitted
from facegen.morphable.matlab import read_variables
from facegen.tests.clean_faces import refusal

SHAPE_EV = np.geomspace(8.8e5, 1.3e4, 199).astype(np.float32)[:, None]
EXP_EV = np.geomspace(0.9, 0.05, 29)[:, None]
COUNTS: dict[Group, int] = {"identity": 199, "expression": 29}
PARAMETERS: dict[Group, str] = {"identity": "Shape_Para", "expression": "Exp_Para"}
GROUPS: tuple[Group, ...] = ("identity", "expression")


def face_of(number: int) -> dict[str, NDArray[Any]]:
    """All that a file of AFLW2000-3D holds."""
    random = np.random.default_rng(number)
    return {
        "Shape_Para": (random.standard_normal((199, 1)) * SHAPE_EV).astype(np.float32),
        "Exp_Para": random.standard_normal((29, 1)) * EXP_EV,
        "Tex_Para": random.standard_normal((199, 1)).astype(np.float32),
        "Pose_Para": random.standard_normal((1, 7)).astype(np.float32),
        "Illum_Para": random.standard_normal((1, 10)).astype(np.float32),
        "Color_Para": np.ones((1, 7), np.float32),
        "pt2d": random.uniform(0, 450, (2, 68)).astype(np.float32),
        "pt3d_68": random.uniform(0, 450, (3, 68)).astype(np.float32),
        "roi": np.array([[1, 1, 450, 450]], np.uint16),
    }


@pytest.fixture
def basel(tmp_path: Path) -> Path:
    """``01_MorphableModel.mat`` of the Basel Face Model 2009: its arrays at the top."""
    path = tmp_path / "model" / "01_MorphableModel.mat"
    path.parent.mkdir()
    savemat(path, {"shapeMU": np.zeros((30, 1), np.float32), "shapeEV": SHAPE_EV, "texEV": np.ones((199, 1))})
    return path


@pytest.fixture
def face3d(tmp_path: Path) -> Path:
    """``BFM.mat`` of face3d: a structure ``model``."""
    path = tmp_path / "BFM.mat"
    savemat(path, {"model": {"shapeMU": np.zeros((30, 1)), "shapeEV": SHAPE_EV, "expEV": EXP_EV, "tri": np.eye(3)}})
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three fitted faces, one of them in a folder of its own, beside their photographs."""
    path = tmp_path / "AFLW2000"
    (path / "more" / "yet").mkdir(parents=True)
    for number, name in enumerate(("image00002", "image00004", "more/yet/image00001")):
        savemat(path / f"{name}.mat", face_of(number), do_compression=number == 1)
    (path / "image00002.jpg").write_bytes(b"\xff\xd8\xff")
    return path


@pytest.mark.parametrize("group", GROUPS)
def test_raw_coefficients_become_standard_deviations(folder: Path, face3d: Path, group: Group) -> None:
    deviation = (SHAPE_EV if group == "identity" else EXP_EV).astype(np.float64)
    found = read_fitted(folder, face3d, group)
    raw = np.stack([face_of(number)[PARAMETERS[group]][:, 0] for number in range(3)])
    expected = (raw.astype(np.float32) / deviation[:, 0]).astype(np.float32)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, expected)
    assert 0.8 < found.values.std() < 1.2
    np.testing.assert_array_equal(found.deviation, deviation[:, 0].astype(np.float32))
    assert found.units == ("image00002.mat", "image00004.mat", "more/yet/image00001.mat")
    assert found.unit.tolist() == [0, 1, 2]
    assert found.group == group
    assert found.names == tuple(f"{group}_{number}" for number in range(COUNTS[group]))
    assert found.bounds == (-np.inf, np.inf)
    assert found.provenance["files"] == 3


def test_both_models_have_the_same_deviations(folder: Path, basel: Path, face3d: Path) -> None:
    ours, theirs = (read_fitted(folder, path, "identity") for path in (basel, face3d))
    assert ours.sha256 == theirs.sha256
    assert ours.model_sha256 == hashlib.sha256(SHAPE_EV.astype(np.float64).tobytes()).hexdigest()
    np.testing.assert_array_equal(read_deviations(basel, "identity"), SHAPE_EV[:, 0].astype(np.float64))
    np.testing.assert_array_equal(read_deviations(face3d, "expression"), EXP_EV[:, 0])


def test_the_digest_follows_the_parameters_and_not_the_folder(folder: Path, basel: Path, tmp_path: Path) -> None:
    before = read_fitted(folder, basel, "identity").provenance
    moved = folder.rename(tmp_path / "elsewhere")
    assert read_fitted(moved, basel, "identity").provenance == before
    savemat(moved / "image00002.mat", face_of(7))
    assert read_fitted(moved, basel, "identity").provenance["sha256"] != before["sha256"]


def test_a_split_of_files(folder: Path, basel: Path) -> None:
    train, test = read_fitted(folder, basel, "identity").split(0.3, 0)
    assert (len(train), len(test)) == (2, 1)


class TestFolders:
    """What is no folder of fitted faces."""

    def refused(self, folder: Path, model: Path) -> str:
        return refusal(CaptureError, read_fitted, folder, model, "identity")

    def test_missing(self, tmp_path: Path, basel: Path) -> None:
        absent = tmp_path / "absent"
        line = self.refused(absent, basel)
        assert line == f"{absent}: is no folder; expected fitted faces of 300W-3D or AFLW2000-3D"

    def test_a_file(self, folder: Path, basel: Path) -> None:
        assert self.refused(folder / "image00002.mat", basel).startswith(f"{folder}/image00002.mat: is no folder;")

    def test_empty(self, tmp_path: Path, basel: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert self.refused(tmp_path / "empty", basel).startswith(f"{tmp_path}/empty: has no .mat files;")

    def test_a_folder_named_like_a_file(self, folder: Path, basel: Path) -> None:
        (folder / "image00000.mat").mkdir()
        assert self.refused(folder, basel) == f"{folder}/image00000.mat: cannot be read (Is a directory)"


def harmed(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {**face_of(0), **changes}
    return {name: value for name, value in content.items() if value is not None}


def with_value(array: NDArray[Any], value: float) -> NDArray[Any]:
    result = array.copy()
    result[17, 0] = value
    return result


CONTENTS = [
    ({"Shape_Para": None}, "no array 'Shape_Para'; expected a fitted face of 300W-3D or AFLW2000-3D"),
    ({"Shape_Para": np.ones((198, 1))}, r"'Shape_Para' is float64 \(198, 1\); expected \(199, 1\) numbers"),
    ({"Shape_Para": np.ones((199, 2))}, r"'Shape_Para' is float64 \(199, 2\); expected \(199, 1\) numbers"),
    ({"Shape_Para": np.zeros((0, 0))}, r"'Shape_Para' is float64 \(0, 0\); expected \(199, 1\) numbers"),
    ({"Shape_Para": "text"}, r"'Shape_Para' is text; expected \(199, 1\) numbers"),
    ({"Shape_Para": np.ones((199, 1)) * 1j}, r"'Shape_Para' is complex numbers; expected \(199, 1\) numbers"),
    ({"Shape_Para": {"a": 1}}, r"'Shape_Para' is a structure; expected \(199, 1\) numbers"),
    ({"Shape_Para": np.array([1, "a"], object)}, r"'Shape_Para' is a cell array; expected \(199, 1\) numbers"),
    ({"Shape_Para": csc_matrix(np.ones((199, 1)))}, r"'Shape_Para' is a sparse matrix; expected \(199, 1\) numbers"),
    ({"Shape_Para": with_value(SHAPE_EV, np.nan)}, "'Shape_Para' holds numbers that are not finite"),
    ({"Shape_Para": with_value(SHAPE_EV, -np.inf)}, "'Shape_Para' holds numbers that are not finite"),
    ({"Shape_Para": with_value(SHAPE_EV.astype(np.float64), 1e300)}, "'Shape_Para' holds numbers that are not finite"),
    (
        {"Shape_Para": with_value(SHAPE_EV, 60 * SHAPE_EV[17, 0])},
        r"Shape_Para reaches 60 σ, more than 50; expected raw units of the model in .*/01_MorphableModel\.mat",
    ),
]


@pytest.mark.parametrize(("changes", "message"), CONTENTS)
def test_contents_that_are_refused(folder: Path, basel: Path, changes: dict[str, Any], message: str) -> None:
    path = folder / "image00003.mat"
    savemat(path, harmed(**changes))
    line = refusal(CaptureError, read_fitted, folder, basel, "identity")
    assert line.startswith(f"{path}: ")
    with pytest.raises(CaptureError, match=message):
        read_fitted(folder, basel, "identity")


def test_coefficients_in_other_units_are_refused(tmp_path: Path, folder: Path) -> None:
    # Variances in the place of standard deviations, and a model in millimetres instead of micrometres.
    for name, deviation in (("millimetres.mat", SHAPE_EV / 1000), ("tiny.mat", np.full((199, 1), 1e-40))):
        savemat(tmp_path / name, {"shapeEV": deviation})
        line = refusal(CaptureError, read_fitted, folder, tmp_path / name, "identity")
        assert line.startswith(f"{folder}/image00002.mat: Shape_Para reaches ")
        assert line.endswith(f" σ, more than 50; expected raw units of the model in {tmp_path}/{name}")


def test_files_that_are_none_are_refused(folder: Path, basel: Path) -> None:
    path = folder / "image00002.mat"
    whole = path.read_bytes()
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970 HDF5 schema 1.00 ."
    hdf5 = header.ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(100)
    cases = [
        b"",
        b"MATLAB 5.0",
        whole[:100],
        whole[:200],
        whole[: len(whole) // 2],
        whole[:-3],
        b"<html>404</html>" * 100,
        b"version https://git-lfs.github.com/spec/v1\n" * 9,
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        bytes(1000),
    ]
    for content in cases:
        path.write_bytes(content)
        assert refusal(CaptureError, read_fitted, folder, basel, "identity").startswith(f"{path}: ")
    path.write_bytes(hdf5)
    line = refusal(CaptureError, read_fitted, folder, basel, "identity")
    assert line == f"{path}: a MATLAB 7.3 file; expected MATLAB 5, as the data sets are published"


MODELS: list[tuple[dict[str, Any], str]] = [
    ({"texEV": np.ones((199, 1))}, "no array 'shapeEV'; expected 01_MorphableModel.mat or face3d's BFM.mat"),
    ({"model": {"expEV": np.ones((29, 1))}}, "no array 'shapeEV'; expected "),
    ({"model": np.ones(3)}, "no array 'shapeEV'; expected "),
    ({"model": np.zeros((0, 0), [("shapeEV", object)])}, "no array 'shapeEV'; expected "),
    ({"shapeEV": with_value(SHAPE_EV, 0)}, "'shapeEV' holds standard deviations that are not positive"),
    ({"shapeEV": with_value(SHAPE_EV, -3)}, "'shapeEV' holds standard deviations that are not positive"),
    ({"shapeEV": with_value(SHAPE_EV.astype(np.float64), 1e-300)}, "'shapeEV' holds standard deviations that are not "),
    ({"shapeEV": with_value(SHAPE_EV.astype(np.float64), 1e300)}, "'shapeEV' holds standard deviations that are not "),
    ({"shapeEV": with_value(SHAPE_EV, np.nan)}, "'shapeEV' holds standard deviations that are not positive"),
    ({"shapeEV": np.zeros((0, 1))}, "'shapeEV' is float64 (0, 1); expected (K, 1) numbers"),
    ({"shapeEV": "text"}, "'shapeEV' is text; expected (K, 1) numbers"),
    ({"model": {"shapeEV": {"a": 1}}}, "'shapeEV' is a structure; expected (K, 1) numbers"),
    ({"shapeEV": {"shapeEV": SHAPE_EV}}, "'shapeEV' is a structure; expected (K, 1) numbers"),
]


@pytest.mark.parametrize(("content", "message"), MODELS)
def test_models_that_are_refused(tmp_path: Path, folder: Path, content: dict[str, Any], message: str) -> None:
    path = tmp_path / "other.mat"
    savemat(path, content)
    assert refusal(ModelError, read_fitted, folder, path, "identity").startswith(f"{path}: {message}")


def test_model_files_that_are_none_are_refused(tmp_path: Path, folder: Path, basel: Path) -> None:
    line = refusal(ModelError, read_fitted, folder, tmp_path / "absent.mat", "identity")
    assert line.startswith(f"{tmp_path}/absent.mat: cannot be read (")
    line = refusal(ModelError, read_fitted, folder, basel, "expression")
    assert line.startswith(f"{basel}: no array 'expEV'; expected ")
    basel.write_bytes(basel.read_bytes()[:300])
    assert refusal(ModelError, read_fitted, folder, basel, "identity").startswith(f"{basel}: ")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A fitted face, as it is and compressed."""
    path = tmp_path_factory.mktemp("valid") / "a.mat"
    files = []
    for compressed in (False, True):
        content = {"Shape_Para": face_of(0)["Shape_Para"], "model": {"shapeEV": SHAPE_EV}}
        savemat(path, content, do_compression=compressed)
        files.append(path.read_bytes())
    return files[0], files[1]


def tried(path: Path, content: bytes) -> None:
    """Whatever a file holds, reading it ends well or in one of our refusals."""
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        deviation = read_deviations(path, "identity")
        assert (deviation > 0).all()
    with contextlib.suppress(CaptureError, ModelError):
        found = read_fitted(path.parent, path.parent.parent / "model.mat", "identity")
        assert np.isfinite(found.values).all()


fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    savemat(tmp_path / "model.mat", {"shapeEV": SHAPE_EV})
    (tmp_path / "faces").mkdir()
    return tmp_path / "faces" / "face.mat"


kinds = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "<f4", ">f8"])


@fuzzed
@given(
    arrays=st.dictionaries(
        st.sampled_from(["a", "Shape_Para", "a_name_of_some_length", "x" * 31]),
        kinds.flatmap(
            lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=5))
        ),
        min_size=1,
    ),
    compressed=st.booleans(),
    inside=st.booleans(),
)
def test_what_scipy_writes_is_read_as_scipy_reads_it(
    place: Path, arrays: dict[str, NDArray[Any]], compressed: bool, inside: bool
) -> None:
    savemat(place, {"model": arrays} if inside else arrays, do_compression=compressed, long_field_names=True)
    wanted = {name: array for name, array in arrays.items() if name != "a"}
    names = ["model", *wanted]
    found: Any = read_variables(place.read_bytes(), names)
    theirs = loadmat(place, variable_names=names)
    if inside:
        assert found.keys() == {"model"}
        assert found["model"].keys() == arrays.keys()
        found, wanted = found["model"], arrays
        theirs = {name: theirs["model"][name].flat[0] for name in arrays}
    else:
        assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].dtype.kind == theirs[name].dtype.kind
        assert found[name].dtype.itemsize == theirs[name].dtype.itemsize
        np.testing.assert_array_equal(found[name], theirs[name])


@fuzzed
@given(content=st.binary(max_size=300))
def test_any_bytes(place: Path, content: bytes) -> None:
    tried(place, content)
    tried(place, b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + content)


@fuzzed
@given(
    compressed=st.booleans(),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    head=st.booleans(),
)
def test_any_change_of_a_good_file(
    place: Path, valid: tuple[bytes, bytes], compressed: bool, changes: list[tuple[float, int]], head: bool
) -> None:
    content = bytearray(valid[compressed])
    for where, value in changes:
        # Most of a file is numbers: its tags are where readers stumble.
        content[124 + int(where * 80) if head else int(where * len(content))] = value
    tried(place, bytes(content))


@fuzzed
@given(compressed=st.booleans(), cut=st.floats(0, 1))
def test_any_beginning_of_a_good_file(place: Path, valid: tuple[bytes, bytes], compressed: bool, cut: float) -> None:
    content = valid[compressed]
    tried(place, content[: int(cut * len(content))])
