"""What a command that works on a run tells others of itself while it does: ``RUN/live``, one small file a command."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from facegen.errors import StorageError
from facegen.storage import is_gone, this_process, write_atomically

_EVERY = 2.0
"""Seconds between two tellings."""


class LiveFile:
    """Keeps ``live/PROCESS.json`` up to date, and removes it in the end; a killed command leaves it behind.

    It is a courtesy: a disk that refuses it refuses the shards as well, and says so there.
    """

    def __init__(self, folder: Path) -> None:
        """For the run in ``folder``."""
        self._path = folder / "live" / f"{this_process()}.json"
        self._told = 0.0

    def tell(self, values: dict[str, Any]) -> None:
        """Write ``values``, unless that was done a moment ago."""
        now = time.time()
        if now - self._told < _EVERY:
            return
        self._told = now
        with contextlib.suppress(StorageError):
            write_atomically(self._path, (json.dumps({"updated": now} | values, indent=1) + "\n").encode())

    def __enter__(self) -> LiveFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            # Left alone while others work on the run.
            self._path.parent.rmdir()


def read_live(folder: Path) -> list[dict[str, Any]]:
    """What the commands that work on a run now tell of themselves, those that were killed left out."""
    found = []
    for path in sorted((folder / "live").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(path.read_bytes())
            if not is_gone(path.stem, float(values["updated"])):
                found.append({"process": path.stem, **values})
    return found


def sweep_live(folder: Path) -> None:
    """Remove what killed commands left in ``live``."""
    for path in (folder / "live").glob("*.json"):
        with contextlib.suppress(OSError):
            if is_gone(path.stem, path.stat().st_mtime):
                path.unlink()
    with contextlib.suppress(OSError):
        (folder / "live").rmdir()
