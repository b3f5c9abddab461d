"""What the workers count, in memory they share: a row of numbers each, none behind a lock.

What flows which way: the supervisor makes ``SharedMetrics`` before it forks; each worker takes a
row of its number's and alone writes there; any of them reads all rows (``exposition``). A number is
an aligned double, stored in one instruction, so that a reader sees the old or the new.

A worker that dies, in whatever way, leaves its row behind, because memory that is mapped and shared
outlives it. The process that takes the row next counts on where the dead one stopped: no counter
goes back, and however often workers die, no row is added. Gauges say something of a living process
only: they count while the row's owner gives signs of life, and the next owner begins at zero.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

# A row: 128 KiB of address space. Pages nobody wrote to take no memory.
ROW_CELLS = 16 * 1024
_CELL_BYTES = 8
# A worker that only ends its streams has a successor already: this many processes at once may have
# the same number.
GENERATIONS = 4
# The cells every row begins with: when its owner was last alive (seconds of the machine's monotonic
# clock, which all processes share; 0: the row is free), its process id, and 1 once it had one.
ALIVE_AT, PID, USED = 0, 1, 2
FIRST_CELL = 3
# A worker whose event loop has not turned for this long counts as dead, in seconds.
SILENT_S = 10.0


class Cells(Protocol):
    """A row's numbers: a ``memoryview`` of doubles."""

    def __getitem__(self, at: int, /) -> float: ...

    def __setitem__(self, at: int, value: float, /) -> None: ...

    def tolist(self) -> list[float]: ...


Row = list[float]


class NoRowFree(Exception):
    """``GENERATIONS`` processes of one number are alive."""


def private_row() -> Cells:
    """A row that nobody else reads. Made of a mapping: pages nobody wrote to take no memory."""
    return cast(Cells, memoryview(mmap.mmap(-1, ROW_CELLS * _CELL_BYTES)).cast("d"))


class SharedMetrics:
    """Rows for ``workers`` workers, numbered from 0, and one for the supervisor.

    Args:
        clock: monotonic seconds, the same in all processes that share the memory.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._workers = workers
        self._rows = workers * GENERATIONS + 1
        # Anonymous and shared: no file, no directory to wipe, nothing to write to a read-only disk.
        self._memory = mmap.mmap(-1, self._rows * ROW_CELLS * _CELL_BYTES)
        self._cells = memoryview(self._memory).cast("d")

    def take(self, worker: int, pid: int, gauges: Iterable[int]) -> Cells:
        """A free row of ``worker`` for the process ``pid``; its ``gauges`` begin at zero.

        Raises:
            NoRowFree
        """
        for generation in range(GENERATIONS):
            row = self._row(worker + generation * self._workers)
            if row[ALIVE_AT] == 0.0:
                for cell in gauges:
                    row[cell] = 0.0
                row[PID], row[USED] = pid, 1.0
                row[ALIVE_AT] = self.clock()
                return row
        raise NoRowFree

    def supervisor_row(self) -> Cells:
        """It holds counters only."""
        row = self._row(self._rows - 1)
        row[USED] = 1.0
        return row

    def release(self, pid: int) -> None:
        """The process ``pid`` is gone: its gauges no longer count, and its row is free."""
        for row in self._used(FIRST_CELL):
            if row[PID] == pid:
                row[PID] = 0.0
                row[ALIVE_AT] = 0.0

    def read(self, end: int) -> tuple[list[Row], list[Row]]:
        """The cells before ``end`` of each row ever taken, and of those whose owner is alive.

        An owner is alive that gave a sign of life in the last ``SILENT_S`` seconds.
        """
        rows = [row.tolist() for row in self._used(end)]
        since = self.clock() - SILENT_S
        return rows, [row for row in rows if row[ALIVE_AT] > max(since, 0.0)]

    def _used(self, end: int) -> Iterator[Cells]:
        """Most rows are never taken: they wait for second and third processes of a number."""
        for number in range(self._rows):
            row = self._row(number, end)
            if row[USED]:
                yield row

    def _row(self, number: int, end: int = ROW_CELLS) -> Cells:
        first = number * ROW_CELLS
        return cast(Cells, self._cells[first : first + end])
