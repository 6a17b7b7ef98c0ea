"""``facegen status``: how far a run is, once or until it ends."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facegen.commands.options import Json, Run, print_json

if TYPE_CHECKING:
    from facegen.pipeline.status import RunWatch


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(
    run: Run,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on telling, until the run is complete or nobody works on it.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two tellings, with --watch.")] = 2.0,
    json_: Json = False,
) -> None:
    """Tell how far a run is: shards and faces done per stage, who works on it, how fast, and what failed.

    Examples: facegen status runs/first · facegen status runs/first --watch · facegen status runs/first --watch --json
    """
    from facegen import report
    from facegen.pipeline.folder import RunFolder
    from facegen.pipeline.status import RunWatch

    watcher = RunWatch(RunFolder(run))
    if watch:
        _watch(watcher, every, as_json=json_)
        return
    values = watcher.status()
    if json_:
        print_json(values)
    else:
        print(report.status_text(values))


def _watch(watcher: RunWatch, every: float, *, as_json: bool) -> None:
    """Tell again and again: in place on a terminal, a line of JSON or a paragraph each time elsewhere."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from facegen import report

    console = Console()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            values = watcher.status()
            text = report.status_text(values)
            if as_json:
                print(json.dumps(values, ensure_ascii=False), flush=True)
            elif console.is_terminal:
                live.update(Text(text), refresh=True)
            else:
                print(text, flush=True)
            if _is_over(values):
                return
            time.sleep(every)


def _is_over(values: dict[str, Any]) -> bool:
    return values["complete"] or not values["working"]
