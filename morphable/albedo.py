"""Albedo models: reflectance of the skin from coefficients, at the vertices or as a texture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.texture import box_reduced, levels_of, sample_bilinear

Float = NDArray[np.float32]

DARKEST, BRIGHTEST = 0.01, 0.95
"""Reflectances are clipped to this range."""

_TEXELS = 256
"""Texels of which the masks lie in the fast cache while all faces of a batch use them."""

_LANES, _TWO, _THREE, _FOUR = np.uint64(_TEXELS), np.uint64(2), np.uint64(3), np.uint64(4)

_TABLE_SIZE = 4096
"""Steps of density: a step is at most an eighth of an sRGB byte."""

_LEAST, _MOST = np.float32(-np.log(BRIGHTEST)), np.float32(-np.log(DARKEST))


@dataclass(frozen=True)
class Albedo(ABC):
    """What a face's colours are, by its Ka albedo coefficients, on a mesh of V vertices."""

    names: tuple[str, ...]
    """Of the Ka coefficients."""

    def decode(self, coefficients: Float, device: str = "cpu") -> Float:
        """Linear RGB reflectance (B, V, 3) at the vertices, clipped to [0.01, 0.95].

        Args:
            coefficients: (B, Ka) in σ.
            device: torch device that carries out the product.
        """
        mean, basis = self._on_device(device)
        flat = torch.addmm(mean, torch.from_numpy(coefficients).to(device), basis)
        colours: Float = self._reflectance(flat).clamp_(DARKEST, BRIGHTEST).cpu().numpy()
        return colours.reshape(len(coefficients), mean.numel() // 3, 3)

    @abstractmethod
    def with_vertices(self, rows: NDArray[np.int32], uv: Float) -> Albedo:
        """The albedo of a mesh with n more vertices.

        Args:
            rows: (n,) for each new vertex an old one that resembles it.
            uv: (n, 2) the texture coordinates of the new vertices.
        """

    @abstractmethod
    def _at_vertices(self) -> tuple[Float, Float]:
        """Mean (V, 3) and basis (Ka, V, 3) of what is linear in the coefficients."""

    @abstractmethod
    def _reflectance(self, linear: torch.Tensor) -> torch.Tensor:
        """From what is linear in the coefficients; may write into its argument."""

    @cached_property
    def _tensors(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {}

    def _on_device(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        if device not in self._tensors:
            mean, basis = self._at_vertices()
            self._tensors[device] = (
                torch.from_numpy(mean.reshape(-1)).to(device),
                torch.from_numpy(basis.reshape(len(basis), -1)).to(device),
            )
        return self._tensors[device]


@dataclass(frozen=True)
class LinearAlbedo(Albedo):
    """Reflectance linear in the coefficients, a colour a vertex: ``mean + Σ coefficient_k · basis_k``."""

    mean: Float
    """(V, 3) linear RGB reflectance."""
    basis: Float
    """(Ka, V, 3) linear RGB per σ."""

    def with_vertices(self, rows: NDArray[np.int32], uv: Float) -> LinearAlbedo:
        """New vertices have the colours of ``rows``."""
        return replace(
            self,
            mean=np.concatenate([self.mean, self.mean[rows]]),
            basis=np.concatenate([self.basis, self.basis[:, rows]], axis=1),
        )

    def _at_vertices(self) -> tuple[Float, Float]:
        return self.mean, self.basis

    def _reflectance(self, linear: torch.Tensor) -> torch.Tensor:
        return linear


@dataclass(frozen=True)
class TextureAlbedo(Albedo):
    """Optical density in texture space, linear in the coefficients.

    ``density = −ln reflectance = mean + Σ coefficient_k · mask_k / 255 · colour_k``. Pigments absorb by their amount
    (Beer–Lambert law), so melanin and haemoglobin are linear in the density, not in the reflectance (Tsumura et al.
    2003, "Image-based skin color and texture analysis/synthesis by extracting hemoglobin and melanin information").

    Textures are square; row 0 is the top (v = 1), texel centres are at +0.5.
    """

    mean: Float
    """(H, H, 3) density."""
    masks: NDArray[np.uint8]
    """(Ka, H, H) where a coefficient acts: 255 is a weight of 1."""
    colours: Float
    """(Ka, 3) density per σ where the mask is 255; negative where it brightens."""
    vertex_uv: Float
    """(V, 2) texture coordinates at which a vertex takes its colour."""

    def __post_init__(self) -> None:
        size = len(self.mean)
        if size % 4 or self.mean.shape != (size, size, 3) or self.masks.shape != (len(self.names), size, size):
            raise ModelError(
                f"albedo textures of shapes {self.mean.shape} and {self.masks.shape}: expected (H, H, 3) and "
                f"({len(self.names)}, H, H) with H a multiple of 4"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes that :meth:`decode_texture` can make, finest first."""
        return levels_of(len(self.mean))

    def decode_texture(self, coefficients: Float, size: int) -> NDArray[np.uint8]:
        """sRGB-encoded textures (B, size, size, 3) of reflectances clipped to [0.01, 0.95].

        A face's texture does not depend on the rest of the batch.

        Args:
            coefficients: (B, Ka) in σ.
            size: one of :attr:`sizes`; the coarser ones average the density over squares of texels.
        """
        mean, masks = self._level(size)
        weights = np.zeros((len(coefficients), len(masks), 3), np.float32)
        weights[:, : len(self.names)] = coefficients[:, :, None] * (self.colours / np.float32(255))
        groups = len(masks) // 4
        fours = weights.reshape(len(weights), groups, 4, 3).transpose(0, 1, 3, 2).reshape(len(weights), groups, 12)
        textures = np.empty((len(coefficients), size * size, 3), np.uint8)
        _decode(mean, masks, np.ascontiguousarray(fours), _srgb_of_density(), textures)
        return textures.reshape(len(textures), size, size, 3)

    def with_vertices(self, rows: NDArray[np.int32], uv: Float) -> TextureAlbedo:
        """New vertices take their colours at ``uv``."""
        return replace(self, vertex_uv=np.concatenate([self.vertex_uv, uv]))

    @cached_property
    def _levels(self) -> dict[int, tuple[Float, NDArray[np.uint8]]]:
        return {}

    def _level(self, size: int) -> tuple[Float, NDArray[np.uint8]]:
        """Mean (3, size²), and masks (K, size²) with K the next multiple of 4 after Ka."""
        if size not in self._levels:
            mean = box_reduced(self.mean.transpose(2, 0, 1), size).reshape(3, -1)
            masks = np.zeros((-(-len(self.names) // 4) * 4, size * size), np.uint8)
            for mask, full in zip(masks, self.masks, strict=False):
                mask[:] = np.rint(box_reduced(full, size)).reshape(-1)
            self._levels[size] = mean.astype(np.float32), masks
        return self._levels[size]

    def _at_vertices(self) -> tuple[Float, Float]:
        mean = sample_bilinear(self.mean, self.vertex_uv)
        basis = np.empty((len(self.names), len(mean), 3), np.float32)
        for mode, mask, colour in zip(basis, self.masks, self.colours / np.float32(255), strict=True):
            mode[:] = sample_bilinear(mask[..., None], self.vertex_uv) * colour
        return mean, basis

    def _reflectance(self, linear: torch.Tensor) -> torch.Tensor:
        return linear.neg_().exp_()


@lru_cache(maxsize=1)
def _srgb_of_density() -> NDArray[np.uint8]:
    """sRGB byte (IEC 61966-2-1) of the densities in :data:`_TABLE_SIZE` steps from least to most."""
    linear = np.exp(-np.linspace(_LEAST, _MOST, _TABLE_SIZE))
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: NDArray[np.uint8] = np.round(curve * 255).astype(np.uint8)
    return table


# Contraction to fused operations only: densities that are not numbers must not become indices. Indices are unsigned,
# because compiled code tests signed ones for a count from the end, which keeps it from vector registers (measured: ten
# times as fast).
_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath={"contract"})


@_compile
def _decode(
    mean: Float, masks: NDArray[np.uint8], weights: Float, table: NDArray[np.uint8], textures: NDArray[np.uint8]
) -> None:
    """Write ``textures`` (B, N, 3).

    Args:
        mean: (3, N) density.
        masks: (4G, N).
        weights: (B, G, 12) of four masks each: those of red, those of green, those of blue.
        table: of :func:`_srgb_of_density`.
    """
    texels, groups = np.uint64(mean.shape[1]), np.uint64(weights.shape[1])
    rows = np.zeros((weights.shape[1], 4 * _TEXELS), np.float32)
    start_density = np.zeros(3 * _TEXELS, np.float32)
    density = np.zeros(3 * _TEXELS, np.float32)
    step = np.zeros(3 * _TEXELS, np.uint32)
    per_unit = np.float32(_TABLE_SIZE - 1) / (_MOST - _LEAST)
    shift = np.float32(0.5) - _LEAST * per_unit
    zero, last = np.float32(0.0), np.float32(_TABLE_SIZE - 1)
    for start in range(np.uint64(0), texels, _LANES):
        used = min(_LANES, texels - start)
        for g in range(groups):
            for k in range(_FOUR):
                for n in range(used):
                    rows[g, k * _LANES + n] = masks[g * _FOUR + k, start + n]
        for c in range(_THREE):
            for n in range(used):
                start_density[c * _LANES + n] = mean[c, start + n]
        for b in range(np.uint64(weights.shape[0])):
            for n in range(_THREE * _LANES):
                density[n] = start_density[n]
            for g in range(groups):
                w = weights[b, g]
                _add_lanes(
                    density, rows[g], (w[0], w[1], w[2], w[3]), (w[4], w[5], w[6], w[7]), (w[8], w[9], w[10], w[11])
                )
            for n in range(_THREE * _LANES):
                place = density[n] * per_unit + shift
                # Written so that what is not a number becomes 0.
                place = place if place > zero else zero
                step[n] = np.uint32(np.int32(place if place < last else last))
            for n in range(used):
                textures[b, start + n, 0] = table[step[n]]
                textures[b, start + n, 1] = table[step[_LANES + n]]
                textures[b, start + n, 2] = table[step[_TWO * _LANES + n]]


_Four = tuple[np.float32, np.float32, np.float32, np.float32]


@_compile
def _add_lanes(density: Float, rows: Float, red: _Four, green: _Four, blue: _Four) -> None:
    """Add four weighted masks (4 rows of lanes) to the density (3 rows of lanes)."""
    for n in range(_LANES):
        a, b, c, d = rows[n], rows[_LANES + n], rows[_TWO * _LANES + n], rows[_THREE * _LANES + n]
        density[n] += (red[0] * a + red[1] * b) + (red[2] * c + red[3] * d)
        density[_LANES + n] += (green[0] * a + green[1] * b) + (green[2] * c + green[3] * d)
        density[_TWO * _LANES + n] += (blue[0] * a + blue[1] * b) + (blue[2] * c + blue[3] * d)
