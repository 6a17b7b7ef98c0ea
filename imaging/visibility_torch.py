"""Barycentric weights in torch: :mod:`facegen.imaging.visibility` for many points at once, on any device.

In float64 the results are the compiled functions', bit for bit. :func:`weights_on_plane` has gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.imaging.camera import NEAR
from facegen.imaging.visibility import UNIT


def weights_on_plane(corners: Tensor, ray: Tensor, perspective: Tensor) -> Tensor:
    """Weights (N, 2) of corners 1 and 2 where rays meet the planes of triangles, beyond their edges as well.

    Args:
        corners: (N, 3, 3) camera frame, mm.
        ray: (N, 2) u and v, see :func:`facegen.imaging.visibility.weights_on_ray`.
        perspective: (N,) bool.
    """
    a, b, c = corners.unbind(1)
    u, v = ray.unbind(1)
    e1x, e1y, e1z = (b - a).unbind(1)
    e2x, e2y, e2z = (c - a).unbind(1)
    ax, ay, az = a.unbind(1)
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    # The ray runs from the origin along (u, v, 1), or from (u, v, 0) along (0, 0, 1).
    px = torch.where(perspective, v * e2z - e2y, -e2y)
    py = torch.where(perspective, e2x - u * e2z, e2x)
    pz = torch.where(perspective, u * e2y - v * e2x, zero)
    sx, sy = torch.where(perspective, -ax, u - ax), torch.where(perspective, -ay, v - ay)
    sz = torch.where(perspective, -az, zero)
    qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
    w1 = sx * px + sy * py + sz * pz
    w2 = torch.where(perspective, u * qx + v * qy + qz, qz)
    determinant = e1x * px + e1y * py + e1z * pz
    edge_on = determinant == 0
    inverse = 1.0 / torch.where(edge_on, one, determinant)
    return torch.stack([torch.where(edge_on, -one, w1 * inverse), torch.where(edge_on, zero, w2 * inverse)], dim=1)


def weights_on_ray(corners: Tensor, ray: Tensor, perspective: Tensor) -> Tensor:
    """As :func:`weights_on_plane`, but where a ray passes its triangle by, those of the outline's nearest point."""
    weights = weights_on_plane(corners, ray, perspective)
    outside = ~((weights >= 0).all(dim=1) & (weights[:, 0] + weights[:, 1] <= 1))
    if outside.any():
        weights[outside] = _weights_on_outline(corners[outside], ray[outside], perspective[outside])
    return weights


def quantise(weights: Tensor) -> Tensor:
    """Weights (N, 2) as int64 of 0 … 65535 whose sum is at most 65535."""
    q1, q2 = (weights * UNIT + 0.5).to(torch.int64).unbind(1)
    return torch.stack([q1, torch.minimum(q2, UNIT - q1)], dim=1)


def _weights_on_outline(corners: Tensor, ray: Tensor, perspective: Tensor) -> Tensor:
    a, b, c = corners.unbind(1)
    ab, to_ab = _on_edge(a, b, ray, perspective)
    ac, to_ac = _on_edge(a, c, ray, perspective)
    bc, to_bc = _on_edge(b, c, ray, perspective)
    zero = torch.zeros_like(ab)
    first, second = (to_ab <= to_ac) & (to_ab <= to_bc), to_ac <= to_bc
    w1 = torch.where(first, ab, torch.where(second, zero, 1.0 - bc))
    w2 = torch.where(first, zero, torch.where(second, ac, bc))
    return torch.stack([w1, w2], dim=1)


def _on_edge(p: Tensor, q: Tensor, ray: Tensor, perspective: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (n,) of q where edges (p, q) are seen nearest to the rays, and the squared distances there."""
    pz, qz = p[:, 2], q[:, 2]
    zero, one = torch.zeros_like(pz), torch.ones_like(pz)
    cut = perspective & (torch.minimum(pz, qz) < NEAR)
    hidden = cut & (torch.maximum(pz, qz) <= NEAR)
    crossing = (NEAR - pz) / (qz - pz)
    first = torch.where(cut & (pz < NEAR), crossing, zero)
    last = torch.where(cut & ~(pz < NEAR), crossing, one)
    ax, ay, az = (p + first[:, None] * (q - p)).unbind(1)
    bx, by, bz = (p + last[:, None] * (q - p)).unbind(1)
    az, bz = torch.where(perspective, az, one), torch.where(perspective, bz, one)
    ax, ay, bx, by = ax / az, ay / az, bx / bz, by / bz
    dx, dy = bx - ax, by - ay
    u, v = ray.unbind(1)
    length = dx * dx + dy * dy
    s = torch.where(length > 0, ((u - ax) * dx + (v - ay) * dy) / length, zero).clamp(0.0, 1.0)
    ex, ey = ax + s * dx - u, ay + s * dy - v
    along = s * az / (s * az + (1.0 - s) * bz)
    weight = first + along * (last - first)
    return torch.where(hidden, zero, weight), torch.where(hidden, torch.inf, ex * ex + ey * ey)
