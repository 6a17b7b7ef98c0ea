"""What of a face model's mesh is judged: its skin, the skin's edges, and where the skin lies against itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.errors import ModelError
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

POCKETS = ("eye_sockets", "mouth_socket", "nostrils")
"""Regions behind lids, lips and nostrils: nobody sees whether they are folded, but nothing may pass through them."""
INNER = ("eyeball_left", "eyeball_right", "lashes", "gums", "tongue", "gums_and_tongue", "teeth")
"""Regions that are no skin, and are not judged."""

LANDMARKS = 68
"""In the Multi-PIE order."""

PLACES = {
    "lips": (tuple(range(48, 68)), 12.0),
    "right eyelids": (tuple(range(36, 42)), 10.0),
    "left eyelids": (tuple(range(42, 48)), 10.0),
    "nostrils": (tuple(range(30, 36)), 12.0),
}
"""Where skin lies against skin: landmarks, and how far from them it is looked at on the mean face, mm."""

MOUTH = ("tongue", "gums_and_tongue", "gums", "teeth")
"""Regions in the mouth that come out between the lips, not through them."""
AROUND_THE_MOUTH = 25.0
"""How far from the landmarks of the mouth the skin is looked at through which they could come, mm."""

_WELDED = 1e-3
"""mm: vertices this near on the mean face are one point of the skin, which a seam of the mesh has twice."""


def triangles_of(model: MorphableModel, *regions: str) -> Ints:
    """Triangles (T', 3) of some of a model's regions."""
    numbers = [model.topology.region_names.index(name) for name in regions]
    return model.topology.triangles[np.isin(model.topology.triangle_region, numbers)].astype(np.int64)


def beside(points: Float, marked: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """(n,) which of points (n, 3) are no farther than ``reach`` from one that is marked (n,)."""
    if not marked.any():
        return np.zeros(len(points), np.bool_)
    return np.asarray(cKDTree(points[marked]).query(points)[0] <= reach)


@dataclass(frozen=True)
class Place:
    """Triangles that must not pass through each other."""

    name: str
    vertices: Ints
    """(n,) of the mesh."""
    triangles: Ints
    """(T, 3) numbers into :attr:`vertices`."""
    welded: Ints
    """(n,) the same number for vertices that are one point of the skin."""
    side: NDArray[np.int8]
    """(T,) 0 may pass through nothing, 1 not through 2, and 2 not through 1."""

    middle: Float
    """(T, 3) middles of the triangles on the mean face, mm."""

    def beside(self, marked: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
        """(T,) triangles no farther than ``reach``, mm, on the mean face from one that is marked (T,)."""
        return beside(self.middle, marked, reach)


@dataclass(frozen=True)
class Surface:
    """The judged part of a mesh; a bust does not belong to it."""

    vertex_count: int
    """Vertices V of the head, which come first."""
    mean: Float
    """(V, 3) mm."""
    skin: Ints
    """(T, 3) triangles."""
    skin_region: NDArray[np.uint8]
    """(T,) index into :attr:`region_names`."""
    region_names: tuple[str, ...]
    landmarks: Ints
    """(68,) vertices."""
    rigid: Ints
    """(R,) vertices by which faces are aligned: skin of the face above the base of the nose, the half of it that
    expressions move least."""
    places: tuple[Place, ...]

    @classmethod
    def of(cls, model: MorphableModel) -> Surface:
        """The surface of a model, the same with and without a bust.

        Raises:
            ModelError: the model has not 68 landmarks, or no skin.
        """
        topology = model.topology
        names = topology.region_names
        if len(topology.landmarks) != LANDMARKS:
            raise ModelError(
                f"the model '{model.name}' has {len(topology.landmarks)} landmarks; "
                f"expected {LANDMARKS} in the Multi-PIE order"
            )
        outside = [name for name in names[1:] if name not in (*POCKETS, *INNER, BUST)]
        kept = np.isin(topology.triangle_region, [names.index(name) for name in outside])
        if not kept.any():
            raise ModelError(f"the model '{model.name}' has no skin among its regions {', '.join(names[1:])}")
        count = topology.vertex_count - int(model.vertex_masks[BUST].sum() if BUST in model.vertex_masks else 0)
        folding = triangles_of(model, *outside, *(name for name in POCKETS if name in names))
        mean, landmarks = model.mean[:count].astype(np.float64), topology.landmarks.astype(np.int64)
        return cls(
            vertex_count=count,
            mean=mean,
            skin=topology.triangles[kept].astype(np.int64),
            skin_region=topology.triangle_region[kept],
            region_names=names,
            landmarks=landmarks,
            rigid=_rigid(model, triangles_of(model, "face" if "face" in outside else outside[0])),
            places=(
                *(
                    _place(name, mean, _near(mean, folding, landmarks[list(points)], reach))
                    for name, (points, reach) in PLACES.items()
                ),
                *_mouth(model, mean, triangles_of(model, *outside), landmarks[48:68]),
            ),
        )

    @cached_property
    def edges(self) -> Ints:
        """(E, 2) vertices of the skin's edges, the smaller number first, in ascending order."""
        return self._edges_and_owners[0]

    @cached_property
    def edge_region(self) -> NDArray[np.uint8]:
        """(E,) index into :attr:`region_names` of a triangle that has the edge."""
        return self.skin_region[self._edges_and_owners[1]]

    @cached_property
    def rest(self) -> Float:
        """(E,) lengths of the edges on the mean face, mm."""
        ends = self.mean[self.edges]
        return np.asarray(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1))

    @cached_property
    def _edges_and_owners(self) -> tuple[Ints, Ints]:
        sides = np.sort(self.skin[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges, first = np.unique(sides, axis=0, return_index=True)
        return edges, first // 3


def _rigid(model: MorphableModel, face: Ints) -> Ints:
    vertices = np.unique(face)
    above = vertices[model.mean[vertices, 1] > model.mean[model.topology.landmarks[33], 1]]
    moved = np.square(model.expression_basis[:, above]).sum(axis=(0, 2))
    return np.sort(above[np.argsort(moved, kind="stable")[: len(above) // 2]])


def _near(mean: Float, triangles: Ints, around: Ints, reach: float) -> Ints:
    """Those whose middle is near one of some vertices."""
    return triangles[cKDTree(mean[around]).query(mean[triangles].mean(axis=1))[0] <= reach]


def _mouth(model: MorphableModel, mean: Float, skin: Ints, around: Ints) -> tuple[Place, ...]:
    """The skin around the mouth against what is in it, where the model has that."""
    inside = triangles_of(model, *(name for name in MOUTH if name in model.topology.region_names))
    if not len(inside):
        return ()
    outside = _near(mean, skin, around, AROUND_THE_MOUTH)
    side = np.repeat(np.array([1, 2], np.int8), [len(outside), len(inside)])
    return (_place("tongue or teeth", mean, np.concatenate([outside, inside]), side),)


def _place(name: str, mean: Float, triangles: Ints, side: NDArray[np.int8] | None = None) -> Place:
    vertices, local = np.unique(triangles, return_inverse=True)
    # Each vertex has the number of the first that is nearly at its place.
    welded = np.arange(len(vertices))
    first, second = cKDTree(mean[vertices]).query_pairs(_WELDED, output_type="ndarray").T
    np.minimum.at(welded, np.maximum(first, second), np.minimum(first, second))
    side = np.zeros(len(triangles), np.int8) if side is None else side
    return Place(name, vertices, local.reshape(-1, 3).astype(np.int64), welded, side, mean[triangles].mean(axis=1))
