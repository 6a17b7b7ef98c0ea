"""The ``facegen`` command: one short function a command. Data goes to stdout, words for people to stderr."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from facegen import __version__
from facegen.commands import benchmark, evaluate, folder, models, plan, run, status, train
from facegen.commands.options import Json, Model, Run, print_json, say
from facegen.errors import FacegenError, InterruptedRun
from facegen.pipeline.interruption import Terminated


class _Commands(TyperGroup):
    """Lets an interruption end like other failures: typer would leave without a word, and with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as signalled:
            # Once is enough: what is left is to say so.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            how = "terminated" if isinstance(signalled, Terminated) else "interrupted"
            raise InterruptedRun(f"{how}; what was finished is kept, the same command continues") from None


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
run.add(app)
status.add(app)
folder.add(app)
plan.add(app)
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")


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
