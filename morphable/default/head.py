"""A whole head from control points: skin, and everything that is attached to it."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from facegen.morphable.default.eyes import EyeballPart
from facegen.morphable.default.half import MIRRORED, HalfHead, HalfPose, Part
from facegen.morphable.default.identity import eyeball_motion
from facegen.morphable.default.jaw import jaw_motion
from facegen.morphable.default.lashes import Lashes
from facegen.morphable.default.levels import Level
from facegen.morphable.default.mouth import MouthFrame
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.default.pockets import LidPocket, MouthPocket, NostrilPocket
from facegen.morphable.default.teeth import Teeth
from facegen.morphable.default.tongue import Tongue
from facegen.morphable.model import Eyeball

Float = NDArray[np.float64]
Ints = NDArray[np.int64]


class HeadAssembly:
    """The neutral mean head, and what displacements of its control points do to all its vertices."""

    def __init__(self, level: Level, network: ControlNetwork, points: Float, skin: Ints, operator: Float) -> None:
        """Place every part.

        Args:
            level: the default level, with N vertices.
            network: n control points on the left.
            points: (n, 3) the mean head's control points, mm.
            skin: (S,) vertices of the level that are skin.
            operator: (S, 2n) from control points to skin, see :func:`.solve.skin_operator`.
        """
        self._level, self._network = level, network
        self._skin, self._operator = skin, operator
        positions = np.full((level.count, 3), np.nan)
        positions[skin] = operator @ network.mirrored(points)
        self._eyeball_motion = eyeball_motion(network)
        centre = network.eyeball.centre + self._move_eyeball(points - network.points)
        half = HalfHead(level, positions, centre)
        self._eyeball = EyeballPart(half, network.eyeball)
        self._centre = centre
        frame = MouthFrame(half)
        self._parts: tuple[Part, ...] = (
            self._eyeball,
            LidPocket(half, network.eyeball),
            NostrilPocket(half),
            MouthPocket(half, frame),
            Teeth(half, frame, "upper_teeth"),
            Teeth(half, frame, "lower_teeth"),
            Tongue(half, frame),
            Lashes(half, "upper_lashes"),
            Lashes(half, "lower_lashes"),
        )
        self._vertices: Ints = np.concatenate([part.vertices for part in self._parts])
        self._mean = self._on_both_sides(*[np.concatenate([part.rest for part in self._parts])] * 2)
        self._mean[skin] = positions[skin]

    def mean(self) -> Float:
        """(N, 3) the neutral mean head, mm."""
        return self._mean.copy()

    def identity(self, left: Float, right: Float) -> Float:
        """What displacements of the control points do to all vertices of the neutral head; linear.

        Args:
            left: (…, n, 3) of the left half, mm.
            right: (…, n, 3) of the right half, given as if it were on the left.

        Returns:
            (…, N, 3) mm.
        """
        both = np.concatenate([left, right * MIRRORED], axis=-2)
        moved: Float = self._identity_operator @ both
        moved += self._eye_share[:, :1] * self._move_eyeball(left)[..., None, :]
        moved += self._eye_share[:, 1:] * (self._move_eyeball(right) * MIRRORED)[..., None, :]
        return moved

    def expression(self, name: str, left: Float, right: Float) -> Float:
        """What an expression at weight 1 does to all vertices of the mean head.

        Args:
            name: of the ARKit shape.
            left, right: (n, 3) displacements of the control points as in :meth:`identity`.

        Returns:
            (N, 3) mm. Parts that turn are exact at weight 1.
        """
        skin = np.zeros((self._level.count, 3))
        skin[self._skin] = self._operator @ self._network.mirrored(left, right)
        side = re.fullmatch(r"(.*?)(Left|Right)", name)
        # jawLeft and mouthLeft name a direction, not a side.
        own = side if side and not name.startswith(("jaw", "mouthLeft", "mouthRight")) else None
        motion = jaw_motion(name)

        def jaw(points: Float) -> Float:
            if motion is None:
                return np.zeros_like(points)
            moved: Float = motion.displacement(points)
            return moved

        def jaw_mirrored(points: Float) -> Float:
            moved: Float = jaw(points * MIRRORED) * MIRRORED
            return moved

        answers = []
        for suffix, displacement, mandible in (
            ("Left", skin, jaw),
            ("Right", skin[self._level.mirror] * MIRRORED, jaw_mirrored),
        ):
            stem = name if own is None else own[1] if own[2] == suffix else ""
            pose = HalfPose(stem, displacement, mandible)
            answers.append(np.concatenate([part.respond(pose) for part in self._parts]))
        moved = self._on_both_sides(*answers)
        moved[self._skin] = skin[self._skin]
        return moved

    def eyeballs(self) -> tuple[Eyeball, Eyeball]:
        """The left and the right eyeball."""
        shape = self._network.eyeball
        left = self._eyeball.vertices
        made = []
        for vertices, sign in ((left, np.ones(3)), (self._level.mirror[left], MIRRORED)):
            made.append(
                Eyeball(
                    vertices=vertices.astype(np.int32),
                    centre=(self._centre * sign).astype(np.float32),
                    direction=(self._eyeball.direction * sign).astype(np.float32),
                    iris_angle=float(np.arcsin(shape.iris_radius / shape.radius)),
                )
            )
        return made[0], made[1]

    def _move_eyeball(self, left: Float) -> Float:
        """(…, 3) of displacements (…, n, 3)."""
        moved: Float = np.einsum("anb,...nb->...a", self._eyeball_motion, left)
        return moved

    def _on_both_sides(self, left: Float, right: Float) -> Float:
        """(N, 3) of what is not skin from (k, 3) of either half's; both agree on the midline, or are averaged there."""
        other = self._level.mirror[self._vertices]
        on_midline = (other == self._vertices)[:, None]
        mirrored = right * MIRRORED
        middle = (left + mirrored) / 2
        result = np.zeros((self._level.count, 3))
        result[other] = mirrored
        result[self._vertices] = np.where(on_midline, middle, left)
        return result

    @cached_property
    def _shares(self) -> tuple[scipy.sparse.csr_array, Float]:
        """(N, N) weights of skin vertices, and (N, 2) of the eyeballs, in the displacement of each vertex."""
        level, count = self._level, self._level.count
        own = scipy.sparse.vstack([part.skin_share for part in self._parts]).tocoo()
        rows, columns = self._vertices[own.row], own.col
        other = level.mirror
        # A vertex on the midline gets half from either side.
        weight = np.where(other[rows] == rows, 0.5, 1.0) * own.data
        entries = np.concatenate([weight, weight, np.ones(len(self._skin))])
        at = np.concatenate([rows, other[rows], self._skin]), np.concatenate([columns, other[columns], self._skin])
        eyes = np.zeros((count, 2))
        share = np.concatenate([part.eye_share for part in self._parts])
        eyes[self._vertices, 0] = share
        eyes[other[self._vertices], 1] = share
        return scipy.sparse.coo_array((entries, at), shape=(count, count)).tocsr(), eyes

    @cached_property
    def _identity_operator(self) -> Float:
        """(N, 2n) from displacements of control points to all vertices, but for the eyeballs' own motion."""
        full = np.zeros((self._level.count, self._operator.shape[1]))
        full[self._skin] = self._operator
        everything: Float = self._shares[0] @ full
        return everything

    @property
    def _eye_share(self) -> Float:
        return self._shares[1]
