"""API keys that nobody has seen yet: their look-ups are limited, apart from those of known keys.

A made-up key can be spelled well, and each costs the store a look-up. So a worker remembers which
keys it has let in, and looks up what it does not know within two limits: so many a second for each
client address, counted by all workers of the replica in its own memory, and so many under way in
the worker. What is over them is refused at once, with 429. A key whose checksum proves that this
gateway made it (``domain/key_checksums.py``) is never unknown. So whatever is made up, known keys
find the store's connections free.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import Any

from gateway.domain.limit_counts import network_of
from gateway.domain.limits import Charge, Rate
from gateway.errors import RateLimited, SharedStateUnavailable
from gateway.ports import SharedState


class UnknownKeysLimited(RateLimited):
    """There are too many look-ups for unknown keys: this one is not made now."""

    default_message = "Too many unknown API keys: wait before the next one."

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(details={"retry_after_s": retry_after_s}, retry_after_s=retry_after_s)


class UnknownKeys:
    """The limits, and the memory of what is known; one per worker.

    Args:
        replica: what the workers of this replica count together.
        rate: look-ups for each client address.
        in_flight: look-ups under way at once in this worker.
        max_known: how many known keys are remembered; the least recently used one makes room.
    """

    def __init__(self, replica: SharedState, rate: Rate, *, in_flight: int, max_known: int) -> None:
        self._replica = replica
        self._rate = rate
        self._in_flight = in_flight
        self._max_known = max_known
        self._known: OrderedDict[str, None] = OrderedDict()
        self._under_way: set[asyncio.Task[Any]] = set()

    def remember(self, key_id: str) -> None:
        """Somebody came with this key and its right secret."""
        self._known[key_id] = None
        self._known.move_to_end(key_id)
        if len(self._known) > self._max_known:
            self._known.popitem(last=False)

    def knows(self, key_id: str) -> bool:
        return key_id in self._known

    def at(self, address: str) -> LimitAt:
        """The limits as they are for one client address; ``""`` where there is none."""
        return LimitAt(self, address)

    async def admit(self, address: str) -> None:
        """Raises ``UnknownKeysLimited`` where one more look-up would be too many."""
        if len(self._under_way) >= self._in_flight:
            raise UnknownKeysLimited
        place = network_of(address) if address else ""
        try:
            outcome = (await self._replica.admit([Charge(f"keys/unknown/{place}", self._rate)]))[0]
        except SharedStateUnavailable:
            return  # Fails open: how many are under way is still limited.
        if not outcome.passed:
            raise UnknownKeysLimited(max(math.ceil(outcome.retry_after_s), 1))

    def count(self, task: asyncio.Task[Any]) -> None:
        """``task`` is a look-up that was let in."""
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


class LimitAt:
    """Implements ``key_lookups.LookupLimit`` for one client address."""

    def __init__(self, unknown: UnknownKeys, address: str) -> None:
        self._unknown = unknown
        self._address = address

    async def admit(self) -> None:
        await self._unknown.admit(self._address)

    def count(self, task: asyncio.Task[Any]) -> None:
        self._unknown.count(task)
