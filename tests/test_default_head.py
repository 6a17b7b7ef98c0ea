"""The default head as a whole: parts stay where they belong, on the mean, between people and in expressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse.csgraph
from numpy.typing import NDArray

from facegen.morphable.default.draw import draw_heads
from facegen.morphable.default.expression import expression_displacements
from facegen.morphable.default.eyes import surface_radius
from facegen.morphable.default.head import HeadAssembly
from facegen.morphable.default.identity import calibrated_points
from facegen.morphable.default.levels import REGIONS, Level, read_coarse, split_level
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.solve import skin_operator

Float = NDArray[np.float64]
MIRRORED = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Built:
    network: ControlNetwork
    level: Level
    head: HeadAssembly
    shapes: dict[str, tuple[Float, Float]]

    def vertices(self, *parts: str) -> NDArray[np.int64]:
        """Both sides' vertices of some grids or blades."""
        left = [(self.level.grids | self.level.blades)[part].ravel() for part in parts]
        return np.unique(np.concatenate([*left, *(self.level.mirror[v] for v in left)]))

    def expression(self, name: str) -> Float:
        return self.head.expression(name, *self.shapes[name])


@pytest.fixture(scope="module")
def built() -> Built:
    network = read_network()
    level = split_level(read_coarse(), network)
    head = HeadAssembly(level, network, calibrated_points(network), *skin_operator(level, network))
    return Built(network, level, head, expression_displacements(network))


def fields(built: Built, count: int) -> Float:
    """Smooth random displacement fields (count, n, 3) that keep the midline."""
    random = np.random.default_rng(0)
    offset = built.network.points[:, None] - built.network.points
    kernel = np.exp(-0.5 * (offset**2).sum(axis=-1) / 25.0**2)
    noise = kernel @ random.standard_normal((count, built.network.count, 3))
    noise *= 3 / noise.std()
    noise[:, np.abs(built.network.points[:, 0]) < 1e-9, 0] = 0
    return noise


def test_the_mean_is_whole_and_symmetric(built: Built) -> None:
    mean = built.head.mean()
    assert np.isfinite(mean).all()
    np.testing.assert_allclose(mean, mean[built.level.mirror] * MIRRORED, atol=1e-9)


def test_identity_is_linear_in_both_halves(built: Built) -> None:
    a, b, c, d = fields(built, 4)
    joined = built.head.identity(a + 2 * c, b + 2 * d)
    np.testing.assert_allclose(joined, built.head.identity(a, b) + 2 * built.head.identity(c, d), atol=1e-9)


def test_identity_takes_many_fields(built: Built) -> None:
    many = fields(built, 3)
    together = built.head.identity(many, many[::-1])
    np.testing.assert_allclose(together[1], built.head.identity(many[1], many[1]), atol=1e-9)


def test_exchanging_the_halves_mirrors_the_head(built: Built) -> None:
    a, b = fields(built, 2)
    other = built.head.identity(b, a)[built.level.mirror] * MIRRORED
    np.testing.assert_allclose(built.head.identity(a, b), other, atol=1e-9)


def test_a_translation_moves_everything(built: Built) -> None:
    shift = np.tile([0.0, 2.0, -1.0], (built.network.count, 1))
    moved = built.head.identity(shift, shift)
    parts = built.vertices(*built.level.grids, *built.level.blades)
    np.testing.assert_allclose(moved[parts], np.tile([0.0, 2.0, -1.0], (len(parts), 1)), atol=0.02)


@pytest.mark.parametrize("name", ["jawOpen", "mouthFunnel", "tongueOut", "cheekPuff", "jawForward"])
def test_expressions_of_both_sides_are_symmetric(built: Built, name: str) -> None:
    moved = built.expression(name)
    np.testing.assert_allclose(moved, moved[built.level.mirror] * MIRRORED, atol=1e-9)


@pytest.mark.parametrize("stem", ["eyeBlink", "eyeLookIn", "mouthSmile", "jaw"])
def test_a_left_expression_mirrors_the_right_one(built: Built, stem: str) -> None:
    left, right = built.expression(f"{stem}Left"), built.expression(f"{stem}Right")
    np.testing.assert_allclose(left, right[built.level.mirror] * MIRRORED, atol=1e-9)


def test_skin_and_pockets_are_one_manifold(built: Built) -> None:
    level = built.level
    inside = np.isin(level.region, [REGIONS.index(n) for n in ("eye_sockets", "nostrils", "mouth_socket")])
    triangles = level.triangles[(level.island != 2) | inside]
    directed = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(np.unique(directed, axis=0)) == len(directed)
    graph = scipy.sparse.coo_array((np.ones(len(directed)), directed.T), shape=(level.count, level.count))
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    assert len(np.unique(component[np.unique(triangles)])) == 1


def cover(mean: Float, skin: NDArray[np.int64], points: Float, direction: Float) -> Float:
    """(k,) how far beyond each point, along unit directions (k, 3), the last skin lies; -inf where there is none."""
    a = mean[skin[:, 0]]
    e1, e2 = mean[skin[:, 1]] - a, mean[skin[:, 2]] - a
    result = np.full(len(points), -np.inf)
    for k, (point, ray) in enumerate(zip(points, direction, strict=True)):
        # Möller and Trumbore 1997.
        h = np.cross(ray, e2)
        det = (e1 * h).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            s = point - a
            u = (s * h).sum(axis=1) / det
            q = np.cross(s, e1)
            v = (q @ ray) / det
            t = (e2 * q).sum(axis=1) / det
            hit = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
        if hit.any():
            result[k] = t[hit].max()
    return result


def skin_near(built: Built, mean: Float, centre: Float, reach: float) -> NDArray[np.int64]:
    skin = built.level.triangles[built.level.island != 2]
    near: NDArray[np.int64] = skin[np.linalg.norm(mean[skin].mean(axis=1) - centre, axis=1) < reach]
    return near


@pytest.mark.parametrize("name", ["", "mouthSmileLeft", "mouthPressLeft", "mouthRollLower", "mouthPucker"])
def test_teeth_and_tongue_are_behind_closed_lips(built: Built, name: str) -> None:
    mean = built.head.mean() + (built.expression(name) if name else 0)
    hidden = built.vertices("upper_teeth", "lower_teeth", "tongue")
    middle = mean[built.level.grids["mouth_pocket"][0, 0]]
    lining = built.level.triangles[built.level.region == REGIONS.index("mouth_socket")]
    skin = np.concatenate([skin_near(built, mean, middle, 60.0), lining])
    forward = np.tile([0.0, 0.0, 1.0], (len(hidden), 1))
    assert cover(mean, skin, mean[hidden], forward).min() > 0


def clearance(built: Built, vertices: Float) -> Float:
    """(rows, columns) of the left lids' loop and pocket above eyeball and cornea, mm."""
    eye = built.head.eyeballs()[0]
    arm = vertices[built.level.grids["lid_pocket"][:, :-1]] - eye.centre
    distance = np.linalg.norm(arm, axis=-1)
    result: Float = distance - surface_radius(built.network.eyeball, np.arccos(arm[..., 2] / distance))
    return result


@pytest.mark.parametrize("name", ["eyeBlinkLeft", "eyeSquintLeft", "eyeWideLeft", "eyeLookDownLeft"])
def test_the_lids_insides_clear_the_eyeball(built: Built, name: str) -> None:
    mean, moved = built.head.mean(), built.expression(name)
    for weight in np.linspace(0, 1, 11):
        above = clearance(built, mean + weight * moved)
        assert above[1:].min() > 0


def test_turned_eyes_stay_behind_the_lids(built: Built) -> None:
    mean = built.head.mean()
    for name in ("eyeLookInLeft", "eyeLookOutLeft"):
        eye = built.head.eyeballs()[0]
        turned = (mean + built.expression(name))[eye.vertices] - eye.centre
        axis = turned[eye.direction[:, 2].argmax()]
        axis = axis / np.linalg.norm(axis)
        arm = mean[built.level.grids["lid_pocket"][:, :-1]] - eye.centre
        distance = np.linalg.norm(arm, axis=-1)
        surface = surface_radius(built.network.eyeball, np.arccos((arm @ axis / distance).clip(-1, 1)))
        above = distance - surface
        # What hangs on a margin cannot be higher than it.
        assert above[1:].min() > min(0.0, above[0].min())


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_lashes_stand_on_the_lids(built: Built, weight: float) -> None:
    vertices = built.head.mean() + weight * built.expression("eyeBlinkLeft")
    eye = built.head.eyeballs()[0]
    skin = skin_near(built, vertices, np.asarray(eye.centre, np.float64), 40.0)
    # Those of a shut lower lid lie behind the upper one.
    for name in ("upper_lashes",) if weight else ("upper_lashes", "lower_lashes"):
        points = vertices[built.level.blades[name].ravel()]
        outwards = points - eye.centre
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        beyond = cover(vertices, skin, points, outwards)
        assert np.quantile(beyond, 0.98) < 0.15


def test_lower_lashes_stay_behind_the_shut_upper_lid(built: Built) -> None:
    vertices = built.head.mean() + built.expression("eyeBlinkLeft")
    skin = skin_near(built, vertices, np.asarray(built.head.eyeballs()[0].centre, np.float64), 40.0)
    points = vertices[built.level.blades["lower_lashes"].ravel()]
    margin = vertices[built.level.pins["upper_lid_margin"][0]]
    above = points[:, 1] > np.interp(points[:, 0], margin[:, 0], margin[:, 1]) + 0.1
    beyond = cover(vertices, skin, points[above], np.tile([0.0, 0.0, 1.0], (above.sum(), 1)))
    assert above.sum() > 30
    assert np.mean(beyond > -0.05) > 0.95


@pytest.mark.parametrize(
    ("name", "to"),
    [("In", (-0.5, 0.0)), ("Out", (0.5, 0.0)), ("Up", (0.0, 0.5)), ("Down", (0.0, -0.5))],
)
def test_eye_looks_turn_the_eyeball(built: Built, name: str, to: tuple[float, float]) -> None:
    mean, moved = built.head.mean(), built.expression(f"eyeLook{name}Left")
    left, right = built.head.eyeballs()
    before = mean[left.vertices] - left.centre
    after = before + moved[left.vertices]
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), atol=1e-6)
    apex = after[left.direction[:, 2].argmax()]
    np.testing.assert_allclose(apex[:2] / np.linalg.norm(apex), to, atol=1e-5)
    assert not moved[right.vertices].any()


def test_eyeballs_are_described_as_they_are(built: Built) -> None:
    mean = built.head.mean()
    for eye in built.head.eyeballs():
        arm = mean[eye.vertices] - eye.centre
        np.testing.assert_allclose(arm / np.linalg.norm(arm, axis=1, keepdims=True), eye.direction, atol=1e-6)
        np.testing.assert_allclose(np.sin(eye.iris_angle), 5.9 / 12.5)


def test_only_the_jaw_moves_teeth_and_rigidly(built: Built) -> None:
    mean, moved = built.head.mean(), built.expression("jawOpen")
    lower, upper = built.vertices("lower_teeth"), built.vertices("upper_teeth")
    assert not moved[upper].any()
    before, after = mean[lower], (mean + moved)[lower]
    span = np.linalg.norm(before[:, None] - before, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(after[:, None] - after, axis=-1), span, atol=1e-6)
    assert moved[lower, 1].mean() < -15


def test_the_tongue_comes_out_over_the_lower_lip(built: Built) -> None:
    mean, moved = built.head.mean(), built.expression("tongueOut")
    tip = built.level.poles["tongue"]
    lip = mean[built.level.grids["mouth_pocket"][0, -1]]
    out = (mean + moved)[tip]
    assert out[2] > lip[2] + 12
    assert out[1] < lip[1] - 15
    assert np.linalg.norm(moved[tip]) > 30


def test_people_keep_teeth_behind_the_lips_and_lids_off_the_eyes(built: Built) -> None:
    heads = draw_heads(built.network, 6, seed=1)
    left = np.einsum("hf,fnc->hnc", heads.symmetric_amounts, heads.symmetric)
    uneven = np.einsum("hf,fnc->hnc", heads.antisymmetric_amounts, heads.antisymmetric)
    hidden = built.vertices("upper_teeth", "lower_teeth", "tongue")[::5]
    lining = built.level.triangles[built.level.region == REGIONS.index("mouth_socket")]
    eye = built.head.eyeballs()[0]
    forward = np.tile([0.0, 0.0, 1.0], (len(hidden), 1))
    for moved in built.head.identity(left + uneven, left - uneven):
        vertices = built.head.mean() + moved
        skin = np.concatenate(
            [skin_near(built, vertices, vertices[built.level.grids["mouth_pocket"][0, 0]], 60.0), lining]
        )
        assert cover(vertices, skin, vertices[hidden], forward).min() > 0
        # The eyeball moves as a whole.
        np.testing.assert_allclose(
            moved[eye.vertices], np.tile(moved[eye.vertices[0]], (len(eye.vertices), 1)), atol=1e-9
        )
        above = clearance(built, vertices - moved[eye.vertices[0]])
        assert above[1:].min() > -0.25
