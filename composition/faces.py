"""The faces that autoencoders learn from: neutral people of a model, as displacements of its skin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.composition.skin import Skin
from facegen.morphable.coefficients import CoefficientSet
from facegen.morphable.model import MorphableModel
from facegen.morphable.people import draw_people

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Faces:
    """N people of one model."""

    people: CoefficientSet
    """Their identity coefficients."""
    displacements: Float
    """(N, n, 3) mm: of the skin from the mean face."""
    skin: Skin

    def __len__(self) -> int:
        return len(self.displacements)

    @property
    def sha256(self) -> str:
        """Digest of the coefficients and of the skin's triangles."""
        return hashlib.sha256(f"{self.people.sha256}/{self.skin.sha256}".encode()).hexdigest()

    @property
    def scale(self) -> float:
        """mm: root mean square of the displacements along an axis."""
        return float(np.sqrt(np.mean(np.square(self.displacements), dtype=np.float64)))


def face_sets(model: MorphableModel, train: int, test: int, seed: int) -> tuple[Faces, Faces]:
    """People to learn from and others to test on.

    Raises:
        ModelError: the model has no identity coefficients, no 68 landmarks, or none on its skin.
    """
    skin, people = Skin.of(model), draw_people(model, train + test, seed)
    row = np.arange(len(people))
    return tuple(  # type: ignore[return-value]  # two of them
        Faces(some, skin_displacements(model, skin, some.values), skin)
        for some in (people.rows(row < train), people.rows(row >= train))
    )


def skin_displacements(model: MorphableModel, skin: Skin, identity: Float) -> Float:
    """(N, n, 3) mm of identity coefficients (N, Ki): neutral faces less the mean face."""
    basis = model.identity_basis[:, skin.vertices].reshape(len(model.identity_basis), -1)
    flat: Float = identity.astype(np.float32) @ basis
    return flat.reshape(len(identity), len(skin.vertices), 3)
