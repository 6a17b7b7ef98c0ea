"""Progress on stderr: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

_QUIET_SECONDS = 10.0
"""Between two lines where there is no terminal."""
_NO_NEWS_SECONDS = 60.0
"""Without a finished shard, after which that is said."""

_STARTING = "workers start; after installing, they compile first, for a minute or two"
"""Said as long as no face is made."""


def duration(seconds: float) -> str:
    """A length of time for people, two units at most."""
    whole = round(seconds)
    for unit, length, part, part_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part_length
            return f"{whole // length} {unit}" + (f" {rest} {part}" if rest and whole < 10 * length else "")
    return f"{whole} s"


class Pace:
    """How fast faces are made, and how many are left."""

    def __init__(self, total: int, there: int) -> None:
        """Begin with ``there`` of ``total`` faces made earlier."""
        self.total = total
        self.done = self._there = there
        self._seconds: dict[str, float] = {}
        self._started = self._news = time.monotonic()

    def advance(self, faces: int, seconds: Mapping[str, float]) -> None:
        """Count faces that took so many CPU seconds by stage."""
        self.done += faces
        self._news = time.monotonic()
        for stage, value in seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + value

    @property
    def made(self) -> int:
        """Faces made since the beginning."""
        return self.done - self._there

    @property
    def rate(self) -> float:
        """Faces a second, by the wall clock."""
        return self.made / max(time.monotonic() - self._started, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Until all faces are made at this rate; ``None`` before the first."""
        return (self.total - self.done) / self.rate if self.made else None

    @property
    def stage_rates(self) -> dict[str, float]:
        """Faces per CPU second of each stage."""
        return {stage: self.made / seconds for stage, seconds in self._seconds.items() if seconds > 0 and self.made}

    @property
    def without_news(self) -> float:
        """Seconds since the last face."""
        return time.monotonic() - self._news

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        left = self.seconds_left
        return {
            "faces": self.total,
            "done": self.done,
            "made": self.made,
            "faces_per_second": round(self.rate, 2),
            "seconds_left": None if left is None else round(left, 1),
            "faces_per_cpu_second": {stage: round(rate, 1) for stage, rate in self.stage_rates.items()},
        }


def stages_text(rates: Mapping[str, float]) -> str:
    """Faces per CPU second of each stage for people."""
    return " · ".join(f"{stage} {rate:,.0f}" for stage, rate in rates.items())


class FaceProgress:
    """Shows a :class:`Pace`."""

    def __init__(self, pace: Pace, label: str, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._label = label
        self._pace = pace
        self._said = time.monotonic()
        self._warned = 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("faces  {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(label, total=pace.total, completed=pace.done, rate="")
        self._line = Text(style="dim")
        shown = Group(self._bar, self._line)
        self._live = Live(shown, console=self._console, transient=True, refresh_per_second=4)
        self._terminal = self._console.is_terminal and not quiet

    def __enter__(self) -> FaceProgress:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._live.stop()

    def show(self, working: str) -> None:
        """Show the pace as it is now.

        Args:
            working: who is at work on what, in a few words.
        """
        pace = self._pace
        if self._terminal:
            self._bar.update(self._task, completed=pace.done, rate=f"{pace.rate:,.0f} faces/s")
            stages = stages_text(pace.stage_rates)
            self._line.plain = (
                f"  {stages} faces per core second · {working}" if stages else f"  {working}; {_STARTING}"
            )
        self._warn(working)
        now = time.monotonic()
        if not self._terminal and (now - self._said > _QUIET_SECONDS or (pace.done == pace.total and pace.made)):
            self._said = now
            left = pace.seconds_left
            more = f", {duration(left)} left" if left else ""
            state = f"{pace.rate:,.0f} faces/s{more}" if pace.made else _STARTING
            self.say(f"{self._label}: {pace.done:,} of {pace.total:,} faces ({state})")

    def say(self, line: str) -> None:
        """Tell people something while the display goes on."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _warn(self, working: str) -> None:
        """Say when nothing happens, seldom again."""
        silence = self._pace.without_news
        if silence < self._warned:
            self._warned = 0.0
        if silence > max(_NO_NEWS_SECONDS, 2 * self._warned):
            self._warned = silence
            self.say(f"{self._label}: no shard finished for {duration(silence)}; {working}")
