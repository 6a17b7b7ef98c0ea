"""A whole run in one process: faces per CPU second, where the time goes, and whether memory stays flat."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facegen.pipeline.configuration import read_configuration
from facegen.pipeline.executors.config import LocalConfig
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.run import carry_out
from facegen.pipeline.shards import split
from facegen.stages.plan import plan
from facegen.stages.task import STAGES, produce


def run(config: str, *, faces: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Carry a configuration out in this process, into a temporary folder.

    The first shard, in which kernels are compiled and files first read, is left out of the speed. Memory is this
    process's resident set at the end of each shard.

    Args:
        config: name or path of a configuration.
        faces: number of faces to make.
        overrides: as for ``--set``.
    """
    values = read_configuration(config, overrides) | {"faces": faces}
    planned = plan(values, source=config)
    shards = split(faces, planned.config.shard_size)
    with tempfile.TemporaryDirectory(prefix="facegen-benchmark-") as path:
        folder = RunFolder(Path(path) / "run")
        planned.prepare(folder, overwrite=False, packs=True)
        carry_out(produce, planned.job(folder, STAGES), shards, LocalConfig(workers=0), quiet=True)
        records = folder.records(STAGES[-1])
        stored = sum(file.bytes for record in records for file in record.files)
    timed = records[1:] or records
    count = sum(record.faces for record in timed)
    # A stage that has nothing to do, as denoise in most configurations, has no time.
    stages = [stage for stage in STAGES if stage in timed[0].seconds]
    seconds = {stage: sum(record.seconds[stage] for record in timed) for stage in stages}
    resident = {record.first_face + record.faces: record.host["resident_mib"] for record in records}
    settled = [mib for done, mib in resident.items() if done >= min(500, faces // 2)]
    return {
        "faces": faces,
        "vertices": planned.spec.topology.vertex_count,
        "image": [planned.spec.height, planned.spec.width],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "faces_per_cpu_second": round(count / sum(seconds.values()), 1),
        "cpu_ms_per_face": {stage: round(1000 * value / count, 3) for stage, value in seconds.items()},
        "stored_kib_per_face": round(stored / faces / 1024, 1),
        "resident_mib": resident,
        "resident_spread": round((max(settled) - min(settled)) / (sum(settled) / len(settled)), 4),
    }


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    stages = ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in result["cpu_ms_per_face"].items())
    height, width = result["image"]
    return (
        f"{result['faces_per_cpu_second']:.1f} faces per CPU second at {height}×{width}, "
        f"{result['vertices']:,} vertices ({stages})\n"
        f"{result['stored_kib_per_face']:.0f} KiB stored per face; resident memory varies by "
        f"{result['resident_spread']:.1%} after the first 500 faces"
    )
