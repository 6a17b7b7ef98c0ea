"""How what is no skin follows a skin whose parts were swapped: eyeballs, lashes, teeth, gums, tongue, shoulders.

Eyes and teeth keep their size and shape: they are carried, not bent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from facegen.composition.parts import POCKETS
from facegen.composition.skin import Skin
from facegen.errors import ModelError
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

EYEBALLS = ("eyeball_left", "eyeball_right")
LASHES = "lashes"
TEETH = "teeth"
MOUTH = ("gums", "tongue", "gums_and_tongue", TEETH)
"""Regions inside the mouth."""
JAW_OPEN = "jawOpen"
"""The expression that tells which of them belong to the lower jaw."""

UPPER = (*range(31, 36), *range(49, 54), *range(61, 64))
"""Landmarks of the skin that the upper teeth follow: base of the nose, upper lip without the corners."""
LOWER = (*range(55, 60), *range(65, 68), *range(6, 11))
"""Landmarks of the skin that the lower teeth follow: lower lip, chin."""

_EYE_REACH = 3.0
"""mm: how near to an eyeball the skin is whose mean it follows: standard deviation of a Gaussian."""
_TEETH_REACH = 12.0
"""mm: likewise for teeth, through the lips."""
_FARTHEST = 3.0
"""Standard deviations beyond which skin does not count."""
_BESIDE = 20.0
"""mm: how far from its landmarks the skin of a jaw goes."""
_LASH_ROOTS = 3
"""Vertices of a lid that a lash hangs on."""
_SPAN = 0.5
"""A connected component whose vertices differ by more in what they have of the lower jaw belongs to both jaws."""
_MOUTH_LINE = 4.0
"""mm about the line of the mouth between what is of the upper and what of the lower jaw, where no expression tells."""


@dataclass(frozen=True)
class Rigid:
    """``x → rotation x + translation``."""

    rotation: Float
    """(3, 3)."""
    translation: Float
    """(3,) mm."""

    def __call__(self, points: Float) -> Float:
        """Images (n, 3) of points (n, 3)."""
        return np.asarray(np.einsum("ij,nj->ni", self.rotation, points) + self.translation)


def rigid_motion(source: Float, target: Float, weight: Float) -> Rigid:
    """The motion that takes points (n, 3) nearest to others (n, 3): least squares by weights (n,).

    Kabsch 1976, "A solution for the best rotation to relate two sets of vectors".
    """
    share = weight / weight.sum()
    # einsum sums in one order, whatever the number of threads.
    centre, goal = np.einsum("n,ni->i", share, source), np.einsum("n,ni->i", share, target)
    u, _, vt = np.linalg.svd(np.einsum("n,ni,nj->ij", share, target - goal, source - centre))
    turn = np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = np.einsum("ij,jk,kl->il", u, turn, vt)
    return Rigid(rotation, goal - np.einsum("ij,j->i", rotation, centre))


@dataclass(frozen=True)
class _Jaw:
    """The skin that one row of teeth follows."""

    skin: Ints
    """(m,) numbers into the skin's vertices."""
    weight: Float
    """(m,)."""


class Followers:
    """The inner parts of one model, and its bust. A face's offsets depend on that face alone."""

    def __init__(self, model: MorphableModel, skin: Skin) -> None:
        """Find out what follows what, on the mean face.

        Raises:
            ModelError: a bust does not hang on the skin.
        """
        self._skin, self._count = skin.vertices, model.topology.vertex_count
        finder = _Finder(model, skin)
        self._mouth, self._share = finder.mouth()
        self._jaws = finder.jaws(self._mouth) if len(self._mouth) else None
        self._vertices, self._group, self._means = finder.carried(self._mouth)

    def offset(self, own: NDArray[np.float32], skin: NDArray[np.float32]) -> NDArray[np.float32]:
        """Offsets (V, 3) mm of all vertices, those of the skin as they are.

        Args:
            own: (V, 3) mm, the neutral face before parts were swapped.
            skin: (n, 3) mm, offsets of the skin; finite.
        """
        moved = skin.astype(np.float64)
        found = np.empty((self._count, 3), np.float32)
        found[self._skin] = skin
        found[self._vertices] = (self._means @ moved)[self._group]
        if self._jaws is not None:
            base, place = own[self._skin].astype(np.float64), own[self._mouth].astype(np.float64)
            above, below = (
                rigid_motion(base[jaw.skin], base[jaw.skin] + moved[jaw.skin], jaw.weight)(place) - place
                for jaw in self._jaws
            )
            found[self._mouth] = above + self._share[:, None] * (below - above)
        return found


class _Finder:
    """What :class:`Followers` looks for on the mean face."""

    def __init__(self, model: MorphableModel, skin: Skin) -> None:
        self._model, self._skin = model, skin
        self._place = model.mean.astype(np.float64)
        topology = model.topology
        count = topology.vertex_count
        # What is of the skin is not of a region that follows it.
        self._free = np.ones(count, np.bool_)
        self._free[skin.vertices] = False
        t = topology.triangles.astype(np.int64)
        ends = t.ravel(), np.roll(t, 1, axis=1).ravel()
        edges = sparse.coo_array((np.ones(len(ends[0])), ends), shape=(count, count))
        self._component: Ints = sparse.csgraph.connected_components(edges, directed=False)[1].astype(np.int64)
        corners = skin.mean[skin.triangles]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        self._area = np.zeros(len(skin.vertices))
        np.add.at(self._area, skin.triangles, area[:, None])

    def _region(self, *names: str) -> Ints:
        """Vertices of some regions that are not of the skin, ascending."""
        topology = self._model.topology
        wanted = np.array([name in names for name in topology.region_names])
        vertices = np.unique(topology.triangles[wanted[topology.triangle_region]]).astype(np.int64)
        return np.asarray(vertices[self._free[vertices]])

    def carried(self, mouth: Ints) -> tuple[Ints, Ints, sparse.csr_array]:
        """Vertices (f,) that are shifted with the skin, all but the mouth; the group of each (f,), and how groups are
        shifted: (G, n) weights of the skin's vertices, rows of sum 1."""
        groups = [*self._eyeballs(), *self._lashes(), *self._bust()]
        left = self._free.copy()
        left[np.concatenate([mouth, *(vertices for vertices, _ in groups)])] = False
        # What is in no triangle goes with the nearest of the skin.
        groups += [(np.array([vertex]), self._only(place)) for vertex, place in zip(*self._nearest(left), strict=True)]
        vertices = np.concatenate([mouth[:0], *(vertices for vertices, _ in groups)])
        group = np.repeat(np.arange(len(groups)), [len(vertices) for vertices, _ in groups])
        rows = [sparse.csr_array(weight[None]) for _, weight in groups]
        size = len(self._skin.vertices)
        return vertices, group, sparse.csr_array(sparse.vstack(rows) if rows else np.zeros((0, size)))

    def _nearest(self, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Vertices (m,) of a mask (V,), and the nearest of the skin's to each (m,)."""
        vertices = np.flatnonzero(chosen)
        near = np.asarray(cKDTree(self._skin.mean).query(self._place[vertices])[1], np.int64)
        return vertices.astype(np.int64), near

    def _only(self, place: int) -> Float:
        """(n,) weight 1 for one vertex of the skin."""
        weight = np.zeros(len(self._skin.vertices))
        weight[place] = 1.0
        return weight

    def _eyeballs(self) -> list[tuple[Ints, Float]]:
        """Each eyeball, and the weight (n,) of the skin around it: lids and the pocket behind them."""
        found = []
        for name in EYEBALLS:
            vertices = self._region(name)
            if len(vertices):
                found.append((vertices, self._near(vertices, _EYE_REACH)))
        return found

    def _lashes(self) -> list[tuple[Ints, Float]]:
        """Each lash, and the weight (n,) of the vertices of the lid that it hangs on."""
        found, lashes = [], self._region(LASHES)
        if not len(lashes):
            return []
        distance, near = map(np.asarray, cKDTree(self._skin.mean).query(self._place[lashes], _LASH_ROOTS))
        for number in np.unique(self._component[lashes]):
            strip = np.flatnonzero(self._component[lashes] == number)
            root = strip[distance[strip, 0].argmin()]
            weight = np.zeros(len(self._skin.vertices))
            weight[near[root]] = 1 / np.maximum(distance[root], 1e-3)
            found.append((lashes[strip], weight / weight.sum()))
        return found

    def _bust(self) -> list[tuple[Ints, Float]]:
        """The vertices of a bust, and the vertex of the rim above that each of them moves with."""
        model, topology = self._model, self._model.topology
        bust = np.flatnonzero(model.vertex_masks.get(BUST, np.zeros(len(self._place), np.bool_)) & self._free)
        if not len(bust):
            return []
        region = topology.region_names.index(BUST) if BUST in topology.region_names else -1
        rim = np.unique(topology.triangles[topology.triangle_region == region]).astype(np.int64)
        rim = rim[~self._free[rim]]
        rows = np.concatenate([model.identity_basis, model.expression_basis]).transpose(1, 0, 2)
        by_row: dict[bytes, list[int]] = {}
        for vertex in rim.tolist():
            by_row.setdefault(rows[vertex].tobytes(), []).append(vertex)
        groups: dict[int, list[int]] = {}
        for vertex in bust.tolist():
            alike = by_row.get(rows[vertex].tobytes())
            if alike is None:
                raise ModelError(f"the model '{model.name}' has a bust that does not move with the head above it")
            away = np.linalg.norm(self._place[alike] - self._place[vertex], axis=1)
            groups.setdefault(alike[int(away.argmin())], []).append(vertex)
        return [
            (np.array(vertices), self._only(int(np.searchsorted(self._skin.vertices, above))))
            for above, vertices in groups.items()
        ]

    def mouth(self) -> tuple[Ints, Float]:
        """Vertices (m,) inside the mouth, and how far each goes with the lower jaw (m,), 0 … 1; a tooth all or not."""
        vertices = self._region(*MOUTH)
        share, teeth = self._lower_share(vertices), np.isin(vertices, self._region(TEETH))
        told = JAW_OPEN in self._model.expression_names
        for number in np.unique(self._component[vertices]):
            own = self._component[vertices] == number
            # Upper teeth may reach below the line of the mouth, but none belongs to both jaws.
            if np.ptp(share[own]) <= _SPAN or (teeth[own].any() and not told):
                share[own] = round(float(share[own].mean()))
        return vertices, share

    def _lower_share(self, vertices: Ints) -> Float:
        """(m,) how far each goes with the lower jaw when it opens; where that is not known, by height."""
        model, place = self._model, self._place[vertices]
        if JAW_OPEN not in model.expression_names:
            line = self._skin.mean[self._skin.landmarks[60:68], 1].mean()
            return np.asarray(((line - place[:, 1]) / (2 * _MOUTH_LINE) + 0.5).clip(0, 1))
        opened = model.expression_basis[model.expression_names.index(JAW_OPEN)][vertices].astype(np.float64)
        reach = np.linalg.norm(opened, axis=1)
        if not len(vertices) or reach.max() == 0:
            return np.zeros(len(vertices))
        # The jaw turns: what is far from its joint goes far. So the motion itself is found, and compared with.
        teeth = reach >= reach.max() / 2
        jaw = rigid_motion(place[teeth], place[teeth] + opened[teeth], np.ones(int(teeth.sum())))
        full = jaw(place) - place
        along = np.einsum("ni,ni->n", opened, full) / np.maximum(np.einsum("ni,ni->n", full, full), 1e-12)
        return np.asarray(along.clip(0, 1))

    def jaws(self, mouth: Ints) -> tuple[_Jaw, _Jaw]:
        """The skin that upper and lower teeth follow: what lies over them, from the base of the nose to the chin."""
        skin, marks = self._skin, self._skin.landmarks
        sets = [skin.mean[marks[list(numbers)]] for numbers in (UPPER, LOWER)]
        away = np.stack([cKDTree(places).query(skin.mean)[0] for places in sets])
        near = self._near(mouth, _TEETH_REACH) * ~skin.within(*POCKETS)
        jaws = []
        for side in range(2):
            weight = near * (away[side] <= _BESIDE) * (away[side] <= away[1 - side])
            if np.count_nonzero(weight) < 3:
                # A mouth far from its lips: their landmarks still tell where it goes.
                weight = np.zeros(len(near))
                weight[marks[list((UPPER, LOWER)[side])]] = 1.0
            jaws.append(_Jaw(np.flatnonzero(weight), weight[weight > 0]))
        return jaws[0], jaws[1]

    def _near(self, vertices: Ints, reach: float) -> Float:
        """(n,) weight of the skin near some vertices, of sum 1: its area, less the farther it is; never all 0."""
        distance = np.asarray(cKDTree(self._place[vertices]).query(self._skin.mean)[0])
        scaled = np.maximum(distance - distance.min(), 0) / reach
        weight = self._area * np.exp(-np.square(scaled) / 2) * (scaled <= _FARTHEST)
        return np.asarray(weight / weight.sum())
