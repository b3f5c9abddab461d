"""Where shared state is: workers that count together, in this process and in forks of it.

Another kind of shared state is one more class here, and one line in ``conftest.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.memory_state import MemoryState, SharedMemory
from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_state import RedisState
from gateway.ports import SharedState

HOLDERS = 64


class World(Protocol):
    def worker(self) -> SharedState:
        """One more worker's view of what all of them count; made on its event loop."""

    async def close(self, worker: SharedState) -> None:
        """The worker ends in good order."""


@dataclass
class MovedClock:
    """Monotonic seconds that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class MemoryWorld:
    """One replica's memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.memory = SharedMemory(HOLDERS)
        self.clock = clock

    def worker(self) -> MemoryState:
        # Long: nobody is stopped with a lock here, and the machine may be slow.
        return MemoryState(self.memory, self.clock, patience_s=60.0)

    async def close(self, worker: SharedState) -> None:
        assert isinstance(worker, MemoryState)
        worker.close()


class RedisWorld:
    """One Redis."""

    def __init__(self, access: RedisAccess) -> None:
        self.access = access

    def worker(self) -> RedisState:
        return RedisState(lambda: self.access)

    async def close(self, worker: SharedState) -> None:
        assert isinstance(worker, RedisState)
        await worker.aclose()


Work = Callable[[SharedState, Callable[[str], object]], Awaitable[None]]


class Process:
    """A worker in a fork of its own, which does ``work``; ``work`` is given a way to tell lines."""

    def __init__(self, world: World, work: Work) -> None:
        self._read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._read_end)
                asyncio.run(
                    _working(world, work, lambda line: os.write(write_end, f"{line}\n".encode()))
                )
                status = 0
            finally:
                os._exit(status)
        os.close(write_end)
        self._lines = os.fdopen(self._read_end)

    def next_line(self) -> str:
        """Waits for what it tells next; empty once it ended."""
        return self._lines.readline().strip()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def rest(self) -> list[str]:
        """All it told that nobody read yet, once it has ended; how it ended is no matter."""
        with self._lines:
            lines = self._lines.read().split()
        os.waitpid(self.pid, 0)
        return lines


async def _working(world: World, work: Work, tell: Callable[[str], object]) -> None:
    await work(world.worker(), tell)
