"""Part swaps: from identity coefficients to part codes, and from mixed codes to offsets of a face's vertices."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.composition.checkpoint import Composition
from facegen.composition.followers import Followers
from facegen.composition.skin import Skin
from facegen.morphable.model import MorphableModel
from facegen.places import in_places

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

Transfer = Literal["difference", "decode"]

BLOCK = 16
"""Faces that go through the network at once."""


class Composer:
    """Swaps parts of one model's faces by one network.

    Each method takes the numbers (B,) of its rows, which decide where a row stands in the products of matrices: rows of
    equal number and values have equal answers, to the bit, whatever the batch.
    """

    def __init__(self, model: MorphableModel, composition: Composition, device: str = "cpu") -> None:
        """Prepare for use.

        Args:
            model: whose faces.
            composition: a network for the model's skin, with a local weight for each of its parts.
            device: torch device of the network. Each gives bytes of its own.

        Raises:
            ModelError: the model has not 68 landmarks on its skin, or a bust that does not hang on it.
        """
        if composition.network.parts != len(composition.parts.names):
            raise ValueError(
                f"a network of {composition.network.parts} parts for {len(composition.parts.names)} names of parts"
            )
        self.parts = composition.parts.names
        """(K,) names."""
        self.skin = Skin.of(model)
        self.vertex_count = model.topology.vertex_count
        """V."""
        self._network = composition.network.to(device).eval()
        self._scale = float(composition.network.scale)
        self._device = device
        count = len(model.identity_basis)
        # Clones lie where torch wants them in memory: on that, too, the last bits of a product may depend.
        self._mean = torch.from_numpy(model.mean.reshape(-1)).clone()
        self._basis = torch.from_numpy(model.identity_basis.reshape(count, -1)).clone()
        self._skin_basis = torch.from_numpy(model.identity_basis[:, self.skin.vertices].reshape(count, -1)).clone()
        self._followers = Followers(model, self.skin)

    def codes(self, identity: Float, numbers: Ints) -> Float:
        """Part codes (B, K, Z) of neutral faces with coefficients (B, Ki)."""
        return in_places(self._codes, identity, numbers, block=BLOCK)

    def decoded(self, codes: Float, numbers: Ints) -> Float:
        """Displacements (B, n, 3) mm of the skin from the mean face, of part codes (B, K, Z)."""
        return in_places(self._decoded, codes, numbers, block=BLOCK)

    def displacements(self, identity: Float, numbers: Ints) -> Float:
        """Displacements (B, n, 3) mm of the skin from the mean face, as the model has them."""
        return in_places(lambda values, _: self._displaced(values).numpy(), identity, numbers, block=BLOCK)

    def skin_offsets(
        self, identity: Float, own: Float, swapped: Float, numbers: Ints, transfer: Transfer = "difference"
    ) -> Float:
        """Offsets (B, n, 3) mm of the skin that swap parts.

        Args:
            identity: (B, Ki) of the faces.
            own: (B, K, Z) their part codes.
            swapped: (B, K, Z) the codes that they shall have.
            numbers: (B,).
            transfer: ``difference`` adds what the network changes between the two codes, and keeps of a face all that
                codes do not hold: equal codes give exactly 0. ``decode`` replaces the face by what the network decodes.
        """
        made = self.decoded(swapped, numbers)
        before = self.decoded(own, numbers) if transfer == "difference" else self.displacements(identity, numbers)
        return made - before

    def offsets(self, identity: Float, skin: Float, numbers: Ints) -> Float:
        """Offsets (B, V, 3) mm of all vertices: eyes, teeth, lashes and shoulders follow the skin.

        Args:
            identity: (B, Ki) of the faces, finite.
            skin: (B, n, 3) mm. A row that is not finite has offsets that are not.
            numbers: (B,).
        """
        neutral = in_places(self._neutral, identity, numbers, block=BLOCK)
        found = np.full_like(neutral, np.nan)
        for row, moved in enumerate(skin):
            if np.isfinite(moved).all() and np.isfinite(neutral[row]).all():
                found[row] = self._followers.offset(neutral[row], moved)
        return found

    def _codes(self, identity: Float, _: Ints) -> Float:
        displaced = self._displaced(identity).transpose(0, 1).contiguous().to(self._device) / self._scale
        with torch.inference_mode():
            codes: Float = self._network.project(self._network.encode(displaced)).cpu().numpy()
        return codes

    def _decoded(self, codes: Float, _: Ints) -> Float:
        with torch.inference_mode():
            made = self._network.decode(torch.from_numpy(codes).clone().to(self._device)) * self._scale
            displaced: Float = made.transpose(0, 1).contiguous().cpu().numpy()
        return displaced

    def _displaced(self, identity: Float) -> torch.Tensor:
        """(B, n, 3) mm."""
        flat = torch.from_numpy(identity).clone() @ self._skin_basis
        return flat.view(len(identity), -1, 3)

    def _neutral(self, identity: Float, _: Ints) -> Float:
        """(B, V, 3) mm."""
        shape: Float = torch.addmm(self._mean, torch.from_numpy(identity).clone(), self._basis).numpy()
        return shape.reshape(len(identity), -1, 3)
