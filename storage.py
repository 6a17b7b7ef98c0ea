"""Files that are whole or absent, whatever interrupts the writing."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from facegen.errors import StorageError

PARTIAL = ".partial"
"""Ending of the temporary names; a killed process may leave one behind, no reader looks at it."""

_STALE_SECONDS = 3600.0
"""Age at which what a process of another machine tells of itself counts as left behind: a file takes seconds."""
_CLOCK_SECONDS = 60.0
"""By how much the clocks of files and of processes may differ."""


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Put ``data`` at ``path`` so that a reader sees the old file or all of the new one, also after a power cut.

    Writes a temporary name in the same folder, syncs it, renames it, and syncs the folder. Missing parent folders are
    made. Several writers of the same path do not disturb each other: the last one to finish wins.

    Raises:
        StorageError: when the disk refuses; ``path`` is as it was and the temporary file is gone.
    """
    with replacing(path) as temporary:
        _write_synced(temporary, data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name for what shall be at ``path``: the body makes that file and syncs it.

    It is renamed when the body is done, removed when the body raises; the rest is as :func:`write_atomically` says.

    Raises:
        StorageError: for any :class:`OSError` of the body as well.
    """
    temporary = path.with_name(f".{path.name}.{this_process()}-{threading.get_ident()}{PARTIAL}")
    try:
        _make_folder(path.parent)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            # Gone by now, but for errors and for a link that was renamed to another link of the same file: both stay.
            with contextlib.suppress(OSError):
                temporary.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def this_process() -> str:
    """Name of this process among those of all machines, fit for a file's name: host, then number."""
    return f"{_this_host()}-{os.getpid()}"


def is_gone(process: str, written: float) -> bool:
    """Whether the process that wrote something about itself has ended.

    Args:
        process: its name, as :func:`this_process` gave it there. What is no such name is taken for gone.
        written: when it wrote last, seconds since the epoch. A process that began later is another one with the same
            number; one of another machine is taken for gone after an hour.
    """
    host, separator, number = process.rpartition("-")
    if not separator or not number.isdigit():
        return True
    if host != _this_host():
        return time.time() - written > _STALE_SECONDS
    try:
        there = psutil.Process(int(number))
        # A killed one may wait for a while until its end is taken note of.
        return bool(there.status() == psutil.STATUS_ZOMBIE or there.create_time() > written + _CLOCK_SECONDS)
    except psutil.AccessDenied:
        return False
    except (psutil.NoSuchProcess, OverflowError):
        return True


def is_left_behind(partial: Path) -> bool:
    """Whether a temporary file's writer is gone; one that was renamed or removed meanwhile counts as not."""
    process, _, _ = partial.name.removesuffix(PARTIAL).rpartition("-")
    with contextlib.suppress(FileNotFoundError):
        return is_gone(process.rpartition(".")[2], partial.stat().st_mtime)
    return False


def _this_host() -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", platform.node())[:40]


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
