"""What is remembered of people of the company: who they were at their last sign-in.

Their API keys go by it (``key_owners``), at every replica. A token that a worker has not seen
before is a sign-in, as far as the gateway can know of one. It is written down behind the request's
back: a store that is away keeps nobody out, and is tried again until it has taken it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from gateway.domain.company import SeenPerson
from gateway.errors import StorageUnavailable
from gateway.flows.provider_keys import Spawn
from gateway.ports import Clock, People

log = structlog.get_logger("gateway.sign_in")

# Nothing else having changed, a record is written again when it is so old.
RENEW_S: Final = 3600
WRITE_LIMIT_S: Final = 5.0
TRY_AGAIN_S: Final = 5.0
# Of people whose records this worker knows, and of those that wait to be written.
PEOPLE_LIMIT: Final = 10_000


class SignIns:
    """One worker's part in it. ``lost`` counts sign-ins that were not kept, for want of room."""

    def __init__(self, people: People, clock: Clock, tasks: Spawn) -> None:
        self._people = people
        self._clock = clock
        self._tasks = tasks
        self._known: OrderedDict[str, SeenPerson] = OrderedDict()
        self._waiting: OrderedDict[str, SeenPerson] = OrderedDict()
        self._writing: asyncio.Task[None] | None = None
        self.lost = 0

    def seen(self, person: SeenPerson) -> None:
        """Somebody signed in; costs nothing where that is known already."""
        if not self._is_news(person):
            return
        self._waiting[person.subject] = person
        if len(self._waiting) > PEOPLE_LIMIT:
            self._waiting.popitem(last=False)
            self.lost += 1
        if self._writing is None:
            self._writing = self._tasks.spawn(self._write_all(), "sign-ins to be remembered")

    def _is_news(self, person: SeenPerson) -> bool:
        known = self._waiting.get(person.subject) or self._known.get(person.subject)
        if known is None:
            return True
        newer_s = person.signed_in_at - known.signed_in_at
        if (known.tenant, known.roles, known.name) == (person.tenant, person.roles, person.name):
            return newer_s >= RENEW_S
        return newer_s >= 0

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                subject, person = next(iter(self._waiting.items()))
                if await self._written(person):
                    if self._waiting.get(subject) is person:
                        del self._waiting[subject]
                    self._remember(person)
                else:
                    # The others first: it may be this one alone that cannot be written.
                    if subject in self._waiting:
                        self._waiting.move_to_end(subject)
                    await asyncio.sleep(TRY_AGAIN_S)
        finally:
            self._writing = None

    async def _written(self, person: SeenPerson) -> bool:
        deadline = asyncio.get_running_loop().time() + WRITE_LIMIT_S
        try:
            await self._people.put(person, deadline)
        except StorageUnavailable as exc:
            reason = type(exc.__cause__ or exc).__name__
            log.warning(
                "a sign-in is not remembered yet", waiting=len(self._waiting), reason=reason
            )
            return False
        return True

    def _remember(self, person: SeenPerson) -> None:
        self._known[person.subject] = person
        self._known.move_to_end(person.subject)
        while len(self._known) > PEOPLE_LIMIT:
            self._known.popitem(last=False)
