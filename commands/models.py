"""``facegen models``: look at the face models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.commands.options import Json, Model, print_json, say

app = typer.Typer(help="Look at the face models: what they hold, and a sheet of faces.", no_args_is_help=True)


@app.command("list")
def models_list(json_: Json = False) -> None:
    """Tell which face models there are, and which of them can be used here.

    Example: facegen models list
    """
    from facegen import model_report

    values = model_report.overview()
    if json_:
        print_json(values)
    else:
        print(model_report.overview_text(values))


@app.command("show")
def models_show(model: Model, json_: Json = False) -> None:
    """Tell what a model holds: sizes, components, expressions, regions, and the population it reproduces.

    Examples: facegen models show default · facegen models show ict --json
    """
    from facegen import model_report

    values = model_report.describe(model)
    if json_:
        print_json(values)
    else:
        print(model_report.describe_text(values))


@app.command("sheet")
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
    say(f"wrote {path}")


@app.command("play")
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
    say(f"wrote {out}")
