"""What a dataset holds, in numbers: arrays, sizes on disk, ranges of values over a few faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facegen.dataset.layout import open_layout
from facegen.dataset.reader import FaceDataset
from facegen.stages.pack.schema import composed_text, denoised_text

_SAMPLE = 16


def inspect(path: str | Path) -> dict[str, Any]:
    """Describe a dataset as plain values.

    Ranges are those of up to sixteen faces spread over the finished ones, not of all.

    Args:
        path: a run folder or the ``dataset.zarr`` in it.

    Raises:
        DatasetError: when there is no dataset there, or what it reads of it is damaged.
    """
    layout = open_layout(path)
    dataset = FaceDataset(path, channels=sorted(layout.arrays), allow_incomplete=True)
    places = np.unique(np.linspace(0, max(len(dataset) - 1, 0), _SAMPLE).astype(int))[: len(dataset)]
    faces = [dataset[int(place)] for place in places]
    arrays = {}
    for name, array in layout.arrays.items():
        files = (layout.root / array.path / "c").rglob("*") if (layout.root / array.path / "c").is_dir() else ()
        arrays[name] = {
            "path": array.path,
            "shape": [layout.faces, *array.face_shape],
            "dtype": str(array.dtype),
            "unit": array.unit,
            "frame": array.frame,
            "description": array.description,
            "stored_bytes": sum(file.stat().st_size for file in files if file.is_file()),
            "range": _range([np.asarray(face[name]) for face in faces]),
        }
    return {
        "dataset": str(layout.root),
        "faces": layout.faces,
        "faces_available": len(dataset),
        "shards": layout.shards,
        "shard_size": layout.shard_size,
        "fingerprint": layout.fingerprint,
        **{key: layout.attributes.get(key) for key in ("seed", "model", "image_size", "versions", "units", "frames")},
        "denoisers": layout.attributes.get("denoisers", {}),
        "composer": layout.attributes.get("composer", {}),
        "stored_bytes": sum(array["stored_bytes"] for array in arrays.values()),
        "sampled_faces": [int(dataset.faces[place]) for place in places],
        "arrays": arrays,
    }


def _range(values: list[np.ndarray[Any, Any]]) -> list[float] | None:
    filled = [value for value in values if value.size]
    if not filled:
        return None
    return [float(min(value.min() for value in filled)), float(max(value.max() for value in filled))]


def inspect_text(values: dict[str, Any]) -> str:
    """:func:`inspect` for people."""
    per_face = values["stored_bytes"] / max(values["faces_available"], 1) / 1024
    lines = [
        f"{values['dataset']}: {values['faces_available']:,} of {values['faces']:,} faces, "
        f"{values['shards']:,} shards of {values['shard_size']}, {per_face:.0f} KiB a face",
        f"model {values['model']['name']}, seed {values['seed']}, fingerprint {values['fingerprint'][:16]}…",
        *([f"denoised: {denoised_text(values['denoisers'])}"] if values["denoisers"] else []),
        *([f"composed: {composed_text(values['composer'])}"] if values["composer"] else []),
        "",
        f"{'array':<18} {'shape':<24} {'dtype':<8} {'unit':<11} {'KiB/face':>8}   range",
    ]
    for name, array in values["arrays"].items():
        shape = " × ".join(f"{n:,}" for n in array["shape"])
        low_high = "–" if array["range"] is None else "{:.4g} … {:.4g}".format(*array["range"])
        kib = array["stored_bytes"] / max(values["faces_available"], 1) / 1024
        lines.append(f"{name:<18} {shape:<24} {array['dtype']:<8} {array['unit']:<11} {kib:>8.1f}   {low_high}")
    return "\n".join(lines)
