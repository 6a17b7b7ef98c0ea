"""``facegen benchmark``: measure this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from facegen.commands.options import Json, Set, print_json

app = typer.Typer(help="Measure this machine: ratios of things measured in turn in one run.", no_args_is_help=True)


@app.command("render")
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
    _tell(result, text, json_)


@app.command("run")
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
    _tell(result, text, json_)


@app.command("scale")
def benchmark_scale(
    config: Annotated[str, typer.Argument(help="Configuration.")] = "quickstart",
    shards: Annotated[int, typer.Option(min=2, help="Shards of 64 faces a worker and run.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of one worker, two workers.")] = 3,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """What scheduling costs a shard, what a second worker brings, and the client's memory over 2,000 shards.

    Example: facegen benchmark scale --json
    """
    from facegen.benchmarks.scale import run, text

    result = run(config, shards=shards, repeats=repeats, overrides=set_ or [])
    _tell(result, text, json_)


@app.command("plan")
def benchmark_plan(
    config: Annotated[str, typer.Argument(help="Configuration.")] = "quickstart",
    faces: Annotated[int, typer.Option("--faces", "-n", min=1, help="Faces of the calibration.")] = 256,
    times: Annotated[int, typer.Option(min=1, help="How many times as many faces the run makes.")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes of both.")] = 2,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """What `facegen plan` predicts of a run, against the run: time, bytes and files.

    Example: facegen benchmark plan --json
    """
    from facegen.benchmarks.plan import run, text

    result = run(config, faces=faces, times=times, workers=workers, overrides=set_ or [])
    _tell(result, text, json_)


@app.command("denoise")
def benchmark_denoise(
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of A B A B.")] = 15,
    json_: Json = False,
) -> None:
    """The shipped denoisers: faces per core second, and beside them the library's convolutions and the decoding.

    Example: facegen benchmark denoise --json
    """
    from facegen.benchmarks.denoise import run, text

    result = run(repeats)
    _tell(result, text, json_)


@app.command("compose")
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
    _tell(result, text, json_)


def _tell(result: dict[str, Any], text: Callable[[dict[str, Any]], str], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print(text(result))
