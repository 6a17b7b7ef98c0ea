"""Shards: runs of consecutive faces, the unit of work, of storage and of recovery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facegen.errors import ConfigurationError


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


def select(shards: Sequence[Shard], selection: str) -> list[Shard]:
    """The shards that a piece of a job array is to make.

    Args:
        shards: of the whole run.
        selection: ``A:B``, shards A to B - 1, either may be left out; or ``K/N``, the K-th of N pieces, counted from 0,
            which together are all shards and of sizes that differ by one at most.

    Raises:
        ConfigurationError: for any other text, and for shards that the run does not have.
    """
    total = len(shards)
    if match := re.fullmatch(r"([0-9]+)/([0-9]+)", selection.strip()):
        piece, pieces = map(int, match.groups())
        if piece >= pieces:
            raise ConfigurationError(f"--shards {selection}: expected K/N with K below N, pieces being counted from 0")
        return list(shards[total * piece // pieces : total * (piece + 1) // pieces])
    if match := re.fullmatch(r"([0-9]*):([0-9]*)", selection.strip()):
        first, end = (int(text) if text else default for text, default in zip(match.groups(), (0, total), strict=True))
        if first < min(end, total):
            return list(shards[first:end])
        raise ConfigurationError(f"--shards {selection}: no shard is in it; the run has {total:,}, from 0")
    raise ConfigurationError(f"--shards {selection}: expected A:B (shards A to B - 1) or K/N (piece K of N, from 0)")


def ranges(numbers: Iterable[int]) -> str:
    """Numbers for people: ``0-99, 120``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
