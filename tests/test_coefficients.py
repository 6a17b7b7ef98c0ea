"""Sets of coefficients: their digests, how they are split and joined; and the sides of expressions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.morphable.arkit import ARKIT_NAMES
from facegen.morphable.coefficients import CoefficientSet, joined
from facegen.morphable.sides import mirrored_expressions, right_to_left
from facegen.tests.clean_faces import clean_faces


def of_units(unit: list[int], units: int) -> CoefficientSet:
    """A set whose rows are numbered, and belong to some of the units."""
    rows = np.arange(len(unit), dtype=np.float32)
    return replace(
        clean_faces(len(unit), 3, conditions=1),
        values=np.stack([rows, 2 * rows, np.array(unit, np.float32)], axis=1),
        unit=np.array(unit, np.int32),
        units=tuple(f"take {number}" for number in range(units)),
        conditions=-rows[:, None],
    )


@given(
    unit=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    held_out=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_split_never_divides_a_unit_and_loses_no_row(unit: list[int], held_out: float, seed: int) -> None:
    whole = of_units(unit, 7)
    if len(set(unit)) == 1:
        with pytest.raises(ValueError, match=rf"all {len(unit)} rows come from take {unit[0]}: .* nothing to hold out"):
            whole.split(held_out, seed)
        return
    train, test = whole.split(held_out, seed)
    assert len(train) > 0
    assert len(test) > 0
    assert not set(train.unit) & set(test.unit)
    for part in (train, test):
        row = part.values[:, 0]
        # In their order, each with all that belongs to it.
        assert (np.diff(row) > 0).all()
        np.testing.assert_array_equal(part.unit, np.array(unit)[row.astype(int)])
        np.testing.assert_array_equal(part.values[:, 1], 2 * row)
        np.testing.assert_array_equal(part.conditions[:, 0], -row)
        assert (part.names, part.units, part.group, part.bounds) == (
            whole.names, whole.units, whole.group, whole.bounds,
        )  # fmt: skip
    assert sorted([*train.values[:, 0], *test.values[:, 0]]) == list(range(len(unit)))
    again = whole.split(held_out, seed)
    assert [part.sha256 for part in again] == [train.sha256, test.sha256]
    # As much as was asked for, and no more than one unit beyond it, unless nothing would be left to learn from.
    sizes = {number: unit.count(number) for number in set(unit)}
    assert len(test) < held_out * len(unit) + max(sizes.values()) + 1e-9
    assert len(test) >= held_out * len(unit) - 1e-9 or len(set(train.unit)) == 1


def test_a_split_of_many_faces_holds_out_the_share_by_chance() -> None:
    whole = clean_faces(1000, 4)
    train, test = whole.split(0.1, 3)
    assert (len(train), len(test)) == (900, 100)
    other = whole.split(0.1, 4)[1]
    assert 1 <= len(set(test.unit) & set(other.unit)) <= 25
    # Neither the first nor the last faces.
    assert 350 < test.unit.mean() < 650


def test_conditions_may_be_absent() -> None:
    train, test = clean_faces(20, 4).split(0.5, 0)
    assert train.conditions.shape == test.conditions.shape == (0, 0)


def changed(clean: CoefficientSet) -> dict[str, CoefficientSet]:
    """Sets that differ from ``clean`` in one thing that a training depends on."""
    values, deviation, unit, conditions = (
        array.copy() for array in (clean.values, clean.deviation, clean.unit, clean.conditions)
    )
    values[3, 2] = np.nextafter(values[3, 2], np.float32(9))
    deviation[1] *= 2
    unit[0] = 1
    conditions[5, 0] = 0
    names = (clean.names[1], clean.names[0], *clean.names[2:])
    other: dict[str, dict[str, Any]] = {
        "value": {"values": values},
        "order": {"values": clean.values[::-1].copy()},
        "name": {"names": ("another", *clean.names[1:])},
        "order of names": {"names": names},
        "scale": {"deviation": deviation},
        "unit": {"unit": unit},
        "condition": {"conditions": conditions},
        "group": {"group": "expression"},
        "model": {"model_sha256": "cd" * 32},
    }
    sets = {what: replace(clean, **change) for what, change in other.items()}
    sets["rows"] = clean.rows(np.arange(len(clean)) > 0)
    return sets


def test_digests_tell_what_training_depends_on() -> None:
    clean = clean_faces(12, 5, conditions=1)
    digests = {what: one.sha256 for what, one in changed(clean).items()} | {"itself": clean.sha256}
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 64 for digest in digests.values())


def test_digests_do_not_depend_on_provenance_or_memory() -> None:
    clean = clean_faces(12, 5)
    elsewhere = replace(
        clean, provenance={"source": "/home/me"}, model="renamed", values=np.asfortranarray(clean.values)
    )
    assert elsewhere.sha256 == clean.sha256 == clean_faces(12, 5).sha256


def test_joined_sets_keep_their_units_apart() -> None:
    first, second = clean_faces(5, 4, conditions=1), clean_faces(7, 4, seed=1, conditions=1)
    third = replace(second, unit=np.zeros(7, np.int32), units=("take",), provenance={"file": "c"})
    whole = joined([first, second, third])
    np.testing.assert_array_equal(whole.values, np.concatenate([first.values, second.values, third.values]))
    np.testing.assert_array_equal(
        whole.conditions, np.concatenate([first.conditions, second.conditions, third.conditions])
    )
    assert [whole.units[unit] for unit in whole.unit] == [*first.units, *second.units, *["take"] * 7]
    assert whole.unit.tolist() == [*range(5), *range(5, 12), *[12] * 7]
    assert whole.unit.dtype == np.int32
    assert whole.provenance == {"joined": [{}, {}, {"file": "c"}]}
    assert joined([first]).sha256 == first.sha256
    assert joined([clean_faces(2, 4), clean_faces(3, 4)]).conditions.shape == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"group": "expression"},
        {"model_sha256": "cd" * 32},
        {"names": ("a", "b", "c", "d")},
        {"condition_names": ("sex",)},
    ],
)
def test_sets_that_do_not_belong_together_are_not_joined(change: dict[str, Any]) -> None:
    first = clean_faces(5, 4)
    with pytest.raises(ValueError, match="of different models or groups cannot be joined"):
        joined([first, replace(first, **change)])
    with pytest.raises(ValueError, match="no coefficient sets"):
        joined([])


SYMMETRIC = [(name, name.removesuffix("Left") + "Right") for name in ARKIT_NAMES if name.endswith("Left")]


def test_every_side_of_arkit_has_its_twin() -> None:
    order = mirrored_expressions(ARKIT_NAMES)
    pairs = {(ARKIT_NAMES[a], ARKIT_NAMES[b]) for a, b in enumerate(order) if a < b}
    assert pairs == set(SYMMETRIC)
    assert ("jawLeft", "jawRight") in pairs
    assert len(pairs) == 20
    twins = right_to_left(ARKIT_NAMES)
    assert {(ARKIT_NAMES[left], ARKIT_NAMES[right]) for right, left in twins.items()} == {
        pair for pair in pairs if pair not in {("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")}
    }


@given(
    names=st.lists(
        st.sampled_from([f"{stem}{side}" for stem in ("a", "b") for side in ("_L", "_R", "Left", "Right", "")]),
        unique=True,
    )
)
def test_a_mirrored_mirror_image_is_the_face(names: list[str]) -> None:
    order = mirrored_expressions(names)
    np.testing.assert_array_equal(order[order], np.arange(len(names)))
    for right, left in right_to_left(names).items():
        assert order[right] == left
        assert order[left] == right
        assert names[left] in (names[right].replace("_R", "_L"), names[right].replace("Right", "Left"))
