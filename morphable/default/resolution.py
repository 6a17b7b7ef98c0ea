"""The default model at its other levels: every triangle split in four, or the splitting undone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.subdivision import butterfly, split, subdivided_eye

Float = NDArray[np.float32]

_FARTHEST = 0.25
"""How far from an edge's middle a vertex of the dense level lies on the mean at most, in lengths of the edge: at the
creases of lips and lids the butterfly would overshoot."""
_CREASE = 45.0
"""Degrees by which neighbouring triangles turn at a crease."""


@dataclass(frozen=True)
class _Refinement:
    """From the default to the dense level."""

    triangles: NDArray[np.int64]
    edges: NDArray[np.int64]
    weights: Any
    """(E, V) of the new vertices."""

    def __call__(self, values: Float) -> Float:
        """(…, V, 3) to (…, V + E, 3)."""
        flat = np.moveaxis(values, -2, 0).reshape(values.shape[-2], -1)
        new = (self.weights @ flat).astype(np.float32)
        joined = np.concatenate([flat, new]).reshape(-1, *np.moveaxis(values, -2, 0).shape[1:])
        return np.ascontiguousarray(np.moveaxis(joined, 0, -2))


def refined(model: MorphableModel) -> MorphableModel:
    """Every triangle split in four; the new vertices lie on a smooth surface through the old ones."""
    old = model.topology
    triangles, edges = split(old.triangles, old.vertex_count)
    refine = _Refinement(triangles, edges, _smooth_weights(old.triangles, edges, model.mean))
    uv_triangles, uv_edges = split(old.uv_triangles, len(old.uv))
    uv = np.concatenate([old.uv, old.uv[uv_edges].mean(axis=1)]).astype(np.float32)
    # The edge's texture coordinates are those of the first triangle that has it.
    corner = np.empty(len(triangles) * 3, np.int64)
    corner[:] = uv_triangles.reshape(-1)
    _, first = np.unique(triangles.reshape(-1), return_index=True)
    mean = refine(model.mean)
    assert isinstance(model.albedo, TextureAlbedo)
    middle = uv[corner[first[old.vertex_count :]]]
    return replace(
        model,
        sha256=derived(model, "dense"),
        topology=replace(
            old,
            triangles=triangles.astype(np.int32),
            triangle_region=np.repeat(old.triangle_region, 4),
            uv=uv,
            uv_triangles=uv_triangles.astype(np.int32),
            reference=mean,
        ),
        mean=mean,
        identity_basis=refine(model.identity_basis),
        expression_basis=refine(model.expression_basis),
        albedo=replace(model.albedo, vertex_uv=np.concatenate([model.albedo.vertex_uv, middle])),
        eyes=tuple(subdivided_eye(eye, edges, old.vertex_count) for eye in model.eyes),
        vertex_masks={
            name: np.concatenate([mask, mask[edges].all(axis=1)]) for name, mask in model.vertex_masks.items()
        },
        occlusion=None if model.occlusion is None else refine(model.occlusion[:, None])[:, 0].clip(0, 1),
    )


def _smooth_weights(triangles: NDArray[np.int32], edges: NDArray[np.int64], mean: Float) -> scipy.sparse.csr_array:
    """Butterfly weights (E, V) where the mean is smooth, and the edges' middles at its creases."""
    count, rows = len(mean), np.arange(len(edges)).repeat(2)
    smooth = butterfly(triangles, count, edges)
    middle = scipy.sparse.csr_array((np.full(edges.size, 0.5), (rows, edges.ravel())), shape=smooth.shape)
    correction = smooth - middle
    moved = np.linalg.norm(correction @ mean.astype(np.float64), axis=1)
    length = np.linalg.norm(mean[edges[:, 0]] - mean[edges[:, 1]], axis=1)
    share = np.minimum(1.0, _FARTHEST * length / np.maximum(moved, 1e-9))
    share[_creased(triangles, mean)[edges].any(axis=1)] = 0
    weights: scipy.sparse.csr_array = (middle + scipy.sparse.diags_array(share) @ correction).tocsr()
    return weights.astype(np.float32)


def _creased(triangles: NDArray[np.int32], mean: Float) -> NDArray[np.bool_]:
    """(V,) vertices of triangles at an edge where the surface turns by more than the crease angle."""
    a, b, c = mean[triangles].astype(np.float64).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    sides = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    owner = np.repeat(np.arange(len(triangles)), 3)
    code = sides @ np.array([len(mean), 1])
    order = np.argsort(code, kind="stable")
    twice = np.flatnonzero(code[order[1:]] == code[order[:-1]])
    first, second = order[twice], order[twice + 1]
    sharp = (normal[owner[first]] * normal[owner[second]]).sum(axis=1) < np.cos(np.radians(_CREASE))
    at_crease = np.isin(triangles, sides[first[sharp]]).any(axis=1)
    return np.isin(np.arange(len(mean)), triangles[at_crease])


def coarsened(model: MorphableModel, triangles: NDArray[np.int32], uv_triangles: NDArray[np.int32]) -> MorphableModel:
    """The model of the coarse level's triangles (T, 3), whose vertices are the first."""
    count = int(triangles.max()) + 1
    old = model.topology
    mean = model.mean[:count]
    assert isinstance(model.albedo, TextureAlbedo)
    return replace(
        model,
        sha256=derived(model, "coarse"),
        topology=replace(
            old,
            triangles=triangles,
            triangle_region=np.ascontiguousarray(old.triangle_region[::4]),
            uv=old.uv[: int(uv_triangles.max()) + 1],
            uv_triangles=uv_triangles,
            reference=mean,
        ),
        mean=mean,
        identity_basis=np.ascontiguousarray(model.identity_basis[:, :count]),
        expression_basis=np.ascontiguousarray(model.expression_basis[:, :count]),
        albedo=replace(model.albedo, vertex_uv=model.albedo.vertex_uv[:count]),
        eyes=tuple(
            replace(eye, vertices=eye.vertices[eye.vertices < count], direction=eye.direction[eye.vertices < count])
            for eye in model.eyes
        ),
        vertex_masks={name: mask[:count] for name, mask in model.vertex_masks.items()},
        occlusion=None if model.occlusion is None else model.occlusion[:count],
    )


def derived(model: MorphableModel, how: str) -> str:
    """Digest of a model that follows from another."""
    return hashlib.sha256(f"{model.sha256} {how}".encode()).hexdigest()
