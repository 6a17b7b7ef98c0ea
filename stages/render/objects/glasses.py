"""Glasses and sunglasses: frames of many shapes on the bridge of the nose, arms over the ears, lenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from facegen.settings import Section
from facegen.stages.laws import Gaussian, ScalarLaw, Uniform
from facegen.stages.render.effects.config import Probability
from facegen.stages.render.objects.fit import LEFT, RIGHT, Chart, Ear, ear_of, front_chart
from facegen.stages.render.objects.frequencies import Frequencies, choose
from facegen.stages.render.objects.head import Head
from facegen.stages.render.objects.shapes import (
    Mesh,
    disc_grid,
    ellipsoid,
    merged,
    mirrored,
    normalised,
    resampled,
    sheet,
    smooth_curve,
    smoothstep,
    superellipse,
    taut,
    tube,
)
from facegen.stages.render.objects.thing import GLASSES, GLOSSY, NONE, SUNGLASSES, Thing

Float64 = NDArray[np.float64]

Shape = Literal["round", "oval", "panto", "rectangle", "square", "browline", "aviator", "cat-eye", "sport"]
Build = Literal["acetate", "metal", "half-rim", "rimless"]


class Glasses(Section):
    """Glasses, with clear or dark lenses."""

    probability: Probability = 0.2
    """Of a face to wear them."""
    sunglasses: Probability = 0.25
    """Probability that the lenses are dark."""
    vertex_distance: ScalarLaw = Uniform(low=12, high=14.5)
    """From the cornea to the back of the lens, mm; more where brows, nose or cheeks ask for it."""
    pantoscopic_tilt: ScalarLaw = Uniform(low=4, high=11)
    """Of the lenses about the horizontal, lower rims towards the cheeks, degrees."""
    wrap: ScalarLaw = Uniform(low=2, high=8)
    """Of each lens about the vertical, outer rims towards the temples, degrees; sunglasses have 4 more."""
    slip: ScalarLaw = Gaussian(mean=1.0, sigma=1.5)
    """How far they have slid down the nose, mm."""
    shapes: Frequencies[Shape] = Field(
        default={
            "round": 0.12, "oval": 0.12, "panto": 0.16, "rectangle": 0.22, "square": 0.12, "browline": 0.06,
            "aviator": 0.08, "cat-eye": 0.08, "sport": 0.04,
        },
    )  # fmt: skip
    """Relative frequency of the lenses' shapes."""


@dataclass(frozen=True)
class _Outline:
    """A family of lens outlines."""

    aspect: tuple[float, float]
    """Height over width, from and to."""
    upper: float
    """Exponent of the superellipse above the middle."""
    lower: float
    lift: float = 0.0
    """How far the outer upper corner is drawn up, in half heights."""
    taper: float = 0.0
    """How much narrower the lower edge is than the middle, in half widths."""
    cut: float = 0.0
    """How far the lower corner at the nose is drawn outwards, in half widths."""
    width: tuple[float, float] = (47.0, 54.0)
    """Of a lens, mm, for a head of ordinary width."""


_OUTLINES: dict[Shape, _Outline] = {
    "round": _Outline((0.92, 1.0), 2.0, 2.0, width=(43.0, 49.0)),
    "oval": _Outline((0.66, 0.78), 2.2, 2.1),
    "panto": _Outline((0.80, 0.92), 2.7, 2.1, lift=0.04, taper=0.10, width=(44.0, 50.0)),
    "rectangle": _Outline((0.58, 0.68), 3.6, 3.4, taper=0.04, cut=0.05),
    "square": _Outline((0.74, 0.86), 3.6, 3.0, taper=0.05, cut=0.08, width=(49.0, 56.0)),
    "browline": _Outline((0.72, 0.82), 3.4, 2.3, taper=0.12, cut=0.05),
    "aviator": _Outline((0.80, 0.92), 2.9, 2.1, taper=0.14, cut=0.22, width=(53.0, 60.0)),
    "cat-eye": _Outline((0.66, 0.80), 2.8, 2.3, lift=0.32, taper=0.10, cut=0.10, width=(48.0, 55.0)),
    "sport": _Outline((0.52, 0.62), 2.9, 2.5, lift=0.06, cut=0.16, width=(57.0, 63.0)),
}

_BUILDS: dict[Shape, tuple[Build, ...]] = {
    "round": ("acetate", "metal", "metal"),
    "oval": ("metal", "metal", "half-rim", "rimless"),
    "panto": ("acetate", "acetate", "metal"),
    "rectangle": ("acetate", "metal", "half-rim", "rimless"),
    "square": ("acetate", "acetate", "metal"),
    "browline": ("half-rim",),
    "aviator": ("metal",),
    "cat-eye": ("acetate",),
    "sport": ("acetate", "half-rim"),
}

_ACETATE = np.array(
    [
        [0.012, 0.012, 0.013], [0.012, 0.012, 0.013], [0.03, 0.016, 0.010], [0.015, 0.020, 0.05], [0.12, 0.015, 0.015],
        [0.08, 0.085, 0.09], [0.035, 0.05, 0.03], [0.30, 0.24, 0.19], [0.10, 0.035, 0.05],
    ]
)  # fmt: skip
"""Linear RGB of plastics."""

_METAL = np.array(
    [[0.45, 0.45, 0.44], [0.52, 0.36, 0.15], [0.10, 0.10, 0.11], [0.015, 0.015, 0.016], [0.36, 0.20, 0.14]]
)
"""Linear RGB of metals: steel, gold, gunmetal, black, copper."""

_TINTS = np.array(
    [[0.12, 0.12, 0.125], [0.15, 0.09, 0.05], [0.08, 0.11, 0.075], [0.05, 0.052, 0.055], [0.30, 0.21, 0.12]]
)
"""(5, 3) share of light that passes dark lenses: grey, brown, green, near-black, amber."""

_AROUND = 56
"""Points of a lens's outline: four times the steps of the grid of its surface."""

_LENS_RADIUS = 115.0
"""Of the lenses' own curvature, mm: a base curve of 4.6 dioptres."""


@dataclass(frozen=True)
class _Plan:
    """A pair of glasses before it is put on: the left lens in its plane, and how thick everything is; mm."""

    build: Build
    outline: Float64
    """(n, 2) the left lens about its centre, from the temple counter-clockwise as seen from the front, or rather from
    +x towards +y."""
    centre: float
    """x of the lens's centre."""
    rim_depth: float
    """Half its thickness from front to back."""
    rim_width: Float64
    """(n,) half of it across."""
    arm: tuple[float, float]
    """Half the thickness of an arm at the hinge, sideways and up."""
    hinge_height: float
    """y of the hinge above the lens's centre."""
    bridge_height: float
    bridge_rise: float
    bridge: tuple[float, float]
    """Half the thickness of the bridge, front to back and up."""
    tilt: float
    """Radians; so is ``wrap``."""
    wrap: float

    def placed(self, x: Float64, y: Float64) -> Float64:
        """Points (..., 3) of the front at x and y (...) of the flat plan, x ≥ 0, about the point between the lenses."""
        # A circle about the vertical, whose tangent at the lens's centre has the wrap angle; then the lens itself.
        turned = np.abs(x) * (self.wrap / self.centre)
        radius = self.centre / max(self.wrap, 1e-3)
        across = np.sign(x) * radius * np.sin(turned)
        z = radius * (np.cos(turned) - 1.0)
        out_of_lens = (np.abs(x) - self.centre) ** 2 + y**2
        z = z - np.minimum(out_of_lens, 33.0**2) / (2.0 * _LENS_RADIUS)
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return np.stack([across, y * c - z * s, y * s + z * c], axis=-1)


def make_glasses(head: Head, config: Glasses, rng: np.random.Generator) -> list[Thing]:
    """A frame and two lenses, fitted to a head.

    The lenses of ordinary glasses count as nothing (label 0) and pass nearly all light.
    """
    front = front_chart(head)
    ears = {side: ear_of(head, side) for side in (RIGHT, LEFT)}
    dark = bool(rng.random() < config.sunglasses)
    plan = _draw_plan(head, ears, config, rng, dark)
    origin = _seat(plan, head, front, config, rng)
    parts = [
        *_fronts(plan, origin),
        _bridge(plan, origin, front),
        *(_arm(plan, origin, ears[side], side) for side in (RIGHT, LEFT)),
    ]
    if plan.build != "acetate":
        parts += _pads(plan, origin, front)
    vertices, triangles = merged(parts)
    label = SUNGLASSES if dark else GLASSES
    frame = Thing(
        vertices.astype(np.float32),
        triangles,
        _frame_colour(plan, vertices - origin, rng),
        np.full(len(triangles), GLOSSY, np.uint8),
        label,
    )
    return [frame, _lenses(plan, origin, dark, rng)]


def _draw_plan(head: Head, ears: dict[float, Ear], config: Glasses, rng: np.random.Generator, dark: bool) -> _Plan:
    shape = choose(config.shapes, rng)
    family = _OUTLINES[shape]
    build = _BUILDS[shape][int(rng.integers(len(_BUILDS[shape])))]
    if dark and build == "rimless":
        build = "metal"
    thin = build != "acetate"
    # The frame is about as wide as the head between the temples.
    temples = _temple_width(head, ears)
    scale = np.clip(temples / 66.0, 0.85, 1.2)
    width = rng.uniform(*family.width) * scale * (1.05 if dark else 1.0)
    bridge = rng.uniform(15.0, 20.0) * scale
    centre = (bridge + width) / 2.0
    # Lenses are not centred far from the pupils.
    pupil = float(np.abs(head.landmarks[36:48, 0]).mean())
    centre = float(np.clip(centre, pupil - 1.0, pupil + 7.0))
    height = width * rng.uniform(*family.aspect) * (1.06 if dark else 1.0)
    outline = _outline(family, width, height, rng)
    up = outline[:, 1] / (height / 2.0)
    if build == "acetate":
        rim_width = np.full(_AROUND, rng.uniform(1.1, 2.0)) * (1.0 + rng.uniform(0.0, 0.5) * smoothstep(up))
        rim_depth = rng.uniform(1.4, 2.0)
        arm = rng.uniform(1.2, 1.7), rng.uniform(2.4, 5.5 if dark else 4.0)
    else:
        rim_width = np.full(_AROUND, rng.uniform(0.5, 0.8))
        rim_depth = rng.uniform(0.8, 1.1)
        arm = rng.uniform(0.6, 0.8), rng.uniform(0.8, 1.6)
    if shape == "browline":
        rim_width, rim_depth, arm = np.full(_AROUND, rng.uniform(2.0, 2.8)), 1.7, (1.3, 2.6)
    return _Plan(
        build=build,
        outline=outline,
        centre=centre,
        rim_depth=rim_depth,
        rim_width=rim_width,
        arm=arm,
        hinge_height=height * float(rng.uniform(0.22, 0.32)),
        bridge_height=height * float(rng.uniform(0.10, 0.24)),
        bridge_rise=float(rng.uniform(0.5, 3.0)),
        bridge=(rim_depth, rng.uniform(0.6, 1.0) if thin else rng.uniform(1.4, 2.6)),
        tilt=float(np.radians(config.pantoscopic_tilt.draw(rng, 1)[0])),
        wrap=float(np.radians(config.wrap.draw(rng, 1)[0] + (4.0 if dark else 0.0))),
    )


def _temple_width(head: Head, ears: dict[float, Ear]) -> float:
    """Half the width of the head at the height of the eyes, behind their outer corners."""
    corners = head.landmarks[[36, 45]].astype(np.float64)
    y = corners[:, 1].mean() + 8.0
    found = [
        ears[side].skull.height(np.array([[corner[2] - 35.0, y], [corner[2] - 25.0, y]]), reach=20.0).max()
        for side, corner in zip((RIGHT, LEFT), corners, strict=True)
    ]
    return float(np.mean(found))


def _outline(family: _Outline, width: float, height: float, rng: np.random.Generator) -> Float64:
    """(n, 2) the left lens, even steps of arc length from the temple's side upwards."""
    angle = np.linspace(0.0, 2.0 * np.pi, 240, endpoint=False)
    exponents = np.array([family.upper, family.lower]) * rng.uniform(0.93, 1.07, 2)
    # The cosine's sign keeps each half's own exponent; the two meet on the horizontal, where both are upright.
    u, v = np.where((np.sin(angle) >= 0.0)[:, None], *(superellipse(angle, p) for p in exponents)).T
    vary = rng.uniform(0.7, 1.3, 3)
    v = v + family.lift * vary[0] * smoothstep((u + 0.2) / 1.2) * smoothstep((v + 1.0) / 2.0)
    u = u * (1.0 - family.taper * vary[1] * np.clip(-v, 0.0, 1.0) ** 2)
    u = u + family.cut * vary[2] * np.clip(-v, 0.0, 1.0) * np.clip(-u, 0.0, 1.0)
    return resampled(np.stack([u * width / 2.0, v * height / 2.0], axis=1), _AROUND)


def _seat(plan: _Plan, head: Head, front: Chart, config: Glasses, rng: np.random.Generator) -> Float64:
    """(3,) where the point between the lenses is: before the eyes, and as far out as nothing cuts into the skin."""
    eyes = head.landmarks[36:48].astype(np.float64)
    lids = eyes[[1, 2, 4, 5, 7, 8, 10, 11]]
    x = float(head.landmarks[[27, 39, 42], 0].mean())
    slip = max(float(config.slip.draw(rng, 1)[0]), -2.0)
    # Pupils are a little above the middle of the lenses.
    y = float(eyes[:, 1].mean()) - 0.08 * float(np.ptp(plan.outline[:, 1])) - slip
    cornea = float(lids[:, 2].max()) + 1.5
    at_pupil = plan.placed(np.array([plan.centre]), np.array([0.0]))[0]
    z = cornea + float(config.vertex_distance.draw(rng, 1)[0]) - at_pupil[2]
    origin = np.array([x, y, z])
    right = np.array([-1.0, 1.0, 1.0])
    rim = plan.placed(plan.outline[:, 0] * 1.04 + plan.centre, plan.outline[:, 1] * 1.04)
    both = np.concatenate([rim, rim * right]) + origin
    skin = front.height(both[:, :2])
    need = float((skin + plan.rim_depth + 0.3 - both[:, 2]).max())
    origin[2] += max(need, 0.0)
    return origin


def _fronts(plan: _Plan, origin: Float64) -> list[Mesh]:
    """The rims, or as much of them as the frame has."""
    if plan.build == "rimless":
        return []
    x, y = plan.outline[:, 0] + plan.centre, plan.outline[:, 1]
    path = plan.placed(x, y)
    up = _normals(plan, x, y)
    half = np.stack([np.full(len(path), plan.rim_depth), plan.rim_width], axis=1)
    if plan.build == "half-rim":
        # From the nose's side over the top to the temple's.
        chosen = np.flatnonzero(y > -0.12 * np.ptp(y))
        start = int(np.flatnonzero(np.diff(chosen) > 1)[0]) + 1 if (np.diff(chosen) > 1).any() else 0
        order = np.roll(chosen, -start)
        # The ends thin out.
        ends = smoothstep((y[order] / np.ptp(y) + 0.16) / 0.3)
        half = half[order] * np.stack([0.5 + 0.5 * ends, 0.35 + 0.65 * ends], axis=1)
        rim = tube(path[order], half, up[order], exponent=2.6)
    else:
        rim = tube(path, half, up, exponent=2.8, closed=True)
    return [(vertices + origin, triangles) for vertices, triangles in (rim, mirrored(rim))]


def _normals(plan: _Plan, x: Float64, y: Float64) -> Float64:
    """(n, 3) unit vectors out of the front, at x and y of the flat plan."""
    step = 0.5
    along = plan.placed(x + step, y) - plan.placed(x - step, y)
    upwards = plan.placed(x, y + step) - plan.placed(x, y - step)
    return normalised(np.cross(along, upwards))


def _edge_at(plan: _Plan, height: float, *, nose: bool) -> Float64:
    """(2,) where the outline is at a height above its centre, on the nose's or the temple's side; flat plan."""
    side = plan.outline[(plan.outline[:, 0] < 0.0) == nose]
    point: Float64 = side[np.abs(side[:, 1] - height).argmin()] + np.array([plan.centre, 0.0])
    return point


def _bridge(plan: _Plan, origin: Float64, front: Chart) -> Mesh:
    """From rim to rim over the nose."""
    foot = _edge_at(plan, plan.bridge_height, nose=True)
    inner = foot[0] + 0.3
    x = np.linspace(-inner, inner, 13)
    arch = 1.0 - (x / inner) ** 2
    path = plan.placed(x, foot[1] + plan.bridge_rise * arch)
    ends = plan.placed(np.array([inner]), foot[1:])[0]
    path[:, 2] = ends[2] + 1.0 * arch
    path = path + origin
    depth, height = plan.bridge
    skin = front.height(path[:, :2])
    # As a whole, so that it stays an arch.
    path[:, 2] += np.maximum((skin + depth + 0.2 - path[:, 2]).max(), 0.0) * np.minimum(arch * 3.0, 1.0)
    return tube(path, (depth, height), (0.0, 0.0, 1.0), exponent=2.6)


def _arm(plan: _Plan, origin: Float64, ear: Ear, side: float) -> Mesh:
    """From the outer rim to above the ear and down behind it, outside of the temple."""
    edge = _edge_at(plan, plan.hinge_height, nose=False)
    sideways, upright = plan.arm
    start = plan.placed(edge[:1], edge[1:])[0] * np.array([side, 1.0, 1.0]) + origin
    rest = ear.top + np.array([0.0, 2.5 + upright, -1.0])
    # The corner from the front into the arm, as far out as the temples.
    back = np.linspace(start[2] - 9.0, rest[2], 12)
    line = start[1] + (rest[1] - start[1]) * (start[2] - back) / (start[2] - rest[2])
    # The skin below and above the arm as well, for that is as high as several of its thicknesses.
    heights = line + np.array([[-upright], [0.0], [upright]])
    beside = np.stack([np.broadcast_to(back, heights.shape), heights], axis=-1)
    skin = ear.skull.height(beside.reshape(-1, 2), reach=14.0).reshape(heights.shape).max(axis=0)
    clear = np.maximum(skin, 0.0) + sideways + 0.6
    clear[0] = max(clear[0], side * start[0] + 1.5)
    x = taut(clear)
    arm = np.stack([side * x, line, back], axis=1)
    corner = np.array([[side * (x[0] - 1.2), start[1], start[2] - 2.2], [side * x[0], start[1], start[2] - 5.0]])
    drop = rest[2] - ear.back
    tip = np.stack(
        [
            side * (x[-1] - np.array([1.5, 3.5, 5.5])),
            rest[1] - np.array([2.0, 12.0, 26.0]),
            rest[2] - drop * np.array([0.55, 1.0, 1.12]) - 2.0,
        ],
        axis=1,
    )
    path = smooth_curve(np.concatenate([start[None], corner, arm, tip]), 34)
    along = np.linspace(0.0, 1.0, len(path))
    half = np.stack([np.full(len(path), sideways), upright * (1.0 - 0.35 * smoothstep(along / 0.7))], axis=1)
    return tube(path, half, _sideways(path, side), exponent=3.0)


def _sideways(path: Float64, side: float) -> Float64:
    """(n, 3) the thin direction of an arm: out of the head, and out of the front where the arm leaves it."""
    tangent = normalised(np.gradient(path, axis=0))
    out: Float64 = np.cross(tangent, np.array([0.0, 1.0, 0.0])) * -side + np.array([1e-3 * side, 0.0, 0.0])
    return out


def _pads(plan: _Plan, origin: Float64, front: Chart) -> list[Mesh]:
    """Two pads on the sides of the nose, each on a wire from its rim."""
    y = -0.02 * float(np.ptp(plan.outline[:, 1]))
    parts = []
    for side in (RIGHT, LEFT):
        edge = _edge_at(plan, y, nose=True)
        rim = plan.placed(edge[:1], edge[1:])[0] * np.array([side, 1.0, 1.0]) + origin
        depth = rim[2] - 4.5
        x = np.linspace(3.0, max(edge[0], 4.0), 24)
        nose = front.height(np.stack([side * x + origin[0], np.full(24, rim[1] - 1.0)], axis=1))
        free = np.flatnonzero(nose < depth)
        across = x[free[0]] if len(free) else x[-1]
        centre = np.array([origin[0] + side * (across + 0.6), rim[1] - 1.0, depth])
        # The nose's side looks outwards and forwards.
        out = normalised(np.array([side * 0.85, 0.15, 0.5]))
        long = normalised(np.cross(out, np.cross(np.array([0.0, 1.0, 0.35]), out)))
        parts.append(ellipsoid(centre, np.stack([np.cross(long, out), long, out]), (2.6, 4.2, 0.9)))
        middle = (rim + centre) / 2.0 + np.array([side * 1.0, 0.5, -1.5])
        wire = smooth_curve(np.stack([rim + np.array([0.0, 0.0, -0.6]), middle, centre]), 7)
        parts.append(tube(wire, (0.5, 0.5), (0.0, 1.0, 0.2), sides=5))
    return parts


def _lenses(plan: _Plan, origin: Float64, dark: bool, rng: np.random.Generator) -> Thing:
    """Both lenses, as far as the middle of the rims."""
    radius, angle = disc_grid(_AROUND // 4 + 1)
    # The outline at the grid's angles: its points are taken at even steps, as the border of the grid has them.
    step = np.mod(angle / (2.0 * np.pi), 1.0) * _AROUND
    low = np.floor(step).astype(np.int64)
    share = (step - low)[..., None]
    edge = plan.outline[low % _AROUND] * (1.0 - share) + plan.outline[(low + 1) % _AROUND] * share
    x, y = np.moveaxis(edge * radius[..., None], -1, 0)
    x = x + plan.centre
    surface = plan.placed(x, y)
    normal = _normals(plan, x.ravel(), y.ravel()).reshape(surface.shape)
    lens = sheet(surface + 0.7 * normal, surface - 0.7 * normal)
    vertices, triangles = merged([lens, mirrored(lens)])
    if dark:
        tint = _TINTS[int(rng.integers(len(_TINTS)))] * rng.uniform(0.7, 1.3)
        passes, albedo, label = np.clip(tint, 0.03, 0.35), np.full(3, 0.012), SUNGLASSES
    else:
        passes, albedo, label = rng.uniform(0.93, 0.97) - np.array([0.01, 0.0, 0.005]), np.full(3, 0.015), NONE
    return Thing(
        (vertices + origin).astype(np.float32),
        triangles,
        np.tile(albedo, (len(vertices), 1)).astype(np.float32),
        np.full(len(triangles), GLOSSY, np.uint8),
        label,
        passes.astype(np.float32),
    )


def _frame_colour(plan: _Plan, vertices: Float64, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, 3) linear RGB; vertices relative to the bridge. Some plastics are mottled as tortoise-shell is."""
    if plan.build != "acetate":
        colour = _METAL[int(rng.integers(len(_METAL)))] * rng.uniform(0.85, 1.15)
        return np.tile(np.clip(colour, 0.0, 1.0), (len(vertices), 1)).astype(np.float32)
    colour = _ACETATE[int(rng.integers(len(_ACETATE)))] * rng.uniform(0.8, 1.25)
    mottled = rng.random() < 0.25
    waves = rng.normal(size=(5, 3)) * 0.22
    phase = rng.uniform(0.0, 2.0 * np.pi, 5)
    if not mottled:
        return np.tile(np.clip(colour, 0.0, 1.0), (len(vertices), 1)).astype(np.float32)
    pattern = np.sin(vertices @ waves.T + phase).sum(axis=1)
    amber, brown = np.array([0.26, 0.10, 0.022]), np.array([0.022, 0.010, 0.006])
    share = smoothstep((pattern + 0.6) / 2.2)[:, None]
    shell: NDArray[np.float32] = (brown + share * (amber - brown)).astype(np.float32)
    return shell
