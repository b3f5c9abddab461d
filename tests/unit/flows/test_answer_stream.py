"""A query relayed to a client, over a scripted core and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.sse import CONNECTED, PING, SseParser
from gateway.domain.stream import CoreReset
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreTruncated,
    CoreUnavailable,
    Draining,
    Forbidden,
    GatewayError,
    Overloaded,
    TokenExpired,
)
from gateway.flows.answer_stream import Answer, Query
from gateway.flows.relay import ClientStalled, Relay
from gateway.flows.ticker import Ticker

from .scripted_core import WHO, Said, ScriptedCore, TakingClient, far_limits

TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
DONE = b'event: done\ndata: {"finish_reason":"stop"}\n\n'
KNOWN = b'event: error\ndata: {"error":{"code":"OVERLOADED","message":"secret"}}\n\n'
UNKNOWN = b'event: error\ndata: {"error":{"code":"OOM","message":"secret"}}\n\n'


class MovedTime:
    """The running loop's clock, and the wall clock, moved by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real, self._ahead_s = loop.time, 0.0
        loop.time = lambda: self._real() + self._ahead_s  # type: ignore[method-assign]

    def time(self) -> float:
        return 1_800_000_000.0 + self._ahead_s

    def monotonic(self) -> float:
        return self.time()

    async def advance(self, seconds: float) -> None:
        """Lets everything settle, moves on, and lets everything settle again."""
        await settle()
        self._ahead_s += seconds
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def clock() -> MovedTime:
    return MovedTime(asyncio.get_running_loop())


def ask(
    core: ScriptedCore, clock: MovedTime, expires_in_s: float | None = None, **limits: Any
) -> Answer:
    query = Query(core.as_port(), clock, far_limits(**limits))
    expires_at = None if expires_in_s is None else clock.time() + expires_in_s
    return query.open(WHO, {"query": "why?"}, token_expires_at=expires_at)


async def relayed(answer: Answer, client: TakingClient) -> None:
    """What a client's handler does: enters the answer, greets, and relays it with busy clocks."""
    async with answer:
        client.got.append(CONNECTED)
        answer.state.sent(len(CONNECTED))
        await Relay(answer, client, Ticker(interval_s=0)).run()


async def read(answer: Answer) -> list[bytes]:
    client = TakingClient()
    await relayed(answer, client)
    return client.got


class Reading(TakingClient):
    """A client that takes all it gets, beside the test."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.task = asyncio.ensure_future(relayed(answer, self))

    async def ended(self) -> tuple[str, str | None]:
        """The log's word and the terminal code, once the stream has ended."""
        await asyncio.wait_for(self.task, 30)
        assert self.answer.end is not None
        return self.answer.end.outcome, self.answer.end.code


def terminal_codes(data: bytes) -> list[str]:
    """What a client sees as endings: ``done``, or the error's code."""
    events = SseParser().feed(data)
    return [
        "done" if one.type == "done" else str(one.data.split('"code":"')[1].split('"')[0])
        for one in events
        if one.type in ("done", "error")
    ]


async def test_a_whole_answer_passes_byte_for_byte(clock: MovedTime) -> None:
    """A comment first, the core's bytes, and the end is theirs."""
    core = ScriptedCore(TOKEN, TOKEN + DONE, None)
    answer = ask(core, clock)
    pieces = await read(answer)
    assert pieces == [CONNECTED, TOKEN, TOKEN + DONE]
    end = answer.end
    assert end is not None
    assert (end.outcome, end.code, end.by, end.events) == ("done", None, "nobody", 3)
    assert end.sent_bytes == len(b"".join(pieces))
    assert end.first_event_s is not None
    assert core.asked == [(WHO, {"query": "why?"})]


ENDS: list[tuple[str, Sequence[Said], str, str]] = [
    ("known error", [TOKEN, KNOWN], "OVERLOADED", "core_error"),
    ("unknown error", [TOKEN + UNKNOWN + TOKEN], "CORE_PROTOCOL_ERROR", "core_error"),
    ("eof", [TOKEN, None], "CORE_TRUNCATED", "core_eof"),
    ("eof at once", [None], "CORE_TRUNCATED", "core_eof"),
    ("half event", [TOKEN + DONE[:-1], None], "CORE_TRUNCATED", "core_eof"),
    ("cut", [TOKEN, DONE[:-1], CoreTruncated()], "CORE_TRUNCATED", "core_truncated"),
    ("reset", [TOKEN, CoreReset()], "CORE_TRUNCATED", "core_reset"),
    ("oversize", [TOKEN + b"data: " + b"x" * 200], "EVENT_TOO_LARGE", "event_too_large"),
    ("a bug of ours", [TOKEN, RuntimeError("secret")], "INTERNAL", "internal"),
    ("done", [TOKEN, DONE, None], "done", "done"),
    ("done and a reset", [TOKEN, DONE, CoreReset()], "done", "done"),
    ("done and a line", [TOKEN, DONE + b"\n", b"\n", None], "done", "done"),
    ("done and more", [TOKEN, DONE + TOKEN], "done", "excess_after_done"),
    ("done, then more", [TOKEN, DONE, TOKEN], "done", "excess_after_done"),
    ("done and an error", [TOKEN, DONE + KNOWN], "done", "excess_after_done"),
]


@pytest.mark.parametrize(
    ("said", "code", "word"), [row[1:] for row in ENDS], ids=[r[0] for r in ENDS]
)
async def test_each_ending_is_sent_once_and_on_a_boundary(
    clock: MovedTime, said: Sequence[Said], code: str, word: str
) -> None:
    """Exactly one of ``done`` and ``error``; upstream text never leaves."""
    core = ScriptedCore(*said)
    answer = ask(core, clock, event_limit_bytes=100)
    data = b"".join(await read(answer))
    assert terminal_codes(data) == [code]
    assert b"secret" not in data
    if code != "done":
        assert b'"request_id":"req-1"' in data
        assert answer.error is not None
    assert answer.end is not None
    assert (answer.end.outcome, answer.end.code) == (word, None if code == "done" else code)
    assert answer.end.events == data.count(TOKEN) + data.count(DONE)
    assert core.stream.closed == 1


@given(st.sampled_from(ENDS), st.lists(st.integers(1, 400), max_size=8))
def test_every_split_ends_the_same(
    row: tuple[str, Sequence[Said], str, str], cuts: list[int]
) -> None:
    """Where the core's writes are cut changes nothing a client reads."""
    _, said, code, _ = row

    async def run() -> None:
        whole = b"".join(item for item in said if isinstance(item, bytes))
        marks = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
        parts = [whole[a:b] for a, b in itertools.pairwise(marks)]
        rest = [item for item in said if not isinstance(item, bytes)] or [None]
        clock = MovedTime(asyncio.get_running_loop())
        answer = ask(ScriptedCore(*parts, *rest), clock, event_limit_bytes=100)
        data = b"".join(await read(answer))
        assert terminal_codes(data) == [code]
        assert data.startswith(CONNECTED)

    asyncio.run(run())


async def test_no_event_in_time_ends_the_stream(clock: MovedTime) -> None:
    """Comments are signs of life and no events."""
    core = ScriptedCore(b": thinking\n\n")
    client = Reading(ask(core, clock, first_event_s=30))
    await clock.advance(29)
    core.say(b": still thinking\n\n")
    await settle()
    assert not client.task.done()
    await clock.advance(1.1)
    assert await client.ended() == ("first_event_timeout", "FIRST_EVENT_TIMEOUT")


async def test_comments_are_no_events_however_fast_they_come(clock: MovedTime) -> None:
    """A core that never pauses does not keep the clock from striking."""
    core = ScriptedCore(*[b": beat\n\n"] * 100_000)
    client = Reading(ask(core, clock, first_event_s=30))
    await clock.advance(31)
    assert await client.ended() == ("first_event_timeout", "FIRST_EVENT_TIMEOUT")


async def test_silence_between_events_ends_the_stream(clock: MovedTime) -> None:
    """Events and comments break it, half an event does not."""
    core = ScriptedCore(TOKEN)
    client = Reading(ask(core, clock, idle_s=60))
    for sign in (TOKEN, b": beat\n\n", b":\n"):
        await clock.advance(59)
        core.say(sign)
    await clock.advance(59)
    assert not client.task.done()
    core.say(b"\n\n", TOKEN[:10])
    await clock.advance(1.1)
    assert await client.ended() == ("idle_timeout", "STREAM_IDLE_TIMEOUT")


async def test_a_comment_inside_an_event_is_a_sign_of_life_too(clock: MovedTime) -> None:
    """It is held with the event it stands in, and a sign of life all the same."""
    core = ScriptedCore(TOKEN)
    client = Reading(ask(core, clock, idle_s=60))
    for _ in range(3):
        await clock.advance(59)
        core.say(b"data: half\n: beat\n")
    await clock.advance(59)
    assert client.got == [CONNECTED, TOKEN]
    await clock.advance(1.1)
    assert await client.ended() == ("idle_timeout", "STREAM_IDLE_TIMEOUT")


async def test_a_stream_has_a_longest_duration_however_busy(clock: MovedTime) -> None:
    """The total clock strikes between two events."""
    core = ScriptedCore(*[TOKEN] * 1000)
    client = Reading(ask(core, clock, total_s=900))
    await clock.advance(901)
    assert await client.ended() == ("max_duration", "STREAM_MAX_DURATION")


async def test_silence_towards_the_client_is_broken_by_pings(clock: MovedTime) -> None:
    """Every ``ping_s`` of it; pings are not the core's, so its silence goes on."""
    core = ScriptedCore(TOKEN)
    client = Reading(ask(core, clock, ping_s=15, idle_s=60))
    for _ in range(3):
        await clock.advance(15.1)
    assert client.got == [CONNECTED, TOKEN, PING, PING, PING]
    core.say(TOKEN[:7])
    await clock.advance(15.1)
    assert await client.ended() == ("idle_timeout", "STREAM_IDLE_TIMEOUT")


async def test_a_ping_loses_no_byte_of_a_read_under_way(clock: MovedTime) -> None:
    """The pending read goes on while others get things."""
    core = ScriptedCore(TOKEN[:9])
    client = Reading(ask(core, clock, ping_s=15))
    await clock.advance(15.1)
    core.say(TOKEN[9:], DONE, None)
    assert await client.ended() == ("done", None)
    assert client.got == [CONNECTED, PING, TOKEN, DONE]


async def test_a_slow_client_does_not_make_the_core_look_silent(clock: MovedTime) -> None:
    """Silence is counted while we listen."""
    core = ScriptedCore()
    client = Reading(ask(core, clock, idle_s=60))
    client.full = True
    core.say(TOKEN)
    await settle()
    assert client.got == [CONNECTED, TOKEN]
    assert core.stream.paused
    await clock.advance(500)
    assert not client.task.done()
    client.full = False
    client.room.pop()()
    core.say(DONE, None)
    assert await client.ended() == ("done", None)


async def test_nothing_is_read_ahead_of_the_client(clock: MovedTime) -> None:
    """A client that is full stops the core, piece by piece: there is no queue of our own."""
    core = ScriptedCore(*[TOKEN] * 100)
    client = Reading(ask(core, clock))
    client.full = True
    for n in range(1, 6):
        await settle()
        assert core.stream.pushed == n
        assert len(client.got) == 1 + n
        client.room.pop()()
    client.task.cancel()
    await asyncio.wait([client.task])


# --- the first second -------------------------------------------------------------------


async def test_a_failure_before_the_head_is_raised_as_it_is(clock: MovedTime) -> None:
    """It has its true HTTP status: nothing went out yet."""
    core = ScriptedCore()
    core.refusal = CoreUnavailable()
    with pytest.raises(CoreUnavailable):
        await read(ask(core, clock))


async def test_the_head_goes_out_early_once_the_request_was_sent(clock: MovedTime) -> None:
    """One second after the connection stands, not after the call; then the stream goes on."""
    core = ScriptedCore(TOKEN, DONE, None)
    core.opens.clear()
    client = Reading(ask(core, clock, early_head_s=1))
    await clock.advance(5)
    assert client.got == []
    assert core.on_sent is not None
    core.on_sent()
    await clock.advance(0.9)
    assert client.got == []
    await clock.advance(0.2)
    assert client.got == [CONNECTED]
    core.opens.set()
    assert await client.ended() == ("done", None)
    assert client.got == [CONNECTED, TOKEN, DONE]


async def test_a_failure_after_an_early_head_is_the_terminal_event(clock: MovedTime) -> None:
    """The same code, as the last event."""
    core = ScriptedCore()
    core.opens.clear()
    core.refusal = CoreProtocolError()
    client = Reading(ask(core, clock, early_head_s=1))
    await settle()
    assert core.on_sent is not None
    core.on_sent()
    await clock.advance(1.1)
    core.opens.set()
    assert await client.ended() == ("core_failed", "CORE_PROTOCOL_ERROR")


async def test_no_head_in_time_is_a_gateway_timeout(clock: MovedTime) -> None:
    """Without a connection there is no early head: the status is a plain 504."""
    core = ScriptedCore()
    core.opens.clear()
    client = Reading(ask(core, clock, first_event_s=30))
    await clock.advance(30.1)
    with pytest.raises(CoreTimeout):
        await client.task
    assert core.cancelled


async def test_no_head_after_an_early_one_is_a_first_event_timeout(clock: MovedTime) -> None:
    """The clock runs on from the call; the pending call is given up."""
    core = ScriptedCore()
    core.opens.clear()
    client = Reading(ask(core, clock, first_event_s=30, early_head_s=1))
    await settle()
    assert core.on_sent is not None
    core.on_sent()
    await clock.advance(1.1)
    await clock.advance(29)
    assert await client.ended() == ("first_event_timeout", "FIRST_EVENT_TIMEOUT")
    assert core.cancelled


# --- stopped from outside ---------------------------------------------------------------


async def test_a_running_stream_ends_when_its_token_does(clock: MovedTime) -> None:
    """At ``exp``, on a boundary."""
    core = ScriptedCore(TOKEN, TOKEN[:5])
    client = Reading(ask(core, clock, expires_in_s=100))
    await clock.advance(99)
    assert client.got == [CONNECTED, TOKEN]
    await clock.advance(1.1)
    assert await client.ended() == ("token_expired", "TOKEN_EXPIRED")


async def test_a_token_that_ends_before_the_head_is_a_401(clock: MovedTime) -> None:
    """Nothing went out yet."""
    core = ScriptedCore()
    core.opens.clear()
    client = Reading(ask(core, clock, expires_in_s=10))
    await clock.advance(10.1)
    with pytest.raises(TokenExpired):
        await client.task


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Draining(), "draining"),
        (TokenExpired(), "token_expired"),
        (Forbidden(), "permission_withdrawn"),
        (Overloaded(), "stopped"),
    ],
)
async def test_a_stop_ends_the_stream_with_its_error(
    clock: MovedTime, error: GatewayError, word: str
) -> None:
    """At the next boundary, which is at once; the first reason stands."""
    core = ScriptedCore(TOKEN, TOKEN[:5])
    client = Reading(ask(core, clock))
    await settle()
    client.answer.stop(error)
    client.answer.stop(CoreTimeout())
    assert await client.ended() == (word, error.code)
    assert terminal_codes(b"".join(client.got)) == [error.code]


async def test_a_stop_before_the_head_is_raised(clock: MovedTime) -> None:
    """A drain answers 503 to whom nothing was sent."""
    core = ScriptedCore()
    core.opens.clear()
    client = Reading(ask(core, clock))
    await settle()
    client.answer.stop(Draining())
    with pytest.raises(Draining):
        await client.task


async def test_a_stop_after_done_changes_nothing(clock: MovedTime) -> None:
    """A whole answer stays one."""
    core = ScriptedCore(DONE)
    client = Reading(ask(core, clock, body_end_s=5))
    await settle()
    client.answer.stop(Draining())
    await clock.advance(5.1)
    assert await client.ended() == ("done", None)
    assert terminal_codes(b"".join(client.got)) == ["done"]


# --- leaving ----------------------------------------------------------------------------


async def test_leaving_early_closes_the_core_at_once(clock: MovedTime) -> None:
    """A handler that breaks off, for whatever reason."""
    core = ScriptedCore(TOKEN)
    async with ask(core, clock) as answer:
        pass
    assert core.stream.closed == 1
    assert answer.end is not None
    assert (answer.end.outcome, answer.end.code) == ("client_left", None)


async def test_a_client_that_leaves_while_we_wait_closes_the_core(clock: MovedTime) -> None:
    """Cancellation is how a departure reaches us; no task stays behind."""
    core = ScriptedCore(TOKEN)
    before = asyncio.all_tasks()
    client = Reading(ask(core, clock))
    await settle()
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert core.stream.closed == 1
    assert asyncio.all_tasks() == before
    assert client.answer.end is not None
    assert client.answer.end.outcome == "client_left"


async def test_a_client_that_leaves_while_the_core_is_called_ends_the_call(
    clock: MovedTime,
) -> None:
    """An opening under way is given up."""
    core = ScriptedCore()
    core.opens.clear()
    before = asyncio.all_tasks()
    client = Reading(ask(core, clock))
    await settle()
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert core.cancelled
    assert asyncio.all_tasks() == before


async def test_leaving_at_any_moment_closes_what_was_opened(clock: MovedTime) -> None:
    """Step by step through a stream's life: what was opened is closed, exactly then."""
    for steps in range(40):
        core = ScriptedCore(TOKEN, TOKEN, DONE, None)
        client = Reading(ask(core, clock))
        for _ in range(steps):
            await asyncio.sleep(0)
        client.task.cancel()
        await asyncio.wait([client.task])
        opened = core.asked and core.stream.pushed > 0
        assert core.stream.closed >= (1 if opened else 0)


@pytest.mark.parametrize("fault", [CoreProtocolError(), RuntimeError("secret")])
async def test_a_client_that_can_make_nothing_of_a_piece_ends_the_stream(
    clock: MovedTime, fault: Exception
) -> None:
    """What its ``send`` raises reaches its handler, not the core's connection; the core is left."""
    core = ScriptedCore(TOKEN)

    class Choosy(Reading):
        def send(self, data: bytes) -> bool:
            raise fault

    client = Choosy(ask(core, clock))
    with pytest.raises(type(fault)):
        await client.task
    end = client.answer.end
    assert end is not None
    wanted = ("core_failed", "core") if isinstance(fault, GatewayError) else ("internal", "gateway")
    assert (end.outcome, end.by) == wanted
    assert core.stream.closed == 1


async def test_a_client_that_fails_over_the_last_piece_has_not_got_it(clock: MovedTime) -> None:
    """The log says ``done`` only when ``done`` was taken."""
    core = ScriptedCore(DONE, None)

    class Gone(Reading):
        def send(self, data: bytes) -> bool:
            raise ClientStalled

    client = Gone(ask(core, clock))
    with pytest.raises(ClientStalled):
        await client.task
    assert client.answer.end is not None
    assert client.answer.end.outcome == "client_left"
