"""The ``facegen`` command as tests call it: in this process, or as a process of its own that can be interrupted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from facegen import cli

SMALL = (
    *("--set", "model.resolution=coarse", "--set", "model.bust=false"),
    *("--set", "render.size=64", "--set", "shard_size=16", "--workers", "0"),
)
"""Overrides of the quickstart configuration that make a run a matter of a second."""


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def facegen(*arguments: str | Path) -> Outcome:
    """Carry out a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["facegen", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    assert isinstance(end.value.code, int)
    return Outcome(end.value.code, out.getvalue(), err.getvalue())


def quickstart(command: str, out: Path, *arguments: str, faces: int = 48) -> Outcome:
    """A command of the small quickstart."""
    return facegen(command, "quickstart", "--out", out, "--faces", str(faces), *SMALL, *arguments)


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "facegen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 60) -> Outcome:
    """Wait for a started command; the group is killed when it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Outcome(process.returncode, out, err)


def group_members(group: int) -> list[int]:
    """Processes of a group that are neither gone nor waiting to be reaped."""
    members = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            number = int(folder.name)
            # After the name in brackets: state, parent, group.
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                members.append(number)
    return members


def is_worker(number: int) -> bool:
    """Whether a process is one that multiprocessing spawned."""
    with contextlib.suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every file below a folder: a file that is written again differs."""
    found = {file.relative_to(folder).as_posix(): file.stat() for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def only_line(text: str) -> str:
    """The one line of ``text``, which is no traceback."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert text.endswith("\n")
    return lines[0]
