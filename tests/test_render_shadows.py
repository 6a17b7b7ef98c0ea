"""Shadows in the pictures of a run: there where the configuration has them, and of the face alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegen.morphable.model import MorphableModel
from facegen.tests.pictured import PEOPLE, Album, constant


@pytest.fixture(scope="module")
def lit_from_above(head: MorphableModel) -> dict[str, object]:
    """Frontal faces under a strong light from above, and little else."""
    return {
        **PEOPLE,
        "pose": {name: constant(0) for name in ("yaw", "pitch", "roll")},
        "expression": constant(0),
        "light": {
            "ambient": constant(0.15), "intensity": constant(1.2), "elevation": constant(65), "azimuth": constant(0),
            "radius": constant(2),
        },
    }  # fmt: skip


def test_shadows_darken_and_change_no_label(head: MorphableModel, lit_from_above: dict[str, object]) -> None:
    size = (128, 128)
    without, shadowed = (Album(head, 3, lit_from_above, size, shadows=on) for on in (False, True))
    for name, value in without.renders.as_dict().items():
        if name != "image":
            np.testing.assert_array_equal(value, getattr(shadowed.renders, name), err_msg=name)
    before, after = without.renders.image.astype(np.int64), shadowed.renders.image.astype(np.int64)
    assert (after <= before).all()
    # Below the nose and on the neck, not on the forehead.
    for row in range(3):
        marks = shadowed.renders.landmarks_2d[row]
        darker = (before[row] - after[row]).sum(axis=2) > 20
        x, y = int(marks[33, 0]), int((marks[33, 1] + marks[51, 1]) / 2)
        assert darker[y - 1 : y + 2, x - 1 : x + 2].any()
        forehead = int(marks[27, 1] - 1.2 * (marks[33, 1] - marks[27, 1]))
        assert not darker[forehead - 3 : forehead + 1, int(marks[27, 0]) - 4 : int(marks[27, 0]) + 5].any()


def test_a_wider_light_gives_softer_shadows(head: MorphableModel, lit_from_above: dict[str, object]) -> None:
    hard = Album(head, 1, lit_from_above, (160, 160))
    soft = Album(head, replace(hard.samples, light_radius=np.full(1, 0.5, np.float32)), {}, (160, 160))
    # Somewhere the light that is kept away by both is kept away by halves of the wide one only.
    one, other = (album.renders.image[0].astype(np.int64).sum(axis=2) for album in (hard, soft))
    assert (other - one > 40).sum() > 20
    assert (one - other > 40).sum() > 20


def test_a_light_without_a_radius_fails_its_face(head: MorphableModel, lit_from_above: dict[str, object]) -> None:
    album = Album(head, 1, lit_from_above, (32, 32))
    broken = replace(album.samples, light_radius=np.full(1, np.nan, np.float32))
    with pytest.raises(AssertionError, match="light_radius is not finite"):
        Album(head, broken, {}, (32, 32))
