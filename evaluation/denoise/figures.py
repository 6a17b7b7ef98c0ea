"""Figures of an evaluation: curves of learning and robustness, the frontier, the scatter of faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.evaluation.denoise.laws import gaussian, spread, uniform, widths_for
from facegen.evaluation.denoise.recovery import CORRUPTED
from facegen.evaluation.denoise.report import Evaluation
from facegen.evaluation.plotting import Draw, png
from facegen.manifold.apply import denoised
from facegen.storage import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCATTERED = 70
"""Faces of each kind in a scatter diagram, as in Fig. 12 of the paper."""


def write_figures(folder: Path, evaluation: Evaluation, result: dict[str, Any]) -> list[Path]:
    """Draw all figures as PNG files into ``folder``.

    Raises:
        StorageError: when the disk refuses.
    """
    figures: dict[str, list[tuple[str, Draw]]] = {
        "learning-curves": [("loss on test faces", lambda axes: _learning(axes, result))],
        "robustness": [
            ("Fig. 8: corrupted and denoised", lambda axes: _robustness(axes, result, corrupted=True)),
            ("Fig. 10: by the noise of training", lambda axes: _robustness(axes, result, corrupted=False)),
        ],
        "frontier": [
            ("possible faces against diversity", lambda axes: _frontier(axes, result)),
            ("possible faces against width", lambda axes: _reliability(axes, result)),
        ],
        "scatter": [
            (name, partial(_scatter, evaluation=evaluation, name=name)) for name in evaluation.denoisers
        ],
    }  # fmt: skip
    written = []
    for name, panels in figures.items():
        path = folder / f"{name}.png"
        write_atomically(path, png(panels))
        written.append(path)
    return written


def _learning(axes: Axes, result: dict[str, Any]) -> None:
    for name, one in result["denoisers"].items():
        if one["curve"]:
            step, train, test = np.array(one["curve"]).T
            (line,) = axes.plot(step, test, label=f"{name}, test")
            axes.plot(step, train, linestyle=":", color=line.get_color(), label=f"{name}, train")
    axes.set(xlabel="step", ylabel="loss (each method its own)", yscale="log")
    axes.legend(fontsize=7)


def _robustness(axes: Axes, result: dict[str, Any], *, corrupted: bool) -> None:
    curves = result["robustness"]
    for name, mse in curves["mse"].items():
        if corrupted or name != CORRUPTED:
            axes.plot(curves["levels"], mse, marker="o", markersize=3, label=name)
    axes.axhline(result["recovery"]["mean face"]["mse"], color="0.5", linestyle="--", label="mean face")
    axes.set(xlabel="noise of the test faces, relative to the paper's", ylabel="MSE")
    axes.legend(fontsize=8)


def _frontier(axes: Axes, result: dict[str, Any]) -> None:
    for name in dict.fromkeys(one["name"] for one in result["sets"]):
        points = [one for one in result["sets"] if one["name"] == name and one["reliability"]]
        if not points:
            continue
        x = [one["over_gaussian"] for one in points]
        y = [100 * one["reliability"]["share"] for one in points]
        axes.scatter(x, y, s=14, label=name)
    axes.set(xlabel="total variance, × Gaussian", ylabel="possible faces, %", xscale="log", ylim=(-3, 103))
    axes.legend(fontsize=7)


def _reliability(axes: Axes, result: dict[str, Any]) -> None:
    own = {
        name: [one["path"]["start"], one["path"]["end"]] if one["path"] else None
        for name, one in result["denoisers"].items()
    }
    for name in dict.fromkeys(one["name"] for one in result["sets"]):
        points = [
            one
            for one in result["sets"]
            if one["name"] == name and one["width"] is not None and one["reliability"] and one["path"] == own.get(name)
        ]
        if points:
            share = [100 * one["reliability"]["share"] for one in points]
            axes.plot([one["width"] for one in points], share, marker="o", markersize=3, label=name)
    axes.set(xlabel="width of the uniform law", ylabel="possible faces, %", ylim=(-3, 103))
    axes.legend(fontsize=8)


def _scatter(axes: Axes, evaluation: Evaluation, name: str) -> None:
    """First two principal components of ours, Gaussian and real faces (Fig. 12)."""
    train, test, seed = evaluation.train, evaluation.test, evaluation.config.seed
    raw = uniform(train, widths_for(train)[-1], SCATTERED, seed)
    sets = {
        f"uniform, through {name}": denoised(evaluation.denoisers[name], raw, seed, train.bounds),
        "Gaussian": gaussian(train, SCATTERED, seed),
        "clean": spread(test.values, SCATTERED)[:SCATTERED],
    }
    points = np.concatenate(list(sets.values())).astype(np.float64) * train.deviation
    mean = points.mean(axis=0)
    _, _, axis = np.linalg.svd(points - mean, full_matrices=False)
    for label, values in sets.items():
        first, second = ((values * train.deviation - mean) @ axis[:2].T).T
        axes.scatter(first, second, s=10, label=label, alpha=0.8)
    axes.set(xlabel="first principal component", ylabel="second")
    axes.legend(fontsize=7)
