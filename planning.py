"""What ``facegen plan`` tells: measured here or recorded before, extrapolated, simulated on request, put into words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facegen.errors import ConfigurationError
from facegen.pipeline.configuration import read_configuration
from facegen.pipeline.estimate import Estimate, Measurement, Target, advice, assumptions, estimate
from facegen.pipeline.executors.config import Patience
from facegen.pipeline.executors.local import usable_cores
from facegen.pipeline.progress import duration
from facegen.pipeline.shards import split
from facegen.pipeline.simulation import Hazards, Simulation, draw_durations, simulate
from facegen.stages.calibration import FACES, calibrate, calibration, learn, target
from facegen.stages.plan import plan

RESTART_SECONDS = 10.0
"""Until a simulated worker that died is back, where nothing says how long a worker takes to start."""


@dataclass(frozen=True)
class Failures:
    """What a simulation is to inject."""

    mean_time_between_failures: float
    """Of one worker, s; infinite for none."""
    error_rate: float
    """Chance that an attempt at a shard raises."""
    seed: int


def check_options(
    workers: int | None,
    calibration_faces: int | None,
    executor_cost: float | None,
    mtbf: float | None,
    error_rate: float | None,
) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        ConfigurationError: naming the option.
    """
    for name, number in (("--workers", workers), ("--calibration", calibration_faces)):
        if number is not None and number < 1:
            raise ConfigurationError(f"{name}: expected at least 1, found {number}")
    if executor_cost is not None and not 0 <= executor_cost < math.inf:
        raise ConfigurationError(f"--executor-cost: expected 0 or more milliseconds, found {executor_cost:g}")
    if mtbf is not None and not mtbf > 0:
        raise ConfigurationError(f"--mtbf: expected more than 0 hours, found {mtbf:g}")
    if error_rate is not None and not 0 <= error_rate < 1:
        raise ConfigurationError(f"--error-rate: expected a share from 0 to below 1, found {error_rate:g}")


def predict(
    source: str,
    overrides: Sequence[str],
    faces: int | None,
    workers: int | None,
    calibration_faces: int | None,
    earlier: Path | None,
    executor_cost: float | None,
    failures: Failures | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What a run would take, as plain values.

    Args:
        source: name or path of a configuration.
        overrides: as for ``--set``.
        faces: instead of the configuration's.
        workers: of the planned run; one per core unless said.
        calibration_faces: to be measured; :data:`~facegen.stages.calibration.FACES` unless said.
        earlier: a run whose records are taken instead of a calibration.
        executor_cost: milliseconds of the scheduler per shard, instead of what is measured.
        failures: what a simulation is to inject; ``None`` for no simulation.
        say: is told what is going on.

    Raises:
        FacegenError: naming what is wrong with the configuration, the options, or the earlier run.
    """
    if earlier is not None and calibration_faces is not None:
        raise ConfigurationError("--from takes the place of a calibration; found --calibration beside it")
    values = read_configuration(source, overrides)
    values |= {} if faces is None else {"faces": faces}
    planned = plan(values, source=source)
    wanted = target(planned, usable_cores() if workers is None else workers)
    if earlier is not None:
        measured = learn(planned, earlier)
    else:
        shard_size = min(wanted.shard_size, wanted.faces)
        made = calibration(calibration_faces or FACES, shard_size, wanted.workers, wanted.cores)
        say(f"measuring: {made.faces:,} faces in shards of {made.shard_size:,}, {made.workers} at a time")
        measured = calibrate(values, source, made)
    if executor_cost is not None:
        measured = replace(measured, scheduler_seconds=executor_cost / 1000)
    expected = estimate(measured, wanted)
    result = _as_dict(planned.config.name, measured, wanted, expected)
    if failures is not None:
        say(f"simulating: {wanted.shards:,} shards on {wanted.workers:,} workers")
        result["simulation"] = _simulated(measured, wanted, failures, planned.config.executor).as_dict()
    return result


def _simulated(measured: Measurement, wanted: Target, failures: Failures, patience: Patience) -> Simulation:
    hazards = Hazards(
        mean_time_between_failures=failures.mean_time_between_failures,
        restart_seconds=measured.worker_seconds or RESTART_SECONDS,
        error_rate=failures.error_rate,
        scheduler_seconds=measured.scheduler_seconds,
    )
    shards = split(wanted.faces, wanted.shard_size)
    durations = draw_durations(measured.seconds_per_face, shards, failures.seed)
    # What a worker waits for beyond the scheduler itself is its own time.
    durations += max(0.0, measured.handover_seconds - measured.scheduler_seconds)
    return simulate(durations, shards, wanted.workers, hazards, patience, failures.seed)


def _as_dict(name: str, measured: Measurement, wanted: Target, expected: Estimate) -> dict[str, Any]:
    return {
        "configuration": name,
        "faces": wanted.faces,
        "workers": wanted.workers,
        "shard_size": wanted.shard_size,
        "shards": expected.shards,
        "wall_seconds": round(expected.wall_seconds, 3),
        "start_seconds": round(expected.start_seconds, 3),
        "faces_per_second": round(expected.faces_per_second, 3),
        "idle_share": round(expected.idle_share, 4),
        "cpu_hours": round(expected.cpu_hours, 4),
        "bytes": {
            "dataset": expected.dataset_bytes,
            "metadata": wanted.metadata_bytes,
            "records": expected.record_bytes,
            "total": expected.bytes,
        },
        "files": expected.files,
        "folders": expected.folders,
        "memory_mib": {
            "worker": round(expected.worker_mib, 1),
            "total": round(expected.total_mib, 1),
            "machine": round(wanted.machine_mib, 1),
        },
        "cores": wanted.cores,
        "measured": asdict(measured) | {"mean_seconds_per_face": measured.mean_seconds_per_face},
        "advice": list(advice(measured, wanted, expected)),
        "assumptions": list(assumptions(measured, wanted)),
    }


def text(result: dict[str, Any]) -> str:
    """:func:`predict` for people."""
    size, memory, measured = result["bytes"], result["memory_mib"], result["measured"]
    stages = ", ".join(f"{stage} {1000 * value:.2f} ms" for stage, value in measured["cpu_seconds_per_face"].items())
    workers = f"{result['workers']:,} worker{'s' if result['workers'] > 1 else ''}"
    rows = {
        "time": f"{duration(result['wall_seconds'])}, of which {duration(result['start_seconds'])} to start; "
        f"{result['faces_per_second']:,.0f} faces/s",
        "computing": f"{result['cpu_hours']:,.1f} CPU hours",
        "storage": f"{_bytes(size['total'])}, of which {_bytes(size['records'])} records and "
        f"{_bytes(size['metadata'])} metadata",
        "shards": f"{result['shards']:,} of {result['shard_size']:,} faces",
        "files": f"{result['files']:,} in {result['folders']:,} folders",
        "memory": f"{memory['worker'] / 1024:.2f} GiB a worker, {memory['total'] / 1024:,.1f} GiB altogether",
        "measured": f"{measured['source']}: {1000 * measured['mean_seconds_per_face']:.2f} ms a face and worker "
        f"(CPU: {stages}), {measured['workers']} at a time",
    }
    lines = [f"{result['configuration']}: {result['faces']:,} faces on {workers}"]
    lines += [f"  {name:<10} {words}" for name, words in rows.items()]
    lines += [f"  assumed    {sentence}" for sentence in result["assumptions"]]
    lines += [f"  advice     {sentence}" for sentence in result["advice"]]
    if "simulation" in result:
        lines += ["", _simulation_text(result["simulation"])]
    return "\n".join(lines)


def _simulation_text(values: dict[str, Any]) -> str:
    rows = {
        "makespan": f"{duration(values['makespan'])}; {duration(values['ideal_makespan'])} if shared out evenly and "
        f"nothing were lost ({values['efficiency']:.1%})",
        "tail": f"{duration(values['tail'])} from the first worker without work to the end",
        "lost work": f"{values['lost']:,.0f} worker seconds ({values['lost'] / max(values['worked'], 1e-9):.2%}); "
        f"{values['deaths']:,} workers died, {values['attempts'] - values['shards']:,} attempts made again",
        "given up": f"{values['quarantined']:,} shards quarantined, {values['given_up']:,} that raised",
        "scheduler": f"{values['scheduler_cpu_ms_per_shard']:.3f} ms of CPU a shard for the policy; "
        f"{values['real_seconds']:.1f} s for the simulation",
    }
    lines = [f"simulated: {values['finished']:,} of {values['shards']:,} shards made, start-up left out"]
    return "\n".join(lines + [f"  {name:<10} {words}" for name, words in rows.items()])


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.2f} TiB"
