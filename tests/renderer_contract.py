"""What every rendering back-end promises, as tests that a back-end's test class inherits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.errors import RenderError
from facegen.imaging.camera import NEAR, project, to_camera
from facegen.imaging.channels import rebuild
from facegen.imaging.landmarks import project_landmarks
from facegen.imaging.visibility import UNIT, barycentric_coordinates
from facegen.morphable.model import MorphableModel
from facegen.stages.render.renderer import Renderer
from facegen.tests.scenes import (
    ABOVE,
    DISTANCE,
    NEAR_LEFT,
    PROJECTIONS,
    RIGHT,
    assert_near,
    away_from,
    in_light_of,
    mesh_model,
    pixel_centres,
    point_in_camera,
    sphere_model,
    view_of,
)

Float = NDArray[np.float32]
Make = Callable[[MorphableModel, int, int], Renderer]


class RendererContract(ABC):
    """Inherit, and say in :meth:`create` how the back-end is made."""

    @abstractmethod
    def create(self, model: MorphableModel, height: int, width: int) -> Renderer:
        """A renderer of the back-end under test."""

    @pytest.fixture
    def make(self) -> Iterator[Make]:
        """Makes renderers that are closed after the test."""
        made: list[Renderer] = []

        def factory(model: MorphableModel, height: int, width: int) -> Renderer:
            made.append(self.create(model, height, width))
            return made[-1]

        yield factory
        for renderer in made:
            renderer.close()

    @PROJECTIONS
    def test_same_view_gives_same_bytes(self, make: Make, projection: int) -> None:
        model = sphere_model()
        renderer = make(model, 48, 56)
        view = view_of(model, 48, 56, projection=projection, angles=(0.3, 0.2, 0.1))
        before = {name: np.copy(value) for name, value in vars(view).items()}
        first = renderer.render(view)
        names = ("image", "triangle_id", "barycentric")
        kept = [np.copy(getattr(first, name)) for name in names]
        renderer.render(view_of(model, 48, 56, projection=1 - projection, pixels_per_mm=0.5))
        second = renderer.render(view)
        again = make(model, 48, 56).render(view)
        for name, copy in zip(names, kept, strict=True):
            for frame in (first, second, again):
                np.testing.assert_array_equal(getattr(frame, name), copy, err_msg=name)
        for name, value in before.items():
            np.testing.assert_array_equal(getattr(view, name), value, err_msg=name)

    def test_views_rendered_together_are_those_rendered_alone(self, make: Make) -> None:
        """Each with a picture of its own, in all kinds, of which some share the shapes of their arrays."""
        rng = np.random.default_rng(5)
        model = sphere_model(5, 7)
        uv = rng.random((len(model.mean), 2), np.float32)
        model = replace(model, topology=replace(model.topology, uv=uv))
        renderer = make(model, 5, 6)
        texture = rng.integers(20, 250, (3, 5, 5, 3), np.uint8)
        relief = rng.integers(-30, 31, (2, 3, 3, 2), np.int8)
        changes: list[dict[str, NDArray[Any]]] = [
            {"texture": texture[0], "relief": relief[0]},
            {},
            {"texture": texture[1]},
            {"texture": texture[2], "relief": relief[1]},
            {
                "lit": rng.random((2, len(model.mean)), np.float32),
                "background": rng.integers(0, 256, (5, 6, 3), np.uint8),
            },
        ]
        views = [
            replace(
                in_light_of(
                    view_of(model, 5, 6, projection=n % 2, angles=(0.3 * n - 0.5, 0.1 * n, 0.2)),
                    (RIGHT, 0.1 + 0.1 * n), (NEAR_LEFT, 0.02 - 0.003 * n),
                ),
                **change,
            )
            for n, change in enumerate(changes)
        ]  # fmt: skip
        together = renderer.render_views(views)
        alone = [renderer.render(view) for view in views]
        assert len({frame.image.tobytes() for frame in alone}) == len(views)
        for name in ("image", "triangle_id", "barycentric"):
            found, expected = ([getattr(frame, name) for frame in frames] for frames in (together, alone))
            np.testing.assert_array_equal(found, expected, err_msg=name)
        for view, frame in zip(views, together, strict=True):
            np.testing.assert_array_equal(frame.mesh.vertices, to_camera(view.vertices, view.extrinsics))
        assert renderer.render_views([]) == []

    @PROJECTIONS
    def test_barycentric_coordinates_are_those_of_the_labels(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 96, 80, projection=projection, angles=(0.3, -0.2, 0.1))
        frame = make(model, 96, 80).render(view)
        triangles = model.topology.triangles
        expected = barycentric_coordinates(
            frame.triangle_id, triangles, frame.mesh.vertices, view.intrinsics, projection
        )
        np.testing.assert_array_equal(frame.barycentric, expected)
        np.testing.assert_array_equal(frame.mesh.vertices, to_camera(view.vertices, view.extrinsics))

    @PROJECTIONS
    def test_shapes_and_background(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 40, 60, projection=projection)
        frame = make(model, 40, 60).render(view)
        assert frame.image.shape == (40, 60, 3)
        assert frame.image.dtype == np.uint8
        assert frame.triangle_id.shape == (40, 60)
        assert frame.triangle_id.dtype == np.int32
        assert frame.barycentric.shape == (40, 60, 2)
        assert frame.barycentric.dtype == np.uint16
        covered = frame.triangle_id >= 0
        assert covered[20, 30]
        assert frame.triangle_id.max() < len(model.topology.triangles)
        assert not frame.barycentric[~covered].any()
        outside = away_from(covered)
        assert outside.sum() > 100
        np.testing.assert_array_equal(frame.image[outside], view.background[outside])
        assert (frame.image[covered] != view.background[covered]).any(axis=1).mean() > 0.9

    @PROJECTIONS
    def test_coverage_is_that_of_the_projected_triangle(self, make: Make, projection: int) -> None:
        corners = np.array([[-70, -40, 30], [60, -55, -40], [5, 80, 10]], np.float32)
        model = mesh_model(corners, np.array([[0, 1, 2]], np.int32))
        view = view_of(model, 37, 53, projection=projection, centre=(29.3, 16.1))
        frame = make(model, 37, 53).render(view)
        corner = project(to_camera(corners, view.extrinsics), view.intrinsics, projection)
        centres = pixel_centres(np.ones((37, 53), np.bool_))
        sides = np.roll(corner, -1, axis=0) - corner
        offset = centres[:, None, :] - corner
        cross = sides[:, 0] * offset[..., 1] - sides[:, 1] * offset[..., 0]
        # Signed distance in pixels to the nearest side; y points down, so inside is negative.
        distance = (cross / np.linalg.norm(sides, axis=1)).max(axis=1).reshape(37, 53)
        clear = np.abs(distance) > 0.01
        assert clear.mean() > 0.95
        np.testing.assert_array_equal((frame.triangle_id >= 0)[clear], (distance < 0)[clear])

    @PROJECTIONS
    def test_barycentric_point_lies_on_the_pixel_ray(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 64, 64, projection=projection, angles=(0.4, -0.3, 0.2), centre=(30.4, 33.7))
        frame = make(model, 64, 64).render(view)
        points = point_in_camera(view, model, frame)
        pixels = project(points, view.intrinsics, projection)
        # Vertices snap to 1/256 pixel and weights to 1/65535.
        assert np.abs(pixels - pixel_centres(frame.triangle_id >= 0)).max() < 0.02
        assert frame.barycentric.sum(axis=2, dtype=np.int64).max() <= UNIT

    @pytest.mark.parametrize("near_first", [True, False])
    @PROJECTIONS
    def test_nearer_triangle_hides_farther(self, make: Make, projection: int, near_first: bool) -> None:
        square = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]], np.float32)
        quad = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
        depths = (20.0, -20.0) if near_first else (-20.0, 20.0)
        vertices = np.concatenate([np.column_stack([square, np.full(4, z)]) for z in depths]).astype(np.float32)
        model = mesh_model(vertices, np.concatenate([quad, quad + 4]))
        frame = make(model, 32, 32).render(view_of(model, 32, 32, projection=projection))
        seen = frame.triangle_id[frame.triangle_id >= 0]
        assert len(seen) > 100
        assert set(seen.tolist()) == ({0, 1} if near_first else {2, 3})

    @PROJECTIONS
    def test_back_faces_are_culled(self, make: Make, projection: int) -> None:
        front = sphere_model()
        inside_out = mesh_model(front.mean, front.topology.triangles[:, ::-1])
        view = view_of(front, 40, 40, projection=projection)
        outer = make(front, 40, 40).render(view)
        inner = make(inside_out, 40, 40).render(view)
        z = to_camera(view.vertices, view.extrinsics)[:, 2]
        corners = front.topology.triangles
        assert z[corners[outer.triangle_id[20, 20]]].max() < DISTANCE
        assert z[corners[inner.triangle_id[20, 20]]].min() > DISTANCE

    @PROJECTIONS
    def test_behind_the_camera_nothing_is_drawn(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 24, 24, projection=projection)
        extrinsics = view.extrinsics.copy()
        extrinsics[2, 3] = -DISTANCE
        frame = make(model, 24, 24).render(replace(view, extrinsics=extrinsics))
        assert (frame.triangle_id == -1).all()
        assert not frame.barycentric.any()
        np.testing.assert_array_equal(frame.image, view.background)

    def test_floor_through_the_camera_ends_at_horizon_and_near_plane(self, make: Make) -> None:
        # A floor 4 mm below the camera, from behind it to 3 m ahead; model y points up, camera z is -model z.
        floor = np.array([[-9e3, -4, 2e3], [9e3, -4, 2e3], [9e3, -4, -3e3], [-9e3, -4, -3e3]], np.float32)
        model = mesh_model(floor, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
        intrinsics = np.array([[60.0, 0.0, 25.0], [0.0, 60.0, 20.0], [0.0, 0.0, 1.0]])
        view = replace(view_of(model, 50, 50, distance=0.0), intrinsics=intrinsics)
        frame = make(model, 50, 50).render(view)
        depth_of_row = 60.0 * 4.0 / (np.arange(50) + 0.5 - 20.0)
        rows = (depth_of_row > NEAR) & (depth_of_row < 3000.0)
        assert 20 < rows.sum() < 30
        np.testing.assert_array_equal(frame.triangle_id >= 0, np.tile(rows[:, None], (1, 50)))
        channels = rebuild(["depth"], model.topology, frame.mesh, frame.triangle_id, frame.barycentric)
        depth = channels["depth"].astype(np.float64)
        # Quantised weights resolve these huge triangles to a fraction of a millimetre; a pixel on the diagonal may be
        # given to either triangle and then lies up to 1/256 pixel away, which the grazing angle turns into more.
        off = np.abs(depth[rows] - depth_of_row[rows][:, None])
        assert (np.sort(off, axis=1)[:, :-1] < 0.3).all()
        assert (off < 0.3 + (depth_of_row[rows] ** 2 / 240.0 / 256.0)[:, None]).all()

    @PROJECTIONS
    def test_one_pixel(self, make: Make, projection: int) -> None:
        model = sphere_model()
        frame = make(model, 1, 1).render(view_of(model, 1, 1, projection=projection))
        assert frame.image.shape == (1, 1, 3)
        assert frame.triangle_id[0, 0] >= 0

    @PROJECTIONS
    def test_image_far_larger_than_the_mesh(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 301, 203, projection=projection, pixels_per_mm=0.02, centre=(180.0, 17.0))
        frame = make(model, 301, 203).render(view)
        rows, columns = np.nonzero(frame.triangle_id >= 0)
        # A disc of radius 2 pixels.
        assert 8 <= len(rows) <= 18
        assert np.hypot(columns + 0.5 - 180.0, rows + 0.5 - 17.0).max() < 2.2

    def test_mesh_far_larger_than_the_image(self, make: Make) -> None:
        model = sphere_model()
        view = view_of(model, 20, 30, pixels_per_mm=40.0)
        frame = make(model, 20, 30).render(view)
        assert (frame.triangle_id >= 0).all()

    @PROJECTIONS
    def test_landmarks_follow_the_labels(self, make: Make, projection: int) -> None:
        model = sphere_model()
        view = view_of(model, 96, 96, projection=projection, angles=(0.5, 0.3, -0.2))
        frame = make(model, 96, 96).render(view)
        camera = to_camera(view.vertices, view.extrinsics)
        found = project_landmarks(
            model.topology.landmarks, frame.mesh, frame.triangle_id, frame.barycentric, view.intrinsics, projection,
        )  # fmt: skip
        # The vertices of a sphere are their own normals.
        normal = (camera - camera.mean(axis=0)) / 100.0
        ray = camera / np.linalg.norm(camera, axis=1, keepdims=True) if projection == PERSPECTIVE else [[0, 0, 1]]
        facing = -(normal * ray).sum(axis=1)
        assert found.visible[facing > 0.2].all()
        assert not found.visible[facing < -0.2].any()

    def test_lights_add_up(self, make: Make) -> None:
        model = sphere_model(12, 20)
        renderer = make(model, 16, 16)
        view = view_of(model, 16, 16)
        for light, level in ((RIGHT, 0.5), (NEAR_LEFT, 0.01)):
            whole = renderer.render(in_light_of(view, (light, level))).image
            halves = renderer.render(in_light_of(view, (light, level / 2), (light, level / 2))).image
            assert_near(whole, halves)
            assert (whole.astype(np.int64) - renderer.render(in_light_of(view, (light, level / 2))).image).max() > 20

    def test_lights_have_no_order_and_those_of_no_colour_no_effect(self, make: Make) -> None:
        model = sphere_model(12, 20)
        renderer = make(model, 16, 16)
        view = view_of(model, 16, 16)
        lights = ((RIGHT, 0.3), (NEAR_LEFT, 0.01), (ABOVE, 0.2))
        image = renderer.render(in_light_of(view, *lights)).image
        for order in ((1, 2, 0), (2, 1, 0)):
            assert_near(renderer.render(in_light_of(view, *(lights[n] for n in order))).image, image)
        dark = ((NEAR_LEFT, 0.0), *lights, (RIGHT, 0.0))
        np.testing.assert_array_equal(renderer.render(in_light_of(view, *dark)).image, image)

    @PROJECTIONS
    def test_a_far_point_light_is_one_at_infinity(self, make: Make, projection: int) -> None:
        model = sphere_model(12, 20)
        renderer = make(model, 20, 20)
        view = view_of(model, 20, 20, projection=projection)
        far = np.array(RIGHT) * 1e6 + (0.0, 0.0, DISTANCE, 1.0)
        found = renderer.render(in_light_of(view, (far.tolist(), 0.4 * 1e6))).image
        assert_near(found, renderer.render(in_light_of(view, (RIGHT, 0.4))).image)

    @PROJECTIONS
    def test_a_point_light_is_at_each_place_one_at_infinity(self, make: Make, projection: int) -> None:
        model = sphere_model(24, 40)
        renderer = make(model, 20, 20)
        view = view_of(model, 20, 20, projection=projection, angles=(0.3, 0.2, 0.1))
        frame = renderer.render(in_light_of(view, (NEAR_LEFT, 0.01)))
        covered = frame.triangle_id >= 0
        rows, columns = np.nonzero(covered)
        offset = np.array(NEAR_LEFT[:3]) - point_in_camera(view, model, frame)
        distance = np.linalg.norm(offset, axis=1)
        # Far from the outline, where a pixel is a mean of several places; from the brightest to one in the dark.
        inner = np.flatnonzero(away_from(~covered)[covered])
        for n in inner[np.argsort(distance[inner])[[0, 20, 60, 100]]]:
            there = in_light_of(view, ((*(offset[n] / distance[n]), 0.0), 0.01 * (1000 / distance[n]) ** 2))
            pixel = rows[n], columns[n]
            assert_near(frame.image[pixel], renderer.render(there).image[pixel])

    def test_a_point_light_falls_off_with_the_square_of_the_distance(self, make: Make) -> None:
        patch = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
        model = mesh_model(patch, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
        renderer = make(model, 12, 12)
        view = view_of(model, 12, 12, pixels_per_mm=10.0)
        at_infinity = renderer.render(in_light_of(view, (ABOVE, 0.3))).image
        for distance in (500.0, 1000.0, 2000.0):
            place = np.array(ABOVE) * distance + (0.0, 0.0, DISTANCE, 1.0)
            found = renderer.render(in_light_of(view, (place.tolist(), 0.3 * (distance / 1000) ** 2))).image
            assert_near(found, at_infinity)

    def test_a_light_on_the_surface_adds_light_and_no_holes(self, make: Make) -> None:
        model = sphere_model(12, 20)
        renderer = make(model, 21, 21)
        view = view_of(model, 21, 21)
        corner = to_camera(view.vertices, view.extrinsics)[123].astype(np.float64)
        without = renderer.render(in_light_of(view, (RIGHT, 0.3))).image
        # At the point that the middle pixel's centre shows, and at a vertex.
        for place in ((0.0, 0.0, DISTANCE - 100.0), tuple(corner)):
            image = renderer.render(in_light_of(view, (RIGHT, 0.3), ((*place, 1.0), 1e-4))).image
            assert (image >= without).all()
            assert (image > without).any()

    def test_what_is_kept_from_the_vertices_is_each_lights_own(self, make: Make) -> None:
        model = sphere_model(12, 20)
        renderer = make(model, 16, 16)
        if not renderer.draws_shadows:
            pytest.skip("this back-end draws no shadows")
        view = in_light_of(view_of(model, 16, 16), (RIGHT, 0.3), (NEAR_LEFT, 0.01))
        shares = np.random.default_rng(0).random((2, len(model.mean)), np.float32)
        for kept in (0, 1):
            one = replace(
                view, light_position=view.light_position[[kept]], light_colour=view.light_colour[[kept]],
                lit=shares[[kept]],
            )  # fmt: skip
            alone = renderer.render(one).image
            lit = np.where(np.arange(2)[:, None] == kept, shares, np.float32(0.0))
            np.testing.assert_array_equal(renderer.render(replace(view, lit=lit)).image, alone)
            assert (alone != renderer.render(replace(one, lit=None)).image).any()
        np.testing.assert_array_equal(
            renderer.render(replace(view, lit=np.ones_like(shares))).image, renderer.render(view).image
        )

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"light_position": np.zeros((1, 3), np.float32)}, r"positions of lights of shape \(1, 3\)"),
            ({"light_position": np.zeros((0, 4), np.float32)}, r"positions of lights of shape \(0, 4\)"),
            ({"light_position": np.full((1, 4), 0.5, np.float32)}, "ends in .0.5., expected 1"),
            ({"light_colour": np.zeros((2, 3), np.float32)}, r"colours of lights of shape \(2, 3\)"),
            ({"lit": np.ones((1, 7), np.float32)}, r"shares of light of shape \(1, 7\)"),
        ],
    )
    def test_wrong_lights_are_refused(self, make: Make, change: dict[str, Float], told: str) -> None:
        model = sphere_model(6, 8)
        with pytest.raises(RenderError, match=told):
            make(model, 8, 8).render(replace(view_of(model, 8, 8), **change))

    def test_wrong_arrays_are_refused(self, make: Make) -> None:
        model = sphere_model()
        renderer = make(model, 16, 16)
        view = view_of(model, 16, 16)
        with pytest.raises(RenderError, match=str(len(model.mean))):
            renderer.render(replace(view, vertices=view.vertices[:-1]))
        with pytest.raises(RenderError, match=str(len(model.mean))):
            renderer.render(replace(view, albedo=np.full_like(model.mean[:-1], 0.5)))
        with pytest.raises(RenderError, match="albedo"):
            renderer.render(replace(view, albedo=None))
        with pytest.raises(RenderError, match="background"):
            renderer.render(replace(view, background=view.background[:-1]))
        renderer.render(view)
