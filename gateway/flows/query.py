"""A question's way: opened at the core, its answer handed out piece by piece, ended honestly.

What flows which way: the blueprint enters ``Query.open`` (a failure there still has its HTTP
status), sends what ``Answer.pieces`` gives, and leaves. Pieces are pulled: while the client does
not take one, nothing more is read from the core. Each piece is a run of whole events, a comment,
or the terminal ``error`` event. What happened is found out here; what follows from it stands in
``domain.stream.ENDINGS``.

One pending operation at a time, the opening or a read, runs as a task of its own, so that a ping
or a clock can come while it waits and no byte is lost to a time-out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from gateway.domain.sse import (
    CONNECTED,
    EVENT_LIMIT_BYTES,
    PING,
    EventSplitter,
    Fed,
    terminal_event,
)
from gateway.domain.stream import (
    ENDINGS,
    Happened,
    StreamEnd,
    broken_by,
    replace_core_error,
    stopped_by,
    terminal_error,
)
from gateway.errors import CoreTimeout, GatewayError, TokenExpired
from gateway.ports import Clock, Core, CoreStream, OnBehalfOf

_NEVER = float("inf")

log = logging.getLogger("gateway.stream")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The clocks of a stream, in seconds, and the largest event, in bytes.

    ``first_event_s`` runs from the call and ``total_s`` too; ``idle_s`` is silence of the core
    while we listen, its comments break it; ``early_head_s`` runs from when the request went out;
    ``ping_s`` is silence towards the client. ``linger_s`` is how long a core may take after its
    ``done`` to end the body, so that its connection can serve again: the client has all by then.
    """

    first_event_s: float = 30.0
    idle_s: float = 60.0
    total_s: float = 900.0
    early_head_s: float = 1.0
    ping_s: float = 15.0
    event_limit_bytes: int = EVENT_LIMIT_BYTES
    linger_s: float = 0.1


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
        return Answer(self._core, self._limits, who, body, lifetime_s)


class Answer:
    """One stream under way. Leaving its context, in whatever way, closes the core's side at once.

    Attributes:
        end: how it went; ``None`` until it has ended.
        error: what the terminal ``error`` event told, if the stream ended with one.
    """

    def __init__(
        self,
        core: Core,
        limits: StreamLimits,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        lifetime_s: float,
    ) -> None:
        self.end: StreamEnd | None = None
        self.error: GatewayError | None = None
        self._core = core
        self._limits = limits
        self._who = who
        self._body = body
        self._lifetime_s = lifetime_s
        self._splitter = EventSplitter(self._limits.event_limit_bytes)
        self._stream: CoreStream | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._pending: asyncio.Task[Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._stopped: GatewayError | None = None
        self._sent_at: float | None = None
        self._first_event_s: float | None = None
        self._events = 0
        self._sent_bytes = 0
        self._left = False

    # --- from outside ---------------------------------------------------------------------------

    def stop(self, error: GatewayError) -> None:
        """Ends the stream with this error at the next event boundary; safe to call at any time."""
        if self._stopped is None:
            self._stopped = error
            self._wake()

    async def __aenter__(self) -> Answer:
        """Returns when the core's head is there, or the early window is over.

        Raises:
            CoreUnavailable, CoreProtocolError, CoreTimeout, …: what ``Core.open_query`` raises;
            TokenExpired, or what ``stop`` was given: nothing went out to the client yet.
        """
        self._loop = asyncio.get_running_loop()
        now = self._started = self._heard_at = self._told_at = self._loop.time()
        self._total_at = now + self._limits.total_s
        self._expires_at = now + self._lifetime_s
        self._begin(self._open_core(), "open")
        try:
            await self._await_head()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended(Happened.CLIENT_LEFT, None)  # unless it had ended before
        await self._close()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What to send, each piece ending on an event boundary; to be iterated once, to its end.

        The last one holds ``done`` or is the terminal ``error`` event.
        """
        yield self._count(CONNECTED)
        while True:
            step = await self._next()
            piece, error = step.piece, None
            if step.happened is not None:
                error = terminal_error(step.happened, step.given)
                if error is not None:
                    piece += terminal_event(error, self._who.request_id)
            yield self._count(piece)
            self._told_at = self._loop.time()
            if step.alive:
                # A client slow to take it does not make the core look silent.
                self._heard_at = self._told_at
            if step.happened is not None:
                # Only now: who leaves before the last piece was taken has left.
                self._ended(step.happened, error)
                if ENDINGS[step.happened].core == "reuse":
                    await self._linger()
                return

    # --- deciding -------------------------------------------------------------------------------

    async def _next(self) -> _Step:
        """Waits for the next thing to tell the client."""
        while True:
            if self._pending is None:
                self._begin(self._read(), "read")
            now = self._loop.time()
            step = self._must_stop(now) or self._take_pending() or self._clock_struck(now)
            if step is not None:
                return step
            if self._pending is not None:
                silence_ends_at, _ = self._silence_clock()
                ping_at = self._told_at + self._limits.ping_s
                await self._wait(min(silence_ends_at, ping_at, self._total_at, self._expires_at))

    def _must_stop(self, now: float) -> _Step | None:
        """What ends a stream however busy it is."""
        if self._stopped is not None:
            return _Step(happened=stopped_by(self._stopped), given=self._stopped)
        if now >= self._expires_at:
            return _Step(happened=Happened.TOKEN_EXPIRED)
        return _Step(happened=Happened.TOO_LONG) if now >= self._total_at else None

    def _clock_struck(self, now: float) -> _Step | None:
        """What nothing from the core brings about."""
        silence_ends_at, happened = self._silence_clock()
        if now >= silence_ends_at:
            return _Step(happened=happened)
        if now >= self._told_at + self._limits.ping_s:
            return _Step(PING)
        return None

    def _silence_clock(self) -> tuple[float, Happened]:
        if self._first_event_s is None:
            return self._started + self._limits.first_event_s, Happened.NO_FIRST_EVENT
        return self._heard_at + self._limits.idle_s, Happened.SILENT

    def _take_pending(self) -> _Step | None:
        """Looks at what the finished task brought, if it has finished and brought anything."""
        task = self._pending
        if task is None or not task.done():
            return None
        self._pending = None
        try:
            chunk = task.result()
        except GatewayError as error:
            return _Step(happened=broken_by(error), given=error)
        except Exception:
            # The head is out: an exception that got past here would end the transfer as if the
            # answer were whole.
            log.exception("stream_broke", extra={"request_id": self._who.request_id})
            return _Step(happened=Happened.INTERNAL)
        fed = self._splitter.finish() if chunk is None else self._splitter.feed(chunk)
        self._account(fed)
        return _judge(fed, at_eof=chunk is None)

    def _account(self, fed: Fed) -> None:
        now = self._loop.time()
        self._events += len(fed.types)
        if fed.alive:
            self._heard_at = now
        if fed.types and self._first_event_s is None:
            self._first_event_s = now - self._started

    def _count(self, piece: bytes) -> bytes:
        self._sent_bytes += len(piece)
        return piece

    def _ended(self, happened: Happened, error: GatewayError | None) -> None:
        """Writes down how it went; the first word stands."""
        if self.end is None:
            self.error = error
            self.end = StreamEnd(
                word=happened.value,
                code=error.code if error is not None else None,
                by=ENDINGS[happened].by,
                events=self._events,
                sent_bytes=self._sent_bytes,
                first_event_s=self._first_event_s,
            )

    # --- waiting --------------------------------------------------------------------------------

    async def _await_head(self) -> None:
        """Until the core's head is there, or the early window is over."""
        assert self._pending is not None
        while not self._pending.done():
            if self._stopped is not None:
                raise self._stopped
            now = self._loop.time()
            head_at = self._started + min(self._limits.first_event_s, self._limits.total_s)
            if now >= self._expires_at:
                raise TokenExpired
            if now >= head_at:
                raise CoreTimeout
            early_at = _NEVER
            if self._sent_at is not None:
                early_at = self._sent_at + self._limits.early_head_s
            if now >= early_at:
                return
            await self._wait(min(early_at, head_at, self._expires_at))
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

    async def _linger(self) -> None:
        """After ``done``: lets the core end its body, so that the connection can serve again."""
        until = self._loop.time() + self._limits.linger_s
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
            if self._splitter.feed(chunk).excess:
                self._excess()
                return

    def _excess(self) -> None:
        assert self.end is not None
        happened = Happened.EXCESS_AFTER_DONE
        self.end = replace(self.end, word=happened.value, by=ENDINGS[happened].by)

    # --- the core's side --------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, bytes | None], name: str) -> None:
        """Starts the one pending operation; ``_take_pending`` or ``_close`` sees to its end."""
        self._pending = self._loop.create_task(work, name=f"query-{name}")

    async def _open_core(self) -> bytes:
        stream = await self._core.open_query(self._who, self._body, self._on_sent)
        if self._left:
            await stream.aclose()
        self._stream = stream
        self._chunks = stream.chunks()
        return b""

    async def _read(self) -> bytes | None:
        """The next bytes, ``None`` at the body's end."""
        assert self._chunks is not None
        return await anext(self._chunks, None)

    async def _close(self) -> None:
        self._left = True
        task, self._pending = self._pending, None
        try:
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        finally:
            if task is not None and task.done() and not task.cancelled():
                task.exception()  # seen: nobody is left to be told
            if self._stream is not None:
                await self._stream.aclose()


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to tell the client: bytes, and what ended the stream if it ended with them.

    ``alive``: the core said something with it, an event or a comment.
    """

    piece: bytes = b""
    happened: Happened | None = None
    given: GatewayError | None = None
    alive: bool = False


def _judge(fed: Fed, *, at_eof: bool) -> _Step | None:
    match fed.verdict:
        case "done":
            excess = Happened.EXCESS_AFTER_DONE
            return _Step(fed.forward, excess if fed.excess else Happened.DONE)
        case "error":
            return _Step(fed.forward, Happened.CORE_ERROR, replace_core_error(fed.error_data))
        case "oversize":
            return _Step(fed.forward, Happened.OVERSIZE)
    if at_eof:
        return _Step(fed.forward, Happened.CORE_EOF)
    return _Step(fed.forward, alive=fed.alive) if fed.forward else None
