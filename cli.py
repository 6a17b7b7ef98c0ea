"""The ``facegen`` command: one short function a command. Data goes to stdout, words for people to stderr."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from facegen import __version__
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
benchmark_app = typer.Typer(
    help="Measure this machine: ratios of things measured in turn in one run.", no_args_is_help=True
)
app.add_typer(benchmark_app, name="benchmark")
train_app = typer.Typer(help="Train the networks that some stages use.", no_args_is_help=True)
app.add_typer(train_app, name="train")
evaluate_app = typer.Typer(help="Measure trained networks and what they make.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
models_app = typer.Typer(help="Look at the face models: what they hold, and a sheet of faces.", no_args_is_help=True)
app.add_typer(models_app, name="models")

Config = Annotated[str, typer.Argument(help="Configuration: a YAML file, or the name of a shipped one.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; made if absent, continued if it is this run's.")]
Faces = Annotated[int | None, typer.Option("--faces", "-n", help="Number of faces, instead of the configuration's.")]
Seed = Annotated[int | None, typer.Option("--seed", "-s", help="Seed, instead of the configuration's.")]
Workers = Annotated[int | None, typer.Option("--workers", "-w", help="Worker processes. Default: one per core.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: --set render.size=512. Repeatable.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would be done; write nothing.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another configuration's run in the folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary; failures are told.")]
Run = Annotated[Path, typer.Argument(help="Run folder.")]

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


def _say(message: str, *, quiet: bool = False) -> None:
    if not quiet:
        print(message, file=sys.stderr)


def _print_json(values: Any) -> None:
    print(json.dumps(values, indent=2, ensure_ascii=False))


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
        _say(note, quiet=quiet or as_json)
    if dry_run:
        folder.check(planned.description(), overwrite=overwrite)
        todo = folder.unfinished(stages[-1], shards, planned.fingerprint)
        _print_json(report.dry_run(planned, stages, shards, todo)) if as_json else _say(
            report.dry_run_text(planned, stages, shards, todo)
        )
        return
    planned.prepare(folder, overwrite=overwrite, packs="pack" in stages)
    summary = carry_out(produce, planned.job(folder, stages), shards, workers or usable_cores(), quiet=quiet or as_json)
    if "pack" in stages and summary.complete:
        report.write_card(folder, planned)
    if as_json:
        _print_json(report.summary(summary, out))
    # Failures are told even to those who want quiet.
    _say(report.summary_text(summary, out), quiet=as_json or (quiet and summary.complete))
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
        _print_json(values)
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
        _print_json(report.as_dict())
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
    _say(f"wrote {out or run / 'preview.png'}")


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
    _say(f"wrote {out}")


@app.command()
def inspect(run: Run, json_: Json = False) -> None:
    """Tell what a dataset holds: arrays, shapes, units, sizes on disk, and ranges of values.

    Example: facegen inspect runs/first --json
    """
    from facegen.dataset.inspect import inspect as describe
    from facegen.dataset.inspect import inspect_text

    values = describe(run)
    if json_:
        _print_json(values)
    else:
        print(inspect_text(values))


@app.command()
def doctor(json_: Json = False) -> None:
    """Tell what this machine can render with, what is missing, and the command that installs it."""
    from facegen import report
    from facegen.stages.render import capabilities

    found = capabilities.report()
    if json_:
        _print_json([asdict(capability) for capability in found])
    else:
        print(report.doctor_text(found))


Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model of `facegen models list`.")]


@models_app.command("list")
def models_list(json_: Json = False) -> None:
    """Tell which face models there are, and which of them can be used here.

    Example: facegen models list
    """
    from facegen import model_report

    values = model_report.overview()
    if json_:
        _print_json(values)
    else:
        print(model_report.overview_text(values))


@models_app.command("show")
def models_show(model: Model, json_: Json = False) -> None:
    """Tell what a model holds: sizes, components, expressions, regions, and the population it reproduces.

    Examples: facegen models show default · facegen models show ict --json
    """
    from facegen import model_report

    values = model_report.describe(model)
    if json_:
        _print_json(values)
    else:
        print(model_report.describe_text(values))


@models_app.command("sheet")
def models_sheet(
    model: Model,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="PNG file. Default: MODEL.png.")] = None,
    size: Annotated[int, typer.Option("--size", min=64, max=2048, help="Side of a portrait in pixels.")] = 320,
) -> None:
    """Draw a model: its mean in three views, people, expressions, and what its first components do.

    Example: facegen models sheet default --out default.png --size 512
    """
    from facegen.model_report import named_model
    from facegen.stages.render.model_sheet import write_model_sheet

    path = out or Path(f"{model}.png")
    write_model_sheet(named_model(model), path, size)
    _say(f"wrote {path}")


@models_app.command("play")
def models_play(
    recording: Annotated[Path, typer.Argument(help="A take of Live Link Face: CSV.")],
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Models; repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file.")] = Path("performance.png"),
    frames: Annotated[int, typer.Option("--frames", "-n", min=1, max=120, help="How many frames.")] = 12,
    size: Annotated[int, typer.Option("--size", min=64, max=2048, help="Side of a portrait in pixels.")] = 256,
) -> None:
    """Draw the frames of a recorded performance that differ most, on one model or side by side on several.

    Example: facegen models play take.csv --model default --model ict --out side-by-side.png
    """
    from facegen.model_report import named_model
    from facegen.morphable.livelink import read_livelink
    from facegen.stages.render.model_sheet import write_performance

    take = read_livelink(recording)
    write_performance([named_model(name) for name in model or ["default"]], take, out, size, frames)
    _say(f"wrote {out}")


TrainingConfig = Annotated[
    str, typer.Argument(metavar="CONFIG", help="Configuration of a training: a YAML file, or a shipped one's name.")
]
TrainingOut = Annotated[
    Path, typer.Option("--out", "-o", help="Training folder; made if absent, continued if it is there.")
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1 …")]


@train_app.command("denoise")
def train_denoise(
    config: TrainingConfig, out: TrainingOut, seed: Seed = None, set_: Set = None, device: Device = "cpu",
    json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Train denoisers: networks that bring coefficients back to possible faces.

    The same command again continues a training that was interrupted, to the same weights.

    Examples: facegen train denoise denoise-identity --out runs/denoise-identity ·
    facegen train denoise my.yaml --out runs/mine --set denoisers.posterior.steps=8000
    """
    from facegen.manifold.command import carry_out

    values = _with_seed(config, seed, set_)
    cards = carry_out(values, config, out, device, lambda line: _say(line, quiet=quiet or json_))
    if json_:
        _print_json({name: asdict(card) for name, card in cards.items()})
    for name, card in cards.items():
        share = card.metrics["share_of_variance_recovered"]
        _say(f"{out / name}.safetensors: recovers {share:.0%} of the variance of test faces", quiet=quiet or json_)


@train_app.command("compose")
def train_compose(
    config: TrainingConfig, out: TrainingOut, seed: Seed = None, set_: Set = None, device: Device = "cpu",
    json_: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Train autoencoders that swap parts of faces, and what they are compared with.

    The same command again continues a training that was interrupted, to the same weights.

    Examples: facegen train compose compose --out runs/compose ·
    facegen train compose my.yaml --out runs/mine --set networks.full.schedule.epochs=30
    """
    from facegen.composition.command import carry_out

    values = _with_seed(config, seed, set_)
    cards = carry_out(values, config, out, device, lambda line: _say(line, quiet=quiet or json_))
    if json_:
        _print_json({name: asdict(card) for name, card in cards.items()})
    for name, card in cards.items():
        error = card.metrics["mean_error_mm"]
        _say(f"{out / name}.safetensors: test faces are off by {error:.3f} mm", quiet=quiet or json_)


@evaluate_app.command("denoise")
def evaluate_denoise(
    folder: Annotated[Path, typer.Argument(help="Training folder.")],
    figures: Annotated[Path | None, typer.Option(help="Folder to draw figures and contact sheets into.")] = None,
    faces: Annotated[int, typer.Option("--faces", "-n", min=10, help="Faces of each kind that are judged.")] = 500,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Live Link Face takes to learn from what a possible face is; repeatable.")
    ] = None,
    cell: Annotated[int, typer.Option(min=64, max=1024, help="Side of a portrait in pixels.")] = 160,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure trained denoisers: what they recover, how diverse and how possible the faces are that they make.

    Example: facegen evaluate denoise runs/denoise-identity --json --figures runs/denoise-identity/figures
    """
    from facegen.evaluation.denoise import report

    def told(line: str) -> None:
        _say(line, quiet=quiet)

    if figures is not None:
        from facegen.evaluation.plotting import need_matplotlib

        need_matplotlib()
    evaluation = report.Evaluation.of(folder)
    result = report.evaluate(evaluation, evaluation.judge(recordings or [], told), faces, told)
    if figures is not None:
        from facegen.evaluation.denoise.figures import write_figures
        from facegen.evaluation.denoise.sheets import write_sheets

        for path in [*write_figures(figures, evaluation, result), *write_sheets(figures, evaluation, cell)]:
            told(f"wrote {path}")
    if json_:
        _print_json(result)
    else:
        print(report.text(result))


@evaluate_app.command("compose")
def evaluate_compose(
    folder: Annotated[Path, typer.Argument(help="Training folder.")],
    figures: Annotated[Path | None, typer.Option(help="Folder to draw figures and contact sheets into.")] = None,
    faces: Annotated[
        int, typer.Option("--faces", "-n", min=10, help="Faces of parts of different people that are made and judged.")
    ] = 500,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Live Link Face takes to learn from what a possible face is; repeatable.")
    ] = None,
    cell: Annotated[int, typer.Option(min=64, max=1024, help="Side of a portrait in pixels.")] = 160,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure trained autoencoders: what they reconstruct, how local their parts are, what becomes of swapped faces.

    Example: facegen evaluate compose runs/compose --json --figures runs/compose/figures
    """
    from facegen.evaluation.compose import report
    from facegen.evaluation.compose.subject import Evaluation
    from facegen.evaluation.judging import judge_for

    def told(line: str) -> None:
        _say(line, quiet=quiet)

    if figures is not None:
        from facegen.evaluation.plotting import need_matplotlib

        need_matplotlib()
    evaluation = Evaluation.of(folder)
    judge = judge_for(folder, evaluation.model, recordings or [], told)
    measured = report.evaluate(evaluation, judge, faces, told)
    if figures is not None:
        from facegen.evaluation.compose.figures import write_figures
        from facegen.evaluation.compose.pictures import write_pictures

        for path in [
            *write_figures(figures, evaluation, measured), *write_pictures(figures, evaluation, measured, cell)
        ]:  # fmt: skip
            told(f"wrote {path}")
    if json_:
        _print_json(measured.result)
    else:
        print(report.text(measured.result))


@evaluate_app.command("plausibility")
def evaluate_plausibility(
    run: Run,
    faces: Annotated[int, typer.Option("--faces", "-n", min=1, help="Faces to judge, spread over the run.")] = 1000,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Live Link Face takes to learn from what a possible face is; repeatable.")
    ] = None,
    json_: Json = False,
) -> None:
    """Judge how many faces of a dataset could be people: folds, stretch, proportions, symmetry, self-intersection.

    Example: facegen evaluate plausibility runs/first --faces 500
    """
    from facegen.evaluation.dataset_plausibility import judge_dataset

    result = judge_dataset(run, faces, recordings or [], lambda line: _say(line, quiet=json_))
    if json_:
        _print_json(result.as_dict())
    else:
        print(result.as_text())


def _with_seed(config: str, seed: int | None, overrides: list[str] | None) -> dict[str, Any]:
    from facegen.pipeline.configuration import TRAININGS, read_configuration

    values = read_configuration(config, overrides or [], TRAININGS)
    return values if seed is None else values | {"seed": seed}


@benchmark_app.command("render")
def benchmark_render(
    json_: Json = False,
    model: Annotated[Path, typer.Option(help="ICT-FaceKit file or folder.")] = Path("$FACEGEN_ICT"),
    platform: Annotated[Literal["auto", "osmesa", "egl"], typer.Option(help="OpenGL platform for pyrender.")] = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of A B A B.")] = 15,
) -> None:
    """Our renderer, all channels, against pyrender: CPU ms per 224×224 frame on the real head at two densities.

    Example: facegen benchmark render --platform egl --json
    """
    from facegen.benchmarks.render import run, text
    from facegen.morphable.config import IctModelConfig
    from facegen.morphable.load import load_model

    head = load_model(IctModelConfig(path=model, part="head", eyes=False, teeth=False))
    with_eyes = load_model(IctModelConfig(path=model, part="head", eyes=True, teeth=False))
    result = run(head, dense=with_eyes, platform=platform, repeats=repeats)
    if json_:
        _print_json(result)
    else:
        print(text(result))


@benchmark_app.command("run")
def benchmark_run(
    config: Annotated[str, typer.Argument(help="Configuration.")] = "quickstart",
    faces: Annotated[int, typer.Option("--faces", "-n", min=64, help="Faces to make.")] = 1024,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """A whole run in one process: faces per CPU-core second by stage, and how memory behaves.

    Example: facegen benchmark run --faces 5120 --json
    """
    from facegen.benchmarks.run import run, text

    result = run(config, faces=faces, overrides=set_ or [])
    if json_:
        _print_json(result)
    else:
        print(text(result))


@benchmark_app.command("denoise")
def benchmark_denoise(
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of A B A B.")] = 15,
    json_: Json = False,
) -> None:
    """The shipped denoisers: faces per core second, and beside them the library's convolutions and the decoding.

    Example: facegen benchmark denoise --json
    """
    from facegen.benchmarks.denoise import run, text

    result = run(repeats)
    if json_:
        _print_json(result)
    else:
        print(text(result))


@benchmark_app.command("compose")
def benchmark_compose(
    model: Annotated[
        Path | None, typer.Option(help="ICT-FaceKit file or folder. Default: $FACEGEN_ICT, or the embedded model.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of A B A B.")] = 9,
    json_: Json = False,
) -> None:
    """A training step of the autoencoder against torch-geometric's convolutions, and faces per core second.

    Example: facegen benchmark compose --json
    """
    from facegen.benchmarks.compose import run, text

    result = run(model, repeats)
    if json_:
        _print_json(result)
    else:
        print(text(result))
