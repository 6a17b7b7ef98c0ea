"""What clean faces show, by how much more a face may show, and the file that holds both with where they come from."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.default.packing import write_arrays

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]

FORMAT = 1
"""Of the file."""


@dataclass(frozen=True)
class Margins:
    """By how much a face may leave what clean faces show. Chosen by looking at faces, not at what a denoiser makes."""

    beside: float = 4.0
    """mm on the mean face: so near to where clean faces fold, or are cut, others may."""
    folds: int = 4
    """Fold pairs away from where clean faces fold: fewer than are seen."""
    folds_factor: float = 1.5
    """Fold pairs in all, in numbers of the clean face that has most; at least :attr:`folds` more than that."""
    stretch_factor: float = 1.5
    """Half the range of an edge's logarithmic stretch, in halves of the clean range."""
    stretch_extra: float = 0.05
    """Added to it at either end."""
    stretch_share: float = 5e-4
    """Of the edges that may be outside their widened ranges: a blemish of a few edges on a lid is not seen."""
    stretch_worst: float = 1.5
    """How many times shorter or longer than its widened range allows any edge may be."""
    measures_factor: float = 1.4
    """Half the range of a measurement, in halves of the clean range."""
    joint_factor: float = 1.05
    """Distance of the landmarks of a part, and of all, from the population, in that of the farthest clean face."""
    joint_floor: float = 0.5
    """mm: differences of landmarks below this do not count as a distance."""
    asymmetry_factor: float = 1.25
    """Distance of a landmark from the mirror image of its counterpart, in the largest of clean faces."""
    asymmetry_extra: float = 1.0
    """mm, added to it."""
    curve: float = 8.0
    """mm of a curve of intersection that may lie away from where clean faces are cut."""
    curve_factor: float = 1.25
    """Length of the curve of a place, in lengths of the clean face that has most."""
    curve_extra: float = 4.0
    """mm, added to it."""


@dataclass(frozen=True)
class Provenance:
    """Where thresholds come from."""

    model: str
    """Name."""
    sha256: str
    """Of the model."""
    source: str
    """What the clean faces are, in words."""
    seed: int | None = None
    recordings: dict[str, str] = field(default_factory=dict)
    """Name and sha256 of each recording's file."""
    command: str = ""
    """That makes the file again."""


@dataclass(frozen=True)
class Observed:
    """What clean faces show."""

    faces: int
    """How many."""
    folded: Bools
    """(P,) pairs of triangles that are folded on any."""
    folds: int
    """Most fold pairs on one."""
    stretch_low: NDArray[np.float16]
    """(E,) least logarithm of an edge's stretch."""
    stretch_high: NDArray[np.float16]
    """(E,) largest."""
    measure_low: Float
    """(M,) least of each measurement."""
    measure_high: Float
    """(M,) largest."""
    joint_mean: Float
    """(J,) mean of the landmarks' coordinates, mm."""
    joint_covariance: NDArray[np.float32]
    """(J (J + 1) / 2,) upper triangle of their covariance, row by row, mm²."""
    joint_distance: Float
    """(parts,) largest distance of each part from the mean, in that covariance and the floor that the margins give."""
    asymmetry: Float
    """(S,) largest of each, mm."""
    cut: Bools
    """(ΣT,) triangles of the places, one place after the other, that are cut on any."""
    curve: Float
    """(places,) longest curve of intersection, mm."""


@dataclass(frozen=True)
class Thresholds:
    """What clean faces show, the margins, and where they come from."""

    observed: Observed
    margins: Margins
    provenance: Provenance

    def save(self, path: Path) -> None:
        """Write them; equal thresholds give equal bytes.

        Raises:
            StorageError: when the disk refuses.
        """
        about = {"format": FORMAT, "margins": asdict(self.margins), "provenance": asdict(self.provenance)}
        arrays: dict[str, NDArray[Any]] = {
            entry.name: np.asarray(getattr(self.observed, entry.name)) for entry in fields(Observed)
        }
        arrays |= {name: np.packbits(array) for name, array in arrays.items() if array.dtype == np.bool_}
        arrays |= {f"{name}.size": np.asarray(len(getattr(self.observed, name))) for name in ("folded", "cut")}
        arrays["about"] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8).copy()
        write_arrays(path, arrays)

    @classmethod
    def read(cls, data: bytes, source: str) -> Thresholds:
        """The inverse of :meth:`save`.

        Raises:
            ModelError: the data are damaged, or of another format.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = json.loads(bytes(arrays["about"]))
            if about["format"] == FORMAT:
                return cls(_observed(arrays), Margins(**about["margins"]), Provenance(**about["provenance"]))
        except Exception as error:  # zipfile, zlib, json and numpy each have their own
            raise ModelError(f"{source}: no thresholds of plausibility, or damaged ({error})") from None
        raise ModelError(f"{source}: thresholds of format {about['format']}; expected {FORMAT}")


def _observed(arrays: Mapping[str, NDArray[Any]]) -> Observed:
    values: dict[str, Any] = {
        name: np.unpackbits(arrays[name], count=int(arrays[f"{name}.size"])).astype(np.bool_)
        for name in ("folded", "cut")
    }
    values |= {name: arrays[name].item() for name in ("faces", "folds")}
    values |= {entry.name: arrays[entry.name] for entry in fields(Observed) if entry.name not in values}
    return Observed(**values)
