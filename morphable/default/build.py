"""Builds ``model.npz``, the arrays of the default model that the package ships, from the control network and tables::

    python -m facegen.morphable.default.build

Takes about two minutes. The same sources give the same arrays up to the last bits of the linear algebra library,
which rounding to the stored precision hides but for a value in some ten thousand.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.occlusion import ambient_occlusion
from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.default.chart import OTHER
from facegen.morphable.default.components import Components, identity_components, skin_weights
from facegen.morphable.default.expression import expression_displacements
from facegen.morphable.default.expression_pca import read_components
from facegen.morphable.default.head import HeadAssembly
from facegen.morphable.default.identity import calibrated_points, read_table
from facegen.morphable.default.landmarks import landmark_places, landmark_vertices
from facegen.morphable.default.levels import REGIONS, Level, read_coarse, split_level
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.packing import pack_basis, write_arrays
from facegen.morphable.default.paint.build import STEP, Paint, paint
from facegen.morphable.default.people import fit_population
from facegen.morphable.default.relief.build import build_relief
from facegen.morphable.default.solve import skin_operator
from facegen.morphable.default.survey import surface_anthropometry
from facegen.morphable.default.teeth import GUM_ROWS
from facegen.morphable.default.uv import texture_coordinates
from facegen.morphable.relief import Relief

Float = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

TEXTURE_SIZE = 768

IN_THE_MOUTH, MOUTH_DEPTH = 0.5, 28.0
"""Least share of the sky just behind the lips, and the depth that divides it by e, mm; by eye."""

MOUTH_OPEN = 0.35
"""Weight of ``jawOpen`` when the ambient occlusion is baked, so that teeth are not black when the face smiles."""


@dataclass(frozen=True)
class Shape:
    """The head as geometry, in float64."""

    level: Level
    assembly: HeadAssembly
    components: Components
    points: Float
    """(n, 3) calibrated control points, mm."""
    mean: Float
    """(N, 3) mm."""
    identity: Float
    """(Ki, N, 3) mm per σ."""
    expression: Float
    """(52, N, 3) mm at weight 1."""
    landmarks: NDArray[np.int32]
    """(68,)."""


def build_shape() -> Shape:
    """Solve the skin and everything that is linear in the control points."""
    network = read_network()
    coarse = read_coarse()
    level = split_level(coarse, network)
    skin, operator = skin_operator(level, network)
    points = calibrated_points(network)
    assembly = HeadAssembly(level, network, points, skin, operator)
    uncalibrated = np.full((level.count, 3), np.inf)
    uncalibrated[skin] = operator @ network.mirrored(network.points)
    components = _components(level, network, skin, operator, points)
    displacements = expression_displacements(network)
    return Shape(
        level=level,
        assembly=assembly,
        components=components,
        points=points,
        mean=assembly.mean(),
        identity=assembly.identity(components.displacement[:, 0], components.displacement[:, 1]),
        expression=np.stack([assembly.expression(name, *displacements[name]) for name in ARKIT_NAMES]),
        landmarks=landmark_vertices(landmark_places(network), uncalibrated, coarse),
    )


def _components(
    level: Level, network: ControlNetwork, skin: NDArray[np.int64], operator: Float, points: Float
) -> Components:
    number = np.full(level.count, -1)
    number[skin] = np.arange(len(skin))
    triangles = number[level.triangles[level.island != OTHER]]
    return identity_components(network, operator, skin_weights(network, operator @ network.mirrored(points), triangles))


def build() -> Arrays:
    """All arrays of the shipped model."""
    shape = build_shape()
    painted = paint(TEXTURE_SIZE)
    relief = build_relief(painted.names, ARKIT_NAMES, TEXTURE_SIZE)
    arrays = {**_shape_arrays(shape), **_paint_arrays(painted), **_relief_arrays(relief)}
    population = fit_population(shape.components)
    if population.albedo_names != painted.names:
        raise RuntimeError(f"people.yaml tells of {population.albedo_names}, the paint of {painted.names}")
    return arrays | {f"population.{name}": array for name, array in population.to_arrays().items()}


def _shape_arrays(shape: Shape) -> Arrays:
    level = shape.level
    arrays: Arrays = {"mean": _rounded(shape.mean), "landmarks": shape.landmarks}
    for kind, names, basis in (
        ("identity", shape.components.names, shape.identity),
        ("expression", ARKIT_NAMES, shape.expression),
    ):
        arrays[f"{kind}_names"] = np.array(names)
        arrays[f"{kind}_planes"], arrays[f"{kind}_scale"] = pack_basis(basis)
    weights = read_components()
    arrays["expression_components"], arrays["expression_centre"] = weights.components, weights.mean
    for side, eye in zip(("left", "right"), shape.assembly.eyeballs(), strict=True):
        arrays[f"eye_{side}"], arrays[f"eye_{side}_direction"] = eye.vertices, _rounded(eye.direction)
        arrays[f"eye_{side}_centre"] = _rounded(eye.centre)
        arrays["iris_angle"] = np.array(eye.iris_angle, np.float32)
    arrays["occlusion"] = np.rint(255 * _occlusion(shape)).astype(np.uint8)
    survey = surface_anthropometry(
        read_table(), read_network(), shape.points, shape.mean, level.triangles[level.island != OTHER]
    )
    arrays |= {f"anthropometry.{name}": array for name, array in survey.to_arrays().items()}
    return arrays | _topology_arrays(level)


def _occlusion(shape: Shape) -> Float:
    """(N,) share of the sky that each vertex sees.

    Most of the mouth's inside sees none of it when the mouth is nearly closed; an open mouth is lit through its
    opening, and what the walls reflect. So the inside has a least share, which falls with the depth behind the lips.
    """
    level = shape.level
    opened = shape.mean + MOUTH_OPEN * shape.expression[ARKIT_NAMES.index("jawOpen")]
    seen = ambient_occlusion(opened.astype(np.float32), level.triangles.astype(np.int32)).astype(np.float64)
    inside = np.isin(level.region, [REGIONS.index(name) for name in ("mouth_socket", "gums", "teeth", "tongue")])
    vertices = np.unique(level.triangles[inside])
    vertices = vertices[~np.isin(vertices, level.triangles[level.island != OTHER])]
    lips = shape.mean[shape.landmarks[62], 2]
    depth = (lips - shape.mean[vertices, 2]).clip(0)
    seen[vertices] = np.maximum(seen[vertices], IN_THE_MOUTH * np.exp(-depth / MOUTH_DEPTH))
    for eye in shape.assembly.eyeballs():
        seen[eye.vertices] = _under_the_lids(eye.direction)
    averaged: Float = (seen + seen[level.mirror]) / 2
    return averaged


def _under_the_lids(direction: NDArray[np.float32]) -> Float:
    """Share of the sky (n,) that an eyeball sees in directions (n, 3) of its frame: lids and lashes shade it.

    The depth maps of the rest are too coarse for gaps of a millimetre. Angles of the lids' margins as in the mean face.
    """
    x, y, z = direction.astype(np.float64).T
    up, aside = np.degrees(np.arcsin(y.clip(-1, 1))), np.degrees(np.arctan2(np.abs(x), z))
    upper = np.interp(up, [2, 20, 32], [1.0, 0.5, 0.2])
    lower = np.interp(-up, [14, 25, 36], [1.0, 0.7, 0.3])
    corners = np.interp(aside, [24, 55, 80], [1.0, 0.5, 0.2])
    return np.asarray(0.85 * upper * lower * corners)


def _topology_arrays(level: Level) -> Arrays:
    coarse = read_coarse()
    # Of a vertex on a seam the first coordinate counts: the skin's where it has one.
    _, first = np.unique(level.uv_vertex, return_index=True)
    return {
        "triangles": level.triangles.astype(np.int32),
        "triangle_region": _regions(level),
        "region_names": np.array(REGIONS),
        "uv": texture_coordinates(level).astype(np.float32),
        "uv_triangles": level.uv_triangles.astype(np.int32),
        "vertex_coordinate": first.astype(np.int32),
        "coarse_triangles": coarse.triangles.astype(np.int32),
        "coarse_uv_triangles": coarse.uv_triangles.astype(np.int32),
    }


def _regions(level: Level) -> NDArray[np.uint8]:
    """(T,) the mesh's regions, with the gums told from the teeth."""
    region = level.region.copy()
    for name in ("upper_teeth", "lower_teeth"):
        gums = level.grids[name][: GUM_ROWS + 1]
        vertices = np.concatenate([gums.ravel(), level.mirror[gums.ravel()]])
        region[np.isin(level.triangles, vertices).all(axis=1)] = REGIONS.index("gums")
    return region


def _paint_arrays(painted: Paint) -> Arrays:
    steps = np.rint(painted.mean / STEP).astype(np.uint16)
    return {
        "albedo_names": np.array(painted.names),
        "albedo_mean_planes": np.stack([steps >> 8, steps & 255]).astype(np.uint8),
        "albedo_mean_step": np.array(STEP, np.float32),
        "albedo_masks": painted.masks,
        "albedo_colours": painted.colours,
    }


def _relief_arrays(relief: Relief) -> Arrays:
    boxes, values = [], []
    for group in relief.wrinkles:
        used = np.argwhere(group.any(axis=2))
        (top, left), (bottom, right) = used.min(axis=0), used.max(axis=0) + 1
        boxes.append((top, bottom, left, right))
        values.append(group[top:bottom, left:right].ravel())
    return {
        "relief_names": np.array(relief.names),
        "relief_size": np.array(relief.wrinkles.shape[1]),
        "relief_boxes": np.array(boxes, np.int32),
        "relief_values": np.concatenate(values),
        "relief_base": relief.base,
        "relief_by_albedo": relief.by_albedo,
        "relief_by_expression": relief.by_expression,
        "relief_largest": relief.largest,
        "relief_micro": relief.micro,
        "relief_micro_repeats": np.array(relief.micro_repeats),
        "relief_micro_strength": relief.micro_strength,
        "relief_micro_millimetres": np.array(relief.micro_millimetres),
    }


def _rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    """To a ten-thousandth: coarser than the noise of linear algebra, finer than anything that is seen."""
    rounded: NDArray[np.float32] = (np.rint(np.asarray(values, np.float64) * 8192) / 8192).astype(np.float32)
    return rounded


def main() -> None:
    """Write ``model.npz`` beside this file, or where ``--out`` says."""
    parser = argparse.ArgumentParser(description="Build the embedded face model.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("model.npz"), help="file to write")
    path = parser.parse_args().out
    started = time.monotonic()
    arrays = build()
    write_arrays(path, arrays)
    size = path.stat().st_size / 1e6
    print(f"{path}: {len(arrays)} arrays, {size:.1f} MB, in {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
