"""What a face may wear or have before it. Each thing is off unless it is named."""

from __future__ import annotations

from facegen.settings import Section
from facegen.stages.render.objects.face_mask import FaceMask
from facegen.stages.render.objects.glasses import Glasses
from facegen.stages.render.objects.hair import Hair
from facegen.stages.render.objects.hand import Hand
from facegen.stages.render.objects.hat import Hat


class ObjectsConfig(Section):
    """Things beside the face, drawn per face."""

    hair: Hair | None = None
    """Hair with a shape, over the model's painted or bald scalp."""
    hat: Hat | None = None
    """A cap, a beanie or a hat."""
    glasses: Glasses | None = None
    """Glasses or sunglasses."""
    face_mask: FaceMask | None = None
    """A mask over mouth and nose."""
    hand: Hand | None = None
    """A hand at or before the face."""

    @property
    def any(self) -> bool:
        """Whether any thing may be drawn."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)
