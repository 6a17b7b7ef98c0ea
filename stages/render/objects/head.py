"""What of a face things are fitted to: its skin and its 68 landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ConfigurationError
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST, Topology

Float = NDArray[np.float32]

_INNER = ("eyeball", "lash", "teeth", "gums", "tongue", "socket", "eye_", "lacrimal")
"""Beginnings and parts of names of regions that are no outer skin."""


@dataclass(frozen=True)
class Head:
    """One face as it is pictured, expression included; model frame (+x the subject's left, +y up, +z out), mm."""

    skin: Float
    """(S, 3) the vertices of the outer skin of face, cranium, ears and neck, without shoulders."""
    landmarks: Float
    """(68, 3) in the Multi-PIE order: 0 … 16 the jaw from the subject's right ear to the left one, 17 … 26 brows,
    27 … 35 nose, 36 … 41 right eye, 42 … 47 left eye, 48 … 67 mouth."""
    shoulders: Float
    """(n, 3) the vertices of the shoulders, none where the model ends at the neck."""
    tongue: Float
    """(n, 3) the vertices of the tongue, which may be put out; with those of the gums where they are one region."""


class HeadFinder:
    """Makes :class:`Head` of faces of one model.

    Raises:
        ConfigurationError: the model has not the 68 landmarks that things are fitted to.
    """

    def __init__(self, model: MorphableModel) -> None:
        topology = model.topology
        if len(topology.landmarks) != 68:
            raise ConfigurationError(
                f"render.objects: things are fitted to 68 landmarks, the model '{model.name}' has "
                f"{len(topology.landmarks)}"
            )
        self._landmarks = topology.landmarks
        self._bust = _vertices_of(topology, [name for name in topology.region_names if name == BUST])
        outer = [
            name for name in topology.region_names[1:] if name != BUST and not any(part in name for part in _INNER)
        ]
        self._tongue = _vertices_of(topology, [name for name in topology.region_names if "tongue" in name])
        self._skin = np.setdiff1d(_vertices_of(topology, outer), self._bust)

    def of(self, vertices: Float) -> Head:
        """The head of a face with vertices (V, 3), model frame, mm."""
        return Head(vertices[self._skin], vertices[self._landmarks], vertices[self._bust], vertices[self._tongue])


def _vertices_of(topology: Topology, regions: list[str]) -> NDArray[np.int64]:
    numbers = [topology.region_names.index(name) for name in regions]
    chosen = np.isin(topology.triangle_region, numbers)
    return np.unique(topology.triangles[chosen]).astype(np.int64)
