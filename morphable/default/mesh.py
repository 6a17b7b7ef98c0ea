"""Makes ``mesh.npz``, the coarse connectivity of the default head that the package ships.

Random meshing is not stable across library versions, so it is done once::

    python -m facegen.morphable.default.mesh

Finer levels follow by splitting every triangle in four (:mod:`facegen.morphable.default.levels`). One half is made
and mirrored. The skin is meshed in the two charts; everything else (lid pockets, nostrils, the mouth's inside,
eyeball, teeth, tongue) is a grid, and lashes are single triangles.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from facegen.morphable.default.chart import BACK, FRONT, OTHER, to_chart
from facegen.morphable.default.curves import ChartCurve, chart_curve
from facegen.morphable.default.levels import REGIONS, Level, to_arrays
from facegen.morphable.default.network import ControlNetwork, read_network
from facegen.morphable.default.outline import contains
from facegen.morphable.default.planar import Size, triangulate
from facegen.morphable.default.uv import in_slot

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

SCALE = 2.15
"""Edge lengths of the coarse mesh relative to the size field, which is the default level's."""

NAPE = 50.0
"""Where the hair ends behind, mm in the back chart."""

EYEBALL = (9, 12)
"""Rings and columns of an eyeball behind its pole."""
TEETH = (4, 13)
"""Rows across and columns along half an arch."""
TONGUE = (6, 4)
LASHES = {"upper_lashes": 30, "lower_lashes": 18}


@dataclass
class _Half:
    """The left half as it grows."""

    front: list[Float] = field(default_factory=list)
    back: list[Float] = field(default_factory=list)
    midline: list[bool] = field(default_factory=list)
    triangles: list[tuple[int, int, int]] = field(default_factory=list)
    region: list[int] = field(default_factory=list)
    island: list[int] = field(default_factory=list)
    slots: list[tuple[str, tuple[tuple[float, float], ...]] | None] = field(default_factory=list)
    pins: dict[str, tuple[Ints, Float]] = field(default_factory=dict)
    grids: dict[str, Ints] = field(default_factory=dict)
    poles: dict[str, int] = field(default_factory=dict)
    blades: dict[str, Ints] = field(default_factory=dict)

    def add(self, count: int, midline: bool = False, front: Float | None = None, back: Float | None = None) -> Ints:
        nowhere = np.full((count, 2), np.nan)
        first = len(self.midline)
        self.front += list(nowhere if front is None else front)
        self.back += list(nowhere if back is None else back)
        self.midline += [midline] * count
        return np.arange(first, first + count)


def make() -> Level:
    """The coarse level of the head."""
    network = read_network()
    half = _Half()
    curves = {name: chart_curve(network, name) for name, c in network.curves.items() if c.kind in ("boundary", "rim")}
    curves["rim_behind"] = chart_curve(network, "rim", BACK)
    _front(half, network, curves)
    _back(half, network, curves)
    _parts(half)
    return _mirror(half)


# --- the skin ---------------------------------------------------------------------------------------------------------


def _front(half: _Half, network: ControlNetwork, curves: dict[str, ChartCurve]) -> None:
    size = _front_size(network, curves)
    loops = {name: _along(curves[name], size, network.points) for name in _FRONT_LOOPS}
    ids: dict[str, Ints] = {}
    rim_places = loops["rim"]
    for name, places in loops.items():
        chart = curves[name](places)
        back = curves["rim_behind"](_rim_places_behind(curves, rim_places)) if name == "rim" else None
        shared_first = {"lower_lid_margin": "upper_lid_margin", "lower_mouth_seam": "upper_mouth_seam"}.get(name)
        if name == "nostril":
            new = half.add(len(chart) - 1, front=chart[:-1])
            ids[name] = np.append(new, new[0])
        elif shared_first == "upper_lid_margin":
            new = half.add(len(chart) - 2, front=chart[1:-1])
            ids[name] = np.concatenate([ids[shared_first][:1], new, ids[shared_first][-1:]])
        elif shared_first == "upper_mouth_seam":
            new = half.add(len(chart) - 1, front=chart[:-1])
            ids[name] = np.append(new, ids[shared_first][-1])
        elif name == "neckline_front":
            new = half.add(len(chart) - 1, front=chart[:-1])
            ids[name] = np.append(new, ids["rim"][-1])
        else:
            ids[name] = half.add(len(chart), front=chart, back=back)
        half.pins[name] = (ids[name], places)
    for name in ("upper_mouth_seam", "lower_mouth_seam", "neckline_front", "rim"):
        vertex = ids[name][0]
        half.midline[vertex] = True
        half.front[vertex] = half.front[vertex] * (0.0, 1.0)
        if name == "rim":
            half.back[vertex] = half.back[vertex] * (0.0, 1.0)
    # The border of the lips' red, so that the region follows edges.
    vermilion = _vermilion(network)
    borders = [_along(curve, size) for curve in vermilion]
    border = np.concatenate([curve(p)[1:] for curve, p in zip(vermilion, borders, strict=True)])
    border_id = half.add(len(border), front=border)
    # The crease of the upper lid, so that its shadow is a line rather than a zigzag.
    crease = chart_curve(network, "lid_crease")
    places = crease(_along(crease, size))
    crease_id = half.add(len(places), front=places)
    top, lips, neck = (half.front[ids[name][0]][1] for name in ("rim", "upper_mouth_seam", "neckline_front"))
    marks = [float(y) for x, y in to_chart(np.concatenate(list(network.landmarks.values())), FRONT) if abs(x) < 1e-9]
    heights = _midline(size, top, lips, [*marks, _stop(vermilion[0])])
    heights += _midline(size, half.front[ids["lower_mouth_seam"][0]][1], neck, [*marks, _stop(vermilion[1])])
    line = half.add(len(heights), True, front=np.stack([np.zeros(len(heights)), heights], axis=1))
    sides = to_chart(np.concatenate([network.landmarks["jaw"], network.landmarks["brow"]]), FRONT)
    marked = half.add(int((sides[:, 0] > 1e-9).sum()), front=sides[sides[:, 0] > 1e-9])
    eye = np.concatenate([ids["upper_lid_margin"], ids["lower_lid_margin"][-2:0:-1]])
    mouth = np.concatenate([ids["upper_mouth_seam"], ids["lower_mouth_seam"][-2::-1]])
    nostril = ids["nostril"][:-1]
    outer = np.concatenate([ids["rim"], ids["neckline_front"][-2::-1]])
    fixed = np.unique(np.concatenate([eye, mouth, nostril, outer, border_id, crease_id, line, marked]))
    position = np.array(half.front)
    chart, triangles, added = triangulate(
        position[outer], [position[eye], position[nostril], position[mouth]], position[fixed], size
    )
    new = half.add(added, front=chart[len(fixed) :])
    number = np.concatenate([fixed, new])
    classify = _Regions(network)
    for t in triangles:
        half.triangles.append(tuple(int(v) for v in number[t]))  # type: ignore[arg-type]
        half.region.append(classify(chart[t].mean(axis=0)))
    half.island = [FRONT] * len(half.triangles)
    half.grids["lid_pocket"] = np.append(eye, eye[0])[None]
    half.grids["nostril_pocket"] = ids["nostril"][None]
    half.grids["mouth_pocket"] = mouth[None]


_FRONT_LOOPS = (
    "upper_lid_margin", "lower_lid_margin", "nostril", "upper_mouth_seam", "lower_mouth_seam", "rim", "neckline_front",
)  # fmt: skip


def _vermilion(network: ControlNetwork) -> tuple[ChartCurve, ChartCurve]:
    return chart_curve(network, "upper_vermilion_border"), chart_curve(network, "lower_vermilion_border")


def _stop(curve: ChartCurve) -> float:
    return float(curve(np.zeros(1))[0, 1])


def _rim_places_behind(curves: dict[str, ChartCurve], places: Float) -> Float:
    """The same points of the rim by its length in the back chart: the share between two control points is kept."""
    return np.interp(places, curves["rim"].knots, curves["rim_behind"].knots)


def _back(half: _Half, network: ControlNetwork, curves: dict[str, ChartCurve]) -> None:
    def size(places: Float) -> Float:
        return np.full(len(places), 6.5 * SCALE)

    rim = half.pins["rim"][0]
    places = _along(curves["neckline_back"], size)
    chart = curves["neckline_back"](places)
    new = half.add(len(chart) - 1, back=chart[1:])
    neckline = np.concatenate([rim[-1:], new])
    half.midline[neckline[-1]] = True
    half.back[neckline[-1]] = half.back[neckline[-1]] * (0.0, 1.0)
    half.back[rim[-1]] = chart[0]
    half.pins["neckline_back"] = (neckline, places)
    line = np.array(_midline(size, half.back[rim[0]][1], half.back[neckline[-1]][1]))
    middle = half.add(len(line), True, back=np.stack([np.zeros(len(line)), line], axis=1))
    outer = np.concatenate([rim, neckline[1:]])
    fixed = np.concatenate([outer, middle])
    position = np.array(half.back)
    chart, triangles, added = triangulate(position[outer], [], position[fixed], size)
    number = np.concatenate([fixed, half.add(added, back=chart[len(fixed) :])])
    for t in triangles:
        a, b, c = (int(v) for v in number[t])
        # Seen from behind, x runs the other way.
        half.triangles.append((a, c, b))
        half.region.append(REGIONS.index("neck" if chart[t].mean(axis=0)[1] < NAPE else "scalp"))
    half.island += [BACK] * (len(half.triangles) - len(half.island))
    half.slots = [None] * len(half.triangles)


def _front_size(network: ControlNetwork, curves: dict[str, ChartCurve]) -> Size:
    def points(*names: str) -> Float:
        return network.chart_points[network.rows(*names)]

    def dense(*names: str) -> Float:
        return np.concatenate([curves[n](np.linspace(0, curves[n].length, 80)) for n in names])

    finest = cKDTree(
        np.concatenate(
            [
                dense("upper_lid_margin", "lower_lid_margin", "nostril", "upper_mouth_seam", "lower_mouth_seam"),
                points("lid_crease", "lid_fold"),
            ]
        )
    )
    fine = cKDTree(
        points(
            "nose", "ala", "alar_crease", "alar_rim", "columella", "nostril_sill", "philtrum", "upper_vermilion_border",
            "upper_lip_bulge", "lower_lip_bulge", "lower_vermilion_border", "upper_tarsal_plate", "lower_tarsal_plate",
            "upper_orbital_sulcus", "nasolabial_fold", "infraorbital_furrow",
        )
    )  # fmt: skip
    ear = cKDTree(points("helix", "scapha", "concha", "antihelix", "tragus"))

    def size(places: Float) -> Float:
        near = 0.9 + 0.13 * finest.query(places)[0]
        nearby = 1.5 + 0.08 * np.maximum(fine.query(places)[0] - 2, 0)
        on_ear = 2.7 + 0.25 * np.maximum(ear.query(places)[0] - 5, 0)
        return SCALE * np.minimum(np.minimum(near, nearby), np.minimum(on_ear, 7.5))

    return size


def _along(curve: ChartCurve, size: Size, points: Float | None = None) -> Float:
    """Parameters along a curve, both ends included, spaced by the size field.

    Given the control points (n, 3), spacing counts in space where the chart is squeezed: at the side of the neck.
    """
    fine = np.linspace(0, curve.length, 400)
    step = size(curve(fine))
    if points is not None:
        true = np.linalg.norm(np.diff(points[curve.rows], axis=0), axis=1) / np.diff(curve.knots)
        centres = (curve.knots[1:] + curve.knots[:-1]) / 2
        step = step / np.interp(fine, centres, true).clip(1, None)
    density = np.concatenate([[0.0], np.cumsum(np.diff(fine) * 2 / (step[1:] + step[:-1]))])
    count = max(3, round(float(density[-1])))
    return np.interp(np.linspace(0, density[-1], count + 1), density, fine)


def _midline(size: Size, top: float, bottom: float, stops: Sequence[float] = ()) -> list[float]:
    """Heights strictly between two, downwards, spaced by the size field, with those of ``stops`` in between."""
    ends = [top, *sorted((y for y in set(stops) if bottom + 0.5 < y < top - 0.5), reverse=True), bottom]
    heights = []
    for upper, lower in pairwise(ends):
        fine = np.linspace(upper, lower, 400)
        step = size(np.stack([np.zeros(400), fine], axis=1))
        density = np.concatenate([[0.0], np.cumsum((upper - lower) / 399 * 2 / (step[1:] + step[:-1]))])
        count = max(1, round(float(density[-1])))
        heights += [*np.interp(np.linspace(0, density[-1], count + 1)[1:-1], density, fine).tolist(), lower]
    return heights[:-1]


class _Regions:
    """The region of the skin at a place of the front chart."""

    def __init__(self, network: ControlNetwork) -> None:
        def points(name: str) -> Float:
            return network.chart_points[network.rows(name)]

        corner = points("upper_mouth_seam")[-1:]
        upper = chart_curve(network, "upper_vermilion_border")
        lower = chart_curve(network, "lower_vermilion_border")
        self._lips = np.concatenate(
            [upper(np.linspace(0, upper.length, 60)), corner, lower(np.linspace(lower.length, 0, 60))]
        )
        far_above = [(400.0, -60.0), (400.0, 400.0), (0.0, 400.0)]
        far_below = [(400.0, -60.0), (400.0, -400.0), (0.0, -400.0)]
        outlines = {name: to_chart(line, FRONT) for name, line in network.outlines.items()}
        self._ear = outlines["ear"]
        self._hairline = np.concatenate([outlines["hairline"], far_above])
        self._neck = np.concatenate([outlines["jaw_edge"], far_below])

    def __call__(self, place: Float) -> int:
        outlines = {"lips": self._lips, "ears": self._ear, "neck": self._neck, "scalp": self._hairline}
        for name, outline in outlines.items():
            if contains(outline, place[None])[0]:
                return REGIONS.index(name)
        return REGIONS.index("face")


# --- everything else --------------------------------------------------------------------------------------------------


def _parts(half: _Half) -> None:
    outward = {(a, b) for t in half.triangles for a, b in zip(t, (*t[1:], t[0]), strict=True)}
    for name, rows, region, pole in (
        ("lid_pocket", 2, "eye_sockets", False),
        ("nostril_pocket", 2, "nostrils", True),
        ("mouth_pocket", 3, "mouth_socket", True),
    ):
        loop = half.grids[name][0]
        closed = loop[0] == loop[-1]
        rings = [loop]
        for _ in range(rows):
            ring = half.add(len(loop) - closed)
            if name == "mouth_pocket":
                half.midline[ring[0]] = half.midline[ring[-1]] = True
            rings.append(np.append(ring, ring[0]) if closed else ring)
        half.grids[name] = np.stack(rings)
        _fill(
            half,
            name,
            region,
            flip=(int(loop[0]), int(loop[1])) not in outward,
            pole=pole,
            on_midline=name == "mouth_pocket",
        )
    rings_, columns = EYEBALL
    _own_grid(half, "eyeball", rings_, columns, "eyeball_left", closed=True, pole=True)
    for name in ("upper_teeth", "lower_teeth"):
        _own_grid(half, name, *TEETH, "teeth", flip=name == "lower_teeth", middle=(0,))
    _own_grid(half, "tongue", *TONGUE, "tongue", middle=(0, -1), pole=True)
    for name, count in LASHES.items():
        blades = half.add(3 * count).reshape(count, 3)
        half.blades[name] = blades
        half.triangles += [tuple(int(v) for v in blade) for blade in blades]  # type: ignore[misc]
        half.region += [REGIONS.index("lashes")] * count
        half.island += [OTHER] * count
        half.slots += [
            (name, ((k / count, 0.0), ((k + 0.9) / count, 0.0), ((k + 0.45) / count, 1.0))) for k in range(count)
        ]


def _own_grid(
    half: _Half, name: str, rows: int, columns: int, region: str, *, closed: bool = False, flip: bool = False,
    pole: bool = False, middle: tuple[int, ...] = (),
) -> None:  # fmt: skip
    grid = half.add(rows * columns).reshape(rows, columns)
    for column in middle:
        for vertex in grid[:, column]:
            half.midline[vertex] = True
    half.grids[name] = np.concatenate([grid, grid[:, :1]], axis=1) if closed else grid
    _fill(half, name, region, flip=flip, pole=pole, on_midline=bool(middle))


def _fill(half: _Half, name: str, region: str, *, flip: bool, pole: bool, on_midline: bool) -> None:
    """Triangles of a grid and of the fan that closes it."""
    grid = half.grids[name]
    rows, columns = grid.shape
    number = np.arange(grid.size).reshape(grid.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    nodes = [np.stack([a, c, b], axis=-1).reshape(-1, 3), np.stack([b, c, d], axis=-1).reshape(-1, 3)]
    vertex = grid.ravel().tolist()
    across = rows - 1 + pole
    places = [(j / (columns - 1), i / across) for i in range(rows) for j in range(columns)]
    if pole:
        half.poles[name] = int(half.add(1, midline=on_midline)[0])
        last = number[-1]
        # A node of its own per triangle of the fan, so that each has a place above its side.
        nodes.append(np.stack([last[:-1], len(vertex) + np.arange(columns - 1), last[1:]], axis=1))
        vertex += [half.poles[name]] * (columns - 1)
        places += [((j + 0.5) / (columns - 1), 1.0) for j in range(columns - 1)]
    joined = np.concatenate(nodes)
    for t in (joined[:, ::-1] if flip else joined).tolist():
        x, y, z = t
        half.triangles.append((vertex[x], vertex[y], vertex[z]))
        half.slots.append((name, (places[x], places[y], places[z])))
    half.region += [REGIONS.index(region)] * len(joined)
    half.island += [OTHER] * len(joined)


# --- the whole --------------------------------------------------------------------------------------------------------


def _mirror(half: _Half) -> Level:
    count = len(half.midline)
    midline = np.array(half.midline)
    mirror = np.arange(count)
    other = np.flatnonzero(~midline)
    mirror[other] = count + np.arange(len(other))
    front, back = np.array(half.front), np.array(half.back)
    left = np.array(half.triangles, np.int64)
    region = np.array(half.region, np.uint8)
    opposite = np.where(region == REGIONS.index("eyeball_left"), REGIONS.index("eyeball_right"), region)
    island = np.array(half.island, np.uint8)
    uv_triangles, uv_vertex, uv_place = _unwrap(half, left, mirror)
    return Level(
        triangles=np.concatenate([left, mirror[left][:, ::-1]]),
        region=np.concatenate([region, opposite]).astype(np.uint8),
        island=np.concatenate([island, island]),
        mirror=np.concatenate([mirror, other]),
        front=np.concatenate([front, front[other] * (-1.0, 1.0)]),
        back=np.concatenate([back, back[other] * (-1.0, 1.0)]),
        pins=half.pins,
        grids=half.grids,
        poles=half.poles,
        caps={},
        blades=half.blades,
        uv_triangles=uv_triangles,
        uv_vertex=uv_vertex,
        uv_place=uv_place,
    )


def _unwrap(half: _Half, left: Ints, mirror: Ints) -> tuple[Ints, Ints, Float]:
    """Texture coordinates of both halves' triangles: corners, their vertices, and the place of those off the charts."""
    number: dict[tuple[object, ...], int] = {}
    vertex: list[int] = []
    place: list[tuple[float, float]] = []
    corners: list[list[int]] = []
    for side in (0, 1):
        for t, island, slot in zip(left.tolist(), half.island, half.slots, strict=True):
            row = []
            for k, v in enumerate(t):
                w = int(mirror[v]) if side else v
                where = (np.nan, np.nan) if slot is None else in_slot(slot[0], *slot[1][k], side)
                key = (island, w) if slot is None else (island, w, where)
                if key not in number:
                    number[key] = len(vertex)
                    vertex.append(w)
                    place.append(where)
                row.append(number[key])
            corners.append(row[::-1] if side else row)
    return np.array(corners, np.int64), np.array(vertex, np.int64), np.array(place)


def main() -> None:
    """Write ``mesh.npz`` beside this file."""
    level = make()
    path = Path(__file__).with_name("mesh.npz")
    np.savez_compressed(path, allow_pickle=False, **to_arrays(level))
    print(f"{path}: {level.count} vertices, {len(level.triangles)} triangles", file=sys.stderr)


if __name__ == "__main__":
    main()
