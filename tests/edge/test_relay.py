"""The relay under load: clients that read slowly, not at all, or leave; many at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.domain.sse import CONNECTED

from .conftest import Gateway, running_gateway
from .keeping_core import After, KeepingCore, Visit, keeping_core, numbered, settled
from .raw import TIMEOUT_S, request, stops
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk

BOTH_LOOPS = True
CHURNED = int(os.environ.get("GATEWAY_TEST_CHURN", "600"))


@pytest.fixture(params=["written below", "sent"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    monkeypatch.setattr("gateway.edge.wire.client_stream.STALL_LOOK_S", 0.05)
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


@pytest.fixture
async def core() -> AsyncIterator[KeepingCore]:
    async with keeping_core() as running:
        yield running


async def raw_query(
    gateway: Gateway, receive_bytes: int = 0, version: bytes = b"HTTP/1.1"
) -> socket.socket:
    """A query on a bare socket: nothing is read from it but what a test reads."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, gateway.address)
    typed = {"Content-Type": "application/json", **await gateway.bearer()}
    data = request("POST", "/api/v1/query", typed, b'{"query": "hi"}')
    await loop.sock_sendall(sock, data.replace(b"HTTP/1.1", version, 1))
    return sock


async def test_a_client_that_stops_reading_stops_the_core_and_loses_nothing(
    core: KeepingCore,
) -> None:
    """The core's socket fills up, not our memory; afterwards every byte comes, in order."""
    events = 4000
    sent = core.counts(events)
    async with running_gateway(core) as gateway:
        client = await raw_query(gateway, 16384)
        assert await stops(sent) < events
        (connection,) = [one for one in gateway.server.connections if one.http]
        assert connection.transport.get_write_buffer_size() < 512 * 1024
        got = bytearray()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while not got.endswith(END):
                got += await loop.sock_recv(client, 1 << 18)
        client.close()
    _, _, body = bytes(got).partition(b"\r\n\r\n")
    wanted = [CONNECTED, META, *(numbered(number) for number in range(events)), DONE]
    assert unchunked(body) == b"".join(wanted)


def unchunked(body: bytes) -> bytes:
    pieces, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + size + 4


async def test_a_client_that_takes_a_little_is_not_cut_off(core: KeepingCore) -> None:
    """What waits for it grows, since the core is faster; it takes some all the time."""
    core.counts(100_000)
    async with running_gateway(core, STREAM_CLIENT_STALL="1500ms") as gateway:
        client = await raw_query(gateway, 4096)
        loop = asyncio.get_running_loop()
        taken = 0
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(300):
                piece = await loop.sock_recv(client, 4096)
                assert piece, f"cut off after {taken} bytes"
                taken += len(piece)
                await asyncio.sleep(0.01)
        client.close()
        await settled(lambda: core.open == 0)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["1.1", "1.0"])
async def test_a_client_that_takes_nothing_is_reset(core: KeepingCore, version: bytes) -> None:
    """What it reads later ends in a broken connection: to HTTP/1.0 a close is a whole answer."""
    sent = core.counts(100_000)
    async with running_gateway(core, STREAM_CLIENT_STALL="500ms") as gateway:
        client = await raw_query(gateway, 4096, version)
        await stops(sent)
        await (await core.visit(0)).until_left()
        await settled(lambda: not [one for one in gateway.server.connections if one.http])
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        client.close()


async def read_to_end(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(TIMEOUT_S):
        while await loop.sock_recv(client, 1 << 18):
            pass


async def test_a_full_client_does_not_keep_the_core(core: KeepingCore) -> None:
    """A stream that has ended leaves the core at once; the client may take its time."""
    core.counts(100_000)
    async with running_gateway(
        core, STREAM_TOTAL="1s", STREAM_IDLE="1s", STREAM_FIRST_EVENT="1s"
    ) as gateway:
        client = await raw_query(gateway, 4096)
        await (await core.visit(0)).until_left()
        client.close()


async def test_a_full_client_that_reads_on_gets_all_events_and_one_last_one(
    core: KeepingCore,
) -> None:
    """A drain ends its stream while it takes nothing: the last event waits behind the others."""
    sent = core.counts(100_000)
    async with running_gateway(core) as gateway:
        client = await raw_query(gateway, 4096)
        await stops(sent)
        draining = asyncio.create_task(gateway.drain())
        await (await core.visit(0)).until_left()
        got = bytearray()
        async with asyncio.timeout(TIMEOUT_S):
            while not got.endswith(END):
                piece = await asyncio.get_running_loop().sock_recv(client, 1 << 18)
                assert piece, "the transfer was broken off"
                got += piece
            await draining
        client.close()
    events, *terminal = unchunked(got.partition(b"\r\n\r\n")[2]).split(b"event: error\ndata: ")
    assert [json.loads(one)["error"]["code"] for one in terminal] == ["DRAINING"]
    passed = events.count(b"\n\n") - 2
    assert passed > 10
    assert events == b"".join([CONNECTED, META, *(numbered(number) for number in range(passed))])


async def test_a_client_that_never_took_its_last_answer_gets_no_stream(core: KeepingCore) -> None:
    """A large answer fills it up, the question behind it waits for room, and the core for both.

    The clock of a client that takes nothing runs before a stream's first byte, too.
    """
    token = b'event: token\ndata: {"text":"%b"}\n\n' % (b"x" * 4000)

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        if len(core.visits) == 1:
            await visit.send(chunk(token) * 1000 + chunk(DONE) + END, 1 << 20)
            return "keep"
        await visit.until_left()
        return "close"

    core.play = play
    async with running_gateway(core, STREAM_CLIENT_STALL="500ms") as gateway:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, gateway.address)
        typed = {"Content-Type": "application/json", **await gateway.bearer()}
        whole = request("POST", "/api/v1/query", typed, b'{"query": "hi", "stream": false}')
        await loop.sock_sendall(
            sock, whole + request("POST", "/api/v1/query", typed, b'{"query": "hi"}')
        )
        await (await core.visit(1)).until_left()
        await settled(lambda: not [one for one in gateway.server.connections if one.http])
        sock.close()


async def test_a_client_that_says_it_leaves_is_gone_however_full(core: KeepingCore) -> None:
    """A FIN ends an event stream also while bytes wait that the client will never take."""
    sent = core.counts(100_000)
    async with running_gateway(core) as gateway:
        client = await raw_query(gateway, 4096)
        await stops(sent)
        client.shutdown(socket.SHUT_WR)
        await (await core.visit(0)).until_left()
        client.close()


async def test_a_storm_of_streams_all_succeed(core: KeepingCore) -> None:
    """Many opened at once: none fails, each gets all of its answer."""
    async with running_gateway(core) as gateway:
        bearer = await gateway.bearer()

        async def one() -> bytes:
            reader, writer = await asyncio.open_connection(*gateway.address)
            typed = {"Content-Type": "application/json", "Connection": "close", **bearer}
            writer.write(request("POST", "/api/v1/query", typed, b'{"query": "hi"}'))
            async with asyncio.timeout(60):
                answer = await reader.read()
            writer.close()
            return answer

        answers = await asyncio.gather(*(one() for _ in range(500)))
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert all(answer.endswith(chunk(DONE) + END) for answer in answers)


async def test_streams_cancelled_at_any_moment_leave_nothing(core: KeepingCore) -> None:
    """No connection, task, slot, relay or file is left, and the core saw each of them leave."""
    dice = random.Random(7)

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        with contextlib.suppress(ConnectionError):
            while not visit.left:
                await visit.send(chunk(TOKEN), 1 << 20)
                await asyncio.sleep(0)
        return "close"

    core.play = play
    async with running_gateway(core) as gateway:
        bearer = await gateway.bearer()
        typed = {"Content-Type": "application/json", **bearer}
        data = request("POST", "/api/v1/query", typed, b'{"query": "hi"}')
        room = asyncio.Semaphore(50)

        async def one() -> None:
            async with room:
                reader, writer = await asyncio.open_connection(*gateway.address)
                writer.write(data)
                if dice.random() < 0.5:
                    # Else a slow machine may ask the core for none of them before they leave.
                    await reader.readuntil(META)
                await asyncio.sleep(dice.random() * 0.03)
                writer.transport.abort()

        faults: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        idle = len(asyncio.all_tasks())
        files = len(os.listdir("/proc/self/fd"))
        await asyncio.gather(*(one() for _ in range(CHURNED)))
        await settled(lambda: core.open == 0)
        await settled(lambda: not [c for c in gateway.server.connections if c.http])
        await settled(lambda: len(asyncio.all_tasks()) <= idle + 3)
        await settled(lambda: len(os.listdir("/proc/self/fd")) <= files + 3)
        assert not faults
        assert core.visits
        core.play = core.plays_well
        again = await gateway.client.post("/api/v1/query", json={"query": "again"}, headers=bearer)
        assert again.content == CONNECTED + DONE
