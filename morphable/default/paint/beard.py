"""Stubble, moustache and goatee."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from facegen.morphable.default.paint.canvas import Canvas, step
from facegen.morphable.default.paint.layers import Layers, read_appearance
from facegen.morphable.default.paint.noise import bent_strokes, draw_strokes, solid_noise, uniform
from facegen.morphable.default.paint.skin import add_mark

Float = NDArray[np.float64]


def paint_beard(layers: Layers, lips: Float) -> None:
    """Stubble as dots of follicles, moustache and goatee as short hairs."""
    canvas, beard = layers.canvas, read_appearance()["beard"]
    outline = np.stack([canvas.anchor(at) for at in beard["outline"]])
    outline[[0, -1], 0] = -20
    wander = 2.0 * solid_noise(canvas.sphere, 20, seed=80) + 1.2 * solid_noise(canvas.sphere, 3.5, seed=84)
    low, high = beard["fade"]
    area = step(low, high, canvas.depth(outline) + wander.clip(-5, 5))
    # Sparse between mouth corner and chin, and below the lower lip's sides.
    area *= 1 - 0.30 * canvas.bump(canvas.anchor(["sublabial", 0.75, 0, -2]), (5, 6))
    free = (1 - step(0.2, 0.8, lips)) * area
    add_mark(layers, "stubble", free * (0.58 + 0.42 * _follicles(canvas)))
    add_mark(layers, "moustache_and_goatee", _goatee(canvas) * (1 - step(0.1, 0.6, lips)))


def _follicles(canvas: Canvas) -> Float:
    """Dots (n,) of random strength, about one per texel of the face: the finest that it shows."""
    random = np.random.default_rng(81)
    noise = gaussian_filter(random.standard_normal((canvas.size, canvas.size)), 0.55 * canvas.size / 768)
    dots: Float = step(0.35, 0.95, uniform(noise))[canvas.skin] * canvas.in_face
    return dots + 0.3 * (1 - canvas.in_face)


def _goatee(canvas: Canvas) -> Float:
    beard = read_appearance()["beard"]
    outline = np.stack([canvas.anchor(at) for at in beard["goatee"]])
    outline[[0, -1], 0] = -20
    random = np.random.default_rng(82)
    low, high = outline.min(axis=0), outline.max(axis=0)
    places = random.uniform((-high[0], low[1]), high, (6 * beard["strokes"], 2))
    density = canvas.spread(step(-2.0, 8.0, canvas.depth(outline) + 1.5 * solid_noise(canvas.sphere, 6, seed=83)))
    bare = canvas.bump(canvas.anchor(["subnasale"]), (2.6, 5)) * 0.7
    bare = np.maximum(bare, canvas.bump(canvas.anchor(["sublabial", 0.6]), (5.0, 5.0)) * 0.9)
    density *= 1 - canvas.spread(bare)
    column, row = np.rint(canvas.texel_of(places)).astype(np.intp).T
    roots = places[random.random(len(places)) < density[row, column]][: beard["strokes"]]
    mouth = canvas.anchor(["stomion_upper"])[1]
    # The moustache parts at the philtrum and combs sideways; below the mouth hair hangs.
    sideways = np.sign(roots[:, 0]) * np.where(
        roots[:, 1] > mouth, 0.55 + np.abs(roots[:, 0]) / 26, 0.02 * np.abs(roots[:, 0])
    )
    heading = np.stack([sideways + random.normal(0, 0.28, len(roots)), -np.ones(len(roots))], axis=1)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    shortest, longest = beard["length"]
    length = random.uniform(shortest, longest, len(roots))
    lines = canvas.texel_of(bent_strokes(roots, roots + heading * length[:, None], random.normal(0, 0.06, len(roots))))
    amount = random.uniform(0.4, 0.9, len(roots))[:, None] * np.array([0.9, 1.0, 1.0, 0.9, 0.75, 0.5])
    widths = np.full(amount.shape, 0.36 * canvas.texels_per_mm)
    drawn = draw_strokes(canvas.size, lines, widths, amount)
    return (0.75 * drawn + 0.35 * gaussian_filter(drawn, canvas.size / 500))[canvas.skin].clip(0, 1)
