"""How far a run is, read from its folder while others work on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facegen.pipeline.folder import RunFolder
from facegen.pipeline.live import read_live
from facegen.pipeline.records import ShardRecord, read_record


class RunWatch:
    """Tells how far a run is, as often as asked; records that it has seen are not read again."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, ShardRecord | None]] = {}

    def status(self) -> dict[str, Any]:
        """How far the run is, from its records; digests are checked by `facegen verify`, not here.

        Raises:
            RunFolderError: when the folder is not a run.
        """
        description = self._folder.describe()
        # Before the records: whoever is gone by now has written all of his.
        working = read_live(self._folder.path)
        stages = {}
        for path in sorted((self._folder.path / "records").glob("*")):
            records = [record for record in self._records(path) if record.fingerprint == description["fingerprint"]]
            stages[path.name] = {
                "shards": len(records),
                "faces": sum(record.faces for record in records),
                "failed_faces": sum(len(record.failed) for record in records),
            }
        return {
            "run": str(self._folder.path),
            "name": description.get("name"),
            "fingerprint": description["fingerprint"],
            "faces": description["faces"],
            "shards": len(self._folder.shards()),
            "stages": stages,
            "failed_shards": self._folder.failed_shards(),
            "complete": stages.get("pack", {}).get("faces", 0) == description["faces"],
            "working": working,
        }

    def _records(self, stage: Path) -> list[ShardRecord]:
        found = []
        for path in sorted(stage.glob("*.json")):
            changed = path.stat().st_mtime_ns if path.exists() else 0
            if self._seen.get(path, (None, None))[0] != changed:
                self._seen[path] = changed, read_record(path)
            record = self._seen[path][1]
            if record is not None:
                found.append(record)
        return found
