"""The short version of ``make chaos``: two rounds of kill -9, then a clean run's bytes."""

from __future__ import annotations

from pathlib import Path

from facegen.tests.chaos import digest_problems, harass, last
from facegen.tests.command import SMALL

COMMAND = (
    *("run", "quickstart", "--faces", "160", *SMALL, "--set", "shard_size=4", "--set", "render.size=32"),
    *("--workers", "2"),
)


def test_random_kills(tmp_path: Path) -> None:
    assert last(tmp_path / "clean", (*COMMAND[:-1], "0")).code == 0
    chaos = harass(tmp_path / "run", COMMAND, rounds=2, seed=5, longest=0.5)
    assert digest_problems(tmp_path / "run", tmp_path / "clean") == []
    assert chaos.killed_commands + chaos.killed_workers >= 2
    assert chaos.made_again == 0
    assert chaos.committed[-1] == 40
    assert chaos.committed == sorted(chaos.committed)
