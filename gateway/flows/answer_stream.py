"""A question's way: opened at the core, and left again however its answer ends.

What flows which way: the blueprint enters ``Query.open`` (a failure there still has its HTTP
status), hands the ``Answer`` to a ``flows.relay.Relay`` with the client that wants it, and leaves.
What is known of the answer is in its state machine (``domain.stream_state``), which the relay
drives. The opening runs as a task of its own, because the answer's head may go out to the client
before the core's head has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from gateway.domain.stream import StreamEnd, StreamOutcome, broken_by
from gateway.domain.stream_replays import replay_whole
from gateway.domain.stream_state import StreamLimits, StreamState
from gateway.domain.usage import asked_characters
from gateway.errors import CoreTimeout, GatewayError, TokenExpired
from gateway.ports import Clock, CoreStream, OnBehalfOf

_NEVER = float("inf")


class Opens(Protocol):
    """What opens the stream of an answer: the core, or what stands in its place."""

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> CoreStream: ...


class Cached(Opens, Protocol):
    """What stands in its place where answers are kept; see ``answer_cache.CachedQuestion``."""

    status: str
    is_replayed: bool

    def at_once(self, who: OnBehalfOf, body: Mapping[str, Any]) -> CoreStream | None:
        """A kept answer, where it is known now that there is one."""

    def read(self) -> tuple[object, int, int]:
        """What was made of a kept answer, its bytes and its events; ``None`` for nothing yet."""

    def keep_read(self, read: object) -> None:
        """Keeps what was made of a kept answer."""

    def whole(self) -> tuple[bytes, int] | None:
        """A kept answer that goes out just as it is, in one piece, and how many events it has."""


class Answers(Protocol):
    """Answers that are kept; ``answer_cache.AnswerCache`` is the real one."""

    def question(self, state: StreamState, cache_control: str) -> Cached: ...


class Query:
    """The use case; one per worker.

    Attributes:
        answers: those that are kept; ``None`` where none are.
    """

    def __init__(
        self, core: Opens, clock: Clock, limits: StreamLimits, answers: Answers | None = None
    ) -> None:
        self.answers = answers
        self._core = core
        self._clock = clock
        self._limits = limits

    def open(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        *,
        token_expires_at: float | None = None,
        cache_control: str = "",
    ) -> Answer:
        """An answer to be entered with ``async with``; ``token_expires_at`` is in Unix seconds.

        ``cache_control`` is the request's header of that name, of use where answers are kept.
        """
        lifetime_s = _NEVER if token_expires_at is None else token_expires_at - self._clock.time()
        now = asyncio.get_running_loop().time()
        state = StreamState(self._limits, who.request_id, now=now, expires_at=now + lifetime_s)
        if self.answers is None:
            return Answer(self._core, who, body, state)
        cached = self.answers.question(state, cache_control)
        return Answer(cached, who, body, state, cached)


class Answer:
    """One stream under way. Leaving its context, in whatever way, closes the core's side at once.

    Attributes:
        state: what is known of it; the relay drives it.
        on_stop: called when somebody wants it to end; the relay sets it.
        cached: what is known of kept answers to its question; ``None`` where none are kept.
        asked_characters: how long the question is.
    """

    __slots__ = (
        "_body",
        "_closed",
        "_core",
        "_left",
        "_loop",
        "_pending",
        "_sent_at",
        "_stream",
        "_waiter",
        "_who",
        "asked_characters",
        "cached",
        "on_stop",
        "request_id",
        "state",
    )

    def __init__(
        self,
        core: Opens,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        state: StreamState,
        cached: Cached | None = None,
    ) -> None:
        self.state = state
        self.cached = cached
        self.request_id = who.request_id
        self.on_stop: Callable[[], None] | None = None
        self.asked_characters = asked_characters(body)
        self._core = core
        self._who: OnBehalfOf | None = who
        self._body: Mapping[str, Any] | None = body
        self._loop = asyncio.get_running_loop()
        self._stream: CoreStream | None = None
        self._pending: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sent_at: float | None = None
        self._left = False
        self._closed = False

    # --- from outside ---------------------------------------------------------------------------

    @property
    def end(self) -> StreamEnd | None:
        """How it went; ``None`` until it has ended."""
        return self.state.end

    @property
    def error(self) -> GatewayError | None:
        """The terminal ``error`` event's, if the stream ended with one."""
        return self.state.error

    def read_before(self, limit_bytes: int) -> object:
        """What was made of a kept answer when it was last read, to be given instead of its stream.

        ``None`` where nothing was, or the stream is to end in another way.
        """
        if self.cached is None or self.state.stopped is not None or self.opened is None:
            return None
        found, size_bytes, events = self.cached.read()
        if found is None or size_bytes > limit_bytes:
            return None
        replay_whole(self.state, events, size_bytes, self._loop.time())
        return found

    def is_whole(self) -> bool:
        """Whether it is known to be a kept answer that goes out in one piece."""
        cached = self.cached
        return cached is not None and self._replay() and cached.whole() is not None

    def replay_whole(self, begin: bytes) -> bytes | None:
        """``begin`` and behind it all of a kept answer, to be sent instead of its stream.

        ``None`` where it is no kept one, is too long for one piece, or is to end in another way.
        """
        if self.cached is None or self.opened is None:
            return None
        whole = self.cached.whole()
        if whole is None or self.state.must_stop(self._loop.time()) is not None:
            return None
        data, events = whole
        told = begin + data
        replay_whole(self.state, events, len(told), self._loop.time())
        return told

    def stop(self, error: GatewayError) -> None:
        """Ends the stream with this error at the next event boundary; safe to call at any time."""
        self.state.stop(error)
        self._wake()
        if self.on_stop is not None:
            self.on_stop()

    async def __aenter__(self) -> Answer:
        """Returns when the core's head is there, or the early window is over.

        Raises:
            CoreUnavailable, CoreProtocolError, CoreTimeout, …: what ``Core.open_query`` raises;
            TokenExpired, or what ``stop`` was given: nothing went out to the client yet.
        """
        if self.cached is not None and self._replay():
            return self
        self._pending = self._loop.create_task(self._open_core(), name="query-open")
        try:
            await self._await_head()
        except asyncio.CancelledError:
            self.state.ended(StreamOutcome.CLIENT_LEFT)
            await self.leave_core()
            raise
        except BaseException:
            await self.leave_core()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Unless it had ended before.
        if isinstance(exc, GatewayError):
            # What the core sent was of no use to whoever read it: no doing of the client's.
            self.state.ended(broken_by(exc), exc)
        self.state.ended(StreamOutcome.CLIENT_LEFT)
        await self.leave_core()

    @property
    def opened(self) -> CoreStream | None:
        """The core's stream where its head is there already, as it nearly always is."""
        return self._stream if self._pending is None else None

    async def stream(self) -> CoreStream:
        """The core's stream, as soon as its head is there.

        Raises:
            GatewayError: the call failed after all.
        """
        task, self._pending = self._pending, None
        if task is not None:
            try:
                await task
            except asyncio.CancelledError:
                self._pending = task  # ours was cancelled, not the task: ``leave_core`` sees to it
                ignore_failure(task)
                raise
        assert self._stream is not None
        return self._stream

    # --- waiting --------------------------------------------------------------------------------

    async def _await_head(self) -> None:
        """Until the core's head is there, or the early window is over."""
        assert self._pending is not None
        state, limits = self.state, self.state.limits
        head_at = state.started + min(limits.first_event_s, limits.total_s)
        early_s = limits.early_head_s
        while not self._pending.done():
            if state.stopped is not None:
                raise state.stopped
            now = self._loop.time()
            if now >= state.expires_at:
                raise TokenExpired
            if now >= head_at:
                raise CoreTimeout
            sent_at = self._sent_at
            if sent_at is not None and now >= sent_at + early_s:
                return
            # A window that has not begun is not over earlier than one that begins now: so one
            # timer does for nearly every opening.
            early_at = now + (early_s or _NEVER) if sent_at is None else sent_at + early_s
            await self._wait(min(early_at, head_at, state.expires_at))
        task, self._pending = self._pending, None
        task.result()

    async def _wait(self, until: float) -> None:
        """Returns when the pending task is done, somebody woke us, or it is ``until``."""
        task = self._pending
        assert task is not None
        if task.done():
            return
        self._waiter = self._loop.create_future()
        timer = None if until == _NEVER else self._loop.call_at(until, self._wake)
        task.add_done_callback(self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            task.remove_done_callback(self._wake)
            if timer is not None:
                timer.cancel()

    def _wake(self, _: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_sent(self) -> None:
        if self._sent_at is None:
            self._sent_at = self._loop.time()
            if not self.state.limits.early_head_s:
                self._wake()

    # --- the core's side --------------------------------------------------------------------------

    async def _open_core(self) -> None:
        who, body = self._who, self._body
        assert who is not None
        assert body is not None
        # Once asked, neither is needed again: an answer may stay open for long.
        self._who = self._body = None
        stream = await self._core.open_query(who, body, self._on_sent)
        if self._left:
            await stream.aclose()
        self._stream = stream

    def _replay(self) -> bool:
        """Whether a kept answer could be opened without waiting for anybody."""
        if self._stream is not None:
            return True
        if self.state.stopped is not None:
            return False
        assert self.cached is not None
        assert self._who is not None
        assert self._body is not None
        self._stream = self.cached.at_once(self._who, self._body)
        if self._stream is None:
            return False
        self._who = self._body = None
        return True

    async def leave_core_if_over(self) -> None:
        """What ends a stream ends it for the core also while the client takes its time."""
        if self.state.must_stop(self._loop.time()) is not None:
            await self.leave_core()

    async def leave_core(self) -> None:
        """Closes the core's side at once; safe to call twice."""
        self._left = True
        task, self._pending = self._pending, None
        try:
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        finally:
            if task is not None and task.done() and not task.cancelled():
                task.exception()  # nobody is left to whom it matters
            if self._stream is not None and not self._closed:
                self._closed = True
                await self._stream.aclose()


def ignore_failure(task: asyncio.Future[Any]) -> None:
    """Its owner may have left before it fails: asyncio is not to complain of that."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
