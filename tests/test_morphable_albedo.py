"""Albedo models: textures against the formula, at every level, for every batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.texture import level_for, sample_bilinear

Float = NDArray[np.float32]


def textured(size: int = 32, modes: int = 6, seed: int = 0) -> TextureAlbedo:
    """Densities between those of the brightest and the darkest reflectance, with a few beyond; smooth nowhere."""
    generator = np.random.default_rng(seed)
    return TextureAlbedo(
        names=tuple(f"mode {k}" for k in range(modes)),
        mean=generator.uniform(0.0, 5.0, (size, size, 3)).astype(np.float32),
        masks=generator.integers(0, 256, (modes, size, size), np.uint8),
        colours=generator.normal(0.0, 0.4, (modes, 3)).astype(np.float32),
        vertex_uv=generator.random((50, 2)).astype(np.float32),
    )


def drawn(albedo: TextureAlbedo, count: int) -> Float:
    return np.random.default_rng(7).standard_normal((count, len(albedo.names))).astype(np.float32)


def encoded(reflectance: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB bytes, not rounded (IEC 61966-2-1)."""
    linear = reflectance.clip(0.01, 0.95)
    result: NDArray[np.float64] = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return result


def densities(albedo: TextureAlbedo, coefficients: Float, size: int) -> NDArray[np.float64]:
    """(B, size, size, 3) by the formula, averaged over squares."""
    masks = albedo.masks / 255.0
    full = albedo.mean + np.einsum("bk,khw,kc->bhwc", coefficients.astype(np.float64), masks, albedo.colours)
    factor = len(albedo.mean) // size
    result: NDArray[np.float64] = full.reshape(len(full), size, factor, size, factor, 3).mean(axis=(2, 4))
    return result


# 5 and 8 modes: one more than and as many as fill groups of four; 20²: texels that end amid a block.
@pytest.mark.parametrize(("size", "modes"), [(32, 6), (20, 5), (64, 8), (4, 1)])
def test_a_texture_is_that_of_the_formula_at_every_level(size: int, modes: int) -> None:
    albedo = textured(size, modes)
    coefficients = drawn(albedo, 3)
    assert albedo.sizes == (size, size // 2, size // 4)
    for level in albedo.sizes:
        texture = albedo.decode_texture(coefficients, level)
        assert texture.dtype == np.uint8
        assert texture.shape == (3, level, level, 3)
        expected = encoded(np.exp(-densities(albedo, coefficients, level)))
        # Coarser masks are rounded to bytes: up to 1/510 of each coefficient's colour.
        allowed = 0.65 if level == size else 1.0
        assert np.abs(texture - expected).max() <= allowed
    assert np.ptp(albedo.decode_texture(coefficients, size)) > 100


def test_a_texture_does_not_depend_on_the_batch() -> None:
    albedo = textured(64, 7)
    coefficients = drawn(albedo, 5)
    for level in albedo.sizes:
        together = albedo.decode_texture(coefficients, level)
        for row in range(5):
            np.testing.assert_array_equal(albedo.decode_texture(coefficients[[row]], level)[0], together[row])
        np.testing.assert_array_equal(albedo.decode_texture(coefficients[::-1], level), together[::-1])


def test_no_faces_have_no_textures() -> None:
    albedo = textured()
    assert albedo.decode_texture(drawn(albedo, 0), 16).shape == (0, 16, 16, 3)
    assert albedo.decode(drawn(albedo, 0)).shape == (0, 50, 3)


def test_an_albedo_without_coefficients_is_its_mean() -> None:
    albedo = textured(16, 0)
    none = np.zeros((2, 0), np.float32)
    expected = encoded(np.exp(-densities(albedo, none, 16)))
    assert np.abs(albedo.decode_texture(none, 16) - expected).max() <= 0.65


def test_vertices_have_the_colour_of_the_texture_at_their_place() -> None:
    albedo = textured(32)
    texel = np.random.default_rng(3).integers(0, 32, (40, 2))
    uv = np.stack([(texel[:, 1] + 0.5) / 32, 1 - (texel[:, 0] + 0.5) / 32], axis=1).astype(np.float32)
    albedo = replace(albedo, vertex_uv=uv)
    coefficients = drawn(albedo, 3)
    colours = albedo.decode(coefficients)
    assert colours.dtype == np.float32
    texture = albedo.decode_texture(coefficients, 32)[:, texel[:, 0], texel[:, 1]]
    assert np.abs(encoded(colours.astype(np.float64)) - texture).max() <= 0.65
    assert colours.min() == np.float32(0.01)
    assert colours.max() == np.float32(0.95)


def test_between_texels_the_density_is_bilinear() -> None:
    albedo = textured(16)
    mean = np.zeros((16, 16, 3), np.float32)
    mean += 0.2 + 0.1 * np.arange(16, dtype=np.float32)[:, None, None] + 0.02 * np.arange(16)[None, :, None]
    uv = np.random.default_rng(1).uniform(0.04, 0.96, (30, 2)).astype(np.float32)
    albedo = replace(albedo, mean=mean, vertex_uv=uv)
    row, column = (1 - uv[:, 1]) * 16 - 0.5, uv[:, 0] * 16 - 0.5
    found = albedo.decode(np.zeros((1, 6), np.float32))[0]
    np.testing.assert_allclose(-np.log(found), (0.2 + 0.1 * row + 0.02 * column)[:, None].repeat(3, 1), atol=1e-5)


def test_beyond_the_border_the_texture_goes_on() -> None:
    texture = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    corners = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], np.float32)
    np.testing.assert_array_equal(sample_bilinear(texture, corners)[:, 0], [0, 3, 12, 15])


def test_pigments_multiply() -> None:
    """Beer and Lambert: twice the pigment absorbs its share of what the first left."""
    albedo = replace(
        textured(8, 1), mean=np.full((8, 8, 3), 0.5, np.float32), vertex_uv=np.full((1, 2), 0.5, np.float32)
    )
    albedo = replace(albedo, masks=np.full((1, 8, 8), 255, np.uint8), colours=np.array([[0.1, 0.3, 0.6]], np.float32))
    none, once, twice = albedo.decode(np.array([[0], [1], [2]], np.float32))
    np.testing.assert_allclose(once / none, np.exp([[-0.1, -0.3, -0.6]]), rtol=1e-5)
    np.testing.assert_allclose(twice / once, once / none, rtol=1e-5)


def test_numbers_that_are_none_make_no_crash() -> None:
    albedo = textured(8, 2)
    wild = np.array([[np.nan, 0], [np.inf, -np.inf], [3e38, 3e38], [-3e38, 1]], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        texture = albedo.decode_texture(wild, 8)
    assert texture.min() >= 25
    assert texture.max() <= 249


def test_shapes_are_checked() -> None:
    albedo = textured(16)
    with pytest.raises(ModelError, match=r"16 texels a side has levels of \(16, 8, 4\), not of 12"):
        albedo.decode_texture(drawn(albedo, 1), 12)
    with pytest.raises(ModelError, match="H a multiple of 4"):
        replace(albedo, mean=albedo.mean[:, :-1])
    with pytest.raises(ModelError, match=r"expected \(H, H, 3\) and \(5, H, H\)"):
        replace(albedo, names=albedo.names[:-1])


def test_the_level_is_the_coarsest_that_is_fine_enough() -> None:
    sizes = (1024, 512, 256)
    assert [level_for(sizes, least) for least in (1, 256, 256.5, 384, 512, 513, 5000)] == [
        256, 256, 512, 512, 512, 1024, 1024,
    ]  # fmt: skip


def test_linear_albedo_is_linear_until_clipped() -> None:
    generator = np.random.default_rng(0)
    mean, basis = generator.random((9, 3)).astype(np.float32), generator.normal(0, 0.3, (2, 9, 3)).astype(np.float32)
    albedo = LinearAlbedo(("a", "b"), mean, basis)
    coefficients = generator.standard_normal((4, 2)).astype(np.float32)
    expected = (mean + np.einsum("bk,kvc->bvc", coefficients, basis)).clip(0.01, 0.95)
    np.testing.assert_allclose(albedo.decode(coefficients), expected, atol=1e-6)
    longer = albedo.with_vertices(np.array([3, 3], np.int32), np.zeros((2, 2), np.float32)).decode(coefficients)
    np.testing.assert_array_equal(longer[:, 9:], longer[:, [3, 3]])
