"""Barycentric coordinates of what is seen at the pixel centres: the second half of the visibility buffer."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.imaging.camera import NEAR
from facegen.morphable.topology import Triangles

UNIT = 65535
"""The integer that stands for a barycentric weight of 1."""

# No fast arithmetic is said, because numba hands a caller's down to functions that say nothing: the bits of a label
# would depend on who had it compiled first.
_compile = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", fastmath=False)
_inline = numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", forceinline=True, fastmath=False)


Point = tuple[float, float, float]


@_inline
def point(array: NDArray[np.float32], row: int) -> Point:
    """Row of an (N, 3) array in float64."""
    return np.float64(array[row, 0]), np.float64(array[row, 1]), np.float64(array[row, 2])


@_compile
def _on_edge(p: Point, q: Point, u: float, v: float, perspective: bool) -> tuple[float, float]:
    """Weight of q where the edge (p, q) is seen nearest to (u, v), and the squared distance there."""
    first, last = 0.0, 1.0
    if perspective and min(p[2], q[2]) < NEAR:
        # Only what lies in front of the near plane is seen.
        if max(p[2], q[2]) <= NEAR:
            return 0.0, np.inf
        crossing = (NEAR - p[2]) / (q[2] - p[2])
        if p[2] < NEAR:
            first = crossing
        else:
            last = crossing
    ax, ay, az = p[0] + first * (q[0] - p[0]), p[1] + first * (q[1] - p[1]), p[2] + first * (q[2] - p[2])
    bx, by, bz = p[0] + last * (q[0] - p[0]), p[1] + last * (q[1] - p[1]), p[2] + last * (q[2] - p[2])
    if not perspective:
        az, bz = 1.0, 1.0
    ax, ay, bx, by = ax / az, ay / az, bx / bz, by / bz
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    s = ((u - ax) * dx + (v - ay) * dy) / length if length > 0.0 else 0.0
    s = min(max(s, 0.0), 1.0)
    ex, ey = ax + s * dx - u, ay + s * dy - v
    # From linear on the screen to linear in space.
    along = s * az / (s * az + (1.0 - s) * bz)
    return first + along * (last - first), ex * ex + ey * ey


@_compile
def weights_on_outline(a: Point, b: Point, c: Point, u: float, v: float, perspective: bool) -> tuple[float, float]:
    """Weights of corners b and c where the triangle's outline is seen nearest to (u, v)."""
    ab, to_ab = _on_edge(a, b, u, v, perspective)
    ac, to_ac = _on_edge(a, c, u, v, perspective)
    bc, to_bc = _on_edge(b, c, u, v, perspective)
    if to_ab <= to_ac and to_ab <= to_bc:
        return ab, 0.0
    if to_ac <= to_bc:
        return 0.0, ac
    return 1.0 - bc, bc


# Scalars and tuples only: a compiled function that takes arrays counts references, at the price of its arithmetic.
@_inline
def weights_on_plane(a: Point, b: Point, c: Point, u: float, v: float, perspective: bool) -> tuple[float, float]:
    """As :func:`weights_on_ray`, but on the triangle's plane, beyond its edges as well.

    Möller & Trumbore 1997 in float64, without branches, so that loops over pixels become vector code. A triangle seen
    edge-on, which has no such weights, gives (-1, 0).
    """
    e1x, e1y, e1z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    e2x, e2y, e2z = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    if perspective:
        px, py, pz = v * e2z - e2y, e2x - u * e2z, u * e2y - v * e2x
        sx, sy, sz = -a[0], -a[1], -a[2]
        qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
        w1 = sx * px + sy * py + sz * pz
        w2 = u * qx + v * qy + qz
    else:
        px, py, pz = -e2y, e2x, 0.0
        sx, sy = u - a[0], v - a[1]
        w1 = sx * px + sy * py
        w2 = sx * e1y - sy * e1x
    determinant = e1x * px + e1y * py + e1z * pz
    edge_on = determinant == 0.0
    inverse = 1.0 / (1.0 if edge_on else determinant)
    return (-1.0 if edge_on else w1 * inverse), (0.0 if edge_on else w2 * inverse)


@_inline
def inside(w1: float, w2: float) -> bool:
    """Whether weights are those of a point of the triangle."""
    return w1 >= 0.0 and w2 >= 0.0 and w1 + w2 <= 1.0


@_inline
def weights_on_ray(a: Point, b: Point, c: Point, u: float, v: float, perspective: bool) -> tuple[float, float]:
    """Weights of corners b and c where a pixel's ray meets the triangle (a, b, c), camera frame.

    Snapping may move an edge by 1/512 pixel, so the ray of a pixel may pass its triangle by; it then takes the point of
    the outline that is seen nearest. The weights are those in space, hence perspective-correct.

    Args:
        a, b, c: corners, mm.
        u, v: the ray. Perspective: it runs from the origin along (u, v, 1). Otherwise from (u, v, 0) along z.
        perspective: which of the two.
    """
    w1, w2 = weights_on_plane(a, b, c, u, v, perspective)
    if not inside(w1, w2):
        return weights_on_outline(a, b, c, u, v, perspective)
    return w1, w2


@_inline
def quantise(w1: float, w2: float) -> tuple[int, int]:
    """Weights of corners 1 and 2 as integers of 0 … 65535 whose sum is at most 65535."""
    q1 = int(w1 * UNIT + 0.5)
    q2 = min(int(w2 * UNIT + 0.5), UNIT - q1)
    return q1, q2


@_compile
def barycentric_coordinates(
    triangle_id: NDArray[np.int32],
    triangles: Triangles,
    camera_vertices: NDArray[np.float32],
    intrinsics: NDArray[np.float64],
    projection: int,
) -> NDArray[np.uint16]:
    """Quantised weights (H, W, 2) at the pixel centres, zero where there is no triangle.

    Args:
        triangle_id: (H, W) int32, -1 for the background.
        triangles: (T, 3).
        camera_vertices: (V, 3) camera frame, mm.
        intrinsics: (3, 3).
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
    """
    height, width = triangle_id.shape
    result = np.zeros((height, width, 2), np.uint16)
    across, down = 1.0 / intrinsics[0, 0], 1.0 / intrinsics[1, 1]
    for r in range(height):
        v = (r + 0.5 - intrinsics[1, 2]) * down
        for c in range(width):
            t = triangle_id[r, c]
            if t >= 0:
                w1, w2 = weights_on_ray(
                    point(camera_vertices, triangles[t, 0]),
                    point(camera_vertices, triangles[t, 1]),
                    point(camera_vertices, triangles[t, 2]),
                    (c + 0.5 - intrinsics[0, 2]) * across,
                    v,
                    projection == PERSPECTIVE,
                )
                q1, q2 = quantise(w1, w2)
                result[r, c, 0] = q1
                result[r, c, 1] = q2
    return result
