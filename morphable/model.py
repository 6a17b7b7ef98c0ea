"""The morphable model: mean, bases, topology, and the decoding of coefficients to vertices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

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
    albedo_mean: Float
    """(V, 3) linear RGB reflectance."""
    albedo_basis: Float
    """(Ka, V, 3) linear RGB per σ."""
    albedo_names: tuple[str, ...]
    eyes: tuple[Eyeball, ...] = ()
    """(left, right), or none."""
    vertex_masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Named sets of vertices, (V,) each."""

    @cached_property
    def pivot(self) -> Float:
        """(3,) mm: the point about which the head turns and which cameras face, midway between the jaw's upper ends."""
        ends: Float = self.mean[self.topology.landmarks[[0, 16]]].mean(axis=0)
        return ends

    def decode(self, identity: Float, expression: Float, gaze: Float | None = None, device: str = "cpu") -> Float:
        """Vertices (B, V, 3) in mm, model frame, of B coefficient vectors.

        Args:
            identity: (B, Ki) in σ.
            expression: (B, Ke).
            gaze: (B, 2, 2) yaw and pitch of the (left, right) eyeball, radians; ``None`` looks straight ahead.
            device: torch device that carries out the product.

        Returns:
            One matrix product of shape (B, Ki + Ke) × (Ki + Ke, 3V) in float32. A row's last bits may depend on B and
            on its place in the batch, because BLAS blocks by shape; ``facegen.stages.render`` keeps both fixed.
        """
        mean, basis = self._shape_tensors(device)
        coefficients = torch.from_numpy(np.concatenate([identity, expression], axis=1)).to(device)
        flat = torch.addmm(mean, coefficients, basis)
        vertices: Float = flat.cpu().numpy().reshape(len(identity), self.topology.vertex_count, 3)
        if gaze is not None:
            for side, eye in enumerate(self.eyes):
                _turn(vertices, self.mean, eye, gaze[:, side])
        return vertices

    def decode_albedo(self, albedo: Float, device: str = "cpu") -> Float:
        """Linear RGB reflectance (B, V, 3), clipped to [0.01, 0.95], of coefficients (B, Ka) in σ."""
        mean, basis = self._albedo_tensors(device)
        flat = torch.addmm(mean, torch.from_numpy(albedo).to(device), basis).clamp_(0.01, 0.95)
        colours: Float = flat.cpu().numpy().reshape(len(albedo), self.topology.vertex_count, 3)
        return colours

    @cached_property
    def _on_device(self) -> dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]:
        return {}

    def _shape_tensors(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tensors("shape", device, self.mean, [self.identity_basis, self.expression_basis])

    def _albedo_tensors(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._tensors("albedo", device, self.albedo_mean, [self.albedo_basis])

    def _tensors(self, kind: str, device: str, mean: Float, bases: list[Float]) -> tuple[torch.Tensor, torch.Tensor]:
        if (kind, device) not in self._on_device:
            stacked = np.concatenate([basis.reshape(len(basis), -1) for basis in bases])
            self._on_device[kind, device] = (
                torch.from_numpy(mean.reshape(-1)).to(device),
                torch.from_numpy(stacked).to(device),
            )
        return self._on_device[kind, device]


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
