"""What is done to finished run folders: checking them, joining them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.commands.options import Json, Quiet, Run, print_json, say

_VERIFY_EXAMPLES = """

[bold]Examples[/bold]

  facegen verify runs/first

  facegen verify runs/big --sample 4 --json
"""

_MERGE_EXAMPLES = """

[bold]Examples[/bold]

  facegen merge runs/here runs/there --out runs/all

  facegen merge /mnt/a/piece /mnt/b/piece --out /mnt/a/all --link
"""


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog=_VERIFY_EXAMPLES)(verify)
    app.command(epilog=_MERGE_EXAMPLES)(merge)


def verify(
    run: Run,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Check labels of so many faces a shard, spread evenly; default: of all."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Shards checked at the same time. Default: one per core.")
    ] = None,
    json_: Json = False,
) -> None:
    """Read everything and check it: records, digests, array shapes, and that labels match their meshes.

    What single stages left is checked too, and what was left behind or given up is told. The last line says what to
    do. Exits with 1 when anything is wrong.
    """
    from facegen.pipeline.executors.local import usable_cores
    from facegen.verification import verify_run

    report = verify_run(run, sample=sample, threads=threads or usable_cores(), quiet=json_)
    if json_:
        print_json(report.as_dict())
    else:
        print(report.as_text())
    if not report.ok:
        raise typer.Exit(1)


def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders of one configuration.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New run folder, or one of the same run to add to.")],
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies, on one file system: no second copy on disk.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join runs of one configuration that were made in different places, as pieces or overlapping.

    Every file is compared with its record on the way, and the runs themselves stay as they are. Damaged shards are
    told and left out: exit 1; what is missing then, the same `facegen run` command makes in the new folder. The same
    command again continues a merge that was interrupted.
    """
    from facegen.merging import merge_dict, merge_runs, merge_text
    from facegen.pipeline.executors.local import usable_cores

    report = merge_runs(runs, out, link=link, threads=usable_cores(), quiet=quiet or json_)
    if json_:
        print_json(merge_dict(report))
    # Damage is told even to those who want quiet.
    say(merge_text(report), quiet=json_ or (quiet and not report.damaged))
    if report.damaged:
        raise typer.Exit(1)
