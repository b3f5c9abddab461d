"""One connection and its exchange: pushing, pausing, and giving back exactly once, in any order."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from gateway.http_client.client import make_client
from gateway.http_client.transport import Body, CoreTransport

from .scripted import CHUNKED, Peer, Server, answering, ask, once, serve, until

BLOCK = b"x" * 16384


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


class Taking:
    """A sink that remembers, and pauses the body after ``room`` bytes where it has to."""

    def __init__(self, body: Body, room: int | None = None) -> None:
        self.body = body
        self.room = room
        self.data = b""
        self.ends: list[httpx.TransportError | None] = []

    def received(self, data: bytes) -> None:
        assert not self.ends, "bytes behind the end"
        self.data += data
        if self.room is not None and len(self.data) > self.room:
            self.body.pause()

    def ended(self, error: httpx.TransportError | None) -> None:
        self.ends.append(error)


@asynccontextmanager
async def opened(
    server: Server, **options: int
) -> AsyncIterator[tuple[httpx.Response, Body, CoreTransport]]:
    """An answer whose head is in; whoever tests closes it."""
    transport = CoreTransport(**options)  # type: ignore[arg-type]
    async with aclosing(transport):
        yield *await answered(server, transport), transport


async def answered(server: Server, transport: CoreTransport) -> tuple[httpx.Response, Body]:
    """The answer as httpx would have it, and its body."""
    body = await ask(transport, server.url)
    return httpx.Response(body.status, headers=body.headers, stream=body), body


async def test_a_pushed_body_comes_once_in_order_and_then_its_end() -> None:
    """What came before the sink was there comes first; the end comes once and last."""
    go_on = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"first ") + chunk(b"second "))
        await go_on.wait()
        await peer.send(chunk(b"third") + END)
        await peer.left()

    async with serve(script) as server, opened(server) as (response, body, transport):
        sink = Taking(body)
        body.attach(sink)
        go_on.set()
        await until(lambda: bool(sink.ends))
        assert (sink.data, sink.ends) == (b"first second third", [None])
        assert (transport.slots.in_use, transport.idle_connections) == (0, 1)
        await response.aclose()
        assert transport.idle_connections == 1


@pytest.mark.parametrize("reset", [False, True], ids=["cut", "reset"])
async def test_a_pushed_body_that_breaks_ends_once_with_the_reason(reset: bool) -> None:
    """What came before the break is handed out first."""
    read = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"whole"))
        await read.wait()
        if reset:
            peer.reset()

    async with serve(script) as server, opened(server) as (response, body, transport):
        sink = Taking(body)
        body.attach(sink)
        await until(lambda: sink.data == b"whole")
        read.set()
        await until(lambda: bool(sink.ends))
        kind = httpx.ReadError if reset else httpx.RemoteProtocolError
        assert [type(error) for error in sink.ends] == [kind]
        assert transport.slots.in_use == 0
        await response.aclose()
        await until(lambda: transport.open_connections == 0)


async def flood(peer: Peer, server: Server) -> None:
    """Sends for ever; ``server.requests`` grows by one a block that went out."""
    await peer.request()
    await peer.send(CHUNKED)
    while True:
        await peer.send(chunk(BLOCK))
        server.requests.append(b"")


async def stops(server: Server) -> int:
    """How many blocks went out when no more go out."""
    while True:
        before = len(server.requests)
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        if len(server.requests) == before:
            return before


async def test_a_sink_that_pauses_while_it_is_attached_stays_paused() -> None:
    """A full client stops the core from the first byte on, also where the core was paused before.

    The transport had read ahead and paused the socket itself; attaching must not undo the sink's
    own wish, or nothing would ever stop the core again.
    """
    async with (
        serve(flood) as server,
        opened(server, read_buffer_bytes=65536) as (response, body, _),
    ):
        await stops(server)  # the read-ahead is full and the socket's buffers are too
        sink = Taking(body, room=0)
        body.attach(sink)
        taken = len(sink.data)
        await stops(server)
        assert len(sink.data) == taken
        sink.room = None
        body.resume()
        await until(lambda: len(sink.data) > taken + 1_000_000)
        await response.aclose()


async def test_a_pause_stops_the_peer_and_a_resume_loses_nothing() -> None:
    """Every byte, in order, however often the sink pauses."""
    blocks = [bytes([n % 256]) * 4096 for n in range(500)]

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for block in blocks:
            await peer.send(chunk(block))
        await peer.send(END)
        await peer.left()

    async with serve(script) as server, opened(server) as (response, body, _):
        sink = Taking(body, room=0)
        body.attach(sink)
        async with asyncio.timeout(30):
            while not sink.ends:
                await asyncio.sleep(0)
                body.resume()
        assert sink.data == b"".join(blocks)
        await response.aclose()


# --- giving back exactly once ---------------------------------------------------------------------


async def test_a_forgotten_answer_gives_its_slot_and_connection_back() -> None:
    """Whoever forgets to close an answer does not cost the next one its place."""
    transport = CoreTransport(limit=1)
    async with serve(answering(CHUNKED)) as server, make_client(transport) as client:
        for _ in range(3):
            response = await client.send(client.build_request("GET", server.url), stream=True)
            assert transport.slots.in_use == 1
            del response
            gc.collect()
            await until(lambda: transport.slots.in_use == 0 and transport.open_connections == 0)


async def forget(server: Server, transport: CoreTransport, client: httpx.AsyncClient) -> None:
    response = await client.send(client.build_request("GET", server.url), stream=True)
    response.extensions["me"] = response  # a cycle, so that only the collector finds it


async def test_an_answer_the_collector_finds_on_another_thread_is_given_back_on_its_own() -> None:
    """The collector runs on any thread that allocates; the loop's objects belong to the loop's."""
    transport = CoreTransport(limit=1)
    async with serve(answering(CHUNKED)) as server, make_client(transport) as client:
        gc.disable()
        try:
            await forget(server, transport, client)
            assert transport.slots.in_use == 1
            threads: list[int] = []
            give_back = transport.slots._give_back

            def noted() -> None:
                threads.append(threading.get_ident())
                give_back()

            transport.slots._give_back = noted  # type: ignore[method-assign]
            await asyncio.to_thread(gc.collect)
            await until(lambda: transport.slots.in_use == 0 and transport.open_connections == 0)
        finally:
            gc.enable()
        assert threads == [threading.get_ident()]
        await server.until(lambda: server.open == 0)


Act = Callable[[httpx.Response, Body], object]


async def _closes(response: httpx.Response, _: Body) -> None:
    await response.aclose()


async def _reads(response: httpx.Response, _: Body) -> None:
    try:
        async with asyncio.timeout(0.05):
            async for _piece in response.aiter_raw():
                pass
    except (TimeoutError, httpx.TransportError, httpx.StreamConsumed, httpx.StreamClosed):
        pass


async def _attaches(_: httpx.Response, body: Body) -> None:
    body.attach(Taking(body))


async def _dies(_: httpx.Response, body: Body) -> None:
    body.__del__()
    await asyncio.sleep(0)


ACTS = (_closes, _reads, _attaches, _dies)
ANSWERS = {
    "whole": answering(CHUNKED + chunk(b"abc") + END),
    "cut": once(CHUNKED + chunk(b"abc")),
    "reset": once(CHUNKED + chunk(b"abc"), reset=True),
    "endless": answering(CHUNKED + chunk(b"abc")),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_a_slot_comes_back_once_in_every_order_of_endings(
    answer: Callable[[Peer, Server], object],
) -> None:
    """End, error, cancel, close and being forgotten, in any order: one slot, no connection lost."""
    transport = CoreTransport(limit=2)
    async with serve(answer) as server, aclosing(transport):  # type: ignore[arg-type]
        for acts in itertools.permutations(ACTS, 3):
            try:
                response, body = await answered(server, transport)
            except httpx.ReadError:
                continue  # the reset overtook the head
            for act in acts:
                await act(response, body)
            await response.aclose()
            assert transport.slots.in_use == 0, acts
        await until(lambda: transport.open_connections == transport.idle_connections)
        assert transport.slots.waiting == 0
