"""Sets of coefficients that belong to possible faces, with where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Group = Literal["identity", "expression"]


@dataclass(frozen=True)
class CoefficientSet:
    """N coefficient vectors of clean faces of one model: either their identities or their expressions."""

    group: Group
    model: str
    """Name of the model whose coefficients they are."""
    model_sha256: str
    names: tuple[str, ...]
    """(K,) of the coefficients."""
    values: Float
    """(N, K) in σ; weights of blendshape models as they are."""
    deviation: Float
    """(K,) what one σ is in the model's raw units, which the corruption of the paper counts in; 1 for blendshapes."""
    bounds: tuple[float, float]
    """(0, 1) for blendshape weights, (-inf, inf) for coefficients in σ."""
    unit: NDArray[np.int32]
    """(N,) index into :attr:`units`: rows of one unit (a face, a take) depend on each other and are never split."""
    units: tuple[str, ...]
    """Names of the units."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where they come from: kind, files with their digests, seed, what was left out."""
    conditions: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(N, C) what is known of each face, scaled to about -1 … 1; (0, 0) where nothing is."""
    condition_names: tuple[str, ...] = ()
    """(C,) such as ``sex`` or ``expressiveness``."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def sha256(self) -> str:
        """Digest of the values, names and scales: two sets of equal digest train the same networks."""
        digest = hashlib.sha256(f"{self.group}/{self.model_sha256}/{'/'.join(self.names)}".encode())
        for array in (self.values, self.deviation, self.unit, self.conditions):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> CoefficientSet:
        """The set of some of its rows."""
        conditions = self.conditions[chosen] if len(self.conditions) else self.conditions
        return replace(self, values=self.values[chosen], unit=self.unit[chosen], conditions=conditions)

    def split(self, held_out: float, seed: int) -> tuple[CoefficientSet, CoefficientSet]:
        """Two sets without a common unit: what to train on, and about the share ``held_out`` to test on.

        Units are drawn whole, for two frames of one take, or two corruptions of one face, are no independent test.

        Raises:
            ValueError: there is only one unit.
        """
        present = np.unique(self.unit)
        if len(present) < 2:
            raise ValueError(f"all {len(self)} rows come from {self.units[present[0]]}: there is nothing to hold out")
        order = np.random.Generator(np.random.Philox(key=[seed, 0])).permutation(present)
        sizes = np.cumsum([int((self.unit == unit).sum()) for unit in order])
        count = int(np.clip(np.searchsorted(sizes, held_out * len(self)) + 1, 1, len(order) - 1))
        outside = np.isin(self.unit, order[:count])
        return self.rows(~outside), self.rows(outside)


def joined(sets: Sequence[CoefficientSet]) -> CoefficientSet:
    """Sets of one model and group as one; units of equal names stay apart.

    Raises:
        ValueError: they are of different models, groups or names, or there is none.
    """
    if not sets:
        raise ValueError("no coefficient sets to join")
    first = sets[0]
    for other in sets[1:]:
        if (other.group, other.model_sha256, other.names, other.condition_names) != (
            first.group, first.model_sha256, first.names, first.condition_names,
        ):  # fmt: skip
            raise ValueError("coefficient sets of different models or groups cannot be joined")
    offsets = np.cumsum([0, *(len(one.units) for one in sets[:-1])])
    return replace(
        first,
        values=np.concatenate([one.values for one in sets]),
        unit=np.concatenate([one.unit + offset for one, offset in zip(sets, offsets, strict=True)]).astype(np.int32),
        units=tuple(name for one in sets for name in one.units),
        conditions=np.concatenate([one.conditions for one in sets]) if first.condition_names else first.conditions,
        provenance={"joined": [one.provenance for one in sets]},
    )
