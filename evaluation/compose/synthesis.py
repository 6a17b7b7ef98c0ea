"""Faces that are composed of the test faces: single parts swapped, as in the paper's Fig. 7, and all parts mixed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from facegen.composition.composer import Composer, SwapRules
from facegen.evaluation.compose.subject import SOURCES, STREAM, TARGETS, Evaluation
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator

Float = NDArray[np.float32]
Ints = NDArray[np.int64]

SWAPS = SOURCES * TARGETS * 4
"""Faces of the paper's figure: of so many a set is thinned, or drawn."""


@dataclass(frozen=True)
class Recipe:
    """Which face each part is taken from: numbers of test faces."""

    base: Ints
    """(N,) the face that is changed."""
    source: Ints
    """(N, K) the face that gives each part; the base itself where a part stays."""

    def __len__(self) -> int:
        return len(self.base)


def single_swaps(faces: int, parts: int, seed: int) -> Recipe:
    """5 sources × 11 targets × K parts: one part of a target put into a source. Of more than 220 (K = 4 has just as
    many) those are drawn at random, as many of each part to within one.

    Args:
        faces: from which sources and targets are drawn, all different.
        parts: K.
        seed: of the draw.
    """
    drawn = generator(seed, STREAM, "synthesis", 0).permutation(faces)[: SOURCES + TARGETS]
    pairs = np.array(list(product(drawn[:SOURCES], drawn[SOURCES:])))
    rows = []
    for part in range(parts):
        count = min(len(pairs), SWAPS // parts + (part < SWAPS % parts))
        chosen = np.sort(generator(seed, STREAM, "thinning", part).permutation(len(pairs))[:count])
        rows.append(np.insert(pairs[chosen], 0, part, axis=1))
    part, base, target = np.concatenate(rows).T
    source = np.repeat(base[:, None], parts, axis=1)
    source[np.arange(len(base)), part] = target
    return Recipe(base, source)


def recombinations(faces: int, parts: int, count: int, seed: int) -> Recipe:
    """Faces of which each part is of another person, all drawn at random; the base is who gives the last part."""
    rows = [generator(seed, STREAM, "recombination", row).permutation(faces)[:parts] for row in range(count)]
    source = np.array(rows, np.int64)
    return Recipe(source[:, -1], source)


@dataclass(frozen=True)
class Composed:
    """The faces of a recipe, made by one network."""

    recipe: Recipe
    identity: Float
    """(N, Ki) coefficients of the bases."""
    skin: Float
    """(N, n, 3) mm: offsets of the skin from the bases."""
    displacements: Float
    """(N, n, 3) mm: of the skin from the mean face."""
    kept: Float
    """(N,) share of each swap that was done."""
    composer: Composer
    model: MorphableModel

    def __len__(self) -> int:
        return len(self.recipe)

    @cached_property
    def offsets(self) -> Float:
        """(N, V, 3) mm: of all vertices from the bases."""
        return self.composer.offsets(self.identity, self.skin, np.arange(len(self)))

    def vertices(self, rows: Ints) -> Float:
        """(B, V, 3) mm of some faces."""
        still = np.zeros((len(rows), len(self.model.expression_names)), np.float32)
        return self.model.decode(self.identity[rows], still, offset=self.offsets[rows])


def compose(evaluation: Evaluation, name: str, recipe: Recipe, rules: SwapRules | None = None) -> Composed:
    """Make the faces of a recipe with a network, as the compose stage does unless other ``rules`` are given."""
    composer, people = evaluation.composers[name], evaluation.test.people.values
    identity, numbers = people[recipe.base], np.arange(len(recipe))
    taken = (recipe.source != recipe.base[:, None]).astype(np.float32)
    swap = composer.swap(identity, people[recipe.source], taken, numbers, rules)
    displacements = evaluation.test.displacements[recipe.base] + swap.skin
    return Composed(recipe, identity, swap.skin, displacements, swap.kept, composer, evaluation.model)


def blended(evaluation: Evaluation, recipe: Recipe) -> Composed:
    """The faces of a recipe without a network: vertices of the people, mixed by the weights of the parts."""
    composer, faces = evaluation.composers[evaluation.main], evaluation.test.displacements
    weights = evaluation.weights.astype(np.float32)
    made = np.stack([np.einsum("nk,kni->ni", weights, faces[sources]) for sources in recipe.source])
    identity = evaluation.test.people.values[recipe.base]
    kept = np.ones(len(recipe), np.float32)
    return Composed(recipe, identity, made - faces[recipe.base], made, kept, composer, evaluation.model)
