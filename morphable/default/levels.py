"""The three levels of one mesh: coarse, default and dense, each an exact 1:4 split of the one before.

Vertices keep their numbers: those of a coarser level are the first of a finer one. What a vertex is (a place in a
chart, a parameter on a pinned curve, a node of a grid) is split along, so that every level knows where its vertices
belong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.chart import BACK
from facegen.morphable.default.curves import chart_curve
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.default.packing import read_arrays
from facegen.morphable.subdivision import split

Float = NDArray[np.float64]
Ints = NDArray[np.int64]

REGIONS = (
    "background", "face", "lips", "scalp", "ears", "neck", "eye_sockets", "eyeball_left", "eyeball_right", "lashes",
    "mouth_socket", "gums", "tongue", "teeth", "nostrils",
)  # fmt: skip


@dataclass(frozen=True)
class Level:
    """Connectivity of N vertices, and what each vertex is. Places are NaN where they do not apply."""

    triangles: Ints
    """(T, 3) counter-clockwise seen from outside."""
    region: NDArray[np.uint8]
    """(T,) index into :data:`REGIONS`."""
    island: NDArray[np.uint8]
    """(T,) FRONT, BACK or OTHER: where it lies in the texture, and the chart of a triangle of skin."""
    mirror: Ints
    """(N,) the vertex on the other side; on the midline itself."""
    front: Float
    """(N, 2) place in the front chart, mm."""
    back: Float
    """(N, 2) place in the back chart, mm."""
    pins: dict[str, tuple[Ints, Float]]
    """Curve → its vertices on the left in order, and their parameters (:class:`.curves.ChartCurve`)."""
    grids: dict[str, Ints]
    """Part → (rows, columns) vertices on the left; the last column repeats the first where the part is closed."""
    poles: dict[str, int]
    """Part → the vertex on the left that closes its last row."""
    caps: dict[str, Ints]
    """Part → (columns,) vertices between a pole and the coarser level's last row; empty on the coarse level."""
    blades: dict[str, Ints]
    """Lashes → (L, 3) two vertices at the root and the tip, on the left; from the default level on (L, 6) or more."""
    uv_triangles: Ints
    """(T, 3) texture coordinates of the triangles' corners."""
    uv_vertex: Ints
    """(U,) vertex of each texture coordinate."""
    uv_place: Float
    """(U, 2) texture coordinate of what is in no chart; NaN for the skin, whose charts give it."""

    @property
    def count(self) -> int:
        """Number N of vertices."""
        return len(self.mirror)

    @property
    def left(self) -> NDArray[np.bool_]:
        """(N,) vertices of the left half and the midline: those that come before their mirror image, or are it."""
        number: NDArray[np.bool_] = np.arange(self.count) <= self.mirror
        return number


def split_level(level: Level, network: ControlNetwork) -> Level:
    """The next finer level."""
    triangles, edges = split(level.triangles, level.count)
    a, b = edges.T
    middle = {(int(x), int(y)): level.count + i for i, (x, y) in enumerate(edges)}

    def between(x: Ints, y: Ints) -> Ints:
        pairs = zip(np.minimum(x, y).tolist(), np.maximum(x, y).tolist(), strict=True)
        return np.array([middle[pair] for pair in pairs], np.int64)

    front = np.concatenate([level.front, (level.front[a] + level.front[b]) / 2])
    back = np.concatenate([level.back, (level.back[a] + level.back[b]) / 2])
    # An edge between two vertices of the rim may lie in one chart only; what matters is that it has a place in its own.
    mirror = np.concatenate([level.mirror, between(level.mirror[a], level.mirror[b])])
    pins = {}
    for name, (vertices, places) in level.pins.items():
        new = between(vertices[:-1], vertices[1:])
        at = (places[:-1] + places[1:]) / 2
        pins[name] = (_interleave(vertices, new), _interleave(places, at))
        curve = chart_curve(network, name)
        (back if network.curves[name].chart == BACK else front)[new] = curve(at)
        if name == "rim":
            behind = chart_curve(network, name, BACK)
            back[new] = behind(np.interp(at, curve.knots, behind.knots))
        for chart in (front, back):
            chart[mirror[new]] = chart[new] * (-1.0, 1.0)
    uv_triangles, uv_edges = split(level.uv_triangles, len(level.uv_vertex))
    ends = level.uv_vertex[uv_edges]
    return Level(
        triangles=triangles,
        region=np.repeat(level.region, 4),
        island=np.repeat(level.island, 4),
        mirror=mirror,
        front=front,
        back=back,
        pins=pins,
        grids={name: _split_grid(grid, between) for name, grid in level.grids.items()},
        poles=level.poles,
        caps={
            name: between(level.grids[name][-1], np.full(level.grids[name].shape[1], pole))
            for name, pole in level.poles.items()
        },
        blades={name: _split_blades(blades, between) for name, blades in level.blades.items()},
        uv_triangles=uv_triangles,
        uv_vertex=np.concatenate([level.uv_vertex, between(ends[:, 0], ends[:, 1])]),
        uv_place=np.concatenate([level.uv_place, level.uv_place[uv_edges].mean(axis=1)]),
    )


def _interleave(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    result = np.empty(len(old) + len(new), old.dtype)
    result[::2], result[1::2] = old, new
    return result


def _split_grid(grid: Ints, between: Callable[[Ints, Ints], Ints]) -> Ints:
    rows, columns = grid.shape
    fine = np.empty((2 * rows - 1, 2 * columns - 1), np.int64)
    fine[::2, ::2] = grid
    fine[::2, 1::2] = between(grid[:, :-1].ravel(), grid[:, 1:].ravel()).reshape(rows, columns - 1)
    fine[1::2, ::2] = between(grid[:-1].ravel(), grid[1:].ravel()).reshape(rows - 1, columns)
    # The quads' diagonals run from the right of a row to the left of the next.
    fine[1::2, 1::2] = between(grid[:-1, 1:].ravel(), grid[1:, :-1].ravel()).reshape(rows - 1, columns - 1)
    return fine


def _split_blades(blades: Ints, between: Callable[[Ints, Ints], Ints]) -> Ints:
    """(L, 3) root, root, tip → (L, 6) with the middles of the root, of the second side and of the first."""
    a, b, tip = blades[:, :3].T
    return np.concatenate([blades, np.stack([between(a, b), between(b, tip), between(a, tip)], axis=1)], axis=1)


@lru_cache(maxsize=1)
def read_coarse() -> Level:
    """The coarse level as shipped in ``mesh.npz``."""
    data = files("facegen.morphable.default").joinpath("mesh.npz").read_bytes()
    return from_arrays(read_arrays(data, "the embedded mesh"))


def to_arrays(level: Level) -> dict[str, NDArray[Any]]:
    """Plain arrays for a file."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(level, name) for name in _PLAIN}
    for name, (vertices, places) in level.pins.items():
        arrays[f"pin.{name}"], arrays[f"place.{name}"] = vertices, places
    for name, grid in level.grids.items():
        arrays[f"grid.{name}"] = grid
    for name, pole in level.poles.items():
        arrays[f"pole.{name}"] = np.array(pole)
    for name, blades in level.blades.items():
        arrays[f"blades.{name}"] = blades
    return arrays


def from_arrays(arrays: dict[str, NDArray[Any]]) -> Level:
    """The coarse level from :func:`to_arrays`."""

    def group(prefix: str) -> dict[str, NDArray[Any]]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    pins = {name: (vertices, arrays[f"place.{name}"]) for name, vertices in group("pin.").items()}
    return Level(
        **{name: arrays[name] for name in _PLAIN},
        pins=pins,
        grids=group("grid."),
        poles={name: int(pole) for name, pole in group("pole.").items()},
        caps={},
        blades=group("blades."),
    )


_PLAIN = ("triangles", "region", "island", "mirror", "front", "back", "uv_triangles", "uv_vertex", "uv_place")
