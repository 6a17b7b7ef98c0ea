"""From ICT-FaceKit as published to a :class:`~facegen.morphable.model.MorphableModel`: cut, scaled, painted."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.albedo import LinearAlbedo
from facegen.morphable.ict import paint as painting
from facegen.morphable.ict.atlas import pack_atlas
from facegen.morphable.ict.ears import ear_vertices
from facegen.morphable.ict.eyes import fit_eyeball
from facegen.morphable.ict.layout import IRIS_RIM, NARROW_FACE, POLYGON_RANGES
from facegen.morphable.ict.lips import INNER, OUTER, edge_loop, enclosed_polygons
from facegen.morphable.ict.parts import REGION_NAMES, Cut, Part, cut, polygon_regions
from facegen.morphable.ict.source import IctSource
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import Topology

MILLIMETRES = np.float32(10.0)
"""Per centimetre, the source's unit (its README does not state it; eye centres are 6.4 apart)."""

LIMITS = (("mouthClose", "jawOpen"),)
"""``mouthClose`` is sculpted on the open jaw: beyond ``jawOpen`` the lips pass through each other."""


def build_ict(source: IctSource, part: Part = "full", eyes: bool = True, teeth: bool = True) -> MorphableModel:
    """The morphable model of a part of the head.

    Args:
        source: what was read.
        part: ``full`` (with eyes and teeth), ``head`` (face and head_and_neck), ``face`` or ``narrow-face``. All of
            them hold all 68 landmarks.
        eyes: add the eye sockets and the eyeballs (sclera and cornea).
        teeth: add the mouth's inside: socket, gums, tongue and teeth.

    Raises:
        ModelError: a landmark is not on the part.
    """
    region = polygon_regions(part, eyes, teeth)
    lips = _lip_polygons(source)
    region[lips] = REGION_NAMES.index("lips")
    kept = cut(source.polygons, source.polygon_uvs, region)
    mean = source.neutral[kept.vertices] * MILLIMETRES
    landmarks = kept.locate(source.landmarks)
    if len(landmarks) != len(source.landmarks):
        raise ModelError(f"{len(source.landmarks) - len(landmarks)} landmarks are not on the part '{part}'")
    uv, uv_triangles = pack_atlas(source.uvs, kept)
    # The painting does not depend on the cut: a vertex has its colour in every part.
    whole = _vertex_regions(source, lips)
    paint = painting.paint(source.neutral * MILLIMETRES, source.landmarks, whole)
    topology = Topology(
        triangles=kept.triangles,
        triangle_region=kept.triangle_region,
        region_names=REGION_NAMES,
        uv=uv,
        uv_triangles=uv_triangles,
        landmarks=landmarks,
        reference=mean,
    )
    known = set(source.expression_names)
    return MorphableModel(
        name="ict",
        sha256=_digest(source, region),
        source_sha256=source.sha256,
        topology=topology,
        mean=mean,
        identity_basis=_select(source.identity_deltas, kept.vertices),
        identity_names=source.identity_names,
        expression_basis=_select(source.expression_deltas, kept.vertices),
        expression_names=source.expression_names,
        expression_bounds=(0.0, 1.0),
        expression_limits=tuple(pair for pair in LIMITS if known.issuperset(pair)),
        albedo=LinearAlbedo(
            names=painting.NAMES,
            mean=paint.mean[kept.vertices],
            basis=np.ascontiguousarray(paint.basis[:, kept.vertices]),
        ),
        eyes=tuple(
            fit_eyeball(_used(kept, f"eyeball_{side}"), mean, source.neutral[slice(*IRIS_RIM[side])] * MILLIMETRES)
            for side in ("left", "right")
            if eyes or part == "full"
        ),
        vertex_masks=_masks(source, kept),
    )


def _select(deltas: NDArray[np.float32], vertices: NDArray[np.int32]) -> NDArray[np.float32]:
    """(K, n, 3) mm: the offsets of some vertices."""
    selected: NDArray[np.float32] = np.take(deltas, vertices, axis=1)
    selected *= MILLIMETRES
    return selected


def _lip_polygons(source: IctSource) -> NDArray[np.intp]:
    """Polygons of the lips: all of the face's that the loop along the vermilion border encloses."""
    face = source.polygons[slice(*POLYGON_RANGES["face"])]
    border = edge_loop(source.neutral, face, source.landmarks[OUTER])
    return np.flatnonzero(enclosed_polygons(face, border, int(source.landmarks[INNER][2])))


def _vertex_regions(source: IctSource, lips: NDArray[np.intp]) -> NDArray[np.uint8]:
    """(26719,) region of each vertex of the source; on a border that of the outer skin."""
    polygon_region = polygon_regions("full", True, True)
    polygon_region[lips] = REGION_NAMES.index("lips")
    result = np.zeros(len(source.neutral), np.uint8)
    skin = ("head_and_neck", "face", "lips")
    inner = [name for name in REGION_NAMES[1:] if name not in skin]
    for name in (*inner, *skin):
        number = REGION_NAMES.index(name)
        corners = source.polygons[polygon_region == number]
        result[corners[corners >= 0]] = number
    return result


def _used(kept: Cut, region: str) -> NDArray[np.int32]:
    return np.unique(kept.triangles[kept.triangle_region == REGION_NAMES.index(region)])


def _masks(source: IctSource, kept: Cut) -> dict[str, NDArray[np.bool_]]:
    """Vertex sets: the regions, ``narrow_face``, ``ears``, and the source's lists ``fitting`` and ``rigid``."""
    narrow = source.polygons[slice(*NARROW_FACE)].reshape(-1)
    sets = {name: _used(kept, name) for name in REGION_NAMES[1:]}
    sets["narrow_face"] = kept.locate(narrow)
    sets["ears"] = kept.locate(ear_vertices(source))
    sets["fitting"] = kept.locate(source.fitting_vertices)
    sets["rigid"] = kept.locate(source.rigid_vertices)
    masks = {}
    for name, vertices in sets.items():
        masks[name] = np.zeros(len(kept.vertices), np.bool_)
        masks[name][vertices] = True
    return masks


def _digest(source: IctSource, region: NDArray[np.uint8]) -> str:
    """Digest of the files, of the cut and of the painting.

    Not of the arrays themselves: the painting's last bits may differ between processors, the model does not.
    """
    digest = hashlib.sha256(f"{source.sha256} paint {painting.REVISION}".encode())
    digest.update((region != 0).tobytes())
    return digest.hexdigest()
