"""What every morphable model promises, as tests that a model's test class inherits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.constraints import respect_limits
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]

# Sums of some hundred float32 products of millimetres.
ROUNDING = 1e-3


def zeros(model: MorphableModel, count: int = 1) -> tuple[Float, Float]:
    identity = np.zeros((count, len(model.identity_names)), np.float32)
    return identity, np.zeros((count, len(model.expression_names)), np.float32)


def drawn(model: MorphableModel, count: int, seed: int = 1) -> tuple[Float, Float]:
    generator = np.random.default_rng(seed)
    identity, expression = zeros(model, count)
    identity[:] = generator.standard_normal(identity.shape)
    expression[:] = generator.uniform(0.0, 1.0, expression.shape)
    return identity, expression


def drawn_ahead(model: MorphableModel, count: int) -> tuple[Float, Float]:
    """As :func:`drawn`, but no expression turns the eyes."""
    identity, expression = drawn(model, count)
    for eye in model.eyes:
        expression[:, eye.turned_by] = 0
    return identity, expression


def directed_edges(triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2)


def albedo_arrays(model: MorphableModel) -> tuple[Float, ...]:
    """The albedo's float arrays, whose shapes are checked as well."""
    albedo, vertices, count = model.albedo, model.topology.vertex_count, len(model.albedo_names)
    if isinstance(albedo, LinearAlbedo):
        assert albedo.mean.shape == (vertices, 3)
        assert albedo.basis.shape == (count, vertices, 3)
        return albedo.mean, albedo.basis
    assert isinstance(albedo, TextureAlbedo)
    assert albedo.mean.ndim == 3
    assert albedo.masks.dtype == np.uint8
    assert albedo.colours.shape == (count, 3)
    assert albedo.vertex_uv.shape == (vertices, 2)
    return albedo.mean, albedo.colours, albedo.vertex_uv


class MorphableModelContract(ABC):
    """Inherit, define the fixture :meth:`model`, and the model is tested."""

    @pytest.fixture
    @abstractmethod
    def model(self) -> MorphableModel:
        """The model under test."""

    def test_the_arrays_agree_in_shape_and_type(self, model: MorphableModel) -> None:
        vertices, triangles = model.topology.vertex_count, len(model.topology.triangles)
        assert model.mean.shape == (vertices, 3)
        assert model.identity_basis.shape == (len(model.identity_names), vertices, 3)
        assert model.expression_basis.shape == (len(model.expression_names), vertices, 3)
        assert model.topology.triangles.shape == model.topology.uv_triangles.shape == (triangles, 3)
        assert model.topology.triangle_region.shape == (triangles,)
        for array in (model.mean, model.identity_basis, model.expression_basis, *albedo_arrays(model)):
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert np.isfinite(array).all()
        for indices in (model.topology.triangles, model.topology.uv_triangles, model.topology.landmarks):
            assert indices.dtype == np.int32
        assert model.topology.triangle_region.dtype == np.uint8
        assert model.topology.uv.dtype == model.topology.reference.dtype == np.float32
        assert all(mask.shape == (vertices,) and mask.dtype == np.bool_ for mask in model.vertex_masks.values())

    def test_occlusion_and_relief_fit_the_model(self, model: MorphableModel) -> None:
        if model.occlusion is not None:
            assert model.occlusion.shape == (model.topology.vertex_count,)
            assert model.occlusion.dtype == np.float32
            assert 0.0 <= model.occlusion.min() <= model.occlusion.max() <= 1.0
        relief = model.relief
        if relief is not None:
            groups, size = len(relief.names), relief.sizes[0]
            assert relief.wrinkles.shape == (groups, size, size, 2)
            assert relief.by_albedo.shape == (groups, len(model.albedo_names))
            assert relief.by_expression.shape == (groups, len(model.expression_names))
            assert relief.base.shape == relief.largest.shape == (groups,)
            assert relief.wrinkles.dtype == relief.micro.dtype == np.int8
            assert relief.micro.shape[2:] == (2,)
            assert relief.micro_strength.ndim == 2
            assert relief.micro_strength.dtype == np.uint8
            assert relief.micro_repeats > 0
            assert relief.micro_millimetres > 0

    def test_it_is_named_and_digested(self, model: MorphableModel) -> None:
        assert model.name
        assert len(bytes.fromhex(model.sha256)) == 32
        for names in (model.identity_names, model.expression_names, model.albedo_names, model.topology.region_names):
            assert len(set(names)) == len(names)

    def test_every_vertex_and_texture_coordinate_is_used(self, model: MorphableModel) -> None:
        topology = model.topology
        assert np.array_equal(np.unique(topology.triangles), np.arange(topology.vertex_count))
        assert np.array_equal(np.unique(topology.uv_triangles), np.arange(len(topology.uv)))

    def test_every_triangle_has_a_region(self, model: MorphableModel) -> None:
        assert model.topology.region_names[0] == "background"
        assert model.topology.triangle_region.min() >= 1
        assert model.topology.triangle_region.max() < len(model.topology.region_names)

    def test_it_is_an_oriented_surface(self, model: MorphableModel) -> None:
        """No edge is used twice in one direction: neighbours agree on what is outside, none has a third."""
        edges = directed_edges(model.topology.triangles)
        assert len(np.unique(edges, axis=0)) == len(edges)
        assert (edges[:, 0] != edges[:, 1]).all()

    def test_texture_coordinates_are_in_the_unit_square(self, model: MorphableModel) -> None:
        assert model.topology.uv.min() >= 0.0
        assert model.topology.uv.max() <= 1.0

    def test_reference_is_the_mean_and_its_colours_span_the_cube(self, model: MorphableModel) -> None:
        assert np.array_equal(model.topology.reference, model.mean)
        colours = model.topology.reference_colours
        assert np.array_equal(colours.min(axis=0), [0, 0, 0])
        assert np.array_equal(colours.max(axis=0), [1, 1, 1])

    def test_landmarks_stand_in_the_model_frame(self, model: MorphableModel) -> None:
        """68 Multi-PIE points: the first at the subject's right ear (−x), brows above the chin, the nose in front."""
        points = model.mean[model.topology.landmarks]
        assert points.shape == (68, 3)
        assert points[0, 0] < 0 < points[16, 0]
        assert points[8, 1] < points[57, 1] < points[33, 1] < points[27, 1] < points[19, 1]
        assert points[30, 2] > points[[0, 16], 2].max()
        assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]

    def test_lengths_are_millimetres(self, model: MorphableModel) -> None:
        points = model.mean[model.topology.landmarks]
        assert 75 < np.linalg.norm(points[45] - points[36]) < 105

    def test_zero_is_the_mean(self, model: MorphableModel) -> None:
        assert np.array_equal(model.decode(*zeros(model))[0], model.mean)

    def test_decoding_is_linear(self, model: MorphableModel) -> None:
        first, second = drawn(model, 2, seed=1), drawn(model, 2, seed=2)
        both = model.decode(first[0] + second[0], first[1] + second[1])
        apart = model.decode(*first) + model.decode(*second) - model.mean
        np.testing.assert_allclose(both, apart, rtol=0, atol=ROUNDING)

    def test_one_coefficient_adds_its_mode(self, model: MorphableModel) -> None:
        for mode in {0, len(model.expression_names) // 2, len(model.expression_names) - 1}:
            identity, expression = zeros(model)
            expression[0, mode] = 1.0
            expected = model.mean + model.expression_basis[mode]
            np.testing.assert_allclose(model.decode(identity, expression)[0], expected, rtol=0, atol=1e-5)
        for mode in {0, len(model.identity_names) - 1}:
            identity, expression = zeros(model)
            identity[0, mode] = 1.0
            expected = model.mean + model.identity_basis[mode]
            np.testing.assert_allclose(model.decode(identity, expression)[0], expected, rtol=0, atol=1e-5)

    def test_decoding_twice_is_identical_and_writes_nothing(self, model: MorphableModel) -> None:
        before = model.mean.copy()
        identity, expression = drawn(model, 3)
        gaze = np.full((3, 2, 2), 0.2, np.float32)
        assert np.array_equal(model.decode(identity, expression, gaze), model.decode(identity, expression, gaze))
        assert np.array_equal(model.mean, before)

    def test_gaze_of_zero_moves_nothing(self, model: MorphableModel) -> None:
        identity, expression = drawn_ahead(model, 2)
        still = model.decode(identity, expression)
        assert np.array_equal(model.decode(identity, expression, np.zeros((2, 2, 2), np.float32)), still)

    def test_gaze_takes_the_place_of_what_expressions_turn(self, model: MorphableModel) -> None:
        """The eyeballs look where the gaze says whatever the expression is; everything else keeps its expression."""
        identity, expression = drawn(model, 2)
        ahead = expression.copy()
        rest = np.ones(model.topology.vertex_count, bool)
        for eye in model.eyes:
            ahead[:, eye.turned_by] = 0
            rest[eye.vertices] = False
        gaze = np.array([[[0.4, 0.1], [0.0, 0.0]], [[-0.2, -0.3], [0.5, 0.2]]], np.float32)
        looking = model.decode(identity, expression, gaze)
        expected = model.decode(identity, ahead, gaze)
        np.testing.assert_allclose(looking[:, ~rest], expected[:, ~rest], rtol=0, atol=ROUNDING)
        assert np.array_equal(looking[:, rest], model.decode(identity, expression)[:, rest])

    def test_gaze_turns_the_eyeballs_and_nothing_else(self, model: MorphableModel) -> None:
        identity, expression = drawn_ahead(model, 2)
        gaze = np.array([[[0.4, 0.1], [0.0, 0.0]], [[-0.2, -0.3], [0.5, 0.2]]], np.float32)
        still, turned = model.decode(identity, expression), model.decode(identity, expression, gaze)
        rest = np.ones(model.topology.vertex_count, bool)
        for eye in model.eyes:
            rest[eye.vertices] = False
            for face in range(2):
                centre = eye.centre + (still[face] - model.mean)[eye.vertices].mean(axis=0)
                before = np.linalg.norm(still[face, eye.vertices] - centre, axis=1)
                after = np.linalg.norm(turned[face, eye.vertices] - centre, axis=1)
                np.testing.assert_allclose(after, before, rtol=0, atol=ROUNDING)
        assert np.array_equal(turned[:, rest], still[:, rest])
        if model.eyes:
            assert np.array_equal(turned[0, model.eyes[1].vertices], still[0, model.eyes[1].vertices])
            assert np.abs(turned[0, model.eyes[0].vertices] - still[0, model.eyes[0].vertices]).max() > 1.0

    def test_positive_yaw_looks_to_the_subjects_left_and_positive_pitch_up(self, model: MorphableModel) -> None:
        identity, expression = zeros(model)
        for side, eye in enumerate(model.eyes):
            pupil = eye.vertices[eye.direction[:, 2].argmax()]
            for axis, component in ((0, 0), (1, 1)):
                gaze = np.zeros((1, 2, 2), np.float32)
                gaze[0, side, axis] = 0.2
                moved = model.decode(identity, expression, gaze)[0, pupil] - model.mean[pupil]
                assert moved[component] > 2.0

    def test_eyes_look_forward_and_have_irises(self, model: MorphableModel) -> None:
        for eye, sign in zip(model.eyes, (1.0, -1.0), strict=False):
            assert eye.centre[0] * sign > 0
            np.testing.assert_allclose(np.linalg.norm(eye.direction, axis=1), 1.0, atol=1e-6)
            axis = model.mean[eye.vertices[eye.direction[:, 2].argmax()]] - eye.centre
            assert axis[2] > 0.95 * np.linalg.norm(axis)
            assert 0.3 < eye.iris_angle < 0.6

    def test_albedo_of_zero_is_the_mean_and_every_albedo_a_reflectance(self, model: MorphableModel) -> None:
        count = len(model.albedo_names)
        mean = model.decode_albedo(np.zeros((1, count), np.float32))[0]
        assert mean.shape == (model.topology.vertex_count, 3)
        if isinstance(model.albedo, LinearAlbedo):
            assert np.array_equal(mean, np.clip(model.albedo.mean, np.float32(0.01), np.float32(0.95)))
        colours = model.decode_albedo(np.random.default_rng(1).standard_normal((8, count)).astype(np.float32) * 3)
        assert colours.min() >= np.float32(0.01)
        assert colours.max() <= np.float32(0.95)

    def test_limits_hold_after_they_are_enforced(self, model: MorphableModel) -> None:
        wild = np.random.default_rng(1).normal(0.0, 2.0, (64, len(model.expression_names))).astype(np.float32)
        kept = wild.copy()
        tame = respect_limits(model, wild)
        assert np.array_equal(wild, kept)
        assert np.array_equal(respect_limits(model, tame), tame)
        low, high = model.expression_bounds
        assert tame.min() >= low
        assert tame.max() <= high
        for first, second in model.expression_limits:
            a, b = model.expression_names.index(first), model.expression_names.index(second)
            assert (tame[:, a] <= tame[:, b]).all()
        for switch in model.expression_switches:
            weight = tame[:, model.expression_names.index(switch.name)]
            room = sum(share * tame[:, model.expression_names.index(name)] for name, share in switch.room)
            np.testing.assert_array_equal(weight, (weight == 1) & (room >= switch.needed))
