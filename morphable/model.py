"""The morphable model: mean, bases, topology, and the decoding of coefficients to vertices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.morphable.albedo import Albedo
from facegen.morphable.anthropometry import Anthropometry
from facegen.morphable.population import Population
from facegen.morphable.relief import Relief
from facegen.morphable.topology import Topology

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Eyeball:
    """One eyeball, which turns with the gaze and whose iris is painted by the renderer."""

    vertices: NDArray[np.int32]
    """(n,) indices of its vertices."""
    centre: Float
    """(3,) centre of rotation in the mean face, mm; it moves with the mean displacement of the vertices."""
    direction: Float
    """(n, 3) unit vectors from the centre to each vertex in the mean face, in the eye's frame: +z the optical axis."""
    iris_angle: float
    """Angle from the optical axis to the limbus, seen from the centre; radians."""
    turned_by: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Indices of the expressions that turn it. A gaze that is given takes their place."""


@dataclass(frozen=True)
class AllOrNothing:
    """An expression of blendshape weights that a face shows whole or not at all, and only where others make room.

    Blendshapes are linear: halfway to its place in front of the lips, a tongue is in teeth and chin.
    """

    name: str
    room: tuple[tuple[str, float], ...]
    """Expressions and what a weight of 1 adds to the room there is, or takes from it."""
    needed: float
    """Least room in which it is shown."""


@dataclass(frozen=True)
class MorphableModel:
    """A linear model of face shape and albedo with V vertices. All arrays are read, never written.

    ``vertices = mean + Σ identity_k · identity_basis_k + Σ expression_j · expression_basis_j``
    """

    name: str
    sha256: str
    """Digest of what the model was read from and of how it was cut: two models of equal digest are the same."""
    topology: Topology
    mean: Float
    """(V, 3) mm."""
    identity_basis: Float
    """(Ki, V, 3) mm per σ."""
    identity_names: tuple[str, ...]
    expression_basis: Float
    """(Ke, V, 3) mm per σ, or at weight 1 for blendshapes."""
    expression_names: tuple[str, ...]
    expression_bounds: tuple[float, float]
    """(0, 1) for blendshape weights, (-inf, inf) for coefficients in σ."""
    expression_limits: tuple[tuple[str, str], ...]
    """Pairs (a, b) of expressions that only make sense with weight a ≤ weight b."""
    albedo: Albedo
    """Colours of the V vertices, or a texture."""
    eyes: tuple[Eyeball, ...] = ()
    """(left, right), or none."""
    vertex_masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Named sets of vertices, (V,) each."""
    relief: Relief | None = None
    """Detail finer than the mesh, in texture space."""
    occlusion: Float | None = None
    """(V,) share of the sky that a vertex sees, 0 … 1; ``None`` where it has to be computed."""
    anthropometry: Anthropometry | None = None
    """How its heads are measured, and the published means that they reproduce."""
    population: Population | None = None
    """The joint law of its people, where the model has one."""
    expression_switches: tuple[AllOrNothing, ...] = ()
    """Expressions that are shown whole or not at all."""
    source_sha256: str = ""
    """Digest of what the model was read from, the same however it was cut: of equal digest and names, coefficients mean
    the same."""

    @cached_property
    def pivot(self) -> Float:
        """(3,) mm: the point about which the head turns and which cameras face, midway between the jaw's upper ends."""
        ends: Float = self.mean[self.topology.landmarks[[0, 16]]].mean(axis=0)
        return ends

    def decode(
        self,
        identity: Float,
        expression: Float,
        gaze: Float | None = None,
        device: str = "cpu",
        *,
        offset: Float | None = None,
    ) -> Float:
        """Vertices (B, V, 3) in mm, model frame, of B coefficient vectors.

        Args:
            identity: (B, Ki) in σ.
            expression: (B, Ke).
            gaze: (B, 2, 2) yaw and pitch of the (left, right) eyeball, radians; ``None`` looks where the expression
                turns the eyes, or straight ahead where no expression does.
            device: torch device that carries out the product.
            offset: (B, V, 3) mm that the neutral face is beyond its coefficients; eyeballs turn where it puts them.

        Returns:
            One matrix product of shape (B, Ki + Ke) × (Ki + Ke, 3V) in float32. A row's last bits may depend on B and
            on its place in the batch, because BLAS blocks by shape; ``facegen.stages.render`` keeps both fixed.
        """
        mean, basis = self._shape_tensors(device)
        coefficients = torch.from_numpy(np.concatenate([identity, expression], axis=1)).to(device)
        flat = torch.addmm(mean, coefficients, basis)
        vertices: Float = flat.cpu().numpy().reshape(len(identity), self.topology.vertex_count, 3)
        if offset is not None:
            vertices += offset
        if gaze is not None:
            for side, eye in enumerate(self.eyes):
                if len(eye.turned_by):
                    turned = self.expression_basis[np.ix_(eye.turned_by, eye.vertices)]
                    # einsum sums in one order, so a face does not depend on its batch.
                    vertices[:, eye.vertices] -= np.einsum("bk,kvi->bvi", expression[:, eye.turned_by], turned)
                _turn(vertices, self.mean, eye, gaze[:, side])
        return vertices

    @property
    def albedo_names(self) -> tuple[str, ...]:
        """Of the Ka albedo coefficients."""
        return self.albedo.names

    def decode_albedo(self, albedo: Float, device: str = "cpu") -> Float:
        """Linear RGB reflectance (B, V, 3), clipped to [0.01, 0.95], of coefficients (B, Ka) in σ."""
        return self.albedo.decode(albedo, device)

    @cached_property
    def _on_device(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return {}

    def _shape_tensors(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        if device not in self._on_device:
            bases = [basis.reshape(len(basis), -1) for basis in (self.identity_basis, self.expression_basis)]
            self._on_device[device] = (
                torch.from_numpy(self.mean.reshape(-1)).to(device),
                torch.from_numpy(np.concatenate(bases)).to(device),
            )
        return self._on_device[device]


def _turn(vertices: Float, mean: Float, eye: Eyeball, gaze: Float) -> None:
    """Turn an eyeball in place: yaw about +y, then pitch about the turned x axis; ``gaze`` is (B, 2)."""
    yaw, pitch = gaze[:, 0].astype(np.float64), gaze[:, 1].astype(np.float64)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    zero = np.zeros_like(yaw)
    # Columns are the images of the axes: z turns to (sin yaw cos pitch, sin pitch, cos yaw cos pitch).
    rotation = np.stack(
        [
            np.stack([cy, -sy * sp, sy * cp], axis=1),
            np.stack([zero, cp, sp], axis=1),
            np.stack([-sy, -cy * sp, cy * cp], axis=1),
        ],
        axis=1,
    )
    part = vertices[:, eye.vertices].astype(np.float64)
    centre = eye.centre + (part - mean[eye.vertices]).mean(axis=1, keepdims=True)
    # einsum of fixed length 3 sums in one order, so a face does not depend on its batch.
    turned = np.einsum("bij,bvj->bvi", rotation, part - centre) + centre
    vertices[:, eye.vertices] = turned.astype(np.float32)
