"""``facegen train``: the networks that some stages use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from facegen.commands.options import Json, Quiet, Seed, Set, print_json, say

app = typer.Typer(help="Train the networks that some stages use.", no_args_is_help=True)

TrainingConfig = Annotated[
    str, typer.Argument(metavar="CONFIG", help="Configuration of a training: a YAML file, or a shipped one's name.")
]
TrainingOut = Annotated[
    Path, typer.Option("--out", "-o", help="Training folder; made if absent, continued if it is there.")
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1 …")]


@app.command("denoise")
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
    cards = carry_out(values, config, out, device, lambda line: say(line, quiet=quiet or json_))
    if json_:
        print_json({name: asdict(card) for name, card in cards.items()})
    for name, card in cards.items():
        share = card.metrics["share_of_variance_recovered"]
        say(f"{out / name}.safetensors: recovers {share:.0%} of the variance of test faces", quiet=quiet or json_)


@app.command("compose")
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
    cards = carry_out(values, config, out, device, lambda line: say(line, quiet=quiet or json_))
    if json_:
        print_json({name: asdict(card) for name, card in cards.items()})
    for name, card in cards.items():
        error = card.metrics["mean_error_mm"]
        say(f"{out / name}.safetensors: test faces are off by {error:.3f} mm", quiet=quiet or json_)


def _with_seed(config: str, seed: int | None, overrides: list[str] | None) -> dict[str, Any]:
    from facegen.pipeline.configuration import TRAININGS, read_configuration

    values = read_configuration(config, overrides or [], TRAININGS)
    return values if seed is None else values | {"seed": seed}
