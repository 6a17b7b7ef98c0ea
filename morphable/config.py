"""The configuration sections that name a face model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from facegen.morphable.ict.parts import Part
from facegen.paths import expand
from facegen.settings import Section


class DefaultModelConfig(Section):
    """The embedded model, which needs no file."""

    name: Literal["default"] = "default"
    resolution: Literal["coarse", "default", "dense"] = "default"
    """About 3,000, 11,000 or 45,000 vertices: each splits every triangle of the one before in four."""
    expressions: Literal["arkit", "pca"] = "arkit"
    """The 52 blendshapes of ARKit, or 29 principal components of recorded performances, in σ."""
    bust: bool = True
    """With shoulders below the neck, so that the head does not end in mid-air."""


class IctModelConfig(Section):
    """ICT-FaceKit, and which part of it."""

    name: Literal["ict"] = "ict"
    path: Path = Path("$FACEGEN_ICT")
    """``ict_facekit.npz`` or the folder ``FaceXModel``; ``~`` and ``$VARIABLE`` are replaced when it is read."""
    part: Part = "full"
    """``full`` (head with eyes and teeth), ``head``, ``face`` or ``narrow-face``."""
    eyes: bool = True
    """With eyeballs and eye sockets."""
    teeth: bool = True
    """With teeth, gums, tongue and the mouth's inside."""
    bust: bool = False
    """With shoulders below the neck, so that the head does not end in mid-air (ours, no part of ICT-FaceKit)."""

    @model_validator(mode="after")
    def _parts_agree(self) -> IctModelConfig:
        if self.bust and self.part not in ("full", "head"):
            raise ValueError(f"the part '{self.part}' has no neck for a bust; take 'head' or 'full'")
        if self.part == "full" and not (self.eyes and self.teeth):
            raise ValueError("the part 'full' has eyes and teeth; take 'head' to leave them out")
        return self

    def resolved_path(self) -> Path:
        """The path with ``~``, ``$VARIABLE`` and ``${VARIABLE}`` replaced.

        The configuration keeps the variable, so that machines that hold the model in different places agree on it.

        Raises:
            ConfigurationError: a variable is not set, or the text is no path.
        """
        remedy = "set it to the model file (data/README.md says where it comes from) or give the path"
        return expand(self.path, "model.path", remedy)


ModelConfig = Annotated[DefaultModelConfig | IctModelConfig, Field(discriminator="name")]
"""Any of the models, told apart by ``name``."""
