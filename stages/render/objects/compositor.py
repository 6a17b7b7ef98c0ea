"""Draws things into a rendered picture: before the face where they are nearer, shaded as the face is.

The face's own labels stay as they are, whatever stands before it. The picture of the face is what things are drawn
over, so any back-end can have made it; along the edges of things, nine samples a pixel are weighed as in
:mod:`facegen.stages.render.deferred`, with the depths that the face has at the pixels' centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.channels import rebuild
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import Rasteriser, depths
from facegen.morphable.topology import Topology
from facegen.stages.render.deferred import shade_surfaces, srgb_decoding, srgb_encoding
from facegen.stages.render.edges import mark_edges, shade_edges
from facegen.stages.render.lanes import PACKED, pack_attributes
from facegen.stages.render.linear import decode_srgb, encode_srgb
from facegen.stages.render.objects.thing import NONE, Thing
from facegen.stages.render.renderer import Frame, View
from facegen.stages.render.shading import light_polynomial

Float = NDArray[np.float32]

_FAR = np.float32(np.inf)

_STEP = np.float32(5.0)
"""mm between the face's depths at neighbouring pixels beyond which they are not of one surface."""


@dataclass(frozen=True)
class Composite:
    """A picture with things in it."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    occluder: NDArray[np.uint8]
    """(H, W) what covers the pixel's centre, an index into :data:`~facegen.imaging.occluders.OCCLUDERS`; 0 where the
    face, or what is behind it, is seen, be it through a clear lens."""


@dataclass(frozen=True)
class PlacedThing:
    """A thing before a camera."""

    thing: Thing
    mesh: CameraMesh
    lit: Float
    """(M, N) share of each light that reaches its vertices."""

    @classmethod
    def of(cls, thing: Thing, extrinsics: NDArray[np.float64], lights: int) -> PlacedThing:
        """Where ``thing`` is for a camera with extrinsics (4, 4), with nothing between it and the lights."""
        mesh = CameraMesh.from_model(thing.vertices, thing.triangles, extrinsics)
        return cls(thing, mesh, np.ones((lights, len(thing.vertices)), np.float32))


class Compositor:
    """Draws things over pictures of faces of one topology, of one size."""

    def __init__(self, topology: Topology, height: int, width: int) -> None:
        self._topology = topology
        self._decode, self._encode = srgb_decoding(), srgb_encoding()
        self._height, self._width = height, width

    def draw(self, frame: Frame, view: View, things: Sequence[PlacedThing]) -> Composite:
        """The picture ``frame`` of ``view`` with things in it; those that light passes through are drawn last."""
        composite = Composite(frame.image, np.zeros((self._height, self._width), np.uint8))
        if not things:
            return composite
        face = frame.mesh, frame.triangle_id, frame.barycentric
        depth = rebuild(["depth"], self._topology, *face)["depth"]
        nearest = np.where(frame.triangle_id >= 0, depth, _FAR).astype(np.float32)
        opaque = [placed for placed in things if placed.thing.transmission is None]
        if opaque:
            layer = self._visible(opaque, view, nearest)
            image = self._shaded(layer, _albedo(opaque), view, composite.image)
            composite = Composite(image, layer.label)
            nearest = np.minimum(nearest, layer.depth)
        clear = [placed for placed in things if placed.thing.transmission is not None]
        # The farthest first, so that one is seen through the other.
        for placed in sorted(clear, key=lambda placed: -float(placed.mesh.vertices[:, 2].mean())):
            composite = self._glazed(self._visible([placed], view, nearest), placed, view, composite)
        return composite

    def _visible(self, things: Sequence[PlacedThing], view: View, nearest: Float) -> _Layer:
        """What is seen of things, where the rest of the picture has depths ``nearest`` (H, W)."""
        mesh, material = _together(things)
        height, width = self._height, self._width
        rasteriser = Rasteriser(mesh.triangles, len(mesh.vertices), height, width)
        rasteriser.load(mesh.vertices, view.intrinsics, view.projection)
        triangle, key = np.empty((height, width), np.int32), np.empty((height, width), np.float32)
        rasteriser.fill(triangle, key, supersampled=False)
        depth = _depth(key, view, mesh)
        _hide(triangle, key, depth, nearest)
        kind, edge = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
        mark_edges(triangle, key, material, kind, edge)
        fine_triangle = np.full((2 * height + 1, 2 * width + 1), -1, np.int32)
        fine_key = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
        rasteriser.fill_near_edges(edge, fine_triangle, fine_key)
        _hide(fine_triangle, fine_key, _depth(fine_key, view, mesh), _between(nearest))
        labels = np.concatenate(
            [np.full(len(placed.thing.triangles), placed.thing.label, np.uint8) for placed in things] + [_NOTHING]
        )
        lit = np.concatenate([placed.lit for placed in things], axis=1)
        return _Layer(mesh, material, lit, triangle, kind, edge, fine_triangle, fine_key, labels[triangle], depth)

    def _shaded(self, layer: _Layer, albedo: Float, view: View, behind: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``behind`` (H, W, 3) with a layer of albedo (N, 3) over it."""
        mesh = layer.mesh
        attributes = np.empty((len(mesh.vertices), PACKED + len(layer.lit)), np.float32)
        pack_attributes(mesh.normals, np.ones(len(mesh.vertices), np.float32), layer.lit, albedo, attributes)
        light = (
            light_polynomial(view.light_sh), view.light_position, view.light_colour, view.intrinsics, view.projection
        )  # fmt: skip
        image = np.empty_like(behind)
        shade_surfaces(
            layer.triangle, layer.kind, layer.edge, mesh.triangles, mesh.vertices, attributes, *light, behind,
            self._decode, self._encode, None, image, np.empty((self._height, self._width, 2), np.uint16),
        )  # fmt: skip
        no_eyes, no_iris = np.zeros((len(mesh.vertices), 3), np.float32), np.zeros(3, np.float32)
        shade_edges(
            layer.triangle, layer.edge, layer.fine_triangle, layer.fine_key, mesh.triangles, mesh.vertices, attributes,
            layer.material, no_eyes, np.float32(1.0), no_iris, *light, behind, self._decode, self._encode, None, image,
        )  # fmt: skip
        return image

    def _glazed(self, layer: _Layer, placed: PlacedThing, view: View, composite: Composite) -> Composite:
        """``composite`` behind a layer that light passes through and that mirrors its surroundings."""
        assert placed.thing.transmission is not None
        coverage = np.empty((self._height, self._width), np.float32)
        _cover(layer.triangle, layer.edge, layer.fine_triangle, coverage)
        # Seen in light of one everywhere, an albedo is what is shown: here what the surface mirrors.
        one = np.zeros((9, 3), np.float32)
        one[0] = 1 / _Y0
        gloss = self._shaded(
            layer, _mirrored(placed.mesh, view), replace(view, light_sh=one), np.zeros_like(composite.image)
        )
        kept = 1 - coverage[..., None] * (1 - placed.thing.transmission)
        image = encode_srgb((decode_srgb(composite.image) * kept + decode_srgb(gloss)).astype(np.float32))
        covers = (layer.triangle >= 0) & (placed.thing.label != NONE)
        return Composite(image, np.where(covers, np.uint8(placed.thing.label), composite.occluder))


_NOTHING = np.zeros(1, np.uint8)
"""Label of triangle -1."""

_Y0 = np.float32(0.28209479)

_LENS = 0.045
"""Reflectance at normal incidence: of crown glass."""


@dataclass(frozen=True)
class _Layer:
    """What is seen of things, joined into one mesh of N vertices and M triangles."""

    mesh: CameraMesh
    material: NDArray[np.uint8]
    """(M,)."""
    lit: Float
    """(M, N)."""
    triangle: NDArray[np.int32]
    """(H, W), -1 where nothing of them is seen; ``kind`` and ``edge`` are those of :func:`mark_edges`."""
    kind: NDArray[np.uint8]
    edge: NDArray[np.uint8]
    fine_triangle: NDArray[np.int32]
    """(2H + 1, 2W + 1) near edges, and so is ``fine_key``."""
    fine_key: Float
    label: NDArray[np.uint8]
    """(H, W)."""
    depth: Float
    """(H, W) mm, infinite where nothing is seen."""


def _together(things: Sequence[PlacedThing]) -> tuple[CameraMesh, NDArray[np.uint8]]:
    """One mesh of all things, and the material of its triangles."""
    first = np.cumsum([0, *(len(placed.mesh.vertices) for placed in things[:-1])])
    mesh = CameraMesh(
        np.concatenate([placed.mesh.vertices for placed in things]),
        np.concatenate([placed.thing.triangles + np.uint32(n) for placed, n in zip(things, first, strict=True)]),
    )
    return mesh, np.concatenate([placed.thing.material for placed in things])


def _albedo(things: Sequence[PlacedThing]) -> Float:
    return np.concatenate([placed.thing.albedo for placed in things])


def _depth(key: Float, view: View, mesh: CameraMesh) -> Float:
    """mm of the depth keys of a mesh; infinite where there is none."""
    depth = key.copy()
    depths(depth, view.projection == PERSPECTIVE, mesh.vertices[:, 2].max())
    return depth


def _hide(triangle: NDArray[np.int32], key: Float, depth: Float, nearest: Float) -> None:
    """Empty the samples of ``triangle``, ``key`` and ``depth`` that lie behind ``nearest``."""
    behind = depth >= nearest
    triangle[behind], key[behind], depth[behind] = -1, 0, _FAR


_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_compile
def _between(depth: Float) -> Float:
    """Depths (2H + 1, 2W + 1) at samples every half pixel, from those at the pixels' centres (H, W).

    Between pixels of one surface their mean; between others the farther one, so that what comes out from behind an
    edge is weighed in full on its own side of it.
    """
    height, width = depth.shape
    result = np.empty((2 * height + 1, 2 * width + 1), np.float32)
    for i in range(result.shape[0]):
        up, down = max((i - 1) // 2, 0), min(i // 2, height - 1)
        for j in range(result.shape[1]):
            left, right = max((j - 1) // 2, 0), min(j // 2, width - 1)
            a, b, c, d = depth[up, left], depth[up, right], depth[down, left], depth[down, right]
            low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
            # Written so that two infinite depths, whose difference is no number, are apart.
            result[i, j] = np.float32(0.25) * (a + b + c + d) if high - low <= _STEP else high
    return result


@_compile
def _cover(triangle: NDArray[np.int32], edge: NDArray[np.uint8], fine_triangle: NDArray[np.int32], out: Float) -> None:
    """Write the share of each pixel (H, W) that a layer covers, by the samples that its edges are shaded with."""
    height, width = triangle.shape
    for r in range(height):
        for c in range(width):
            if edge[r, c] == 0:
                out[r, c] = np.float32(triangle[r, c] >= 0)
                continue
            share = np.float32(0.0)
            for y in range(3):
                for x in range(3):
                    if fine_triangle[2 * r + y, 2 * c + x] >= 0:
                        share += np.float32((2 - abs(y - 1)) * (2 - abs(x - 1))) / np.float32(16.0)
            out[r, c] = share


def _mirrored(mesh: CameraMesh, view: View) -> Float:
    """(N, 3) linear RGB that glass mirrors at its vertices: the spherical-harmonic light, by Schlick's Fresnel term."""
    normals = mesh.normals.astype(np.float64)
    if view.projection == PERSPECTIVE:
        towards = -mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    else:
        towards = np.broadcast_to([0.0, 0.0, -1.0], normals.shape)
    cosine = (normals * towards).sum(axis=1, keepdims=True)
    x, y, z = (2 * cosine * normals - towards).T
    ones = np.ones_like(x)
    basis = np.stack([ones, y, z, x, x * y, y * z, z * z, x * z, x * x, y * y], axis=1)
    # What falls from a direction, not what a matt surface makes of it: the Lambertian kernel is 1, 2/3, 1/4.
    radiance = view.light_sh * np.repeat([1.0, 1.5, 4.0], [1, 3, 5])[:, None]
    light = np.maximum(basis @ light_polynomial(radiance.astype(np.float32)).T, 0)
    fresnel = _LENS + (1 - _LENS) * (1 - np.abs(cosine).clip(0, 1)) ** 5
    return np.ascontiguousarray(fresnel * light, np.float32)
