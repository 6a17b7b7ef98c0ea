"""ICT-FaceKit: both readers, what they refuse, and the model that is built."""

from __future__ import annotations

import json
import logging
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.albedo import LinearAlbedo
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.ict.build import build_ict
from facegen.morphable.ict.layout import POLYGON_COUNT, POLYGON_RANGES
from facegen.morphable.ict.parts import Part
from facegen.morphable.ict.source import IctSource, read_folder, read_ict, read_npz, write_npz
from facegen.morphable.model import MorphableModel
from facegen.tests.data_paths import shared_path
from facegen.tests.morphable_contract import MorphableModelContract, directed_edges, zeros

NPZ = "models/ict-facekit/ict_facekit.npz"
FOLDER = "models/ict-facekit/FaceXModel"
PUBLISHED = "406c6443095c31bf43d9354e53c8e95af5990fae9ae65e13eaacaa86f001c64a"


@lru_cache(maxsize=1)
def packed() -> IctSource:
    return read_ict(shared_path(NPZ))


@lru_cache(maxsize=1)
def folder() -> IctSource:
    return read_ict(shared_path(FOLDER))


@lru_cache(maxsize=3)
def built(part: Part, eyes: bool = True, teeth: bool = True) -> MorphableModel:
    return build_ict(packed(), part, eyes, teeth)


@lru_cache(maxsize=1)
def built_from_folder() -> MorphableModel:
    return build_ict(folder(), "head", eyes=True, teeth=False)


def painted(model: MorphableModel) -> LinearAlbedo:
    assert isinstance(model.albedo, LinearAlbedo)
    return model.albedo


class TestFull(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return built("full")


class TestNarrowFace(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return built("narrow-face", False, False)


class TestFolder(MorphableModelContract):
    @pytest.fixture
    def model(self) -> MorphableModel:
        return built_from_folder()


def arrays_of(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as archive:
        return dict(archive)


def test_the_file_is_the_published_one() -> None:
    assert packed().sha256 == PUBLISHED


def test_the_layout_table_is_the_files() -> None:
    arrays = arrays_of(shared_path(NPZ))
    ranges = [tuple(span) for span in arrays["region_face_ranges"].tolist()]
    assert list(POLYGON_RANGES.items()) == list(zip(arrays["region_names"].tolist(), ranges, strict=True))
    assert ranges[-1][1] == POLYGON_COUNT


def test_both_readers_agree_to_the_bit() -> None:
    one, other = packed(), folder()
    for name in ("neutral", "polygons", "uvs", "polygon_uvs", "landmarks", "fitting_vertices", "rigid_vertices"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert other.identity_names == one.identity_names[:3]
    assert np.array_equal(other.identity_deltas, one.identity_deltas[:3])
    for name, deltas in zip(other.expression_names, other.expression_deltas, strict=True):
        assert np.array_equal(deltas, one.expression_deltas[one.expression_names.index(name)]), name


def test_both_readers_decode_identically() -> None:
    one, other = built("head", True, False), built_from_folder()
    assert np.array_equal(painted(one).mean, painted(other).mean)
    assert one.sha256 != other.sha256
    shared = [one.expression_names.index(name) for name in other.expression_names]
    identity, expression = zeros(other, 2)
    identity[:], expression[:] = [[0.5, -1.0, 2.0], [0.0, 1.0, 0.0]], [[0.5, 0.2, 0.0], [1.0, 0.0, 0.3]]
    full_identity, full_expression = zeros(one, 2)
    full_identity[:, :3], full_expression[:, shared] = identity, expression
    expected = one.decode(full_identity, full_expression)
    np.testing.assert_allclose(other.decode(identity, expression), expected, rtol=0, atol=1e-4)


def test_absent_expressions_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        source = read_folder(shared_path(FOLDER))
    assert source.expression_names == ("eyeBlink_L", "jawOpen", "mouthSmile_L")
    assert len(source.missing_expressions) == 50
    assert "50 of 53" in caplog.text
    assert "browDown_L" in caplog.text
    # A limit on a shape that is not there limits nothing.
    assert build_ict(source, "face", False, False).expression_limits == ()


def test_packing_a_folder_loses_nothing(tmp_path: Path) -> None:
    write_npz(folder(), tmp_path / "packed.npz")
    again = read_npz(tmp_path / "packed.npz")
    for name in ("neutral", "polygons", "uvs", "polygon_uvs", "identity_deltas", "expression_deltas", "landmarks"):
        assert np.array_equal(getattr(again, name), getattr(folder(), name)), name
    assert again.expression_names == folder().expression_names


# What is refused.


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_ict(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "ICT-FaceKit" in refused(tmp_path / "absent.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 and then nothing", b"\x80\x04K\x01."])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.npz").write_bytes(content)
    refused(tmp_path / "model.npz")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_a_truncated_npz_is_refused(tmp_path: Path, share: float) -> None:
    content = shared_path(NPZ).read_bytes()
    (tmp_path / "model.npz").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path / "model.npz")


def test_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    content = bytearray(shared_path(NPZ).read_bytes())
    content[len(content) // 2] ^= 0x55
    (tmp_path / "model.npz").write_bytes(content)
    refused(tmp_path / "model.npz")


def test_a_plain_npy_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "model.npy", np.zeros(3))
    assert "single NumPy array" in refused(tmp_path / "model.npy")


@pytest.fixture
def arrays() -> dict[str, NDArray[Any]]:
    """The folder's model packed: small enough to be written once more in a moment."""
    source = folder()
    return {
        "neutral_vertices": source.neutral,
        "faces": source.polygons,
        "uvs": source.uvs,
        "face_uvs": source.polygon_uvs,
        "identity_names": np.array(source.identity_names[:1]),
        "identity_deltas": source.identity_deltas[:1].copy(),
        "expression_names": np.array(source.expression_names[:1]),
        "expression_deltas": source.expression_deltas[:1].copy(),
        "landmarks68": source.landmarks,
        "fitting_vertices": source.fitting_vertices,
        "rigid_vertices": source.rigid_vertices,
    }


def kwargs_of(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return arrays


def test_objects_are_never_unpickled(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    arrays["expression_names"] = np.array(["jawOpen"], object)
    np.savez(tmp_path / "model.npz", **kwargs_of(arrays))
    assert "expression_names" in refused(tmp_path / "model.npz")


@pytest.mark.parametrize("name", ["neutral_vertices", "uvs", "identity_deltas", "expression_deltas"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], name: str, value: float
) -> None:
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[7] = value
    np.savez(tmp_path / "model.npz", **kwargs_of(arrays))
    assert f"'{name}'" in refused(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("neutral_vertices", np.zeros((5, 3), np.float32)),
        ("faces", np.full((POLYGON_COUNT, 4), 26719, np.int32)),
        ("faces", np.zeros((POLYGON_COUNT, 4), np.float32)),
        ("landmarks68", np.full(68, -1, np.int32)),
        ("landmarks68", np.zeros(51, np.int32)),
        ("identity_deltas", np.zeros((2, 26719, 3), np.float32)),
        ("uvs", None),
    ],
)
def test_an_array_of_another_model_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], name: str, array: NDArray[Any] | None
) -> None:
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    np.savez(tmp_path / "model.npz", **kwargs_of(arrays))
    assert f"'{name}'" in refused(tmp_path / "model.npz")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The neutral, one identity and one expression."""
    source = shared_path(FOLDER)
    for name in ("vertex_indices.json", "generic_neutral_mesh.obj", "identity000.obj", "jawOpen.obj"):
        shutil.copyfile(source / name, tmp_path / name)
    return tmp_path


def test_other_polygons_than_the_neutrals_are_refused(copy: Path) -> None:
    lines = (copy / "jawOpen.obj").read_text().splitlines()
    faces = [number for number, line in enumerate(lines) if line.startswith("f ")]
    lines[faces[0]], lines[faces[1]] = lines[faces[1]], lines[faces[0]]
    (copy / "jawOpen.obj").write_text("\n".join(lines))
    message = refused(copy)
    assert "jawOpen.obj" in message
    assert "2 differ" in message
    (copy / "jawOpen.obj").write_text("\n".join(lines[:-5]))
    message = refused(copy)
    assert "jawOpen.obj" in message
    assert f"{POLYGON_COUNT}" in message


@pytest.mark.parametrize("name", ["vertex_indices.json", "generic_neutral_mesh.obj", "identity000.obj"])
def test_a_folder_without_its_essentials_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert name in refused(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"expressions": [1]}', '{"expressions": []}'])
def test_damaged_indices_are_refused(copy: Path, content: str) -> None:
    (copy / "vertex_indices.json").write_text(content)
    assert "vertex_indices.json" in refused(copy)


def test_indices_out_of_range_are_refused(copy: Path) -> None:
    indices = json.loads((copy / "vertex_indices.json").read_text())
    indices["idx_to_landmark_verts"][3] = 26719
    (copy / "vertex_indices.json").write_text(json.dumps(indices))
    assert "idx_to_landmark_verts" in refused(copy)


# What is built.


@pytest.mark.parametrize(
    ("part", "eyes", "teeth", "vertices", "triangles"),
    [
        ("full", True, True, 22991, 45644),
        ("head", True, True, 22991, 45644),
        ("head", False, False, 11248, 22288),
        ("head", True, False, 13556, 26976),
        ("face", False, False, 9409, 18460),
        ("narrow-face", False, True, 16141, 31788),
        ("narrow-face", False, False, 6706, 13120),
    ],
)
def test_parts_have_their_size_and_all_landmarks(
    part: Part, eyes: bool, teeth: bool, vertices: int, triangles: int
) -> None:
    model = built(part, eyes, teeth)
    assert (model.topology.vertex_count, len(model.topology.triangles)) == (vertices, triangles)
    source = packed()
    assert np.array_equal(model.mean[model.topology.landmarks], source.neutral[source.landmarks] * np.float32(10))
    assert len(model.eyes) == (2 if eyes else 0)


def boundary_loops(triangles: NDArray[np.int32]) -> list[int]:
    """Edges in each connected part of the surface's boundary, sorted."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges, counts = np.unique(np.sort(directed_edges(triangles), axis=1), axis=0, return_counts=True)
    border = edges[counts == 1]
    count = int(triangles.max()) + 1
    links = coo_array((np.ones(len(border)), (border[:, 0], border[:, 1])), shape=(count, count))
    _, component = connected_components(links, directed=False)
    return sorted(np.unique(component[border[:, 0]], return_counts=True)[1].tolist())


EYE, MOUTH, SHOULDERS, FACE_RIM, NARROW_RIM, TONGUE_ROOT, THROAT = 42, 74, 54, 204, 138, 36, 110


@pytest.mark.parametrize(
    ("part", "eyes", "teeth", "openings"),
    [
        ("full", True, True, [SHOULDERS, TONGUE_ROOT, THROAT]),
        ("head", False, False, [EYE, EYE, MOUTH, SHOULDERS]),
        ("head", True, False, [MOUTH, SHOULDERS]),
        ("face", False, False, [EYE, EYE, MOUTH, FACE_RIM]),
        ("face", True, True, [FACE_RIM, TONGUE_ROOT, THROAT]),
        ("narrow-face", False, False, [EYE, EYE, MOUTH, NARROW_RIM]),
    ],
)
def test_cutting_opens_the_mesh_only_where_parts_end(part: Part, eyes: bool, teeth: bool, openings: list[int]) -> None:
    assert boundary_loops(built(part, eyes, teeth).topology.triangles) == sorted(openings)


def test_a_smaller_part_is_the_same_surface() -> None:
    """Vertices, colours and modes of a part are those of the whole."""
    whole, part = built("full"), built("face", False, False)
    where = {tuple(point): index for index, point in enumerate(whole.mean.tolist())}
    kept = np.array([where[tuple(point)] for point in part.mean.tolist()])
    # Two vertices of the lips' corners can coincide; nothing else does.
    assert (np.diff(kept) <= 0).sum() < 5
    assert np.array_equal(whole.expression_basis[:, kept[:1000]], part.expression_basis[:, :1000])
    assert np.array_equal(painted(whole).mean[kept[:1000]], painted(part).mean[:1000])


def test_digests_tell_cuts_apart() -> None:
    assert built("full").sha256 == built("head", True, True).sha256
    assert len({built("head", e, t).sha256 for e in (False, True) for t in (False, True)}) == 4


def test_the_neutral_is_mirror_symmetric() -> None:
    from scipy.spatial import cKDTree

    mean = built("head", False, False).mean
    distance, _ = cKDTree(mean).query(mean * np.array([-1, 1, 1], np.float32))
    assert np.max(distance) < 0.06


def normals(points: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def test_triangles_wind_outwards() -> None:
    model = built("full")
    topology, regions = model.topology, model.topology.region_names
    normal = normals(model.mean, topology.triangles)
    middle = model.mean[topology.triangles].mean(axis=1)
    for eye, side in zip(model.eyes, ("left", "right"), strict=True):
        ball = topology.triangle_region == regions.index(f"eyeball_{side}")
        assert (np.einsum("ij,ij->i", normal[ball], middle[ball] - eye.centre) > 0).all()
    crown = middle[:, 1] > 60
    assert (np.einsum("ij,ij->i", normal[crown], middle[crown] - [0, 30, 10]) > 0).all()
    tip = model.mean[topology.landmarks[30]]
    nose = np.linalg.norm(middle - tip, axis=1) < 5
    assert (normal[nose, 2] > 0).all()


def test_regions_cover_the_parts() -> None:
    topology = built("full").topology
    sizes = dict(zip(topology.region_names, np.bincount(topology.triangle_region).tolist(), strict=True))
    assert sizes["background"] == 0
    assert sizes["face"] + sizes["lips"] == 18460
    assert sizes["head_and_neck"] == 2 * (11144 - 9230)
    assert sizes["eyeball_left"] == sizes["eyeball_right"] == 1536
    teeth = packed().polygons[slice(*POLYGON_RANGES["teeth"])]
    assert sizes["teeth"] == 2 * len(teeth) - (teeth[:, 3] < 0).sum()
    assert set(topology.triangle_region.tolist()) == set(range(1, 10))


def test_the_lips_lie_between_their_landmarks() -> None:
    model = built("head", False, False)
    topology = model.topology
    lips = topology.triangle_region == topology.region_names.index("lips")
    used = np.unique(topology.triangles[lips])
    points, marks = model.mean[used], model.mean[topology.landmarks]
    assert np.isin(topology.landmarks[48:68], used).all()
    assert not np.isin(topology.landmarks[:48], used).any()
    assert points[:, 0].min() >= marks[48, 0] - 1
    assert points[:, 0].max() <= marks[54, 0] + 1
    assert points[:, 1].min() >= marks[57, 1] - 1
    # One piece with two borders: the vermilion's and the mouth's.
    assert len(boundary_loops(topology.triangles[lips])) == 2


def test_no_two_parts_share_texture() -> None:
    topology = built("full").topology
    size = 256
    owner = np.zeros((size, size), np.uint8)
    tile = {"lips": "face"}
    for region in np.unique(topology.triangle_region):
        name = topology.region_names[region]
        number = topology.region_names.index(tile.get(name, name))
        corners = topology.uv[topology.uv_triangles[topology.triangle_region == region]].astype(float) * size
        for a, b, c in corners:
            area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
            low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
            columns = np.arange(np.ceil(low[0] - 0.5), high[0] - 0.5)
            rows = np.arange(np.ceil(low[1] - 0.5), high[1] - 0.5)
            if not len(columns) or not len(rows) or not area:
                continue
            x, y = np.meshgrid(columns + 0.5, rows + 0.5)
            s = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
            t = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
            inside = (s > 1e-6) & (t > 1e-6) & (s + t < 1 - 1e-6)
            where = (y[inside].astype(int), x[inside].astype(int))
            assert np.isin(owner[where], (0, number)).all(), name
            owner[where] = number
    filled = np.bincount(owner.reshape(-1), minlength=10)
    assert filled[1] > 0.4 * size * size
    assert filled[1] > 2 * filled[2:].sum()


def test_texture_coordinates_are_the_sources_within_a_tile() -> None:
    """Inside a tile the atlas only scales: face texture at 3/4."""
    source, model = packed(), built("face", False, False)
    face = source.polygons[:9230]
    expected = source.uvs[source.polygon_uvs[:9230][:, [0, 1, 2]]] * 0.75
    found = model.topology.uv[model.topology.uv_triangles[::2]]
    assert face.shape == (len(found), 4)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_painted_iris_lies_on_the_models_own() -> None:
    """The rays from the centre through the limbus pass the rim of the source's iris mesh."""
    model, source = built("full"), packed()
    for eye, rim in zip(model.eyes, ((22561, 22581), (24131, 24151)), strict=True):
        radius = np.linalg.norm(model.mean[eye.vertices] - eye.centre, axis=1)
        assert 14 < np.median(radius) < 16.5
        own = source.neutral[slice(*rim)] * 10 - eye.centre
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        pupil = own.mean(axis=0) / np.linalg.norm(own.mean(axis=0))
        axis = (model.mean[eye.vertices] - eye.centre)[eye.direction[:, 2].argmax()]
        assert np.degrees(np.arccos(axis @ pupil / np.linalg.norm(axis))) < 1.0
        np.testing.assert_allclose(np.arccos(own @ pupil), eye.iris_angle, atol=0.01)


def test_eyes_mirror_each_other() -> None:
    left, right = built("full").eyes
    mirror = np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(left.centre, right.centre * mirror, atol=1e-3)
    np.testing.assert_allclose(left.direction, right.direction * mirror, atol=1e-4)
    assert left.iris_angle == pytest.approx(right.iris_angle, abs=1e-5)


def test_identities_vary_by_their_sigma() -> None:
    """The variance of drawn faces is the sum of the squared modes."""
    model = built("narrow-face", False, False)
    identity = np.random.default_rng(5).standard_normal((600, 100)).astype(np.float32)
    drawn = model.decode(identity, np.zeros((600, 53), np.float32))
    found = np.sqrt(((drawn - model.mean) ** 2).sum(axis=2).mean())
    expected = np.sqrt((model.identity_basis**2).sum(axis=2).sum(axis=0).mean())
    assert found == pytest.approx(expected, rel=0.05)
    assert 3 < found < 10


def test_expressions_follow_arkit_as_the_file_says() -> None:
    arrays = arrays_of(shared_path(NPZ))
    assert tuple(arrays["arkit_names"].tolist()) == ARKIT_NAMES
    assert np.array_equal(arkit_index(packed().expression_names), arrays["expression_to_arkit"])
    assert packed().expression_names == tuple(arrays["expression_names"].tolist())


def test_the_mouth_closes_only_as_far_as_the_jaw_is_open() -> None:
    assert built("full").expression_limits == (("mouthClose", "jawOpen"),)


# The painted albedo.


def test_melanin_spans_dark_to_fair_skin() -> None:
    model = built("full")
    coefficients = np.zeros((2, len(model.albedo_names)), np.float32)
    coefficients[:, model.albedo_names.index("melanin")] = [-2, 2]
    cheek = model.topology.landmarks[[2, 14]]
    dark, fair = model.decode_albedo(coefficients)[:, cheek].mean(axis=1)
    assert dark.max() < 0.16
    assert fair.min() > 0.22
    # Skin is red before it is blue, dark or fair.
    assert dark[0] > dark[1] > dark[2]
    assert fair[0] > fair[1] > fair[2]


def test_albedos_rarely_leave_the_range_of_reflectances() -> None:
    model = built("full")
    draws = np.random.default_rng(2).standard_normal((64, len(model.albedo_names))).astype(np.float32)
    raw = painted(model).mean + np.einsum("bk,kvc->bvc", draws, painted(model).basis)
    assert ((raw < 0.01) | (raw > 0.95)).mean() < 0.02


def test_paint_stays_where_it_belongs() -> None:
    model = built("full")
    topology = model.topology
    mean, marks = painted(model).mean, topology.landmarks

    def of(region: str) -> NDArray[np.float32]:
        used = topology.triangles[topology.triangle_region == topology.region_names.index(region)]
        colours: NDArray[np.float32] = mean[np.unique(used)]
        return colours

    assert of("teeth").max() < 0.65
    assert of("teeth").max() > 0.5
    assert np.ptp(mean[model.eyes[0].vertices].mean(axis=0)) < 0.12
    redness = mean[:, 0] / mean[:, 1]
    assert redness[marks[[51, 57]]].min() > 1.15 * redness[marks[[2, 14]]].max()
    assert mean[marks[19]].mean() < 0.7 * mean[marks[27]].mean()
    # Skin varies with melanin, teeth and sclera do not.
    melanin = painted(model).basis[model.albedo_names.index("melanin")]
    assert melanin[marks[2]].min() > 0.03
    assert np.array_equal(melanin[model.eyes[0].vertices], np.zeros_like(melanin[model.eyes[0].vertices]))
