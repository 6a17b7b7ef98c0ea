"""Attribute maps: what a face is in texture space (Chai and Chen, "Expression-aware face
reconstruction via a dual-stream network", call the first two attribute spatial maps, ASM).

The identity map holds the neutral face, the expression map what the expression and the turned eyes add to it; their sum
is the face. The texture map holds what the image shows of each place, where it shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.annotation import Annotation
from facegen.imaging.atlas import Atlas
from facegen.imaging.label import Label
from facegen.imaging.seen import Pictured, seen_places
from facegen.morphable.topology import Topology

Float = NDArray[np.float32]


MAPS: dict[str, Label] = {
    "uv_position": Label((3,), "float32", "mm", "model", "the face; 0 where the texture shows no mesh"),
    "uv_identity": Label((3,), "float32", "mm", "model", "the neutral face (identity ASM)"),
    "uv_expression": Label(
        (3,), "float32", "mm", "model", "the face less the neutral face (expression ASM): expression and turned eyes"
    ),
    "uv_texture": Label((3,), "uint8", "sRGB", "texture", "what the image shows; 0 where it does not show it"),
    "uv_visible": Label((), "bool", "-", "texture", "whether the image shows the place"),
}
"""Maps that the reader makes."""

_WEIGHTS = {
    **dict.fromkeys(("left_brow", "right_brow", "left_sclera", "right_sclera", "left_iris", "right_iris"), 4),
    **dict.fromkeys(("nose", "upper_lip", "lower_lip"), 4),
    "skin": 3,
}
_LANDMARK_WEIGHT = 16


def attribute_maps(
    names: Iterable[str], topology: Topology, atlas: Atlas, picture: Pictured, source: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """The named maps of one face, as :data:`MAPS` describes them.

    Args:
        names: of :data:`MAPS`.
        topology: of the face's model.
        atlas: of the topology.
        picture: the face.
        source: its ``vertices`` and ``image``; for the maps of identity and expression ``neutral`` as well.
    """
    result: dict[str, NDArray[Any]] = {}
    wanted = list(names)
    if "uv_position" in wanted:
        result["uv_position"] = atlas.interpolate(source["vertices"])
    if "uv_identity" in wanted:
        result["uv_identity"] = atlas.interpolate(source["neutral"])
    if "uv_expression" in wanted:
        result["uv_expression"] = atlas.interpolate(source["vertices"] - source["neutral"])
    if "uv_texture" in wanted or "uv_visible" in wanted:
        texture, visible = unwrap(topology, atlas, picture, source["image"])
        result |= {"uv_texture": texture, "uv_visible": visible}
    return {name: result[name] for name in wanted}


def unwrap(
    topology: Topology, atlas: Atlas, picture: Pictured, image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The image in texture space.

    A texel is visible as :func:`~facegen.imaging.seen.seen_places` says. Its colour is interpolated between the four
    nearest pixels of the image, in sRGB.

    Args:
        topology: of the face's model, and ``atlas`` of the topology.
        picture: the face.
        image: (H, W, 3) sRGB.

    Returns:
        Texture (S, S, 3) sRGB, 0 where it is not visible; whether it is (S, S).
    """
    rows, columns = np.nonzero(atlas.triangle >= 0)
    points, normals = (
        atlas.interpolate(values)[rows, columns] for values in (picture.mesh.vertices, picture.mesh.normals)
    )
    found = seen_places(topology, picture, points, normals, atlas.triangle[rows, columns])
    seen = found.visible
    texture = np.zeros((atlas.size, atlas.size, 3), np.uint8)
    visible = np.zeros((atlas.size, atlas.size), np.bool_)
    visible[rows[seen], columns[seen]] = True
    texture[rows[seen], columns[seen]] = _between_pixels(image, found.points_2d[seen])
    return texture, visible


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _between_pixels(image: NDArray[np.uint8], places: Float) -> NDArray[np.uint8]:
    """(n, 3) the image at places (n, 2) in pixels, interpolated; beyond the outer centres it goes on as there."""
    height, width = image.shape[0], image.shape[1]
    result = np.empty((len(places), 3), np.uint8)
    half, one = np.float32(0.5), np.float32(1.0)
    for i in range(len(places)):
        x = min(max(places[i, 0] - half, np.float32(0.0)), np.float32(width - 1))
        y = min(max(places[i, 1] - half, np.float32(0.0)), np.float32(height - 1))
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        fx, fy = x - np.float32(left), y - np.float32(top)
        for k in range(3):
            upper = np.float32(image[top, left, k]) * (one - fx) + np.float32(image[top, right, k]) * fx
            lower = np.float32(image[bottom, left, k]) * (one - fx) + np.float32(image[bottom, right, k]) * fx
            result[i, k] = np.uint8(upper * (one - fy) + lower * fy + half)
    return result


def weight_map(topology: Topology, annotation: Annotation, atlas: Atlas) -> Float:
    """(S, S) how much each place of the face counts, the most being 1: landmarks : features : skin : rest = 16:4:3:0.

    The ratios are those of Feng et al. 2018, "Joint 3D face reconstruction and dense alignment with position map
    regression network". Features are eyes, brows, nose and lips; ears, hair, neck and the inside count
    nothing.
    """
    of_layer = np.array([_WEIGHTS.get(name, 0) for name in annotation.layer_names], np.float32)
    # The centre of each texel in the finer or coarser map of layers.
    places = ((np.arange(atlas.size) + 0.5) * len(annotation.layers) / atlas.size).astype(np.intp)
    weights = np.where(atlas.mask, of_layer[annotation.layers[np.ix_(places, places)]], np.float32(0))
    marks = len(topology.landmarks) if len(annotation.dense) else 0
    corner = topology.uv[topology.uv_triangles[annotation.dense.triangle[:marks]]]
    u, v = (annotation.dense.weights[:marks, :, None] * corner).sum(axis=1).T
    row, column = (((1 - v) * atlas.size).astype(np.intp), (u * atlas.size).astype(np.intp))
    weights[row.clip(0, atlas.size - 1), column.clip(0, atlas.size - 1)] = _LANDMARK_WEIGHT
    result: Float = (weights / _LANDMARK_WEIGHT).astype(np.float32)
    return result
