"""From coefficients to shapes and colours, in blocks that make a face's bits depend on nothing but the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Samples
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.texture import level_for

DECODE_BLOCK = 16
"""Faces decoded by one matrix product. Blocks are aligned to the face number and always full, so that a face's place in
the product, and with it the last bit of its vertices, does not depend on the shard."""


@dataclass(frozen=True)
class Decoded:
    """What the coefficients of n faces make: their shape, and their albedo as vertex colours or as textures."""

    vertices: NDArray[np.float32]
    """(n, V, 3) model frame, mm."""
    albedo: NDArray[np.float32] | None = None
    """(n, V, 3) linear RGB reflectance."""
    texture: NDArray[np.uint8] | None = None
    """(n, S, S, 3) sRGB reflectance."""
    relief: NDArray[np.int8] | None = None
    """(n, S', S', 2) slopes times 64."""


def decode_block(model: MorphableModel, samples: Samples, rows: Sequence[int], texels: float | None = None) -> Decoded:
    """Decode faces that share one block of :data:`DECODE_BLOCK`.

    Args:
        model: the model.
        samples: a batch.
        rows: (n,) which of its faces.
        texels: texture of a model that has one: the least size that does; ``None`` for vertex colours.
    """
    block = _Block(samples, rows)
    offset = None if samples.offset is None else block.full(samples.offset)
    vertices = block.of(
        model.decode(
            block.full(samples.identity), block.full(samples.expression), block.full(samples.gaze), offset=offset
        )
    )
    if texels is None or not isinstance(model.albedo, TextureAlbedo):
        return Decoded(vertices, albedo=decode_colours(model, samples, rows))
    # These do not depend on the batch.
    albedo, expression, detail = samples.albedo[list(rows)], samples.expression[list(rows)], model.relief
    return Decoded(
        vertices,
        texture=model.albedo.decode_texture(albedo, level_for(model.albedo.sizes, texels)),
        relief=None if detail is None else detail.decode(albedo, expression, level_for(detail.sizes, texels)),
    )


def decode_neutral(model: MorphableModel, samples: Samples, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, V, 3) mm, model frame: the faces of a block without expression, their eyes straight ahead."""
    block = _Block(samples, rows)
    offset = None if samples.offset is None else block.full(samples.offset)
    still = np.zeros((DECODE_BLOCK, samples.expression.shape[1]), np.float32)
    return block.of(
        model.decode(block.full(samples.identity), still, np.zeros((DECODE_BLOCK, 2, 2), np.float32), offset=offset)
    )


def decode_colours(model: MorphableModel, samples: Samples, rows: Sequence[int]) -> NDArray[np.float32]:
    """(n, V, 3) linear RGB at the vertices of the faces of a block."""
    block = _Block(samples, rows)
    return block.of(model.decode_albedo(block.full(samples.albedo)))


class _Block:
    """Places of faces that share one block of :data:`DECODE_BLOCK`, each at its face number's."""

    def __init__(self, samples: Samples, rows: Sequence[int]) -> None:
        self._rows = list(rows)
        self._place = samples.face[self._rows] % DECODE_BLOCK

    def full(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(DECODE_BLOCK, …) the faces' rows of a batch's array at their places, zeros elsewhere."""
        block = np.zeros((DECODE_BLOCK, *values.shape[1:]), np.float32)
        block[self._place] = values[self._rows]
        return block

    def of(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, …) the faces' rows of a whole block."""
        return block[self._place]


def aligned_blocks(face: NDArray[np.int64]) -> list[list[int]]:
    """Rows of the batch, grouped by the block their face number falls in."""
    blocks: dict[int, list[int]] = {}
    for row, number in enumerate(face):
        blocks.setdefault(int(number) // DECODE_BLOCK, []).append(row)
    return list(blocks.values())
