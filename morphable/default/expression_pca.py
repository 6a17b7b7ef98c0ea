"""Principal components of recorded expressions: 29 coefficients in σ instead of 52 blendshape weights.

The components are those of the weights in the metric of the face: what moves the skin most comes first. Made from a
folder of Live Link Face recordings::

    python -m facegen.morphable.default.expression_pca FOLDER --out FILE
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.default.chart import OTHER
from facegen.morphable.default.components import skin_weights
from facegen.morphable.default.embedded import LIMITS
from facegen.morphable.default.expression import expression_displacements
from facegen.morphable.default.identity import calibrated_points
from facegen.morphable.default.levels import read_coarse, split_level
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.solve import skin_operator
from facegen.morphable.livelink import Recording, read_livelink

Float = NDArray[np.float64]

COUNT = 29
"""As many as the Basel Face Model has for expressions."""

SHIPPED = "expression_pca.npz"


@dataclass(frozen=True)
class ExpressionComponents:
    """``weights = mean + coefficients @ components`` with coefficients in σ."""

    mean: Float
    """(52,) in the order of :data:`facegen.morphable.arkit.ARKIT_NAMES`."""
    components: Float
    """(K, 52) per σ, by falling variance."""
    explained: Float
    """(K,) each component's share of the variance of the face's displacement."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """``takes`` (name, sha256, frames each) and ``frames``, their sum."""


def fit(recordings: Sequence[Recording], basis_gram: Float, count: int = COUNT) -> ExpressionComponents:
    """Principal components of the frames of recordings, all frames weighted equally.

    With the shapes' inner products G = RRᵀ, ``w @ R`` is a face in an orthonormal frame; principal components are taken
    there. One σ of a component is the regression of the weights on its coefficient, which also tells what weights go
    with it that move nothing in this metric. Of each component the largest weight is positive.

    Args:
        recordings: their weights as read; ``mouthClose`` is lowered to ``jawOpen``, as the model plays them.
        basis_gram: (52, 52) inner products of the shapes' displacements; may be singular.
        count: number K of components.

    Raises:
        ValueError: the frames have fewer than K independent components.
    """
    weights = np.concatenate([recording.weights for recording in recordings]).astype(np.float64)
    for first, second in LIMITS:
        a, b = ARKIT_NAMES.index(first), ARKIT_NAMES.index(second)
        weights[:, a] = np.minimum(weights[:, a], weights[:, b])
    mean = weights.mean(axis=0)
    centred = weights - mean
    values, vectors = np.linalg.eigh(basis_gram)
    root = vectors * np.sqrt(values.clip(0))
    scatter = centred.T @ centred / len(weights)
    variance, axes = np.linalg.eigh(root.T @ scatter @ root)
    variance, axes = variance[::-1], axes[:, ::-1]
    if variance[count - 1] <= 1e-12 * variance[0]:
        raise ValueError(f"{len(weights)} frames have fewer than {count} independent components")
    components = (scatter @ root @ axes[:, :count] / np.sqrt(variance[:count])).T
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(count), largest])[:, None]
    return ExpressionComponents(mean, components, variance[:count] / variance.sum())


def basis_gram(network: ControlNetwork) -> Float:
    """(52, 52) inner products of the shapes as they move the skin, weighted by area and importance."""
    level = split_level(read_coarse(), network)
    skin, operator = skin_operator(level, network)
    number = np.full(level.count, -1)
    number[skin] = np.arange(len(skin))
    mean = operator @ network.mirrored(calibrated_points(network))
    share = skin_weights(network, mean, number[level.triangles[level.island != OTHER]])
    shapes = expression_displacements(network)
    moved = np.stack([operator @ network.mirrored(*shapes[name]) for name in ARKIT_NAMES])
    moved *= np.sqrt(share / share.sum())[:, None]
    flat = moved.reshape(len(moved), -1)
    gram: Float = flat @ flat.T
    return gram


def write_components(path: Path, components: ExpressionComponents) -> None:
    """Write a file that :func:`read_components` reads."""
    np.savez(
        path,
        allow_pickle=False,
        names=np.array(ARKIT_NAMES),
        mean=components.mean.astype(np.float32),
        components=components.components.astype(np.float32),
        explained=components.explained.astype(np.float32),
        provenance=np.array(json.dumps(components.provenance, sort_keys=True)),
    )


def read_components(path: Path | None = None) -> ExpressionComponents:
    """Components from a file; ``None`` reads the package's own.

    Raises:
        ValueError: the file is about other expressions than ARKit's 52.
    """
    source = files("facegen.morphable.default").joinpath(SHIPPED) if path is None else path
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if tuple(arrays["names"].tolist()) != ARKIT_NAMES:
        raise ValueError(f"{source}: components of other expressions than ARKit's {len(ARKIT_NAMES)}")
    mean, components, explained = (arrays[name].astype(np.float64) for name in ("mean", "components", "explained"))
    return ExpressionComponents(mean, components, explained, json.loads(str(arrays["provenance"])))


def fit_folder(folder: Path, network: ControlNetwork) -> ExpressionComponents:
    """Components of all recordings (``*.csv``) of a folder, with their provenance."""
    recordings = [read_livelink(path) for path in sorted(folder.glob("*.csv"))]
    if not recordings:
        raise ValueError(f"{folder}: no recordings (*.csv)")
    found = fit(recordings, basis_gram(network))
    takes = [
        {
            "name": recording.path.name,
            "sha256": hashlib.sha256(recording.path.read_bytes()).hexdigest(),
            "frames": len(recording.weights),
        }
        for recording in recordings
    ]
    provenance = {"takes": takes, "frames": sum(len(recording.weights) for recording in recordings)}
    return ExpressionComponents(found.mean, found.components, found.explained, provenance)


def main() -> None:
    """Fit a folder's recordings and write the components."""
    parser = argparse.ArgumentParser(description="Principal components of recorded expressions.")
    parser.add_argument("folder", type=Path, help="folder of Live Link Face recordings (*.csv)")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.npz)")
    arguments = parser.parse_args()
    found = fit_folder(arguments.folder, read_network())
    write_components(arguments.out, found)
    share = 100 * found.explained.sum()
    print(f"{arguments.out}: {len(found.components)} components of {found.provenance['frames']} frames, {share:.2f} %")


if __name__ == "__main__":
    main()
