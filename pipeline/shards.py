"""Shards: runs of consecutive faces, the unit of work, of storage and of recovery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Faces ``first_face`` … ``first_face + faces - 1``."""

    number: int
    first_face: int
    faces: int


def split(faces: int, shard_size: int) -> list[Shard]:
    """All shards of a run of ``faces`` faces; the last one may be smaller."""
    return [
        Shard(number, first, min(shard_size, faces - first)) for number, first in enumerate(range(0, faces, shard_size))
    ]
