"""The formulas of :mod:`facegen.stages.render.shading` and ``detail`` in torch: N points at once, with gradients.

Any float type, any device. Points of several faces may be mixed: what belongs to a face comes as one row a point, or as
one row for all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from facegen.stages.render.shading import METRE, NEAREST
from facegen.stages.render.surface import LASH, LIP, SKIN

_LEAST = 1e-30


def light_polynomial(light_sh: Tensor) -> Tensor:
    """(B, 3, 10) coefficients, a row a colour, of 1, y, z, x, xy, yz, z², xz, x², y², from (B, 9, 3) harmonics."""
    c0, c1, c2, c20, c22 = 0.28209479, 0.48860251, 1.09254843, 0.31539157, 0.54627422
    sh = light_sh.unbind(1)
    return torch.stack(
        [
            c0 * sh[0] - c20 * sh[6], c1 * sh[1], c1 * sh[2], c1 * sh[3], c2 * sh[4], c2 * sh[5],
            3 * c20 * sh[6], c2 * sh[7], c22 * sh[8], -c22 * sh[8],
        ],
        dim=2,
    )  # fmt: skip


def srgb_encoded(linear: Tensor) -> Tensor:
    """sRGB 0 … 1 of linear values, clamped to 0 … 1 (IEC 61966-2-1)."""
    linear = linear.clamp(0.0, 1.0)
    curve = 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curve)


def srgb_decoded(encoded: Tensor) -> Tensor:
    """Linear values of sRGB 0 … 1."""
    curve = ((encoded.clamp(min=0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def towards_viewer(ray: Tensor, perspective: Tensor) -> Tensor:
    """Unit vectors (N, 3) to the viewer from points on the rays (N, 2), camera frame."""
    flat = torch.where(perspective[:, None], ray, 0.0)
    toward = torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)
    unit: Tensor = -toward / torch.linalg.vector_norm(toward, dim=1, keepdim=True)
    return unit


def unit(normal: Tensor) -> Tensor:
    """Vectors (N, 3) of any length but zero, at length 1."""
    return normal / torch.sqrt((normal * normal).sum(dim=1, keepdim=True) + 1e-20)


def _smooth(low: float, high: float, x: Tensor) -> Tensor:
    s = ((x - low) / (high - low)).clamp(0.0, 1.0)
    smooth: Tensor = s * s * (3.0 - 2.0 * s)
    return smooth


def eye_paint(direction: Tensor, iris_radius: float, iris: Tensor, sclera: Tensor) -> Tensor:
    """Albedo (N, 3) of an eyeball in directions (N, 3) of the eye's frame: pupil, iris, limbal ring over the sclera."""
    front = direction[:, 2] > 0
    # The centre has no angle: no gradient goes through it there.
    x, y = (direction[:, 0] / iris_radius), (direction[:, 1] / iris_radius)
    centre = (x == 0) & (y == 0)
    x = torch.where(centre, _LEAST, x)
    radius = torch.sqrt((x * x + y * y).clamp(min=_LEAST))
    inside = torch.where(front, 1.0 - _smooth(0.94, 1.08, radius), 0.0)
    pupil = 1.0 - _smooth(0.30, 0.40, radius)
    ring = _smooth(0.70, 1.0, radius)
    angle = torch.atan2(y, x)
    fibres = (
        torch.sin(angle * 11 + radius * 3) + torch.sin(angle * 23 - radius * 5) + torch.sin(angle * 37 + radius * 7)
    )
    tone = 1.0 + 0.09 * fibres * _smooth(0.35, 0.6, radius)
    tone = tone * (1.25 - 0.35 * _smooth(0.4, 0.8, radius))
    tone = tone * (1.0 - 0.72 * ring)
    tone = tone * (1.0 - 0.985 * pupil)
    return sclera + inside[:, None] * (iris * tone[:, None] - sclera)


def position_at(ray: Tensor, z: Tensor, perspective: Tensor) -> Tensor:
    """The points (N, 3) of depths (N,) on the rays (N, 2), camera frame, mm."""
    across = torch.where(perspective[:, None], ray * z[:, None], ray)
    return torch.cat([across, z[:, None]], dim=1)


def towards_light(position: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors (N, 3) from points (N, 3) to a light, and the share (N, 1) of its colour that is left there.

    Args:
        position: (N or 1, 4) homogeneous, camera frame, mm.
        point: (N, 3) camera frame, mm.
    """
    near = position[:, 3:]
    offset = position[:, :3] - near * point
    squared = (offset * offset).sum(dim=1, keepdim=True).clamp(min=NEAREST**2)
    scale, left = 1.0 / torch.sqrt(squared), METRE**2 / squared
    # A light at infinity keeps its vector as it is given, and its colour.
    return torch.where(near > 0, offset * scale, offset), torch.where(near > 0, left, torch.ones_like(left))


def from_around(normal: Tensor, seen: Tensor, albedo: Tensor, polynomial: Tensor) -> Tensor:
    """Linear RGB (N, 3) that the spherical harmonics give surface points.

    Args:
        normal: (N, 3) unit vectors, camera frame.
        seen: (N,) share of the sky.
        albedo: (N, 3) linear RGB.
        polynomial: (N or 1, 3, 10) of :func:`light_polynomial`.
    """
    x, y, z = normal.unbind(1)
    basis = torch.stack([torch.ones_like(x), y, z, x, x * y, y * z, z * z, x * z, x * x, y * y], dim=1)
    ambient = (polynomial * basis[:, None, :]).sum(dim=2)
    bounced = 1.0 + 0.5 * (1.0 - seen)[:, None] * albedo
    return albedo * (ambient.clamp(min=0.0) * seen[:, None] * bounced)


def from_light(
    normal: Tensor,
    seen: Tensor,
    lit: Tensor,
    albedo: Tensor,
    viewer: Tensor,
    material: Tensor,
    light: Tensor,
    light_colour: Tensor,
) -> Tensor:
    """Linear RGB (N, 3) that one light gives surface points: :func:`facegen.stages.render.shading.from_light`.

    Args:
        normal: (N, 3) unit vectors, camera frame; so are ``viewer`` and ``light``, the vectors to the light.
        seen: (N,) share of the sky.
        lit: (N, 1) share of the light that reaches the points.
        albedo: (N, 3) linear RGB.
        viewer: (N, 3).
        material: (N,) SKIN, EYE, WET, LASH or LIP.
        light: (N or 1, 3).
        light_colour: (N or 1, 3).
    """
    lip = material == LIP
    skin = lip | (material == SKIN)
    lambert = (normal * light).sum(dim=1)
    direct = light_colour * (_smooth(0.15, 0.65, seen)[:, None] * lit)
    wrap = torch.where(skin[:, None], normal.new_tensor([0.24, 0.16, 0.08]), 0.05)
    wrapped = (lambert[:, None] + wrap).clamp(min=0.0) / (1.0 + wrap)
    one_lv = (1.0 + (light * viewer).sum(dim=1)).clamp(min=1e-6)
    half_n = (lambert + (normal * viewer).sum(dim=1)).clamp(min=0.0)
    cosine2 = torch.maximum(half_n * half_n / (one_lv + one_lv), torch.where(skin, 0.2, 0.7).to(half_n.dtype))
    lobe = torch.where(skin, cosine2**8 * 1.6 + cosine2**24 * 1.4, cosine2**128 * 33.0)
    lobe = torch.where(lip, lobe + cosine2**32 * 3.0, lobe)
    grazing = 1.0 - torch.sqrt(one_lv * 0.5)
    base = torch.where(skin, 0.028, 0.04).to(half_n.dtype)
    fresnel = base + (1.0 - base) * grazing**5
    strength = torch.where(material == LASH, 0.0, fresnel * lobe * (lambert * 2.0).clamp(0.0, 1.0))
    return direct * (albedo * wrapped + strength[:, None])


class _Cells(NamedTuple):
    """The two texels of a row around each of N places, and the weight of the second."""

    low: Tensor
    high: Tensor
    share: Tensor


def _cells(place: Tensor, size: int) -> _Cells:
    x = (place - 0.5).clamp(0.0, size - 1.0)
    low = x.detach().to(torch.int64).clamp(0, size - 1)
    return _Cells(low, (low + 1).clamp(max=size - 1), x - low)


def _wrapped_cells(place: Tensor, size: int) -> _Cells:
    x = (place - torch.floor(place.detach())) * size - 0.5
    x = torch.where(x < 0, x + size, x)
    low = x.detach().to(torch.int64).clamp(0, size - 1)
    return _Cells(low, torch.where(low + 1 < size, low + 1, 0), x - low)


def _blend(texture: Tensor, face: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    fx, fy = columns.share[:, None], rows.share[:, None]
    upper = (1.0 - fx) * texture[face, rows.low, columns.low] + fx * texture[face, rows.low, columns.high]
    lower = (1.0 - fx) * texture[face, rows.high, columns.low] + fx * texture[face, rows.high, columns.high]
    return (1.0 - fy) * upper + fy * lower


def bilinear(texture: Tensor, face: Tensor, uv: Tensor) -> Tensor:
    """Values (N, C) of textures (B, H, W, C) of the faces (N,) at (N, 2) coordinates; row 0 is the top (v = 1)."""
    height, width = texture.shape[1:3]
    u, v = uv.unbind(1)
    return _blend(texture, face, _cells((1.0 - v) * height, height), _cells(u * width, width))


def grain(micro: Tensor, strength: Tensor, repeats: float, uv: Tensor) -> Tensor:
    """Slopes (N, 2) of the skin's grain at (N, 2) coordinates, before they fade.

    Args:
        micro: (h, w, 2) slopes of a tile that continues itself.
        strength: (h', w') factor 0 … 1; the nearest texel counts.
        repeats: tiles per unit of u and of v.
        uv: (N, 2).
    """
    u, v = uv.unbind(1)
    rows, columns = strength.shape
    row = _cells((1.0 - v) * rows + 0.5, rows).low
    column = _cells(u * columns + 0.5, columns).low
    height, width = micro.shape[:2]
    slopes = _blend(
        micro[None], torch.zeros_like(row), _wrapped_cells(-v * repeats, height), _wrapped_cells(u * repeats, width)
    )
    return slopes * strength[row, column][:, None]


def tilted(
    normal: Tensor, first: Tensor, second: Tensor, first_uv: Tensor, second_uv: Tensor, slopes: Tensor
) -> Tensor:
    """Normals (N, 3) of surfaces with slopes, as :func:`facegen.stages.render.detail.tilted` explains it.

    Args:
        normal: (N, 3) of any length.
        first: (N, 3) from corner 0 to corner 1, ``second`` to corner 2; ``first_uv`` and ``second_uv`` (N, 2) the same
            in texture coordinates.
        slopes: (N, 2) along growing u and v.
    """
    du1, dv1 = first_uv.unbind(1)
    du2, dv2 = second_uv.unbind(1)
    area = du1 * dv2 - du2 * dv1
    length = torch.sqrt((normal * normal).sum(dim=1).clamp(min=_LEAST))
    length = torch.where(area.abs() > 1e-14, torch.where(area > 0, length, -length), 0.0)
    along_u = first * dv2[:, None] - second * dv1[:, None]
    along_v = second * du1[:, None] - first * du2[:, None]
    for tangent, slope in ((along_u, slopes[:, 0]), (along_v, slopes[:, 1])):
        size = torch.sqrt((tangent * tangent).sum(dim=1).clamp(min=_LEAST))
        normal = normal - (slope * length / size)[:, None] * tangent
    return normal
