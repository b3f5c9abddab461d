"""Looking up API keys without asking the store on every request.

An answer (also that there is no such key) is valid for at most the time to live, counted from when
its question was *sent*: that is how long a revoked key can still work here. Errors are never
cached. Hits and misses have bounds of their own, so that a flood of made-up ids cannot push out the
keys in use. One look-up at a time is under way for an id; it belongs to the id and not to the
caller who came first, so that the others get its answer when that caller leaves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakSet

from gateway.domain.api_keys import KeyRecord
from gateway.domain.company import SeenPerson
from gateway.domain.eviction import make_room
from gateway.domain.hit_count import HitCount
from gateway.errors import StorageUnavailable
from gateway.ports import Clock, Deadline, KeyStore


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the store said at some time after ``sent_at`` (seconds of ``Clock.monotonic``).

    ``owner`` is what is remembered of the key's owner, where that has to be asked for, too.
    """

    record: KeyRecord | None
    sent_at: float
    owner: SeenPerson | None = None


class LookupLimit(Protocol):
    """How many look-ups may be made; ``unknown_keys.LimitAt`` is the real one."""

    async def admit(self) -> None:
        """Raises ``RateLimited`` where one more would be too many."""

    def count(self, task: asyncio.Task[Any]) -> None:
        """``task`` is a look-up that was let in."""


_Answers = OrderedDict[str, LookedUp]
OwnerOf = Callable[[KeyRecord, Deadline], Awaitable[SeenPerson | None]]


class KeyLookups:
    """Args: ``max_entries`` is how many hits are kept, and how many misses; ``owner_of`` looks up a
    found key's owner along with it."""

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        *,
        ttl_s: float,
        max_entries: int,
        owner_of: OwnerOf | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._owner_of = owner_of
        self.count = HitCount()
        self._hits: _Answers = OrderedDict()
        self._misses: _Answers = OrderedDict()
        self._under_way: dict[str, tuple[float, asyncio.Task[LookedUp]]] = {}
        # The loop holds tasks weakly; a look-up that a newer one replaced is held only here.
        self._tasks: set[asyncio.Task[LookedUp]] = set()
        # Look-ups that a change of their key overtook. Held weakly: whoever waits holds it.
        self._outdated: WeakSet[asyncio.Task[LookedUp]] = WeakSet()

    @property
    def entries(self) -> int:
        """How many answers are kept."""
        return len(self._hits) + len(self._misses)

    async def get(
        self,
        key_id: str,
        deadline: Deadline,
        *,
        sent_after: float = float("-inf"),
        limit: LookupLimit | None = None,
        in_line: bool = False,
    ) -> LookedUp:
        """The record of ``key_id``, from an answer that was sent at ``sent_after`` or later.

        Args:
            limit: asked where the store has to be; not where somebody else asks it already.
            in_line: waits for the look-up of this id that is under way, though it was sent too
                early, before another one is made: at most one travels.

        Raises:
            RateLimited: what ``limit`` says.
            StorageUnavailable: no kept answer is good and the store gives none by ``deadline``.
        """
        kept = self.kept(key_id, sent_after=sent_after)
        if kept is not None:
            return kept
        self.count.misses += 1
        while True:
            if in_line:
                await self._line(key_id, deadline, sent_after)
            task = self._joinable(key_id, sent_after)
            if task is None and limit is not None:
                await limit.admit()
                task = self._joinable(key_id, sent_after)
            if task is None:
                task = self._send(key_id, deadline)
                if limit is not None:
                    limit.count(task)
            await _wait(task, deadline)
            if task not in self._outdated:
                return task.result()

    async def _line(self, key_id: str, deadline: Deadline, sent_after: float) -> None:
        while key_id in self._under_way and self._joinable(key_id, sent_after) is None:
            await _wait(self._under_way[key_id][1], deadline)

    def forget(self, key_id: str | None) -> None:
        """The record was changed (``None``: that of any key): no answer to an earlier question is
        good, also where it is still to come."""
        if key_id is None:
            self._hits.clear()
            self._misses.clear()
            self._outdated.update(self._tasks)
            self._under_way.clear()
            return
        self._hits.pop(key_id, None)
        self._misses.pop(key_id, None)
        under_way = self._under_way.pop(key_id, None)
        if under_way is not None:
            self._outdated.add(under_way[1])

    def kept(self, key_id: str, *, sent_after: float) -> LookedUp | None:
        """The answer that ``get`` would give without asking the store, if there is one."""
        kept = self._kept(key_id)
        if kept is None or kept.sent_at < sent_after:
            return None
        self.count.hits += 1
        return kept

    def _kept(self, key_id: str) -> LookedUp | None:
        for answers in (self._hits, self._misses):
            kept = answers.get(key_id)
            if kept is None:
                continue
            if self._is_fresh(kept):
                answers.move_to_end(key_id)
                return kept
            del answers[key_id]
        return None

    def _is_fresh(self, answer: LookedUp) -> bool:
        return self._clock.monotonic() < answer.sent_at + self._ttl_s

    def _joinable(self, key_id: str, sent_after: float) -> asyncio.Task[LookedUp] | None:
        sent_at, task = self._under_way.get(key_id, (0.0, None))
        return task if sent_at >= sent_after else None

    def _send(self, key_id: str, deadline: Deadline) -> asyncio.Task[LookedUp]:
        sent_at = self._clock.monotonic()
        task = asyncio.create_task(self._ask(key_id, sent_at, deadline), name="api key look-up")
        self._under_way[key_id] = (sent_at, task)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._answered(key_id, done))
        return task

    async def _ask(self, key_id: str, sent_at: float, deadline: Deadline) -> LookedUp:
        stored = await self._store.get(key_id, deadline)
        if stored is None:
            return LookedUp(None, sent_at)
        owner = await self._owner_of(stored.record, deadline) if self._owner_of else None
        return LookedUp(stored.record, sent_at, owner)

    def _answered(self, key_id: str, task: asyncio.Task[LookedUp]) -> None:
        self._tasks.discard(task)
        if self._under_way.get(key_id, (0.0, None))[1] is task:
            del self._under_way[key_id]
        # Asking for the exception marks it as seen: every caller may have left by now.
        if not task.cancelled() and task.exception() is None and task not in self._outdated:
            self._keep(key_id, task.result())

    def _keep(self, key_id: str, answer: LookedUp) -> None:
        kept = self._kept(key_id)
        if not self._is_fresh(answer) or (kept is not None and kept.sent_at > answer.sent_at):
            return
        self._hits.pop(key_id, None)
        self._misses.pop(key_id, None)
        answers = self._misses if answer.record is None else self._hits
        answers[key_id] = answer
        make_room(answers, self._max_entries, lambda old: not self._is_fresh(old))


async def _wait(task: asyncio.Task[LookedUp], deadline: Deadline) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            # ``wait`` and not ``shield``: a caller who leaves here leaves nothing behind.
            await asyncio.wait({task})
    except TimeoutError as exc:
        raise StorageUnavailable from exc
