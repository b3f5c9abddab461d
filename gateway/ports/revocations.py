"""Revocations, as they are kept, and as workers and replicas tell one another of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.ports.time import Deadline


class RevocationStore(Protocol):
    """Revocations as texts, shared by all replicas, for as long as they end something.

    Raises ``StorageUnavailable``.
    """

    async def add(self, text: str, deadline: Deadline) -> None:
        """Durable when it returns; one that is there already is success."""

    async def list(self, since: float, deadline: Deadline) -> Sequence[str]:
        """Those added since then by the clocks of those who added them (Unix seconds), and more.

        0: all there are.
        """

    async def tidy(self, is_over: Callable[[str], bool], deadline: Deadline) -> int:
        """Forgets those that are over; gives how many."""

    async def check(self, deadline: Deadline) -> None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """What was written to a board since ``Board.read`` was asked last.

    ``position`` is where to read on; ``missed`` says that some were overwritten before.
    """

    texts: Sequence[str]
    position: int
    missed: bool


class Board(Protocol):
    """What the workers of one replica tell one another at once, in memory."""

    @property
    def written(self) -> int:
        """How many entries were ever written; costs next to nothing."""

    store_read_at: float
    """When some worker last began to read the store with success (``Clock.monotonic``); 0: never.
    """

    async def write(self, text: str, deadline: Deadline) -> None:
        """All workers read it from now on. Raises ``SharedStateUnavailable``."""

    def read(self, since: int) -> Read: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What other replicas told. ``missed``: perhaps more than ``texts``, which nobody will repeat.

    ``position`` is where to go on; it is the adapter's own.
    """

    texts: Sequence[str]
    position: str
    missed: bool


class Announcements(Protocol):
    """What replicas tell one another at once, and may forget. Raises ``SharedStateUnavailable``."""

    async def tell(self, text: str) -> None: ...

    async def hear(self, position: str, wait_s: float) -> Heard:
        """What was told since; waits ``wait_s`` at most for the first. ``""``: all that is kept."""
