"""Answers that need not be made twice: kept whole, and replayed below every door.

What flows which way: ``Query`` takes a ``CachedQuestion`` in the core's place. Where an answer to
just this question is kept it opens a stream that replays it; else the core's, which is copied. A
copy is kept only where the answer ended with ``done``, under the revision of the documents that
its own head named, and only if the core names the same one after its end: nobody changed a document
while it was being made.

Who asks what is being asked already waits for that answer, as long as it goes well. It belongs to
whoever came first: if he leaves, the next one asks for all. If it fails or is too long to be kept,
or takes more than half of the time in which a first event has to come, each asks for himself.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from math import ceil
from typing import Any, NamedTuple, Protocol, cast

from gateway.domain.answer_keys import Asker, Use, answer_key, asked_in, use_of
from gateway.domain.hit_count import HitCount
from gateway.domain.kept_answers import Kept, KeptAnswers
from gateway.domain.stream import StreamOutcome
from gateway.domain.stream_state import StreamState
from gateway.flows.answer_copies import WHOLE_BYTES, CopiedStream, Copy, ReplayedStream
from gateway.flows.corpus_revisions import CorpusRevisions
from gateway.ports import Clock, Core, CoreStream, OnBehalfOf

# The name of this cache in ``Cache-Status`` (RFC 9211).
NAME = "kb-gateway"

Spawn = Callable[[Coroutine[Any, Any, Any], str], object]


class RevisedStream(CoreStream, Protocol):
    """A core's answer whose head may name the revision of the documents that it is made of."""

    @property
    def revision(self) -> str | None:
        """To be asked before a sink is attached."""


class _Landing(enum.Enum):
    """What became of an answer that others wait for."""

    KEPT = enum.auto()
    LEFT = enum.auto()  # whoever asked has left, or a document changed: it says nothing
    FAILED = enum.auto()  # the core's fault, or too long


class _Made(NamedTuple):
    """An answer of the core: of which documents its head said it is, and when it was asked for.

    ``events`` is how many it had, where its bytes are just those that its client got.
    """

    revision: str
    asked_at: float
    events: int = 0


class AnswerCache:
    """One worker's; implements ``flows.answer_stream.Answers``.

    Args:
        policy_revision: gives that of the policy that decides now.
        spawn: runs what follows an answer's end on its own.
    """

    def __init__(
        self,
        core: Core,
        kept: KeptAnswers,
        revisions: CorpusRevisions,
        clock: Clock,
        *,
        policy_revision: Callable[[], str],
        spawn: Spawn,
    ) -> None:
        self.core = core
        self.kept = kept
        self.revisions = revisions
        self.now = clock.monotonic
        self.count = HitCount()
        self.under_way: dict[bytes, asyncio.Future[_Landing]] = {}
        self.spawn = spawn
        self._policy_revision = policy_revision
        self._sweep: asyncio.TimerHandle | None = None

    def question(self, state: StreamState, cache_control: str) -> CachedQuestion:
        """What opens the stream of one answer; ``cache_control`` is the request's header."""
        return CachedQuestion(self, state, use_of(cache_control))

    def key(self, who: OnBehalfOf, revision: str, asked: bytes) -> bytes:
        asker = Asker(who.tenant, who.subject, who.roles, who.actor)
        return answer_key(
            asker,
            policy_revision=self._policy_revision(),
            corpus_revision=revision,
            asked=asked,
        )

    def keep(self, key: bytes, who: OnBehalfOf, answer: _Made, data: bytes | None) -> None:
        """Keeps what was made; without ``data``, that it is too long."""
        owner = (who.tenant, who.subject)
        self.kept.put(
            key, owner, answer.revision, data, asked_at=answer.asked_at, events=answer.events
        )
        if self._sweep is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self.kept.ttl_s, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        self.kept.sweep(self.now())
        if len(self.kept):
            self._sweep_later()


class CachedQuestion:
    """Implements ``flows.answer_stream.Opens`` for one question.

    Attributes:
        status: what ``Cache-Status`` (RFC 9211) says of it, as far as it is known.
        is_replayed: the answer is a kept one: the core was not asked.
    """

    __slots__ = (
        *("_asked", "_cache", "_kept", "_landing", "_state", "_use", "_who"),
        *("is_replayed", "status"),
    )

    def __init__(self, cache: AnswerCache, state: StreamState, use: Use) -> None:
        self._cache = cache
        self._state = state
        self._use = use
        self._kept: tuple[bytes, Kept] | None = None
        self.is_replayed = False
        self.status = f"{NAME}; fwd=miss"

    def at_once(self, who: OnBehalfOf, body: Mapping[str, Any]) -> CoreStream | None:
        """A kept answer, where it takes nobody else to know that there is one."""
        cache = self._cache
        revision = cache.revisions.known(who.tenant, who.subject)
        asked = None if self._use is not Use.KEPT or revision is None else asked_in(body)
        if asked is None or revision is None:
            return None
        key = cache.key(who, revision, asked)
        kept = cache.kept.get(key, cache.now())
        if kept is None or kept.data is None:
            return None
        return self._replay(key, kept, kept.data, None)

    def read(self) -> tuple[object, int, int]:
        """What was made of the kept answer, its bytes and its events; ``None`` for nothing yet."""
        if self._kept is None:
            return None, 0, 0
        _, kept = self._kept
        return kept.read, len(kept.data or b""), kept.events

    def keep_read(self, read: object) -> None:
        """Keeps what was made of the kept answer, where it can be given without its bytes."""
        if self._kept is not None and self._kept[1].events:
            self._cache.kept.keep_read(*self._kept, read)

    def whole(self) -> tuple[bytes, int] | None:
        """As the protocol says; not one whose bytes a parse would change on their way."""
        if self._kept is None:
            return None
        _, kept = self._kept
        data = kept.data
        if data is None or not kept.events or len(data) > WHOLE_BYTES:
            return None
        return data, kept.events

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> CoreStream:
        """As ``ports.Core.open_query``."""
        asked = asked_in(body)
        if asked is None or self._use is Use.NONE:
            self.status = f"{NAME}; fwd={'bypass' if asked is None else 'request'}"
            return await self._cache.core.open_query(who, body, on_sent)
        self._who, self._asked = who, asked
        key, kept = await self._look(on_sent)
        if key is not None and kept is not None and kept.data is not None:
            return self._replay(key, kept, kept.data, on_sent)
        self._cache.count.misses += 1
        if key is None:
            return await self._cache.core.open_query(who, body, on_sent)
        return await self._lead(key, body, on_sent)

    # --- looking ----------------------------------------------------------------------------------

    async def _look(self, on_sent: Callable[[], None] | None) -> tuple[bytes | None, Kept | None]:
        """What is kept, and under which key the answer is to be; without a key it is not."""
        cache = self._cache
        while (key := await self._key_now()) is not None:
            if self._use is Use.FRESH:
                self.status = f"{NAME}; fwd=request"
                return key, None
            kept = cache.kept.get(key, cache.now())
            if kept is not None and kept.data is None:
                self.status = f"{NAME}; fwd=bypass; detail=too-long"
                return None, None
            landing = cache.under_way.get(key)
            if kept is not None or landing is None:
                return key, kept
            if not await self._waited(landing, on_sent):
                return None, None
        self.status = f"{NAME}; fwd=bypass; detail=no-revision"
        return None, None

    async def _key_now(self) -> bytes | None:
        revision = await self._cache.revisions.get(self._who)
        return None if revision is None else self._cache.key(self._who, revision, self._asked)

    async def _waited(
        self, landing: asyncio.Future[_Landing], on_sent: Callable[[], None] | None
    ) -> bool:
        """Waits for somebody else's answer; whether looking again is any good."""
        self.status = f"{NAME}; fwd=miss; collapsed"
        if on_sent is not None:
            on_sent()
        limits, now = self._state.limits, asyncio.get_running_loop().time()
        until = self._state.started + limits.first_event_s / 2
        # ``wait``: the answer is not this caller's, who may leave.
        done, _ = await asyncio.wait({landing}, timeout=max(until - now, 0.0))
        return bool(done) and landing.result() is not _Landing.FAILED

    def _replay(
        self, key: bytes, kept: Kept, data: bytes, on_sent: Callable[[], None] | None
    ) -> ReplayedStream:
        cache, self._kept = self._cache, (key, kept)
        cache.count.hits += 1
        self.is_replayed = True
        if "collapsed" not in self.status:
            self.status = f"{NAME}; hit; ttl={ceil(kept.until - cache.now())}"
        if on_sent is not None:
            on_sent()
        return ReplayedStream(data, kept.events)

    # --- asking, and keeping ----------------------------------------------------------------------

    async def _lead(
        self, key: bytes, body: Mapping[str, Any], on_sent: Callable[[], None] | None
    ) -> CoreStream:
        """Asks the core; others who ask the same wait for this answer meanwhile."""
        cache = self._cache
        landing: asyncio.Future[_Landing] = asyncio.get_running_loop().create_future()
        self._landing = (key, landing)
        cache.under_way.setdefault(key, landing)
        asked_at = cache.now()
        try:
            opened = await cache.core.open_query(self._who, body, on_sent)
        except BaseException as exc:
            left = isinstance(exc, asyncio.CancelledError)
            self._land(_Landing.LEFT if left else _Landing.FAILED)
            raise
        revision = cast(RevisedStream, opened).revision
        if revision is None:
            self._land(_Landing.FAILED)
            return opened
        return CopiedStream(opened, cache.kept, partial(self._copied, _Made(revision, asked_at)))

    def _copied(self, made: _Made, copy: Copy) -> None:
        """The stream was left, or the copy of it ended early."""
        cache, end = self._cache, self._state.end
        if copy.data is None:
            if copy.is_too_long:
                cache.keep(cache.key(self._who, made.revision, self._asked), self._who, made, None)
            self._land(_Landing.FAILED)
        elif end is not None and end.outcome == StreamOutcome.DONE.value:
            events = end.events if _is_exact(copy.data) else 0
            cache.spawn(self._keep(made._replace(events=events), copy.data), "keep an answer")
        else:
            cache.kept.give_back(len(copy.data))
            by_core = end is not None and end.by == "core"
            self._land(_Landing.FAILED if by_core else _Landing.LEFT)

    async def _keep(self, made: _Made, data: bytes) -> None:
        """Keeps the answer unless a document changed while it was made."""
        cache, landing = self._cache, _Landing.LEFT
        try:
            if await cache.revisions.get_now(self._who) == made.revision:
                landing = _Landing.KEPT
        finally:
            cache.kept.give_back(len(data))
            if landing is _Landing.KEPT:
                key = cache.key(self._who, made.revision, self._asked)
                cache.keep(key, self._who, made, data)
            self._land(landing)

    def _land(self, how: _Landing) -> None:
        key, landing = self._landing
        if self._cache.under_way.get(key) is landing:
            del self._cache.under_way[key]
        if not landing.done():
            landing.set_result(how)


def _is_exact(data: bytes) -> bool:
    """Whether an answer that ended with ``done`` is sure to be relayed to its last byte.

    A mark of order before it is not, nor are empty lines behind it. Where lines end in LF these
    would be a third one; where they end in another way nothing is sure.
    """
    ends = data.endswith(b"\n\n") and not data.endswith(b"\n\n\n")
    return ends and not data.startswith(b"\xef\xbb\xbf") and b"\r" not in data
