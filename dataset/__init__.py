"""Reading what pack wrote: a torch Dataset, channels rebuilt on the fly, verification, contact sheets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facegen.dataset.reader import FaceDataset

__all__ = ["FaceDataset"]


def __getattr__(name: str) -> Any:
    # Late, because it imports torch.
    if name == "FaceDataset":
        from facegen.dataset.reader import FaceDataset

        return FaceDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
