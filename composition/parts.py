"""Local weights: which part of the face each coarse vertex belongs to, by non-negative matrix factorisation.

``V ≈ W H`` with all numbers ≥ 0 and sparse H. The paper factors the bare positions of the simplified template, which
has rank 3 and gives ramps; two better inputs stand beside it. What comes out is made into a partition: weights of sum 1
that cover every vertex, the two sides of the face together, each part named by the landmarks that it covers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from facegen.composition.hierarchy import Hierarchy
from facegen.composition.skin import Skin
from facegen.errors import MissingDependencyError, ModelError
from facegen.settings import Section

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

OUTSIDE = ("ears", "neck", "scalp", "head_and_neck")
"""Regions that a crop takes from the factorisation, and with them what lies nearer to ears, neck or crown than to any
landmark of the face; they are the part :data:`REST`."""
POCKETS = ("eye_sockets", "mouth_socket", "nostrils")
"""Regions that nobody sees: they go with the skin around them."""
REST = "head"
BEYOND = ("ears", "neck", "crown")
"""Names of anchors that are no face."""

_SURE = 0.15
"""Weight, of the largest of its part, from which on a vertex is taken at its word; others follow their neighbours."""
_BORDERS = 0.25
"""What a part shares with the rest, of what it shares with any other, from which on it borders it."""
_MIRRORED = 0.35
"""Cosine between one part and another's mirror image from which on they are two sides of one."""


class PartsConfig(Section):
    """How the parts are found."""

    input: Literal["correlation", "displacement", "position"] = "correlation"
    """What is factored. ``position``: the bare positions of the coarse template, as in the paper. ``displacement``: how
    the model's coefficients move each vertex. ``correlation``: how vertices move together, near each other."""
    components: Annotated[int, Field(ge=2, le=64)] = 12
    """Columns of the factorisation, before any are merged."""
    sides: Literal["merged", "apart"] = "merged"
    """Whether a part and its mirror image are one."""
    crop: bool = True
    """Leave ears, neck and scalp out of the factorisation, and make them a part of their own."""
    aligned: bool = True
    """Of ``correlation``: take size and pose of each face out first."""
    reach: Annotated[float, Field(gt=0, le=1000)] = 30.0
    """Of ``correlation``: how near vertices have to be, mm."""
    sparsity: Annotated[float, Field(ge=0, le=10)] = 0.002
    """Weight of the L1 norm of H."""
    sharpness: Annotated[float, Field(ge=1, le=16)] = 8.0
    """Power to which weights are raised before their sum is made 1: more leaves less in common."""
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Added to every weight before their sum is made 1."""
    locality: Annotated[float, Field(ge=0, lt=1)] = 0.92
    """A part too small to move by itself is joined to what was cropped where it borders that, to its neighbour where
    not: one whose displacement, blended by the weights, falls to less than this share where it weighs most."""


@dataclass(frozen=True)
class Parts:
    """A soft partition of the P coarsest vertices in K parts."""

    names: tuple[str, ...]
    """(K,) such as ``eyes``, ``nose``, ``mouth``."""
    weights: NDArray[np.float32]
    """(P, K) no less than 0, rows of sum 1."""

    def owner(self, hierarchy: Hierarchy) -> NDArray[np.int64]:
        """(n,) the part whose weight is largest at each of the finest vertices."""
        return np.asarray(hierarchy.upsampled(self.weights).argmax(axis=1))


WHOLE = "face"


def whole(coarse: int) -> Parts:
    """One part that is the whole face."""
    return Parts((WHOLE,), np.ones((coarse, 1), np.float32))


def find_parts(config: PartsConfig, skin: Skin, hierarchy: Hierarchy, moves: Float) -> Parts:
    """Find the parts of a face model.

    Args:
        config: how.
        skin: of the model.
        hierarchy: of the skin.
        moves: (M, n, 3) mm: displacements by which vertices are told apart, such as those of M people from their mean.

    Raises:
        ModelError: fewer vertices than components are left to factor.
        MissingDependencyError: scikit-learn is not installed.
    """
    coarse, mesh = hierarchy.coarsest, hierarchy.meshes[-1]
    places, area = skin.mean[coarse], vertex_areas(skin.mean[coarse], mesh)
    labels, nearest = _labels(places, skin.mean[skin.landmarks])
    pockets = skin.within(*POCKETS)[coarse]
    outside = skin.within(*OUTSIDE)[coarse] | np.isin(nearest, [labels.index(name) for name in BEYOND])
    outside = outside & ~pockets if config.crop else np.zeros(len(coarse), np.bool_)
    inside = ~outside & ~pockets
    if inside.sum() <= config.components:
        raise ModelError(
            f"{inside.sum()} coarse vertices are left to find {config.components} components in; take smaller factors"
        )
    moved = moves[:, coarse[inside]].astype(np.float64)
    basis = _factored(config, places[inside], moved, area[inside])
    if config.sides == "merged":
        basis = _merged(basis, places[inside], area[inside])
    columns = basis.shape[1] + int(outside.any())
    known = np.full((len(coarse), columns), np.nan)
    sure = basis.max(axis=1) >= _SURE
    raised = basis[sure] ** config.sharpness
    known[np.flatnonzero(inside)[sure]] = 0
    known[np.flatnonzero(inside)[sure], : basis.shape[1]] = raised / raised.sum(axis=1, keepdims=True)
    if outside.any():
        known[outside] = np.eye(columns)[-1]
    weights = _spread(known, mesh, places)
    weights = _joined(weights, config.locality, hierarchy, moves, rest=bool(outside.any()))
    weights += config.floor
    weights /= weights.sum(axis=1, keepdims=True)
    # What was cropped stays the last column whatever was joined to it.
    named = weights[:, :-1] if outside.any() else weights
    names = _names(named * area[:, None], labels, nearest)
    return Parts((*names, *((REST,) if outside.any() else ())), weights.astype(np.float32))


def blend_locality(weights: Float, moves: Float) -> Float:
    """(K,) share of the squared displacement ``W_k · move`` that falls where W_k is the largest.

    Args:
        weights: (n, K) of the finest vertices.
        moves: (M, n, 3).
    """
    owner, energy = weights.argmax(axis=1), np.square(moves).sum(axis=(0, 2))
    shared = np.square(weights) * energy[:, None]
    inside = np.array([shared[owner == part, part].sum() for part in range(weights.shape[1])])
    return np.asarray(inside / np.maximum(shared.sum(axis=0), 1e-300))


def overlap(weights: NDArray[np.floating]) -> float:
    """Mean cosine between the columns of weights (P, K): 0 for parts that have nothing in common."""
    unit = weights / np.linalg.norm(weights, axis=0)
    cosine, count = unit.T @ unit, weights.shape[1]
    return float((cosine.sum() - count) / (count * (count - 1))) if count > 1 else 0.0


def hoyer_sparsity(weights: NDArray[np.floating]) -> float:
    """Mean over the columns of ``(√P - |w|₁ / |w|₂) / (√P - 1)`` (Hoyer 2004, eq. 8): 1 for a single vertex."""
    root = np.sqrt(len(weights))
    ratio = np.abs(weights).sum(axis=0) / np.linalg.norm(weights, axis=0)
    return float(((root - ratio) / (root - 1)).mean())


def _factored(config: PartsConfig, places: Float, moves: Float, area: Float) -> Float:
    """W (P', C), each column of maximum 1."""
    try:
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning
    except ImportError:
        raise MissingDependencyError(
            "parts of the face need scikit-learn; install it with: pip install 'facegen[compose]'"
        ) from None
    # Vertices lie denser here than there: each counts as much as its share of the surface.
    root = np.sqrt(area / area.mean())
    if config.input == "position":
        matrix = (places - places.min(axis=0)) * root[:, None]
    elif config.input == "displacement":
        flat = moves.transpose(1, 0, 2).reshape(len(places), -1)
        matrix = np.concatenate([np.maximum(flat, 0), np.maximum(-flat, 0)], axis=1)
        matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12) * root[:, None]
    else:
        own = _without_similarity(moves, places) if config.aligned else moves
        product = np.einsum("mvi,mwi->vw", own, own)
        spread = np.sqrt(np.maximum(np.diag(product), 1e-12))
        near = np.exp(-np.square(places[:, None] - places).sum(axis=-1) / (2 * config.reach**2))
        matrix = np.maximum(product / spread[:, None] / spread, 0) * near * root[:, None] * root
    model = NMF(
        config.components,
        # Bare positions have three columns, and no more singular vectors to start from.
        init="nndsvda" if config.components <= min(matrix.shape) else "random",
        max_iter=1000,
        alpha_W=0.0,
        alpha_H=config.sparsity,
        l1_ratio=1.0,
        tol=1e-4,
        # The singular value decomposition is randomised as well.
        random_state=0,
    )
    with warnings.catch_warnings():
        # Whether the last digits have settled does not matter here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        basis = model.fit_transform(matrix) / root[:, None]
    basis = basis[:, basis.max(axis=0) > 0]
    return np.asarray(basis / basis.max(axis=0))


def _merged(basis: Float, places: Float, area: Float) -> Float:
    """The columns of W with mirror images put together, and each made symmetric."""
    mirror = cKDTree(places).query(places * (-1, 1, 1))[1]
    weighed = basis * np.sqrt(area)[:, None]
    unit = weighed / np.linalg.norm(weighed, axis=0)
    likeness = unit.T @ unit[mirror]
    likeness = np.maximum(likeness, likeness.T)
    groups: list[list[int]] = []
    left = set(range(basis.shape[1]))
    for i, j in sorted(np.ndindex(likeness.shape), key=lambda pair: -likeness[pair]):
        if i in left and j in left and (i == j or likeness[i, j] >= _MIRRORED):
            groups.append(sorted({i, j}))
            left -= {i, j}
    groups += [[one] for one in left]
    merged = np.stack([basis[:, group].max(axis=1) for group in sorted(groups)], axis=1)
    return np.asarray(np.maximum(merged, merged[mirror]))


def _joined(weights: Float, least: float, hierarchy: Hierarchy, moves: Float, *, rest: bool) -> Float:
    """Weights (P, K') whose parts are as local as asked for: the worst joins another.

    That is the one with whom it has the most edges in common, or the last, where that is the ``rest`` and is nearly so.
    """
    ends = hierarchy.meshes[-1][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    while weights.shape[1] > 2:
        locality = blend_locality(hierarchy.upsampled(weights), moves)
        worst = int(locality.argmin())
        if locality[worst] >= least:
            break
        shared = weights[ends[:, 0]].T @ weights[ends[:, 1], worst] + weights[ends[:, 1]].T @ weights[ends[:, 0], worst]
        shared[worst] = -1
        other = len(shared) - 1 if rest and shared[-1] >= _BORDERS * shared.max() else int(shared.argmax())
        # The last column stays the last.
        keep, gone = max(worst, other), min(worst, other)
        weights[:, keep] += weights[:, gone]
        weights = np.delete(weights, gone, axis=1)
    return weights


def _without_similarity(moves: Float, places: Float) -> Float:
    """Displacements (M, P, 3) less what a shift, a turn and a change of size explain of each, to first order."""
    centred = places - places.mean(axis=0)
    shifts = np.broadcast_to(np.eye(3)[:, None], (3, *places.shape))
    turns = np.stack([np.cross(axis, centred) for axis in np.eye(3)])
    directions = np.concatenate([shifts, turns, centred[None]]).reshape(7, -1).T
    basis, _ = np.linalg.qr(directions)
    flat = moves.reshape(len(moves), -1)
    return np.asarray((flat - (flat @ basis) @ basis.T).reshape(moves.shape))


def _spread(known: Float, mesh: NDArray[np.int64], places: Float) -> Float:
    """Weights (P, K) at all vertices: those that are not known (NaN) are the mean of their neighbours'."""
    count = len(known)
    missing = np.isnan(known[:, 0])
    if not missing.any():
        return known
    ends = mesh[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    near = 1 / np.maximum(np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1), 1e-9)
    graph = sparse.coo_array((near, (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    graph = graph + graph.T
    _, component = sparse.csgraph.connected_components(graph)
    for number in np.unique(component[missing]):
        members = component == number
        if missing[members].all():
            # A component without a known vertex takes the weights of the nearest that is known.
            found = cKDTree(places[~missing]).query(places[members])[1]
            known[members] = known[~missing][found]
    missing = np.isnan(known[:, 0])
    if missing.any():
        laplacian = sparse.csc_array(sparse.diags_array(graph.sum(axis=1)) - graph)
        inner = laplacian[missing][:, missing]
        known[missing] = spsolve(inner.tocsc(), -(laplacian[missing][:, ~missing] @ known[~missing])).reshape(
            missing.sum(), -1
        )
    return np.maximum(known, 0)


def _names(mass: Float, labels: tuple[str, ...], nearest: NDArray[np.int64]) -> list[str]:
    """Names of parts of mass (P, K): of the parts of the face that they hold most of, such as ``nose`` or
    ``mouth-jaw``."""
    held = np.stack([mass[nearest == label].sum(axis=0) for label in range(len(labels))])
    owner = held.argmax(axis=1)
    names = []
    for part in range(mass.shape[1]):
        own = [int(n) for n in np.flatnonzero(owner == part) if held[n, part] > 0 and labels[n] not in BEYOND]
        # A part that has most of nothing is called after what it has most of.
        own = own or [int(held[:, part].argmax())]
        main = sorted(sorted(own, key=lambda label: -held[label, part])[:2])
        name = "-".join(labels[label] for label in main)
        names.append(name if name not in names else f"{name}-{part + 1}")
    return names


def _labels(places: Float, landmarks: Float) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the parts of a face, and which of them each place (P, 3) is nearest to."""
    anchors = _anchors(landmarks)
    number = np.repeat(np.arange(len(anchors)), [len(points) for points in anchors.values()])
    return tuple(anchors), number[cKDTree(np.concatenate(list(anchors.values()))).query(places)[1]]


def _anchors(p: Float) -> dict[str, Float]:
    """Points on and about a face with landmarks (68, 3), Multi-PIE order, by the part of the face they lie in."""
    outer = float(np.linalg.norm(p[36] - p[45]))
    up, back = np.array([0, outer, 0]), np.array([0, 0, -outer])
    lids = np.stack([p[[36, 39, 40, 41]].mean(axis=0), p[[42, 45, 46, 47]].mean(axis=0)])
    corners, jaw = p[[48, 54]], p[[3, 13]]
    return {
        "eyes": p[[*range(36, 48), *range(17, 27)]],
        "nose": p[27:36],
        "mouth": p[48:68],
        "jaw": p[[5, 6, 7, 8, 9, 10, 11]],
        "cheeks": np.concatenate([(lids + jaw) / 2, (lids + corners) / 2, jaw, (jaw + corners) / 2, p[[2, 14]]]),
        "forehead": np.concatenate([p[17:27] + share * up for share in (0.3, 0.55, 0.8)]),
        "ears": np.concatenate([p[[0, 1, 2, 14, 15, 16]] + share * back for share in (0.3, 0.5)]),
        "neck": np.concatenate([p[4:13] + share * (back - up) for share in (0.25, 0.6)]),
        "crown": np.concatenate([p[17:27] + share * up + 0.3 * back for share in (1.2, 1.5)]),
    }


def vertex_areas(places: Float, mesh: NDArray[np.int64]) -> Float:
    """(P,) a third of the area of the triangles around each vertex, mm²; at least a little."""
    a, b, c = (places[mesh[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    total = np.zeros(len(places))
    np.add.at(total, mesh, area[:, None])
    return np.asarray(np.maximum(total, 1e-3 * total.mean()))
