"""The visibility rule of :mod:`facegen.imaging.rasterise` in plain torch: batches of faces, on any device.

The same integers and the same float operations in the same order give the same triangle numbers and depth keys, bit for
bit. Samples are listed as fragments, a bounded number at a time; what is nearest wins by the largest of one packed
integer: the key's bits above, the complement of the triangle's number below.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.imaging.camera import NEAR
from facegen.imaging.rasterise_snapping import SUBPIXELS

FRAGMENTS = 1 << 20
"""Most samples that are looked at together, which bounds the memory."""

_FARTHEST = float(1 << 21)  # pixels; as in the compiled rule
_COMPLEMENT = (1 << 31) - 1


@dataclass(frozen=True)
class _Primitives:
    """P triangles on the screen, of positive area with y downwards."""

    place: Tensor
    """(P, 3, 2) int64, 1/256 pixel."""
    key: Tensor
    """(P, 3) float32."""
    triangle: Tensor
    """(P,) int64."""
    face: Tensor
    """(P,) int64, row of the batch."""

    def __getitem__(self, rows: Tensor) -> _Primitives:
        return _Primitives(self.place[rows], self.key[rows], self.triangle[rows], self.face[rows])


def rasterise_torch(
    camera_vertices: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    perspective: Tensor,
    height: int,
    width: int,
    *,
    supersampled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Triangle and depth key at every sample of B faces; nothing of it has a gradient.

    Args:
        camera_vertices: (B, V, 3) float32, camera frame, mm, finite.
        triangles: (T, 3) int64, counter-clockwise seen from outside.
        intrinsics: (B, 3, 3) float64.
        perspective: (B,) bool; the others are scaled orthographic.
        height, width: of the image in pixels.
        supersampled: as for :func:`facegen.imaging.rasterise.rasterise`.

    Returns:
        triangle (B, rows, columns) int32, -1 for none, and depth key (B, rows, columns) float32, 0 for none.
    """
    with torch.no_grad():
        rows, columns = (2 * height + 1, 2 * width + 1) if supersampled else (height, width)
        first, shift = (0, 7) if supersampled else (128, 8)
        best = torch.zeros(len(camera_vertices) * rows * columns, dtype=torch.int64, device=camera_vertices.device)
        for primitives in _primitives(camera_vertices, triangles, intrinsics, perspective):
            _fill(primitives, first, shift, rows, columns, best)
        key = (best >> 32).to(torch.int32).view(torch.float32)
        triangle = torch.where(best > 0, _COMPLEMENT - (best & 0xFFFFFFFF), -1).to(torch.int32)
        shape = (len(camera_vertices), rows, columns)
        return triangle.reshape(shape), key.reshape(shape)


def _primitives(
    camera_vertices: Tensor, triangles: Tensor, intrinsics: Tensor, perspective: Tensor
) -> tuple[_Primitives, _Primitives]:
    """Front faces ahead of the near plane, and what the near plane leaves of those that it cuts."""
    points = camera_vertices.to(torch.float64)
    farthest = points[..., 2].amax(dim=1).clamp(min=0.0)
    face = torch.arange(len(points), device=points.device)
    ahead = points[..., 2] >= NEAR
    ahead_corners = ahead[:, triangles]
    number = torch.arange(len(triangles), device=points.device).expand(len(points), -1)
    place, key = _snap(points, intrinsics[:, None], perspective[:, None], farthest[:, None])
    # The last two corners change places, so that the area is positive where y points down.
    order = triangles[:, [0, 2, 1]]
    whole = ahead_corners.all(dim=2)
    whole &= _area(place[:, order]) > 0
    rows = face[:, None].expand_as(whole)[whole]
    corners = order[number[whole]]
    complete = _Primitives(place[rows[:, None], corners], key[rows[:, None], corners], number[whole], rows)
    cut = ahead_corners.any(dim=2) & ~ahead_corners.all(dim=2)
    rows = face[:, None].expand_as(cut)[cut]
    return complete, _clip(
        points[rows[:, None], triangles[number[cut]]], number[cut], rows,
        intrinsics[rows], perspective[rows], farthest[rows],
    )  # fmt: skip


def _snap(points: Tensor, intrinsics: Tensor, perspective: Tensor, farthest: Tensor) -> tuple[Tensor, Tensor]:
    """Places (..., 2) int64 and keys (...) float32 of points (..., 3) float64; those behind the camera mean nothing."""
    x, y, z = points.unbind(-1)
    scale = torch.where(perspective, 1.0 / z, 1.0)
    key = torch.where(perspective, scale, farthest - z + 1.0).to(torch.float32)
    px = intrinsics[..., 0, 0] * x * scale + intrinsics[..., 0, 2]
    py = intrinsics[..., 1, 1] * y * scale + intrinsics[..., 1, 2]
    pixels = torch.stack([px, py], dim=-1).clamp(-_FARTHEST, _FARTHEST)
    return torch.floor(pixels * SUBPIXELS + 0.5).to(torch.int64), key


def _area(place: Tensor) -> Tensor:
    """Twice the signed area (...) of triangles (..., 3, 2)."""
    first, second = place[..., 1, :] - place[..., 0, :], place[..., 2, :] - place[..., 0, :]
    return first[..., 0] * second[..., 1] - second[..., 0] * first[..., 1]


def _clip(
    corners: Tensor, triangle: Tensor, face: Tensor, intrinsics: Tensor, perspective: Tensor, farthest: Tensor
) -> _Primitives:
    """The fans that are left of triangles (n, 3, 3) which the near plane cuts (Sutherland & Hodgman 1974)."""
    following = corners.roll(-1, dims=1)
    ahead, next_ahead = corners[..., 2] >= NEAR, following[..., 2] >= NEAR
    share = (NEAR - corners[..., 2:]) / (following[..., 2:] - corners[..., 2:])
    crossing = corners + share * (following - corners)
    crossing[..., 2] = NEAR
    # Corner, crossing, corner, crossing ...: those that are there move to the front and keep their order.
    listed = torch.stack([corners, crossing], dim=2).flatten(1, 2)
    there = torch.stack([ahead, ahead != next_ahead], dim=2).flatten(1)
    order = torch.argsort(~there, dim=1, stable=True)[:, :4]
    polygon = torch.take_along_dim(listed, order[..., None], dim=1)
    place, key = _snap(polygon, intrinsics[:, None], perspective[:, None], farthest[:, None])
    fans = torch.tensor([[0, 2, 1], [0, 3, 2]], device=corners.device)
    place, key = place[:, fans], key[:, fans]
    count = there.sum(dim=1)
    valid = torch.stack([count >= 3, count >= 4], dim=1) & (_area(place) > 0)
    row = torch.arange(len(corners), device=corners.device)[:, None].expand_as(valid)[valid]
    return _Primitives(place[valid], key[valid], triangle[row], face[row])


def _fill(primitives: _Primitives, first: int, shift: int, rows: int, columns: int, best: Tensor) -> None:
    """Raise ``best`` (B · rows · columns) at all samples inside the primitives."""
    step = 1 << shift
    low, high = primitives.place.amin(dim=1), primitives.place.amax(dim=1)
    last = torch.tensor([columns - 1, rows - 1], device=best.device)
    start = ((low - first + step - 1) >> shift).clamp(min=0)
    stop = torch.minimum((high - first) >> shift, last) + 1
    size = (stop - start).clamp(min=0)
    touching = (size > 0).all(dim=1)
    primitives, start, size = primitives[touching], start[touching], size[touching]
    ends = size.prod(dim=1).cumsum(dim=0)
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, FRAGMENTS):
        fragment = torch.arange(begin, min(begin + FRAGMENTS, total), device=best.device)
        owner = torch.searchsorted(ends, fragment, right=True)
        within = fragment - ends[owner] + size[owner].prod(dim=1)
        column = start[owner, 0] + within % size[owner, 0]
        row = start[owner, 1] + within // size[owner, 0]
        _fill_fragments(primitives, owner, row, column, first, shift, rows, columns, best)


def _fill_fragments(
    primitives: _Primitives,
    owner: Tensor,
    row: Tensor,
    column: Tensor,
    first: int,
    shift: int,
    rows: int,
    columns: int,
    best: Tensor,
) -> None:
    px, py = first + (column << shift), first + (row << shift)
    (x0, y0), (x1, y1), (x2, y2) = (corner.unbind(1) for corner in primitives.place[owner].unbind(1))
    # Twice the areas opposite corners 0, 1, 2: all ≥ 0 inside, edges included.
    e0 = (px - x1) * (y1 - y2) + (py - y1) * (x2 - x1)
    e1 = (px - x2) * (y2 - y0) + (py - y2) * (x0 - x2)
    e2 = (px - x0) * (y0 - y1) + (py - y0) * (x1 - x0)
    inside = (e0 | e1 | e2) >= 0
    owner, row, column, e1, e2 = owner[inside], row[inside], column[inside], e1[inside], e2[inside]
    inverse = 1.0 / _area(primitives.place).to(torch.float32)
    k0, k1, k2 = primitives.key.unbind(1)
    slope1, slope2 = (k1 - k0) * inverse, (k2 - k0) * inverse
    key = k0[owner] + slope1[owner] * e1.to(torch.float32) + slope2[owner] * e2.to(torch.float32)
    # Keys of 0 and less lose against the background.
    packed = (key.view(torch.int32).to(torch.int64) << 32) | (_COMPLEMENT - primitives.triangle[owner])
    packed = torch.where(key > 0, packed, 0)
    sample = (primitives.face[owner] * rows + row) * columns + column
    best.scatter_reduce_(0, sample, packed, "amax")
