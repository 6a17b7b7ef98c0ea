"""Parameters of the Basel Face Model fitted to photographs: 300W-3D, 300W-LP and AFLW2000-3D (Zhu et al. 2016)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegen.errors import CaptureError, ModelError
from facegen.morphable.coefficients import CoefficientSet, Float, Group
from facegen.morphable.matlab import Numbers, Value, Version73Error, read_variables

_PARAMETERS: dict[Group, str] = {"identity": "Shape_Para", "expression": "Exp_Para"}
_DEVIATIONS: dict[Group, str] = {"identity": "shapeEV", "expression": "expEV"}

WIDEST = 50.0
"""σ beyond which a coefficient is taken for one of other units: no fit strays that far."""


def read_fitted(folder: Path, deviations: Path, group: Group) -> CoefficientSet:
    """The coefficients of a folder of fitted faces, in σ.

    Args:
        folder: holds ``.mat`` files, also in folders below it, each with ``Shape_Para`` (K, 1) and ``Exp_Para``
            (K', 1) in the model's raw units.
        deviations: the model file whose ``shapeEV`` or ``expEV`` (standard deviations in raw units, in spite of the
            name) divide them: ``01_MorphableModel.mat`` or face3d's ``BFM.mat``.
        group: which of the two.

    Raises:
        CaptureError: a folder without such files, or a file that is none; the message names it.
        ModelError: the model file is missing, or has no such deviations.
    """
    deviation = read_deviations(deviations, group)
    files = sorted(folder.rglob("*.mat"))
    if not files:
        what = "has no .mat files" if folder.is_dir() else "is no folder"
        raise CaptureError(f"{folder}: {what}; expected fitted faces of 300W-3D or AFLW2000-3D")
    digest = hashlib.sha256()
    values = np.empty((len(files), len(deviation)), np.float32)
    for row, path in enumerate(files):
        raw = _parameters(path, _PARAMETERS[group], len(deviation))
        with np.errstate(over="ignore"):
            values[row] = raw / deviation
        if np.abs(values[row]).max(initial=0) > WIDEST:
            worst = float(np.abs(values[row]).max())
            raise CaptureError(
                f"{path}: {_PARAMETERS[group]} reaches {worst:.3g} σ, more than {WIDEST:g}; "
                f"expected raw units of the model in {deviations}"
            )
        digest.update(raw.tobytes())
    return CoefficientSet(
        group=group,
        model=deviations.name,
        model_sha256=hashlib.sha256(deviation.tobytes()).hexdigest(),
        names=tuple(f"{group}_{number}" for number in range(len(deviation))),
        values=values,
        deviation=deviation.astype(np.float32),
        bounds=(-np.inf, np.inf),
        unit=np.arange(len(files), dtype=np.int32),
        units=tuple(path.relative_to(folder).as_posix() for path in files),
        provenance={"source": "fitted", "files": len(files), "sha256": digest.hexdigest(), "σ": deviations.name},
    )


def read_deviations(path: Path, group: Group) -> NDArray[np.float64]:
    """Standard deviations (K,) of a group's coefficients in a Basel model file's raw units.

    Raises:
        ModelError: the file is missing, no MATLAB file, or has no such array; the message names it.
    """
    name = _DEVIATIONS[group]
    content = _load(path, ["model", name], ModelError)
    model = content.get("model")
    found = content.get(name, model.get(name) if isinstance(model, dict) else None)
    if found is None:
        raise ModelError(f"{path}: no array '{name}'; expected 01_MorphableModel.mat or face3d's BFM.mat")
    deviation = _numbers(found, path, name, "(K, 1)", ModelError)
    if deviation.size == 0:
        raise ModelError(f"{path}: '{name}' is {deviation.dtype} {deviation.shape}; expected (K, 1) numbers")
    deviation = deviation.astype(np.float64).reshape(-1)
    with np.errstate(over="ignore", under="ignore"):
        single = deviation.astype(np.float32)
    if not (np.isfinite(single).all() and (single > 0).all()):
        raise ModelError(f"{path}: '{name}' holds standard deviations that are not positive")
    return deviation


def _parameters(path: Path, name: str, count: int) -> Float:
    content = _load(path, [name], CaptureError)
    if name not in content:
        raise CaptureError(f"{path}: no array '{name}'; expected a fitted face of 300W-3D or AFLW2000-3D")
    found = _numbers(content[name], path, name, f"({count}, 1)", CaptureError)
    if found.size != count:
        raise CaptureError(f"{path}: '{name}' is {found.dtype} {found.shape}; expected ({count}, 1) numbers")
    with np.errstate(over="ignore"):
        values: Float = found.reshape(-1).astype(np.float32)
    if not np.isfinite(values).all():
        raise CaptureError(f"{path}: '{name}' holds numbers that are not finite")
    return values


def _load(path: Path, names: list[str], error: type[CaptureError] | type[ModelError]) -> dict[str, Value]:
    try:
        return read_variables(path.read_bytes(), names)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror or problem})") from None
    except Version73Error:
        raise error(f"{path}: a MATLAB 7.3 file; expected MATLAB 5, as the data sets are published") from None
    except ValueError as problem:
        raise error(f"{path}: no MATLAB 5 file, or a damaged one ({problem})") from None


def _numbers(found: Value, path: Path, name: str, shape: str, error: type[CaptureError] | type[ModelError]) -> Numbers:
    """Refuses what is none."""
    if isinstance(found, np.ndarray):
        return found
    what = "a structure" if isinstance(found, dict) else found
    raise error(f"{path}: '{name}' is {what}; expected {shape} numbers")
