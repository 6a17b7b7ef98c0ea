"""Joining runs: their records and shards, and the metadata of their datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facegen.dataset.layout import Layout, difference, metadata_files, open_layout
from facegen.errors import DatasetError, NotADatasetError, RunFolderError
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.merge import Merge, MergeReport, carry_out_merge, plan_merge
from facegen.pipeline.shards import ranges

_SHOWN = 20
"""Damaged shards listed for people; JSON has all."""
_PACK = "pack"


def merge_runs(
    inputs: Sequence[Path], out: Path, *, link: bool = False, threads: int = 1, quiet: bool = True
) -> MergeReport:
    """Join runs of one configuration; none of the inputs is changed. Killed, it is continued by the same call.

    Each file is compared with its record while it is copied. Damaged shards of an input are left out and reported.

    Args:
        inputs: run folders whose shards may overlap.
        out: a new folder, or a run of the same configuration that is added to.
        link: make hard links instead of copies.
        threads: shards copied at the same time.
        quiet: no progress.

    Raises:
        RunFolderError: when one is no run, they are of different configurations, have the same shard with different
            contents, lie in each other, or cannot be linked.
        StorageError: when the disk refuses. What was finished before stays.
    """
    merge = plan_merge(inputs, out)
    damaged: list[str] = []
    metadata = _metadata(merge, damaged)
    report = carry_out_merge(merge, metadata, final=_PACK, link=link, threads=threads, quiet=quiet)
    report.damaged[:0] = damaged
    return report


def _metadata(merge: Merge, damaged: list[str]) -> dict[str, Path]:
    """The dataset's files that are no shard's, from the dataset with most faces; none where nothing is packed.

    Those of an input that cannot be read are added to ``damaged``.

    Raises:
        RunFolderError: when two datasets are different in more than their number of faces.
    """
    best: tuple[Layout, tuple[str, ...]] | None = None
    for folder in merge.folders:
        found = _layout(folder, merge.fingerprint, damaged)
        if found is None:
            continue
        if best is not None and (different := difference(best[0], found[0])):
            raise RunFolderError(f"{found[0].root} and {best[0].root} differ in {different}")
        # Of equal ones the first, so that a dataset that is there stays as it is.
        if best is None or found[0].faces > best[0].faces:
            best = found
    if best is None:
        return {}
    layout, files = best
    return {f"{layout.root.name}/{name}": layout.root / name for name in files}


def _layout(folder: RunFolder, fingerprint: str, damaged: list[str]) -> tuple[Layout, tuple[str, ...]] | None:
    try:
        layout = open_layout(folder.dataset)
        layout.topology()
        if layout.fingerprint != fingerprint:
            raise DatasetError(f"{layout.root} is of another run than {folder.path / 'run.yaml'}")
        return layout, metadata_files(layout)
    except NotADatasetError:
        return None
    except DatasetError as error:
        damaged.append(str(error))
        return None


def merge_dict(report: MergeReport) -> dict[str, Any]:
    """What a merge did, as plain values."""
    return {
        "run": str(report.run),
        "complete": _is_complete(report),
        "faces": report.faces,
        "shards": report.shards,
        "there": report.there,
        "taken": report.taken,
        "damaged": report.damaged,
        "missing": {stage: ranges(numbers) for stage, numbers in report.missing.items()},
    }


def merge_text(report: MergeReport) -> str:
    """What a merge did, and last what is left to do, for people."""
    lines = [f"damaged, left out: {problem}" for problem in report.damaged[:_SHOWN]]
    if len(report.damaged) > _SHOWN:
        lines.append(f"… and {len(report.damaged) - _SHOWN:,} more")
    if report.there:
        lines.append(f"there before: {_counts(report.there)}")
    lines += [f"from {source}: {_counts(counts)}" for source, counts in report.taken.items()]
    whole = f"{report.run}: {report.faces:,} faces in {report.shards:,} shards"
    if _is_complete(report):
        card = "" if (report.run / "README.md").is_file() else "; the same `facegen run` command writes its README.md"
        return "\n".join([*lines, f"{whole}, complete{card}"])
    for stage, numbers in report.missing.items():
        if numbers:
            lines.append(f"missing of stage {stage}: {_shards(len(numbers))} ({ranges(numbers)})")
    return "\n".join(
        [*lines, f"{whole}, not complete; the same `facegen run` command with --out {report.run} makes it so"]
    )


def _is_complete(report: MergeReport) -> bool:
    return report.missing.get(_PACK) == [] and (report.run / "dataset.zarr" / "zarr.json").is_file()


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_shards(count)} of {stage}" for stage, count in counts.items())


def _shards(count: int) -> str:
    return f"{count:,} shard{'' if count == 1 else 's'}"
