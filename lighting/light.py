"""Light at a face: spherical harmonics and a few lights that cast shadows.

Frame **level**: millimetres, the origin in the head, +x the viewer's right, +y up, +z towards the viewer: the model's
frame of a head that looks straight into a level camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import luminance
from facegen.lighting.harmonics import basis, even_directions, flipped, fluence, project, rotated, shown

Float64 = NDArray[np.float64]

METRE = 1000.0

_MOST_SEEN, _MOST = 2.5, 3.5
"""Largest luminance of a white surface that the camera sees, and that faces anywhere, relative to the level."""

_DARKEST = 0.1
"""Least level, relative to the mean of the light from all sides: what comes from behind alone stays a silhouette."""


@dataclass(frozen=True)
class Light:
    """What shines on a face. Fields without the first axis of those of :class:`facegen.batch.Samples`."""

    sh: Float64
    """(9, 3) as in :mod:`facegen.lighting.harmonics`."""
    position: Float64
    """(L, 4) homogeneous: (x, y, z, 1) a point in mm, (x, y, z, 0) the unit vector towards a light at infinity."""
    colour: Float64
    """(L, 3) linear RGB: what a white surface that faces it shows of it; for a point light, at 1 m."""
    radius: Float64
    """(L,) of a light at infinity the angular radius, radians; of a point light its sphere's radius, mm."""

    @property
    def count(self) -> int:
        """L."""
        return len(self.radius)

    @property
    def direction(self) -> Float64:
        """(L, 3) unit vectors from the origin towards the lights."""
        return np.asarray(self.position[:, :3] / np.linalg.norm(self.position[:, :3], axis=1, keepdims=True))

    @property
    def at_face(self) -> Float64:
        """(L, 3) what a white surface at the origin that faces a light shows of it."""
        squared = np.where(self.position[:, 3] > 0, (self.position[:, :3] ** 2).sum(axis=1), METRE**2)
        return np.asarray(self.colour * (METRE**2 / squared)[:, None])

    def shown(self, normal: Float64) -> Float64:
        """What a white surface at the origin shows (n, 3), by its unit normal (n, 3); nothing casts shadows."""
        facing = np.maximum(np.einsum("nk,lk->nl", normal, self.direction), 0)
        return np.asarray(shown(self.sh, normal) + np.einsum("nl,lc->nc", facing, self.at_face))

    @property
    def fluence(self) -> Float64:
        """(3,) radiance at the origin integrated over the sphere, lights included."""
        return np.asarray(fluence(self.sh) + np.pi * self.at_face.sum(axis=0))

    def times(self, gain: Float64 | float) -> Light:
        """Light of other brightness, or of other colour where the gain is (3,)."""
        return replace(self, sh=self.sh * gain, colour=self.colour * gain)

    def turned(self, angle: float) -> Light:
        """The light turned about the vertical, radians: what came from straight ahead comes from further right."""
        turn = about_vertical(angle)
        position = self.position.copy()
        position[:, :3] = position[:, :3] @ turn.T
        return replace(self, sh=rotated(self.sh, turn), position=position)

    def strongest(self, count: int) -> Light:
        """The light with ``count`` lights: the strongest at the face, the others as spherical harmonics.

        Where there are fewer, lights of colour 0 fill up.
        """
        if count == self.count:
            return self
        order = np.argsort(-luminance(self.at_face), kind="stable")
        kept, rest = order[:count], order[count:]
        missing = count - len(kept)
        return Light(
            sh=self.sh + project(self.direction[rest], np.pi * self.at_face[rest]),
            position=np.concatenate([self.position[kept], np.tile([0.0, 0.0, 1.0, 0.0], (missing, 1))]),
            colour=np.concatenate([self.colour[kept], np.zeros((missing, 3))]),
            radius=np.concatenate([self.radius[kept], np.zeros(missing)]),
        )

    def in_camera(self, head: Float64) -> Light:
        """The light in the camera frame, whose y is down and z away from the viewer, for a head at ``head`` (3,) mm."""
        position = self.position * np.array([1.0, -1.0, -1.0, 1.0])
        position[:, :3] += head * (position[:, 3:] > 0)
        return replace(self, sh=flipped(self.sh), position=position)

    def _on(self, surface: _Surface) -> Float64:
        """(n, 3) what a white surface at the origin shows, nowhere less than nothing."""
        facing = np.maximum(surface.normal @ self.direction.T, 0)
        return np.maximum(surface.basis @ self.sh + facing @ self.at_face, 0)

    @property
    def level(self) -> float:
        """How bright a white ball at the origin looks to the camera: root of the mean square luminance of its picture.

        Squares, because a face of which one side is in the sun is exposed for that side more than for the other. Where
        light stands out more than cameras allow for, the level is what keeps it within :data:`_MOST_SEEN` and
        :data:`_MOST`.
        """
        seen, anywhere = luminance(self._on(_BALL)), luminance(self._on(_ALL))
        least = _DARKEST * float(luminance(self.fluence)) / (4 * np.pi)
        bounds = float(seen.max()) / _MOST_SEEN, float(anywhere.max()) / _MOST
        return max(float(np.sqrt(np.mean(seen**2))), *bounds, least)

    def exposed(self, level: float, adaptation: float) -> Light:
        """The light as a camera records it: exposed and with its white balance set for what it sees.

        Args:
            level: :attr:`level` that the result has.
            adaptation: share of the ball's cast that the camera removes, by gains of linear red, green and blue: 0 for
                none, 1 for a ball whose picture is neutral on the whole; between them the gains are powers.
        """
        mean = np.maximum(self._on(_BALL).mean(axis=0), 1e-9 * self.fluence.max())
        adapted = self.times((luminance(mean) / mean) ** adaptation)
        return adapted.times(level / adapted.level)


def about_vertical(angle: float) -> Float64:
    """The rotation (3, 3) about +y that takes +z to (sin, 0, cos) of ``angle``, radians."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


@dataclass(frozen=True)
class _Surface:
    """Unit normals (n, 3) of a surface, and the harmonics there (n, 9)."""

    normal: Float64
    basis: Float64


def _ball() -> Float64:
    """Normals (n, 3) at even points of the picture of a ball seen from +z."""
    lattice = even_directions(128)
    # Height above the picture's plane is even on a sphere, its square in a disc: equal areas of the disc.
    angle, along = np.arctan2(lattice[:, 0], lattice[:, 2]), (1 + lattice[:, 1]) / 2
    across = np.sqrt(along)
    return np.stack([across * np.sin(angle), across * np.cos(angle), np.sqrt(1 - along)], axis=1)


_BALL, _ALL = (_Surface(normal, basis(normal)) for normal in (_ball(), even_directions(64)))
