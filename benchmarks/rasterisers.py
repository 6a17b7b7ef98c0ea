"""What our visibility pass is measured against: rasterisers that do as other programs do, written for this comparison.

All take the vertices of the model and a camera, begin with clean buffers and count the camera transform. None is exact
where triangles share an edge, except :class:`PlainVisibility`, and none clips at the near plane.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.imaging.camera import to_camera
from facegen.imaging.rasterise import Rasteriser
from facegen.imaging.rasterise_snapping import SUBPIXELS
from facegen.morphable.topology import Triangles
from facegen.stages.render.renderer import View

Float = NDArray[np.float32]

_compile = numba.njit(cache=True, nogil=True, boundscheck=False, fastmath=True, error_model="numpy")


class Visibility:
    """Our visibility pass alone: triangle and depth key at every pixel's centre."""

    def __init__(self, triangles: Triangles, vertex_count: int, size: int) -> None:
        self._rasteriser = Rasteriser(triangles, vertex_count, size, size, centres_only=True)
        self.triangle = np.empty((size, size), np.int32)
        self.key = np.empty((size, size), np.float32)

    def draw(self, view: View) -> None:
        """Fill ``triangle`` and ``key``."""
        self._rasteriser.load(to_camera(view.vertices, view.extrinsics), view.intrinsics, view.projection)
        self._rasteriser.fill(self.triangle, self.key, supersampled=False)


class PlainVisibility:
    """The yardstick: the same rule by one plain loop over triangles, as in the renderer's prototype.

    Transform and projection in float32, integer edge functions, bounding boxes before set-up, back faces culled, depth
    test on 1/z. Perspective cameras only.
    """

    def __init__(self, triangles: Triangles, vertex_count: int, size: int) -> None:
        self._triangles = triangles
        self._camera = np.empty((vertex_count, 3), np.float32)
        self._x, self._y = np.empty(vertex_count, np.int32), np.empty(vertex_count, np.int32)
        self._inverse_z = np.empty(vertex_count, np.float32)
        self.triangle = np.empty((size, size), np.int32)
        self.key = np.empty((size, size), np.float32)

    def draw(self, view: View) -> None:
        """Fill ``triangle`` and ``key``."""
        self.triangle.fill(-1)
        self.key.fill(0)
        _project_snapped(
            view.vertices, view.extrinsics.astype(np.float32), view.intrinsics.astype(np.float32),
            self._camera, self._x, self._y, self._inverse_z,
        )  # fmt: skip
        _plain_visibility(self._triangles, self._x, self._y, self._inverse_z, self.triangle, self.key)


class AffineColour:
    """Work of the class of 3DDFA_V2's Sim3DR: colours of the vertices and depth, linear on the screen.

    Each pixel of a triangle's bounding box gets float barycentric weights, those inside are tested against the depth
    buffer, and what passes writes three bytes of colour. No normals, light or other channel; no culling.
    """

    def __init__(self, triangles: Triangles, vertex_count: int, size: int) -> None:
        self._triangles = triangles
        self._screen = np.empty((vertex_count, 3), np.float32)
        self.image = np.empty((size, size, 3), np.uint8)
        self.depth = np.empty((size, size), np.float32)

    def draw(self, view: View) -> None:
        """Fill ``image`` with 255 × albedo, and ``depth`` (mm, infinite where nothing is seen)."""
        assert view.albedo is not None
        self.image.fill(0)
        self.depth.fill(np.inf)
        _project_affine(
            view.vertices, view.extrinsics.astype(np.float32), view.intrinsics.astype(np.float32), self._screen
        )
        _affine_colour(self._triangles, self._screen, view.albedo, self.image, self.depth)


class AffineBarycentrics:
    """Work of the class of face3d: triangle number, three barycentric weights and depth, linear on the screen."""

    def __init__(self, triangles: Triangles, vertex_count: int, size: int) -> None:
        self._triangles = triangles
        self._screen = np.empty((vertex_count, 3), np.float32)
        self.triangle = np.empty((size, size), np.int32)
        self.weights = np.empty((size, size, 3), np.float32)
        self.depth = np.empty((size, size), np.float32)

    def draw(self, view: View) -> None:
        """Fill ``triangle`` (-1 where nothing is seen), ``weights`` and ``depth`` (mm, infinite there)."""
        self.triangle.fill(-1)
        self.weights.fill(0)
        self.depth.fill(np.inf)
        _project_affine(
            view.vertices, view.extrinsics.astype(np.float32), view.intrinsics.astype(np.float32), self._screen
        )
        _affine_barycentrics(self._triangles, self._screen, self.triangle, self.weights, self.depth)


@_compile
def _project_snapped(
    vertices: Float, m: Float, k: Float, camera: Float, x: NDArray[np.int32], y: NDArray[np.int32], inverse_z: Float
) -> None:
    """Camera frame (V, 3), places in 1/256 pixel and 1/z."""
    half = np.float32(0.5)
    for i in range(len(vertices)):
        u, v, w = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for j in range(3):
            camera[i, j] = m[j, 0] * u + m[j, 1] * v + m[j, 2] * w + m[j, 3]
        inverse_z[i] = np.float32(1.0) / camera[i, 2]
        px = k[0, 0] * camera[i, 0] * inverse_z[i] + k[0, 2]
        py = k[1, 1] * camera[i, 1] * inverse_z[i] + k[1, 2]
        x[i] = np.int32(math.floor(px * np.float32(SUBPIXELS) + half))
        y[i] = np.int32(math.floor(py * np.float32(SUBPIXELS) + half))


@_compile
def _plain_visibility(
    triangles: Triangles,
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    inverse_z: Float,
    out_triangle: NDArray[np.int32],
    out_key: Float,
) -> None:
    height, width = out_triangle.shape
    for t in range(len(triangles)):
        # b and c change places, so that the area is positive where y points down.
        a, b, c = triangles[t, 0], triangles[t, 2], triangles[t, 1]
        x0, x1, x2 = int(x[a]), int(x[b]), int(x[c])
        first, last = max((min(x0, x1, x2) + 127) >> 8, 0), min((max(x0, x1, x2) - 128) >> 8, width - 1)
        if first > last:
            continue
        y0, y1, y2 = int(y[a]), int(y[b]), int(y[c])
        top, bottom = max((min(y0, y1, y2) + 127) >> 8, 0), min((max(y0, y1, y2) - 128) >> 8, height - 1)
        if top > bottom:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area <= 0:
            continue
        k0, inverse = inverse_z[a], np.float32(1.0) / np.float32(area)
        slope1, slope2 = (inverse_z[b] - k0) * inverse, (inverse_z[c] - k0) * inverse
        px, py = first * 256 + 128, top * 256 + 128
        row0 = (px - x1) * (y1 - y2) + (py - y1) * (x2 - x1)
        row1 = (px - x2) * (y2 - y0) + (py - y2) * (x0 - x2)
        row2 = (px - x0) * (y0 - y1) + (py - y0) * (x1 - x0)
        for r in range(top, bottom + 1):
            e0, e1, e2 = row0, row1, row2
            for column in range(first, last + 1):
                if (e0 | e1 | e2) >= 0:
                    key = k0 + slope1 * np.float32(e1) + slope2 * np.float32(e2)
                    if key > out_key[r, column]:
                        out_key[r, column] = key
                        out_triangle[r, column] = t
                e0 += (y1 - y2) * 256
                e1 += (y2 - y0) * 256
                e2 += (y0 - y1) * 256
            row0 += (x2 - x1) * 256
            row1 += (x0 - x2) * 256
            row2 += (x1 - x0) * 256


@_compile
def _project_affine(vertices: Float, m: Float, k: Float, screen: Float) -> None:
    """Pixels, with whole numbers at the pixels' centres, and depth (V, 3)."""
    half = np.float32(0.5)
    for i in range(len(vertices)):
        u, v, w = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        z = m[2, 0] * u + m[2, 1] * v + m[2, 2] * w + m[2, 3]
        inverse = np.float32(1.0) / z
        screen[i, 0] = k[0, 0] * (m[0, 0] * u + m[0, 1] * v + m[0, 2] * w + m[0, 3]) * inverse + k[0, 2] - half
        screen[i, 1] = k[1, 1] * (m[1, 0] * u + m[1, 1] * v + m[1, 2] * w + m[1, 3]) * inverse + k[1, 2] - half
        screen[i, 2] = z


@numba.njit(cache=True, nogil=True, boundscheck=False, fastmath=True, error_model="numpy", forceinline=True)
def _box(screen: Float, a: int, b: int, c: int, height: int, width: int) -> tuple[int, int, int, int]:
    """First and last column and row of a triangle's bounding box."""
    left = min(screen[a, 0], min(screen[b, 0], screen[c, 0]))
    right = max(screen[a, 0], max(screen[b, 0], screen[c, 0]))
    top = min(screen[a, 1], min(screen[b, 1], screen[c, 1]))
    bottom = max(screen[a, 1], max(screen[b, 1], screen[c, 1]))
    return (
        max(math.ceil(left), 0), min(math.floor(right), width - 1),
        max(math.ceil(top), 0), min(math.floor(bottom), height - 1),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True, boundscheck=False, fastmath=True, error_model="numpy", forceinline=True)
def _weights(
    screen: Float, a: int, b: int, c: int, px: np.float32, py: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """Barycentric weights of a pixel, from dot products with two sides (Ericson 2005, section 3.4)."""
    ux, uy = screen[c, 0] - screen[a, 0], screen[c, 1] - screen[a, 1]
    vx, vy = screen[b, 0] - screen[a, 0], screen[b, 1] - screen[a, 1]
    wx, wy = px - screen[a, 0], py - screen[a, 1]
    uu, uv, uw = ux * ux + uy * uy, ux * vx + uy * vy, ux * wx + uy * wy
    vv, vw = vx * vx + vy * vy, vx * wx + vy * wy
    denominator = uu * vv - uv * uv
    inverse = np.float32(1.0) / denominator if denominator != np.float32(0.0) else np.float32(0.0)
    second, third = (uu * vw - uv * uw) * inverse, (vv * uw - uv * vw) * inverse
    return np.float32(1.0) - second - third, second, third


@_compile
def _affine_colour(triangles: Triangles, screen: Float, colours: Float, image: NDArray[np.uint8], depth: Float) -> None:
    height, width = depth.shape
    zero = np.float32(0.0)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        first, last, top, bottom = _box(screen, a, b, c, height, width)
        for r in range(top, bottom + 1):
            for column in range(first, last + 1):
                w0, w1, w2 = _weights(screen, a, b, c, np.float32(column), np.float32(r))
                if w0 >= zero and w1 >= zero and w2 > zero:
                    z = w0 * screen[a, 2] + w1 * screen[b, 2] + w2 * screen[c, 2]
                    if z < depth[r, column]:
                        depth[r, column] = z
                        for k in range(3):
                            value = w0 * colours[a, k] + w1 * colours[b, k] + w2 * colours[c, k]
                            image[r, column, k] = np.uint8(np.float32(255.0) * value)


@_compile
def _affine_barycentrics(
    triangles: Triangles, screen: Float, out_triangle: NDArray[np.int32], out_weights: Float, depth: Float
) -> None:
    height, width = depth.shape
    zero = np.float32(0.0)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        first, last, top, bottom = _box(screen, a, b, c, height, width)
        for r in range(top, bottom + 1):
            for column in range(first, last + 1):
                w0, w1, w2 = _weights(screen, a, b, c, np.float32(column), np.float32(r))
                if w0 >= zero and w1 >= zero and w2 > zero:
                    z = w0 * screen[a, 2] + w1 * screen[b, 2] + w2 * screen[c, 2]
                    if z < depth[r, column]:
                        depth[r, column] = z
                        out_triangle[r, column] = t
                        out_weights[r, column, 0] = w0
                        out_weights[r, column, 1] = w1
                        out_weights[r, column, 2] = w2
