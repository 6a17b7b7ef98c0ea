"""Files that are whole or absent, whatever interrupts the writing."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from facegen.errors import StorageError

PARTIAL = ".partial"
"""Ending of the temporary names; a killed process may leave one behind, no reader looks at it."""


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Put ``data`` at ``path`` so that a reader sees the old file or all of the new one, also after a power cut.

    Writes a temporary name in the same folder, syncs it, renames it, and syncs the folder. Missing parent folders are
    made. Several writers of the same path do not disturb each other: the last one to finish wins.

    Raises:
        StorageError: when the disk refuses; ``path`` is as it was and the temporary file is gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        _make_folder(path.parent)
        try:
            _write_synced(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    """Make ``folder`` and its parents, and sync the names of those that are new."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_synced(path: Path, data: bytes | memoryview) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        # One call writes at most 2 GiB, and less on a full disk.
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
