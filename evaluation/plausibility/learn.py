"""Learns what clean faces of a model show and writes it to a file::

    python -m facegen.evaluation.plausibility.learn default --recordings TAKE.csv... --out FILE.npz

The shipped files were made by it from the four takes of the MIT-licensed
`LiveLinkFace-CSV-Retarget <https://github.com/alexdjulin/LiveLinkFace-CSV-Retarget-For-Motionbuilder>`_; what came
from where is in each file. Takes a minute or two.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from facegen.errors import FacegenError
from facegen.evaluation.plausibility.clean import clean_faces, half
from facegen.evaluation.plausibility.judge import Plausibility
from facegen.evaluation.plausibility.thresholds import Provenance
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.livelink import read_livelink
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel

FACES = 8000
SEED = 1


def learn(model: MorphableModel, recordings: Sequence[Path], faces: int = FACES, seed: int = SEED) -> Plausibility:
    """Learn from clean faces: half of them neutral people, half of them with expressions that were recorded.

    Of the recordings every second block of frames is used; the others are left to test on.

    Raises:
        CaptureError: a recording is missing or damaged, or there is none.
        ModelError: the model has not 68 landmarks, or expressions that ARKit has no weight for.
    """
    takes = [half(read_livelink(path), 0) for path in recordings]
    people = "the model's population" if model.population is not None else "N(0, 1) in each identity coefficient"
    provenance = Provenance(
        model=model.name,
        sha256=model.sha256,
        source=f"{faces} faces: people of {people}, half of them neutral, half with one of "
        f"{sum(len(take.weights) for take in takes)} recorded frames, of which every second mirrored",
        seed=seed,
        recordings={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in recordings},
        command="python -m facegen.evaluation.plausibility.learn "
        f"--faces {faces} --seed {seed} --recordings {' '.join(path.name for path in recordings)}",
    )
    return Plausibility.learn(model, clean_faces(model, takes, faces, seed), provenance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when done, 2 when it was used wrongly."""
    parser = argparse.ArgumentParser(prog="python -m facegen.evaluation.plausibility.learn", description=learn.__doc__)
    parser.add_argument("model", help="default, coarse (the same of fewer vertices), or the path of ICT-FaceKit")
    parser.add_argument("--recordings", nargs="+", type=Path, required=True, help="Live Link Face CSV files")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--faces", type=int, default=FACES)
    parser.add_argument("--seed", type=int, default=SEED)
    chosen = parser.parse_args(arguments)
    try:
        config = (
            DefaultModelConfig(resolution="coarse" if chosen.model == "coarse" else "default", bust=False)
            if chosen.model in ("default", "coarse")
            else IctModelConfig(path=Path(chosen.model))
        )
        learnt = learn(load_model(config), chosen.recordings, chosen.faces, chosen.seed)
        learnt.save(chosen.out)
    except FacegenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    observed = learnt.thresholds.observed
    print(
        f"{chosen.out}: {observed.faces} clean faces; at most {observed.folds} folds; curves of intersection at most "
        + ", ".join(
            f"{mm:.0f} mm ({place.name})" for mm, place in zip(observed.curve, learnt.surface.places, strict=True)
        ),
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
