"""Settings of the pack stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facegen.settings import Section

ChannelName = Literal["mask", "amodal_mask", "depth", "normal", "segmentation", "layers", "uv", "pncc"]


class PackConfig(Section):
    """What is stored of each face, and how tightly."""

    channels: tuple[ChannelName, ...] = ()
    """Per-pixel channels to store although the reader can rebuild them: larger files, for readers without facegen."""
    compression_level: int = Field(default=3, ge=1, le=19)
    """Level of zstd: higher is smaller and slower."""
