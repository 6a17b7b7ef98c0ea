"""Words and numbers for people: what the commands print, and the card of a finished dataset."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from facegen import __version__
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.progress import duration, stages_text
from facegen.pipeline.run import Summary
from facegen.pipeline.shards import Shard, ranges
from facegen.storage import write_atomically

if TYPE_CHECKING:
    from facegen.stages.plan import Plan
    from facegen.stages.render.capabilities import Capability


def summary(result: Summary, out: Path) -> dict[str, Any]:
    """The result of a run as plain values."""
    return {
        "run": str(out),
        "complete": result.complete,
        "faces": result.faces,
        "made": result.made,
        "failed_faces": result.failed_faces,
        "failed_shards": {str(number): reason for number, reason in sorted(result.failed_shards.items())},
        "elapsed_seconds": round(result.elapsed, 3),
        "cpu_seconds": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        "wall_seconds": {stage: round(seconds, 3) for stage, seconds in result.stage_elapsed.items()},
        "workers": result.workers,
        "workers_busy": None if result.busy is None else round(result.busy, 4),
        "shards_by_device": result.devices,
        "retries": result.retries,
        "worker_deaths": result.deaths,
    }


def summary_text(result: Summary, out: Path) -> str:
    """The result of a run in a few lines."""
    if result.faces == 0:
        return f"{out}: no shard is in this piece; nothing to do"
    if result.made == 0 and result.complete:
        return f"{out}: all {result.faces:,} faces are there already; nothing to do"
    lines = [f"{out}: made {result.made:,} of {result.faces:,} faces in {result.elapsed:.1f} s"]
    total = sum(result.seconds.values())
    if total > 0:
        parts = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in result.seconds.items())
        lines.append(f"{result.made / total:.0f} faces per core second ({parts})")
    if result.busy is not None and result.workers:
        devices = ", ".join(sorted(result.devices))
        lines.append(f"{result.workers} worker{'s' * (result.workers > 1)} on {devices}, {result.busy:.0%} busy")
    if result.retries:
        lines.append(f"{result.retries} attempts were made again; {result.deaths} workers died")
    if result.failed_faces:
        lines.append(f"{len(result.failed_faces)} faces failed, listed with their reasons in {out / 'failed'}")
    for number, reason in sorted(result.failed_shards.items())[:5]:
        lines.append(f"shard {number} failed: {reason}")
    if len(result.failed_shards) > 5:
        lines.append(f"… and {len(result.failed_shards) - 5} more shards, see {out / 'failed'}")
    return "\n".join(lines)


def dry_run(plan: Plan, stages: tuple[str, ...], shards: Sequence[Shard], todo: Sequence[Shard]) -> dict[str, Any]:
    """What a run would do, as plain values."""
    return {
        "fingerprint": plan.fingerprint,
        "stages": list(stages),
        "faces": sum(shard.faces for shard in shards),
        "shards": len(shards),
        "shards_to_do": len(todo),
        "model": {"name": plan.model.name, "sha256": plan.model.sha256, "vertices": plan.spec.topology.vertex_count},
        "executor": plan.config.executor.model_dump(mode="json"),
        "configuration": plan.configuration,
    }


def dry_run_text(plan: Plan, stages: tuple[str, ...], shards: Sequence[Shard], todo: Sequence[Shard]) -> str:
    """What a run would do, for people: the resolved configuration, then the amount of work."""
    text = yaml.safe_dump(plan.configuration, sort_keys=False, allow_unicode=True).rstrip()
    faces = sum(shard.faces for shard in shards)
    return (
        f"{text}\n\n"
        f"model {plan.model.name}: {plan.spec.topology.vertex_count:,} vertices, "
        f"{len(plan.model.identity_names)} identity and {len(plan.model.expression_names)} expression coefficients\n"
        f"would {', '.join(stages)}: {faces:,} faces in {len(shards):,} shards, {len(todo):,} of them to do, "
        f"by {_executor_text(plan)}"
    )


def _executor_text(plan: Plan) -> str:
    executor = plan.config.executor
    if executor.workers is None:
        return executor.kind
    return f"{executor.kind}, {executor.workers} workers" if executor.workers else "this process"


def status_text(values: dict[str, Any]) -> str:
    """:func:`status` for people."""
    state = "complete" if values["complete"] else "not complete"
    lines = [f"{values['run']} ({values['name']}): {values['faces']:,} faces in {values['shards']:,} shards, {state}"]
    for stage, done in values["stages"].items():
        failed = f", {done['failed_faces']} failed" if done["failed_faces"] else ""
        lines.append(f"  {stage:<7} {done['shards']:,} shards, {done['faces']:,} faces{failed}")
    if not values["stages"]:
        lines.append("  nothing made yet")
    if values["failed_shards"]:
        lines.append(f"  given up: {_numbered(values['failed_shards'])}, reasons in failed/")
    for working in values["working"]:
        lines += _working_lines(working)
    if not (values["working"] or values["complete"]):
        lines.append("  nobody is working on it; the same run command continues")
    return "\n".join(lines)


def _working_lines(working: dict[str, Any]) -> list[str]:
    """What a command that works on a run tells of itself, for people."""
    workers = working["workers"]
    who = f"{working['executor']}, {workers} worker{'' if workers == 1 else 's'}" if workers else working["executor"]
    left = "" if working["seconds_left"] is None else f", {duration(working['seconds_left'])} left"
    done = f"{working['done']:,} of {working['faces']:,} faces, {working['faces_per_second']:,.1f} faces/s{left}"
    lines = [f"  {', '.join(working['stages'])} by {working['process']} ({who}): {done}"]
    if working["faces_per_cpu_second"]:
        lines.append(f"    faces per core second: {stages_text(working['faces_per_cpu_second'])}")
    if working["in_flight"]:
        longest = max(working["in_flight"].values())
        lines.append(f"    in flight: {_numbered(working['in_flight'])}, up to {duration(longest)}")
    if working["retries"]:
        lines.append(f"    tried again: {working['retries']} times; workers that died: {working['deaths']}")
    if working.get("dashboard"):
        lines.append(f"    {working['dashboard']}")
    return lines


def _numbered(shards: Collection[int | str]) -> str:
    """Shards by their numbers, for people."""
    return f"shard{'' if len(shards) == 1 else 's'} {ranges(map(int, shards))}"


def doctor_text(found: Sequence[Capability]) -> str:
    """What this machine can do, a line each, with the remedy for what is missing."""
    lines = []
    for capability in found:
        lines.append(f"{'yes' if capability.available else 'no ':<4} {capability.name:<18} {capability.detail}")
        if not capability.available and capability.remedy:
            lines.append(f"{'':<23} → {capability.remedy}")
    return "\n".join(lines)


def write_card(folder: RunFolder, plan: Plan) -> None:
    """Write the dataset card, README.md of the run folder.

    Raises:
        StorageError: when the disk refuses.
    """
    spec, config = plan.spec, plan.config
    done = f"| denoised | {spec.denoised}; as drawn in `raw` |\n" if spec.denoisers else ""
    done += f"| composed | {spec.composed}; as they were in `composition` |\n" if spec.composer else ""
    text = f"""# {config.name}: {spec.faces:,} synthetic faces

Made by facegen {__version__} from the face model **{plan.model.name}**
(sha256 `{plan.model.sha256}`); the model's licence governs what may be done with the faces.

| | |
| --- | --- |
| images | {spec.height} × {spec.width}, sRGB |
| meshes | {spec.topology.vertex_count:,} vertices, {len(spec.topology.triangles):,} triangles, one topology, mm |
| coefficients | {spec.identity} identity, {spec.expression} expression, {spec.albedo} albedo |
{done}| seed | {config.seed} |
| fingerprint | `{plan.fingerprint}` |

The same configuration (`run.yaml`) and seed give the same bytes again. Failed faces, if any, are listed in `failed/`.

```python
from facegen.dataset import FaceDataset

dataset = FaceDataset(".", channels=["image", "vertices", "depth", "normal", "landmarks_2d"])
face = dataset[0]
```

`facegen inspect . ` lists every array, `facegen verify .` checks every byte, `facegen preview .` draws a sheet.
"""
    write_atomically(folder.path / "README.md", text.encode())
