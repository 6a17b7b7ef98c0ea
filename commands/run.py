"""``facegen run`` and the commands that carry out one stage each: the same options, the same bytes in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from facegen.commands.options import (
    Config,
    DryRun,
    Faces,
    Json,
    Out,
    Overwrite,
    Quiet,
    Seed,
    Set,
    Workers,
    print_json,
    say,
)

_Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        "-x",
        help="Who makes the shards: local, dask, slurm, or a YAML file with an 'executor' block.",
        rich_help_panel="Many workers",
    ),
]
_Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a running Dask scheduler, as tcp://host:8786.", rich_help_panel="Many workers"),
]
_Shards = Annotated[
    str | None,
    typer.Option(
        metavar="A:B|K/N",
        help="Only shards A to B - 1, or piece K of N (from 0): for job arrays.",
        rich_help_panel="Many workers",
    ),
]
_Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Take finished shards at their word: compare sizes, do not read them.",
        rich_help_panel="Many workers",
    ),
]
_Performance = Annotated[
    Path | None,
    typer.Option(
        "--performance-report", help="Write Dask's report of who did what when (HTML).", rich_help_panel="Many workers"
    ),
]

_EXAMPLES = """

[bold]Examples[/bold]

  facegen {command} quickstart --out runs/first

  facegen {command} quickstart --out runs/big --faces 100000 --seed 7 --workers 8

  facegen {command} my.yaml --out runs/mine --set render.size=512 --set sample.pose.yaw.high=60

  facegen {command} my.yaml --out runs/mine --scheduler tcp://head:8786

  facegen {command} my.yaml --out runs/mine --shards $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
"""

_STAGE_HELP = {
    "sample": "Only draw coefficients, pose, camera and light, into RUN/stages/sample.",
    "denoise": "Only bring what `facegen sample` drew back to possible faces, into RUN/stages/denoise.",
    "compose": "Only swap parts of what `facegen sample` drew, and `facegen denoise` mended, into RUN/stages/compose.",
    "render": "Only render what the stages before made of the faces, into RUN/stages/render.",
    "pack": "Only pack what `facegen render` made, into RUN/dataset.zarr.",
}
_RUN_HELP = """Carry a configuration out: sample, denoise, compose, render and pack every face.

The same command again continues a run that was interrupted, and changes nothing in one that is complete.
"""
_FITTING = {"denoise": "diverse", "compose": "composed"}
"""Shipped configurations in which a stage has something to do, where quickstart is none."""


def add(app: typer.Typer) -> None:
    """Register the commands."""
    _add(app, "run", _RUN_HELP, None)
    for stage, text in _STAGE_HELP.items():
        _add(app, stage, text, (stage,))


def _add(app: typer.Typer, name: str, text: str, stages: tuple[str, ...] | None) -> None:
    examples = _EXAMPLES.format(command=name).replace("quickstart", _FITTING.get(name, "quickstart"))
    app.command(name, help=text, epilog=examples)(_command(stages))


def _command(stages: tuple[str, ...] | None) -> Callable[..., None]:
    """The command that carries out ``stages``, all where there are none."""

    def command(
        config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
        executor: _Executor = None, scheduler: _Scheduler = None, shards: _Shards = None, quick: _Quick = False,
        performance_report: _Performance = None,
        dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
    ) -> None:  # fmt: skip
        from facegen.stages.task import STAGES

        values = _values(config, set_ or [], executor, scheduler, {"faces": faces, "seed": seed}, workers)
        _carry_out(
            stages or STAGES, values, config, out, shards, performance_report,
            read=not quick, dry_run=dry_run, overwrite=overwrite, as_json=json_, quiet=quiet,
        )  # fmt: skip

    return command


def _values(
    config: str,
    overrides: list[str],
    executor: str | None,
    scheduler: str | None,
    instead: dict[str, Any],
    workers: int | None,
) -> dict[str, Any]:
    """The values of a configuration with everything that the command line says instead."""
    from facegen.errors import ConfigurationError
    from facegen.pipeline.configuration import apply_overrides, read_configuration

    values = read_configuration(config)
    if scheduler is not None:
        if executor not in (None, "dask"):
            raise ConfigurationError(f"--scheduler is an address of Dask; found --executor {executor} beside it")
        executor = "dask"
    if executor is not None:
        values["executor"] = _block(values.get("executor"), executor)
    apply_overrides(values, overrides)
    values |= {key: value for key, value in instead.items() if value is not None}
    said = {key: value for key, value in (("scheduler", scheduler), ("workers", workers)) if value is not None}
    if said:
        block = values.get("executor") or {}
        values["executor"] = block | said if isinstance(block, dict) else block
    return values


def _block(there: object, name: str) -> object:
    """The block ``executor`` that ``--executor`` means: that of the configuration where it is of this kind."""
    from facegen.errors import ConfigurationError
    from facegen.pipeline.configuration import CLUSTERS, read_configuration, shipped_names

    kind = there.get("kind", "local") if isinstance(there, dict) else None
    if name == kind:
        return there
    if name in ("local", "dask"):
        return {"kind": name}
    if not Path(name).is_file() and name not in shipped_names(CLUSTERS):
        known = ", ".join(["local", "dask", *shipped_names(CLUSTERS)])
        raise ConfigurationError(f"--executor {name}: expected {known}, or a YAML file; there is no such file")
    values = read_configuration(name, package=CLUSTERS)
    if set(values) != {"executor"}:
        raise ConfigurationError(f"{name}: expected the block 'executor' alone, found {', '.join(map(str, values))}")
    return values["executor"]


def _carry_out(
    stages: tuple[str, ...], values: dict[str, Any], source: str, out: Path, selection: str | None,
    performance: Path | None, *, read: bool, dry_run: bool, overwrite: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    from facegen import report
    from facegen.errors import ConfigurationError
    from facegen.pipeline.executors.config import SlurmConfig
    from facegen.pipeline.folder import RunFolder
    from facegen.pipeline.run import carry_out
    from facegen.pipeline.shards import select, split
    from facegen.stages.plan import plan
    from facegen.stages.task import produce

    planned = plan(values, source=source)
    planned.check(stages)
    executor = planned.config.executor
    if performance is not None and executor.kind == "local":
        raise ConfigurationError("--performance-report is Dask's; add --executor dask or --scheduler")
    folder = RunFolder(out)
    shards = split(planned.config.faces, planned.config.shard_size)
    if selection is not None:
        shards = select(shards, selection)
    for note in planned.notes:
        say(note, quiet=quiet or as_json)
    if dry_run:
        folder.check(planned.description(), overwrite=overwrite)
        todo = folder.unfinished(stages[-1], shards, planned.fingerprint, read=read)
        script = None
        if isinstance(executor, SlurmConfig):
            from facegen.pipeline.executors.slurm import job_script

            script = job_script(executor, out)
        if as_json:
            print_json(report.dry_run(planned, stages, shards, todo) | ({"job_script": script} if script else {}))
        else:
            say(report.dry_run_text(planned, stages, shards, todo))
            if script:
                print(script)
        return
    planned.prepare(folder, overwrite=overwrite, packs="pack" in stages)
    watch = None
    if performance is not None:
        from facegen.pipeline.executors.dask import performance_report

        def watch(makers: Any) -> Any:
            return performance_report(makers, performance)

    job = planned.job(folder, stages)
    summary = carry_out(produce, job, shards, executor, read=read, quiet=quiet or as_json, watch=watch)
    if "pack" in stages and summary.complete and folder.has_all_records("pack"):
        report.write_card(folder, planned)
    if as_json:
        print_json(report.summary(summary, out))
    # Failures are told even to those who want quiet.
    say(report.summary_text(summary, out), quiet=as_json or (quiet and summary.complete))
    if not summary.complete:
        raise typer.Exit(1)
