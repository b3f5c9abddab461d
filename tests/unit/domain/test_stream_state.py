"""The state machine of a relayed answer: every move it may make, every one it may not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from gateway.domain.plain_events import Framing
from gateway.domain.sse import PING
from gateway.domain.stream import ENDINGS, StreamOutcome
from gateway.domain.stream_state import (
    MOVES,
    IllegalMove,
    Input,
    StreamLimits,
    StreamPhase,
    StreamState,
)
from gateway.errors import CoreUnavailable, Draining, Forbidden

TOKEN = b"event: token\ndata: {}\n\n"
DONE = b"event: done\ndata: {}\n\n"
LIMITS = StreamLimits(
    first_event_s=30, idle_s=60, total_s=900, early_head_s=1, ping_s=15, event_limit_bytes=100
)
OUTCOMES = tuple(StreamOutcome)


def fresh() -> StreamState:
    return StreamState(LIMITS, "req-1", now=0.0, expires_at=1e6)


def waiting() -> StreamState:
    state = fresh()
    state.opened()
    return state


def relaying() -> StreamState:
    state = waiting()
    assert state.feed(TOKEN, 1.0) is not None
    return state


def finishing() -> StreamState:
    state = relaying()
    state.feed(DONE, 2.0)
    state.ended(StreamOutcome.DONE)
    return state


def over() -> StreamState:
    state = relaying()
    state.ended(StreamOutcome.CORE_EOF)
    return state


PHASES: Mapping[StreamPhase, Callable[[], StreamState]] = {
    StreamPhase.OPENING: fresh,
    StreamPhase.WAITING: waiting,
    StreamPhase.RELAYING: relaying,
    StreamPhase.FINISHING: finishing,
    StreamPhase.ENDED: over,
}
# What the relay says to bring each input about. An outcome is said once: the first one stands.
SAYS: Mapping[Input, Callable[[StreamState], object]] = {
    Input.HEAD: StreamState.opened,
    Input.BYTES: lambda state: state.feed(b": ping\n\n", 3.0),
    Input.FIRST_EVENT: lambda state: state.passed(1, lambda: 3.0),
    Input.DONE: lambda state: state.ended(StreamOutcome.DONE),
    Input.CUT: lambda state: state.ended(StreamOutcome.CLIENT_LEFT),
    Input.EXCESS: lambda state: state.feed_after_end(TOKEN),
    Input.BODY_END: StreamState.body_ended,
}
ROWS = tuple(itertools.product(StreamPhase, Input))
# What is no fault though it moves nothing. More events are counted; a second outcome, bytes behind
# the end and the body's end are no news: the client leaves, and the core speaks, when it likes.
NO_NEWS = {
    (StreamPhase.RELAYING, Input.FIRST_EVENT),
    *itertools.product((StreamPhase.FINISHING, StreamPhase.ENDED), (Input.DONE, Input.CUT)),
    *itertools.product(set(StreamPhase) - {StreamPhase.FINISHING}, (Input.EXCESS, Input.BODY_END)),
}


@pytest.mark.parametrize("phase", StreamPhase)
def test_every_phase_is_reached(phase: StreamPhase) -> None:
    """And the table says what each may be followed by."""
    assert PHASES[phase]().phase is phase
    assert phase in MOVES


@pytest.mark.parametrize(
    ("phase", "what"), ROWS, ids=[f"{phase.value}, {what.value}" for phase, what in ROWS]
)
def test_an_input_moves_as_the_table_says_or_is_illegal(phase: StreamPhase, what: Input) -> None:
    """Each cell of the table: a move, nothing new, or a fault of ours that is raised."""
    state = PHASES[phase]()
    if what is Input.FIRST_EVENT and phase in (StreamPhase.FINISHING, StreamPhase.ENDED):
        # No event is the first one there any more; the relay hands none in after the end.
        state.first_event_s = None
    wanted = MOVES[phase].get(what)
    if wanted is not None:
        SAYS[what](state)
        assert state.phase is wanted
    elif (phase, what) in NO_NEWS:
        end = state.end
        SAYS[what](state)
        assert state.phase is phase
        assert state.end == end
    else:
        with pytest.raises(IllegalMove, match=f"{what.value} while {phase.value}"):
            SAYS[what](state)
        assert state.phase is phase


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_ends_it_as_its_row_says(outcome: StreamOutcome) -> None:
    """Only an answer whose connection may serve again waits for the body's end."""
    state = relaying()
    state.ended(outcome)
    reused = ENDINGS[outcome].core == "reuse"
    assert state.phase is (StreamPhase.FINISHING if reused else StreamPhase.ENDED)
    assert state.end is not None
    assert (state.end.outcome, state.end.events) == (outcome.value, 1)
    assert not state.is_plain


@pytest.mark.parametrize(
    ("says", "outcome"),
    [(lambda state: state.feed(DONE, 2.0), StreamOutcome.DONE),
     (lambda state: state.feed(DONE + TOKEN, 2.0), StreamOutcome.EXCESS_AFTER_DONE),
     (lambda state: state.feed(b"event: error\ndata: {}\n\n", 2.0), StreamOutcome.CORE_ERROR),
     (lambda state: state.feed(b"data: " + b"x" * 200, 2.0), StreamOutcome.OVERSIZE),
     (lambda state: state.eof(2.0), StreamOutcome.CORE_EOF),
     (lambda state: state.broke(CoreUnavailable()), StreamOutcome.CORE_FAILED),
     (lambda state: state.internal(), StreamOutcome.INTERNAL)],
)  # fmt: skip
def test_what_comes_decides_the_last_step(
    says: Callable[[StreamState], object], outcome: StreamOutcome
) -> None:
    """Its bytes hold ``done`` or the terminal ``error`` event, never both."""
    step = says(relaying())
    assert getattr(step, "outcome") is outcome  # noqa: B009  (a step by what it must have)
    piece = getattr(step, "piece")  # noqa: B009
    ends = [piece.count(b"event: done\n"), piece.count(b"event: error\n")]
    assert ends == [int(ENDINGS[outcome].error is None), int(ENDINGS[outcome].error is not None)]


def test_excess_behind_done_is_written_down_and_ends_the_wait() -> None:
    """Empty lines are no excess; the client has all it needs in any case."""
    state = finishing()
    state.feed_after_end(b"\n")
    assert state.phase is StreamPhase.FINISHING
    state.feed_after_end(TOKEN)
    assert state.end is not None
    assert (state.end.outcome, state.end.by) == ("excess_after_done", "core")
    assert state.phase is StreamPhase.ENDED


# --- the clocks -----------------------------------------------------------------------------------


def test_the_first_stop_stands_and_comes_before_the_clocks() -> None:
    """However busy the stream is."""
    state = relaying()
    assert state.must_stop(899.0) is None
    state.stop(Draining())
    state.stop(Forbidden())
    step = state.must_stop(1e7)
    assert step is not None
    assert step.outcome is StreamOutcome.DRAINING


def test_the_longest_duration_and_the_tokens_end() -> None:
    """Whichever is first."""
    assert relaying().must_stop(900.0).outcome is StreamOutcome.TOO_LONG  # type: ignore[union-attr]
    state = StreamState(LIMITS, "req-1", now=0.0, expires_at=100.0)
    assert state.must_stop(99.9) is None
    assert state.must_stop(100.0).outcome is StreamOutcome.TOKEN_EXPIRED  # type: ignore[union-attr]


@pytest.mark.parametrize("before", [fresh, waiting])
def test_until_an_event_came_the_first_events_clock_runs(before: Callable[[], StreamState]) -> None:
    """From the call, whatever else came."""
    state = before()
    state.sent(1)
    state.is_due(29.0)
    assert state.silence(29.9) is None
    step = state.silence(30.0)
    assert step is not None
    assert step.outcome is StreamOutcome.NO_FIRST_EVENT


def test_silence_runs_from_the_cores_last_sign_of_life() -> None:
    """An event at 1 s, half of one at 40 s: the core is silent since 1 s."""
    state = relaying()
    state.feed(TOKEN[:5], 40.0)
    step = state.silence(61.0)
    assert step is not None
    assert step.outcome is StreamOutcome.SILENT


def test_what_the_short_way_passed_is_booked_at_the_tick() -> None:
    """It asks no clock: its time is that of the next tick."""
    state = relaying()
    state.passed(1, lambda: pytest.fail("only the first event asks the clock"))
    state.is_due(50.0)
    assert state.silence(64.9) is None
    assert state.silence(65.0).piece == PING  # type: ignore[union-attr]
    assert state.silence(110.0).outcome is StreamOutcome.SILENT  # type: ignore[union-attr]


def test_a_ping_is_something_sent_and_nothing_from_the_core() -> None:
    """So pings go on while the core's silence does."""
    state = relaying()
    state.sent(len(PING))
    state.is_due(20.0)
    assert state.silence(34.9) is None
    assert state.silence(35.0).piece == PING  # type: ignore[union-attr]
    assert state.silence(61.0).outcome is StreamOutcome.SILENT  # type: ignore[union-attr]


def test_no_silence_is_counted_while_the_client_is_held() -> None:
    """The core was told to wait, so it does."""
    state = relaying()
    state.is_held = True
    state.is_due(500.0)
    assert state.silence(514.0) is None


def test_it_is_due_twice_a_second_at_a_clock_and_at_a_stop() -> None:
    """In between a tick costs next to nothing."""
    state = relaying()
    assert state.is_due(10.0)
    assert not state.is_due(10.4)
    assert state.is_due(10.5)
    state.stop(Draining())
    assert state.is_due(10.6)


@pytest.mark.parametrize(
    "clock",
    [{"idle_s": 30.2}, {"ping_s": 30.2}, {"total_s": 31.2}, {"first_event_s": 31.2}, {}],
    ids=["idle", "ping", "total", "first event", "token"],
)
def test_it_is_due_when_its_next_clock_strikes(clock: dict[str, float]) -> None:
    """However lately it was looked at: no clock is late by half a second."""
    limits = {"idle_s": 900.0, "ping_s": 900.0, "total_s": 900.0, "first_event_s": 900.0, **clock}
    expires_at = 1e6 if clock else 130.2
    state = StreamState(replace(LIMITS, **limits), "req-1", now=99.0, expires_at=expires_at)
    state.opened()
    if "first_event_s" not in clock:
        state.feed(TOKEN, 100.0)
    # What a tick is told of what was sent since the last one.
    state.sent(1)
    assert state.is_due(100.0)
    assert state.is_due(130.0)
    assert not state.is_due(130.1)
    assert state.is_due(130.21)
    assert state.must_stop(130.21) or state.silence(130.21)


# --- the short way --------------------------------------------------------------------------------


class Taken:
    """Both ends of the short way: what was parsed, sent, unframed and held."""

    def __init__(self, state: StreamState, room: bool = True) -> None:
        self.parsed: list[bytes] = []
        self.sent: list[bytes] = []
        self.unframed: list[bytes] = []
        self.held = 0
        self._room = room
        # Frames are what stands in brackets here: which framing it is, is the transfer's business.
        framing = Framing(self._plain, self._unframed)
        self.take = state.framed_taker(self.parsed.append, framing, self._send, self)

    def _plain(self, data: bytes) -> tuple[int, int]:
        body = data[1:-1]
        plain = data == b"(" + body + b")" and body.endswith(b"\n\n") and b")" not in body
        return (len(body), body.count(b"\n\n")) if plain else (0, 0)

    def _unframed(self, data: bytes) -> bytes:
        return data[1:-1].replace(b")(", b"") if data[:1] + data[-1:] == b"()" else b""

    def _send(self, data: bytes) -> bool:
        self.sent.append(data)
        return self._room

    def received(self, data: bytes) -> None:
        self.unframed.append(data)

    def hold(self) -> None:
        self.held += 1


@pytest.mark.parametrize("events", [1, 3])
def test_plain_events_pass_with_their_framing_and_are_counted(events: int) -> None:
    """The bytes counted are the events', not the framing's."""
    state = relaying()
    taken = Taken(state)
    taken.take(b"(" + TOKEN * events + b")")
    assert taken.sent == [b"(" + TOKEN * events + b")"]
    assert (state.events, state.sent_bytes) == (1 + events, len(TOKEN) * events)
    assert (taken.parsed, taken.held) == ([], 0)


@pytest.mark.parametrize("more", [0, 1])
def test_an_event_passes_unparsed_up_to_the_limit_and_no_further(more: int) -> None:
    """Whoever parses it ends the stream as oversized."""
    taken = Taken(relaying())
    event = b"data: " + b"x" * (LIMITS.event_limit_bytes - 8 + more) + b"\n\n"
    taken.take(b"(" + event + b")")
    wanted = ([b"(" + event + b")"], []) if more == 0 else ([], [event])
    assert (taken.sent, taken.unframed) == wanted


@pytest.mark.parametrize("before", [waiting, finishing, over])
def test_nothing_passes_unparsed_before_the_first_event_or_after_the_end(
    before: Callable[[], StreamState],
) -> None:
    """The first event has its time noted; what follows the end goes to nobody."""
    taken = Taken(before())
    taken.take(b"(" + TOKEN + b")")
    assert (taken.unframed, taken.sent) == ([TOKEN], [])


def test_whole_frames_lose_their_framing_and_half_ones_are_parsed() -> None:
    """An event in two frames is one event; where a frame is cut, the transfer's parser knows."""
    taken = Taken(relaying())
    taken.take(b"(" + TOKEN[:5] + b")(" + TOKEN[5:] + b")")
    taken.take(b"(" + TOKEN)
    assert (taken.unframed, taken.parsed, taken.sent) == ([TOKEN], [b"(" + TOKEN], [])


def test_an_event_that_is_begun_is_held_and_no_sign_of_life() -> None:
    """Else a core that never ends an event would keep its stream for ever."""
    state = relaying()
    assert state.pass_plain(TOKEN + TOKEN[:9], lambda: 2.0) == TOKEN
    assert not state.is_plain
    state.is_due(20.0)
    assert state.pass_plain(TOKEN[9:12], lambda: 50.0) == b""
    state.is_due(50.0)
    assert state.silence(80.0).outcome is StreamOutcome.SILENT  # type: ignore[union-attr]
    assert state.pass_plain(TOKEN[12:], lambda: 50.0) == TOKEN
    assert (state.events, state.is_plain) == (3, True)


def test_comments_that_pass_are_a_sign_of_life_and_no_event() -> None:
    """Before the first event, too: its clock goes on."""
    state = waiting()
    assert state.feed(PING, 1.0) is not None
    assert state.pass_plain(PING, lambda: pytest.fail("no event came")) == PING
    assert (state.events, state.first_event_s, state.is_plain) == (0, None, False)
    state = relaying()
    assert state.pass_plain(PING, lambda: pytest.fail("it is not the first")) == PING
    state.is_due(50.0)
    assert state.silence(109.0).outcome is None  # type: ignore[union-attr]
    assert (state.events, state.is_plain) == (1, True)


def test_nothing_passes_unparsed_inside_an_event() -> None:
    """A plain event behind half of another is part of that one."""
    state = relaying()
    state.feed(TOKEN[:5], 2.0)
    assert not state.is_plain
    state.feed(TOKEN[5:], 3.0)
    assert state.is_plain


def test_a_client_without_room_is_held() -> None:
    """What it was sent is counted all the same."""
    state = relaying()
    taken = Taken(state, room=False)
    taken.take(b"(" + TOKEN + b")")
    assert (taken.held, state.events) == (1, 2)
