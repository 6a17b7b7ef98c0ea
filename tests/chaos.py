"""Kill -9 at random: a worker or the command itself, again and again, then resume; what is left must be a clean run.

``make chaos`` carries out the long version, ``test_chaos.py`` a short one:

    python -m facegen.tests.chaos --rounds 20 --seed 0 --json
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from os import kill
from pathlib import Path

from facegen.tests.command import SMALL, Outcome, finish, group_members, is_worker, start, tree
from facegen.tests.waiting import wait_until

State = tuple[int, int]


@dataclass
class Chaos:
    """What happened."""

    rounds: int
    killed_commands: int = 0
    killed_workers: int = 0
    committed: list[int] = field(default_factory=list)
    """Shards with a record at the end of each round."""
    leftovers_found: int = 0
    """Temporary files that killed writers left, over all rounds; the next command sweeps them."""
    made_again: int = 0
    """Shards whose record was written again though it was there; must be 0."""


def harass(run: Path, command: tuple[str, ...], rounds: int, seed: int, longest: float) -> Chaos:
    """Carry out ``command`` on ``run`` ``rounds`` times, killing something each time, then once in peace.

    Args:
        run: the run folder.
        command: arguments of ``facegen``, without ``--out``.
        rounds: how often something is killed.
        seed: of the moments and of what is killed.
        longest: seconds within which a moment is drawn, counted from the first shard of the round, or from its start.

    Raises:
        AssertionError: when a command ends otherwise than it should.
    """
    chance = random.Random(seed)
    chaos = Chaos(rounds)
    seen: dict[str, State] = {}
    for _ in range(rounds):
        there = len(list(run.glob("records/pack/*.json")))
        process = start(*command, "--out", run, "--json")
        if chance.random() < 0.7:
            # Most moments are in the midst of the work; the others while it starts: imports, workers, their models.
            wait_until(lambda process=process, there=there: _is_at_work(process, run, there))
        time.sleep(chance.uniform(0, longest))
        workers = workers_of(process)
        if workers and chance.random() < 0.5:
            with suppress(ProcessLookupError):
                kill(chance.choice(workers), signal.SIGKILL)
            chaos.killed_workers += 1
            time.sleep(chance.uniform(0, longest))
        chaos.killed_commands += process.poll() is None
        process.kill()
        finish(process)
        wait_until(lambda process=process: not group_members(process.pid), seconds=10)
        chaos.leftovers_found += sum(1 for _ in run.rglob("*.partial"))
        _look(run, seen, chaos)
    outcome = last(run, command)
    assert outcome.code == 0, outcome.err
    _look(run, seen, chaos)
    return chaos


def _is_at_work(process: subprocess.Popen[str], run: Path, there: int) -> bool:
    return len(list(run.glob("records/pack/*.json"))) > there or process.poll() is not None


def last(run: Path, command: tuple[str, ...]) -> Outcome:
    """The command once more, in peace."""
    return finish(start(*command, "--out", run, "--json"), 600)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a command that was started."""
    return [number for number in group_members(process.pid) if is_worker(number)]


def _look(run: Path, seen: dict[str, State], chaos: Chaos) -> None:
    records = sorted((run / "records" / "pack").glob("*.json"))
    for path in records:
        state = (path.stat().st_ino, path.stat().st_mtime_ns)
        chaos.made_again += seen.setdefault(path.name, state) != state
    chaos.committed.append(len(records))


def digest_problems(run: Path, clean: Path) -> list[str]:
    """How a run that was harassed differs from a clean one, apart from its records and dates."""
    found, expected = tree(run / "dataset.zarr"), tree(clean / "dataset.zarr")
    problems = [f"{name} differs" for name in expected if found.get(name) != expected[name]]
    problems += [f"{name} is left over" for name in found if name not in expected]
    records = [sorted(path.name for path in (place / "records" / "pack").iterdir()) for place in (run, clean)]
    problems += ["records differ"] if records[0] != records[1] else []
    problems += [f"{path.name} is left over" for path in run.rglob("*.partial")]
    problems += [f"{name}/ is left over" for name in ("live", "failed") if (run / name).exists()]
    return problems


def main() -> None:
    """The long version, on stdout as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faces", type=int, default=2400)
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    command = (
        *("run", "quickstart", "--faces", str(arguments.faces), *SMALL, "--set", "shard_size=4"),
        *("--set", "render.size=32", "--executor", arguments.executor, "--workers", "2"),
    )
    with tempfile.TemporaryDirectory(prefix="facegen-chaos-") as folder:
        clean, run = Path(folder) / "clean", Path(folder) / "run"
        assert last(clean, command).code == 0
        chaos = harass(run, command, arguments.rounds, arguments.seed, longest=1.5)
        problems = digest_problems(run, clean)
        shards = len(list((clean / "records" / "pack").iterdir()))
    ok = not problems and not chaos.made_again
    result = {"ok": ok, "executor": arguments.executor, "seed": arguments.seed, "shards": shards, **asdict(chaos)}
    print(json.dumps(result | {"problems": problems[:20]}, indent=1))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
