"""The default face's relief: where wrinkles lie, what drives them, and the grain's tile."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.default.chart import FRONT, OTHER
from facegen.morphable.default.relief.build import build_relief
from facegen.morphable.default.relief.lines import Canvas, Stroke, course, drawn, slopes
from facegen.morphable.default.relief.micro import tile_slopes
from facegen.morphable.default.relief.points import nearest, spread_points
from facegen.morphable.default.relief.surface import mean_face, texels
from facegen.morphable.default.relief.wrinkles import heights, read_groups
from facegen.morphable.default.uv import PER_MILLIMETRE, front_places, front_uv
from facegen.morphable.relief import STEPS, Relief

Float = NDArray[np.float64]

SIZE = 384
ALBEDO = ("melanin", "wrinkles")


@pytest.fixture(scope="module")
def relief() -> Relief:
    return build_relief(ALBEDO, ARKIT_NAMES, SIZE)


def strengths(relief: Relief, wrinkles: float = 0.0, **expression: float) -> dict[str, float]:
    weights = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, weight in expression.items():
        weights[0, ARKIT_NAMES.index(name)] = weight
    found = relief.strengths(np.array([[0.0, wrinkles]], np.float32), weights)[0]
    return dict(zip(relief.names, found.tolist(), strict=True))


def centre(relief: Relief, name: str) -> Float:
    """Where a group is in the front chart, mm: the mean of its places, weighted by the slope."""
    weight = np.linalg.norm(relief.wrinkles[relief.names.index(name)].astype(np.float64), axis=-1)
    places = front_places(texels(SIZE))
    return np.asarray((places * weight[..., None]).sum(axis=(0, 1)) / weight.sum(), np.float64)


def horizontal_line(depth: float) -> tuple[Float, Float]:
    """Heights and slopes of one straight line across the middle of the face, to scale."""
    size = 512
    canvas = Canvas(size)
    places = course(np.array([[-30.0, 0.0], [30.0, 0.0]]))
    stroke = Stroke(depth, width=1.5, roll=4.0, wander=0.0, uneven=0.0, taper=0.1)
    canvas.draw([drawn(places, stroke, np.random.default_rng(0))])
    return canvas.heights, slopes(canvas.heights, np.full((size, size, 2), 1 / PER_MILLIMETRE))


def test_a_line_is_a_valley_between_rolls_without_mean_height() -> None:
    found, _ = horizontal_line(0.4)
    column = found[:, found.shape[1] // 2]
    assert -0.4 < column.min() < -0.25
    assert 0.02 < column.max() < 0.15
    assert abs(column.sum()) < 0.05 * np.abs(column).sum()


def test_slopes_point_up_away_from_a_valley_and_are_to_scale() -> None:
    found, slope = horizontal_line(0.4)
    size = len(slope)
    row = int((1 - front_uv(np.zeros((1, 2)))[0, 1]) * size)
    middle = slope[:, size // 2]
    assert middle[row - 6 : row, 1].max() > 0.1
    assert middle[row + 1 : row + 7, 1].min() < -0.1
    np.testing.assert_allclose(middle[:, 0], 0, atol=1e-3)
    # Integrated along v, slopes give the heights back.
    texel = 1 / (size * PER_MILLIMETRE)
    rebuilt = np.cumsum(middle[::-1, 1])[::-1] * texel
    assert abs(rebuilt.min() - found[:, found.shape[1] // 2].min()) < 0.03


def test_scale_is_that_of_the_mesh() -> None:
    face = mean_face()
    scale = face.scale(SIZE)
    edges = face.level.uv_triangles[face.level.island == FRONT][:, :2]
    a, b = face.uv[edges].transpose(1, 0, 2)
    step, middle = b - a, (a + b) / 2
    place = np.linalg.norm(front_places(middle), axis=1)
    length = np.linalg.norm(np.diff(face.points[face.level.uv_vertex[edges]], axis=1)[:, 0], axis=1)
    row, column = ((1 - middle[:, 1]) * SIZE).astype(int), (middle[:, 0] * SIZE).astype(int)
    for axis in (0, 1):
        along = (np.abs(step[:, 1 - axis]) < 0.15 * np.abs(step[:, axis])) & (place < 90)
        ratio = scale[row, column, axis][along] * np.abs(step[along, axis]) / length[along]
        assert along.sum() > 50
        assert 0.93 < np.median(ratio) < 1.07


def test_groups_are_driven_by_arkit_and_by_the_albedo(relief: Relief) -> None:
    assert relief.names == tuple(group.name for group in read_groups())
    assert len(set(relief.names)) == len(relief.names)
    for group in read_groups():
        assert set(group.strength.expression) <= set(ARKIT_NAMES)
        assert set(group.strength.albedo) == {"wrinkles"}


def test_wrinkles_come_with_age_and_with_expressions(relief: Relief) -> None:
    young, middle, old = (strengths(relief, value) for value in (-1.0, 0.0, 2.0))
    for name in relief.names:
        assert young[name] <= middle[name] < old[name]
    lines = [name for name in relief.names if name != "lip_grooves"]
    assert max(young[name] for name in lines) < 0.1
    assert all(old[name] > 0.35 for name in lines if name != "chin_dimples")
    raised = strengths(relief, -1.0, browInnerUp=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0)
    assert raised["forehead_lines"] > 0.6
    assert raised["frown_lines"] == young["frown_lines"]
    smiling = strengths(relief, -1.0, mouthSmileLeft=1.0, eyeSquintLeft=1.0)
    for name in ("crows_feet", "under_eye", "nasolabial", "cheek_creases"):
        assert smiling[f"{name}_left"] > 0.2
        assert smiling[f"{name}_right"] == young[f"{name}_right"]


def test_sides_mirror_each_other_roughly(relief: Relief) -> None:
    for left in (name for name in relief.names if name.endswith("_left")):
        right = left.removesuffix("left") + "right"
        here, there = centre(relief, left), centre(relief, right)
        assert here[0] > 15
        np.testing.assert_allclose(here, there * (-1.0, 1.0), atol=3.0)
        flipped = relief.wrinkles[relief.names.index(right)][:, ::-1]
        assert (np.abs(flipped.astype(int) - relief.wrinkles[relief.names.index(left)]) > 3).any()


@pytest.mark.parametrize(
    ("group", "low", "high"),
    [
        ("forehead_lines", (-58, 22), (58, 74)),
        ("frown_lines", (-26, 1), (26, 44)),
        ("crows_feet_left", (40, -34), (75, 28)),
        ("nasolabial_left", (12, -86), (46, -28)),
        ("lip_lines", (-34, -96), (34, -44)),
        ("chin_dimples", (-26, -118), (26, -78)),
        ("neck_lines", (-60, -170), (60, -114)),
    ],
)
def test_wrinkles_keep_to_their_part_of_the_face(
    relief: Relief, group: str, low: tuple[float, float], high: tuple[float, float]
) -> None:
    face = mean_face()
    drawn_at = front_places(texels(SIZE))[np.abs(relief.wrinkles[relief.names.index(group)]).max(axis=-1) > 2]
    on_front = np.isfinite(face.level.front[:, 0])
    distance = np.linalg.norm(face.level.front[on_front][None] - drawn_at[:, None], axis=-1)
    seen = face.points[on_front][distance.argmin(axis=1), :2]
    assert len(drawn_at) > 100
    assert (seen > np.array(low)).all()
    assert (seen < np.array(high)).all()


def test_depths_are_those_of_skin() -> None:
    face = mean_face()
    for group in read_groups():
        found = heights(group, face, SIZE)
        assert -1.0 < found.min() < -0.08, group.name
        assert found.max() < -0.6 * found.min() + 0.1, group.name


def test_the_relief_is_the_same_every_time(relief: Relief) -> None:
    again = build_relief(ALBEDO, ARKIT_NAMES, SIZE)
    np.testing.assert_array_equal(again.wrinkles, relief.wrinkles)
    np.testing.assert_array_equal(again.micro, relief.micro)
    np.testing.assert_array_equal(again.micro_strength, relief.micro_strength)


def test_slopes_are_nowhere_near_saturation(relief: Relief) -> None:
    assert np.abs(relief.wrinkles.astype(int)).max() < STEPS
    assert np.abs(relief.micro.astype(int)).max() < 127


def test_the_tile_continues_itself() -> None:
    tile = tile_slopes()
    # Differences around a closed loop add up to nothing.
    np.testing.assert_allclose(tile[..., 0].sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(tile[..., 1].sum(axis=0), 0, atol=1e-9)
    for axis in (0, 1):
        steps = np.abs(np.diff(tile, axis=axis, append=tile.take([0], axis))).mean(axis=(1 - axis, 2))
        assert steps[-1] < 1.5 * steps.mean()


def test_the_grain_has_no_direction() -> None:
    tile = tile_slopes()
    covariance = np.cov(tile.reshape(-1, 2).T)
    np.testing.assert_allclose(np.diag(covariance), 0.12**2, rtol=0.1)
    assert abs(covariance[0, 1]) < 0.05 * covariance[0, 0]


def test_the_grain_is_strong_on_the_nose_and_absent_off_the_skin(relief: Relief) -> None:
    face, size = mean_face(), len(relief.micro_strength)

    def at(x: float, y: float) -> int:
        uv = front_uv(face.front_places(np.array([[x, y]])))[0]
        return int(relief.micro_strength[int((1 - uv[1]) * size), int(uv[0] * size)])

    assert at(0, -34) > at(50, -50) > at(31, -9) > 0
    assert at(27, -28) > 180
    for x, y in ((0, -64), (8, -64), (0, -74.5), (-10, -74)):
        assert at(x, y) == 0
    u, v = np.moveaxis(texels(size), -1, 0)
    cloth = (u > 0.76) & (u < 0.99) & (v > 0.01) & (v < 0.165)
    assert (relief.micro_strength[cloth] == 0).all()
    skin = face.level.uv_triangles[face.level.island != OTHER]
    others = face.level.uv_triangles[face.level.island == OTHER]
    middle = face.uv[others].mean(axis=1)
    # Triangles that are wider than the border that the skin's strength is extended by.
    inner = middle[nearest(face.uv[np.unique(skin)], middle)[0] > 4 / size]
    rows, columns = ((1 - inner[:, 1]) * size).astype(int), (inner[:, 0] * size).astype(int)
    assert len(inner) > 50
    assert (relief.micro_strength[rows, columns] == 0).all()


def test_an_albedo_without_wrinkles_is_refused() -> None:
    with pytest.raises(ModelError, match="wrinkles"):
        build_relief(("melanin",), ARKIT_NAMES, 64)


def test_strewn_points_keep_their_distance() -> None:
    size = np.array([20.0, 12.0])
    points = spread_points(size, 1.0, np.random.default_rng(1))
    assert (points >= 0).all()
    assert (points < size).all()
    offset = np.abs(points[:, None] - points[None])
    offset = np.minimum(offset, size - offset)
    distance = np.hypot(*np.moveaxis(offset, -1, 0)) + 99 * np.eye(len(points))
    # Of as many independent points it would be half of the mean spacing.
    assert distance.min(axis=1).mean() > 0.65 * np.sqrt(size.prod() / len(points))
