"""One relayed answer as a state machine with no socket: what came in → what goes out, and the end.

Who drives it reads bytes from the core and a clock, and calls ``feed``, ``eof``, ``broke`` and
``due``; each gives a ``Step`` to carry out, or ``None``. A step's bytes always end on an event
boundary, and the one step with ``outcome`` is the last: its bytes hold ``done`` or the terminal
``error`` event. Times are seconds of one monotonic clock, passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.domain.sse import EVENT_LIMIT_BYTES, PING, EventSplitter, Fed, terminal_event
from gateway.domain.stream import (
    ENDINGS,
    StreamEnd,
    StreamOutcome,
    broken_by,
    replace_core_error,
    stopped_by,
    terminal_error,
)
from gateway.errors import GatewayError


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


@dataclass(frozen=True, slots=True)
class Step:
    """Something to tell the client: bytes, and what ended the stream if it ended with them.

    ``error`` is what the terminal event in ``piece`` tells. ``alive``: the core said something.
    """

    piece: bytes = b""
    outcome: StreamOutcome | None = None
    error: GatewayError | None = None
    alive: bool = False


class StreamState:
    """What is known of one answer. ``expires_at`` is when its token ends, on the same clock.

    Attributes:
        end: how it went, ``None`` until ``ended`` was called.
        events: whole events that passed; ``sent_bytes``: all that was handed to the client.
        heard_at: when the core last said something; ``told_at``: when the client was.
    """

    __slots__ = (
        "_request_id",
        "_total_at",
        "end",
        "error",
        "events",
        "expires_at",
        "first_event_s",
        "heard_at",
        "limits",
        "sent_bytes",
        "splitter",
        "started",
        "stopped",
        "told_at",
    )

    def __init__(
        self, limits: StreamLimits, request_id: str, *, now: float, expires_at: float
    ) -> None:
        self.limits = limits
        self.end: StreamEnd | None = None
        self.error: GatewayError | None = None
        self.stopped: GatewayError | None = None
        self.events = 0
        self.sent_bytes = 0
        self.heard_at = now
        self.told_at = now
        self.started = now
        self.expires_at = expires_at
        self.first_event_s: float | None = None
        self._request_id = request_id
        self._total_at = now + limits.total_s
        self.splitter = EventSplitter(limits.event_limit_bytes)

    # --- what came from the core ------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> Step | None:
        return self._judged(self.splitter.feed(data), now, at_eof=False)

    def eof(self, now: float) -> Step:
        """The core's body came to its proper end, which is no proper end of an answer."""
        step = self._judged(self.splitter.finish(), now, at_eof=True)
        assert step is not None
        return step

    def broke(self, error: GatewayError) -> Step:
        """The call or the transfer failed."""
        return self._last(broken_by(error), error)

    def internal(self) -> Step:
        """The gateway's own fault. The head is out: it must not end as if the answer were whole."""
        return self._last(StreamOutcome.INTERNAL)

    def passed(self, events: int, now_s: Callable[[], float]) -> None:
        """Books whole events that passed without a parse; the clock is asked for the first only."""
        if self.first_event_s is None:
            self.first_event_s = now_s() - self.started
        self.events += events

    def _judged(self, fed: Fed, now: float, *, at_eof: bool) -> Step | None:
        self._account(fed, now)
        match fed.verdict:
            case "done":
                excess = StreamOutcome.EXCESS_AFTER_DONE
                return self._last(excess if fed.excess else StreamOutcome.DONE, piece=fed.forward)
            case "error":
                told = replace_core_error(fed.error_data)
                return self._last(StreamOutcome.CORE_ERROR, told, fed.forward)
            case "oversize":
                return self._last(StreamOutcome.OVERSIZE, piece=fed.forward)
        if at_eof:
            return self._last(StreamOutcome.CORE_EOF, piece=fed.forward)
        return Step(fed.forward, alive=fed.alive) if fed.forward else None

    def _account(self, fed: Fed, now: float) -> None:
        self.events += len(fed.types)
        if fed.alive:
            self.heard_at = now
        if fed.types and self.first_event_s is None:
            self.first_event_s = now - self.started

    def _last(
        self, outcome: StreamOutcome, given: GatewayError | None = None, piece: bytes = b""
    ) -> Step:
        error = terminal_error(outcome, given)
        if error is not None:
            piece += terminal_event(error, self._request_id)
        return Step(piece, outcome, error)

    # --- what the clock and others say ------------------------------------------------------------

    def stop(self, error: GatewayError) -> None:
        """Somebody outside wants it to end with this error; the first one stands."""
        if self.stopped is None:
            self.stopped = error

    def must_stop(self, now: float) -> Step | None:
        """What ends a stream however busy it is."""
        if self.stopped is not None:
            return self._last(stopped_by(self.stopped), self.stopped)
        if now >= self.expires_at:
            return self._last(StreamOutcome.TOKEN_EXPIRED)
        return self._last(StreamOutcome.TOO_LONG) if now >= self._total_at else None

    def silence(self, now: float) -> Step | None:
        """What nothing from the core brings about: an end, or a ping."""
        ends_at, outcome = self._silence_clock()
        if now >= ends_at:
            return self._last(outcome)
        return Step(PING) if now >= self.told_at + self.limits.ping_s else None

    def next_due(self) -> float:
        """When to ask ``must_stop`` and ``silence`` again if nothing happens."""
        ends_at, _ = self._silence_clock()
        return min(ends_at, self.told_at + self.limits.ping_s, self._total_at, self.expires_at)

    def _silence_clock(self) -> tuple[float, StreamOutcome]:
        if self.first_event_s is None:
            return self.started + self.limits.first_event_s, StreamOutcome.NO_FIRST_EVENT
        return self.heard_at + self.limits.idle_s, StreamOutcome.SILENT

    # --- how it went ------------------------------------------------------------------------------

    def told(self, step: Step, now: float) -> None:
        """The client took a step's bytes. Its slowness does not make the core look silent."""
        self.told_at = now
        if step.alive:
            self.heard_at = now

    def ended(self, outcome: StreamOutcome, error: GatewayError | None = None) -> None:
        """Writes down how it went; the first word stands."""
        if self.end is None:
            self.error = error
            self.end = StreamEnd(
                outcome=outcome.value,
                code=error.code if error is not None else None,
                by=ENDINGS[outcome].by,
                events=self.events,
                sent_bytes=self.sent_bytes,
                first_event_s=self.first_event_s,
            )

    def excess_after_done(self) -> None:
        """More came behind ``done``: the client has all it needs, the log shall know."""
        if self.end is not None and self.end.outcome == StreamOutcome.DONE.value:
            outcome = StreamOutcome.EXCESS_AFTER_DONE
            self.end = replace(self.end, outcome=outcome.value, by=ENDINGS[outcome].by)
