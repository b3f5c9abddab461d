"""Clients of a socket that read slowly or not at all, break the rules, flood, or fall silent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.edge.observe import log_output
from gateway.edge.ws import session
from gateway.edge.ws.connection import FRAMES_A_TICK, MESSAGE_LIMIT_BYTES

from .conftest import Gateway, running_gateway
from .keeping_core import keeping_core, settled
from .raw import exchange, request, reset, stops
from .sockets import Op, RawSocket, by_hand, close_frame, frame, opened, signed_in
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

BOTH_LOOPS = True
ASK = json.dumps({"type": "ask", "id": "1", "query": "hi"}).encode()


async def first_event(socket: RawSocket) -> None:
    opcode, data = await socket.next()
    assert opcode == Op.TEXT
    assert json.loads(data)["event"] == "meta"


# --- slow ---------------------------------------------------------------------------------------


async def test_a_client_that_takes_nothing_is_reset(lines_of: Lines) -> None:
    """After ``GATEWAY_STREAM_CLIENT_STALL``; its core's request ends with it."""
    async with keeping_core() as core, running_gateway(core, STREAM_CLIENT_STALL="1s") as gateway:
        sent = core.counts(100_000)
        async with by_hand(gateway) as socket:
            socket.send(frame(Op.TEXT, ASK))
            await first_event(socket)
            await stops(sent)
            await settled(lambda: not any(one.http for one in gateway.server.connections))
            await settled(lambda: core.visits[0].left)
    ends = {line["route"]: line for line in lines_of.requests() if line["door"] == "ws"}
    assert ends["/api/v1/query"]["stream_end"] in ("client_stalled", "client_left")
    assert ends["/api/v1/query/ws"]["socket_end"] == "client_stalled"


@pytest.fixture
def lines_of(uncached: None) -> Lines:
    """What is logged, whichever gateway says it."""
    kept = Lines()
    log_output.configure("info", "json", kept.stream)
    return kept


async def test_a_client_that_reads_none_of_its_pongs_is_not_read_either(gateway: Gateway) -> None:
    """What it makes us say stands in its own socket, not in our memory."""
    async with by_hand(gateway) as socket:
        # Its own kernel takes much before ours has to keep anything.
        for _ in range(200):
            socket.send(frame(Op.PING, b"x" * 125) * 100)
            await asyncio.sleep(0)
        held = [one.transport.get_write_buffer_size() for one in gateway.server.connections]
        assert max(held) < 512 * 1024
        assert (await exchange(gateway.address, request("GET", "/healthz"))).status == 200


# --- the rules ----------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes, int]] = {
    "binary": (frame(Op.BINARY, b"x"), 1003),
    "binary in fragments": (frame(Op.BINARY, b"x", fin=False) + frame(Op.CONTINUED, b"y"), 1003),
    "no UTF-8": (frame(Op.TEXT, b"\xff\xfe"), 1007),
    "a cut character": (frame(Op.TEXT, "é".encode()[:1]), 1007),
    "no JSON": (frame(Op.TEXT, b"hello"), 1007),
    "no object": (frame(Op.TEXT, b"[1]"), 1007),
    "empty": (frame(Op.TEXT), 1007),
    "deep": (frame(Op.TEXT, b"[" * 50_000), 1007),
    "no type": (frame(Op.TEXT, b"{}"), 1008),
    "an unknown type": (frame(Op.TEXT, b'{"type":"shout"}'), 1008),
    "a type that is none": (frame(Op.TEXT, b'{"type":["ask"]}'), 1008),
    "an ask without an id": (frame(Op.TEXT, b'{"type":"ask","query":"x"}'), 1008),
    "an id that is a number": (frame(Op.TEXT, b'{"type":"ask","id":1,"query":"x"}'), 1008),
    "a long id": (frame(Op.TEXT, b'{"type":"ask","id":"%b","query":"x"}' % (b"x" * 65)), 1008),
    "a cancel too many fields": (frame(Op.TEXT, b'{"type":"cancel","id":"1","x":1}'), 1008),
    "an id in use": (frame(Op.TEXT, ASK) * 2, 1008),
    "too long": (frame(Op.TEXT, b"x" * (MESSAGE_LIMIT_BYTES + 1)), 1009),
    "too long in fragments": (
        frame(Op.TEXT, b"x" * 100_000, fin=False) + frame(Op.CONTINUED, b"x" * 100_000),
        1009,
    ),
    "not masked": (frame(Op.TEXT, ASK, masked=False), 1002),
    "a reserved bit": (bytes((0xC1,)) + frame(Op.TEXT, ASK)[1:], 1002),
    "a reserved opcode": (frame(3, b"x"), 1002),
    "a long ping": (frame(Op.PING, b"x" * 126), 1002),
    "a ping in fragments": (frame(Op.PING, b"x", fin=False), 1002),
    "a fragment of nothing": (frame(Op.CONTINUED, b"x"), 1002),
    "a message within a message": (frame(Op.TEXT, b"{", fin=False) + frame(Op.TEXT, b"}"), 1002),
    "a close of one byte": (frame(Op.CLOSING, b"x"), 1002),
    "a close code that may not be sent": (close_frame(1005), 1002),
    "a close that is no UTF-8": (frame(Op.CLOSING, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_client_that_breaks_the_rules_is_told_and_let_go(
    fault: str, gateway: Gateway, lines: Lines
) -> None:
    """By the code for it, before the connection ends; what it sends behind that is dropped."""
    data, code = BROKEN[fault]
    gateway.core.holds(STREAM_HEAD + chunk(META))
    async with by_hand(gateway) as socket:
        socket.send(data + frame(Op.TEXT, ASK) * 3)
        closed, reason = await socket.closed()
        assert closed == code
        assert reason or code in (1002, 1007)
        socket.send(frame(Op.TEXT, ASK))
        assert await socket.gone() == b""
    await settled(lambda: any(line["status"] == 101 for line in lines.requests()))
    (line,) = [line for line in lines.requests() if line["status"] == 101]
    assert line["close_code"] == code
    assert not [one for one in lines.all() if one["level"] in ("error", "critical")], lines.text


async def test_a_message_may_come_in_a_thousand_fragments(gateway: Gateway) -> None:
    """With pings between them, which are answered at once (RFC 6455, 5.4)."""
    text = json.dumps({"type": "ask", "id": "1", "query": "x" * 1000}).encode()
    parts = [text[at : at + 1] for at in range(len(text))]
    frames = [
        frame(Op.TEXT if not at else Op.CONTINUED, part, fin=at == len(parts) - 1)
        for at, part in enumerate(parts)
    ]
    async with by_hand(gateway) as socket:
        socket.send(b"".join(frames[:500]) + frame(Op.PING, b"p") + b"".join(frames[500:]))
        assert await socket.next() == (Op.PONG, b"p")
        await first_event(socket)
    assert json.loads(gateway.core.bodies[-1])["query"] == "x" * 1000


async def test_fragments_of_nothing_take_no_memory_and_have_an_end(gateway: Gateway) -> None:
    async with by_hand(gateway) as socket:
        socket.send(frame(Op.TEXT, b"", fin=False) + frame(Op.CONTINUED, b"", fin=False) * 100_000)
        assert await socket.closed() == (1008, "TOO_MANY_FRAMES")


async def test_a_flood_of_pings_is_cut_off_and_holds_up_nobody(gateway: Gateway) -> None:
    """A hundred thousand in one go: some are answered, then the socket is closed."""
    async with by_hand(gateway) as socket:
        socket.send(frame(Op.PING) * 100_000)
        answered = 0
        while (told := await socket.next())[0] == Op.PONG:
            answered += 1
        assert told[0] == Op.CLOSING
        assert int.from_bytes(told[1][:2], "big") == 1008
        assert answered <= 2 * FRAMES_A_TICK
        assert (await exchange(gateway.address, request("GET", "/healthz"))).status == 200


async def test_who_goes_on_sending_after_a_close_is_cut_off(gateway: Gateway) -> None:
    """What is read to let the close arrive has a limit, in time and in bytes."""
    async with by_hand(gateway) as socket:
        socket.send(frame(Op.BINARY, b"x"))
        assert (await socket.closed())[0] == 1003
        with pytest.raises(ConnectionError):
            await sending_on(socket)


async def sending_on(socket: RawSocket) -> None:
    for _ in range(1000):
        socket.send(bytes(1 << 16))
        await socket.writer.drain()


async def test_who_does_not_answer_a_close_is_let_go(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.ws.connection.CLOSE_S", 0.2)
    monkeypatch.setattr(session, "IDLE_S", 0.1)
    async with by_hand(gateway) as socket:
        assert await socket.closed() == (1000, "IDLE")
        assert await socket.gone() == b""


# --- silence ------------------------------------------------------------------------------------


async def test_a_socket_that_nobody_asks_on_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings are no questions; a question under way keeps it open."""
    monkeypatch.setattr(session, "IDLE_S", 1.0)
    go_on = gateway.core.holds(STREAM_HEAD + chunk(META), then=chunk(DONE) + END)
    async with signed_in(gateway) as socket:
        await socket.ask()
        await socket.next()
        for _ in range(8):
            await (await socket.of.ping())
            await asyncio.sleep(0.2)
        go_on.set()
        assert (await socket.next())["event"] == "done"
        assert await socket.closed() == (1000, "IDLE")


async def test_a_silent_client_is_pinged_and_one_that_answers_stays(core: StubCore) -> None:
    """By the clocks of a stream: ``GATEWAY_STREAM_PING`` and ``GATEWAY_STREAM_CLIENT_STALL``."""
    clocks = {"STREAM_PING": "500ms", "STREAM_CLIENT_STALL": "1s"}
    async with running_gateway(core, **clocks) as gateway, by_hand(gateway) as socket:
        for _ in range(4):
            opcode, data = await socket.next()
            assert opcode == Op.PING
            socket.send(frame(Op.PONG, data))
        opcode, data = await socket.next()
        assert opcode == Op.PING
        assert await socket.gone() == b""  # it answered no more


async def test_a_client_that_vanishes_leaves_nothing(gateway: Gateway, lines: Lines) -> None:
    """In the middle of a frame, of a message, of an answer, of a close."""
    gateway.core.holds(STREAM_HEAD + chunk(META))
    streams = len(gateway.server.connections)
    for said in (
        b"\x81",
        frame(Op.TEXT, ASK)[:-1],
        frame(Op.TEXT, b"{", fin=False),
        frame(Op.TEXT, ASK),
    ):
        async with by_hand(gateway) as socket:
            socket.send(said)
            await asyncio.sleep(0)
            reset(socket.writer)
    await settled(lambda: len(gateway.server.connections) <= streams + 1)
    ends = [line for line in lines.requests() if line["status"] == 101]
    await settled(lambda: len([1 for line in lines.requests() if line["status"] == 101]) == 4)
    assert {line["close_code"] for line in ends} <= {1006}


# --- the worker's end ---------------------------------------------------------------------------


async def test_a_drain_ends_each_question_and_then_the_socket(gateway: Gateway) -> None:
    """Idle sockets go at once, and are told that the worker does."""
    gateway.core.holds(STREAM_HEAD + chunk(META))
    async with signed_in(gateway) as busy, signed_in(gateway) as idle, opened(gateway) as unsigned:
        for name in ("a", "b"):
            await busy.ask(name)
            await busy.next()
        lifecycle = gateway.application.lifecycle
        ending = asyncio.create_task(stop(lifecycle))
        assert await idle.closed() == (1001, "DRAINING")
        assert await unsigned.closed() == (1001, "DRAINING")
        ended = [await busy.next(), await busy.next()]
        assert {one["id"]: one["data"]["error"]["code"] for one in ended} == {
            "a": "DRAINING",
            "b": "DRAINING",
        }
        assert await busy.closed() == (1001, "DRAINING")
        await ending


async def stop(lifecycle: Any) -> None:
    """What ``gateway serve`` does when it is told to stop."""
    await lifecycle.drain()
    await lifecycle.let_connections_go()


async def test_while_the_worker_ends_a_question_is_refused(core: StubCore) -> None:
    """As over HTTP; one that is under way may go on until the drain's limit."""
    async with running_gateway(core, DRAIN_LIMIT="60s") as gateway:
        go_on = core.holds(STREAM_HEAD + chunk(META), then=chunk(DONE) + END)
        async with signed_in(gateway) as socket:
            await socket.ask("a")
            await socket.next()
            ending = asyncio.create_task(stop(gateway.application.lifecycle))
            await settled(lambda: gateway.application.lifecycle.ending)
            await socket.ask("b")
            assert (await socket.error("b"))["code"] == "DRAINING"
            go_on.set()
            assert (await socket.next())["event"] == "done"
            assert await socket.closed() == (1001, "DRAINING")
            await ending
