"""The 52 ARKit shapes of the default face: sides, lids, lips, jaw, recorded performances and their components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.default.chart import OTHER
from facegen.morphable.default.expression import expression_displacements
from facegen.morphable.default.expression_pca import fit, read_components, write_components
from facegen.morphable.default.identity import calibrated_points, eyeball_motion
from facegen.morphable.default.jaw import TEMPOROMANDIBULAR_AXIS, jaw_motion
from facegen.morphable.default.levels import Level, read_coarse, split_level
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.solve import skin_operator
from facegen.morphable.livelink import Recording, read_livelink
from facegen.tests.data_paths import shared_path

Float = NDArray[np.float64]
MIRROR = np.array([-1.0, 1.0, 1.0])
WEIGHTS = np.linspace(0, 1, 11)
STEMS = sorted({name.removesuffix("Left") for name in ARKIT_NAMES if name.endswith("Left")})


@dataclass(frozen=True)
class Face:
    network: ControlNetwork
    level: Level
    shapes: dict[str, tuple[Float, Float]]
    skin: NDArray[np.int64]
    mean: Float
    basis: Float
    """(52, S, 3)."""
    eyeball: Float
    """(3,) centre."""

    def moved(self, **weights: float) -> Float:
        """(S, 3) skin; a name without its side moves both."""
        result = self.mean.copy()
        for name, weight in weights.items():
            for full in [name] if name in ARKIT_NAMES else [f"{name}Left", f"{name}Right"]:
                result += weight * self.basis[ARKIT_NAMES.index(full)]
        return result

    def line(self, name: str) -> NDArray[np.intp]:
        """Rows of the skin on a pinned curve of the left."""
        return np.searchsorted(self.skin, self.level.pins[name][0])


@pytest.fixture(scope="module")
def face() -> Face:
    network = read_network()
    level = split_level(read_coarse(), network)
    skin, operator = skin_operator(level, network)
    points = calibrated_points(network)
    shapes = expression_displacements(network)
    basis = np.stack([operator @ network.mirrored(*shapes[name]) for name in ARKIT_NAMES])
    eyeball = network.eyeball.centre + np.einsum("anb,nb->a", eyeball_motion(network), points - network.points)
    return Face(network, level, shapes, skin, operator @ network.mirrored(points), basis, eyeball)


def above_eye(face: Face, points: Float) -> Float:
    """Height above eyeball and cornea, mm, of points at rest gaze."""
    arm = points - face.eyeball
    distance = np.linalg.norm(arm, axis=-1)
    angle = np.degrees(np.arccos(np.clip(arm[..., 2] / distance, -1, 1)))
    bulge: Float = 0.55 * np.maximum(0, 1 - (angle / 28) ** 2)
    return distance - face.network.eyeball.radius - bulge


def gap(face: Face, vertices: Float, upper: str, lower: str) -> Float:
    """(k,) height of the upper line's vertices above the lower line, mm."""
    a, b = vertices[face.line(upper)], vertices[face.line(lower)]
    return np.asarray(a[:, 1] - np.interp(a[:, 0], b[:, 0], b[:, 1]))


# --- sides ------------------------------------------------------------------------------------------------------------


def test_there_is_a_shape_for_every_name(face: Face) -> None:
    assert tuple(face.shapes) == ARKIT_NAMES
    for name, halves in face.shapes.items():
        for half in halves:
            assert half.shape == (face.network.count, 3)
            assert np.isfinite(half).all()
        assert (np.abs(halves[0]).max() + np.abs(halves[1]).max() == 0) == (name == "tongueOut")


@pytest.mark.parametrize("stem", STEMS)
def test_right_mirrors_left(face: Face, stem: str) -> None:
    left, right = face.shapes[f"{stem}Left"], face.shapes[f"{stem}Right"]
    np.testing.assert_array_equal(left[0], right[1])
    np.testing.assert_array_equal(left[1], right[0])


def test_shapes_of_both_sides_are_symmetric(face: Face) -> None:
    for name, (left, right) in face.shapes.items():
        if not name.endswith(("Left", "Right")):
            np.testing.assert_allclose(left, right, atol=1e-12, err_msg=name)


def test_the_midline_moves_as_one(face: Face) -> None:
    midline = face.network.points[:, 0] == 0
    for left, right in face.shapes.values():
        np.testing.assert_allclose(left[midline], right[midline] * MIRROR, atol=1e-9)


@pytest.mark.parametrize("stem", [stem for stem in STEMS if stem not in ("jaw", "mouth")])
def test_a_left_shape_leaves_the_right_alone(face: Face, stem: str) -> None:
    moved = np.linalg.norm(face.basis[ARKIT_NAMES.index(f"{stem}Left")], axis=1)
    far = face.mean[:, 0] < -15
    assert moved[far].max() < 0.2 * moved.max()


# --- jaw and lips -----------------------------------------------------------------------------------------------------


def test_only_jaw_shapes_move_the_mandible() -> None:
    assert {name for name in ARKIT_NAMES if jaw_motion(name)} == {"jawOpen", "jawForward", "jawLeft", "jawRight"}


def test_the_mandible_moves_rigidly() -> None:
    points = np.random.default_rng(0).normal(0, 40, (20, 3))
    motion = jaw_motion("jawOpen")
    assert motion is not None
    moved = points + motion.displacement(points)
    span = np.linalg.norm(points[:, None] - points, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(moved[:, None] - moved, axis=-1), span, atol=1e-9)
    at_axis = motion.displacement(TEMPOROMANDIBULAR_AXIS[None])[0]
    np.testing.assert_allclose(at_axis, motion.translation)


def test_jaw_left_goes_to_the_subjects_left() -> None:
    chin = np.array([[0.0, -95.0, 88.0]])
    for name, sign in (("jawLeft", 1), ("jawRight", -1)):
        motion = jaw_motion(name)
        assert motion is not None
        assert sign * motion.displacement(chin)[0, 0] > 5


def test_an_open_mouth_opens_25_mm(face: Face) -> None:
    opened = gap(face, face.moved(jawOpen=1), "upper_mouth_seam", "lower_mouth_seam")
    assert opened.max() > 25
    assert opened.argmax() < 3
    assert np.all(np.diff(opened) < 0.1)


def test_mouth_close_closes_an_open_jaw(face: Face) -> None:
    closed = face.moved(jawOpen=1, mouthClose=1)
    lips = gap(face, closed, "upper_mouth_seam", "lower_mouth_seam")
    assert lips.min() > -0.1
    assert lips.max() < 0.8
    chin = np.linalg.norm(face.mean - [0, -95, 88], axis=1).argmin()
    assert (face.mean - closed)[chin, 1] > 20


def test_a_smile_goes_up_and_out_and_a_frown_down(face: Face) -> None:
    corner = face.line("upper_mouth_seam")[-1]
    smile = (face.moved(mouthSmile=1) - face.mean)[corner]
    frown = (face.moved(mouthFrown=1) - face.mean)[corner]
    pucker = (face.moved(mouthPucker=1) - face.mean)[corner]
    assert smile[0] > 5
    assert smile[1] > 7
    assert frown[1] < -4
    assert pucker[0] < -5


# --- lids -------------------------------------------------------------------------------------------------------------

ON_LIDS = [
    "eyeBlinkLeft", "eyeSquintLeft", "eyeWideLeft", "eyeLookDownLeft", "eyeLookUpLeft", "eyeLookInLeft",
    "eyeLookOutLeft", "cheekSquintLeft", "browDownLeft", "browInnerUp", "browOuterUpLeft", "mouthSmileLeft",
    "noseSneerLeft",
]  # fmt: skip


@pytest.mark.parametrize("name", ON_LIDS)
def test_lids_stay_clear_of_the_eyeball_all_the_way(face: Face, name: str) -> None:
    near = (np.linalg.norm(face.mean - face.eyeball, axis=1) < 17.5) & (face.mean[:, 2] > face.eyeball[2])
    rest, move = face.mean[near], face.basis[ARKIT_NAMES.index(name)][near]
    for weight in WEIGHTS:
        assert above_eye(face, rest + weight * move).min() >= 0


def test_a_blink_lays_the_upper_lid_over_the_lower(face: Face) -> None:
    """By more than the fissure's height varies between people (σ 1 mm), and in front: behind it nothing may show."""
    shut = face.moved(eyeBlinkLeft=1)
    slit = gap(face, shut, "upper_lid_margin", "lower_lid_margin")
    assert slit.max() < 0.01
    assert np.median(slit) < -1.6
    assert slit.min() > -2.5
    upper, lower = (shut[face.line(f"{side}_lid_margin")] for side in ("upper", "lower"))
    ahead = upper[:, 2] - np.interp(upper[:, 0], lower[:, 0], lower[:, 2])
    assert ahead.min() > -0.01
    assert ahead.max() < 1.2
    open_line = face.mean[face.line("lower_lid_margin")]
    along = upper[:, 1] - np.interp(upper[:, 0], open_line[:, 0], open_line[:, 1])
    assert np.abs(along[4:]).max() < 0.5


def test_a_blink_draws_the_inner_canthus_and_keeps_the_outer(face: Face) -> None:
    upper = face.line("upper_lid_margin")
    moved = np.linalg.norm(face.moved(eyeBlinkLeft=1) - face.mean, axis=1)
    assert 0.5 < moved[upper[0]] < 1.5
    assert moved[upper[-1]] < 0.1
    # Behind the eyeball's equator, beside the outer one, nothing slides on it.
    beside = np.linalg.norm(face.mean - (face.mean[upper[-1]] + [4.5, 1, -3]), axis=1) < 3
    assert moved[beside].max() < 0.5


def test_lids_follow_the_gaze(face: Face) -> None:
    upper = face.line("upper_lid_margin")
    middle = upper[len(upper) // 2]
    down, up = (face.moved(**{name: 1.0})[middle, 1] - face.mean[middle, 1] for name in ("eyeLookDown", "eyeLookUp"))
    assert -5 < down < -3
    assert 1 < up < 3


# --- recordings -------------------------------------------------------------------------------------------------------


def folded(vertices: Float, triangles: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pairs of triangles whose normals differ by more than 120°."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.asarray((normal[pairs[:, 0]] * normal[pairs[:, 1]]).sum(axis=1) < -0.5)


@pytest.mark.parametrize("take", ["range-of-motion-a", "range-of-motion-b"])
def test_recordings_play_without_folds(face: Face, take: str) -> None:
    number = np.full(face.level.count, -1)
    number[face.skin] = np.arange(len(face.skin))
    triangles = number[face.level.triangles[face.level.island != OTHER]]
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    same = (edges[order][1:] == edges[order][:-1]).all(axis=1)
    owner = np.repeat(np.arange(len(triangles)), 3)[order]
    pairs = np.stack([owner[:-1][same], owner[1:][same]], axis=1)
    middle = face.mean[triangles[pairs].reshape(-1, 6)].mean(axis=1)
    at_lids = np.linalg.norm(np.abs(middle) * [1, 0, 0] + middle * [0, 1, 1] - face.eyeball, axis=1) < 20
    pairs = pairs[~at_lids]
    assert not folded(face.mean, triangles, pairs).any()
    weights = read_livelink(shared_path(f"captures/arkit/{take}.csv")).weights.astype(np.float64)
    close, opened = ARKIT_NAMES.index("mouthClose"), ARKIT_NAMES.index("jawOpen")
    weights[:, close] = np.minimum(weights[:, close], weights[:, opened])
    for frame in weights[:: len(weights) // 50]:
        vertices = face.mean + np.tensordot(frame, face.basis, 1)
        assert not folded(vertices, triangles, pairs).any()
        assert gap(face, vertices, "upper_mouth_seam", "lower_mouth_seam").min() > -1.0


# --- components -------------------------------------------------------------------------------------------------------


def recording(weights: Float) -> Recording:
    frames = len(weights)
    return Recording(
        weights=weights.astype(np.float32),
        gaze=np.zeros((frames, 2, 2), np.float32),
        timecodes=("",) * frames,
        lost_frames=0,
        clipped_values=0,
        path=Path("take.csv"),
    )


def performance(seed: int, frames: int = 400) -> Recording:
    random = np.random.default_rng(seed)
    mixing = random.dirichlet(np.ones(6), 52).T
    return recording(random.random((frames, 6)) @ mixing)


def gram() -> Float:
    shapes = np.random.default_rng(1).normal(size=(52, 90))
    shapes[ARKIT_NAMES.index("tongueOut")] = 0
    return shapes @ shapes.T


def test_all_components_restore_the_recorded_weights() -> None:
    takes = [performance(2), performance(3)]
    found = fit(takes, gram(), 12)
    weights = np.concatenate([take.weights for take in takes]).astype(np.float64)
    close, opened = ARKIT_NAMES.index("mouthClose"), ARKIT_NAMES.index("jawOpen")
    weights[:, close] = np.minimum(weights[:, close], weights[:, opened])
    np.testing.assert_allclose(found.mean, weights.mean(axis=0))
    # Twelve sources, and the limit that bends them.
    metric = gram()
    centred = weights - found.mean
    coefficients = centred @ metric @ found.components.T
    coefficients /= np.einsum("ki,ij,kj->k", found.components, metric, found.components)
    np.testing.assert_allclose(coefficients.std(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(np.corrcoef(coefficients.T), np.eye(12), atol=1e-6)
    residual = centred - coefficients @ found.components
    lost = np.einsum("fi,ij,fj->", residual, metric, residual) / np.einsum("fi,ij,fj->", centred, metric, centred)
    assert lost == pytest.approx(1 - found.explained.sum(), abs=1e-6)
    assert np.all(np.diff(found.explained) <= 1e-12)


def test_components_are_independent_of_the_order_of_frames() -> None:
    take = performance(4)
    a, b = fit([take], gram(), 6), fit([recording(take.weights[::-1].astype(np.float64))], gram(), 6)
    np.testing.assert_allclose(a.components, b.components, atol=1e-6)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 29"):
        fit([performance(5, frames=10)], gram())


def test_components_are_read_as_written(tmp_path: Path) -> None:
    found = fit([performance(6)], gram(), 6)
    write_components(tmp_path / "components.npz", found)
    read = read_components(tmp_path / "components.npz")
    np.testing.assert_allclose(read.components, found.components, atol=1e-6)
    np.testing.assert_allclose(read.mean, found.mean, atol=1e-6)
    assert read.provenance == found.provenance
