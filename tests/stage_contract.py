"""What every stage promises, as tests that a stage's test class inherits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from facegen.batch import Arrays
from facegen.tests.command import Outcome, quickstart, states, tree
from facegen.tests.damage import flip, truncate

Stage = Callable[[NDArray[np.int64]], Arrays]
"""From face numbers (B,) to what the stage makes of those faces."""

FACES = np.arange(150)
"""More than two of the blocks in which networks work."""


def assert_same(a: Arrays, b: Arrays, rows: NDArray[np.int64] | slice = slice(None)) -> None:
    """``a`` is bit for bit the rows of ``b``."""
    first, second = a.as_dict(), b.as_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype, name
        # As bytes: not a number is itself, and zero is not minus zero.
        assert value.tobytes() == second[name][rows].tobytes(), name


class StageContract(ABC):
    """Inherit, say which stage it is, define the fixtures, and the stage is tested: by itself and as a command."""

    name: ClassVar[str]
    """Of the stage, and of its command."""
    before: ClassVar[tuple[str, ...]] = ()
    """The stages whose work it needs."""

    @pytest.fixture
    @abstractmethod
    def make(self) -> Callable[[int], Stage]:
        """Builds the stage anew, with all that it needs of the stages before, for a seed."""

    @pytest.fixture
    def arguments(self) -> tuple[str, ...]:
        """Overrides of the small quickstart with which the stage has something to do."""
        return ()

    @pytest.fixture
    def run(self, arguments: tuple[str, ...], tmp_path: Path) -> Path:
        """A run folder of three shards that have come through the stages before."""
        for command in self.before:
            self.carry_out(command, tmp_path / "run", arguments)
        return tmp_path / "run"

    @staticmethod
    def carry_out(command: str, run: Path, arguments: tuple[str, ...]) -> Outcome:
        outcome = quickstart(command, run, *arguments)
        assert outcome.code == 0, outcome.err
        return outcome

    def test_the_same_faces_again(self, make: Callable[[int], Stage]) -> None:
        stage = make(0)
        first = stage(FACES)
        np.testing.assert_array_equal(first.as_dict()["face"], FACES)
        assert_same(stage(FACES), first)
        assert_same(make(0)(FACES), first)

    def test_seeds_differ(self, make: Callable[[int], Stage]) -> None:
        zero, one = make(0)(FACES[:8]).as_dict(), make(1)(FACES[:8]).as_dict()
        assert any(zero[name].tobytes() != one[name].tobytes() for name in zero)

    @pytest.mark.parametrize("seed", range(3))
    def test_a_face_does_not_depend_on_its_batch(self, make: Callable[[int], Stage], seed: int) -> None:
        random = np.random.default_rng(seed)
        whole, stage = make(0)(FACES), make(0)
        order = random.permutation(FACES)
        for part in np.split(order, np.sort(random.integers(1, len(order), 6))):
            if len(part):
                assert_same(stage(part), whole, part)
        assert_same(stage(order[:1]), whole, order[:1])

    def test_the_command_again_changes_nothing(self, run: Path, arguments: tuple[str, ...]) -> None:
        self.carry_out(self.name, run, arguments)
        before = states(run)
        outcome = self.carry_out(self.name, run, (*arguments, "--json"))
        assert outcome.json["made"] == 0
        assert states(run) == before

    @pytest.mark.parametrize("harm", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
    def test_damage_makes_exactly_that_shard_again(
        self, run: Path, arguments: tuple[str, ...], harm: Callable[[Path], None]
    ) -> None:
        self.carry_out(self.name, run, arguments)
        made = tree(run / "stages" / self.name)
        assert list(made) == [f"{shard:05d}.npz" for shard in range(3)]
        before = states(run / "stages")
        harm(run / "stages" / self.name / "00001.npz")
        outcome = self.carry_out(self.name, run, (*arguments, "--json"))
        assert outcome.json["made"] == 16
        assert tree(run / "stages" / self.name) == made
        after = states(run / "stages")
        assert [name for name in after if after[name] != before[name]] == [f"{self.name}/00001.npz"]

    def test_nothing_is_made_of_nothing(self, arguments: tuple[str, ...], tmp_path: Path) -> None:
        if not self.before:
            pytest.skip("the first stage needs none before it")
        outcome = quickstart(self.name, tmp_path / "run", *arguments)
        assert outcome.code == 1
        before = self.before[-1]
        assert f"shard 2 failed: stage '{before}' has not made it; run 'facegen {before}' first" in outcome.err
        assert not (tmp_path / "run" / "stages").exists()

    @pytest.mark.parametrize("harm", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
    def test_damage_of_what_came_before_is_refused_by_name(
        self, run: Path, arguments: tuple[str, ...], harm: Callable[[Path], None]
    ) -> None:
        if not self.before:
            pytest.skip("the first stage needs none before it")
        file = run / "stages" / self.before[-1] / "00001.npz"
        harm(file)
        outcome = quickstart(self.name, run, *arguments)
        assert outcome.code == 1
        assert f"shard 1 failed: {file} " in outcome.err
        assert f"run 'facegen {self.before[-1]}' again" in outcome.err
        assert sorted(tree(run / "stages" / self.name)) == ["00000.npz", "00002.npz"]
        self.carry_out(self.before[-1], run, arguments)
        self.carry_out(self.name, run, arguments)
