"""Figures of an evaluation: learning, errors, parts and their locality, codes in a plane, seams."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facegen.evaluation.compose.diversity import MIXED, TEST, Plane
from facegen.evaluation.compose.heat import heat
from facegen.evaluation.compose.pictures import Studio
from facegen.evaluation.compose.reconstruction import MEAN_FACE
from facegen.evaluation.compose.report import Measured
from facegen.evaluation.compose.subject import Evaluation
from facegen.evaluation.plotting import Draw, png
from facegen.storage import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RENDERED = 420
"""Side of a portrait in a figure, pixels."""


def write_figures(folder: Path, evaluation: Evaluation, measured: Measured) -> list[Path]:
    """Draw all figures as PNG files into ``folder``.

    Raises:
        StorageError: when the disk refuses.
    """
    result, studio = measured.result, Studio(evaluation, _RENDERED)
    figures: dict[str, list[tuple[str, Draw]]] = {
        "learning-curves": [
            ("test faces: mean distance of a vertex", partial(_learning, result=result, column=2, label="mm")),
            ("training loss", partial(_learning, result=result, column=1, label="mm (each network its own)")),
        ],
        "parts": _parts(studio),
        "locality": [
            ("locality: share of squared displacement in the part", partial(_bars, result=result, key="locality")),
            ("leakage: RMS outside / RMS inside", partial(_bars, result=result, key="leakage")),
        ],
        "errors": _errors(studio, result),
        "pca-tsne": [(name, partial(_plane, plane=plane)) for name, plane in measured.codes.planes.items()],
        "seams": _seams(studio, measured),
    }
    written = []
    for name, panels in figures.items():
        path = folder / f"{name}.png"
        write_atomically(path, png(panels, columns={"seams": 3}.get(name, min(len(panels), 4))))
        written.append(path)
    return written


def _learning(axes: Axes, result: dict[str, Any], column: int, label: str) -> None:
    for name, one in result["networks"].items():
        if one["curve"]:
            curve = np.array(one["curve"])
            axes.plot(curve[:, 0], curve[:, column], marker=".", label=name)
    axes.set(xlabel="epoch", ylabel=label, yscale="log")
    axes.legend(fontsize=8)


def _parts(studio: Studio) -> list[tuple[str, Draw]]:
    evaluation, sheet = studio.evaluation, studio.sheet
    panels: list[tuple[str, Draw]] = [
        (name, partial(_picture, image=sheet.render(studio.parts("", yaw))))
        for name, yaw in (("all parts, front", 0.0), ("all parts, side", 75.0))
    ]
    for part, name in enumerate(evaluation.parts):
        image = sheet.render(studio.heat(studio.portrait(""), evaluation.weights[:, part], 1.0))
        panels.append((name, partial(_picture, image=image, largest=1.0, label="weight")))
    return panels


def _bars(axes: Axes, result: dict[str, Any], key: str) -> None:
    places, parts = result["locality"], result["parts"]
    width = 0.8 / len(places)
    for number, (name, one) in enumerate(places.items()):
        values = [*(part[key] for part in one["parts"].values()), one[key]]
        axes.bar(np.arange(len(values)) + (number - (len(places) - 1) / 2) * width, values, width, label=name)
    axes.set_xticks(range(len(parts) + 1), [*parts, "mean"], fontsize=8, rotation=20)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.legend(fontsize=7, ncols=3, loc="upper center")


def _errors(studio: Studio, result: dict[str, Any]) -> list[tuple[str, Draw]]:
    evaluation = studio.evaluation
    names = [name for name in result["reconstruction"] if name != MEAN_FACE]
    maps = {name: evaluation.kept(name).mean(axis=0) for name in names}
    largest = float(np.percentile(maps[evaluation.main], 99.5))
    panels: list[tuple[str, Draw]] = [("all vertices of all test faces", partial(_histogram, evaluation, names))]
    for name, values in maps.items():
        image = studio.sheet.render(studio.heat(studio.portrait(""), values, largest))
        title = f"{name}: mean of each vertex"
        panels.append((title, partial(_picture, image=image, largest=largest, label="mm")))
    return panels


def _histogram(evaluation: Evaluation, names: list[str], axes: Axes) -> None:
    distances = {name: evaluation.kept(name).ravel() for name in names}
    edges = np.linspace(0, max(float(np.percentile(one, 99)) for one in distances.values()), 80)
    for name, one in distances.items():
        count, _ = np.histogram(one, edges)
        axes.plot((edges[1:] + edges[:-1]) / 2, 100 * count / len(one), label=name, linewidth=1)
    axes.set(xlabel="distance from where it should be, mm", ylabel="vertices, %")
    axes.legend(fontsize=7)


def _plane(axes: Axes, plane: Plane) -> None:
    for name, points in plane.points.items():
        dots = axes.scatter(points[:, 0], points[:, 1], s=7, alpha=0.6, label=name)
        outline = plane.ellipses[name].boundary()
        closed = np.concatenate([outline, outline[:1]])
        axes.plot(closed[:, 0], closed[:, 1], color=dots.get_facecolor()[0], alpha=1.0, linewidth=1.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(fontsize=7)


def _seams(studio: Studio, measured: Measured) -> list[tuple[str, Draw]]:
    excess, evaluation = measured.excess, studio.evaluation
    panels: list[tuple[str, Draw]] = [("largest excess of a face in the transition", partial(_excess, measured))]
    for name in (TEST, MIXED):
        order = excess.largest(name).argsort()
        for word, row in (("median", int(order[len(order) // 2])), ("worst", int(order[-1]))):
            if name == TEST:
                plain, heated = (studio.portrait("", evaluation.test.people.values[row]) for _ in range(2))
            else:
                identity, offset = measured.mixed.identity[row], measured.mixed.offsets[row]
                plain, heated = (studio.portrait("", identity, offset) for _ in range(2))
            studio.heat(heated, np.where(excess.seen, excess.sets[name][row], 0), 1.0)
            both = np.concatenate([studio.sheet.render(plain), studio.sheet.render(heated)], axis=1)
            title = f"{name}, {word}: {excess.largest(name)[row]:.2f}"
            panels.append((title, partial(_picture, image=both, largest=1.0, label="excess, widths of the range")))
    return panels


def _excess(measured: Measured, axes: Axes) -> None:
    for name in measured.excess.sets:
        values = np.sort(measured.excess.largest(name))
        axes.plot(values, 100 * np.arange(1, len(values) + 1) / len(values), label=name)
    axes.set(xlabel="widths of the population's range", ylabel="faces with no more, %", ylim=(0, 101))
    axes.set_xscale("symlog", linthresh=0.1)
    axes.legend(fontsize=7, loc="lower right")


def _picture(axes: Axes, image: NDArray[np.uint8], largest: float | None = None, label: str = "") -> None:
    axes.imshow(image)
    axes.set_axis_off()
    if largest is not None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        colours = ListedColormap(heat(np.linspace(0, 1, 256)) / 255)
        bar = ScalarMappable(Normalize(0, largest), colours)
        axes.figure.colorbar(bar, ax=axes, shrink=0.8, label=label)
