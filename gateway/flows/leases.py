"""The leases of this worker's open streams: held while they run, renewed, given back at their end.

A limit on open streams is counted in leases and not by adding and subtracting one, because a worker
that is killed subtracts nothing: what nobody renews is free by itself (``domain.limits.LEASE_S``).
One timer renews all streams of the worker in one call; a stream costs nothing while it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from gateway.domain.limits import RENEW_S
from gateway.errors import SharedStateUnavailable
from gateway.ports import SharedState

# The event loop may be late, and the call takes a while too.
INTERVAL_S: Final = RENEW_S - 1.0

log = structlog.get_logger("gateway.leases")


class Leases:
    """What this worker holds. ``run`` is its background work."""

    def __init__(self, state: SharedState) -> None:
        self._state = state
        self._held: dict[str, int] = {}
        self._renewed_some = False
        self._is_failing = False

    @property
    def held(self) -> Mapping[str, int]:
        """How many leases of each key; as it is now, also later on."""
        return self._held

    def hold(self, keys: Sequence[str]) -> Held:
        """Takes over leases that ``SharedState.admit`` gave: call it as soon as it returns."""
        for key in keys:
            self._held[key] = self._held.get(key, 0) + 1
        return Held(self, keys)

    def give_back(self, keys: Sequence[str]) -> None:
        for key in keys:
            left = self._held[key] - 1
            if left:
                self._held[key] = left
            else:
                del self._held[key]
        self._state.release(keys)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.renew()

    async def renew(self) -> None:
        """Says what is held; the last time that something was, that nothing is."""
        if not self._held and not self._renewed_some:
            return
        self._renewed_some = bool(self._held)
        try:
            async with asyncio.timeout(RENEW_S):
                await self._state.renew(self._held)
        except Exception as problem:
            # The next one says all of it again; and without it leases would never be renewed.
            self._complain(problem)
        else:
            self._is_failing = False

    def _complain(self, problem: Exception) -> None:
        """Once, until it goes well again."""
        if not self._is_failing:
            expected = isinstance(problem, (SharedStateUnavailable, TimeoutError))
            log.warning("leases not renewed", exc_info=None if expected else problem)
        self._is_failing = True


class Held:
    """The leases of one stream. ``release`` may be called again, by whoever ends the request."""

    __slots__ = ("_keys", "_leases")

    def __init__(self, leases: Leases, keys: Sequence[str]) -> None:
        self._leases = leases
        self._keys = keys

    def release(self) -> None:
        keys, self._keys = self._keys, ()
        if keys:
            self._leases.give_back(keys)
