"""``facegen evaluate``: what trained networks and datasets are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facegen.commands.options import Json, Quiet, Run, print_json, say

app = typer.Typer(help="Measure trained networks and what they make.", no_args_is_help=True)


@app.command("denoise")
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
        say(line, quiet=quiet)

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
        print_json(result)
    else:
        print(report.text(result))


@app.command("compose")
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
        say(line, quiet=quiet)

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
        print_json(measured.result)
    else:
        print(report.text(measured.result))


@app.command("plausibility")
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

    result = judge_dataset(run, faces, recordings or [], lambda line: say(line, quiet=json_))
    if json_:
        print_json(result.as_dict())
    else:
        print(result.as_text())
