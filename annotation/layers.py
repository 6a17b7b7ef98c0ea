"""Face parsing: which part of a face a place of the texture belongs to.

The mesh's regions are too coarse for it (a nose is skin, a brow is paint, an iris is part of an eyeball), so that
layers are drawn into texture space once for a model, from its regions, its 68 landmarks and its eyeballs.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from facegen.imaging.annotation import LAYERS
from facegen.imaging.atlas import Atlas
from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.model import MorphableModel

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Layers = NDArray[np.uint8]

_NUMBER = {name: number for number, name in enumerate(LAYERS)}

_OF_REGION = {
    "background": "background", "scalp": "hair", "neck": "neck", "bust": "shoulders", "lashes": "lashes",
    "mouth_socket": "mouth", "gums": "mouth", "tongue": "mouth", "gums_and_tongue": "mouth", "teeth": "teeth",
    "nostrils": "nose", "eyeball_left": "left_sclera", "eyeball_right": "right_sclera",
}  # fmt: skip
"""Regions that are of one layer whatever else is known; those that are not named are skin."""

_BROW_DENSITY, _HAIR_DENSITY = 0.3, 0.5
"""Of the paint's most: where skin turns to brow, and to hair of the head."""

_BROW_THICKNESS = 3.2
"""mm from the line through a brow's landmarks to its border, for models that do not paint brows."""

_NOSE_BRIDGE, _NOSE_WINGS = 0.25, 1.75
"""Half width of the nose at its root, in distances from the middle to an inner corner of an eye, and at its base, in
distances from the middle to an outer landmark of the base."""

_JAW_EDGE = ((-0.1, 0.075), (0.0, 0.09), (0.1, 0.11), (0.27, 0.12), (0.43, 0.126), (0.62, 0.155), (0.81, 0.18),
             (0.9, 0.14), (1.0, 0.03), (1.5, 0.46), (2.0, 0.85))  # fmt: skip
"""The upper border of the neck, seen from the side, for models without a region of it: at which part of the way from
chin to lobe, and how far below the straight line, in distances between the two. It runs along the mandible's lower
edge, up to the lobe, and then down to the nape."""


def draw_layers(model: MorphableModel, atlas: Atlas) -> Layers:
    """(S, S) numbers of :data:`~facegen.imaging.annotation.LAYERS`; what is beyond the mesh is of the nearest layer.

    Without 68 landmarks neither nose nor brows are told from skin, and lips are one, the upper. Where the mesh has no
    regions for them, ears are where the vertex mask ``ears`` says, and the neck is below jaw and ears.
    """
    topology = model.topology
    number = [_NUMBER[_OF_REGION.get(name, "skin")] for name in topology.region_names]
    layers = atlas.select(np.array(number, np.uint8)[topology.triangle_region])
    place = atlas.spread(model.mean).astype(np.float64)
    left = place[..., 0] > 0
    for region, pair in (("ears", ("right_ear", "left_ear")), ("lips", ("upper_lip", "upper_lip"))):
        if region in topology.region_names:
            here = atlas.select((topology.triangle_region == topology.region_names.index(region)).astype(np.uint8)) > 0
            layers[here] = np.where(left[here], _NUMBER[pair[1]], _NUMBER[pair[0]])
    if "ears" not in topology.region_names and "ears" in model.vertex_masks:
        on_ears = model.vertex_masks["ears"][topology.triangles]
        ears = atlas.select(on_ears[:, 0] & on_ears[:, 1] & on_ears[:, 2])
        layers[ears] = np.where(left[ears], _NUMBER["left_ear"], _NUMBER["right_ear"])
    brow = _brow_density(model, atlas)
    hair = _painted(model, atlas, "hair_darkness")
    if hair is not None and brow is not None:
        # Where the hairline is painted it is finer than the border of the scalp's triangles.
        outer = np.isin(layers, [_NUMBER[name] for name in ("skin", "hair", "neck")])
        covered = (hair > _HAIR_DENSITY) & (brow == 0)
        layers[outer & covered] = _NUMBER["hair"]
        layers[~covered & (layers == _NUMBER["hair"])] = _NUMBER["skin"]
    for side, eye in zip(("left", "right"), model.eyes, strict=False):
        direction = np.zeros_like(model.mean)
        direction[eye.vertices] = eye.direction
        towards = atlas.spread(direction)
        axis = np.linalg.norm(towards, axis=2)
        iris = (axis > 0) & (towards[..., 2] > np.cos(eye.iris_angle) * axis)
        layers[iris & (layers == _NUMBER[f"{side}_sclera"])] = _NUMBER[f"{side}_iris"]
    if len(topology.landmarks) == 68:
        marks = model.mean[topology.landmarks].astype(np.float64)
        lower = (layers == _NUMBER["upper_lip"]) & (place[..., 1] < _seam(marks, place[..., 0]))
        layers[lower] = _NUMBER["lower_lip"]
        skin = layers == _NUMBER["skin"]
        ears = np.isin(layers, [_NUMBER["left_ear"], _NUMBER["right_ear"]])
        if "neck" not in topology.region_names and ears.any():
            skin &= ~_neck(marks, place[ears], place)
            layers[(layers == _NUMBER["skin"]) & ~skin] = _NUMBER["neck"]
        brows = skin & (_band(marks, place) if brow is None else brow > _BROW_DENSITY)
        layers[brows] = np.where(left[brows], _NUMBER["left_brow"], _NUMBER["right_brow"])
        layers[_nose(marks, place) & skin & ~brows] = _NUMBER["nose"]
    if layers.any():
        # Triangles so small that no texel's centre is near them are of the layer beside them.
        row, column = distance_transform_edt(layers == 0, return_distances=False, return_indices=True)
        layers = layers[row, column]
    return layers


def _seam(marks: Float64, x: Float64) -> Float64:
    """Height y (...,) of the line between closed lips at each x: corner, three middles, corner."""
    middles = (marks[[61, 62, 63]] + marks[[67, 66, 65]]) / 2
    line = np.concatenate([marks[[60]], middles, marks[[64]]])
    height: Float64 = np.interp(x, line[:, 0], line[:, 1])
    return height


def _brow_density(model: MorphableModel, atlas: Atlas) -> Float64 | None:
    """(S, S) how densely brows are painted, of the most; ``None`` where the model paints none."""
    albedo = model.albedo
    if isinstance(albedo, LinearAlbedo) and "brow_darkness" in albedo.names:
        change = np.linalg.norm(albedo.basis[albedo.names.index("brow_darkness")], axis=1, keepdims=True)
        density = atlas.spread(change.astype(np.float32))[..., 0].astype(np.float64)
        return density / max(float(density.max()), 1e-6)
    return _painted(model, atlas, "brow_density")


def _painted(model: MorphableModel, atlas: Atlas, name: str) -> Float64 | None:
    """(S, S) how densely a coefficient of a texture paints, of its most; ``None`` where the model has none such."""
    if not isinstance(model.albedo, TextureAlbedo) or name not in model.albedo.names:
        return None
    mask = Image.fromarray(model.albedo.masks[model.albedo.names.index(name)])
    density = np.asarray(mask.resize((atlas.size, atlas.size), Image.Resampling.BILINEAR), np.float64)
    return density / max(float(density.max()), 1.0)


def _neck(marks: Float64, ears: Float64, place: Float64) -> Bool:
    """(S, S) below the line from under the chin along the mandible to the lobes and on to the nape."""
    chin, lobe = marks[8, 1:], ears[ears[:, 1].argmin(), 1:]
    way = float(np.hypot(*(lobe - chin)))
    back = (chin[1] - place[..., 2]) / (chin[1] - lobe[1])
    at, below = np.array(_JAW_EDGE).T
    edge = chin[0] + back * (lobe[0] - chin[0]) - way * np.interp(back, at, below)
    under: Bool = place[..., 1] < edge
    return under


def _band(marks: Float64, place: Float64) -> Bool:
    """(S, S) near the lines through the landmarks of the brows."""
    near = np.zeros(place.shape[:2], np.bool_)
    for brow in (marks[17:22], marks[22:27]):
        for a, b in pairwise(brow):
            along = ((place - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
            near |= np.linalg.norm(place - (a + along[..., None] * (b - a)), axis=2) < _BROW_THICKNESS
    return near


def _nose(marks: Float64, place: Float64) -> Bool:
    """(S, S) from the root between the eyes down to the base, as wide as eyes and wings say; not behind its base."""
    root, base = marks[27], marks[33]
    down = (root[1] - place[..., 1]) / (root[1] - base[1])
    eye = abs(marks[42, 0] - marks[39, 0]) / 2
    wing = abs(marks[35, 0] - marks[31, 0]) / 2
    # Narrow along the bridge, as wide as the wings over the last third.
    width = np.interp(down, [0.0, 0.45, 0.72, 1.0], [_NOSE_BRIDGE * eye, 0.55 * eye, _NOSE_WINGS * wing, 1.1 * wing])
    front = place[..., 2] > min(marks[31, 2], marks[35, 2]) - 14.0
    inside: Bool = (down >= 0) & (down <= 1.03) & (np.abs(place[..., 0]) < width) & front
    return inside
