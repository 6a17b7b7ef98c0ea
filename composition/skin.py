"""The skin of a face model: the surface that parts are swapped on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

INNER = ("eyeball_left", "eyeball_right", "lashes", "gums", "tongue", "gums_and_tongue", "teeth")
"""Regions that are no skin: they follow it."""

LANDMARKS = 68
"""In the Multi-PIE order."""


@dataclass(frozen=True)
class Skin:
    """The n vertices of a model's skin, pockets behind lids and lips included; a bust does not belong to it."""

    vertices: Ints
    """(n,) numbers in the model's mesh, ascending."""
    triangles: Ints
    """(T, 3) numbers into :attr:`vertices`."""
    mean: Float
    """(n, 3) mm."""
    landmarks: Ints
    """(68,) numbers into :attr:`vertices`."""
    region: NDArray[np.uint8]
    """(n,) index into :attr:`region_names`: of the first triangle that has the vertex."""
    region_names: tuple[str, ...]

    @classmethod
    def of(cls, model: MorphableModel) -> Skin:
        """The skin of a model, the same with and without a bust.

        Raises:
            ModelError: the model has not 68 landmarks, or they are not on its skin.
        """
        topology = model.topology
        if len(topology.landmarks) != LANDMARKS:
            raise ModelError(
                f"the model '{model.name}' has {len(topology.landmarks)} landmarks; "
                f"expected {LANDMARKS} in the Multi-PIE order"
            )
        kept = [name not in (*INNER, BUST) for name in topology.region_names]
        chosen = np.flatnonzero(np.array(kept)[topology.triangle_region])
        vertices, local = np.unique(topology.triangles[chosen], return_inverse=True)
        triangles = local.reshape(-1, 3).astype(np.int64)
        if not np.isin(topology.landmarks, vertices).all():
            raise ModelError(f"the model '{model.name}' has landmarks that are not on its skin")
        corners, first = np.unique(triangles, return_index=True)
        assert np.array_equal(corners, np.arange(len(vertices)))
        return cls(
            vertices=vertices.astype(np.int64),
            triangles=triangles,
            mean=model.mean[vertices].astype(np.float64),
            landmarks=np.searchsorted(vertices, topology.landmarks).astype(np.int64),
            region=topology.triangle_region[chosen[first // 3]],
            region_names=topology.region_names,
        )

    @cached_property
    def sha256(self) -> str:
        """Digest of the triangles: skins of equal digest have their vertices in correspondence."""
        return hashlib.sha256(np.ascontiguousarray(self.triangles, np.int32).tobytes()).hexdigest()

    def within(self, *regions: str) -> NDArray[np.bool_]:
        """(n,) vertices of some regions; those that the model does not have count for nothing."""
        numbers = [number for number, name in enumerate(self.region_names) if name in regions]
        return np.isin(self.region, numbers)
