"""Whether ``facegen plan`` is right: a short calibration foretells a run that is far longer, which is then made."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facegen.errors import WorkerError
from facegen.pipeline.configuration import read_configuration
from facegen.pipeline.estimate import Measurement, estimate
from facegen.pipeline.folder import RunFolder
from facegen.stages.calibration import calibrate, calibration, target
from facegen.stages.plan import plan
from facegen.stages.task import STAGES


def run(config: str, *, faces: int, times: int = 20, workers: int = 2, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Foretell a run of ``times`` as many faces as the calibration makes, and carry it out as a command of its own.

    The calibration is repeated in the end: how its time per face has changed is how far this machine has changed
    meanwhile, which no prediction can know.

    Args:
        config: name or path of a configuration.
        faces: that the calibration measures.
        times: how much longer the run is.
        workers: of calibration and run; no more than this machine has cores.
        overrides: as for ``--set``.

    Raises:
        WorkerError: when the run fails.
    """
    values = read_configuration(config, overrides)
    made = calibration(faces, plan(values, source=config).config.shard_size, workers, workers)
    wanted = target(plan(values | {"faces": times * made.faces}, source=config), workers)
    measured = calibrate(values, config, made)
    expected = estimate(measured, wanted)
    with tempfile.TemporaryDirectory(prefix="facegen-benchmark-") as path:
        actual = _carry_out(config, Path(path) / "run", wanted.faces, workers, overrides)
    again = calibrate(values, config, made)
    predicted = {
        "wall_seconds": expected.wall_seconds,
        "stage_cpu_seconds": math.fsum(measured.cpu_seconds_per_face.values()) * wanted.faces,
        "bytes": expected.bytes,
        "files": expected.files,
        "folders": expected.folders,
    }
    return {
        "calibration_faces": made.faces,
        "faces": wanted.faces,
        "shard_size": wanted.shard_size,
        "workers": workers,
        "cores": wanted.cores,
        "predicted": predicted,
        "actual": actual,
        "predicted_over_actual": {name: round(predicted[name] / actual[name], 4) for name in predicted},
        "seconds_per_face": {
            "calibration": measured.mean_seconds_per_face,
            "calibration_afterwards": again.mean_seconds_per_face,
        },
        "start_seconds": {"calibration": expected.start_seconds, "calibration_afterwards": _start(again)},
        "machine_slower_afterwards": round(again.mean_seconds_per_face / measured.mean_seconds_per_face, 4),
    }


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{result['calibration_faces']:,} faces foretell {result['faces']:,} with --workers {result['workers']}: "
        "predicted / actual"
    ]
    for name, ratio in result["predicted_over_actual"].items():
        lines.append(f"  {name:<17} {result['predicted'][name]:>16,.0f} / {result['actual'][name]:,.0f} = {ratio:.3f}")
    lines.append(
        f"the same calibration afterwards took {result['machine_slower_afterwards']:.2f} times as long a face: "
        "as much as this machine has changed meanwhile"
    )
    return "\n".join(lines)


def _start(measured: Measurement) -> float:
    return measured.command_seconds + measured.worker_seconds


def _carry_out(config: str, out: Path, faces: int, workers: int, overrides: Sequence[str]) -> dict[str, float]:
    """Wall-clock seconds of ``facegen run``, and what it left on the disk."""
    command = [sys.executable, "-m", "facegen", "run", config, "--out", str(out), "--quiet"]
    command += ["--faces", str(faces), "--workers", str(workers)]
    command += [part for override in overrides for part in ("--set", override)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        raise WorkerError(f"the run failed with exit code {done.returncode}: {done.stderr.strip()[-200:]}")
    files = folders = size = 0
    for folder, _, names in os.walk(out):
        folders += 1
        files += len(names)
        size += sum((Path(folder) / name).stat().st_size for name in names)
    cpu = math.fsum(value for record in RunFolder(out).records(STAGES[-1]) for value in record.seconds.values())
    return {"wall_seconds": seconds, "stage_cpu_seconds": cpu, "bytes": size, "files": files, "folders": folders}
