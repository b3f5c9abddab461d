"""An answer pushed through: the core's bytes go to the client inside the loop's read callback.

This is the hot path, so here is why it is cheap. A relayed event costs: the socket's read callback,
one regular expression that recognises a chunk of ordinary events (``framed``), and one write of the
very same bytes to the client's socket: chunked to chunked, the framing is right as it came. What
comes in other pieces passes the HTTP parser and ``passes`` first. No task wakes up, no future is
made, no clock is asked. All that is slow is done elsewhere: clocks, pings and the log run once a
tick for all streams (``Ticker``), and whatever is not an ordinary event goes to the state machine
that the pulled way uses too (``domain.stream_state``), so that both end alike.

Backpressure: when the client's transport holds more than it should, reading from the core is
paused, and resumed once the client has taken it. The client's side is a ``Client``: what ``edge``
makes of Sanic's transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from gateway.domain.plain_events import plain_chunk, plain_event
from gateway.domain.stream import ENDINGS, StreamOutcome
from gateway.domain.stream_state import Step
from gateway.errors import GatewayError
from gateway.flows.answer_stream import Answer, unheard
from gateway.ports import CoreStream

log = logging.getLogger("gateway.splice")

TICK_S = 0.25
# How often a stream is looked at more closely, in seconds; its own clocks may be nearer.
LOOK_S = 0.5
# In how many parts an interval goes through the streams, at most, and how many are worth a part.
PARTS = 10
WORTH_A_PART = 25


class Client(Protocol):
    """The client's end of a stream that has begun."""

    @property
    def send_framed(self) -> Callable[[bytes], bool]:
        """Sends one HTTP chunk, never blocks; false when it should get no more for now."""

    def on_room(self, call: Callable[[], None]) -> None:
        """Calls once when it can take more."""

    def stalled(self, now: float) -> bool:
        """Whether it has taken nothing of what it was sent for longer than it may."""


class Splice:
    """Relays one answer to one client; ``run`` returns when it has ended."""

    __slots__ = (
        "_answer",
        "_client",
        "_core_ended",
        "_finished",
        "_full",
        "_heard",
        "_limit_bytes",
        "_lingering",
        "_look_at",
        "_loop",
        "_passes",
        "_plain",
        "_send_framed",
        "_splitter",
        "_state",
        "_stream",
        "_ticker",
        "_told",
    )

    def __init__(self, answer: Answer, client: Client, ticker: Ticker) -> None:
        self._answer = answer
        self._client = client
        self._ticker = ticker
        self._state = answer.state
        self._splitter = answer.state.splitter
        self._passes = self._splitter.passes
        self._send_framed = client.send_framed
        self._limit_bytes = answer.state.limits.event_limit_bytes
        self._plain = False
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._stream: CoreStream | None = None
        self._look_at = 0.0
        self._heard = False
        self._told = False
        self._full = False
        self._core_ended = False
        self._lingering: asyncio.Future[None] | None = None

    async def run(self) -> bool:
        """Relays to the end. False where the core's stream cannot be pushed: nothing happened yet.

        Raises:
            ClientStalled: the client took nothing for too long; it can be told nothing.
        """
        self._ticker.add(self)
        self._answer.on_stop = self._check
        try:
            # It may have been ended, and the core left, before there was anybody to hear of it.
            if (step := self._state.must_stop(self._loop.time())) is not None:
                self._carry_out(step)
            elif not await self._attach():
                return False
            await self._finished
        finally:
            self._answer.on_stop = None
            self._ticker.remove(self)
            if self._finished.done() and not self._finished.cancelled():
                self._finished.exception()  # who left may never have heard of it
        await self._linger()
        # Before the client has taken the last bytes: it may take its time.
        await self._answer.leave_core()
        return True

    async def _attach(self) -> bool:
        """Waits for the core's head where it is still to come; the ticker keeps the clocks."""
        self._stream = self._answer.opened
        if self._stream is not None:
            return self._stream.attach(self)
        opening = asyncio.ensure_future(self._answer.stream())
        unheard(opening)
        either: set[asyncio.Future[Any]] = {opening, self._finished}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not opening.done():
                opening.cancel()
        if self._finished.done():
            return True
        try:
            self._stream = opening.result()
        except GatewayError as error:
            self._end_with(self._state.broke(error))
            return True
        except Exception:
            log.exception("stream_broke", extra={"request_id": self._answer.request_id})
            self._end_with(self._state.internal())
            return True
        return self._stream.attach(self)

    # --- what the core's connection calls -------------------------------------------------------

    def framed(self, parse: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What takes the reads that begin between two chunks, in one Python frame of its own."""
        state, send, limit_bytes = self._state, self._send_framed, self._limit_bytes

        def take(data: bytes) -> None:
            size = plain_event(data)
            if 0 < size <= limit_bytes and self._plain:
                state.events += 1
            else:
                size = plain_chunk(data, limit_bytes) if self._plain else 0
                if not size:
                    parse(data)
                    return
                # In a plain run every blank line ends an event with data: there are no others.
                state.events += data.count(b"\n\n")
            state.sent_bytes += size
            self._heard = True
            if not send(data):
                self._hold()

        return take

    def received(self, data: bytes) -> None:
        events = self._passes(data)
        if events and not self._finished.done():
            self._state.passed(events, self._loop.time)
            self._heard = True
            self._send(data)
        else:
            self._received_other(data)
        # After the first event, at a boundary, chunks may pass as they come (``framed``).
        self._plain = not self._finished.done() and self._splitter.at_boundary
        self._plain = self._plain and self._state.first_event_s is not None

    def _received_other(self, data: bytes) -> None:
        if self._finished.done():
            if self._splitter.feed(data).excess:
                self._state.excess_after_done()
            return
        try:
            step = self._state.feed(data, self._loop.time())
        except Exception:
            # Raised into the event loop it would look as if the core had broken off.
            log.exception("stream_broke", extra={"request_id": self._answer.request_id})
            step = self._state.internal()
        if step is not None:
            self._carry_out(step)

    def ended(self, error: GatewayError | None) -> None:
        self._core_ended = True
        if not self._finished.done():
            state = self._state
            self._end_with(state.eof(self._loop.time()) if error is None else state.broke(error))
        elif self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    # --- what the ticker calls --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Books what happened since the last tick and looks at the clocks."""
        state = self._state
        if self._heard:
            # What the core said went on to the client at once.
            state.heard_at = state.told_at = now
            self._heard = False
        if self._told:
            state.told_at = now
            self._told = False
        if self._full:
            # The core is paused, so its silence is ours; the client's clock runs instead.
            state.heard_at = state.told_at = now
        if now < self._look_at and state.stopped is None:
            return
        self._look_at = min(now + LOOK_S, state.next_due())
        if self._client.stalled(now):
            self._fail(ClientStalled())
        elif now >= state.next_due() or state.stopped is not None:
            self._check()

    def _check(self) -> None:
        now = self._loop.time()
        step = self._state.must_stop(now) or self._state.silence(now)
        if step is not None and not self._finished.done():
            self._carry_out(step)
            self._state.told(step, now)

    # --- towards the client -----------------------------------------------------------------------

    def _carry_out(self, step: Step) -> None:
        if step.outcome is not None:
            self._end_with(step)
        else:
            self._send(step.piece)

    def _send(self, data: bytes) -> None:
        self._state.sent_bytes += len(data)
        self._told = True
        if not self._send_framed(b"%x\r\n%b\r\n" % (len(data), data)):
            self._hold()

    def _hold(self) -> None:
        """The client has enough for now: the core is to wait."""
        if self._stream is not None:
            # Each time: it may have been full before the core's stream was there to be paused.
            self._stream.pause()
        if not self._full:
            self._full = True
            self._client.on_room(self._has_room)

    def _has_room(self) -> None:
        self._full = False
        if self._stream is not None:
            self._stream.resume()

    def _end_with(self, step: Step) -> None:
        self._plain = False
        if step.piece:
            self._send(step.piece)
        assert step.outcome is not None
        self._state.ended(step.outcome, step.error)
        if not self._finished.done():
            self._finished.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._plain = False
        self._state.ended(StreamOutcome.CLIENT_LEFT)
        if not self._finished.done():
            self._finished.set_exception(error)

    async def _linger(self) -> None:
        """After ``done``: lets the core end its body, so that the connection can serve again."""
        end = self._state.end
        if end is None or self._core_ended or ENDINGS[StreamOutcome(end.outcome)].core != "reuse":
            return
        self._lingering = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.limits.linger_s):
                await self._lingering


class ClientStalled(Exception):
    """The client takes nothing: its connection is to be cut."""


class Ticker:
    """Calls every open splice a few times a second: one timer a worker, not one a stream.

    A part of them at a time: all at once they would hold up whatever event comes meanwhile.
    """

    def __init__(self, interval_s: float = TICK_S) -> None:
        self._interval_s = interval_s
        self._splices: dict[Splice, None] = {}
        # Those still to be called in this interval, in how many parts, and how many a part is.
        self._round: list[Splice] = []
        self._parts = 1
        self._at_once = 1
        self._timer: asyncio.TimerHandle | None = None

    def add(self, splice: Splice) -> None:
        self._splices[splice] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)

    def remove(self, splice: Splice) -> None:
        self._splices.pop(splice, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._round:
            self._round = list(self._splices)
            self._parts = min(max(len(self._round) // WORTH_A_PART, 1), PARTS)
            # Of those there are now: were it those there still are, a round that most have left
            # would go on for minutes, and nobody's clock be looked at meanwhile.
            self._at_once = -(-len(self._round) // self._parts)
        part, self._round = self._round[: self._at_once], self._round[self._at_once :]
        for splice in part:
            if splice in self._splices:
                self._call(splice, now)
        if not self._splices:
            self._round, self._timer = [], None
            return
        self._timer = loop.call_later(self._interval_s / self._parts, self._tick)

    def _call(self, splice: Splice, now: float) -> None:
        try:
            splice.tick(now)
        except Exception:
            # One stream's fault must not stop the clocks of all others.
            log.exception("tick_failed")
