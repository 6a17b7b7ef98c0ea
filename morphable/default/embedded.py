"""The shipped default model: from ``model.npz`` to a morphable model at any level."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.anthropometry import Anthropometry
from facegen.morphable.default.packing import read_arrays, unpack_basis
from facegen.morphable.default.resolution import coarsened, derived, refined
from facegen.morphable.default.slots import apart
from facegen.morphable.model import AllOrNothing, Eyeball, MorphableModel
from facegen.morphable.population import Population
from facegen.morphable.relief import Relief
from facegen.morphable.topology import Topology

Float = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Resolution = Literal["coarse", "default", "dense"]
Expressions = Literal["arkit", "pca"]

LIMITS = (("mouthClose", "jawOpen"),)
"""``mouthClose`` closes the lips of an open jaw: beyond ``jawOpen`` they would pass through each other."""

TONGUE = AllOrNothing(
    name="tongueOut",
    room=(
        ("jawOpen", 1.0),
        ("mouthLowerDownLeft", 0.25),
        ("mouthLowerDownRight", 0.25),
        ("mouthClose", -4.0),
        ("mouthLeft", -1.3),
        ("mouthRight", -1.3),
        ("mouthPucker", -1.2),
        ("mouthShrugLower", -1.2),
        ("mouthShrugUpper", -0.5),
        ("mouthSmileLeft", -0.45),
        ("mouthSmileRight", -0.45),
        ("cheekPuff", -0.4),
    ),
    needed=0.65,
)
"""The tongue goes with the jaw, over the lower lip: what raises that lip, narrows the mouth or moves it aside against
the jaw puts it through the tongue. Fitted to where skin and tongue cross on 3,000 faces with the tongue out (logistic
regression), rounded, with a margin of 0.15."""


def load_default(resolution: Resolution = "default", expressions: Expressions = "arkit") -> MorphableModel:
    """The default model.

    Args:
        resolution: ``coarse`` (about 3,000 vertices), ``default`` (11,000) or ``dense`` (45,000): each splits every
            triangle of the one before in four and keeps its vertices, their numbers and their positions.
        expressions: ``arkit`` for the 52 blendshapes of ARKit, or ``pca`` for 29 principal components of recorded
            performances in σ, about their mean expression.

    Raises:
        ModelError: the shipped file is damaged.
    """
    data, arrays = _stored()
    try:
        model = _default_model(hashlib.sha256(data).hexdigest(), arrays)
    except KeyError as error:
        raise ModelError(f"the embedded model is damaged (no array {error}); install facegen again") from None
    if expressions == "pca":
        model = _in_components(model, arrays)
    if resolution == "coarse":
        return coarsened(model, arrays["coarse_triangles"], arrays["coarse_uv_triangles"])
    return refined(model) if resolution == "dense" else model


@lru_cache(maxsize=1)
def _stored() -> tuple[bytes, Arrays]:
    data = files("facegen.morphable.default").joinpath("model.npz").read_bytes()
    return data, read_arrays(data, "the embedded model")


def _default_model(digest: str, arrays: Arrays) -> MorphableModel:
    mean, triangles, regions = arrays["mean"], arrays["triangles"], tuple(arrays["region_names"].tolist())
    uv = apart(arrays["uv"], arrays["uv_triangles"])
    topology = Topology(
        triangles=triangles,
        triangle_region=arrays["triangle_region"],
        region_names=regions,
        uv=uv,
        uv_triangles=arrays["uv_triangles"],
        landmarks=arrays["landmarks"],
        reference=mean,
    )
    names = {kind: tuple(arrays[f"{kind}_names"].tolist()) for kind in ("identity", "expression", "albedo", "relief")}
    turning = np.flatnonzero([name.startswith("eyeLook") for name in names["expression"]]).astype(np.int32)
    return MorphableModel(
        name="default",
        sha256=digest,
        source_sha256=digest,
        topology=topology,
        mean=mean,
        identity_basis=unpack_basis(arrays["identity_planes"], arrays["identity_scale"]),
        identity_names=names["identity"],
        expression_basis=unpack_basis(arrays["expression_planes"], arrays["expression_scale"]),
        expression_names=names["expression"],
        expression_bounds=(0.0, 1.0),
        expression_limits=LIMITS,
        expression_switches=(TONGUE,),
        albedo=TextureAlbedo(
            names["albedo"],
            _albedo_mean(arrays),
            arrays["albedo_masks"],
            arrays["albedo_colours"],
            uv[arrays["vertex_coordinate"]],
        ),
        eyes=tuple(
            Eyeball(
                vertices=arrays[f"eye_{side}"],
                centre=arrays[f"eye_{side}_centre"],
                direction=_unit(arrays[f"eye_{side}_direction"]),
                iris_angle=float(arrays["iris_angle"]),
                turned_by=turning,
            )
            for side in ("left", "right")
        ),
        vertex_masks={
            name: np.isin(np.arange(len(mean)), triangles[arrays["triangle_region"] == number])
            for number, name in enumerate(regions)
            if number
        },
        relief=_relief(names["relief"], arrays),
        occlusion=arrays["occlusion"].astype(np.float32) / np.float32(255),
        population=Population.from_arrays(_group(arrays, "population.")),
        anthropometry=Anthropometry.from_arrays(_group(arrays, "anthropometry.")),
    )


def _unit(vectors: Float) -> Float:
    unit: Float = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _group(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _albedo_mean(arrays: Arrays) -> Float:
    high, low = arrays["albedo_mean_planes"].astype(np.float32)
    mean: Float = (high * np.float32(256) + low) * arrays["albedo_mean_step"]
    return mean


def _relief(names: tuple[str, ...], arrays: Arrays) -> Relief:
    boxes, packed = arrays["relief_boxes"], arrays["relief_values"]
    size = int(arrays["relief_size"])
    wrinkles = np.zeros((len(names), size, size, 2), np.int8)
    start = 0
    for group, (top, bottom, left, right) in zip(wrinkles, boxes.tolist(), strict=True):
        count = (bottom - top) * (right - left) * 2
        group[top:bottom, left:right] = packed[start : start + count].reshape(bottom - top, right - left, 2)
        start += count
    return Relief(
        names=names,
        wrinkles=wrinkles,
        base=arrays["relief_base"],
        by_albedo=arrays["relief_by_albedo"],
        by_expression=arrays["relief_by_expression"],
        largest=arrays["relief_largest"],
        micro=arrays["relief_micro"],
        micro_repeats=float(arrays["relief_micro_repeats"]),
        micro_strength=arrays["relief_micro_strength"],
        micro_millimetres=float(arrays["relief_micro_millimetres"]),
    )


def _in_components(model: MorphableModel, arrays: Arrays) -> MorphableModel:
    """The expressions as principal components of recorded ones, about their mean."""
    weights, centre = arrays["expression_components"], arrays["expression_centre"]
    flat = model.expression_basis.reshape(len(model.expression_names), -1)
    basis = (weights @ flat).reshape(len(weights), *model.mean.shape).astype(np.float32)
    offset = (centre @ flat).reshape(model.mean.shape).astype(np.float32)
    # The eyes turn by the gaze alone.
    for eye in model.eyes:
        basis[:, eye.vertices] = 0
        offset[eye.vertices] = 0
    mean = model.mean + offset
    relief = model.relief
    assert relief is not None
    return replace(
        model,
        sha256=derived(model, "pca"),
        topology=replace(model.topology, reference=mean),
        mean=mean,
        expression_basis=basis,
        expression_names=tuple(f"expression_{i + 1}" for i in range(len(weights))),
        expression_bounds=(-np.inf, np.inf),
        expression_limits=(),
        expression_switches=(),
        eyes=tuple(replace(eye, turned_by=np.zeros(0, np.int32)) for eye in model.eyes),
        relief=replace(
            relief,
            base=(relief.base + relief.by_expression @ centre).astype(np.float32),
            by_expression=(relief.by_expression @ weights.T).astype(np.float32),
        ),
    )
