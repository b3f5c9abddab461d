"""Streamed answers over both protocols: endings, breaks, clients that leave and that are slow."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest

from gateway.domain.sse import CONNECTED, SseParser
from gateway.errors import CoreTimeout
from tests.unit.flows.scripted_core import TakingClient
from tests.unit.http_client.scripted import until

from .played_core import Call, Event, Protocol, error_shape, sse
from .test_core import WHO, Taken, Watching, ask, relayed, times
from .test_core_over_both import DONE, TOKEN, over

__all__ = ["over"]

ERROR: Event = ("error", error_shape("OVERLOADED"))
QUESTION = {"query": "why?"}

ENDINGS: list[tuple[str, list[Event], str | None, str]] = [
    ("whole", [TOKEN, DONE], None, "done"),
    ("more behind done", [TOKEN, DONE, TOKEN], None, "excess_after_done"),
    ("no done", [TOKEN], "CORE_TRUNCATED", "core_eof"),
    ("nothing at all", [], "CORE_TRUNCATED", "core_eof"),
    ("an error event", [TOKEN, ERROR, TOKEN], "OVERLOADED", "core_error"),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("events", "code", "word"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
async def test_every_ending_is_told_truly(
    over: Protocol, events: list[Event], code: str | None, word: str, together: bool
) -> None:
    """Exactly one ending, the last of all, with the code that it has."""

    async def script(call: Call) -> None:
        await call.head()
        for some in [events] if together else [[one] for one in events]:
            await call.send(*some)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        data, got_word, got_code = await ask(client)
    told = SseParser().feed(data)
    endings = [one for one in told if one.type in ("done", "error")]
    assert len(endings) == 1
    assert endings == told[-1:]
    assert b"secret" not in data
    # What comes behind ``done`` in a piece of its own may come after the stream has ended.
    assert got_word in ({word, "done"} if word == "excess_after_done" else {word})
    assert got_code == code
    if code is not None:
        assert json.loads(endings[0].data)["error"]["details"]["request_id"] == "req-1"


async def test_a_broken_connection_in_mid_stream_is_a_truncation(over: Protocol) -> None:
    """What came before stands."""
    read = asyncio.Event()

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await asyncio.wait_for(read.wait(), 30)
        await call.cut()

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        watching = Reading(read)
        answer = await relayed(client, watching)
        assert answer.end is not None
        assert answer.end.code == "CORE_TRUNCATED"
        assert answer.end.outcome in ("core_reset", "core_truncated")
        assert sse(TOKEN) in b"".join(watching.got)


class Reading(TakingClient):
    """Notes when the first token reached it."""

    def __init__(self, read: asyncio.Event) -> None:
        super().__init__()
        self._read = read

    def send(self, data: bytes) -> bool:
        if sse(TOKEN) in data:
            self._read.set()
        return super().send(data)


async def test_a_core_that_takes_its_time_gets_an_early_head(over: Protocol) -> None:
    """The client gets ``: connected`` before the core's head; its failure comes as an event."""
    greeted = asyncio.Event()

    async def script(call: Call) -> None:
        await asyncio.wait_for(greeted.wait(), 30)
        await call.refuse(500, "INTERNAL")

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        watching = Watching(greeted=greeted, got_token=asyncio.Event())
        await relayed(client, watching, early_head_s=0.01)
    assert watching.got[0] == CONNECTED
    assert b'"code":"CORE_UNAVAILABLE"' in watching.got[-1]
    assert b"secret" not in b"".join(watching.got)


async def test_a_head_without_an_event_opens_the_stream(over: Protocol) -> None:
    """The core says that it answers; for the first event the stream has a clock of its own."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.head("r.7")
        await asyncio.wait_for(go_on.wait(), 30)
        await call.send(TOKEN, DONE)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        stream, taken = await client.open_query(WHO, QUESTION), Taken()
        assert stream.revision == "r.7"
        stream.attach(taken)
        go_on.set()
        await until(lambda: bool(taken.end))
        assert (taken.data, taken.end) == (sse(TOKEN) + sse(DONE), [None])
        await stream.aclose()


async def test_no_head_in_the_window_is_a_timeout(over: Protocol) -> None:
    async def script(call: Call) -> None:
        await call.left()

    short = times(head_s=0.3, connect_s=30)
    async with (
        over.playing(script) as core,
        over.client([core.url], timeouts=short) as (client, _),
    ):
        with pytest.raises(CoreTimeout):
            await client.open_query(WHO, QUESTION)
        await until(lambda: core.under_way == 0)


async def test_a_client_that_leaves_is_told_to_the_core(over: Protocol) -> None:
    """The core's call is cancelled, at whichever moment the client left; nothing is left behind."""

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await call.left()

    async with over.playing(script) as core, over.client([core.url]) as (client, slots):
        await (await client.open_query(WHO, QUESTION)).aclose()
        for turns in range(30):
            leaving = asyncio.ensure_future(ask(client))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert slots.in_use == 0
        asked = len(core.asked)
        staying = asyncio.ensure_future(ask(client))
        await until(lambda: len(core.asked) > asked)
        staying.cancel()
        await asyncio.wait([staying])
        await until(lambda: core.under_way == 0)


async def test_a_client_that_does_not_read_stops_the_core(over: Protocol) -> None:
    """A full client pauses the relay: the core's sends wait, and go on when there is room."""
    blocked, sent = asyncio.Event(), 0
    big: Event = ("token", {"text": "x" * 60_000})
    count = 1_000

    async def script(call: Call) -> None:
        nonlocal sent
        await call.head()
        for _ in range(count):
            sending = asyncio.ensure_future(call.send(big))
            _, waiting = await asyncio.wait([sending], timeout=1.0)
            if waiting:
                blocked.set()
            await sending
            sent += 1
        await call.send(DONE)

    async with over.playing(script) as core, over.client([core.url]) as (client, _):
        slow = TakingClient()
        slow.full = True
        relaying = asyncio.ensure_future(relayed(client, slow))
        await asyncio.wait_for(blocked.wait(), 60)
        assert len(b"".join(slow.got)) < 1 << 20
        assert sent < count // 2
        slow.full = False
        slow.room.pop()()
        answer = await asyncio.wait_for(relaying, 60)
        assert answer.end is not None
        assert answer.end.outcome == "done"
        assert b"".join(slow.got).count(b"event: token") == count


@pytest.mark.parametrize("how", ["whole", "cut", "closed", "forgotten", "never attached"])
async def test_a_stream_holds_its_slot_until_its_end(over: Protocol, how: str) -> None:
    """Well or not, or when nobody closed it; closing it afterwards counts nothing twice."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.head()
        await call.send(TOKEN)
        await asyncio.wait_for(go_on.wait(), 30)
        if how == "cut":
            await call.cut()
        await call.send(DONE)

    async with over.playing(script) as core, over.client([core.url]) as (client, slots):
        stream: Any = await client.open_query(WHO, QUESTION)
        taken = Taken()
        if how not in ("forgotten", "never attached"):
            stream.attach(taken)
            await until(lambda: taken.data == sse(TOKEN))
        assert slots.in_use == 1
        if how in ("whole", "cut"):
            go_on.set()
            await until(lambda: bool(taken.end))
            assert (taken.end == [None]) is (how == "whole")
        elif how == "forgotten":
            del stream
            gc.collect()
        if how != "forgotten":
            await stream.aclose()
            await stream.aclose()
        await until(lambda: slots.in_use == 0)
        go_on.set()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
