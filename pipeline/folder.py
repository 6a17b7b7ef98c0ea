"""The run folder: one configuration carried out into one place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from facegen.errors import RunFolderError, StorageError
from facegen.pipeline.live import read_live, sweep_live
from facegen.pipeline.records import ShardRecord, read_record
from facegen.pipeline.shards import Shard, split
from facegen.pipeline.threads import in_threads
from facegen.storage import PARTIAL, is_left_behind, write_atomically


class RunFolder:
    """Paths and state of one run. What is known of a run is read from disk, never remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def dataset(self) -> Path:
        """The packed dataset."""
        return self.path / "dataset.zarr"

    def stage_file(self, stage: str, shard: int) -> Path:
        """What a single stage wrote for a shard."""
        return self.path / "stages" / stage / f"{shard:05d}.npz"

    def record_path(self, stage: str, shard: int) -> Path:
        """The record of a shard."""
        return self.path / "records" / stage / f"{shard:05d}.json"

    def describe(self) -> dict[str, Any]:
        """The contents of run.yaml.

        Raises:
            RunFolderError: when the folder is not a run.
        """
        try:
            values = yaml.safe_load((self.path / "run.yaml").read_text())
        except FileNotFoundError:
            what = "has no run.yaml" if self.path.is_dir() else "does not exist"
            raise RunFolderError(f"{self.path}: not a run folder ({what})") from None
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise RunFolderError(f"{self.path / 'run.yaml'}: cannot be read ({type(error).__name__})") from None
        kinds = {"fingerprint": str, "faces": int, "shard_size": int}
        if not isinstance(values, dict) or not all(type(values.get(key)) is kind for key, kind in kinds.items()):
            raise RunFolderError(f"{self.path / 'run.yaml'}: not the description of a run")
        return values

    def open(self, description: dict[str, Any], *, overwrite: bool) -> None:
        """Create the folder for a run, or go on with the one that is there.

        Args:
            description: for run.yaml; ``fingerprint``, ``faces`` and ``shard_size`` among it.
            overwrite: delete the run that is there when it is another one.

        Raises:
            RunFolderError: as :meth:`check`.
            StorageError: when it cannot be written.
        """
        if self.check(description, overwrite=overwrite):
            self._delete()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot create the run folder ({error.strerror})") from None
        text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=100)
        if not (self.path / "run.yaml").exists() or (self.path / "run.yaml").read_text() != text:
            write_atomically(self.path / "run.yaml", text.encode())

    def check(self, description: dict[str, Any], *, overwrite: bool) -> bool:
        """Whether a run is in the way that ``overwrite`` allows to delete; touches nothing.

        Raises:
            RunFolderError: when the folder holds another run, something else, or more faces than asked for.
            StorageError: when it cannot be read.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise RunFolderError(f"{self.path}: a file is in the way of the run folder")
            if not (self.path / "run.yaml").exists():
                # A process killed while it wrote run.yaml leaves a temporary file.
                if self.path.is_dir() and any(not file.name.endswith(PARTIAL) for file in self.path.iterdir()):
                    raise RunFolderError(f"{self.path}: the folder is not empty and not a run; choose a new folder")
                return False
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read ({error.strerror})") from None
        there = self.describe()
        if there["fingerprint"] == description["fingerprint"] and there["faces"] <= description["faces"]:
            return False
        if not overwrite:
            raise RunFolderError(
                f"{self.path}: {_difference(there, description)}; use another folder, "
                "or --overwrite to replace that run"
            )
        if others := read_live(self.path):
            raise RunFolderError(f"{self.path}: {others[0]['process']} is working on that run now; not replaced")
        return True

    def _delete(self) -> None:
        """Delete what a run wrote and nothing else; run.yaml last, so that a kill leaves a folder known as a run."""
        try:
            for name in ("records", "stages", "failed", "live", "logs", "dataset.zarr"):
                if (self.path / name).exists():
                    shutil.rmtree(self.path / name)
            for name in ("README.md", "preview.png", "run.yaml"):
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot be deleted ({error.strerror})") from None

    def shards(self) -> list[Shard]:
        """All shards of the run."""
        description = self.describe()
        return split(int(description["faces"]), int(description["shard_size"]))

    def unfinished(
        self,
        stage: str,
        shards: Iterable[Shard],
        fingerprint: str,
        *,
        read: bool = True,
        threads: int = 1,
        quiet: bool = True,
    ) -> list[Shard]:
        """Those shards whose record for ``stage`` is absent or does not hold.

        Args:
            stage: the one whose record tells that a shard is done.
            shards: to look at, in order.
            fingerprint: of the run.
            read: compare digests, for which every file is read; otherwise sizes alone.
            threads: shards looked at at the same time.
            quiet: no progress.
        """
        listed = {path.name for path in self.record_path(stage, 0).parent.glob("*.json")}
        wanted = list(shards)
        recorded = [shard for shard in wanted if self.record_path(stage, shard.number).name in listed]

        def holds(shard: Shard) -> bool:
            return self.shard_problem(stage, shard, fingerprint, read=read) is None

        sound = {
            shard.number
            for shard, good in in_threads(holds, recorded, threads, label="checking what is there", quiet=quiet)
            if good
        }
        return [shard for shard in wanted if shard.number not in sound]

    def shard_problem(self, stage: str, shard: Shard, fingerprint: str, *, read: bool = True) -> str | None:
        """Why a shard is not done; ``None`` when it is."""
        record = read_record(self.record_path(stage, shard.number))
        return "not made yet" if record is None else record.problem(shard, fingerprint, self.path, read=read)

    def has_all_records(self, stage: str) -> bool:
        """Whether every shard of the run has a record; what is in them is not looked at."""
        listed = {path.name for path in self.record_path(stage, 0).parent.glob("*.json")}
        return all(self.record_path(stage, shard.number).name in listed for shard in self.shards())

    def records(self, stage: str) -> list[ShardRecord]:
        """The readable records of a stage, by shard."""
        paths = sorted((self.path / "records" / stage).glob("*.json"))
        return [record for path in paths if (record := read_record(path)) is not None]

    def sweep(self) -> int:
        """Remove the temporary files of writers that were killed; how many there were.

        Those of processes that still write, for other pieces of the same run, stay.

        Raises:
            StorageError: when one cannot be removed.
        """
        sweep_live(self.path)
        count = 0
        for path in self.path.rglob(f".*{PARTIAL}"):
            if not is_left_behind(path):
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{path}: cannot be removed ({error.strerror})") from None
            count += 1
        return count

    def write_failed_faces(self, record: ShardRecord) -> None:
        """List the failed faces of a shard in ``failed/``, one file a face.

        Raises:
            StorageError: when the disk refuses.
        """
        for failed in record.failed:
            entry = {"face": failed.face, "shard": record.shard, "stage": failed.stage, "reason": failed.reason}
            self._write_failure(f"face-{failed.face:08d}.json", entry)

    def write_failed_shard(self, shard: Shard, reason: str, *, quarantined: bool) -> None:
        """Note in ``failed/`` why a shard was given up, and whether it killed its workers."""
        entry = {"shard": shard.number, "quarantined": quarantined, "reason": reason}
        self._write_failure(f"shard-{shard.number:05d}.json", entry)

    def _write_failure(self, name: str, entry: dict[str, Any]) -> None:
        path = self.path / "failed" / name
        data = (json.dumps(entry, indent=1) + "\n").encode()
        if not (path.is_file() and path.read_bytes() == data):
            write_atomically(path, data)

    def failed_shards(self) -> list[int]:
        """Numbers of the shards that were given up and have not been made since."""
        names = sorted(path.stem for path in (self.path / "failed").glob("shard-*.json"))
        return [int(name.removeprefix("shard-")) for name in names if name.removeprefix("shard-").isdigit()]

    def clear_failed_shard(self, number: int) -> None:
        """Forget an earlier failure of a shard that is done now.

        Raises:
            StorageError: when the disk refuses.
        """
        path = self.path / "failed" / f"shard-{number:05d}.json"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot be removed ({error.strerror})") from None


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    if there["fingerprint"] == wanted["fingerprint"]:
        return f"the run there has {there['faces']} faces, more than the {wanted['faces']} asked for"
    return f"the folder holds the run of another configuration{differing(there, wanted)}"


def differing(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """In what two descriptions of runs differ, in brackets after a space; empty where they do not tell."""
    changed = _changed_keys(there.get("configuration"), wanted.get("configuration"))
    if there.get("model") != wanted.get("model") and not any(key.startswith("model") for key in changed):
        changed.append("the content of the model file")
    if there.get("denoisers") != wanted.get("denoisers") and not any(key.startswith("denoise") for key in changed):
        changed.append("the content of the denoisers' weights")
    if there.get("composer") != wanted.get("composer") and not any(key.startswith("compose") for key in changed):
        changed.append("the content of the composer's weights")
    return f" (differs in {', '.join(changed[:4])}{' …' if len(changed) > 4 else ''})" if changed else ""


def _changed_keys(a: Any, b: Any, prefix: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted(a.keys() | b.keys())
        return [name for key in keys for name in _changed_keys(a.get(key), b.get(key), f"{prefix}.{key}".strip("."))]
    return [prefix] if a != b and prefix not in ("faces", "name") else []
