"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class FaceProgress:
    """Counts finished faces."""

    def __init__(self, total: int, done: int, label: str, *, quiet: bool = False) -> None:
        """Begin with ``done`` of ``total`` faces finished earlier."""
        self._console = Console(stderr=True, quiet=quiet)
        self._label = label
        self._total = total
        self._done = self._resumed = done
        self._started = self._said = time.monotonic()
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("faces  {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task(label, total=total, completed=done, rate="")

    def __enter__(self) -> FaceProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, faces: int) -> None:
        """Count ``faces`` more."""
        self._done += faces
        now = time.monotonic()
        rate = (self._done - self._resumed) / max(now - self._started, 1e-9)
        self._bar.update(self._task, completed=self._done, rate=f"{rate:.0f} faces/s")
        if not self._live and (now - self._said > 10 or self._done == self._total):
            self._said = now
            self._console.print(
                f"{self._label}: {self._done:,} of {self._total:,} faces ({rate:.0f} faces/s)", highlight=False
            )
