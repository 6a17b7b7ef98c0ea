"""How much of a light reaches the vertices of meshes: a shadow map, with penumbrae that grow towards what blocks.

For each light the meshes are drawn once as it sees them, by the visibility rule of images: in parallel for a light at
infinity, in perspective for a point light. The map covers what the camera may see and the light reaches. Each such
vertex then looks for blockers in a disc about itself and, from their mean distance, sets the width of the disc over
which it averages what is blocked: percentage-closer soft shadows (Fernando 2005, "Percentage-closer soft shadows"), at
the vertices instead of the pixels.

Samples are compared with the plane that touches the surface, so that a surface does not shadow itself. A comparison is
interpolated between the four samples around it (Reeves et al. 1987, "Rendering antialiased shadows with depth maps"),
so that shadows change smoothly with the place. The disc is never smaller than what the mesh can show: where vertices
lie far apart, sharper shadows would depend on where they happen to lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import to_camera
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import Rasteriser, depths
from facegen.imaging.shadow_lookup import (
    DISC_TAPS,
    LANE_ROWS,
    LANES,
    PLACE_ROWS,
    SEARCH_TAPS,
    SIZE,
    WIDEST,
    look,
    widen,
)
from facegen.morphable.topology import Triangles

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

FARTHEST = 1e5
"""mm: a point light that is farther away counts as at infinity, where float32 tells depths apart."""

_MARGIN = 2.0
"""Samples between what looks into the map and its border."""

_BEFORE = 100.0
"""mm from the map's plane to what is nearest to it: in front of all that would be clipped."""

_WIDE = 1.4
"""Largest angular radius, radians."""


@dataclass(frozen=True)
class Body:
    """A mesh that casts shadows and shows them."""

    mesh: CameraMesh
    spacing: Float
    """(V,) mm: mean length of the edges at the vertices, see :func:`edge_lengths`."""
    seen: Mask
    """(V,) which vertices are looked at, see :func:`facegen.imaging.in_view.may_be_seen`; light on the others has no
    meaning."""
    casts: bool = True
    """False for what lets light through."""


@numba.njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def edge_lengths(vertices: Float, triangles: Triangles) -> Float:
    """(V,) mean length of the edges at each vertex, 0 at vertices of no triangle.

    Args:
        vertices: (V, 3).
        triangles: (T, 3).
    """
    total, count = np.zeros(len(vertices), np.float64), np.zeros(len(vertices), np.float64)
    for t in range(len(triangles)):
        for k in range(3):
            a, b = triangles[t, k], triangles[t, (k + 1) % 3]
            x, y, z = vertices[a, 0] - vertices[b, 0], vertices[a, 1] - vertices[b, 1], vertices[a, 2] - vertices[b, 2]
            length = math.sqrt(x * x + y * y + z * z)
            total[a] += length
            total[b] += length
            count[a] += 1.0
            count[b] += 1.0
    result = np.zeros(len(vertices), np.float32)
    for i in range(len(vertices)):
        if count[i] > 0.0:
            result[i] = total[i] / count[i]
    return result


class ShadowCaster:
    """Finds what lights reach of a face, and of things beside it; owns the arrays that this takes for the face."""

    def __init__(self, triangles: Triangles, vertex_count: int) -> None:
        """Prepare for faces of one topology.

        Args:
            triangles: (T, 3) of all faces.
            vertex_count: their number of vertices.
        """
        self._rasteriser = Rasteriser(triangles, vertex_count, SIZE, SIZE, centres_only=True)
        self._triangle = np.empty((SIZE, SIZE), np.int32)
        self._depth = np.empty((SIZE, SIZE), np.float32)
        self._lanes = np.zeros(LANE_ROWS * LANES, np.float32)
        self._places = np.zeros(PLACE_ROWS * LANES, np.int32)

    def reached(
        self, position: Float, colour: Float, radius: Float, face: Body, things: Sequence[Body] = ()
    ) -> list[Float]:
        """What part of each of M lights reaches the vertices of the face and of each thing: (M, V) each, 0 … 1.

        A light casts no shadows, and reaches everything, where it is so near that what it shines on does not fit into
        its map (:data:`WIDEST`); and where a coordinate is not finite, because no camera sees such a mesh.

        Args:
            position: (M, 4) camera frame: of a point light x, y, z in mm and 1; of one at infinity the unit vector
                towards it and 0.
            colour: (M, 3) of the lights. One of colour 0 reaches everything, at no cost.
            radius: (M,) of a point light, mm; of one at infinity its angular radius, radians.
            face: of the topology that this was made for.
            things: other meshes. The backs of their triangles cast shadows too.
        """
        bodies = [face, *things]
        result = [np.ones((len(position), len(body.mesh.vertices)), np.float32) for body in bodies]
        for number in range(len(position)):
            if colour[number].any():
                shares = [rows[number] for rows in result]
                self._look(np.asarray(position[number], np.float64), float(radius[number]), bodies, shares)
        return result

    def _look(self, position: Float64, radius: float, bodies: list[Body], out: list[Float]) -> None:
        """Write what one light reaches of the vertices (V,) of each body."""
        light = _light(position, radius, bodies)
        if light is None:
            return
        points = [to_camera(body.mesh.vertices, light.frame) for body in bodies]
        nearest = min(float(own[:, 2].min()) for own in points)
        farthest = max(float(own[:, 2].max()) for own in points)
        if not math.isfinite(farthest - nearest):
            return
        if not light.perspective:
            # Only differences of these depths matter.
            for own in points:
                own[:, 2] += np.float32(_BEFORE - nearest)
        box = np.array([np.inf, np.inf, -np.inf, -np.inf])
        turn, size = light.frame[:3, :3].astype(np.float32), np.float32(light.radius)
        for body, own in zip(bodies, points, strict=True):
            widen(own, body.mesh.normals, body.spacing, body.seen, turn, light.perspective, size, box)
        low, high = box[:2], box[2:]
        if light.perspective and not max(-low.min(), high.max()) <= WIDEST:
            return
        if (low < high).all():
            scale = (SIZE - 2 * _MARGIN) / float((high - low).max())
            centre = SIZE / 2 - scale * (low + high) / 2
            self._draw(bodies, points, scale, centre, light.perspective)
        else:
            # Nothing faces the light.
            scale, centre = 1.0, np.zeros(2)
            self._depth.fill(np.inf)
        middle = centre.astype(np.float32)
        for body, own, shares in zip(bodies, points, out, strict=True):
            look(
                own, body.mesh.normals, body.spacing, body.seen, turn, light.perspective, size, np.float32(scale),
                middle, self._depth, SEARCH_TAPS, DISC_TAPS, self._lanes, self._places, shares,
            )  # fmt: skip

    def _draw(self, bodies: list[Body], points: list[Float], scale: float, centre: Float64, perspective: bool) -> None:
        """Write the depths of what is nearest to a light: along the light's z, infinite where there is nothing.

        Args:
            bodies: the face, then things.
            points: (V, 3) of each, in the light's frame.
            scale, centre: samples per mm or unit tangent, and (2,) where the light's axis meets the map.
            perspective: whether it is a point light.
        """
        intrinsics = np.diag([scale, scale, 1.0])
        intrinsics[:2, 2] = centre
        if bodies[0].casts:
            self._depths_of(self._rasteriser, points[0], intrinsics, perspective, self._depth)
        else:
            self._depth.fill(np.inf)
        casting = [number for number in range(1, len(bodies)) if bodies[number].casts]
        if casting:
            first, triangles = 0, []
            for number in casting:
                own = bodies[number].mesh.triangles.view(np.uint32) + np.uint32(first)
                # From both sides, for things may be open.
                triangles += [own, own[:, ::-1]]
                first += len(points[number])
            depth = np.empty((SIZE, SIZE), np.float32)
            rasteriser = Rasteriser(np.concatenate(triangles), first, SIZE, SIZE)
            joined = np.concatenate([points[number] for number in casting])
            self._depths_of(rasteriser, joined, intrinsics, perspective, depth)
            np.minimum(self._depth, depth, out=self._depth)

    def _depths_of(
        self, rasteriser: Rasteriser, points: Float, intrinsics: Float64, perspective: bool, out: Float
    ) -> None:
        rasteriser.load(points, intrinsics, PERSPECTIVE if perspective else SCALED_ORTHOGRAPHIC)
        rasteriser.fill(self._triangle, out, supersampled=False)
        depths(out, perspective, points[:, 2].max())


@dataclass(frozen=True)
class _Light:
    """A light, and the frame that its map is drawn in."""

    perspective: bool
    frame: Float64
    """(4, 4) from the camera's frame, z away from the light; the origin in a point light."""
    radius: float
    """mm of a point light, tangent of the angular radius of one at infinity."""


def _light(position: Float64, radius: float, bodies: list[Body]) -> _Light | None:
    """How a light looks at what is seen of the bodies; ``None`` if nothing is, or a point light is in its middle."""
    x, y, z, perspective = (float(value) for value in position)
    if perspective:
        seen = [body.mesh.vertices[body.seen] for body in bodies]
        count = sum(map(len, seen))
        if not count:
            return None
        middle = sum(own.sum(axis=0, dtype=np.float64) for own in seen) / count
        x, y, z = x - middle[0], y - middle[1], z - middle[2]
    distance = math.sqrt(x * x + y * y + z * z)
    if not distance:
        return None
    x, y, z = x / distance, y / distance, z / distance
    # Any vector across the light's: the cross product with the y or x axis.
    across = (z, 0.0, -x) if abs(y) < 0.9 else (0.0, -z, y)
    length = math.sqrt(across[0] ** 2 + across[1] ** 2 + across[2] ** 2)
    a, b, c = across[0] / length, across[1] / length, across[2] / length
    frame = np.array([[a, b, c, 0], [b * z - c * y, c * x - a * z, a * y - b * x, 0], [-x, -y, -z, 0], [0, 0, 0, 1.0]])
    if perspective and distance <= FARTHEST:
        frame[:3, 3] = -frame[:3, :3] @ position[:3]
        return _Light(True, frame, radius)
    return _Light(False, frame, radius / distance if perspective else math.tan(min(radius, _WIDE)))
