"""Checking a run from end to end: the packed dataset, what single stages left beside it, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from facegen.dataset.layout import Layout, open_layout
from facegen.dataset.verify import Spread, VerifyReport, verify
from facegen.errors import NotADatasetError, RunFolderError
from facegen.pipeline.check import FolderReport, check_folder
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.shards import ranges, split
from facegen.pipeline.threads import in_threads

_SHOWN = 20
"""Problems listed for people; JSON has all."""
_PACK = "pack"


@dataclass(frozen=True)
class RunReport:
    """What :func:`verify_run` found."""

    run: Path
    faces: int
    shards: int
    dataset: VerifyReport | None
    """``None`` when nothing is packed."""
    folder: FolderReport
    description_problems: tuple[str, ...]
    """Of run.yaml, or that the dataset is missing; a line each."""
    described: bool
    """Whether there is a run.yaml that can be read."""
    foreign: bool
    """Whether run.yaml and dataset are of different runs."""
    sampled: bool
    """Whether labels of some faces alone were checked."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One line each; empty for a sound run."""
        stages = [
            f"shard {number:05d} of {self.run}, stage {name}: {why}"
            for name, stage in self.folder.stages.items()
            for number, why in stage.damaged.items()
        ]
        return (*self.description_problems, *(self.dataset.problems if self.dataset else ()), *stages)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not self.folder.given_up

    @property
    def strays(self) -> tuple[str, ...]:
        """Files that belong to nothing, relative to the run folder. Harmless."""
        return tuple(sorted({*self.folder.strays, *(self.dataset.strays if self.dataset else ())}))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        packed: dict[str, Any] = {}
        if self.dataset:
            packed = {
                "root": str(self.dataset.root),
                "finished_shards": self.dataset.finished_shards,
                "damaged_shards": list(self.dataset.damaged_shards),
                "faulty_shards": list(self.dataset.faulty_shards),
                "failed_faces": self.dataset.failed_faces,
                "checked_faces": self.dataset.checked_faces,
                "bytes": self.dataset.bytes,
                "content_sha256": self.dataset.content_sha256,
            }
        stages = {
            name: {"finished_shards": stage.shards, "damaged_shards": list(stage.damaged)}
            for name, stage in self.folder.stages.items()
        }
        return {
            "ok": self.ok,
            "run": str(self.run),
            "faces": self.faces,
            "shards": self.shards,
            **packed,
            "stages": stages,
            "given_up": {str(number): reason for number, reason in self.folder.given_up.items()},
            "problems": list(self.problems),
            "strays": list(self.strays),
            "remedy": self.remedy(),
        }

    def as_text(self) -> str:
        """The report for people: problems first, the verdict and what to do last."""
        lines = [f"problem: {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"… and {len(self.problems) - _SHOWN:,} more problems")
        lines += [f"given up: shard {number:05d}: {why}" for number, why in self.folder.given_up.items()]
        lines += [f"stray file: {stray}" for stray in self.strays[:_SHOWN]]
        if len(self.strays) > _SHOWN:
            lines.append(f"… and {len(self.strays) - _SHOWN:,} more stray files")
        for name, stage in self.folder.stages.items():
            lines.append(f"stage {name}: {stage.shards:,} of {self.shards:,} shards sound")
        return "\n".join([*lines, *self._dataset_lines(), self._verdict()])

    def _dataset_lines(self) -> list[str]:
        if not self.dataset:
            return []
        lines = [] if self.described else ["without run.yaml, all was compared with the dataset's metadata"]
        if self.dataset.failed_faces:
            lines.append(
                f"{self.dataset.failed_faces} of {self.faces:,} faces failed when they were made (see failed/)"
            )
        if self.sampled:
            lines.append(f"labels of {self.dataset.checked_faces:,} of {self.faces:,} faces checked")
        if self.dataset.content_sha256:
            lines.append(f"content sha256 {self.dataset.content_sha256}")
        return lines

    def _verdict(self) -> str:
        if self.dataset:
            state = f"{self.dataset.finished_shards:,} of {self.shards:,} shards sound"
            sound = f"{self.faces:,} faces, {state}, {self.dataset.bytes / 2**20:,.1f} MiB"
        else:
            state = sound = "nothing is packed yet"
        if self.ok:
            return f"{self.run}: {sound}: all is well"
        count = len(self.problems)
        return f"{self.run}: {state}, {count:,} problem{'' if count == 1 else 's'}; {self.remedy()}"

    def remedy(self) -> str | None:
        """What to do; ``None`` when all is well."""
        if self.ok:
            return None
        faulty = self.dataset.faulty_shards if self.dataset else ()
        damaged = self.dataset.damaged_shards if self.dataset else ()
        steps = []
        if self.foreign:
            steps.append("put back the run.yaml, or the dataset.zarr, that belongs to the other")
        elif not self.described:
            steps.append("put back run.yaml: the same `facegen run` command in a new folder writes the same one")
        if faulty:
            which = f"shard{'' if len(faulty) == 1 else 's'} {ranges(faulty)}"
            steps.append(f"delete what records/{_PACK} has of {which}, for it vouches for what is wrong")
        if faulty or damaged:
            steps.append(f"the same `facegen run` command again makes {_count([*faulty, *damaged])} again")
        elif self._run_again:
            steps.append("the same `facegen run` command again does what is left to do")
        for name, stage in self.folder.stages.items():
            if stage.damaged:
                steps.append(f"the same `facegen {name}` command again makes {_count(stage.damaged)} again")
        return "; ".join(steps)

    @property
    def _run_again(self) -> bool:
        """Whether there is something for a run although no shard is damaged."""
        metadata = self.dataset is not None and bool(self.dataset.metadata_problems)
        return not self.foreign and (metadata or bool(self.description_problems) or bool(self.folder.given_up))


def verify_run(path: Path, *, sample: int | None = None, threads: int = 1, quiet: bool = True) -> RunReport:
    """Check a run folder: the packed dataset, the records and files of single stages, and what was left behind.

    Where run.yaml is missing, all is compared with the dataset's own metadata.

    Args:
        path: a run folder or the ``dataset.zarr`` in it.
        sample: faces of each shard whose labels are checked, spread evenly; ``None`` for all. Digests of all files are
            compared either way.
        threads: shards checked at the same time.
        quiet: no progress.

    Raises:
        DatasetError: when there is neither a dataset nor what a single stage made, or the dataset's metadata cannot be
            read; damage below that goes into the report.
    """
    layout = _layout(path)
    folder = RunFolder(layout.root.parent if layout else path)
    description, problems = _description(folder, layout)
    foreign = bool(layout and description and description["fingerprint"] != layout.fingerprint)
    if layout:
        fingerprint, faces, shard_size = layout.fingerprint, layout.faces, layout.shard_size
    elif description:
        fingerprint, faces, shard_size = (description[key] for key in ("fingerprint", "faces", "shard_size"))
    else:
        raise NotADatasetError(problems[0])
    shards = split(faces, shard_size)
    found = check_folder(folder, fingerprint, shards, apart=(_PACK,), threads=threads, quiet=quiet)
    if layout is None:
        if folder.records(_PACK):
            problems.append(f"{folder.dataset} is missing, or its zarr.json, although shards were packed")
        elif not (found.stages or found.given_up):
            raise NotADatasetError(f"{path}: nothing was made in this run yet")
    spread: Spread = partial(in_threads, threads=threads, label="checking shards", quiet=quiet)
    return RunReport(
        run=folder.path,
        faces=faces,
        shards=len(shards),
        dataset=verify(layout.root, sample=sample, spread=spread) if layout else None,
        folder=found,
        description_problems=tuple(problems),
        described=description is not None,
        foreign=foreign,
        sampled=sample is not None,
    )


def _layout(path: Path) -> Layout | None:
    """The layout of a dataset; ``None`` for a run in which there is none."""
    try:
        return open_layout(path)
    except NotADatasetError:
        if (path / "run.yaml").is_file():
            return None
        raise


def _description(folder: RunFolder, layout: Layout | None) -> tuple[dict[str, Any] | None, list[str]]:
    """What run.yaml says, and what is wrong with it. That there is none beside a dataset is no fault."""
    try:
        description = folder.describe()
    except RunFolderError as error:
        return None, [str(error)] if (folder.path / "run.yaml").exists() else []
    problems = []
    if layout and description["fingerprint"] != layout.fingerprint:
        problems.append(
            f"{folder.path / 'run.yaml'} is of another run than {layout.root}: fingerprint "
            f"{description['fingerprint']}, expected {layout.fingerprint}"
        )
    elif layout and description["faces"] != layout.faces:
        problems.append(
            f"{folder.path / 'run.yaml'} is of {description['faces']} faces, the metadata of {layout.root} of "
            f"{layout.faces}"
        )
    return description, problems


def _count(shards: Collection[int]) -> str:
    return f"{len(shards):,} shard{'' if len(shards) == 1 else 's'}"
