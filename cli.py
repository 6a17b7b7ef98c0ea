"""The ``facegen`` command: one short function a command. Data goes to stdout, words for people to stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from facegen import __version__
from facegen.commands import benchmark, evaluate, models, train
from facegen.commands.options import (
    Config,
    DryRun,
    Faces,
    Json,
    Model,
    Out,
    Overwrite,
    Quiet,
    Run,
    Seed,
    Set,
    Workers,
    print_json,
    say,
)
from facegen.errors import FacegenError, InterruptedRun


class _Commands(TyperGroup):
    """Lets an interruption end like other failures: typer would leave without a word, and with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRun("interrupted; what was finished is kept, the same command continues") from None


app = typer.Typer(
    cls=_Commands,
    help="Make synthetic 3D face datasets: sample a morphable model, denoise what is impossible, compose new faces of "
    "parts, render them with exact labels, pack them into Zarr.",
    epilog="Start with: facegen run quickstart --out runs/quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")


_EXAMPLES = """

[bold]Examples[/bold]

  facegen {command} quickstart --out runs/first

  facegen {command} quickstart --out runs/big --faces 100000 --seed 7 --workers 8

  facegen {command} my.yaml --out runs/mine --set render.size=512 --set sample.pose.yaw.high=60
"""


def main() -> NoReturn:
    """Run the command line; exit codes: 0 done, 1 something failed, 2 wrong use."""
    try:
        app(prog_name="facegen")
    except FacegenError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    # One line, whatever a file's name or a library's message holds.
    print(f"facegen: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"facegen {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=_EXAMPLES.format(command="run"))
def run(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Carry a configuration out: sample, denoise, compose, render and pack every face.

    The same command again continues a run that was interrupted, and changes nothing in one that is complete.
    """
    from facegen.stages.task import STAGES

    _carry_out(STAGES, config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


@app.command(epilog=_EXAMPLES.format(command="sample"))
def sample(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Only draw coefficients, pose, camera and light, into RUN/stages/sample."""
    _carry_out(("sample",), config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


@app.command(epilog=_EXAMPLES.format(command="denoise").replace("quickstart", "diverse"))
def denoise(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Only bring what `facegen sample` drew back to possible faces, into RUN/stages/denoise."""
    _carry_out(("denoise",), config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


@app.command(epilog=_EXAMPLES.format(command="compose").replace("quickstart", "composed"))
def compose(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Only swap parts of what `facegen sample` drew, and `facegen denoise` mended, into RUN/stages/compose."""
    _carry_out(("compose",), config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


@app.command(epilog=_EXAMPLES.format(command="render"))
def render(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Only render what the stages before made of the faces, into RUN/stages/render."""
    _carry_out(("render",), config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


@app.command(epilog=_EXAMPLES.format(command="pack"))
def pack(
    config: Config, out: Out, faces: Faces = None, seed: Seed = None, workers: Workers = None, set_: Set = None,
    dry_run: DryRun = False, overwrite: Overwrite = False, json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Only pack what `facegen render` made, into RUN/dataset.zarr."""
    _carry_out(("pack",), config, out, faces, seed, workers, set_, dry_run, overwrite, json_, quiet)


def _carry_out(
    stages: tuple[str, ...], config: str, out: Path, faces: int | None, seed: int | None, workers: int | None,
    overrides: list[str] | None, dry_run: bool, overwrite: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    from facegen import report
    from facegen.errors import ConfigurationError
    from facegen.pipeline.configuration import read_configuration
    from facegen.pipeline.folder import RunFolder
    from facegen.pipeline.local import usable_cores
    from facegen.pipeline.run import carry_out
    from facegen.pipeline.shards import split
    from facegen.stages.plan import plan
    from facegen.stages.task import produce

    if workers is not None and workers < 1:
        raise ConfigurationError(f"--workers: expected at least 1, found {workers}")
    values = read_configuration(config, overrides or [])
    values |= {key: value for key, value in (("faces", faces), ("seed", seed)) if value is not None}
    planned = plan(values, source=config)
    planned.check(stages)
    folder = RunFolder(out)
    shards = split(planned.config.faces, planned.config.shard_size)
    for note in planned.notes:
        say(note, quiet=quiet or as_json)
    if dry_run:
        folder.check(planned.description(), overwrite=overwrite)
        todo = folder.unfinished(stages[-1], shards, planned.fingerprint)
        print_json(report.dry_run(planned, stages, shards, todo)) if as_json else say(
            report.dry_run_text(planned, stages, shards, todo)
        )
        return
    planned.prepare(folder, overwrite=overwrite, packs="pack" in stages)
    summary = carry_out(produce, planned.job(folder, stages), shards, workers or usable_cores(), quiet=quiet or as_json)
    if "pack" in stages and summary.complete:
        report.write_card(folder, planned)
    if as_json:
        print_json(report.summary(summary, out))
    # Failures are told even to those who want quiet.
    say(report.summary_text(summary, out), quiet=as_json or (quiet and summary.complete))
    if not summary.complete:
        raise typer.Exit(1)


@app.command()
def status(run: Run, json_: Json = False) -> None:
    """Tell how far a run is: shards and faces done per stage, and what failed.

    Example: facegen status runs/first
    """
    from facegen import report
    from facegen.pipeline.folder import RunFolder

    values = report.status(RunFolder(run))
    if json_:
        print_json(values)
    else:
        print(report.status_text(values))


@app.command()
def verify(run: Run, json_: Json = False) -> None:
    """Read everything and check it: records, digests, array shapes, and that labels match their meshes.

    Exits with 1 when anything is wrong. Example: facegen verify runs/first
    """
    from facegen.dataset.verify import verify as check

    report = check(run)
    if json_:
        print_json(report.as_dict())
    else:
        print(report.as_text())
    if report.problems:
        raise typer.Exit(1)


@app.command()
def preview(
    run: Run,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="PNG file. Default: RUN/preview.png.")] = None,
    faces: Annotated[
        int, typer.Option("--faces", "-n", min=1, help="How many faces to show, spread over the run.")
    ] = 8,
    channels: Annotated[
        str, typer.Option(help="Channels beside each image, separated by commas; 'none' for images alone.")
    ] = "landmarks,normal,depth,segmentation,uv,pncc",
) -> None:
    """Draw a contact sheet: images with their channels beside them.

    Examples: facegen preview runs/first · facegen preview runs/first --faces 64 --channels none --out sheet.png
    """
    from facegen.dataset.preview import write_preview

    names = [] if channels == "none" else [name.strip() for name in channels.split(",")]
    write_preview(run, out or run / "preview.png", faces, names)
    say(f"wrote {out or run / 'preview.png'}")


@app.command("compose-sheet")
def compose_sheet(
    model: Model = "default",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of an autoencoder. Default: those shipped for the model.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Of the people.")] = 0,
    rows: Annotated[int, typer.Option("--rows", min=1, max=100, help="Pairs of people.")] = 6,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG or JPEG file.")] = Path("compose.png"),
    size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side of a portrait in pixels.")] = 192,
    heat: Annotated[bool, typer.Option("--heat", help="Below each row, how far vertices were moved.")] = False,
) -> None:
    """Draw people who are given parts of others: each part alone, and all of them.

    Example: facegen compose-sheet default --rows 8 --seed 3 --heat --out parts.png
    """
    from facegen.evaluation.compose.people_sheet import write_people_sheet
    from facegen.model_report import named_model

    write_people_sheet(named_model(model), weights, out, seed=seed, rows=rows, cell=size, heat=heat)
    say(f"wrote {out}")


@app.command()
def inspect(run: Run, json_: Json = False) -> None:
    """Tell what a dataset holds: arrays, shapes, units, sizes on disk, and ranges of values.

    Example: facegen inspect runs/first --json
    """
    from facegen.dataset.inspect import inspect as describe
    from facegen.dataset.inspect import inspect_text

    values = describe(run)
    if json_:
        print_json(values)
    else:
        print(inspect_text(values))


@app.command()
def doctor(json_: Json = False) -> None:
    """Tell what this machine can render with, what is missing, and the command that installs it."""
    from facegen import report
    from facegen.stages.render import capabilities

    found = capabilities.report()
    if json_:
        print_json([asdict(capability) for capability in found])
    else:
        print(report.doctor_text(found))
