"""The same thing done to many files at the same time: reading and digests let other threads go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    work: Callable[[T], R], items: Sequence[T], threads: int, *, label: str, quiet: bool = False
) -> Iterator[tuple[T, R]]:
    """``work`` of each item, in order, with a progress bar on a terminal.

    Interrupted, it ends as soon as each thread has done what it is at.
    """
    console = Console(stderr=True, quiet=quiet)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    pool = ThreadPoolExecutor(threads)
    try:
        with bar:
            results = bar.track(pool.map(work, items), len(items), description=label)
            yield from zip(items, results, strict=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
