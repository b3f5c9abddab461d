"""A question's way: opened at the core, its answer handed out piece by piece, ended honestly.

What flows which way: the blueprint enters ``Query.open`` (a failure there still has its HTTP
status), relays the answer, and leaves. There are two ways to relay it, over one state machine
(``domain.stream_state``), so that both end alike:

- ``pieces`` is pulled: while the client does not take a piece, nothing more is read from the core.
  One pending operation at a time, the opening or a read, runs as a task of its own, so that a ping
  or a clock can come while it waits and no byte is lost to a time-out.
- ``flows.splice`` is pushed: the core's bytes go on inside the event loop's read callback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any

from gateway.domain.sse import CONNECTED
from gateway.domain.stream import ENDINGS, StreamEnd, StreamOutcome, broken_by
from gateway.domain.stream_state import Step, StreamLimits, StreamState
from gateway.errors import CoreTimeout, GatewayError, TokenExpired
from gateway.ports import Clock, Core, CoreStream, OnBehalfOf

__all__ = ["Answer", "Query", "StreamLimits"]

log = logging.getLogger("gateway.query")

_NEVER = float("inf")


class Query:
    """The use case; one per worker."""

    def __init__(self, core: Core, clock: Clock, limits: StreamLimits | None = None) -> None:
        self._core = core
        self._clock = clock
        self._limits = limits or StreamLimits()

    def open(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        *,
        token_expires_at: float | None = None,
    ) -> Answer:
        """An answer to be entered with ``async with``; ``token_expires_at`` is in Unix seconds."""
        lifetime_s = _NEVER if token_expires_at is None else token_expires_at - self._clock.time()
        now = asyncio.get_running_loop().time()
        state = StreamState(self._limits, who.request_id, now=now, expires_at=now + lifetime_s)
        return Answer(self._core, who, body, state)


class Answer:
    """One stream under way. Leaving its context, in whatever way, closes the core's side at once.

    Attributes:
        state: what is known of it; whoever relays the answer drives it.
        on_stop: called when somebody wants it to end; a splice listens here.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_closed",
        "_core",
        "_left",
        "_loop",
        "_pending",
        "_sent_at",
        "_stream",
        "_waiter",
        "_who",
        "on_stop",
        "request_id",
        "state",
    )

    def __init__(
        self, core: Core, who: OnBehalfOf, body: Mapping[str, Any], state: StreamState
    ) -> None:
        self.state = state
        self.request_id = who.request_id
        self.on_stop: Callable[[], None] | None = None
        self._core = core
        self._who: OnBehalfOf | None = who
        self._body: Mapping[str, Any] | None = body
        self._loop = asyncio.get_running_loop()
        self._stream: CoreStream | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._pending: asyncio.Task[Any] | None = None
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
        """What the terminal ``error`` event told, if the stream ended with one."""
        return self.state.error

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
        self._begin(self._open_core(), "open")
        try:
            await self._await_head()
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
            # What came of it was of no use to whoever read it: no doing of the client's.
            self.state.ended(broken_by(exc), exc)
        self.state.ended(StreamOutcome.CLIENT_LEFT)
        await self.leave_core()

    @property
    def opened(self) -> CoreStream | None:
        """The core's stream where its head is there already, as it nearly always is."""
        return self._stream if self._pending is None else None

    async def stream(self) -> CoreStream:
        """The core's stream, as soon as its head is there; for who does not pull ``pieces``.

        Raises:
            GatewayError: the call failed after all.
        """
        task, self._pending = self._pending, None
        if task is not None:
            try:
                await task
            except asyncio.CancelledError:
                self._pending = task  # ours was cancelled, not the task: ``leave_core`` sees to it
                unheard(task)
                raise
        assert self._stream is not None
        return self._stream

    # --- pulled -----------------------------------------------------------------------------------

    async def pieces(self, *, greet: bool = True) -> AsyncIterator[bytes]:
        """What to send, each piece ending on an event boundary; to be iterated once, to its end.

        The first is the comment that shows the stream stands (unless the caller said it already),
        the last one holds ``done`` or is the terminal ``error`` event.
        """
        if greet:
            yield self._count(CONNECTED)
        while True:
            step = await self._next()
            if step.outcome is not None and ENDINGS[step.outcome].core == "close":
                await self.leave_core()  # the client may take its time over the last piece
            yield self._count(step.piece)
            self.state.told(step, self._loop.time())
            if step.outcome is not None:
                # Only now: who leaves before the last piece was taken has left.
                self.state.ended(step.outcome, step.error)
                if ENDINGS[step.outcome].core == "reuse":
                    await self._linger()
                return

    async def _next(self) -> Step:
        """Waits for the next thing to tell the client."""
        while True:
            if self._pending is None:
                self._begin(self._read(), "read")
            now = self._loop.time()
            step = self.state.must_stop(now) or self._take_pending() or self.state.silence(now)
            if step is not None:
                return step
            if self._pending is not None:
                await self._wait(self.state.next_due())

    def _take_pending(self) -> Step | None:
        """Looks at what the finished task brought, if it has finished and brought anything."""
        task = self._pending
        if task is None or not task.done():
            return None
        self._pending = None
        now = self._loop.time()
        try:
            chunk = task.result()
            return self.state.eof(now) if chunk is None else self.state.feed(chunk, now)
        except GatewayError as error:
            return self.state.broke(error)
        except Exception:
            log.exception("stream_broke", extra={"request_id": self.request_id})
            return self.state.internal()

    def _count(self, piece: bytes) -> bytes:
        self.state.sent_bytes += len(piece)
        return piece

    async def _linger(self) -> None:
        """After ``done``: lets the core end its body, so that the connection can serve again."""
        until = self._loop.time() + self.state.limits.linger_s
        while self._loop.time() < until:
            if self._pending is None:
                self._begin(self._read(), "read")
            await self._wait(until)
            task = self._pending
            if task is None or not task.done():
                continue
            self._pending = None
            if task.exception() is not None or (chunk := task.result()) is None:
                return
            if self.state.splitter.feed(chunk).excess:
                self.state.excess_after_done()
                return

    # --- waiting --------------------------------------------------------------------------------

    async def _await_head(self) -> None:
        """Until the core's head is there, or the early window is over."""
        assert self._pending is not None
        state, limits = self.state, self.state.limits
        head_at = state.started + min(limits.first_event_s, limits.total_s)
        while not self._pending.done():
            if state.stopped is not None:
                raise state.stopped
            now = self._loop.time()
            if now >= state.expires_at:
                raise TokenExpired
            if now >= head_at:
                raise CoreTimeout
            early_at = _NEVER if self._sent_at is None else self._sent_at + limits.early_head_s
            if now >= early_at:
                return
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
            self._wake()

    # --- the core's side --------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, bytes | None], name: str) -> None:
        """Starts the one pending operation; ``_take_pending`` or ``leave_core`` sees to its end."""
        self._pending = self._loop.create_task(work, name=f"query-{name}")

    async def _open_core(self) -> bytes:
        who, body = self._who, self._body
        assert who is not None
        assert body is not None
        # Once asked, neither is needed again: an answer may stay open for long.
        self._who = self._body = None
        stream = await self._core.open_query(who, body, self._on_sent)
        if self._left:
            await stream.aclose()
        self._stream = stream
        return b""

    async def _read(self) -> bytes | None:
        """The next bytes, ``None`` at the body's end."""
        assert self._stream is not None
        if self._chunks is None:
            self._chunks = self._stream.chunks()
        return await anext(self._chunks, None)

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
                task.exception()  # seen: nobody is left to be told
            if self._stream is not None and not self._closed:
                self._closed = True
                await self._stream.aclose()


def unheard(task: asyncio.Future[Any]) -> None:
    """Whoever asked for it may have left before it fails: asyncio is not to complain of that."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
