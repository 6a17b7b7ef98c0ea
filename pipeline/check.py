"""Checking a run folder: what single stages left in it, what was given up, what belongs to nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegen.pipeline.folder import RunFolder
from facegen.pipeline.records import read_record
from facegen.pipeline.shards import Shard
from facegen.pipeline.threads import in_threads
from facegen.storage import PARTIAL, is_left_behind


@dataclass(frozen=True)
class StageReport:
    """What a single stage left in a run folder."""

    shards: int
    """Sound ones."""
    damaged: dict[int, str]
    """Why the record of a shard does not hold."""


@dataclass(frozen=True)
class FolderReport:
    """What :func:`check_folder` found."""

    stages: dict[str, StageReport]
    given_up: dict[int, str]
    """Why shards were given up that nobody has made since."""
    strays: tuple[str, ...]
    """Files that belong to nothing, relative to the run folder. Harmless."""


def check_folder(
    folder: RunFolder,
    fingerprint: str,
    shards: Sequence[Shard],
    *,
    apart: Collection[str],
    threads: int = 1,
    quiet: bool = True,
) -> FolderReport:
    """Compare records with what the run is, and files with their records; every file is read.

    A shard that a stage has no record of was not made by that stage alone, which is no fault; nor is a record from
    before the run got more faces.

    Args:
        folder: the run.
        fingerprint: of the run.
        shards: all that the run has.
        apart: stages that somebody else checks.
        threads: shards read at the same time.
        quiet: no progress.
    """
    names = sorted(path.name for path in (folder.path / "records").glob("*") if path.is_dir())
    stages = {}
    strays = set(_partials(folder.path))
    for stage in names:
        if stage not in apart:
            recorded = _recorded(folder, stage, shards)
            strays |= set(_strays(folder, stage, recorded))
            if recorded:
                stages[stage] = _check_stage(folder, stage, fingerprint, recorded, threads, quiet)
    given_up = {number: _reason(folder, number) for number in folder.failed_shards()}
    return FolderReport(stages, given_up, tuple(sorted(strays)))


def _recorded(folder: RunFolder, stage: str, shards: Sequence[Shard]) -> list[Shard]:
    """Shards that a stage has records of."""
    listed = {path.name for path in folder.record_path(stage, 0).parent.iterdir()}
    return [shard for shard in shards if folder.record_path(stage, shard.number).name in listed]


def _check_stage(
    folder: RunFolder, stage: str, fingerprint: str, recorded: Sequence[Shard], threads: int, quiet: bool
) -> StageReport:
    def check(shard: Shard) -> tuple[bool, str | None]:
        """Whether a shard is sound, and else what is wrong, if that is wrong."""
        record = read_record(folder.record_path(stage, shard.number))
        if record is None:
            return False, "its record cannot be read"
        if record.is_shorter(shard):
            return False, None
        problem = record.problem(shard, fingerprint, folder.path)
        return problem is None, problem

    sound, damaged = 0, {}
    for shard, (good, why) in in_threads(check, recorded, threads, label=f"checking {stage}", quiet=quiet):
        sound += good
        if why is not None:
            damaged[shard.number] = why
    return StageReport(sound, damaged)


def _strays(folder: RunFolder, stage: str, recorded: Sequence[Shard]) -> Iterator[str]:
    """Files of a stage that no shard has, and those without a record."""
    records = {folder.record_path(stage, shard.number) for shard in recorded}
    files = {folder.stage_file(stage, shard.number) for shard in recorded}
    for expected, place in ((records, folder.path / "records" / stage), (files, folder.path / "stages" / stage)):
        for path in place.iterdir() if place.is_dir() else ():
            if path not in expected and not path.name.endswith(PARTIAL):
                yield path.relative_to(folder.path).as_posix()


def _partials(run: Path) -> Iterator[str]:
    """What killed writers left, whatever they wrote."""
    for place, _, names in os.walk(run):
        for name in names:
            if name.endswith(PARTIAL) and is_left_behind(Path(place, name)):
                yield Path(place, name).relative_to(run).as_posix()


def _reason(folder: RunFolder, number: int) -> str:
    """Why a shard was given up, as ``failed/`` has it."""
    try:
        values = json.loads((folder.path / "failed" / f"shard-{number:05d}.json").read_bytes())
        reason = str(values["reason"])
        return f"{reason} (quarantined)" if values.get("quarantined") else reason
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "for a reason that cannot be read"
