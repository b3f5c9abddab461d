"""How many requests may be under way to the core at once: counted here, decided synchronously.

A semaphore would do, but for this: a waiter that is cancelled just as it was woken must pass the
wake-up on, and waiting has a clock of its own. Here each slot is an object
whose holder gives it back exactly once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class Slot:
    """A permission to use one connection. ``release`` works once; more calls do nothing."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        self._slots: Slots | None = slots

    def release(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._give_back()


class Slots:
    """``limit`` slots, first come, first served; belongs to one event loop."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a pool needs at least one slot")
        self.limit = limit
        self.in_use = 0
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def take(self) -> Slot | None:
        """A slot, where one is free and nobody waits for it."""
        if self.in_use >= self.limit or self._waiters:
            return None
        self.in_use += 1
        return Slot(self)

    async def acquire(self, timeout_s: float | None) -> Slot:
        """Waits for a free slot; ``TimeoutError`` when none came free in time."""
        if (slot := self.take()) is not None:
            return slot
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except BaseException:
            self._forget(waiter)
            raise
        return Slot(self)

    def _forget(self, waiter: asyncio.Future[None]) -> None:
        """A waiter left; if the slot was handed to it in the same moment, the next one gets it."""
        if waiter.done() and not waiter.cancelled():
            self._give_back()
        self._waiters.pop(waiter, None)

    def _give_back(self) -> None:
        """A handed-over slot stays counted: nobody can slip in between."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return
        self.in_use -= 1
