"""Meshes in the camera frame in torch: batches of faces of one topology, with gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facegen.morphable.topology import Triangles


def to_camera(vertices: Tensor, extrinsics: Tensor) -> Tensor:
    """Vertices (B, V, 3) in the camera frame from the model frame; extrinsics (B, 4, 4).

    Computed in the type of the extrinsics, returned in that of the vertices: with float64 and float32 the bits of
    :func:`facegen.imaging.camera.to_camera`.
    """
    x, y, z = vertices.to(extrinsics.dtype).unbind(-1)
    rows = [
        r[:, 0, None] * x + r[:, 1, None] * y + r[:, 2, None] * z + r[:, 3, None]
        for r in (extrinsics[:, k] for k in range(3))
    ]
    return torch.stack(rows, dim=-1).to(vertices.dtype)


def incident_triangles(triangles: Triangles, vertex_count: int) -> Tensor:
    """(V, M) int64: the triangles of each vertex, ascending, filled up with T."""
    count = len(triangles)
    vertex = triangles.reshape(-1).astype(np.int64)
    order = np.argsort(vertex, kind="stable")
    valence = np.bincount(vertex, minlength=vertex_count)
    table = np.full((vertex_count, max(int(valence.max(initial=0)), 1)), count, np.int64)
    place = np.arange(len(vertex)) - np.repeat(np.cumsum(valence) - valence, valence)
    table[vertex[order], place] = order // 3
    return torch.from_numpy(table)


def vertex_normals(vertices: Tensor, triangles: Tensor, incident: Tensor) -> Tensor:
    """Unit normals (B, V, 3), weighted by triangle area; zero at vertices of no triangle.

    The sums are made in the order of the triangles on any device, as in :func:`facegen.imaging.normals.vertex_normals`,
    so that the same face gives the same bits.

    Args:
        vertices: (B, V, 3).
        triangles: (T, 3) int64.
        incident: (V, M) of :func:`incident_triangles`.
    """
    a, b, c = vertices[:, triangles].unbind(2)
    ux, uy, uz = (b - a).unbind(-1)
    vx, vy, vz = (c - a).unbind(-1)
    cross = torch.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], dim=-1)
    cross = torch.cat([cross, torch.zeros_like(cross[:, :1])], dim=1)
    total = torch.zeros_like(vertices)
    for column in incident.unbind(1):
        total = total + cross[:, column]
    x, y, z = total.unbind(-1)
    squared = x * x + y * y + z * z
    there = squared > 0
    scale = torch.where(there, 1.0 / torch.sqrt(torch.where(there, squared, 1.0)), 0.0)
    return total * scale[..., None]
