"""One relayed answer as a state machine with no socket: what came in → what goes out, and the end.

What flows which way: the relay says that the core's head came (``opened``), hands in its bytes
(``feed``; what needs no parse is only counted: ``pass_plain``), its body's end
(``eof``) or its failure (``broke``), and asks what the clocks demand (``must_stop``, ``silence``).
Each of these gives a ``Step`` to carry out, or ``None``. A step's bytes always end on an event
boundary, and the one step with an ``outcome`` is the last: its bytes hold ``done`` or the terminal
``error`` event. When it has been carried out the relay says so (``ended``). ``MOVES`` says what may
follow what; anything else raises ``IllegalMove``.

Times are seconds of one monotonic clock, passed in. An event asks no clock: it leaves a mark, and
the relay's tick (``is_due``) turns the marks into times.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.domain.plain_events import Framing
from gateway.domain.sse import PING, EventSplitter, Fed, terminal_event
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

# How often a stream's clocks and its client are looked at, in seconds; a clock may be due sooner.
LOOK_S = 0.5


class StreamPhase(enum.Enum):
    """How far an answer is."""

    OPENING = "opening"  # the core was asked; its head is to come
    WAITING = "waiting"  # the head came; no event did
    RELAYING = "relaying"  # events pass
    FINISHING = "finishing"  # the client has all up to ``done``; the core may still end its body
    ENDED = "ended"


class Input(enum.Enum):
    """What moves an answer on."""

    HEAD = "head"
    BYTES = "bytes"
    FIRST_EVENT = "first event"
    DONE = "done"  # the outcome is one after which the core may end its body
    CUT = "cut"  # any other outcome
    EXCESS = "excess"  # bytes behind ``done``
    BODY_END = "body end"


_OPENING, _WAITING, _RELAYING = StreamPhase.OPENING, StreamPhase.WAITING, StreamPhase.RELAYING
_FINISHING, _ENDED = StreamPhase.FINISHING, StreamPhase.ENDED

MOVES: Mapping[StreamPhase, Mapping[Input, StreamPhase]] = {
    _OPENING: {Input.HEAD: _WAITING, Input.CUT: _ENDED},
    _WAITING: {Input.BYTES: _WAITING, Input.FIRST_EVENT: _RELAYING, Input.CUT: _ENDED},
    _RELAYING: {Input.BYTES: _RELAYING, Input.DONE: _FINISHING, Input.CUT: _ENDED},
    _FINISHING: {Input.EXCESS: _ENDED, Input.BODY_END: _ENDED},
    _ENDED: {},
}


class IllegalMove(Exception):
    """The driver said something that cannot happen in this phase: a fault of ours."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The clocks of a stream, in seconds, and the largest event, in bytes.

    ``first_event_s`` runs from the call and ``total_s`` too; ``idle_s`` is silence of the core
    while we listen, its comments break it; ``early_head_s`` runs from when the request went out;
    ``ping_s`` is silence towards the client. ``body_end_s`` is how long a core may take after its
    ``done`` to end the body, so that its connection can serve again: the client has all by then.
    """

    first_event_s: float
    idle_s: float
    total_s: float
    early_head_s: float
    ping_s: float
    event_limit_bytes: int
    body_end_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """Something to send to the client: bytes, and what ended the stream if it ended with them.

    ``error`` is the one that the terminal event in ``piece`` carries.
    """

    piece: bytes = b""
    outcome: StreamOutcome | None = None
    error: GatewayError | None = None


class Driver(Protocol):
    """Whose state it is. No bound methods: each open stream would have more objects."""

    def received(self, data: bytes) -> None:
        """Takes bytes without their framing."""

    def hold(self) -> None:
        """Makes the core wait."""


class StreamState:
    """What is known of one answer. ``expires_at`` is when its token ends, on the same clock.

    Attributes:
        phase: see ``MOVES``.
        end: how it went, ``None`` until ``ended`` was called.
        events: whole events that passed; ``sent_bytes``: all that was handed to the client.
        first_event_s: seconds from the call to the core's first event.
        is_plain: the next plain event may pass as it comes: at a boundary, after the first one.
        is_held: the client has no room, and the core was told to wait.
        usage_data: what the core's last ``usage`` event said, ``None`` while none came.
    """

    __slots__ = (
        "_core_spoke",
        "_last_core_at",
        "_last_sent_at",
        "_look_at",
        "_request_id",
        "_sent",
        "_total_at",
        "end",
        "error",
        "events",
        "expires_at",
        "first_event_s",
        "is_held",
        "is_plain",
        "limits",
        "phase",
        "sent_bytes",
        "splitter",
        "started",
        "stopped",
        "usage_data",
    )

    def __init__(
        self, limits: StreamLimits, request_id: str, *, now: float, expires_at: float
    ) -> None:
        self.limits = limits
        self.phase = _OPENING
        self.end: StreamEnd | None = None
        self.error: GatewayError | None = None
        self.stopped: GatewayError | None = None
        self.usage_data: bytes | None = None
        self.events = 0
        self.sent_bytes = 0
        self.is_plain = False
        self.is_held = False
        self.started = now
        self.expires_at = expires_at
        self.first_event_s: float | None = None
        self.splitter = EventSplitter(limits.event_limit_bytes)
        self._request_id = request_id
        self._total_at = now + limits.total_s
        # When the core last said something, when the client was last sent something, and whether
        # either happened since the last tick.
        self._last_core_at = self._last_sent_at = now
        self._core_spoke = self._sent = False
        self._look_at = 0.0

    def _move(self, what: Input) -> None:
        try:
            self.phase = MOVES[self.phase][what]
        except KeyError:
            raise IllegalMove(f"{what.value} while {self.phase.value}") from None

    # --- what came from the core ------------------------------------------------------------------

    def opened(self) -> None:
        """The core's head is in."""
        self._move(Input.HEAD)

    def feed(self, data: bytes, now: float) -> Step | None:
        if self.phase is not _RELAYING:
            # While events pass, bytes are legal and move nothing: the table need not be asked.
            self._move(Input.BYTES)
        fed = self.splitter.feed(data)
        self._account(fed, now)
        step = self._judged(fed)
        self.is_plain = self.phase is _RELAYING and self.splitter.at_boundary
        return step or (Step(fed.forward) if fed.forward else None)

    def eof(self, now: float) -> Step:
        """The core's body came to its proper end, which is no proper end of an answer."""
        fed = self.splitter.finish()
        self._account(fed, now)
        return self._judged(fed) or self._last(StreamOutcome.CORE_EOF, piece=fed.forward)

    def broke(self, error: GatewayError) -> Step:
        """The call or the transfer failed."""
        return self._last(broken_by(error), error)

    def internal(self) -> Step:
        """The gateway's own fault. The head is out: it must not end as if the answer were whole."""
        return self._last(StreamOutcome.INTERNAL)

    def pass_plain(self, data: bytes, now_s: Callable[[], float]) -> bytes | None:
        """What of ``data`` may go on without a parse, maybe nothing; ``None``: ``feed`` decides."""
        if self.end is not None:
            return None
        passed = self.splitter.pass_plain(data)
        if passed is None:
            return None
        piece, events = passed
        if piece:
            self.passed(events, now_s)
        self.is_plain = self.phase is _RELAYING and self.splitter.at_boundary
        return piece

    def replay(self, data: bytes, events: int, now: float) -> Step:
        """A whole answer, ``done`` and all, that was taken apart when it came the first time."""
        self._first_event(now)
        self.events += events
        return self._last(StreamOutcome.DONE, piece=data)

    def passed(self, events: int, now_s: Callable[[], float]) -> None:
        """Counts what passed without a parse; only the first event asks the clock."""
        if events and self.first_event_s is None:
            self._first_event(now_s())
        self.events += events
        self._core_spoke = True

    def framed_taker(
        self,
        parse: Callable[[bytes], None],
        framing: Framing,
        send_framed: Callable[[bytes], bool],
        driver: Driver,
    ) -> Callable[[bytes], None]:
        """The short way: sends a frame of plain events on as it came, and counts them.

        It is one Python frame for each read. Other reads of whole frames lose their framing here
        and go to ``driver``; what is left, the end among it, is for ``parse``.
        """
        plain, unframed = framing
        limit_bytes = self.limits.event_limit_bytes

        def take(data: bytes) -> None:
            size, events = plain(data)
            if 0 < size <= limit_bytes and self.is_plain:
                self.events += events
                self.sent_bytes += size
                self._core_spoke = True
                if not send_framed(data):
                    driver.hold()
            elif body := unframed(data):
                driver.received(body)
            else:
                parse(data)

        return take

    def _judged(self, fed: Fed) -> Step | None:
        match fed.verdict:
            case "done":
                excess = StreamOutcome.EXCESS_AFTER_DONE
                return self._last(excess if fed.excess else StreamOutcome.DONE, piece=fed.forward)
            case "error":
                error = replace_core_error(fed.error_data)
                return self._last(StreamOutcome.CORE_ERROR, error, fed.forward)
            case "oversize":
                return self._last(StreamOutcome.OVERSIZE, piece=fed.forward)
        return None

    def _account(self, fed: Fed, now: float) -> None:
        self.events += len(fed.types)
        if fed.usage_data is not None:
            self.usage_data = fed.usage_data
        if fed.alive:
            self._last_core_at = now
        if fed.types and self.first_event_s is None:
            self._first_event(now)

    def _first_event(self, now: float) -> None:
        self._move(Input.FIRST_EVENT)
        self.first_event_s = now - self.started

    def _last(
        self, outcome: StreamOutcome, given: GatewayError | None = None, piece: bytes = b""
    ) -> Step:
        error = terminal_error(outcome, given)
        if error is not None:
            piece += terminal_event(error, self._request_id)
        return Step(piece, outcome, error)

    # --- what the clocks and others demand --------------------------------------------------------

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
        return Step(PING) if now >= self._last_sent_at + self.limits.ping_s else None

    def sent(self, size_bytes: int) -> None:
        """The client was handed bytes of ours or of the core's."""
        self.sent_bytes += size_bytes
        self._sent = True

    def is_due(self, now: float) -> bool:
        """To be called every tick; whether the clocks and the client are to be asked.

        Gives what happened since the last tick this tick's time. While the client is held the core
        waits for us: its silence is ours, and the client's own clock runs instead.
        """
        if self._core_spoke or self.is_held:
            # What the core said went on to the client at once.
            self._last_core_at = self._last_sent_at = now
            self._core_spoke = self._sent = False
        elif self._sent:
            self._last_sent_at = now
            self._sent = False
        if now < self._look_at and self.stopped is None:
            return False
        self._look_at = min(now + LOOK_S, self._next_due())
        return True

    def _next_due(self) -> float:
        """When a clock strikes next if nothing happens."""
        ends_at, _ = self._silence_clock()
        return min(
            ends_at, self._last_sent_at + self.limits.ping_s, self._total_at, self.expires_at
        )

    def _silence_clock(self) -> tuple[float, StreamOutcome]:
        if self.first_event_s is None:
            return self.started + self.limits.first_event_s, StreamOutcome.NO_FIRST_EVENT
        return self._last_core_at + self.limits.idle_s, StreamOutcome.SILENT

    # --- how it went ------------------------------------------------------------------------------

    def ended(self, outcome: StreamOutcome, error: GatewayError | None = None) -> None:
        """Writes down how it went; the first outcome stands."""
        if self.end is not None:
            return
        self._move(Input.DONE if ENDINGS[outcome].core == "reuse" else Input.CUT)
        self.is_plain = False
        self.error = error
        self.end = StreamEnd(
            outcome=outcome.value,
            code=error.code if error is not None else None,
            by=ENDINGS[outcome].by,
            events=self.events,
            sent_bytes=self.sent_bytes,
            first_event_s=self.first_event_s,
        )

    def feed_after_end(self, data: bytes) -> None:
        """More came behind the end: nobody gets it.

        Behind ``done`` it shows that the core has not understood where an answer ends. The client
        has all it needs, the log shall know, and the connection is not to be used again.
        """
        if self.splitter.feed(data).excess and self.phase is _FINISHING:
            self._move(Input.EXCESS)
            assert self.end is not None
            outcome = StreamOutcome.EXCESS_AFTER_DONE
            self.end = replace(self.end, outcome=outcome.value, by=ENDINGS[outcome].by)

    def body_ended(self) -> None:
        """The core's body ended behind ``done``: its connection can serve another request."""
        if self.phase is _FINISHING:
            self._move(Input.BODY_END)
