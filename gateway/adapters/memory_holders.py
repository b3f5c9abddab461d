"""Who holds leases in shared memory: a number for each process, and when it was last alive.

A process has its number by a lock that ends with it, so that nobody gets the number of a process
that lives, and everybody can see at once which one is dead. What a dead one held is told apart from
what its successor holds by a generation, which goes up with each new owner of the number.
"""

from __future__ import annotations

import mmap
from typing import Final

from gateway.adapters.memory_locks import ByteLocks
from gateway.errors import SharedStateUnavailable

# Times are above zero: this one is of nobody.
NEVER: Final = 0.0


class Holders:
    """Numbers from 0 to ``count`` - 1, in memory made before the fork."""

    def __init__(self, count: int, locks: ByteLocks) -> None:
        self.count = count
        self._locks = locks
        self._alive_at = memoryview(mmap.mmap(-1, count * 8)).cast("d")
        self._generations = memoryview(mmap.mmap(-1, count * 8)).cast("Q")
        # A process's own lock does not keep it out, so it has to know what it has.
        self._ours: set[int] = set()

    def take(self, now: float) -> int:
        """A number that no living process has.

        Raises:
            SharedStateUnavailable: there is none, because too many processes only end their
                streams.
        """
        for number in range(self.count):
            if number not in self._ours and self._locks.keep(number):
                self._ours.add(number)
                self._generations[number] += 1
                self._alive_at[number] = now
                return number
        raise SharedStateUnavailable

    def give(self, number: int) -> None:
        """What it holds is free."""
        self._alive_at[number] = NEVER
        self._ours.discard(number)
        self._locks.give(number)

    def alive(self, number: int, now: float) -> None:
        self._alive_at[number] = now

    def generation(self, number: int) -> int:
        return self._generations[number]

    def living(self, since: float) -> list[tuple[int, int]]:
        """The numbers of those that were alive after ``since``, with their generations."""
        generations = self._generations.tolist()
        return [
            (number, generations[number])
            for number, at in enumerate(self._alive_at.tolist())
            if at > since
        ]

    def bury(self) -> bool:
        """Whether somebody has died of whom nobody knew: from now on he does not count as alive."""
        found = False
        for number, at in enumerate(self._alive_at.tolist()):
            if at == NEVER or number in self._ours or not self._locks.keep(number):
                continue
            # With the lock, so that no successor has the number yet.
            self._alive_at[number] = NEVER
            self._locks.give(number)
            found = True
        return found
