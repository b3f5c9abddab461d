"""An answer relayed to one client: the core's bytes go on inside the loop's read callback.

What flows which way: the core's connection pushes bytes into the ``Relay`` (a ``ports.CoreSink``),
the state machine (``domain.stream_state``) says what to send, and the relay hands that to its
``Client``. There is one relay for every kind of client; a client asks

- for **bytes**: whole events of SSE, byte for byte as the core sent them (``Client``), and where it
  takes the framing that they came in, that with them (``Client.send_framed``);
- or for **events**, parsed (``EventClient`` behind ``ParsedEvents``): a JSON document, a message.

This is the hot path, so here is why it is cheap. A relayed event costs: the socket's read callback,
one regular expression that recognises a whole frame of plain events, and one write of the very same
bytes to the client's socket (``StreamState.framed_taker``). Events that came in other pieces lose
their framing and are recognised by ``EventSplitter.pass_plain``. No task wakes up, no future is
made, no clock is asked. All that is slow is done elsewhere: clocks, pings and the log run once a
tick for all streams (``ticker.Ticker``), and what ends an answer goes to the state machine.

Backpressure: when the client has no room for more, reading from the core is paused, and resumed
once the client has taken what it was sent.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from gateway.domain.plain_events import Framing
from gateway.domain.sse import Event, SseParser
from gateway.domain.stream import StreamOutcome, broken_by
from gateway.domain.stream_state import Step, StreamPhase
from gateway.errors import GatewayError
from gateway.flows.answer_stream import Answer, ignore_failure
from gateway.flows.ticker import Ticker
from gateway.ports import CoreStream

log = logging.getLogger("gateway.relay")


class ClientStalled(Exception):
    """The client takes nothing: its connection is to be cut."""


class Client(Protocol):
    """The client's end of a stream that has begun. Nothing here ever blocks."""

    @property
    def send_framed(self) -> Callable[[bytes], bool] | None:
        """Sends plain events in the framing that the core's transfer has, as they came.

        ``None`` where the client's own framing is another one, or none.
        """

    @property
    def send_usual(self) -> Callable[[bytes], bool | None] | None:
        """Sends events in at most two lines each, unframed, that the gateway need not read.

        As ``send``; ``None`` is said, and nothing sent, where there is anything else among them.
        A client without this gets all by ``send``.
        """

    def send(self, data: bytes) -> bool:
        """Sends whole events or comments; false when it should get no more for now.

        What it raises ends the stream, and ``Relay.run`` raises it.
        """

    def on_room(self, call: Callable[[], None]) -> None:
        """Calls once when it can take more."""

    def stalled(self, now: float) -> bool:
        """Whether it has taken nothing of what it was sent for longer than it may."""


class EventClient(Protocol):
    """A client that takes events instead of bytes; see ``Client`` for what is not said here."""

    def take(self, events: Sequence[Event]) -> bool:
        """The events of one piece, in order; none where it was a comment."""

    def on_room(self, call: Callable[[], None]) -> None: ...

    def stalled(self, now: float) -> bool: ...


class ParsedEvents:
    """The ``Client`` that stands before an ``EventClient`` and parses for it.

    The terminal ``error`` event is an event like the others. No size is checked here: pieces hold
    whole events, each of which the relay found to be within the stream's limit.
    """

    __slots__ = ("_parser", "_take", "on_room", "stalled")

    send_framed = None
    send_usual = None

    def __init__(self, client: EventClient) -> None:
        self._parser = SseParser(limit_bytes=sys.maxsize)
        self._take = client.take
        self.on_room = client.on_room
        self.stalled = client.stalled

    def send(self, data: bytes) -> bool:
        return self._take(self._parser.feed_whole(data))


class Relay:
    """Relays one answer to one client; ``run`` returns when it has ended."""

    __slots__ = (
        "_answer",
        "_body_end",
        "_client",
        "_finished",
        "_loop",
        "_state",
        "_stream",
        "_ticker",
    )

    def __init__(self, answer: Answer, client: Client, ticker: Ticker) -> None:
        self._answer = answer
        self._client = client
        self._ticker = ticker
        self._state = answer.state
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._stream: CoreStream | None = None
        self._body_end: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Relays to the end, and leaves the core.

        Raises:
            ClientStalled: the client took nothing for too long; nothing can be sent to it.
            Exception: whatever the client's ``send`` raised.
        """
        self._ticker.add(self)
        self._answer.on_stop = self._check
        try:
            # It may have been ended, and the core left, before there was anybody to act on it.
            if (step := self._state.must_stop(self._loop.time())) is not None:
                self._carry_out(step)
            else:
                await self._attach()
            await self._finished
        finally:
            self._answer.on_stop = None
            self._ticker.remove(self)
            if self._finished.done() and not self._finished.cancelled():
                self._finished.exception()  # asyncio is not to complain if our caller left first
        await self._let_body_end()
        # Before the client has taken the last bytes: it may take its time.
        await self._answer.leave_core()

    async def _attach(self) -> None:
        """Waits for the core's head where it is still to come; the ticker keeps the clocks."""
        stream = self._answer.opened or await self._opened()
        if stream is not None:
            self._stream = stream
            self._state.opened()
            stream.attach(self)

    async def _opened(self) -> CoreStream | None:
        """The core's stream; ``None`` where the answer ended before its head came."""
        opening = asyncio.ensure_future(self._answer.stream())
        ignore_failure(opening)
        either: set[asyncio.Future[Any]] = {opening, self._finished}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not opening.done():
                opening.cancel()
        if self._finished.done():
            return None
        try:
            return opening.result()
        except GatewayError as error:
            self._end_with(self._state.broke(error))
        except Exception:
            self._end_with(self._fault_of_ours())
        return None

    # --- what the core's connection calls -------------------------------------------------------

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        send_framed = self._client.send_framed
        if send_framed is None:
            return self._unframed_taker(parse, framing.unframed)
        return self._state.framed_taker(parse, framing, send_framed, self)

    def _unframed_taker(
        self, parse: Callable[[bytes], None], unframed: Callable[[bytes], bytes]
    ) -> Callable[[bytes], None]:
        """For a client with another framing, or none: reads of whole frames need no parser."""
        state, send_usual = self._state, self._client.send_usual
        limit_bytes, now_s = state.limits.event_limit_bytes, self._loop.time

        def take(data: bytes) -> None:
            body = unframed(data)
            if not body:
                parse(data)
            elif (
                send_usual is None
                or not state.is_plain
                or len(body) > limit_bytes
                or (has_room := send_usual(body)) is None
            ):
                self.received(body)
            else:
                state.passed(body.count(b"\n\n"), now_s)
                state.sent_bytes += len(body)
                if not has_room:
                    self.hold()

        return take

    def received(self, data: bytes) -> None:
        piece = self._state.pass_plain(data, self._loop.time)
        if piece is None:
            self._received_other(data)
        elif piece:
            self._send(piece)

    def replayed(self, data: bytes, events: int) -> None:
        """All there is of an answer that passed before: nothing of it has to be read again."""
        self._carry_out(self._state.replay(data, events, self._loop.time()))

    def _received_other(self, data: bytes) -> None:
        state = self._state
        if state.end is not None:
            state.feed_after_end(data)
            self._wake_if_over()
            return
        try:
            step = state.feed(data, self._loop.time())
        except Exception:
            # Raised into the event loop it would look as if the core had broken off.
            step = self._fault_of_ours()
        if step is not None:
            self._carry_out(step)

    def ended(self, error: GatewayError | None) -> None:
        state = self._state
        if state.end is None:
            self._end_with(state.eof(self._loop.time()) if error is None else state.broke(error))
        state.body_ended()
        self._wake_if_over()

    def _fault_of_ours(self) -> Step:
        log.exception("stream_broke", extra={"request_id": self._answer.request_id})
        return self._state.internal()

    # --- what the ticker calls --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        if not self._state.is_due(now):
            return
        if self._client.stalled(now):
            self._fail(ClientStalled())
        else:
            self._check()

    def _check(self) -> None:
        now = self._loop.time()
        step = self._state.must_stop(now) or self._state.silence(now)
        if step is not None and not self._finished.done():
            self._carry_out(step)

    # --- towards the client -----------------------------------------------------------------------

    def _carry_out(self, step: Step) -> None:
        if step.outcome is not None:
            self._end_with(step)
        else:
            self._send(step.piece)

    def _send(self, data: bytes) -> None:
        self._state.sent(len(data))
        try:
            has_room = self._client.send(data)
        except Exception as error:
            self._fail(error)
        else:
            if not has_room:
                self.hold()

    def hold(self) -> None:
        """The client has no room: the core is to wait."""
        if self._stream is not None:
            # Each time: it may have been full before the core's stream was there to be paused.
            self._stream.pause()
        if not self._state.is_held:
            self._state.is_held = True
            self._client.on_room(self._has_room)

    def _has_room(self) -> None:
        self._state.is_held = False
        if self._stream is not None:
            self._stream.resume()

    def _end_with(self, step: Step) -> None:
        assert step.outcome is not None
        if step.piece:
            self._send(step.piece)
        # Where the client failed over its last piece, it has ended with that.
        self._state.ended(step.outcome, step.error)
        if not self._finished.done():
            self._finished.set_result(None)

    def _fail(self, error: Exception) -> None:
        """The client can take nothing more, or can make nothing of what it was sent."""
        if isinstance(error, GatewayError):
            self._state.ended(broken_by(error), error)
        else:
            stalled = isinstance(error, ClientStalled)
            self._state.ended(StreamOutcome.CLIENT_LEFT if stalled else StreamOutcome.INTERNAL)
        if not self._finished.done():
            self._finished.set_exception(error)

    # --- after ``done`` ---------------------------------------------------------------------------

    async def _let_body_end(self) -> None:
        """Lets the core end its body after ``done``, so that its connection can serve again."""
        if self._state.phase is not StreamPhase.FINISHING:
            return
        self._body_end = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.limits.body_end_s):
                await self._body_end

    def _wake_if_over(self) -> None:
        waiter = self._body_end
        if waiter is not None and not waiter.done() and self._state.phase is StreamPhase.ENDED:
            waiter.set_result(None)
