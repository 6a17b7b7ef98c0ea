"""The rasteriser against a plain oracle, bit for bit, and by what visibility means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import NEAR, extrinsic_matrices, head_rotation, project, to_camera
from facegen.imaging.rasterise import Rasteriser, rasterise
from facegen.imaging.visibility import UNIT, barycentric_coordinates
from facegen.morphable.model import MorphableModel
from facegen.tests import visibility_oracle as oracle

Float = NDArray[np.float32]

PROJECTIONS = pytest.mark.parametrize("projection", [PERSPECTIVE, SCALED_ORTHOGRAPHIC], ids=["perspective", "ortho"])
SAMPLES = pytest.mark.parametrize("supersampled", [False, True], ids=["centres", "grid"])

DISTANCE = 600.0


def camera_of(projection: int, height: int, width: int) -> NDArray[np.float64]:
    """Intrinsics that show one millimetre at 600 mm as one pixel."""
    focal = DISTANCE if projection == PERSPECTIVE else 1.0
    return np.array([[focal, 0, width / 2 + 0.3], [0, focal * 1.1, height / 2 - 0.2], [0, 0, 1]])


def assert_same(
    vertices: Float, triangles: NDArray[np.int32], projection: int, height: int, width: int, supersampled: bool
) -> NDArray[np.int32]:
    arguments = (vertices, triangles, camera_of(projection, height, width), projection, height, width, supersampled)
    triangle, key = rasterise(*arguments)
    expected, depth = oracle.visible_triangles(*arguments)
    np.testing.assert_array_equal(triangle, expected)
    # The sums may be fused into one rounding.
    np.testing.assert_allclose(key, depth, rtol=1e-5)
    return triangle


def soup(random: np.random.Generator, kind: str, height: int, width: int) -> tuple[Float, NDArray[np.int32]]:
    """Random triangles around the image: of all sizes, slivers, sharing edges, level with each other, or behind us."""
    span = np.array([width, height, 300.0])
    count = int(random.integers(1, 40))
    if kind == "mesh":
        # A bumpy sheet: every inner edge is shared.
        n = int(random.integers(2, 8))
        u, v = np.meshgrid(np.linspace(-0.7, 0.7, n), np.linspace(-0.7, 0.7, n))
        points = np.stack([u, v, 0.2 * random.standard_normal((n, n))], -1).reshape(-1, 3)
        corner = np.arange(n * n).reshape(n, n)
        a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
        triangles = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 2).reshape(-1, 3)
        triangles = np.concatenate([triangles, triangles[:, ::-1]])
    else:
        size = np.exp(random.uniform(-5, 2, (count, 1, 1)))
        points = random.uniform(-0.8, 0.8, (count, 1, 3)) + size * random.standard_normal((count, 3, 3))
        if kind == "slivers":
            points[:, 2] = points[:, 0] + (points[:, 1] - points[:, 0]) * random.uniform(-1, 2, (count, 1))
            points[:, 2] += 10 ** random.uniform(-3, -1, (count, 1)) * random.standard_normal((count, 3))
        if kind == "level":
            # Equal depths: ties everywhere.
            points[..., 2] = np.round(points[..., :1, 2] * 2) / 2
        points = points.reshape(-1, 3)
        triangles = np.arange(3 * count).reshape(-1, 3)
    vertices = points * span + [0, 0, DISTANCE]
    if kind == "on samples":
        vertices = np.round(vertices * 2) / 2
    if kind == "near":
        vertices[:, 2] = random.uniform(-200, 400, len(vertices))
    return vertices.astype(np.float32), triangles.astype(np.int32)


@pytest.mark.parametrize("kind", ["any", "slivers", "mesh", "level", "on samples", "near"])
@SAMPLES
@PROJECTIONS
def test_soups_match_the_oracle(kind: str, projection: int, supersampled: bool) -> None:
    hits = 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        height, width = (int(n) for n in random.integers(1, 40, 2))
        vertices, triangles = soup(random, kind, height, width)
        hits += int((assert_same(vertices, triangles, projection, height, width, supersampled) >= 0).sum())
    assert hits > 100


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["any", "slivers", "mesh", "level", "on samples", "near"]),
    projection=st.sampled_from([PERSPECTIVE, SCALED_ORTHOGRAPHIC]),
    height=st.integers(1, 48),
    width=st.integers(1, 48),
    supersampled=st.booleans(),
)
def test_any_soup_matches_the_oracle(
    seed: int, kind: str, projection: int, height: int, width: int, supersampled: bool
) -> None:
    vertices, triangles = soup(np.random.default_rng(seed), kind, height, width)
    assert_same(vertices, triangles, projection, height, width, supersampled)


@SAMPLES
@PROJECTIONS
def test_the_head_matches_the_oracle(head: MorphableModel, projection: int, supersampled: bool) -> None:
    yaw, pitch, roll = np.array([0.7]), np.array([-0.2]), np.array([0.1])
    extrinsics = extrinsic_matrices(
        head_rotation(yaw, pitch, roll), np.zeros((1, 3)), head.pivot.astype(float), np.array([DISTANCE])
    )
    vertices = to_camera(head.mean, extrinsics[0])
    # At 48 pixels most triangles are smaller than a pixel.
    vertices[:, :2] *= np.float32(48 / 260)
    triangle = assert_same(vertices, head.topology.triangles, projection, 48, 48, supersampled)
    assert 0.3 < (triangle >= 0).mean() < 0.9


@PROJECTIONS
def test_weights_stay_on_the_pixel_where_snapping_moved_a_sliver(projection: int) -> None:
    """Where a ray passes a triangle by, the point that is named is the nearest, not one farther along the edge."""
    worst = 0.0
    for seed in range(60):
        vertices, triangles = soup(np.random.default_rng(seed), "slivers", 40, 40)
        camera = camera_of(projection, 40, 40)
        triangle, _ = rasterise(vertices, triangles, camera, projection, 40, 40)
        barycentric = barycentric_coordinates(triangle, triangles, vertices, camera, projection)
        rows, columns = np.nonzero(triangle >= 0)
        corners = vertices[triangles[triangle[rows, columns]]].astype(np.float64)
        w1, w2 = (barycentric[rows, columns].astype(np.float64) / UNIT).T
        points = np.einsum("nk,nkc->nc", np.stack([1 - w1 - w2, w1, w2], axis=1), corners)
        off = project(points, camera, projection) - np.stack([columns, rows], axis=1) - 0.5
        worst = max(worst, float(np.abs(off).max(initial=0.0)))
    assert worst < 0.02


@SAMPLES
@PROJECTIONS
def test_the_order_of_triangles_does_not_matter(projection: int, supersampled: bool) -> None:
    random = np.random.default_rng(2)
    for seed in range(10):
        vertices, triangles = soup(np.random.default_rng(seed), "any", 30, 30)
        order = random.permutation(len(triangles))
        camera = camera_of(projection, 30, 30)
        one, key = rasterise(vertices, triangles, camera, projection, 30, 30, supersampled)
        other, other_key = rasterise(vertices, triangles[order], camera, projection, 30, 30, supersampled)
        # Where depths differ the winner is the same triangle.
        np.testing.assert_array_equal(key, other_key)
        same = one == np.where(other >= 0, order[other], -1)
        tied = np.array([[(key == k).sum() > 0 for k in row] for row in key]) & ~same
        assert tied.mean() < 0.01


@SAMPLES
@PROJECTIONS
def test_the_grid_holds_the_pixel_centres(head: MorphableModel, projection: int, supersampled: bool) -> None:
    vertices, triangles = soup(np.random.default_rng(8), "mesh", 33, 41)
    camera = camera_of(projection, 33, 41)
    centres, _ = rasterise(vertices, triangles, camera, projection, 33, 41)
    grid, _ = rasterise(vertices, triangles, camera, projection, 33, 41, supersampled=True)
    assert grid.shape == (67, 83)
    np.testing.assert_array_equal(grid[1::2, 1::2], centres)


@SAMPLES
@PROJECTIONS
@pytest.mark.parametrize("seed", range(12))
def test_a_split_polygon_leaves_no_gap(projection: int, supersampled: bool, seed: int) -> None:
    """A fan around an inner point covers exactly what the two halves of its outline cover."""
    random = np.random.default_rng(seed)
    angle = np.arange(4) * np.pi / 2 + random.uniform(-0.6, 0.6, 4)
    ring = np.stack([20 * np.cos(angle), -20 * np.sin(angle), np.full(4, DISTANCE)], axis=1)
    inner = random.uniform(-3, 3, 3) * [1, 1, 0] + [0, 0, DISTANCE]
    vertices = np.concatenate([ring, inner[None]]).astype(np.float32)
    fan = np.array([[4, n, (n + 1) % 4] for n in range(4)], np.int32)
    camera = camera_of(projection, 50, 50)
    covers = [rasterise(vertices, fan[n : n + 1], camera, projection, 50, 50, supersampled)[0] >= 0 for n in range(4)]
    whole, _ = rasterise(vertices, fan, camera, projection, 50, 50, supersampled)
    x, y = oracle.sample_positions(50, 50, supersampled)
    p = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
    corner = [oracle.snapped(np.repeat(v[None].astype(float), 3, axis=0), camera, projection)[0] for v in vertices]
    # Inside the outline: on the inner side of each of its four edges (the ring turns clockwise on the image).
    inside = np.all([oracle.doubled_area(corner[(n + 1) % 4], corner[n], p) >= 0 for n in range(4)], axis=0)
    np.testing.assert_array_equal(whole >= 0, inside)
    # A sample belongs to two parts only where it lies on an edge between them.
    shared = np.sum(covers, axis=0) > 1
    on_edge = np.any([oracle.doubled_area(corner[4], corner[n], p) == 0 for n in range(4)], axis=0)
    assert on_edge[shared].all()


@PROJECTIONS
@pytest.mark.parametrize("count", [127, 128, 129, 257])
def test_any_number_of_triangles(projection: int, count: int) -> None:
    """What is taken many at a time leaves no remainder out, and takes nothing twice."""
    random = np.random.default_rng(count)
    middle = random.uniform(-12, 12, (count, 1, 3))
    middle[..., 2] += DISTANCE
    # Boxes of 0 to 6 samples on a side, and some triangles wider than 64 pixels, which are set up in 64 bits.
    size = np.where(random.random((count, 1, 1)) < 0.02, 60.0, random.uniform(0, 4, (count, 1, 1)))
    vertices = (middle + size * random.uniform(-1, 1, (count, 3, 3)) * [1, 1, 0.3]).reshape(-1, 3).astype(np.float32)
    triangles = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    for supersampled in (False, True):
        assert (assert_same(vertices, triangles, projection, 26, 30, supersampled) >= 0).any()


@PROJECTIONS
@pytest.mark.parametrize("kind", ["any", "mesh", "near"])
def test_samples_near_edges_are_those_of_the_grid(kind: str, projection: int) -> None:
    """The nine samples of marked pixels, frame after frame by one rasteriser, and no other is written."""
    height, width = 23, 31
    for seed in range(8):
        random = np.random.default_rng(seed)
        vertices, triangles = soup(random, kind, height, width)
        camera = camera_of(projection, height, width)
        expected, depth = rasterise(vertices, triangles, camera, projection, height, width, supersampled=True)
        rasteriser = Rasteriser(triangles, len(vertices), height, width)
        for share in (0.0, 0.1, 1.0):
            edge = (random.random((height, width)) < share).astype(np.uint8)
            marked = np.zeros(expected.shape, bool)
            for r in range(3):
                for c in range(3):
                    marked[r : r + 2 * height - 1 : 2, c : c + 2 * width - 1 : 2] |= edge > 0
            triangle, key = np.full(expected.shape, -7, np.int32), np.full(expected.shape, -7, np.float32)
            rasteriser.load(vertices, camera, projection)
            rasteriser.fill_near_edges(edge, triangle, key)
            np.testing.assert_array_equal(triangle, np.where(marked, expected, -7))
            np.testing.assert_array_equal(key, np.where(marked, depth, np.float32(-7)))
            centres, _ = rasterise(vertices, triangles, camera, projection, height, width)
            rasteriser.fill(
                centres_again := np.empty_like(centres), np.empty(centres.shape, np.float32), supersampled=False
            )
            np.testing.assert_array_equal(centres_again, centres)


def test_ties_go_to_the_smaller_number() -> None:
    corner = np.array([[-20, -20, 600], [-20, 20, 600], [20, 20, 600]], np.float32)
    vertices, triangles = np.tile(corner, (3, 1)), np.arange(9, dtype=np.int32).reshape(3, 3)
    triangle, _ = rasterise(vertices, triangles, camera_of(PERSPECTIVE, 40, 40), PERSPECTIVE, 40, 40)
    assert set(np.unique(triangle)) == {-1, 0}


def test_the_near_plane_clips_where_it_should() -> None:
    """A floor under the camera equals the floor cut beforehand at the near plane."""
    floor = np.array([[-300, 40, -500], [-300, 40, 900], [300, 40, 900], [300, 40, -500]], np.float32)
    cut = floor.copy()
    cut[[0, 3], 2] = NEAR
    quad = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    camera = np.array([[20.0, 0, 16], [0, 20.0, 10], [0, 0, 1]])
    found, key = rasterise(floor, quad, camera, PERSPECTIVE, 60, 32)
    expected, depth = rasterise(cut, quad, camera, PERSPECTIVE, 60, 32)
    assert (found >= 0).mean() > 0.5
    np.testing.assert_array_equal(found >= 0, expected >= 0)
    np.testing.assert_allclose(key, depth, rtol=1e-5)


@PROJECTIONS
def test_nothing_is_shown_behind_the_near_plane(projection: int) -> None:
    square = np.array([[-20, -20, NEAR - 0.01], [-20, 20, NEAR - 0.01], [20, 20, NEAR - 0.01]], np.float32)
    one = np.array([[0, 1, 2]], np.int32)
    assert (rasterise(square, one, camera_of(projection, 20, 20), projection, 20, 20)[0] == -1).all()
    square[:, 2] = NEAR
    assert (rasterise(square, one, camera_of(projection, 20, 20), projection, 20, 20)[0] == 0).any()


@PROJECTIONS
def test_huge_triangles(projection: int) -> None:
    far = np.array([[-1e9, -1e9, 600], [0, 1e9, 600], [1e9, -1e9, 600]], np.float32)
    triangle, _ = rasterise(far, np.array([[0, 1, 2]], np.int32), camera_of(projection, 24, 24), projection, 24, 24)
    assert (triangle == 0).all()


def test_no_triangles_and_no_vertices() -> None:
    empty = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    triangle, key = rasterise(*empty, camera_of(PERSPECTIVE, 5, 7), PERSPECTIVE, 5, 7)
    assert triangle.shape == key.shape == (5, 7)
    assert (triangle == -1).all()
    assert not key.any()
