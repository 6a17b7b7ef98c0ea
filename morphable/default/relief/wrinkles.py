"""The groups of wrinkles of ``wrinkles.yaml``: what drives them, and their slopes in the texture."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.morphable.default.relief.lines import Canvas, Line, Stroke, branches, broken, course, drawn, strays
from facegen.morphable.default.relief.points import spread_points
from facegen.morphable.default.relief.surface import MeanFace
from facegen.morphable.default.tables import read_yaml

Float = NDArray[np.float64]

_SIDES = ("left", "right")


@dataclass(frozen=True)
class Strength:
    """What a group's strength is made of."""

    base: float
    largest: float
    albedo: dict[str, float]
    """Per σ of an albedo coefficient."""
    expression: dict[str, float]
    """Per unit of an expression coefficient, which may take away too."""


@dataclass(frozen=True)
class Group:
    """One group of wrinkles of the face."""

    name: str
    strength: Strength
    mirror: float
    """-1 draws what the table has for the left on the right, else 1."""
    drawing: dict[str, Any]
    """Its entry in the table."""

    @property
    def generator(self) -> np.random.Generator:
        """Chance that depends on the name only, so that the sides differ and a new group changes no other."""
        return np.random.default_rng(zlib.crc32(self.name.encode()))


@lru_cache(maxsize=1)
def read_groups() -> tuple[Group, ...]:
    """The groups in the order of the table, left before right."""
    groups = []
    for name, entry in read_yaml("relief/wrinkles.yaml").items():
        for side in _SIDES if entry.get("sided") else (None,):
            values = entry["strength"]
            expression = {
                key if side is None else key.format(side=side.capitalize()): weight
                for key, weight in values["expression"].items()
            }
            strength = Strength(values["base"], values["largest"], dict(values["albedo"]), expression)
            full = name if side is None else f"{name}_{side}"
            groups.append(Group(full, strength, -1.0 if side == "right" else 1.0, entry))
    return tuple(groups)


def heights(group: Group, face: MeanFace, size: int) -> Float:
    """Heights (k size, k size) of a group at strength 1, mm outwards; see :class:`.lines.Canvas`."""
    canvas, generator, drawing = Canvas(size), group.generator, group.drawing
    main: list[Line] = []
    for entry in drawing.get("lines", ()):
        for mirror in (group.mirror, -group.mirror) if entry.get("both") else (group.mirror,):
            main += _main(entry, mirror, face, generator)
    canvas.draw(main)
    if "strays" in drawing:
        e = drawing["strays"]
        stroke = Stroke(e["depth"], e["width"], e["roll"])
        canvas.draw(strays(main, e["count"], stroke, e["spread"], e["angle"], e["length"], generator))
    for entry in drawing.get("combs", ()):
        canvas.draw(_comb(entry, face, generator))
    if "pits" in drawing:
        _pits(canvas, drawing["pits"], face, generator)
    return canvas.heights


def _main(entry: dict[str, Any], mirror: float, face: MeanFace, generator: np.random.Generator) -> list[Line]:
    """A line of the table and its branches."""
    through = face.front_places(np.array(entry["through"], np.float64) * (mirror, 1.0))
    if mirror < 0:
        # The sides of a face are alike, not the same.
        through = through + generator.normal(0, 0.5, 2) + generator.normal(0, 0.2, through.shape)
    stroke = Stroke(
        entry["depth"] * generator.uniform(0.85, 1.12), entry["width"], entry["roll"], mirror * entry.get("lean", 0.0),
        entry.get("wander", 1.0), entry.get("uneven", 1.0), entry.get("taper", 0.35),
    )  # fmt: skip
    places = course(through)
    pieces = broken(places, entry["pieces"], generator) if "pieces" in entry else [places]
    lines = []
    for number, piece in enumerate(pieces):
        strength = 1.0 if number == 0 else generator.uniform(0.75, 1.1)
        lines.append(drawn(piece, replace(stroke, depth=stroke.depth * strength), generator))
    for _ in range(entry.get("branches", 0)):
        lines += branches(lines[int(generator.integers(len(pieces)))], 1, generator)
    return lines


def _comb(entry: dict[str, Any], face: MeanFace, generator: np.random.Generator) -> list[Line]:
    """Short lines from one curve towards another."""
    start, end = (course(face.front_places(np.array(entry[key], np.float64))) for key in ("from", "to"))
    stroke = Stroke(**entry["stroke"])
    count = entry["count"]
    spacing = 1 / count
    lines = []
    for number in range(count):
        t = (number + generator.uniform(0.1, 0.9)) * spacing
        a = _at(start, t)
        b = _at(end, t + generator.normal(0, 0.35) * spacing)
        share = generator.uniform(*entry["share"])
        middle = (a + share * b + (1 - share) * a) / 2 + generator.normal(0, 0.25, 2)
        made = replace(stroke, depth=stroke.depth * generator.uniform(0.35, 1.1))
        lines.append(drawn(course(np.array([a, middle, a + share * (b - a)])), made, generator))
    return lines


def _at(line: Float, share: float) -> Float:
    return np.asarray(line[round(float(np.clip(share, 0, 1)) * (len(line) - 1))], np.float64)


def _pits(canvas: Canvas, entry: dict[str, Any], face: MeanFace, generator: np.random.Generator) -> None:
    """Dimples that fade towards the border of their ellipse."""
    radii = np.array(entry["radii"], np.float64)
    local = spread_points(2 * radii, entry["spacing"], generator) - radii
    inside = ((local / radii) ** 2).sum(axis=1)
    local, inside = local[inside < 1], inside[inside < 1]
    centres = face.front_places(local + np.array(entry["centre"]))
    (least, most), (narrow, wide) = entry["depth"], entry["size"]
    count = len(local)
    depth = generator.uniform(least, most, count) * np.sqrt(1 - inside)
    radii = generator.uniform(narrow, wide, (count, 2))
    canvas.add(centres, depth, radii, generator.uniform(0, np.pi, count))
