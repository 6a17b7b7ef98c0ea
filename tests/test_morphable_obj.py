"""The OBJ reader: what it reads comes back, what it does not know it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facegen.errors import ModelError
from facegen.morphable.ict.obj import Obj, parse_obj, read_obj

PATH = Path("shape.obj")

SMALL = """# a comment
mtllib some.mtl
v 0 0 0
v 1.5 0 0
v 1 -1e-3 .5
v 0 1. +2
vt 0 0
vt 1 1
usemtl skin
f 1/1 2/2 3/1 4/2

usemtl lips
f 1/2 3/1 4/1
"""


def test_statements_are_read() -> None:
    obj = parse_obj(SMALL, PATH)
    assert np.array_equal(obj.vertices, [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [1.0, -0.001, 0.5], [0.0, 1.0, 2.0]])
    assert np.array_equal(obj.uvs, [[0, 0], [1, 1]])
    assert np.array_equal(obj.polygons, [[0, 1, 2, 3], [0, 2, 3, -1]])
    assert np.array_equal(obj.polygon_uvs, [[0, 1, 0, 1], [1, 0, 0, -1]])
    assert obj.materials == (("skin", 0), ("lips", 1))


def test_lines_may_end_as_on_windows() -> None:
    dos, unix = parse_obj(SMALL.replace("\n", "\r\n"), PATH), parse_obj(SMALL, PATH)
    assert np.array_equal(dos.vertices, unix.vertices)
    assert np.array_equal(dos.polygons, unix.polygons)
    assert dos.materials == unix.materials


@pytest.mark.parametrize(
    "line",
    [
        "v 1 2",
        "v 1 2 3 4",
        "v 1 2 nan",
        "v 1 2 1_0",
        "v 1 2 0x1",
        "vt 1",
        "f 1/1 2/1",
        "f 1 2 3",
        "f 1/1 2/1 3/1 4/1 1/1",
        "f -1/1 2/1 3/1",
        "f 1/1/1 2/1/1 3/1/1",
        "vn 0 0 1",
        "g nose",
        "f 1/1 2/1 3/1 # a comment",
        "V 1 2 3",
    ],
)
def test_an_unknown_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ModelError, match=r"shape\.obj, line 14: .*found"):
        parse_obj(SMALL + line + "\n", PATH)


@pytest.mark.parametrize(
    "face", ["f 1/1 2/1 5/1", "f 0/1 1/1 2/1", "f 1/1 2/0 3/1", "f 1/1 2/3 3/1", "f 1/1 2/1 3/1 0/1"]
)
def test_an_index_out_of_range_is_refused(face: str) -> None:
    with pytest.raises(ModelError, match="index outside 1"):
        parse_obj(SMALL + face + "\n", PATH)


def test_numbers_beyond_float64_are_refused() -> None:
    with pytest.raises(ModelError, match="'v' statements"):
        parse_obj(SMALL + "v 1e999 0 0\n", PATH)


@pytest.mark.parametrize("text", ["", "# nothing\n", "v 0 0 0\n", "vt 0 0\n"])
def test_a_file_without_a_mesh_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="expected vertices and faces"):
        parse_obj(text, PATH)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_obj(tmp_path / "absent.obj")
    with pytest.raises(ModelError, match="cannot be read"):
        read_obj(tmp_path)
    (tmp_path / "binary.obj").write_bytes(b"v 0 0 0\n\xff\xfe")
    with pytest.raises(ModelError, match="byte 8"):
        read_obj(tmp_path / "binary.obj")


finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def meshes(draw: st.DrawFn) -> Obj:
    vertices = draw(st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=8))
    uvs = draw(st.lists(st.tuples(finite, finite), min_size=1, max_size=8))
    polygons, polygon_uvs = [], []
    for size in draw(st.lists(st.sampled_from([3, 4]), min_size=1, max_size=8)):
        padding = [-1] * (4 - size)
        corner, uv = st.integers(0, len(vertices) - 1), st.integers(0, len(uvs) - 1)
        polygons.append(draw(st.lists(corner, min_size=size, max_size=size)) + padding)
        polygon_uvs.append(draw(st.lists(uv, min_size=size, max_size=size)) + padding)
    return Obj(
        vertices=np.array(vertices, np.float64),
        uvs=np.array(uvs, np.float64),
        polygons=np.array(polygons, np.int32),
        polygon_uvs=np.array(polygon_uvs, np.int32),
        materials=(("skin", 0),),
    )


def written(mesh: Obj) -> str:
    lines = ["mtllib x.mtl"]
    lines += ["v " + " ".join(repr(float(x)) for x in row) for row in mesh.vertices]
    lines += ["vt " + " ".join(repr(float(x)) for x in row) for row in mesh.uvs]
    lines += [f"usemtl {name}" for name, _ in mesh.materials]
    for corners, uvs in zip(mesh.polygons, mesh.polygon_uvs, strict=True):
        pairs = zip(corners, uvs, strict=True)
        lines.append("f " + " ".join(f"{corner + 1}/{uv + 1}" for corner, uv in pairs if corner >= 0))
    return "\n".join(lines) + "\n"


@given(meshes())
def test_what_is_written_is_read(mesh: Obj) -> None:
    again = parse_obj(written(mesh), PATH)
    assert np.array_equal(again.vertices, mesh.vertices)
    assert np.array_equal(again.uvs, mesh.uvs)
    assert np.array_equal(again.polygons, mesh.polygons)
    assert np.array_equal(again.polygon_uvs, mesh.polygon_uvs)
    assert again.materials == mesh.materials


lines = st.one_of(
    st.sampled_from(SMALL.split("\n")),
    st.text(alphabet="vtf 0123456789./-+e#\r\t", max_size=20),
    st.text(max_size=8),
)


@given(st.lists(lines, max_size=20))
@example(["v 1 2 3", "f 1/1 1/1 1/1"])
@example(["v 1 2 3\r", "x\r"])
@example(["v ١ 2 3"])
def test_garbage_is_read_or_refused_and_nothing_else(parts: list[str]) -> None:
    try:
        obj = parse_obj("\n".join(parts), PATH)
    except ModelError:
        return
    assert np.isfinite(obj.vertices).all()
    assert obj.polygons.max() < len(obj.vertices)
    assert obj.polygon_uvs.max() < len(obj.uvs)
