"""Where the provider takes what, as one worker knows it.

It is asked for by the first sign-in, and again every ``RENEW_S`` while there are sign-ins. One
question at a time is under way, however many wait for its answer; after one that failed nobody asks
for ``RETRY_S``, so that sign-ins, which anybody may begin, are no flood for a provider that is
away. What was known before is good meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.provider_places import Places, places_of
from gateway.errors import SignInUnavailable
from gateway.flows.provider_keys import Spawn
from gateway.ports import Clock, Deadline, IdentityProvider

RENEW_S: Final = 300.0
RETRY_S: Final = 2.0


class KnownPlaces:
    def __init__(self, provider: IdentityProvider, clock: Clock, tasks: Spawn) -> None:
        self._provider = provider
        self._clock = clock
        self._tasks = tasks
        self._places: Places | None = None
        self._fault: SignInUnavailable | None = None
        self._ask_at = float("-inf")
        self._under_way: asyncio.Task[None] | None = None

    async def get(self, deadline: Deadline) -> Places:
        """
        Raises:
            SignInUnavailable: they are not known, and the provider does not tell them.
        """
        task = self._asking()
        if self._places is None and task is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    # ``wait`` and not ``shield``: a caller who leaves here leaves nothing behind.
                    await asyncio.wait({task})
            except TimeoutError as exc:
                raise SignInUnavailable from exc
        if self._places is None:
            raise SignInUnavailable from (self._fault.__cause__ if self._fault else None)
        return self._places

    def _asking(self) -> asyncio.Task[None] | None:
        """``None`` where nothing is asked, because it is known or was asked in vain just now."""
        now = self._clock.monotonic()
        if self._under_way is None and now >= self._ask_at:
            self._ask_at = now + RETRY_S
            self._under_way = self._tasks.spawn(self._ask(), "places of the identity provider")
        return self._under_way

    async def _ask(self) -> None:
        try:
            self._places = _read(await self._provider.metadata())
            self._ask_at = self._clock.monotonic() + RENEW_S
        except SignInUnavailable as fault:
            self._fault = fault
        finally:
            self._under_way = None


def _read(metadata: Mapping[str, Any]) -> Places:
    try:
        return places_of(metadata)
    except ValueError as exc:
        raise SignInUnavailable from exc
