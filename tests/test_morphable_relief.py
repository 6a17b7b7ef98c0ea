"""Relief: strengths and slopes against the formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.errors import ModelError
from facegen.morphable.relief import Relief

Float = NDArray[np.float32]


def relief(size: int = 32, groups: int = 5, albedo: int = 3, expression: int = 4) -> Relief:
    generator = np.random.default_rng(0)
    return Relief(
        names=tuple(f"group {g}" for g in range(groups)),
        wrinkles=generator.integers(-40, 41, (groups, size, size, 2), np.int8),
        base=generator.normal(0.0, 0.3, groups).astype(np.float32),
        by_albedo=generator.normal(0.0, 0.3, (groups, albedo)).astype(np.float32),
        by_expression=generator.uniform(0.0, 1.0, (groups, expression)).astype(np.float32),
        largest=generator.uniform(0.5, 1.5, groups).astype(np.float32),
        micro=np.zeros((8, 8, 2), np.int8),
        micro_repeats=20.0,
        micro_strength=np.full((16, 16), 255, np.uint8),
        micro_millimetres=4.0,
    )


def drawn(made: Relief, count: int) -> tuple[Float, Float]:
    generator = np.random.default_rng(5)
    albedo = generator.standard_normal((count, made.by_albedo.shape[1])).astype(np.float32)
    return albedo, generator.uniform(-0.5, 1.0, (count, made.by_expression.shape[1])).astype(np.float32)


def test_strengths_are_linear_between_zero_and_the_largest() -> None:
    made = relief()
    albedo, expression = drawn(made, 40)
    free = made.base + albedo @ made.by_albedo.T + expression @ made.by_expression.T
    found = made.strengths(albedo, expression)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.clip(free, 0, made.largest), atol=1e-6)
    assert (found == 0).any()
    assert (found == made.largest).any()


@pytest.mark.parametrize("size", [32, 20, 64])
def test_slopes_are_the_weighted_sum_at_every_level(size: int) -> None:
    made = relief(size)
    albedo, expression = drawn(made, 6)
    strengths = made.strengths(albedo, expression)
    for level in made.sizes:
        factor = size // level
        averaged = made.wrinkles.reshape(-1, level, factor, level, factor, 2).mean(axis=(2, 4))
        expected = np.einsum("bg,ghwc->bhwc", strengths, averaged)
        found = made.decode(albedo, expression, level)
        assert found.shape == (6, level, level, 2)
        assert found.dtype == np.int8
        # Rounded once, and at coarser levels once more for each group.
        allowed = 0.501 + (0.5 * strengths.sum(axis=1).max() if factor > 1 else 0)
        assert np.abs(found - expected.clip(-127, 127)).max() <= allowed


def test_slopes_saturate() -> None:
    made = replace(relief(8, 2), wrinkles=np.full((2, 8, 8, 2), 100, np.int8), base=np.full(2, 9, np.float32))
    made.wrinkles[..., 1] = -100
    made = replace(made, largest=np.full(2, 0.9, np.float32))
    found = made.decode(*drawn(made, 1), 8)[0]
    assert (found[..., 0] == 127).all()
    assert (found[..., 1] == -127).all()


def test_a_face_does_not_depend_on_its_batch() -> None:
    made = relief(64)
    albedo, expression = drawn(made, 7)
    together = made.decode(albedo, expression, 32)
    for row in range(7):
        alone = made.decode(albedo[[row]], expression[[row]], 32)[0]
        np.testing.assert_array_equal(alone, together[row])


def test_a_face_at_rest_is_flat() -> None:
    made = replace(relief(), base=np.full(5, -10, np.float32))
    assert not made.decode(*drawn(made, 3), 16).any()


def test_shapes_are_checked() -> None:
    made = relief(16)
    with pytest.raises(ModelError, match="not of 5"):
        made.decode(*drawn(made, 1), 5)
    with pytest.raises(ModelError, match=r"expected \(5, H, H, 2\)"):
        replace(made, wrinkles=made.wrinkles[:, :-1])
