"""Wrong content with right checksums and records: what only looking at the labels can find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.dataset.layout import open_layout, read_record
from facegen.dataset.shards import ShardFile
from facegen.stages.pack import sharding


def plant(run: Path, shard: int, name: str, change: Callable[[NDArray[Any]], NDArray[Any] | None]) -> None:
    """Change an array of a shard and make file and record fit.

    Args:
        run: a run folder.
        shard: number of the shard.
        name: of the array.
        change: of its values (faces, …), in place or returning new ones.
    """
    layout = open_layout(run)
    array = layout.arrays[name]
    size = read_record(layout, shard).sizes[array.file(shard)]
    file = ShardFile(layout.root, array, shard, size, layout.shard_size)
    count = len(layout.faces_of(shard))
    large = array.chunk_faces == 1
    values = np.concatenate([file.chunk(place) for place in range(count)]) if large else file.chunk(0)
    changed = change(values)
    values = np.ascontiguousarray(values if changed is None else changed)
    chunks = [values[place] for place in range(len(values))] if large else [values]
    data = sharding.encode_shard(chunks, layout.shard_size if large else 1, 3)
    (layout.root / array.file(shard)).write_bytes(data)
    vouch(run, "pack", shard, f"{layout.root.name}/{array.file(shard)}")


def vouch(run: Path, stage: str, shard: int, path: str) -> None:
    """Make a shard's record say of a file what it is now."""
    record = run / "records" / stage / f"{shard:05d}.json"
    document = json.loads(record.read_text())
    (entry,) = (entry for entry in document["files"] if entry["path"] == path)
    data = (run / path).read_bytes()
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    record.write_text(json.dumps(document, indent=1) + "\n")
