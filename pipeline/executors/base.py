"""What an executor is: a mechanism that has shards made somewhere, without a policy of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from facegen.pipeline.records import ShardRecord
from facegen.pipeline.shards import Shard

Task = Callable[[Shard], ShardRecord]
"""Makes a shard and returns its record; picklable, idempotent: doing it twice, even at the same time, is harmless."""


@dataclass(frozen=True)
class Finished:
    """A shard was made."""

    shard: Shard
    record: ShardRecord


@dataclass(frozen=True)
class Raised:
    """A shard raised. Only words travel, for not every exception can be sent from process to process."""

    shard: Shard
    reason: str
    kind: Literal["transient", "refused", "storage"]
    """Whether another attempt may succeed, the shard is refused for good, or the disk refuses whatever is written."""


@dataclass(frozen=True)
class Died:
    """The worker that had a shard is gone."""

    shard: Shard
    reason: str
    """How it ended, as far as known, to go on after "the last one": ``killed by SIGSEGV``."""
    deaths: int = 1
    """How many workers the shard has taken along since it was submitted."""


Outcome = Finished | Raised | Died


class Executor(ABC):
    """Has shards made. Retries, giving up and watching are the driver's business (:mod:`facegen.pipeline.drive`).

    Every submitted shard comes back exactly once from :meth:`wait`, unless the executor is closed first. An executor is
    a context manager: leaving it closes it.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """Shards that are worth being in flight now: at most one a worker. It may change while workers come and go."""

    @abstractmethod
    def submit(self, shard: Shard) -> None:
        """Have a shard made; returns at once, unless shards are made in this process.

        Raises:
            WorkerError: when there is nobody left to make it.
        """

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """What has come back since the last call; waits up to ``seconds`` for the first one, and may be empty.

        Raises:
            WorkerError: when the executor is lost as a whole (a scheduler that is gone), in one line for people.
        """

    @abstractmethod
    def abandon(self, shard: Shard, reason: str) -> None:
        """Give up on a shard in flight that does not come back: its worker is ended, and replaced.

        :class:`Died` with this reason follows from :meth:`wait`.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers now. What is in flight is lost, which harms nothing: every write is whole or absent."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """For people: ``executor`` and ``workers`` (how many there are now), ``dashboard`` where there is one."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
