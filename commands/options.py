"""What the commands have in common: their options, and where words and data go."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[str, typer.Argument(help="Configuration: a YAML file, or the name of a shipped one.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; made if absent, continued if it is this run's.")]
Faces = Annotated[int | None, typer.Option("--faces", "-n", help="Number of faces, instead of the configuration's.")]
Seed = Annotated[int | None, typer.Option("--seed", "-s", help="Seed, instead of the configuration's.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-w", help="Worker processes; 0: this process. Default: the executor's, one per core."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: --set render.size=512. Repeatable.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would be done; write nothing.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another configuration's run in the folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary; failures are told.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model of `facegen models list`.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]


def say(message: str, *, quiet: bool = False) -> None:
    """Tell people something, on stderr."""
    if not quiet:
        print(message, file=sys.stderr)


def print_json(values: Any) -> None:
    """Print plain values as JSON on stdout."""
    print(json.dumps(values, indent=2, ensure_ascii=False))
