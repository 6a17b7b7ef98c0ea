"""Texture and relief in our renderer, against formulas written anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import RenderError
from facegen.imaging.channels import rebuild
from facegen.imaging.occlusion import ambient_occlusion
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import Eyeball, MorphableModel
from facegen.morphable.relief import Relief
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.decoding import decode_block
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import Frame, View
from facegen.stages.render.shading import from_light
from facegen.stages.render.stage import RenderStage
from facegen.stages.render.surface import EYE, LASH, LIP, SKIN, WET, surface_of
from facegen.tests import synthetic
from facegen.tests.scenes import PROJECTIONS, away_from, mesh_model, sphere_model, view_of

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]

SIZE = 72


def plane_model(mirrored: bool = False, cells: int = 6) -> MorphableModel:
    """A square of 200 mm that faces the camera: u grows to the right (mirrored: to the left), v upwards."""
    line = np.linspace(0.0, 1.0, cells + 1)
    u, v = (grid.reshape(-1) for grid in np.meshgrid(line, line))
    vertices = np.stack([200 * u - 100, 200 * v - 100, 0 * u], axis=1).astype(np.float32)
    corner = np.arange((cells + 1) ** 2, dtype=np.int32).reshape(cells + 1, cells + 1)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles = np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)], 2).reshape(-1, 3)
    model = mesh_model(vertices, triangles)
    uv = np.stack([1 - u if mirrored else u, v], axis=1).astype(np.float32)
    return replace(model, topology=replace(model.topology, uv=uv), occlusion=np.ones(len(vertices), np.float32))


def ball_model() -> MorphableModel:
    """The sphere of the contract with texture coordinates: angle around and height."""
    model = sphere_model()
    x, y, z = (model.mean / 100).T
    uv = np.stack([np.arctan2(x, z) / (2 * np.pi) + 0.5, y / 2 + 0.5], axis=1).clip(0, 1).astype(np.float32)
    return replace(model, topology=replace(model.topology, uv=uv))


def in_white_light(view: View) -> View:
    """Ambient light that shows a surface's albedo."""
    light = np.zeros((9, 3), np.float32)
    light[0] = 2.0 * np.sqrt(np.pi)
    return replace(view, light_sh=light, light_colour=np.zeros((1, 3), np.float32))


def noise(size: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(25, 250, (size, size, 3), np.uint8)


def bumps(size: int, seed: int = 0) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-30, 31, (size, size, 2), np.int8)


def decoded(srgb: NDArray[np.uint8]) -> Float64:
    byte = srgb / 255.0
    return np.where(byte <= 0.04045, byte / 12.92, ((byte + 0.055) / 1.055) ** 2.4)


def encoded(linear: Float64) -> Float64:
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def bilinear(texture: Float64, u: Float64, v: Float64, wrapped: bool = False) -> Float64:
    """Values (n, C) of a texture (H, W, C) as OpenGL's linear filter defines them, row 0 at v = 1."""
    height, width = texture.shape[:2]
    x, y = u * width - 0.5, (1 - v) * height - 0.5
    if not wrapped:
        x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    result = np.zeros((len(u), texture.shape[2]))
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = top + dy, left + dx
            row, column = (
                (row % height, column % width) if wrapped else (row.clip(0, height - 1), column.clip(0, width - 1))
            )
            weight = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            result += weight[:, None] * texture[row, column]
    return result


def inner(frame: Frame) -> NDArray[np.bool_]:
    """Covered pixels whose neighbours are all covered: those with one sample."""
    return away_from(frame.triangle_id < 0)


def uv_of(model: MorphableModel, frame: Frame, mask: NDArray[np.bool_]) -> tuple[Float64, Float64]:
    """The label's texture coordinates, in full precision."""
    topology = model.topology
    corners = topology.uv[topology.uv_triangles[frame.triangle_id[mask]]].astype(np.float64)
    w = frame.barycentric[mask] / 65535.0
    uv = np.einsum("nk,nkc->nc", np.stack([1 - w.sum(axis=1), w[:, 0], w[:, 1]], axis=1), corners)
    return uv[:, 0], uv[:, 1]


@PROJECTIONS
def test_pixels_have_the_colours_of_the_texture(projection: int) -> None:
    model = plane_model()
    view = in_white_light(view_of(model, SIZE, SIZE, projection=projection, angles=(0.4, -0.3, 0.2)))
    for texture in (noise(64), noise(5)[:, :3], noise(1)):
        frame = NumbaRenderer(model, SIZE, SIZE).render(replace(view, albedo=None, texture=texture))
        mask = inner(frame)
        assert mask.sum() > 1000
        expected = encoded(bilinear(decoded(texture), *uv_of(model, frame, mask)))
        assert np.abs(frame.image[mask] - expected).max() <= 2


def test_row_0_of_a_texture_is_its_top() -> None:
    model = plane_model()
    texture = np.full((2, 2, 3), 40, np.uint8)
    texture[0, 0, 0] = texture[0, 1, 1] = texture[1, 0, 2] = 240
    frame = NumbaRenderer(model, SIZE, SIZE).render(
        replace(in_white_light(view_of(model, SIZE, SIZE)), albedo=None, texture=texture)
    )
    third = SIZE // 4
    for row, column, expected in ((0, 0, (240, 40, 40)), (0, 1, (40, 240, 40)), (1, 0, (40, 40, 240))):
        place = frame.image[third + row * 2 * third, third + column * 2 * third]
        assert np.abs(place.astype(int) - expected).max() <= 2


@PROJECTIONS
def test_a_texture_of_one_colour_is_an_albedo_of_one_colour(projection: int) -> None:
    """At edges and in eyes as well."""
    ball = ball_model()
    count = len(ball.mean)
    eye = Eyeball(
        vertices=np.arange(count, dtype=np.int32),
        centre=np.zeros(3, np.float32),
        direction=ball.mean / np.linalg.norm(ball.mean, axis=1, keepdims=True),
        iris_angle=0.4,
    )
    names = ("background", "eyeball_left", "face", "teeth")
    region = (1 + np.arange(len(ball.topology.triangles)) * 3 // len(ball.topology.triangles)).astype(np.uint8)
    model = replace(ball, eyes=(eye,), topology=replace(ball.topology, triangle_region=region, region_names=names))
    colour = np.array([180, 120, 90], np.uint8)
    view = view_of(model, SIZE, SIZE, projection=projection, angles=(0.2, 0.3, 0.1))
    renderer = NumbaRenderer(model, SIZE, SIZE)
    albedo = np.broadcast_to(decoded(colour), (count, 3)).astype(np.float32)
    plain = renderer.render(replace(view, albedo=albedo))
    textured = renderer.render(replace(view, albedo=None, texture=np.tile(colour, (8, 8, 1))))
    assert set(region[plain.triangle_id[plain.triangle_id >= 0]]) == {1, 2, 3}
    assert np.abs(plain.image.astype(int) - textured.image).max() <= 1


@PROJECTIONS
def test_no_relief_and_a_flat_one_are_the_same_bytes(projection: int) -> None:
    model = ball_model()
    view = view_of(model, SIZE, SIZE, projection=projection, angles=(0.3, 0.1, 0.2))
    view = replace(view, albedo=None, texture=noise(32))
    renderer = NumbaRenderer(model, SIZE, SIZE)
    flat = renderer.render(replace(view, relief=np.zeros((16, 16, 2), np.int8)))
    np.testing.assert_array_equal(renderer.render(view).image, flat.image)


@PROJECTIONS
def test_detail_changes_the_image_and_no_label(projection: int) -> None:
    model = ball_model()
    view = view_of(model, SIZE, SIZE, projection=projection, angles=(0.3, 0.1, 0.2))
    renderer = NumbaRenderer(model, SIZE, SIZE)
    smooth = renderer.render(replace(view, texture=noise(32)))
    rough = renderer.render(replace(view, texture=noise(32), relief=bumps(64)))
    plain = renderer.render(view)
    assert (smooth.image != rough.image).any(axis=2).sum() > 1000
    labels = []
    for frame in (plain, smooth, rough):
        np.testing.assert_array_equal(frame.image[away_from(frame.triangle_id >= 0)],
                                      view.background[away_from(frame.triangle_id >= 0)])  # fmt: skip
        channels = rebuild(["normal", "uv", "depth"], model.topology, frame.mesh, frame.triangle_id, frame.barycentric)
        labels.append({**channels, "triangle_id": frame.triangle_id, "barycentric": frame.barycentric})
    for name in labels[0]:
        np.testing.assert_array_equal(labels[1][name], labels[0][name], err_msg=name)
        np.testing.assert_array_equal(labels[2][name], labels[0][name], err_msg=name)


def lit_by_harmonics(normal: Float64, sh: Float) -> Float64:
    """(n, 3) light on unit normals (n, 3) of the first four spherical harmonics (Ramamoorthi & Hanrahan 2001)."""
    x, y, z = normal.T
    basis = np.stack([0.282095 + 0 * x, 0.488603 * y, 0.488603 * z, 0.488603 * x], axis=1)
    result: Float64 = basis @ sh[:4].astype(np.float64)
    return result


def slanted_light(view: View) -> View:
    light = np.zeros((9, 3), np.float32)
    light[:4] = [[1.8, 1.6, 1.7], [0.5, -0.4, 0.3], [-0.6, -0.5, -0.4], [0.4, 0.6, -0.5]]
    return replace(view, light_sh=light, light_colour=np.zeros((1, 3), np.float32))


def tilted_plane(model: MorphableModel, view: View, mirrored: bool, slopes: Float64) -> Float64:
    """(n, 3) unit normals, camera frame, of the plane with slopes (n, 2)."""
    rotation = view.extrinsics[:3, :3]
    tangent, bitangent, normal = rotation @ [-1.0 if mirrored else 1.0, 0, 0], rotation[:, 1], rotation[:, 2]
    tilted = normal - slopes[:, :1] * tangent - slopes[:, 1:] * bitangent
    unit: Float64 = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("mirrored", [False, True])
@PROJECTIONS
def test_a_slope_turns_the_normal(projection: int, mirrored: bool) -> None:
    model = plane_model(mirrored)
    view = slanted_light(view_of(model, SIZE, SIZE, projection=projection, angles=(0.5, -0.2, 0.7)))
    colour = np.array([150, 170, 190], np.uint8)
    texture = np.tile(colour, (4, 4, 1))
    renderer = NumbaRenderer(model, SIZE, SIZE)
    shown = []
    for slope in ((0, 0), (40, 0), (0, 40), (-25, 60)):
        relief = np.tile(np.array(slope, np.int8), (8, 8, 1))
        frame = renderer.render(replace(view, albedo=None, texture=texture, relief=relief))
        normal = tilted_plane(model, view, mirrored, np.array([slope]) / 64.0)
        expected = encoded(decoded(colour) * lit_by_harmonics(normal, view.light_sh))[0]
        mask = inner(frame)
        assert np.abs(frame.image[mask] - expected).max() <= 2
        shown.append(expected)
    assert min(np.abs(a - b).max() for i, a in enumerate(shown) for b in shown[:i]) > 8


def test_slopes_are_filtered() -> None:
    model = plane_model()
    view = slanted_light(view_of(model, SIZE, SIZE, angles=(0.1, 0.2, 0.0)))
    texture, relief = np.full((4, 4, 3), 150, np.uint8), bumps(7)
    frame = NumbaRenderer(model, SIZE, SIZE).render(replace(view, albedo=None, texture=texture, relief=relief))
    mask = inner(frame)
    slopes = bilinear(relief / 64.0, *uv_of(model, frame, mask))
    expected = decoded(texture[0, 0]) * lit_by_harmonics(tilted_plane(model, view, False, slopes), view.light_sh)
    assert np.abs(frame.image[mask] - encoded(expected)).max() <= 2


def test_without_area_in_the_texture_slopes_mean_nothing() -> None:
    model = sphere_model()
    view = replace(view_of(model, SIZE, SIZE), albedo=None, texture=noise(4))
    renderer = NumbaRenderer(model, SIZE, SIZE)
    rough = renderer.render(replace(view, relief=np.full((4, 4, 2), 60, np.int8)))
    np.testing.assert_array_equal(renderer.render(view).image, rough.image)


def with_grain(model: MorphableModel, millimetres: float, strength: int, repeats: float = 3.0) -> MorphableModel:
    generator = np.random.default_rng(4)
    no = np.zeros((1, 1), np.float32)
    relief = Relief(
        names=("none",),
        wrinkles=np.zeros((1, 8, 8, 2), np.int8),
        base=no[0],
        by_albedo=no,
        by_expression=no,
        largest=no[0],
        micro=generator.integers(-40, 41, (6, 5, 2), np.int8),
        micro_repeats=repeats,
        micro_strength=np.full((3, 3), strength, np.uint8),
        micro_millimetres=millimetres,
    )
    return replace(model, relief=relief)


def test_grain_repeats_and_is_added_by_its_strength() -> None:
    model = with_grain(plane_model(), 200 / 3.0, 128)
    assert model.relief is not None
    view = slanted_light(view_of(model, SIZE, SIZE, angles=(0.1, 0.2, 0.0)))
    relief = np.tile(np.array([10, -20], np.int8), (4, 4, 1))
    texture = np.full((4, 4, 3), 150, np.uint8)
    frame = NumbaRenderer(model, SIZE, SIZE).render(replace(view, albedo=None, texture=texture, relief=relief))
    mask = inner(frame)
    u, v = uv_of(model, frame, mask)
    # Repeats start at the lower left: rows count downwards from v = 1 of each tile.
    grain = bilinear(model.relief.micro / 64.0, (3 * u) % 1.0, (3 * v) % 1.0, wrapped=True)
    slopes = np.array([10, -20]) / 64.0 + 128 / 255 * grain
    expected = decoded(texture[0, 0]) * lit_by_harmonics(tilted_plane(model, view, False, slopes), view.light_sh)
    assert np.abs(frame.image[mask] - encoded(expected)).max() <= 2
    smooth = NumbaRenderer(plane_model(), SIZE, SIZE).render(replace(view, albedo=None, texture=texture, relief=relief))
    assert np.abs(frame.image[mask].astype(int) - smooth.image[mask]).max() > 8


@PROJECTIONS
def test_grain_fades_before_its_texels_are_smaller_than_pixels(projection: int) -> None:
    texture, flat = np.full((4, 4, 3), 150, np.uint8), np.zeros((8, 8, 2), np.int8)
    pixels_per_mm = SIZE / 240.0
    contrast = []
    for texel in (0.2, 0.34, 0.5, 0.71, 3.0):
        model = with_grain(plane_model(), texel * 6 / pixels_per_mm, 255)
        view = slanted_light(view_of(model, SIZE, SIZE, projection=projection))
        frame = NumbaRenderer(model, SIZE, SIZE).render(replace(view, albedo=None, texture=texture, relief=flat))
        contrast.append(float(np.ptp(frame.image[inner(frame)], axis=0).max()))
    assert contrast[0] == contrast[1] == 0
    assert 10 < contrast[2] < 0.8 * contrast[3]
    assert contrast[3] == contrast[4]


def test_a_models_own_occlusion_is_used() -> None:
    model = plane_model()
    view = replace(in_white_light(view_of(model, SIZE, SIZE)), albedo=None, texture=np.full((4, 4, 3), 150, np.uint8))
    half = replace(model, occlusion=np.full(len(model.mean), 0.5, np.float32))
    bright, dark = (NumbaRenderer(m, SIZE, SIZE).render(view).image[SIZE // 2, SIZE // 2, 0] for m in (model, half))
    reflectance = decoded(np.array([150], np.uint8))
    assert abs(int(bright) - 150) <= 1
    assert abs(int(dark) - encoded(reflectance * 0.5 * (1 + 0.25 * reflectance))[0]) <= 2


def test_a_ball_sees_the_whole_sky_and_a_bowl_less() -> None:
    ball = sphere_model()
    triangles, y = ball.topology.triangles, ball.mean[:, 1]
    assert ambient_occlusion(ball.mean, triangles).min() > 0.9
    # The lower half turned inside out, in a larger one, is a bowl of 5 mm.
    lower = triangles[(y[triangles] < 1).all(axis=1)]
    bowl = np.concatenate([lower[:, ::-1], lower + len(y)])
    share = ambient_occlusion(np.concatenate([ball.mean, 1.05 * ball.mean]), bowl)
    # At the bottom the rim stands 45° high: sin² 45° of the cosine-weighted sky is left.
    assert share[np.flatnonzero(y < -95)].mean() == pytest.approx(0.5, abs=0.06)
    assert share[len(y) :][y < -50].min() > 0.9


def test_materials_follow_the_regions() -> None:
    names = ("background", "face", "lips", "lashes", "gums", "tongue", "teeth", "mouth_socket", "eyeball_left", "bust")
    model = plane_model()
    region = (1 + np.arange(len(model.topology.triangles)) % 9).astype(np.uint8)
    model = replace(model, topology=replace(model.topology, region_names=names, triangle_region=region))
    assert surface_of(model).material[:9].tolist() == [SKIN, SKIN, LASH, WET, WET, WET, WET, EYE, SKIN]
    with_texture = replace(model, albedo=synthetic.textured_model().albedo)
    assert surface_of(with_texture).material[:9].tolist() == [SKIN, LIP, LASH, WET, WET, WET, WET, EYE, SKIN]


def test_highlights_follow_the_material() -> None:
    def highlight(kind: int, degrees: float) -> float:
        """What a black surface shows that leans away from a light beside the camera."""
        angle = np.radians(degrees)
        none, one = np.float32(0), np.float32(1)
        normal, back = (np.float32(np.sin(angle)), none, -np.float32(np.cos(angle))), (none, none, -one)
        return float(sum(from_light(normal, one, one, (none, none, none), back, kind, back, (one, one, one))))

    assert highlight(LASH, 0) == 0
    wet, skin, lip = ([highlight(kind, degrees) for degrees in (0, 12, 30)] for kind in (WET, SKIN, LIP))
    assert wet[0] > lip[0] > 1.5 * skin[0] > 0.1
    # The sharper a highlight, the sooner it ends.
    assert wet[1] / wet[0] < lip[1] / lip[0] < skin[1] / skin[0]
    assert lip[2] == pytest.approx(skin[2], rel=0.05)


@pytest.mark.parametrize("textured", [False, True])
def test_light_that_is_kept_away_is_no_light(textured: bool) -> None:
    model = ball_model()
    renderer = NumbaRenderer(model, 48, 48)
    view = view_of(model, 48, 48)
    if textured:
        view = replace(view, albedo=None, texture=np.full((8, 8, 3), 140, np.uint8))
    count = len(model.mean)
    whole = renderer.render(view).image
    np.testing.assert_array_equal(renderer.render(replace(view, lit=np.ones((1, count), np.float32))).image, whole)
    dark = renderer.render(replace(view, light_colour=np.zeros((1, 3), np.float32))).image
    np.testing.assert_array_equal(renderer.render(replace(view, lit=np.zeros((1, count), np.float32))).image, dark)
    half = renderer.render(replace(view, light_colour=view.light_colour / 2)).image.astype(np.int64)
    found = renderer.render(replace(view, lit=np.full((1, count), 0.5, np.float32))).image.astype(np.int64)
    assert np.abs(found - half).max() <= 1
    assert (whole != dark).any()
    with pytest.raises(RenderError, match=rf"shares of light of shape \(1, {count - 1}\), expected \(1, {count}\)"):
        renderer.render(replace(view, lit=np.ones((1, count - 1), np.float32)))


def test_what_does_not_fit_is_refused() -> None:
    model = ball_model()
    renderer = NumbaRenderer(model, 16, 16)
    view = replace(view_of(model, 16, 16), albedo=None)
    good = replace(view, texture=noise(8), relief=bumps(8))
    renderer.render(good)
    for wrong, message in (
        (replace(good, texture=None, relief=None), "neither albedo nor texture"),
        (replace(good, texture=None, albedo=np.full_like(model.mean, 0.5)), "relief but no texture"),
        (replace(good, texture=noise(8)[..., :2]), r"texture of shape \(8, 8, 2\) .* expected \(S, S, 3\) and uint8"),
        (replace(good, texture=noise(8)[0]), r"texture of shape \(8, 3\)"),
        (replace(good, texture=noise(8)[:0]), r"texture of shape \(0, 8, 3\)"),
        (replace(good, texture=noise(8).astype(np.float32)), "texture of .* float32"),  # type: ignore[arg-type]
        (replace(good, relief=bumps(8)[..., :1]), r"relief of shape \(8, 8, 1\) .* expected \(S, S, 2\) and int8"),
        (replace(good, relief=bumps(8).astype(np.uint8)), "relief of .* uint8"),  # type: ignore[arg-type]
    ):
        with pytest.raises(RenderError, match=message) as caught:
            renderer.render(wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("height", "width", "expected"), [(16, 20, 32), (16, 22, 64), (43, 20, 128), (300, 200, 128)])
def test_the_stage_decodes_the_level_that_the_image_can_show(height: int, width: int, expected: int) -> None:
    model = synthetic.textured_model()
    samples, _ = synthetic.batch(model.topology, np.arange(3))
    texels = 1.5 * max(height, width)
    decoded_faces = decode_block(model, samples, [2, 0], texels)
    assert isinstance(model.albedo, TextureAlbedo)
    assert model.relief is not None
    assert decoded_faces.albedo is None
    rows = [2, 0]
    np.testing.assert_array_equal(decoded_faces.texture, model.albedo.decode_texture(samples.albedo[rows], expected))
    np.testing.assert_array_equal(
        decoded_faces.relief, model.relief.decode(samples.albedo[rows], samples.expression[rows], expected)
    )
    for_vertices = decode_block(model, samples, rows)
    assert for_vertices.texture is for_vertices.relief is None
    assert for_vertices.albedo is not None
    np.testing.assert_allclose(for_vertices.albedo, model.decode_albedo(samples.albedo[rows]), atol=1e-6)


def test_faces_with_textures_do_not_depend_on_the_batch() -> None:
    model = synthetic.textured_model()
    stage = RenderStage(RenderConfig(size=48), model)
    samples, _ = synthetic.batch(model.topology, np.arange(6), size=48)
    together = stage.render(samples)
    assert together.valid.all(), together.reason
    for row in (1, 4):
        alone = stage.render(type(samples).from_dict({k: v[[row]] for k, v in samples.as_dict().items()}))
        np.testing.assert_array_equal(alone.image[0], together.image[row])
    for change in ("albedo", "expression"):
        other = stage.render(replace(samples, **{change: getattr(samples, change)[::-1].copy()}))
        assert (other.image != together.image).any(axis=(1, 2, 3)).all(), change
        np.testing.assert_array_equal(other.triangle_id, together.triangle_id)


def test_an_albedo_that_is_not_finite_fails_its_face() -> None:
    model = synthetic.textured_model()
    samples, _ = synthetic.batch(model.topology, np.arange(2), size=32)
    albedo = samples.albedo.copy()
    albedo[1, 0] = np.inf
    renders = RenderStage(RenderConfig(size=32), model).render(replace(samples, albedo=albedo))
    assert renders.valid.tolist() == [True, False]
    assert renders.reason[1] == "the albedo is not finite"
