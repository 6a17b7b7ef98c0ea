"""``facegen plan``: what a run would take, before it is started."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from facegen.commands.options import Config, Faces, Json, Set, print_json, say

_EPILOG = """

[bold]Examples[/bold]

  facegen plan quickstart --faces 10000000 --workers 64

  facegen plan my.yaml --faces 1000000 --workers 512 --from runs/first --simulate --mtbf 24
"""


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("plan", epilog=_EPILOG)(_plan)


def _plan(
    config: Config,
    faces: Faces = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", help="Workers of the planned run. Default: one per core.")
    ] = None,
    set_: Set = None,
    calibration: Annotated[
        int | None, typer.Option(metavar="FACES", help="Faces to make here for the measurement. Default: 512.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Take times and sizes of this run; measure nothing.")
    ] = None,
    executor_cost: Annotated[
        float | None,
        typer.Option(metavar="MS", help="Scheduler time per shard, instead of what is measured; about 9 for Dask."),
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Carry the run out with simulated workers, retries and all.")
    ] = False,
    mtbf: Annotated[
        float | None,
        typer.Option(metavar="HOURS", help="Simulate failures: mean time between those of one worker."),
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Simulate errors: share of attempts at a shard that raise.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Of the simulation.")] = 0,
    json_: Json = False,
) -> None:
    """Predict time, storage and memory of a run from a few shards made here, without carrying it out."""
    from facegen import planning

    planning.check_options(workers, calibration, executor_cost, mtbf, error_rate)
    hazards = None
    if simulate or mtbf is not None or error_rate is not None:
        hazards = planning.Failures(math.inf if mtbf is None else mtbf * 3600, error_rate or 0.0, seed)
    result = planning.predict(
        config, set_ or [], faces, workers, calibration, from_, executor_cost, hazards,
        lambda line: say(line, quiet=json_),
    )  # fmt: skip
    if json_:
        print_json(result)
    else:
        print(planning.text(result))
