"""Starting processes that nothing but their executor ends, and telling how they ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping


def how_it_ended(code: int | None) -> str:
    """Of the exit code of a process, negative for a signal; for people."""
    if code is None:
        return "lost, its end was not seen"
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    return f"ended by itself with exit code {code}"


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Iterator[None]:
    """The signals wait until this is done; processes and threads that are started inside never get them.

    Ctrl-C reaches the whole process group, but the parent alone decides what becomes of its workers: they inherit that
    the signal is blocked, so that not even their first imports are interrupted.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def environment(variables: Mapping[str, str], others: Iterable[str] = ()) -> Iterator[None]:
    """Environment variables for processes that are started inside; ``others`` are put back as well afterwards."""
    saved = {name: os.environ.get(name) for name in (*variables, *others)}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
