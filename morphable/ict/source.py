"""Readers of ICT-FaceKit (Li et al. 2020, "Learning Formation of Physically-Based Face Attributes").

Two layouts hold the same model: the published folder ``FaceXModel/`` of OBJ files, and one ``.npz`` with the arrays
of that folder (about 40 times faster to load; :func:`write_npz` makes it). Both give the same :class:`IctSource`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.ict.layout import POLYGON_COUNT, UV_COUNT, VERTEX_COUNT
from facegen.morphable.ict.obj import Obj, read_obj

_LOG = logging.getLogger(__name__)

Float = NDArray[np.float32]

ORIGIN = "the ICT Face Model Light of github.com/ICT-VGL/ICT-FaceKit (see data/README.md)"
NEUTRAL = "generic_neutral_mesh.obj"
INDICES = "vertex_indices.json"


@dataclass(frozen=True)
class IctSource:
    """ICT-FaceKit as it is published: whole head, centimetres, polygons."""

    neutral: Float
    """(26719, 3) cm."""
    polygons: NDArray[np.int32]
    """(26384, 4) vertex indices; a triangle has -1 in the last column."""
    uvs: Float
    """(28911, 2); the integer part of u is a tile."""
    polygon_uvs: NDArray[np.int32]
    """(26384, 4) indices into :attr:`uvs`, alike."""
    identity_names: tuple[str, ...]
    identity_deltas: Float
    """(Ki, 26719, 3) cm per σ."""
    expression_names: tuple[str, ...]
    expression_deltas: Float
    """(Ke, 26719, 3) cm at weight 1."""
    landmarks: NDArray[np.int32]
    """(68,) vertices of the Multi-PIE landmarks."""
    fitting_vertices: NDArray[np.int32]
    """Vertices that the source fits scans with."""
    rigid_vertices: NDArray[np.int32]
    """Vertices that the source aligns heads with: those that expressions do not move."""
    missing_expressions: tuple[str, ...]
    """Expressions that the source lists without having their shape."""
    sha256: str
    """Digest of the file or files."""


def read_ict(path: Path) -> IctSource:
    """Read ICT-FaceKit from an ``.npz`` file or from a folder ``FaceXModel/``.

    Raises:
        ModelError: the model is missing, damaged or another one; the message names the file and what was expected.
    """
    if path.is_dir():
        return read_folder(path)
    return read_npz(path)


def read_npz(path: Path) -> IctSource:
    """Read the packed model; see :func:`read_ict`."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); expected {ORIGIN}") from None
    try:
        with stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ModelError(f"{path}: a single NumPy array; expected an .npz of {ORIGIN}")
            with archive:
                return _from_arrays(_Arrays(path, archive), digest)
    # Whatever NumPy makes of a damaged file: truncated, no zip, a damaged member, pickled objects.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: no readable .npz file ({_first_line(error)}); expected {ORIGIN}") from None


def _from_arrays(arrays: _Arrays, digest: str) -> IctSource:
    identity_names = arrays.names("identity_names")
    expression_names = arrays.names("expression_names")
    return IctSource(
        neutral=arrays.numbers("neutral_vertices", (VERTEX_COUNT, 3)),
        polygons=arrays.indices("faces", (POLYGON_COUNT, 4), VERTEX_COUNT, low=-1),
        uvs=arrays.numbers("uvs", (UV_COUNT, 2)),
        polygon_uvs=arrays.indices("face_uvs", (POLYGON_COUNT, 4), UV_COUNT, low=-1),
        identity_names=identity_names,
        identity_deltas=arrays.numbers("identity_deltas", (len(identity_names), VERTEX_COUNT, 3)),
        expression_names=expression_names,
        expression_deltas=arrays.numbers("expression_deltas", (len(expression_names), VERTEX_COUNT, 3)),
        landmarks=arrays.indices("landmarks68", (68,), VERTEX_COUNT),
        fitting_vertices=arrays.indices("fitting_vertices", (None,), VERTEX_COUNT),
        rigid_vertices=arrays.indices("rigid_vertices", (None,), VERTEX_COUNT),
        missing_expressions=(),
        sha256=digest,
    )


class _Arrays:
    """The members of an ``.npz``, each checked as it is read."""

    def __init__(self, path: Path, archive: Mapping[str, Any]) -> None:
        self._path = path
        self._archive = archive

    def _read(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        if name not in self._archive:
            raise ModelError(f"{self._path}: the array '{name}' is missing; expected {ORIGIN}")
        try:
            array: NDArray[Any] = self._archive[name]
        except ValueError as error:
            raise ModelError(f"{self._path}: the array '{name}' cannot be read ({_first_line(error)})") from None
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if not fits or array.dtype.kind not in kinds:
            expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
            raise ModelError(
                f"{self._path}: the array '{name}' is {array.dtype} {array.shape}; expected shape {expected}"
                f" of kind '{kinds}'"
            )
        return array

    def numbers(self, name: str, shape: tuple[int | None, ...]) -> Float:
        array = self._read(name, "f", shape).astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ModelError(f"{self._path}: the array '{name}' holds numbers that are not finite")
        return array

    def indices(self, name: str, shape: tuple[int | None, ...], count: int, low: int = 0) -> NDArray[np.int32]:
        array = self._read(name, "iu", shape)
        if array.size and (array.min() < low or array.max() >= count):
            raise ModelError(f"{self._path}: the array '{name}' holds an index outside {low} … {count - 1}")
        return array.astype(np.int32, copy=False)

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(str(value) for value in self._read(name, "U", (None,)))


def read_folder(path: Path) -> IctSource:
    """Read the published folder of OBJ files; see :func:`read_ict`.

    Expressions that ``vertex_indices.json`` lists but whose OBJ is absent are left out, with one logged warning. OBJ
    files that are not listed (the source's ``PupilDilate`` and ``cheekRaiser``) are not of the 53 and are not read.
    """
    indices_bytes, indices = _read_indices(path / INDICES)
    digest = hashlib.sha256(indices_bytes)
    neutral = _read_shape(path / NEUTRAL, None, digest)
    identity_names = tuple(sorted(file.stem for file in path.glob("identity*.obj") if _IDENTITY.fullmatch(file.stem)))
    if not identity_names:
        raise ModelError(f"{path}: no identity000.obj; expected {ORIGIN}")
    listed = _strings(path / INDICES, indices, "expressions")
    expression_names = tuple(name for name in listed if (path / f"{name}.obj").is_file())
    missing = tuple(name for name in listed if name not in expression_names)
    if missing:
        _LOG.warning(
            "%s: %d of %d expressions have no OBJ file and are left out: %s",
            path, len(missing), len(listed), ", ".join(missing),
        )  # fmt: skip

    def deltas(names: tuple[str, ...]) -> Float:
        shapes = (_read_shape(path / f"{name}.obj", neutral, digest).vertices - neutral.vertices for name in names)
        return np.array([shape.astype(np.float32) for shape in shapes], np.float32).reshape(-1, VERTEX_COUNT, 3)

    return IctSource(
        neutral=neutral.vertices.astype(np.float32),
        polygons=neutral.polygons,
        uvs=neutral.uvs.astype(np.float32),
        polygon_uvs=neutral.polygon_uvs,
        identity_names=identity_names,
        identity_deltas=deltas(identity_names),
        expression_names=expression_names,
        expression_deltas=deltas(expression_names),
        landmarks=_index_list(path / INDICES, indices, "idx_to_landmark_verts", 68),
        fitting_vertices=_index_list(path / INDICES, indices, "idx_to_fitting_verts"),
        rigid_vertices=_index_list(path / INDICES, indices, "idx_to_rigid_verts"),
        missing_expressions=missing,
        sha256=digest.hexdigest(),
    )


_IDENTITY = re.compile(r"identity\d{3}")


def _read_shape(path: Path, neutral: Obj | None, digest: Any) -> Obj:
    """One OBJ of the folder, of the known layout and with the neutral's polygons."""
    shape = read_obj(path)
    digest.update(path.name.encode())
    digest.update(path.read_bytes())
    found = (len(shape.vertices), len(shape.polygons), len(shape.uvs))
    if found != (VERTEX_COUNT, POLYGON_COUNT, UV_COUNT):
        raise ModelError(
            f"{path}: found {found[0]} vertices, {found[1]} polygons and {found[2]} texture coordinates; "
            f"expected {VERTEX_COUNT}, {POLYGON_COUNT} and {UV_COUNT} of {ORIGIN}"
        )
    if neutral is not None and not np.array_equal(shape.polygons, neutral.polygons):
        different = int((shape.polygons != neutral.polygons).any(axis=1).sum())
        raise ModelError(
            f"{path}: found {found[1]} polygons of which {different} differ from the neutral's; "
            f"expected the {len(neutral.polygons)} polygons of {NEUTRAL}"
        )
    return shape


def _read_indices(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        content = path.read_bytes()
        indices = json.loads(content)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); expected {ORIGIN}") from None
    except ValueError as error:
        raise ModelError(f"{path}: no JSON ({_first_line(error)})") from None
    if not isinstance(indices, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(indices).__name__}")
    return content, indices


def _strings(path: Path, indices: dict[str, Any], key: str) -> tuple[str, ...]:
    values = indices.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ModelError(f"{path}: '{key}' is no list of names")
    return tuple(values)


def _index_list(path: Path, indices: dict[str, Any], key: str, count: int | None = None) -> NDArray[np.int32]:
    values = indices.get(key)
    # bool is an int to Python, and no index.
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < VERTEX_COUNT for value in values):
        raise ModelError(f"{path}: '{key}' is no list of vertex indices below {VERTEX_COUNT}")
    if count is not None and len(values) != count:
        raise ModelError(f"{path}: '{key}' has {len(values)} entries; expected {count}")
    return np.array(values, np.int32)


def write_npz(source: IctSource, path: Path) -> None:
    """Pack a source into one ``.npz`` that :func:`read_npz` reads: loading takes half a second instead of many."""
    np.savez_compressed(
        path,
        neutral_vertices=source.neutral,
        faces=source.polygons,
        uvs=source.uvs,
        face_uvs=source.polygon_uvs,
        identity_names=np.array(source.identity_names),
        identity_deltas=source.identity_deltas,
        expression_names=np.array(source.expression_names),
        expression_deltas=source.expression_deltas,
        landmarks68=source.landmarks,
        fitting_vertices=source.fitting_vertices,
        rigid_vertices=source.rigid_vertices,
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
