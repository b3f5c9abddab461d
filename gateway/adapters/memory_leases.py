"""How many leases each process holds of each key, in shared memory.

An entry has a number for each process (``memory_holders``): how many it holds, and in which
generation of that process's number, so that what a dead one held counts no more. Only its own
process changes it.
"""

from __future__ import annotations

from typing import Final

from gateway.adapters.memory_holders import Holders
from gateway.adapters.memory_table import WAYS, Digest, SharedTable
from gateway.domain.limits import LEASE_S

_GENERATION_SHIFT: Final = 32
_COUNT_MASK: Final = (1 << _GENERATION_SHIFT) - 1


class HeldLeases:
    """The leases of all, with those of this process as its own.

    Call it with the key's lock, but for ``prolong``.
    """

    def __init__(self, table: SharedTable, holders: Holders) -> None:
        self._table = table
        self._holders = holders
        # Taken with the first lease: not in the process that forks.
        self._number: int | None = None

    def held(self, digest: Digest, now: float) -> int:
        """How many all processes hold that were alive in the last ``LEASE_S`` seconds."""
        place = self._table.find(digest)
        if place is None:
            return 0
        first = place + SharedTable.FIRST
        cells = self._table.ints[first : first + WAYS * self._holders.count : WAYS].tolist()
        return sum(
            cells[number] & _COUNT_MASK
            for number, generation in self._holders.living(now - LEASE_S)
            if cells[number] >> _GENERATION_SHIFT == generation
        )

    def bury(self) -> bool:
        """Whether leases became free because their process was found dead."""
        return self._holders.bury()

    def add(self, digest: Digest, more: int, now: float) -> None:
        """This process holds ``more`` than before."""
        number = self._alive(now)
        place = self._table.find_or_make(digest, now)
        cell = self._table.ints[self._cell(place, number)]
        ours = cell >> _GENERATION_SHIFT == self._holders.generation(number)
        self._store(place, number, more + (cell & _COUNT_MASK if ours else 0), now)

    def subtract(self, digest: Digest, now: float) -> None:
        """It gives one back; nothing, where nothing is known of it."""
        if self._number is not None and self._table.find(digest) is not None:
            self.add(digest, -1, now)

    def put(self, digest: Digest, count: int, now: float) -> None:
        """This process holds ``count``, whatever is known of it."""
        number = self._alive(now)
        place = self._table.find_or_make(digest, now) if count else self._table.find(digest)
        if place is not None:
            self._store(place, number, count, now)

    def prolong(self, digest: Digest, count: int, now: float) -> bool:
        """Whether it is still known that this process holds ``count``: then it does for longer.

        Without the lock: only this process changes what it holds, and where the entry makes room
        for another one at this very moment, that one only ends a little later or sooner.
        """
        number = self._alive(now)
        place = self._table.find(digest)
        if place is None:
            return count == 0
        cell = self._holders.generation(number) << _GENERATION_SHIFT | count
        if self._table.ints[self._cell(place, number)] != cell:
            return False
        self._table.floats[place + SharedTable.ENDS] = now + LEASE_S
        return True

    def give_all(self) -> None:
        """This process ends: all it holds is free."""
        if self._number is not None:
            self._holders.give(self._number)
            self._number = None

    def _alive(self, now: float) -> int:
        if self._number is None:
            self._number = self._holders.take(now)
        self._holders.alive(self._number, now)
        return self._number

    def _store(self, place: int, number: int, count: int, now: float) -> None:
        if count > 0:
            self._table.floats[place + SharedTable.ENDS] = now + LEASE_S
        generation = self._holders.generation(number)
        cell = generation << _GENERATION_SHIFT | max(count, 0)
        self._table.ints[self._cell(place, number)] = cell

    @staticmethod
    def _cell(place: int, number: int) -> int:
        return place + SharedTable.FIRST + WAYS * number
