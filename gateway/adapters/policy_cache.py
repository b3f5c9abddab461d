"""Decisions, kept for a few seconds so that a busy caller does not cost a question each time.

A question is looked up among the kept decisions, then among those under way, which it joins; else
the inner policy is asked, in a task of its own. The task belongs to the question and not to the
caller who came first: when that caller leaves, it goes on, and the others get its answer. A policy
inside this process answers before anybody else can come, so it is asked without a task. Only
decisions are kept. An error and the denial of a broken policy are not, so that a repaired policy
counts at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from gateway.domain.eviction import make_room
from gateway.domain.hit_count import HitCount
from gateway.domain.policy import POLICY_BROKEN, Decision, PolicyQuestion
from gateway.ports import Clock, Policy


@dataclass(frozen=True, slots=True)
class _Kept:
    """A decision, marked as cached, and the end of its life in seconds of ``Clock.monotonic``."""

    decision: Decision
    until: float


class CachedPolicy:
    """``Policy`` over another one.

    Args:
        inner: the policy that is asked; a new ``revision`` of it leaves all kept decisions behind.
        clock: its ``monotonic`` ends the decisions' lives.
        ttl_s: seconds a decision is good for, from when the question was sent. An obligation
            ``ttl_s`` shortens it, and an obligation ``"cache": false`` forbids to keep it.
        max_entries: decisions kept; the one used longest ago makes room.
        immediate: whether ``inner`` answers without waiting for anything outside this process.
    """

    def __init__(
        self,
        inner: Policy,
        clock: Clock,
        *,
        ttl_s: float,
        max_entries: int,
        immediate: bool = False,
    ) -> None:
        self._inner = inner
        self._immediate = immediate
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[Decision]] = {}
        self.count = HitCount()
        # The loop itself holds tasks weakly; after ``clear`` only this set holds the old ones.
        self._tasks: set[asyncio.Task[Decision]] = set()

    @property
    def entries(self) -> int:
        """How many decisions are kept."""
        return len(self._kept)

    @property
    def revision(self) -> str:
        return self._inner.revision

    async def decide(self, question: PolicyQuestion) -> Decision:
        """A kept decision has ``cached`` set and the ``decision_id`` it was made with."""
        key = question.digest(self._inner.revision)
        if key is None:
            return await self._inner.decide(question)
        if (kept := self._lookup(key)) is not None:
            self.count.hits += 1
            return kept
        self.count.misses += 1
        if self._immediate:
            asked_at = self._clock.monotonic()
            decision = await self._inner.decide(question)
            self._keep(key, asked_at, decision)
            return decision
        task = self._under_way.get(key) or self._ask(key, question)
        # ``wait`` and not ``shield``: a caller cancelled here leaves nothing behind, while a shield
        # whose caller left may report the question's error to the loop as never retrieved.
        await asyncio.wait({task})
        return task.result()

    async def check(self) -> None:
        await self._inner.check()

    def clear(self) -> None:
        """Forgets everything; a question under way is answered, and its decision is not kept."""
        self._kept.clear()
        self._under_way.clear()

    def _lookup(self, key: bytes) -> Decision | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._clock.monotonic() >= kept.until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept.decision

    def _ask(self, key: bytes, question: PolicyQuestion) -> asyncio.Task[Decision]:
        asked_at = self._clock.monotonic()
        task = asyncio.create_task(self._inner.decide(question), name="policy question")
        self._under_way[key] = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._answered(key, asked_at, done))
        return task

    def _answered(self, key: bytes, asked_at: float, task: asyncio.Task[Decision]) -> None:
        self._tasks.discard(task)
        # After ``clear`` the decision may be one of the policy that is to be forgotten.
        current = self._under_way.get(key) is task
        if current:
            del self._under_way[key]
        # Asking for the exception marks it as seen: every caller may have left by now.
        if not task.cancelled() and task.exception() is None and current:
            self._keep(key, asked_at, task.result())

    def _keep(self, key: bytes, asked_at: float, decision: Decision) -> None:
        until, now = asked_at + min(self._ttl_s, _ttl_s(decision)), self._clock.monotonic()
        if until > now:
            self._kept[key] = _Kept(replace(decision, cached=True), until)
        make_room(self._kept, self._max_entries, lambda kept: kept.until <= now)


_LONGEST_S = 1e9


def _ttl_s(decision: Decision) -> float:
    """How long the policy lets this decision be kept, in seconds; 0 for what is no number."""
    if decision.reason == POLICY_BROKEN or decision.obligations.get("cache", True) is not True:
        return 0.0
    ttl_s = decision.obligations.get("ttl_s", float("inf"))
    # An integer of JSON may be larger than any float.
    return float(min(ttl_s, _LONGEST_S)) if type(ttl_s) in (int, float) else 0.0
