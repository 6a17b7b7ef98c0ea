"""A strict reader of the Wavefront OBJ subset that face models are published in.

Known statements: comments, ``mtllib``, ``v x y z``, ``vt u v``, ``usemtl`` and ``f v/vt …`` with three or four
corners, 1-based. Anything else is refused with its line number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError

_NUMBER = r"[ \t]+[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_VERTEX = re.compile(rf"v(?:{_NUMBER}){{3}}[ \t]*", re.ASCII)
_UV = re.compile(rf"vt(?:{_NUMBER}){{2}}[ \t]*", re.ASCII)
_FACE = re.compile(r"f(?:[ \t]+\d{1,9}/\d{1,9}){3,4}[ \t]*", re.ASCII)


@dataclass(frozen=True)
class Obj:
    """The content of an OBJ file. Indices are 0-based."""

    vertices: NDArray[np.float64]
    """(V, 3) in the file's unit."""
    uvs: NDArray[np.float64]
    """(U, 2)."""
    polygons: NDArray[np.int32]
    """(P, 4) vertex indices; a triangle has -1 in the last column."""
    polygon_uvs: NDArray[np.int32]
    """(P, 4) indices into :attr:`uvs`, alike."""
    materials: tuple[tuple[str, int], ...]
    """Names of the ``usemtl`` statements, each with the number of the first polygon after it."""


def read_obj(path: Path) -> Obj:
    """Read an OBJ file.

    Raises:
        ModelError: the file is missing or holds a statement, a number or an index that is not of the known subset.
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not an OBJ file: byte {error.start} is not ASCII text") from None
    return parse_obj(text, path)


def parse_obj(text: str, path: Path) -> Obj:
    """Like :func:`read_obj`, of a text; ``path`` is for the messages."""
    vertices: list[str] = []
    uvs: list[str] = []
    faces: list[str] = []
    materials: list[tuple[str, int]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        # The kinds in the order of their frequency; each line is checked as a whole, numbers are converted in bulk.
        if _VERTEX.fullmatch(line):
            vertices.append(line[1:])
        elif _UV.fullmatch(line):
            uvs.append(line[2:])
        elif _FACE.fullmatch(line):
            faces.append(line[1:])
        elif line.startswith("usemtl "):
            materials.append((line[7:].strip(), len(faces)))
        elif line and not line.isspace() and not line.startswith(("#", "mtllib ")):
            _refuse(path, number, line)
    if not vertices or not faces:
        raise ModelError(f"{path}: expected vertices and faces, found {len(vertices)} and {len(faces)}")
    points = np.array(" ".join(vertices).split(), np.float64).reshape(-1, 3)
    coordinates = np.array(" ".join(uvs).split(), np.float64).reshape(-1, 2)
    for name, values in (("v", points), ("vt", coordinates)):
        if not np.isfinite(values).all():
            raise ModelError(f"{path}: the '{name}' statements hold a number beyond the range of float64")
    polygons = _corners(faces)
    for column, (name, count) in enumerate((("vertex", len(points)), ("texture", len(coordinates)))):
        used = polygons[:, :, column]
        if used.max() >= count or used.min() < -1 or used[:, :3].min() < 0:
            raise ModelError(f"{path}: a face has a {name} index outside 1 … {count}")
    return Obj(
        vertices=points,
        uvs=coordinates,
        polygons=np.ascontiguousarray(polygons[:, :, 0]),
        polygon_uvs=np.ascontiguousarray(polygons[:, :, 1]),
        materials=tuple(materials),
    )


def _corners(faces: list[str]) -> NDArray[np.int32]:
    """(P, 4, 2) 0-based vertex and texture indices; -1 fills up the triangles."""
    flat = np.array(" ".join(faces).replace("/", " ").split(), np.int64) - 1
    sizes = np.array([face.count("/") for face in faces])
    corners = np.full((len(faces), 4, 2), -1, np.int64)
    corners[np.arange(4) < sizes[:, None]] = flat.reshape(-1, 2)
    # An index of 0 became -1, which would pass for the filling of a triangle: push it out of range instead.
    quads = corners[sizes == 4]
    corners[sizes == 4] = np.where(quads < 0, -2, quads)
    return corners.astype(np.int32)


def _refuse(path: Path, number: int, line: str) -> NoReturn:
    shown = line if len(line) <= 60 else line[:57] + "..."
    raise ModelError(
        f"{path}, line {number}: expected 'v x y z', 'vt u v', 'f v/vt …' of 3 or 4 corners, 'usemtl', 'mtllib' "
        f"or a comment, found {shown!r}"
    )
