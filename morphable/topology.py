"""What all faces of one model share: triangles, regions, UV and landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Triangles = NDArray[np.int32] | NDArray[np.uint32]
"""(T, 3) vertex indices."""

BUST = "bust"
"""Name of the region of shoulders that were added below a head."""


@dataclass(frozen=True)
class Topology:
    """The connectivity of a mesh of V vertices and T triangles, and its labels."""

    triangles: NDArray[np.int32]
    """(T, 3) vertex indices, counter-clockwise seen from outside."""
    triangle_region: NDArray[np.uint8]
    """(T,) index into :attr:`region_names`; 0 is the background and no triangle has it."""
    region_names: tuple[str, ...]
    """Names of the regions; the first is ``"background"``."""
    uv: NDArray[np.float32]
    """(U, 2) texture coordinates in [0, 1], v upwards."""
    uv_triangles: NDArray[np.int32]
    """(T, 3) indices into :attr:`uv`."""
    landmarks: NDArray[np.int32]
    """(L,) vertices of the landmarks; 68 in the Multi-PIE order, point 0 at the subject's right ear."""
    reference: NDArray[np.float32]
    """(V, 3) the mean face, model frame, mm: what PNCC colours come from."""

    @property
    def vertex_count(self) -> int:
        """Number of vertices V."""
        return len(self.reference)

    @cached_property
    def reference_colours(self) -> NDArray[np.float32]:
        """(V, 3) normalised coordinate codes (Zhu et al. 2016, "Face alignment across large poses", eq. 2).

        The mean face scaled to [0, 1] along each axis, linear in position. A bust does not count: it is clipped, so
        that a face has the same codes with and without it.
        """
        counted = self.triangle_region != self.region_names.index(BUST) if BUST in self.region_names else slice(None)
        head = self.reference[np.unique(self.triangles[counted])]
        low, high = head.min(axis=0), head.max(axis=0)
        span = np.where(high > low, high - low, 1)
        colours: NDArray[np.float32] = ((self.reference - low) / span).clip(0, 1).astype(np.float32)
        return colours

    @cached_property
    def padded_reference_colours(self) -> NDArray[np.float32]:
        """(V, 4) as :attr:`reference_colours`, and a zero, so that a row fits a vector register."""
        return np.pad(self.reference_colours, ((0, 0), (0, 1)))
