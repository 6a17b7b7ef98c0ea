"""Records: one small JSON per finished shard and stage, written last. A shard is done when its record holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facegen.pipeline.shards import Shard
from facegen.storage import write_atomically


@dataclass(frozen=True)
class FileRecord:
    """A file that a shard wrote."""

    path: str
    """Relative to the run folder."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FailedFace:
    """A face that could not be made."""

    face: int
    stage: str
    reason: str


@dataclass(frozen=True)
class ShardRecord:
    """What one shard wrote, and how long it took."""

    shard: int
    first_face: int
    faces: int
    fingerprint: str
    files: tuple[FileRecord, ...]
    failed: tuple[FailedFace, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    """CPU seconds by stage."""
    elapsed: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage."""
    host: dict[str, Any] = field(default_factory=dict)
    """Host name, process and its resident memory, device: of interest to people, no part of the dataset."""

    def write(self, path: Path) -> None:
        """Write the record so that it is either whole or absent.

        Raises:
            StorageError: when the disk refuses.
        """
        write_atomically(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    def problem(self, shard: Shard, fingerprint: str, folder: Path, *, read: bool = True) -> str | None:
        """Why this record does not show that ``shard`` is done; ``None`` when it does.

        Every file is read and its digest compared; without ``read`` only its size.
        """
        if self.fingerprint != fingerprint:
            return "made by another configuration"
        if (self.shard, self.first_face, self.faces) != (shard.number, shard.first_face, shard.faces):
            return f"holds {self.faces} faces from {self.first_face}, expected {shard.faces} from {shard.first_face}"
        for entry in self.files:
            problem = file_problem(folder / entry.path, entry, read=read)
            if problem:
                return f"{entry.path}: {problem}"
        return None

    def is_shorter(self, shard: Shard) -> bool:
        """Whether it is of the run's last shard from before the run got more faces."""
        return (self.shard, self.first_face) == (shard.number, shard.first_face) and self.faces < shard.faces


def read_record(path: Path) -> ShardRecord | None:
    """The record at ``path``; ``None`` when there is none or it cannot be understood (the shard is then done again)."""
    try:
        values = json.loads(path.read_bytes())
        values["files"] = tuple(FileRecord(**entry) for entry in values["files"])
        values["failed"] = tuple(FailedFace(**entry) for entry in values["failed"])
        return ShardRecord(**values)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def file_problem(path: Path, entry: FileRecord, *, read: bool = True) -> str | None:
    """How a file differs from its record, or ``None``; without ``read`` only its size is compared."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size != entry.bytes:
                return f"has {size} bytes, expected {entry.bytes}"
            if read and hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                return "its content has changed (sha256)"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None
