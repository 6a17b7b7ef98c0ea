"""Joining runs of one configuration that were made in different places."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from facegen.errors import RunFolderError, StorageError
from facegen.pipeline.folder import RunFolder, differing
from facegen.pipeline.interruption import terminable
from facegen.pipeline.records import FileRecord, ShardRecord, read_record
from facegen.pipeline.shards import Shard, split
from facegen.pipeline.threads import in_threads
from facegen.storage import PARTIAL, replacing, this_process, write_atomically

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Merge:
    """A merge that has been checked but has not touched the disk."""

    inputs: tuple[RunFolder, ...]
    out: RunFolder
    largest: RunFolder
    """The run with most faces, whose run.yaml becomes that of the whole; ``out`` where no input has more."""
    fingerprint: str
    shards: tuple[Shard, ...]
    """All that the whole has."""

    @property
    def faces(self) -> int:
        """Number of faces of the whole."""
        return sum(shard.faces for shard in self.shards)

    @property
    def folders(self) -> tuple[RunFolder, ...]:
        """All that have something, ``out`` first where it is a run already."""
        return (self.out, *self.inputs) if (self.out.path / "run.yaml").exists() else self.inputs


@dataclass
class MergeReport:
    """What a merge did."""

    run: Path
    faces: int
    shards: int
    there: dict[str, int] = field(default_factory=dict)
    """Sound shards that ``run`` had before, by stage."""
    taken: dict[str, dict[str, int]] = field(default_factory=dict)
    """Shards taken from each input, by stage."""
    damaged: list[str] = field(default_factory=list)
    """Shards of inputs that were left out, and why, a line each."""
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Shards that no input has a sound one of, by stage."""


def plan_merge(inputs: Sequence[Path], out: Path) -> Merge:
    """Check that runs can be joined; touches nothing.

    Args:
        inputs: run folders.
        out: another one, a new or an empty folder.

    Raises:
        RunFolderError: when one is no run, they are not of one configuration, lie in each other, or two have the same
            shard with different contents.
        StorageError: when a folder cannot be read.
    """
    _refuse_nested(inputs, out)
    folders = [RunFolder(path) for path in inputs]
    target = RunFolder(out)
    every = [target, *folders] if (out / "run.yaml").exists() else folders
    descriptions = [folder.describe() for folder in every]
    for folder, description in zip(every[1:], descriptions[1:], strict=True):
        if any(description[key] != descriptions[0][key] for key in ("fingerprint", "shard_size")):
            reason = differing(descriptions[0], description)
            raise RunFolderError(f"{folder.path} and {every[0].path} are runs of different configurations{reason}")
    # Of equal ones the first, so that a run that is there stays as it is.
    largest = max(range(len(every)), key=lambda place: int(descriptions[place]["faces"]))
    target.check(descriptions[largest], overwrite=False)
    shards = split(int(descriptions[largest]["faces"]), int(descriptions[largest]["shard_size"]))
    merge = Merge(tuple(folders), target, every[largest], descriptions[largest]["fingerprint"], tuple(shards))
    _refuse_conflicts(merge)
    return merge


def _refuse_nested(inputs: Sequence[Path], out: Path) -> None:
    real = [path.resolve() for path in inputs]
    for number, path in enumerate(real):
        if path in real[:number]:
            raise RunFolderError(f"{inputs[number]}: given twice")
        for a, b in ((path, out.resolve()), (out.resolve(), path)):
            if a == b or a in b.parents:
                raise RunFolderError(f"{out}: expected a folder outside of the runs that are merged, found {path}")


def _refuse_conflicts(merge: Merge) -> None:
    """Refuse shards that two folders have with different contents, by their records."""
    for stage in _stages(merge.folders):
        for shard, owners in _owners(merge.folders, stage, merge.shards):
            first: tuple[RunFolder, ShardRecord] | None = None
            for folder in owners if len(owners) > 1 else ():
                record = read_record(folder.record_path(stage, shard.number))
                if record is None or record.problem(shard, merge.fingerprint, folder.path, read=False):
                    continue
                if first is None:
                    first = folder, record
                elif {*record.files} != {*first[1].files}:
                    raise RunFolderError(
                        f"shard {shard.number:05d} of stage {stage} is not the same in {first[0].path} and "
                        f"{folder.path} ({_differing_file(first[1], record)}); delete one of the two records to take "
                        "the other"
                    )


def _differing_file(a: ShardRecord, b: ShardRecord) -> str:
    return min(entry.path for entry in {*a.files} ^ {*b.files})


def _stages(folders: Sequence[RunFolder]) -> list[str]:
    """Names of all stages that a folder has records of."""
    found = {path.name for folder in folders for path in (folder.path / "records").glob("*") if path.is_dir()}
    return sorted(found)


def _owners(
    folders: Sequence[RunFolder], stage: str, shards: Sequence[Shard]
) -> list[tuple[Shard, tuple[RunFolder, ...]]]:
    """Shards that somebody has a record of, each with the folders that have one."""
    listed = [{path.name for path in (folder.path / "records" / stage).glob("*.json")} for folder in folders]
    found = []
    for shard in shards:
        name = folders[0].record_path(stage, shard.number).name
        owners = tuple(folder for folder, names in zip(folders, listed, strict=True) if name in names)
        if owners:
            found.append((shard, owners))
    return found


def carry_out_merge(
    merge: Merge,
    metadata: Mapping[str, Path],
    *,
    final: str,
    link: bool = False,
    threads: int = 1,
    quiet: bool = True,
) -> MergeReport:
    """Bring everything together. Killed, it is continued by doing it again.

    Args:
        merge: what to join.
        metadata: files that are no shard's, by their path relative to a run folder.
        final: the stage that finishes a shard.
        link: make hard links instead of copies.
        threads: shards copied at the same time.
        quiet: no progress.

    Raises:
        RunFolderError: when the file systems allow no links.
        StorageError: when the disk refuses. What was finished before stays.
        KeyboardInterrupt: on Ctrl-C and SIGTERM.
    """
    report = MergeReport(merge.out.path, merge.faces, len(merge.shards))
    folders = merge.folders
    with terminable():
        _begin(merge, metadata, folders if link else ())
        for stage in _stages(folders):
            _merge_stage(_StageMerge(merge, stage, final, link), report, threads, quiet)
        if report.missing.get(final) == []:
            _copy_card(merge)
    return report


def _begin(merge: Merge, metadata: Mapping[str, Path], linked: Collection[RunFolder]) -> None:
    """Make the folder a run, then write what its shards have in common."""
    out = merge.out.path
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if linked:
            _try_links(linked, merge.out, new=new)
        if merge.largest is not merge.out:
            # A card of fewer faces is wrong from here on.
            (out / "README.md").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from None
    if merge.largest is not merge.out:
        _copy_small(merge.largest.path / "run.yaml", out / "run.yaml")
    merge.out.sweep()
    for name, source in metadata.items():
        _copy_small(source, out / name)


def _try_links(folders: Collection[RunFolder], out: RunFolder, *, new: bool) -> None:
    """Refuse, before anything is written, where files cannot be linked."""
    probe = out.path / f".link.{this_process()}-0{PARTIAL}"
    for folder in folders:
        try:
            os.link((folder.path / "run.yaml").resolve(), probe)
        except OSError as error:
            if new:
                out.path.rmdir()
            raise _no_link(folder, out, error) from None
        probe.unlink()


def _no_link(folder: RunFolder, out: RunFolder, error: OSError) -> RunFolderError:
    why = "they are on different file systems" if error.errno == errno.EXDEV else error.strerror
    return RunFolderError(f"--link: no file of {folder.path} can be linked into {out.path}: {why}; copy without --link")


def _copy_small(source: Path, path: Path) -> None:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise StorageError(f"{source}: cannot be read ({error.strerror})") from None
    if not (path.is_file() and path.read_bytes() == data):
        write_atomically(path, data)


def _copy_card(merge: Merge) -> None:
    """The dataset card of a complete run, from one that has as many faces."""
    for folder in merge.folders:
        if (folder.path / "README.md").is_file() and folder.describe()["faces"] == merge.faces:
            _copy_small(folder.path / "README.md", merge.out.path / "README.md")
            return


def _merge_stage(step: _StageMerge, report: MergeReport, threads: int, quiet: bool) -> None:
    merge, stage = step.merge, step.stage
    missing = {shard.number for shard in merge.shards}
    items = _owners(merge.folders, stage, merge.shards)
    label = f"merging {stage}"
    for (shard, _), taken in in_threads(lambda item: step.take(*item), items, threads, label=label, quiet=quiet):
        report.damaged += taken.damaged
        if taken.source is None:
            continue
        missing.remove(shard.number)
        count = report.there if taken.source is merge.out else report.taken.setdefault(str(taken.source.path), {})
        count[stage] = count.get(stage, 0) + 1
    report.missing[stage] = sorted(missing)
    # From the records, for a merge may have been killed between a record and its list.
    for record in merge.out.records(stage):
        merge.out.write_failed_faces(record)


class _DamagedError(Exception):
    """A shard of an input cannot be taken; the message says why, not which."""


@dataclass(frozen=True)
class _Taken:
    """What became of one shard."""

    source: RunFolder | None
    """Whence it is; ``None`` where nobody has a sound one."""
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class _StageMerge:
    """Takes shards of one stage."""

    merge: Merge
    stage: str
    final: str
    link: bool

    def take(self, shard: Shard, owners: Sequence[RunFolder]) -> _Taken:
        """Bring one shard to where it shall be, unless it is there.

        Raises:
            StorageError: when the disk refuses.
        """
        out = self.merge.out
        if out in owners and out.shard_problem(self.stage, shard, self.merge.fingerprint) is None:
            return _Taken(out)
        damaged: list[str] = []
        for folder in owners:
            if folder is not out:
                try:
                    if self._copy(shard, folder):
                        return _Taken(folder, tuple(damaged))
                except _DamagedError as error:
                    damaged.append(f"shard {shard.number:05d} of {folder.path}, stage {self.stage}: {error}")
        return _Taken(None, tuple(damaged))

    def _copy(self, shard: Shard, folder: RunFolder) -> bool:
        """Copy a shard and then its record; whether the record is of the whole shard.

        Raises:
            _DamagedError: when the input's shard is not what its record says.
        """
        merge, path = self.merge, folder.record_path(self.stage, shard.number)
        record = read_record(path)
        if record is None:
            raise _DamagedError("its record cannot be read")
        if record.is_shorter(shard):
            return False
        problem = record.problem(shard, merge.fingerprint, folder.path, read=False)
        if problem is not None:
            raise _DamagedError(problem)
        for entry in record.files:
            self._copy_file(entry, folder)
        record.write(merge.out.record_path(self.stage, shard.number))
        if self.stage == self.final:
            merge.out.clear_failed_shard(shard.number)
        return True

    def _copy_file(self, entry: FileRecord, folder: RunFolder) -> None:
        out = self.merge.out
        relative = PurePosixPath(entry.path)
        if relative.is_absolute() or ".." in relative.parts or relative.parts[0] not in ("dataset.zarr", "stages"):
            raise _DamagedError(f"{entry.path}: no place for a file of a shard")
        source = folder.path / relative
        with replacing(out.path / relative) as temporary:
            found = _link(source, temporary, folder, out) if self.link else _copy_bytes(source, temporary)
            if found != (entry.bytes, entry.sha256):
                raise _DamagedError(f"{entry.path}: its content has changed (sha256)")


def _copy_bytes(source: Path, temporary: Path) -> tuple[int, str]:
    """Copy a file and sync it; bytes and sha256 of what was copied.

    Raises:
        _DamagedError: when the source cannot be read.
        OSError: when the copy cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with temporary.open("wb", buffering=0) as file:
        for block in _blocks(source):
            digest.update(block)
            size += len(block)
            rest = memoryview(block)
            while rest:
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _link(source: Path, temporary: Path, folder: RunFolder, out: RunFolder) -> tuple[int, str]:
    """Make a link to a file; bytes and sha256 of what is in it.

    Raises:
        RunFolderError: when the file systems allow no link.
        _DamagedError: when the source cannot be read.
    """
    try:
        os.link(source.resolve(), temporary)
    except FileNotFoundError:
        raise _DamagedError(f"{source.name}: is missing") from None
    except OSError as error:
        raise _no_link(folder, out, error) from None
    digest, size = hashlib.sha256(), 0
    for block in _blocks(temporary):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise _DamagedError(f"{path} cannot be read ({error.strerror})") from None
