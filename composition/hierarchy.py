"""A hierarchy of ever coarser meshes, for networks that pool and unpool on a surface.

After CoMA (Ranjan et al. 2018, "Generating 3D faces using convolutional mesh autoencoders", section 3.2): down-sampling
selects vertices that quadric decimation keeps, up-sampling puts each vertex at its nearest point of the coarser mesh.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from facegen.errors import MissingDependencyError, ModelError, StorageError
from facegen.storage import write_atomically

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

REVISION = 1
"""Changes when the same mesh would give another hierarchy: cached ones of another revision are not read."""

_SEARCHES = 30
"""Most decimations that look for an exact number of vertices."""


@dataclass(frozen=True)
class Step:
    """From a finer mesh of n vertices to a coarser one of m."""

    kept: Ints
    """(m,) vertices of the finer mesh that the coarser one keeps, ascending."""
    triangles: Ints
    """(T, 3) of the coarser mesh, numbers into :attr:`kept`."""
    corners: Ints
    """(n, 3) vertices of the coarser mesh between which each finer one lies."""
    weights: NDArray[np.float32]
    """(n, 3) its barycentric coordinates there: no less than 0, of sum 1; (1, 0, 0) for a vertex that is kept."""


@dataclass(frozen=True)
class Hierarchy:
    """Meshes from the finest to the coarsest."""

    triangles: Ints
    """(T, 3) of the finest mesh."""
    steps: tuple[Step, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Vertices of each mesh, the finest first."""
        return (*(len(step.corners) for step in self.steps), len(self.steps[-1].kept))

    @property
    def meshes(self) -> tuple[Ints, ...]:
        """Triangles (T, 3) of each mesh, the finest first."""
        return (self.triangles, *(step.triangles for step in self.steps))

    @property
    def coarsest(self) -> Ints:
        """(P,) vertices of the finest mesh that the coarsest one keeps."""
        vertices = self.steps[0].kept
        for step in self.steps[1:]:
            vertices = vertices[step.kept]
        return vertices

    def upsampled(self, values: NDArray[np.floating]) -> Float:
        """Values (P, …) at the coarsest vertices brought to the finest, (n, …)."""
        fine = np.asarray(values, np.float64)
        for step in reversed(self.steps):
            fine = np.einsum("nc,nc...->n...", step.weights.astype(np.float64), fine[step.corners])
        return fine

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Named plain arrays for a file."""
        arrays: dict[str, NDArray[np.generic]] = {"triangles": self.triangles.astype(np.int32)}
        for number, step in enumerate(self.steps):
            arrays[f"{number}.kept"] = step.kept.astype(np.int32)
            arrays[f"{number}.triangles"] = step.triangles.astype(np.int32)
            arrays[f"{number}.corners"] = step.corners.astype(np.int32)
            arrays[f"{number}.weights"] = step.weights
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Hierarchy:
        """The hierarchy of :meth:`to_arrays`.

        Raises:
            ValueError, KeyError: the arrays are not those of a hierarchy.
        """
        count = sum(name.endswith(".kept") for name in arrays)
        if not count:
            raise ValueError("no step of a hierarchy")
        for name, array in arrays.items():
            own = name.rpartition(".")[2]
            columns, kinds = ((), "i") if own == "kept" else ((3,), "f" if own == "weights" else "i")
            if array.ndim != 1 + len(columns) or array.shape[1:] != columns or array.dtype.kind not in kinds:
                raise ValueError(f"'{name}' of a hierarchy is no such array ({array.dtype}, {array.shape})")
        steps = []
        for number in range(count):
            kept, triangles, corners = (
                arrays[f"{number}.{name}"].astype(np.int64) for name in ("kept", "triangles", "corners")
            )
            steps.append(Step(kept, triangles, corners, arrays[f"{number}.weights"].astype(np.float32)))
        hierarchy = cls(arrays["triangles"].astype(np.int64), tuple(steps))
        _check(hierarchy)
        return hierarchy


def build(vertices: Float, triangles: Ints, factors: Sequence[int]) -> Hierarchy:
    """Build a hierarchy by quadric decimation, a level of ``ceil(n / factor)`` vertices for each factor.

    Args:
        vertices: (n, 3) mm, each in a triangle.
        triangles: (T, 3); the surface may have several components, and borders.
        factors: how many times fewer vertices each level has.

    Raises:
        ModelError: the surface cannot be made so coarse.
        MissingDependencyError: libigl is not installed.
    """
    steps, mesh = [], np.asarray(triangles, np.int64)
    places = np.asarray(vertices, np.float64)
    for factor in factors:
        step = _step(places, mesh, -(-len(places) // factor))
        steps.append(step)
        places, mesh = places[step.kept], step.triangles
    return Hierarchy(np.asarray(triangles, np.int64), tuple(steps))


def cached(vertices: Float, triangles: Ints, factors: Sequence[int]) -> Hierarchy:
    """The hierarchy of :func:`build`, kept in the user's cache folder under the digest of all that decides it.

    A cache that cannot be read or written is no reason to stop: the hierarchy is built.

    Raises:
        ModelError, MissingDependencyError: as :func:`build`.
    """
    places = np.ascontiguousarray(vertices, np.float64)
    mesh = np.ascontiguousarray(triangles, np.int32)
    digest = hashlib.sha256(f"{REVISION}/{tuple(factors)}/{len(places)}/{_igl_version()}".encode())
    digest.update(places.tobytes())
    digest.update(mesh.tobytes())
    path = _cache_folder() / f"hierarchy-{digest.hexdigest()[:32]}.safetensors"
    try:
        return Hierarchy.from_arrays(load(path.read_bytes()))
    except (OSError, SafetensorError, ValueError, KeyError):
        hierarchy = build(places, np.asarray(triangles, np.int64), factors)
    with contextlib.suppress(StorageError):
        write_atomically(path, save({name: np.ascontiguousarray(a) for name, a in hierarchy.to_arrays().items()}))
    return hierarchy


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facegen"


def _igl_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("libigl")
    except PackageNotFoundError:
        return "none"


def _step(vertices: Float, triangles: Ints, target: int) -> Step:
    kept, coarse = _decimated(vertices, triangles, target)
    corners, weights = _nearest(vertices, vertices[kept], coarse)
    # What is kept is itself, whatever the nearest point is by rounding or where surfaces touch.
    corners[kept] = np.arange(len(kept))[:, None]
    weights[kept] = (1, 0, 0)
    return Step(kept, coarse, corners, weights)


def _decimated(vertices: Float, triangles: Ints, target: int) -> tuple[Ints, Ints]:
    """Vertices (target,) that are kept, ascending, and the triangles among them.

    The library counts triangles: a collapse takes two of them inside and one at a border, so the number that leaves
    ``target`` vertices is found by trying.
    """
    igl = _igl()
    # Column order is what the binding takes without a copy of another kind.
    places, mesh = np.asfortranarray(vertices), np.asfortranarray(triangles.astype(np.int32))
    wanted = len(triangles) - 2 * (len(vertices) - target)
    low, high = 0, len(triangles)
    for _ in range(_SEARCHES):
        wanted = min(max(wanted, low + 1), high)
        _, coarse, _, birth = igl.qslim(places, mesh, wanted, False)
        surplus = len(birth) - target
        if surplus == 0:
            order = np.argsort(birth)
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            return birth[order].astype(np.int64), rank[coarse]
        low, high = (low, wanted) if surplus > 0 else (wanted, high)
        if high - low <= 1:
            break
        wanted -= 2 * surplus if abs(surplus) > 1 else surplus
    raise ModelError(f"the surface of {len(vertices)} vertices cannot be decimated to {target}; take a smaller factor")


def _nearest(points: Float, vertices: Float, triangles: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """Corners (n, 3) and barycentric weights (n, 3) of the nearest points on a mesh."""
    igl = _igl()
    _, owner, place = igl.point_mesh_squared_distance(points, vertices, triangles)
    corners = triangles[owner]
    a, b, c = (np.ascontiguousarray(vertices[corners[:, k]]) for k in range(3))
    weights = np.asarray(igl.barycentric_coordinates(np.ascontiguousarray(place), a, b, c))
    # Slivers have no area to divide by: their nearest point lies on a side.
    broken = ~np.isfinite(weights).all(axis=1) | (np.abs(weights).max(axis=1) > 1 + 1e-6)
    for point in np.flatnonzero(broken):
        weights[point] = _on_sides(place[point], np.stack([a[point], b[point], c[point]]))
    weights = weights.clip(0, 1)
    weights /= weights.sum(axis=1, keepdims=True)
    return corners.astype(np.int64), weights.astype(np.float32)


def _on_sides(point: Float, corners: Float) -> Float:
    """Weights (3,) of the point on the sides of a triangle that is nearest to ``point``."""
    best, found = np.inf, np.array([1.0, 0.0, 0.0])
    for i, j in ((0, 1), (1, 2), (2, 0)):
        side = corners[j] - corners[i]
        length = float(side @ side)
        share = float(np.clip((point - corners[i]) @ side / length, 0, 1)) if length > 0 else 0.0
        distance = float(np.square(corners[i] + share * side - point).sum())
        if distance < best:
            best, found = distance, np.zeros(3)
            found[i], found[j] = 1 - share, share
    return found


def _igl() -> ModuleType:
    try:
        import igl

        module: ModuleType = igl
    except ImportError:
        raise MissingDependencyError(
            "mesh hierarchies need libigl; install it with: pip install 'facegen[compose]'"
        ) from None
    return module


def _check(hierarchy: Hierarchy) -> None:
    """Refuse numbers that point nowhere.

    Raises:
        ValueError: naming the first thing that is wrong.
    """
    meshes = hierarchy.meshes
    for number, (step, (fine, coarse)) in enumerate(zip(hierarchy.steps, pairwise(hierarchy.sizes), strict=True)):
        for name, numbers, end in (
            ("kept", step.kept, fine),
            ("triangles", meshes[number], fine),
            ("corners", step.corners, coarse),
        ):
            if not ((numbers >= 0) & (numbers < end)).all():
                raise ValueError(f"'{name}' of a hierarchy has vertices that its mesh does not have")
        if len(step.kept) != coarse or (np.diff(step.kept) <= 0).any():
            raise ValueError("'kept' of a hierarchy are not the vertices of the coarser mesh")
        weights = step.weights
        # What is no number is neither, so it is refused.
        fair = (weights >= 0) & (np.abs(weights.sum(axis=1, keepdims=True) - 1) < 1e-4)
        if weights.shape != step.corners.shape or not fair.all():
            raise ValueError("'weights' of a hierarchy are no barycentric coordinates")
    if not ((meshes[-1] >= 0) & (meshes[-1] < hierarchy.sizes[-1])).all():
        raise ValueError("'triangles' of a hierarchy has vertices that its mesh does not have")
