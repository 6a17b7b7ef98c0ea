"""Reader of Live Link Face recordings: CSV files of ARKit weights, one row per video frame."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import CaptureError
from facegen.morphable.arkit import ARKIT_NAMES

_FIRST = ("Timecode", "BlendShapeCount")
_WEIGHTS = tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES)
_EYES = ("LeftEyeYaw", "LeftEyePitch", "RightEyeYaw", "RightEyePitch")
_UNUSED = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeRoll", "RightEyeRoll")
_KNOWN = (*_FIRST, *_WEIGHTS, *_EYES, *_UNUSED)


@dataclass(frozen=True)
class Recording:
    """A facial performance of F complete frames."""

    weights: NDArray[np.float32]
    """(F, 52) in [0, 1], in the order of :data:`facegen.morphable.arkit.ARKIT_NAMES`."""
    gaze: NDArray[np.float32]
    """(F, 2, 2) rotation of the (left, right) eyeball: yaw towards the subject's left, pitch upwards; radians."""
    timecodes: tuple[str, ...]
    """``HH:MM:SS:FF.fff`` of each frame."""
    lost_frames: int
    """Rows without weights, where the face was not tracked; they are left out of the arrays."""
    clipped_values: int
    """Weights that were outside [0, 1] (the app overshoots by a few per cent) and were clipped."""
    path: Path


def read_livelink(path: Path) -> Recording:
    """Read a recording. Columns are found by name, in any order.

    The file's eye angles are negated: there a positive yaw turns to the subject's right and a positive pitch down,
    as the weights ``EyeLookIn``, ``EyeLookOut``, ``EyeLookUp`` and ``EyeLookDown`` of the same rows show.

    Raises:
        CaptureError: the file is missing, has unknown or missing columns, or a row that is no frame; the message
            names the columns or the row (the header is row 1).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, strict=True))
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise CaptureError(f"{path}: not a text file: byte {error.start} is not UTF-8") from None
    except csv.Error as error:
        raise CaptureError(f"{path}: no CSV file ({error})") from None
    return _parse(rows, path)


def _parse(rows: list[list[str]], path: Path) -> Recording:
    if not rows:
        raise CaptureError(f"{path}: the file is empty; expected the header of a Live Link Face recording")
    header = [name.strip() for name in rows[0]]
    _check_columns(header, path)
    weight_columns = [header.index(name) for name in _WEIGHTS]
    eye_columns = [header.index(name) for name in _EYES]
    count_column = header.index("BlendShapeCount")
    frames: list[list[str]] = []
    numbers: list[int] = []
    lost = 0
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) == 2 and row[1].strip() == "0":
            lost += 1
        elif len(row) != len(header):
            raise CaptureError(f"{path}, row {number}: found {len(row)} values; expected {len(header)}")
        elif row[count_column].strip() != str(len(header) - 2):
            raise CaptureError(
                f"{path}, row {number}: BlendShapeCount is {row[count_column]!r}; expected {len(header) - 2}"
            )
        else:
            frames.append(row)
            numbers.append(number)
    if not frames:
        raise CaptureError(f"{path}: no complete frame ({lost} lost)")
    timecode_column = header.index("Timecode")
    columns = [column for column in range(len(header)) if column not in (timecode_column, count_column)]
    values = _numbers(frames, numbers, header, columns, path)
    weights = values[:, weight_columns]
    clipped = np.clip(weights, 0.0, 1.0)
    return Recording(
        weights=clipped.astype(np.float32),
        gaze=(-values[:, eye_columns]).astype(np.float32).reshape(-1, 2, 2) + np.float32(0.0),
        timecodes=tuple(row[timecode_column] for row in frames),
        lost_frames=lost,
        clipped_values=int((clipped != weights).sum()),
        path=path,
    )


def _check_columns(header: list[str], path: Path) -> None:
    missing = [name for name in (*_FIRST, *_WEIGHTS, *_EYES) if name not in header]
    unknown = [name for name in header if name not in _KNOWN]
    doubled = sorted({name for name in header if header.count(name) > 1})
    if unknown:
        hints = []
        for name in unknown:
            nearest = difflib.get_close_matches(name, missing or _KNOWN, n=1)
            hints.append(f"'{name}'" + (f" (did you mean '{nearest[0]}'?)" if nearest else ""))
        raise CaptureError(f"{path}: unknown columns {_some(hints)}; expected those of Live Link Face")
    if missing:
        raise CaptureError(f"{path}: missing columns {_some([repr(name) for name in missing])}")
    if doubled:
        raise CaptureError(f"{path}: columns {_some([repr(name) for name in doubled])} occur twice")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _numbers(
    frames: list[list[str]], numbers: list[int], header: list[str], columns: list[int], path: Path
) -> NDArray[np.float64]:
    """(F, columns) values; those outside ``columns`` are 0."""
    values = np.zeros((len(frames), len(header)))
    for index, row in enumerate(frames):
        try:
            values[index, columns] = [float(row[column]) for column in columns]
        except ValueError:
            column = next(column for column in columns if not _is_number(row[column]))
            raise CaptureError(
                f"{path}, row {numbers[index]}: {header[column]} is {row[column]!r}; expected a number"
            ) from None
    if not np.isfinite(values).all():
        index, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise CaptureError(
            f"{path}, row {numbers[index]}: {header[column]} is {frames[index][column]!r}; expected a finite number"
        )
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
