"""Shoulders under a head that ends at the neck, so that no render shows a head that ends in mid-air."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST, Topology

Float = NDArray[np.float32]

REVISION = 2
"""Changes with the shape of the bust: models of another revision have another digest."""

_SHOULDERS, _CHEST = 200.0, 115.0
"""Half the width of the last ring, and half its depth, mm."""

# Rings below the rim: how far from the rim to the shoulders sideways, to the chest front to back, and how far down, mm.
# They turn outwards like trapezius and shoulders, then go down.
_RINGS = ((0.36, 0.31, 12.0), (0.73, 0.63, 34.0), (0.95, 0.88, 76.0), (1.0, 1.0, 220.0))

_SLOPE = 0.3
"""Shoulders fall by this share of their width outside the widest neck that ends on them."""
_WIDEST_NECK = 125.0

_UV_CORNER, _UV_SIZE = (0.76, 0.01), (0.23, 0.23)
"""The corner of the atlas that no other part uses."""


def with_bust(model: MorphableModel) -> MorphableModel:
    """The model with rings of vertices added below its lowest border.

    The new vertices come after the old ones and move as the vertex of the rim above them does; they have its albedo,
    or what the texture shows in the corner of the atlas, and a region of their own. Nothing else changes: the faces are
    the same to the bit.

    Raises:
        ModelError: the model has no border below its landmarks.
    """
    topology = model.topology
    rim = _lowest_border(model)
    count, size = topology.vertex_count, len(rim)
    place = model.mean[rim].astype(np.float64)
    middle = place.mean(axis=0)
    half_width, half_depth = np.abs(place[:, 0]).max(), np.abs(place[:, 2] - middle[2]).max()
    # A rim at the shoulders needs no slope, one at a narrow neck a long one.
    slope = _SLOPE * max(0.0, 1 - (_SHOULDERS - _WIDEST_NECK) / max(_SHOULDERS - half_width, 1.0))
    rings = []
    for outwards, forwards, down in _RINGS:
        wider = max(1.0, 1 + outwards * (_SHOULDERS / half_width - 1))
        deeper = max(1.0, 1 + forwards * (_CHEST / half_depth - 1))
        fall = down + slope * half_width * (wider - 1)
        rings.append(
            np.stack([place[:, 0] * wider, place[:, 1] - fall, middle[2] + (place[:, 2] - middle[2]) * deeper], axis=1)
        )
    added = np.concatenate(rings).astype(np.float32)
    # Row 0 is the rim itself, so that the surface goes on without a seam.
    grid = np.concatenate([rim[None], count + np.arange(len(added)).reshape(len(_RINGS), size)]).astype(np.int32)
    uv, uv_grid = _unwrap(topology, len(grid), size)
    triangles, uv_triangles = _strips(np.concatenate([grid, grid[:, :1]], axis=1)), _strips(uv_grid)
    above = np.tile(rim, len(_RINGS))
    names = (*topology.region_names, BUST)
    mean = np.concatenate([model.mean, added])
    extended = {name: np.append(mask, np.zeros(len(added), np.bool_)) for name, mask in model.vertex_masks.items()}
    return replace(
        model,
        sha256=hashlib.sha256(f"{model.sha256} bust {REVISION}".encode()).hexdigest(),
        topology=Topology(
            triangles=np.concatenate([topology.triangles, triangles]),
            triangle_region=np.append(topology.triangle_region, np.full(len(triangles), len(names) - 1, np.uint8)),
            region_names=names,
            uv=np.concatenate([topology.uv, uv]),
            uv_triangles=np.concatenate([topology.uv_triangles, uv_triangles]),
            landmarks=topology.landmarks,
            reference=mean,
        ),
        mean=mean,
        identity_basis=_extend(model.identity_basis, above),
        expression_basis=_extend(model.expression_basis, above),
        albedo=model.albedo.with_vertices(above, uv.reshape(len(grid), size + 1, 2)[1:, :-1].reshape(-1, 2)),
        vertex_masks=extended | {BUST: np.arange(len(mean)) >= count},
        occlusion=None if model.occlusion is None else np.append(model.occlusion, model.occlusion[above]),
    )


def _extend(basis: Float, rows: NDArray[np.int32]) -> Float:
    return np.concatenate([basis, basis[:, rows]], axis=1)


def _lowest_border(model: MorphableModel) -> NDArray[np.int32]:
    """Vertices (n,) around the border of the mesh whose mean height is lowest, in the direction of its half-edges."""
    t = model.topology.triangles.astype(np.int64)
    half_edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    count = model.topology.vertex_count
    code = half_edges @ np.array([count, 1])
    border = half_edges[~np.isin(code, half_edges @ np.array([1, count]))]
    following = dict(border.tolist())
    loops = []
    while following:
        first, vertex = following.popitem()
        loop = [first]
        while vertex != first and vertex in following:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(np.array(loop, np.int32))
    chin = model.mean[model.topology.landmarks, 1].min()
    below = [loop for loop in loops if len(loop) > 2 and model.mean[loop, 1].max() < chin]
    if not below:
        raise ModelError(f"the model '{model.name}' has no border below the chin to which a bust could be added")
    return min(below, key=lambda loop: float(model.mean[loop, 1].mean()))


def _unwrap(topology: Topology, rows: int, size: int) -> tuple[Float, NDArray[np.int32]]:
    """Texture coordinates of a cylinder with a seam, and their numbers (rows, size + 1)."""
    u = _UV_CORNER[0] + _UV_SIZE[0] * np.linspace(0, 1, size + 1)
    v = _UV_CORNER[1] + _UV_SIZE[1] * np.linspace(1, 0, rows)
    uv = np.stack(np.broadcast_arrays(u, v[:, None]), axis=-1).reshape(-1, 2).astype(np.float32)
    return uv, (len(topology.uv) + np.arange(len(uv))).reshape(rows, size + 1).astype(np.int32)


def _strips(grid: NDArray[np.int32]) -> NDArray[np.int32]:
    """Triangles of a grid whose first row runs along the half-edges of the surface above it, closed by its columns."""
    a, b = grid[:-1, :-1], grid[:-1, 1:]
    c, d = grid[1:, :-1], grid[1:, 1:]
    triangles = np.stack([np.stack([b, a, c], axis=-1), np.stack([b, c, d], axis=-1)], axis=2)
    return triangles.reshape(-1, 3).astype(np.int32)
