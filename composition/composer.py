"""Part swaps: from identity coefficients to part codes, and from mixed codes to offsets of a face's vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.composition.checkpoint import Composition
from facegen.composition.fitting import Fitter
from facegen.composition.followers import Followers
from facegen.composition.projection import Projection
from facegen.composition.skin import Skin
from facegen.composition.smoothing import Smoother
from facegen.morphable.model import MorphableModel
from facegen.places import in_places

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

Transfer = Literal["difference", "decode"]

BLOCK = 16
"""Faces that go through the network at once."""

LIMIT = 0.7
"""mm: how far any vertex of a composed face may be from the model's faces, unless told otherwise. Parts of different
people then make possible faces on the embedded model; twice as much lets through some that nobody has."""


SMOOTHING = 500.0
"""Strength of the smoothing of what the model cannot hold of a change: waves shorter than about 22 edges go."""


@dataclass(frozen=True)
class SwapRules:
    """How parts are put on a face."""

    transfer: Transfer = "difference"
    """As :meth:`Composer.skin_offsets` has it."""
    fit: bool = True
    """Whether size, place and pose of parts are fitted to each other (:mod:`~facegen.composition.fitting`)."""
    smooth: bool = True
    """Whether what the model cannot hold of the change is smoothed: a network's answer is rougher than skin."""
    limit: float | None = LIMIT
    """mm: the farthest that any vertex of its skin may be from the face of the model that comes nearest to it. Of a
    swap that leads farther only a share is done, all parts alike; of one that takes all parts of one person always all.
    ``None`` for no limit."""


@dataclass(frozen=True)
class Swap:
    """B faces with parts of others."""

    skin: Float
    """(B, n, 3) mm: offsets of the skin from the faces."""
    kept: Float
    """(B,) share of the swap that was done, 0 … 1."""


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
        self.projection = Projection(model, self.skin)
        """Onto the model's faces."""
        weights = composition.hierarchy.upsampled(composition.parts.weights)
        self._smoother = Smoother(self.skin, SMOOTHING)
        self._fitter = Fitter(self.skin, composition.parts, weights)

    def swap(
        self, identity: Float, sources: Float, alpha: Float, numbers: Ints, rules: SwapRules | None = None
    ) -> Swap:
        """Give faces the parts of others.

        Args:
            identity: (B, Ki) σ of the faces.
            sources: (B, K, Ki) σ of who gives each part; the face itself where a part stays.
            alpha: (B, K) how much of that: 0 keeps the own part, 1 takes the other.
            numbers: (B,).
            rules: how it is done.

        Returns:
            Offsets that are exactly 0 where, by difference, every part is the face's own. A row with a number that is
            not finite has offsets that are not.
        """
        rules = rules or SwapRules()
        # Displacements are linear in the coefficients: a part in between is that of a person in between.
        mixed = (1 - alpha[:, :, None]) * identity[:, None] + alpha[:, :, None] * sources
        # Of oneself, too, whatever the product rounds.
        own = (alpha[:, :, None] == 0) | (sources == identity[:, None])
        mixed = np.where(own, identity[:, None], mixed).astype(np.float32)
        usable = np.flatnonzero(np.isfinite(mixed).all(axis=(1, 2)) & np.isfinite(identity).all(axis=1))
        skin = np.full((len(identity), len(self.skin.vertices), 3), np.nan, np.float32)
        kept = np.ones(len(identity), np.float32)
        if len(usable):
            skin[usable], kept[usable] = self._swapped(identity[usable], mixed[usable], numbers[usable], rules)
        return Swap(skin, kept)

    def _swapped(self, identity: Float, mixed: Float, numbers: Ints, rules: SwapRules) -> tuple[Float, Float]:
        parts = range(mixed.shape[1])
        own = self.codes(identity, numbers)
        swapped = np.stack([self.codes(mixed[:, part], numbers)[:, part] for part in parts], axis=1)
        skin = self.skin_offsets(identity, own, swapped, numbers, rules.transfer)
        if rules.fit:
            shapes = np.stack([self.displacements(mixed[:, part], numbers) for part in parts], axis=1)
            # The network knows faces where people have them: what the fit moves is added to what it makes.
            for row, shape in enumerate(shapes.astype(np.float64)):
                skin[row] += self._fitter.moved(shape).astype(np.float32)
        if rules.smooth:
            held = self.projection.held(skin, numbers)
            for row in np.flatnonzero(skin.any(axis=(1, 2))).tolist():
                rest = skin[row].astype(np.float64) - held[row]
                skin[row] = held[row] + self._smoother.smoothed(rest)
        kept = np.ones(len(skin), np.float32)
        if rules.limit is not None:
            off = self.projection.farthest(skin, numbers)
            # A face whose parts are all of one person is that person, and how far the network is off no reason.
            off[(mixed == mixed[:, :1]).all(axis=(1, 2))] = 0
            with np.errstate(divide="ignore", invalid="ignore"):
                kept = np.where(off > rules.limit, np.float32(rules.limit) / off, np.float32(1)).astype(np.float32)
            skin = skin * kept[:, None, None]
        return skin, kept

    def codes(self, identity: Float, numbers: Ints) -> Float:
        """Part codes (B, K, Z) of neutral faces with coefficients (B, Ki)."""
        return self.encoded(self.displacements(identity, numbers), numbers)

    def encoded(self, displacements: Float, numbers: Ints) -> Float:
        """Part codes (B, K, Z) of displacements (B, n, 3) mm of the skin from the mean face."""
        return in_places(self._encoded, displacements, numbers, block=BLOCK)

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
            if not moved.any():
                # To the bit, whatever rounding a rigid motion has.
                found[row] = 0
            elif np.isfinite(moved).all() and np.isfinite(neutral[row]).all():
                found[row] = self._followers.offset(neutral[row], moved)
        return found

    def _encoded(self, displacements: Float, _: Ints) -> Float:
        placed = torch.from_numpy(displacements).transpose(0, 1).contiguous()
        displaced = placed.to(self._device) / self._scale
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
