"""The configuration section that names a face model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from facegen.morphable.parts import Part
from facegen.paths import expand
from facegen.settings import Section


class ModelConfig(Section):
    """Which face model, and which part of it."""

    name: Literal["ict"] = "ict"
    """Kind of the model: ICT-FaceKit."""
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
    def _parts_agree(self) -> ModelConfig:
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
